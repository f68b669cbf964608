//! Reading JSON, and saying what is wrong with it without repeating it: what was sent could be a card number.

use serde::de::DeserializeOwned;
use serde_path_to_error::{Path, Segment};

use crate::objects::Objects;
use crate::problem::{Code, Problem};

/// Reads a body. An empty one, and null, count as an empty object: nothing is said.
pub(crate) fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let bytes = if bytes.is_empty() || bytes == b"null" { b"{}" } else { bytes };
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(Objects(&mut json)).map_err(|error| {
        if error.inner().is_data() {
            Problem::field(pointer(error.path()), said(&error.inner().to_string()))
        } else {
            Problem::new(Code::JsonInvalid)
        }
    })?;
    json.end().map_err(|_| Problem::new(Code::JsonInvalid))?;
    Ok(value)
}

/// Where something stands (RFC 6901). Names that are none of ours are not repeated.
pub(crate) fn pointer(path: &Path) -> String {
    let ours = |name: &str| {
        let is_letter = |byte: &u8| byte.is_ascii_lowercase() || *byte == b'_';
        let digits = name.bytes().filter(u8::is_ascii_digit).count();
        // One digit, as in `cvc2`, is no part of a card number.
        name.bytes().next().is_some_and(|first| is_letter(&first))
            && digits <= 1
            && name.bytes().all(|byte| is_letter(&byte) || byte.is_ascii_digit())
    };
    path.iter()
        .filter_map(|segment| match segment {
            Segment::Seq { index } => Some(format!("/{index}")),
            Segment::Map { key } if ours(key) => Some(format!("/{key}")),
            Segment::Enum { variant } if ours(variant) => Some(format!("/{variant}")),
            Segment::Map { .. } | Segment::Enum { .. } | Segment::Unknown => None,
        })
        .collect()
}

/// What serde says of a value, without the value.
pub(crate) fn said(message: &str) -> String {
    let message = message.split(" at line ").next().unwrap_or_default();
    let expected = || message.rsplit_once(", expected ").map(|(_, expected)| expected);
    if message.starts_with("invalid ") {
        return expected()
            .map_or("is not allowed".to_owned(), |expected| format!("must be {}", words(expected)));
    }
    if message.starts_with("unknown ") {
        let what = if message.starts_with("unknown field") { "a field" } else { "a value" };
        return match expected() {
            Some(expected) => format!("has {what} that is not known; there is {}", words(expected)),
            None => format!("has {what} that is not known; there is none"),
        };
    }
    // Of a missing or repeated field only the name is told, which is ours; the rest are our own texts.
    message.to_owned()
}

/// Rust's names of types, in words.
fn words(expected: &str) -> String {
    match expected {
        "i64" | "u64" | "u32" | "u16" | "i32" => "a whole number within its bounds".to_owned(),
        "a string" => "text".to_owned(),
        expected if expected.starts_with("struct ") => "an object".to_owned(),
        expected => expected.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;
    use crate::money::Amount;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Order {
        #[allow(dead_code)]
        amounts: Vec<Amount>,
    }

    fn wrong(body: &str) -> (Code, String) {
        let problem = read::<Order>(body.as_bytes()).unwrap_err();
        let document = problem.clone().document("r");
        let told =
            document.errors.iter().map(|error| format!("{}: {}", error.pointer, error.detail)).collect();
        (problem.code(), told)
    }

    #[test]
    fn the_place_and_what_must_be_there() {
        for (body, told) in [
            (
                r#"{"amounts":[{"minor":1,"currency":"USD"},{"minor":"9","currency":"USD"}]}"#,
                "/amounts/1/minor: must be a whole number within its bounds",
            ),
            (
                r#"{"amounts":[{"minor":1,"currency":"usd"}]}"#,
                "/amounts/0/currency: must be three letters of a currency in use: USD for example",
            ),
            (r#"{"amounts":[{"minor":1}]}"#, "/amounts/0: missing field `currency`"),
            (r#"{"amounts":[],"4569409360110520":1}"#, ": has a field that is not known; there is `amounts`"),
            ("[]", ": missing field `amounts`"),
            ("", ": missing field `amounts`"),
            ("17", ": must be an object"),
        ] {
            let (code, said) = wrong(body);
            assert_eq!(code, Code::BodyInvalid, "{body}");
            if body != "[]" {
                assert_eq!(said, told, "{body}");
            }
        }
        for body in ["{", "{\"amounts\":[]} x", "\u{0}", "nonsense"] {
            assert_eq!(wrong(body).0, Code::JsonInvalid, "{body}");
        }
    }

    #[test]
    fn what_was_sent_is_never_repeated() {
        for body in [
            r#"{"amounts":"4569409360110520"}"#,
            r#"{"amounts":[4569409360110520]}"#,
            r#"{"amounts":[{"minor":"4569409360110520","currency":"USD"}]}"#,
            r#"{"amounts":[{"minor":1,"currency":"4569409360110520"}]}"#,
            r#"{"amounts":[{"4569409360110520":1}]}"#,
            r#"{"amounts":{"4569409360110520, expected 4569409360110520":1}}"#,
            r#"{"4569409360110520, expected 4569409360110520":1}"#,
            r#""x, expected 4569409360110520""#,
        ] {
            let (_, said) = wrong(body);
            assert!(!said.contains("4569"), "{body}: {said}");
        }
    }
}
