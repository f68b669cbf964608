//! Authorisations: every message that was processed for a purchase, and every act that moved money; and the holds
//! that wait for their completion.

use axum::Json;
use mayfly_core::{MessageKind, TransactionId, state};
use mayfly_office::{Items, Part};
use mayfly_store::TransactionRow;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use super::Nothing;
use crate::caller::{Issuer, Reader};
use crate::extract::{Id, Params, Posted};
use crate::money::Amount;
use crate::page::{List, part};
use crate::problem::{Code, Problem};
use crate::routes::ApiRouter;
use crate::scope::Scope;
use crate::text::{
    AccountRef, AuthorisationRef, Category, CountryCode, EntryMode, KindName, Merchant, NumberRef,
    ReasonName, Shown, Time, time,
};

/// How often the office is asked for one page of an issuer's authorisations among those of all.
const ROUNDS_MAX: usize = 16;

/// A message that was processed, or an act that moved money.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Authorisation {
    /// Its id.
    pub id: AuthorisationRef,
    /// When it was decided.
    pub decided_at: Time,
    /// What kind it was.
    pub kind: KindName,
    /// Which message brought it: its message type; null for an operator's act.
    #[schema(example = "0100", pattern = "^[0-9]{4}$", required)]
    pub message: Option<String>,
    /// What was answered (DE 39).
    #[schema(example = "00", pattern = "^[0-9A-Z]{2}$")]
    pub response_code: String,
    /// Exactly why.
    pub reason: ReasonName,
    /// The approval code (DE 38); null where none was given.
    #[schema(example = "C4V0Q2", required)]
    pub approval_code: Option<String>,
    /// The number; null if none was found.
    #[schema(required)]
    pub number: Option<NumberRef>,
    /// The account; null if none was found.
    #[schema(required)]
    pub account: Option<AccountRef>,
    /// The purchase that it belongs to; null if it is one itself.
    #[schema(required)]
    pub belongs_to: Option<AuthorisationRef>,
    /// The amount of the message; negative if an operator paid it out.
    pub amount: Amount,
    /// Where it came from; null for an operator's act.
    #[schema(required)]
    pub origin: Option<Origin>,
    /// What stands of it now, if it is a purchase; else null.
    #[schema(required)]
    pub standing: Option<Standing>,
    /// What it changed in the books, book by book; empty if nothing.
    pub entries: Vec<Entry>,
}

/// What a message said of where it came from.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Origin {
    /// The merchant (DE 42); null if it was not named.
    #[schema(required)]
    pub merchant: Option<Merchant>,
    /// Its category (DE 18).
    #[schema(required)]
    pub mcc: Option<Category>,
    /// The acquirer's country (DE 19).
    #[schema(required)]
    pub country: Option<CountryCode>,
    /// The terminal (DE 41).
    #[schema(example = "T0000001")]
    pub terminal: String,
    /// The acquirer (DE 32).
    #[schema(example = "12345678901")]
    pub acquirer: String,
    /// The trace number (DE 11).
    #[schema(example = "000001")]
    pub stan: String,
    /// The retrieval reference number (DE 37); empty where there was none.
    #[schema(example = "000000000001")]
    pub rrn: String,
    /// How the number was entered (DE 22).
    pub entry_mode: EntryMode,
}

/// What stands of a purchase.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
pub struct Standing {
    /// Authorised.
    pub authorised: Amount,
    /// Still held.
    pub held: Amount,
    /// Captured.
    pub captured: Amount,
    /// Given back after capture.
    pub refunded: Amount,
}

/// One entry of a movement.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Entry {
    /// Which book: cardholder, held, settlement, funding or suspense.
    #[schema(example = "cardholder")]
    pub book: String,
    /// By how much.
    pub amount: Amount,
}

/// Which authorisations are listed.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Which {
    /// Only of this account.
    account: Option<AccountRef>,
    /// Only with this number; not together with `account`.
    number: Option<NumberRef>,
    /// How many items the page may have.
    #[param(minimum = 1, maximum = 100, default = 50)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// A page of them.
type Page = List<Authorisation>;

pub(crate) fn routes() -> ApiRouter {
    ApiRouter::new().routes(routes!(list)).routes(routes!(show)).routes(routes!(release))
}

/// List authorisations, the latest first
#[utoipa::path(get, path = "/v1/authorisations", operation_id = "list_authorisations", tag = "authorisations",
    params(Which),
    responses((status = 200, description = "A page of authorisations.", body = Page)))]
async fn list(reader: Reader, which: Params<Which>) -> Result<Json<Page>, Problem> {
    let Params(Which { account, number, limit, cursor }) = which;
    let (office, part) = (reader.office(), part(limit, cursor.as_deref())?);
    let found = match (account, number) {
        (Some(_), Some(_)) => {
            let what = "name an account or a number, not both; or neither, for all";
            return Err(Problem::with(Code::ParametersConflict, what));
        }
        (Some(Shown(account)), None) => {
            reader.account(account).await?;
            office.transactions_of_account(account, part).await?
        }
        (None, Some(Shown(number))) => {
            reader.number(number).await?;
            office.transactions_of_number(number, part).await?
        }
        (None, None) => seen(&reader, part).await?,
    };
    Ok(Json(List::of(found, shown)))
}

/// The authorisations that the caller sees among all. One who has few among many gets short pages.
async fn seen(
    scope: &Scope,
    part: Part<TransactionId>,
) -> Result<Items<TransactionRow, TransactionId>, Problem> {
    let mut found = Items { items: Vec::new(), next: part.from };
    for _ in 0..ROUNDS_MAX {
        let limit = part.limit - found.items.len();
        let more = scope.office().transactions(Part { from: found.next, limit }).await?;
        found.items.extend(more.items.into_iter().filter(|row| scope.sees(row.issuer)));
        found.next = more.next;
        if found.next.is_none() || found.items.len() >= part.limit {
            break;
        }
    }
    Ok(found)
}

/// Show an authorisation
#[utoipa::path(get, path = "/v1/authorisations/{id}", operation_id = "show_authorisation", tag = "authorisations",
    params(("id" = AuthorisationRef, Path, description = "Which one.")),
    responses((status = 200, description = "The authorisation, and what stands of it now.", body = Authorisation)))]
async fn show(reader: Reader, Id(id): Id<TransactionId>) -> Result<Json<Authorisation>, Problem> {
    Ok(Json(shown(reader.transaction(id).await?)))
}

/// Give a hold back before its time
#[utoipa::path(post, path = "/v1/holds/{id}/release", operation_id = "release_hold", tag = "authorisations",
    params(("id" = AuthorisationRef, Path, description = "The purchase for which it is held.")),
    request_body = Option<Nothing>,
    responses((status = 200, description = "The purchase as it stands now.", body = Authorisation)))]
async fn release(
    issuer: Issuer,
    Id(id): Id<TransactionId>,
    new: Posted<Nothing>,
) -> Result<Json<Authorisation>, Problem> {
    let Posted { body: Nothing {}, once } = new;
    let office = issuer.office();
    issuer.transaction(id).await?;
    if !office.release_hold(id, once.for_office(office)).await? {
        return Err(Problem::new(Code::NothingHeld));
    }
    Ok(Json(shown(issuer.transaction(id).await?)))
}

pub(super) fn shown(row: TransactionRow) -> Authorisation {
    let shown = row.amount_shown();
    let TransactionRow { transaction, facts, books, .. } = row;
    let amount = |minor| Amount::of(minor, transaction.currency);
    let state::Totals { authorised, held, captured, refunded } = transaction.totals;
    let entries = books.entries().into_iter().filter(|(_, minor)| *minor != 0);
    let by_message = transaction.message != MessageKind::Operator;
    Authorisation {
        id: Shown(transaction.id),
        decided_at: time(transaction.at_ms),
        kind: Shown(transaction.kind),
        message: by_message.then(|| transaction.message.mti().to_owned()),
        response_code: transaction.response.code().to_owned(),
        reason: Shown(transaction.reason),
        approval_code: transaction.approval.map(|approval| approval.to_string()),
        number: transaction.number.map(|number| Shown(number.id)),
        account: transaction.account.map(Shown),
        belongs_to: transaction.target.map(Shown),
        amount: amount(shown),
        origin: by_message.then(|| Origin {
            merchant: Some(facts.merchant).filter(|merchant| !merchant.is_empty()).map(Shown),
            mcc: facts.mcc.map(Shown),
            country: facts.country.map(Shown),
            terminal: facts.terminal.to_string(),
            acquirer: facts.acquirer.to_string(),
            stan: facts.stan.to_string(),
            rrn: facts.rrn.to_string(),
            entry_mode: Shown(facts.entry_mode),
        }),
        standing: transaction.is_purchase().then(|| Standing {
            authorised: amount(authorised),
            held: amount(held),
            captured: amount(captured),
            refunded: amount(refunded),
        }),
        entries: entries
            .map(|(book, minor)| Entry { book: book.name().to_owned(), amount: amount(minor) })
            .collect(),
    }
}
