//! Numbers: what a cardholder types into a shop.

use axum::Json;
use mayfly_card::{Currency, MinorUnits};
use mayfly_core::{AccountId, MerchantRule, NumberId, Retirement};
use mayfly_engine::Issued;
use mayfly_office::{NumberNow, NumberOrder};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use super::programmes::milliseconds;
use super::{Created, Nothing};
use crate::caller::{Issuer, Reader};
use crate::extract::{Id, Params, Posted};
use crate::money::Amount;
use crate::page::{List, part};
use crate::problem::{Code, Problem};
use crate::routes::ApiRouter;
use crate::text::{
    AccountRef, CardNumber, Category, ChannelName, CountryCode, CurrencyCode, Merchant, NumberRef,
    ProgrammeRef, Shown, Time, time,
};

/// A number as its cardholder gets it: the only time that it is seen whole.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct IssuedNumber {
    /// Its id, for everything that comes later.
    pub id: NumberRef,
    /// The number.
    pub number: CardNumber,
    /// Its expiration date, month and year.
    #[schema(example = "05/28", pattern = "^(0[1-9]|1[0-2])/[0-9]{2}$")]
    pub expiration_date: String,
    /// Its CVC2.
    #[schema(example = "436", pattern = "^[0-9]{3}$")]
    pub cvc2: String,
    /// When its lifetime is over.
    pub expires_at: Time,
}

/// A number as it is seen later. Its printed date is part of the proof of a purchase, so it is not among this.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Number {
    /// Its id.
    pub id: NumberRef,
    /// Whose purchases it makes.
    pub account: AccountRef,
    /// By whose terms.
    pub programme: ProgrammeRef,
    /// Its last four digits.
    #[schema(example = "9547", pattern = "^[0-9]{4}$")]
    pub last_four: String,
    /// What has become of it.
    pub state: NumberState,
    /// When it was issued.
    pub issued_at: Time,
    /// When its lifetime is over.
    pub expires_at: Time,
    /// When it left the active ones; null while it has not.
    #[schema(required)]
    pub retired_at: Option<Time>,
    /// How often it may still be used.
    #[schema(example = 1)]
    pub uses_left: u32,
    /// What was bought with it.
    pub spent: Amount,
    /// The merchant that its first use bound it to; null if none.
    #[schema(required)]
    pub bound_to: Option<Merchant>,
    /// What it may do.
    pub controls: Controls,
}

/// What becomes of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum NumberState {
    /// It can be used.
    Active,
    /// All its uses were used.
    Used,
    /// Its lifetime is over.
    Expired,
    /// Somebody cancelled it.
    Cancelled,
    /// Too many failed tries.
    Blocked,
}

/// A number that is wanted.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewNumber {
    /// Whose purchases it will make.
    pub account: AccountRef,
    /// By whose terms; may be left out if the issuer has one programme only.
    #[serde(default)]
    pub programme: Option<ProgrammeRef>,
    /// How often it may be used; once if left out.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 1_000_000, example = 1)]
    pub uses: Option<u32>,
    /// How long it is good, in seconds; as the programme says if left out.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 316_224_000, example = 900)]
    pub lifetime_seconds: Option<u64>,
    /// What it may do; everything if left out.
    #[serde(default)]
    pub controls: Controls,
}

/// What a number may do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
#[schema(default)]
pub struct Controls {
    /// The largest amount of one purchase, in the account's currency.
    pub amount_max: Option<Amount>,
    /// The largest sum of all purchases, in the account's currency.
    pub total_max: Option<Amount>,
    /// Purchases in this currency only.
    pub currency: Option<CurrencyCode>,
    /// Who may use it.
    pub merchant: MerchantControl,
    /// Only these categories, if any are named.
    #[schema(max_items = 64)]
    pub mcc_allowed: Vec<Category>,
    /// None of these categories.
    #[schema(max_items = 64)]
    pub mcc_refused: Vec<Category>,
    /// Only these countries, if any are named.
    #[schema(max_items = 64)]
    pub countries: Vec<CountryCode>,
    /// In this channel only.
    pub channel: Option<ChannelName>,
}

/// Which merchant may use a number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MerchantControl {
    /// Any.
    #[default]
    Any,
    /// The first whose purchase is approved; from then on only that one.
    FirstUse,
    /// This one.
    Fixed(Merchant),
}

/// Which numbers are listed.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Which {
    /// Of this account.
    account: AccountRef,
    /// Only those in this state.
    state: Option<NumberState>,
    /// How many items the page may have.
    #[param(minimum = 1, maximum = 100, default = 50)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// A page of them.
type Page = List<Number>;

pub(crate) fn routes() -> ApiRouter {
    ApiRouter::new().routes(routes!(issue, list)).routes(routes!(show)).routes(routes!(cancel))
}

/// Issue a number
///
/// Number, expiration date and CVC2 are in this answer and in those to its repeats only: nothing keeps them readably.
#[utoipa::path(post, path = "/v1/numbers", operation_id = "issue_number", tag = "numbers",
    request_body = NewNumber, responses((status = 201, description = "It can be used.", body = IssuedNumber)))]
async fn issue(issuer: Issuer, new: Posted<NewNumber>) -> Result<Created<IssuedNumber>, Problem> {
    let Posted { body, once } = new;
    let (office, account) = (issuer.office(), issuer.account(body.account.0).await?);
    if let Some(programme) = body.programme {
        issuer.programme(programme.0).await?;
    }
    let order = NumberOrder {
        account: body.account.0,
        programme: body.programme.map(|it| it.0),
        uses: body.uses.unwrap_or(1),
        lifetime_ms: body.lifetime_seconds.map(milliseconds).transpose()?,
        controls: body.controls.asked(account.currency)?,
    };
    let issued = office.issue_number(order, once.for_office(office)).await?;
    let id = issued.id;
    Ok(Created::at(format_args!("/v1/numbers/{id}"), self::issued(issued)?))
}

/// List an account's numbers, the latest first
#[utoipa::path(get, path = "/v1/numbers", operation_id = "list_numbers", tag = "numbers", params(Which),
    responses((status = 200, description = "A page of numbers.", body = Page)))]
async fn list(reader: Reader, which: Params<Which>) -> Result<Json<Page>, Problem> {
    let Params(Which { account: Shown(id), state, limit, cursor }) = which;
    let account = reader.account(id).await?;
    let wanted = state.map(NumberState::retirement);
    let found = reader.office().numbers(id, wanted, part(limit, cursor.as_deref())?).await?;
    Ok(Json(List::of(found, |now| shown(now, account.currency))))
}

/// Show a number
#[utoipa::path(get, path = "/v1/numbers/{id}", operation_id = "show_number", tag = "numbers",
    params(("id" = NumberRef, Path, description = "Which one.")),
    responses((status = 200, description = "The number.", body = Number)))]
async fn show(reader: Reader, Id(id): Id<NumberId>) -> Result<Json<Number>, Problem> {
    let (now, account) = reader.number(id).await?;
    Ok(Json(shown(now, account.currency)))
}

/// Cancel a number
#[utoipa::path(post, path = "/v1/numbers/{id}/cancel", operation_id = "cancel_number", tag = "numbers",
    params(("id" = NumberRef, Path, description = "Which one.")), request_body = Option<Nothing>,
    responses((status = 200, description = "The number as it is now.", body = Number)))]
async fn cancel(issuer: Issuer, Id(id): Id<NumberId>, new: Posted<Nothing>) -> Result<Json<Number>, Problem> {
    let Posted { body: Nothing {}, once } = new;
    let (office, (_, account)) = (issuer.office(), issuer.number(id).await?);
    Ok(Json(shown(office.cancel_number(id, once.for_office(office)).await?, account.currency)))
}

/// A number for the one who ordered it.
pub(super) fn issued(issued: Issued) -> Result<IssuedNumber, Problem> {
    let [month_tens, month, year_tens, year] = issued.expiry.mmyy_bytes().map(char::from);
    let cvc2 = std::str::from_utf8(issued.cvc2.expose()).map_err(|_| Problem::new(Code::Internal))?;
    Ok(IssuedNumber {
        id: Shown(issued.id),
        number: Shown(issued.pan),
        expiration_date: format!("{month_tens}{month}/{year_tens}{year}"),
        cvc2: cvc2.to_owned(),
        expires_at: time(issued.expires_ms),
    })
}

pub(super) fn shown(now: NumberNow, currency: Currency) -> Number {
    let NumberNow { row, over } = now;
    Number {
        id: Shown(row.id),
        account: Shown::<AccountId>(row.account),
        programme: Shown(row.programme),
        last_four: row.last_four.to_string(),
        state: NumberState::of(over),
        issued_at: time(row.issued_ms),
        expires_at: time(row.expires_ms),
        retired_at: row.retired.map(|retired| time(retired.at_ms)),
        uses_left: row.usage.uses_left,
        spent: Amount::of(row.usage.spent.signed(), currency),
        bound_to: row.usage.bound_to.map(Shown),
        controls: Controls::shown(row.controls, currency),
    }
}

impl NumberState {
    /// As the core has it: none for an active number.
    pub(super) fn retirement(self) -> Option<Retirement> {
        match self {
            Self::Active => None,
            Self::Used => Some(Retirement::Used),
            Self::Expired => Some(Retirement::Expired),
            Self::Cancelled => Some(Retirement::Cancelled),
            Self::Blocked => Some(Retirement::Blocked),
        }
    }

    fn of(over: Option<Retirement>) -> Self {
        match over {
            None => Self::Active,
            Some(Retirement::Used) => Self::Used,
            Some(Retirement::Expired) => Self::Expired,
            Some(Retirement::Cancelled) => Self::Cancelled,
            Some(Retirement::Blocked) => Self::Blocked,
        }
    }
}

impl Controls {
    /// For a number of an account in this currency.
    pub(super) fn asked(self, currency: Currency) -> Result<mayfly_core::Controls, Problem> {
        let amount = |asked: Option<Amount>, pointer| {
            let amount = |asked: Amount| asked.in_currency(currency)?.unsigned(pointer);
            asked.map(amount).transpose()
        };
        let mccs =
            mayfly_core::MccSet { allowed: unshown(self.mcc_allowed), refused: unshown(self.mcc_refused) };
        let countries = unshown(self.countries);
        let none = mccs == mayfly_core::MccSet::default() && countries.is_empty();
        Ok(mayfly_core::Controls {
            amount_max: amount(self.amount_max, "/controls/amount_max")?,
            total_max: amount(self.total_max, "/controls/total_max")?,
            currency: self.currency.map(|it| it.0),
            merchant: match self.merchant {
                MerchantControl::Any => MerchantRule::Any,
                MerchantControl::FirstUse => MerchantRule::FirstUse,
                MerchantControl::Fixed(merchant) => MerchantRule::Fixed(merchant.0),
            },
            channel: self.channel.map(|it| it.0),
            lists: if none { None } else { Some(Box::new((mccs, countries))) },
        })
    }

    fn shown(controls: mayfly_core::Controls, currency: Currency) -> Self {
        let amount = |minor: MinorUnits| Amount::of(minor.signed(), currency);
        let (mccs, countries) = controls.lists.map_or_else(Default::default, |lists| *lists);
        Self {
            amount_max: controls.amount_max.map(amount),
            total_max: controls.total_max.map(amount),
            currency: controls.currency.map(Shown),
            merchant: match controls.merchant {
                MerchantRule::Any => MerchantControl::Any,
                MerchantRule::FirstUse => MerchantControl::FirstUse,
                MerchantRule::Fixed(merchant) => MerchantControl::Fixed(Shown(merchant)),
            },
            mcc_allowed: mccs.allowed.into_iter().map(Shown).collect(),
            mcc_refused: mccs.refused.into_iter().map(Shown).collect(),
            countries: countries.into_iter().map(Shown).collect(),
            channel: controls.channel.map(Shown),
        }
    }
}

fn unshown<T>(values: Vec<Shown<T>>) -> Vec<T> {
    values.into_iter().map(|value| value.0).collect()
}
