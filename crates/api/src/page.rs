//! Lists come in pages; an opaque cursor says where the next one begins.

use std::borrow::Cow;

use base64ct::{Base64UrlUnpadded, Encoding};
use mayfly_office::{Items, Part};
use serde::{Deserialize, Serialize};
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, SchemaType, Type};
use utoipa::openapi::{Ref, RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::problem::{Code, Problem};
use crate::text::Text;

/// How many items a page has if nothing else is asked.
pub const PAGE_DEFAULT: u32 = 50;
/// How many items a page may have.
pub const PAGE_MAX: u32 = 100;

/// A part of a list.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct List<T> {
    /// The items. There may be fewer than were asked for, or none, and still be more behind them.
    pub items: Vec<T>,
    /// What to send as `cursor` to get those after them; null at the end.
    pub next_cursor: Option<String>,
}

// By hand, so that a list refers to its items' schema instead of repeating it.
impl<T: ToSchema> PartialSchema for List<T> {
    fn schema() -> RefOr<Schema> {
        let what =
            "The items. There may be fewer than were asked for, or none, and still be more behind them.";
        let items = ArrayBuilder::new().items(Ref::from_schema_name(T::name())).description(Some(what));
        let cursor = ObjectBuilder::new()
            .schema_type(SchemaType::from_iter([Type::String, Type::Null]))
            .description(Some("What to send as `cursor` to get those after them; null at the end."))
            .examples(["YWNjdF8y"]);
        ObjectBuilder::new()
            .description(Some("A part of a list."))
            .property("items", items)
            .required("items")
            .property("next_cursor", cursor)
            .required("next_cursor")
            .into()
    }
}

impl<T: ToSchema> ToSchema for List<T> {
    fn name() -> Cow<'static, str> {
        Cow::Owned(format!("{}List", T::name()))
    }

    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        schemas.push((T::name().into_owned(), T::schema()));
        T::schemas(schemas);
    }
}

impl<T> List<T> {
    /// Of what the office gives back.
    pub(crate) fn of<Found, Id: Text>(found: Items<Found, Id>, show: impl Fn(Found) -> T) -> Self {
        Self {
            items: found.items.into_iter().map(show).collect(),
            next_cursor: found.next.as_ref().map(cursor),
        }
    }
}

/// Which part of a list is asked for.
pub(crate) fn part<Id: Text>(limit: Option<u32>, cursor: Option<&str>) -> Result<Part<Id>, Problem> {
    let limit = limit.unwrap_or(PAGE_DEFAULT);
    if !(1..=PAGE_MAX).contains(&limit) {
        return Err(Problem::with(Code::ParameterInvalid, format!("limit must be 1 to {PAGE_MAX}")));
    }
    Ok(Part { from: cursor.map(read).transpose()?, limit: limit as usize })
}

/// A place in a list, for whoever asks for it. It is no secret: what it names is checked like any other id.
fn cursor<Id: Text>(id: &Id) -> String {
    Base64UrlUnpadded::encode_string(id.show().as_bytes())
}

fn read<Id: Text>(cursor: &str) -> Result<Id, Problem> {
    let decoded = Base64UrlUnpadded::decode_vec(cursor).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    decoded.and_then(|text| Id::read(&text).ok()).ok_or_else(|| Problem::new(Code::CursorInvalid))
}

#[cfg(test)]
mod tests {
    use mayfly_core::{AccountId, NumberId};

    use super::*;

    #[test]
    fn cursors_come_back_and_keep_their_kind() {
        let made = cursor(&AccountId(77));
        assert_eq!(read::<AccountId>(&made), Ok(AccountId(77)));
        for wrong in [made.as_str(), "", "acct_1", "====", "é", "_w"] {
            assert_eq!(read::<NumberId>(wrong), Err(Problem::new(Code::CursorInvalid)), "{wrong}");
        }
    }

    #[test]
    fn pages_are_bounded() {
        assert_eq!(part::<AccountId>(None, None).unwrap().limit, 50);
        assert_eq!(part::<AccountId>(Some(100), None).unwrap().limit, 100);
        for limit in [0, 101, u32::MAX] {
            assert_eq!(part::<AccountId>(Some(limit), None).unwrap_err().code(), Code::ParameterInvalid);
        }
    }
}
