//! What a cardholder does for himself when he has logged in: his accounts, his numbers, his purchases.

use axum::Json;
use mayfly_core::{AccountId, NumberId};
use mayfly_office::{AccountFacts, NumberNow, NumberOrder};
use mayfly_store::directory::LinkedAccount;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use super::accounts::{Account, ChannelSwitch};
use super::authorisations::Authorisation;
use super::cardholders::{self, Cardholder};
use super::numbers::{self, Controls, IssuedNumber, Number, NumberState};
use super::programmes::milliseconds;
use super::{Created, Nothing, accounts, authorisations};
use crate::customer::Customer;
use crate::extract::{Bare, Id, Params, Posted};
use crate::page::{List, part};
use crate::problem::{Code, Problem};
use crate::routes::ApiRouter;
use crate::text::{AccountRef, NumberRef, ProgrammeRef};

/// An account of the cardholder.
#[derive(Serialize, ToSchema)]
pub struct OwnAccount {
    /// What stands on it.
    account: Account,
    /// First six and last four digits of the real card number behind it; null if none is known.
    #[schema(required, example = "456940******0520")]
    funding_number: Option<String>,
}

/// The accounts of the cardholder.
#[derive(Serialize, ToSchema)]
pub struct OwnAccounts {
    /// All of them.
    items: Vec<OwnAccount>,
}

/// A transaction number that the cardholder wants.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTransactionNumber {
    /// For which account; may be left out if there is one only.
    #[serde(default)]
    account: Option<AccountRef>,
    /// By whose terms; may be left out if the issuer has one programme only.
    #[serde(default)]
    programme: Option<ProgrammeRef>,
    /// How often it may be used; once if left out.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 1_000_000, example = 1)]
    uses: Option<u32>,
    /// How long it is good, in seconds; as the programme says if left out.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 316_224_000, example = 900)]
    lifetime_seconds: Option<u64>,
    /// What it may do; everything if left out.
    #[serde(default)]
    controls: Controls,
}

/// Which numbers are listed.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct WhichNumbers {
    /// Of this account; may be left out if there is one only.
    account: Option<AccountRef>,
    /// Only those in this state.
    state: Option<NumberState>,
    /// How many items the page may have.
    #[param(minimum = 1, maximum = 100, default = 50)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Which purchases are listed.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct WhichPurchases {
    /// Of this account; may be left out if there is one only.
    account: Option<AccountRef>,
    /// How many items the page may have.
    #[param(minimum = 1, maximum = 100, default = 50)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// A page of numbers.
type Numbers = List<Number>;
/// A page of purchases.
type Purchases = List<Authorisation>;

pub(crate) fn routes() -> ApiRouter {
    ApiRouter::new()
        .routes(routes!(show))
        .routes(routes!(list_accounts))
        .routes(routes!(channels))
        .routes(routes!(issue, list_numbers))
        .routes(routes!(cancel))
        .routes(routes!(purchases))
}

/// Show who is logged in
#[utoipa::path(get, path = "/v1/me", operation_id = "show_me", tag = "me", security(("session" = [])),
    responses((status = 200, description = "The cardholder.", body = Cardholder)))]
async fn show(customer: Customer, _: Bare) -> Result<Json<Cardholder>, Problem> {
    Ok(Json(cardholders::shown(&customer.himself().await?)))
}

/// List one's accounts
#[utoipa::path(get, path = "/v1/me/accounts", operation_id = "list_my_accounts", tag = "me",
    security(("session" = [])), responses((status = 200, description = "All of them.", body = OwnAccounts)))]
async fn list_accounts(customer: Customer, _: Bare) -> Result<Json<OwnAccounts>, Problem> {
    let mut items = Vec::new();
    for LinkedAccount { account, pan_masked, .. } in customer.accounts().await? {
        let found = customer.office().account(account).await?;
        items.push(OwnAccount { account: accounts::shown((account, found)), funding_number: pan_masked });
    }
    Ok(Json(OwnAccounts { items }))
}

/// Switch a channel of an account off, or on again
#[utoipa::path(post, path = "/v1/me/accounts/{id}/channels", operation_id = "switch_my_channel", tag = "me",
    security(("session" = [])), params(("id" = AccountRef, Path, description = "Of which account.")),
    request_body = ChannelSwitch, responses((status = 200, description = "As it is now.", body = Account)))]
async fn channels(
    customer: Customer,
    Id(id): Id<AccountId>,
    new: Posted<ChannelSwitch>,
) -> Result<Json<Account>, Problem> {
    let Posted { body: ChannelSwitch { channel, blocked }, once } = new;
    customer.account(id).await?;
    let office = customer.office();
    let account = office.block_channel(id, channel.0, blocked, once.for_office(office)).await?;
    Ok(Json(accounts::shown((id, account))))
}

/// Get a transaction number
///
/// For one purchase, unless more uses are asked for and allowed. Number, expiration date and CVC2 are in this answer and
/// in those to its repeats only.
#[utoipa::path(post, path = "/v1/me/numbers", operation_id = "issue_my_number", tag = "me",
    security(("session" = [])), request_body = Option<NewTransactionNumber>,
    responses((status = 201, description = "It can be used.", body = IssuedNumber)))]
async fn issue(
    customer: Customer,
    new: Posted<NewTransactionNumber>,
) -> Result<Created<IssuedNumber>, Problem> {
    let Posted { body, once } = new;
    let (id, account) = customer.account_meant(body.account.map(|it| it.0)).await?;
    let office = customer.office();
    if let Some(programme) = body.programme {
        let programme = office.programme(programme.0).await?;
        if programme.issuer != account.issuer {
            return Err(Problem::new(Code::NotFound));
        }
    }
    let order = NumberOrder {
        account: id,
        programme: body.programme.map(|it| it.0),
        uses: body.uses.unwrap_or(1),
        lifetime_ms: body.lifetime_seconds.map(milliseconds).transpose()?,
        controls: body.controls.asked(account.currency)?,
    };
    let issued = numbers::issued(office.issue_number(order, once.for_office(office)).await?)?;
    Ok(Created::new(issued))
}

/// List one's numbers, the latest first
#[utoipa::path(get, path = "/v1/me/numbers", operation_id = "list_my_numbers", tag = "me",
    security(("session" = [])), params(WhichNumbers),
    responses((status = 200, description = "A page of numbers.", body = Numbers)))]
async fn list_numbers(
    customer: Customer,
    which: Params<WhichNumbers>,
) -> Result<Json<List<Number>>, Problem> {
    let Params(WhichNumbers { account, state, limit, cursor }) = which;
    let (id, account) = customer.account_meant(account.map(|it| it.0)).await?;
    let wanted = state.map(NumberState::retirement);
    let found = customer.office().numbers(id, wanted, part(limit, cursor.as_deref())?).await?;
    Ok(Json(List::of(found, |now| numbers::shown(now, account.currency))))
}

/// Cancel a number
#[utoipa::path(post, path = "/v1/me/numbers/{id}/cancel", operation_id = "cancel_my_number", tag = "me",
    security(("session" = [])), params(("id" = NumberRef, Path, description = "Which one.")),
    request_body = Option<Nothing>, responses((status = 200, description = "As it is now.", body = Number)))]
async fn cancel(
    customer: Customer,
    Id(id): Id<NumberId>,
    new: Posted<Nothing>,
) -> Result<Json<Number>, Problem> {
    let Posted { body: Nothing {}, once } = new;
    let (_, account) = number(&customer, id).await?;
    let office = customer.office();
    let now = office.cancel_number(id, once.for_office(office)).await?;
    Ok(Json(numbers::shown(now, account.currency)))
}

/// List one's purchases, the latest first
#[utoipa::path(get, path = "/v1/me/authorisations", operation_id = "list_my_authorisations", tag = "me",
    security(("session" = [])), params(WhichPurchases),
    responses((status = 200, description = "A page of authorisations.", body = Purchases)))]
async fn purchases(
    customer: Customer,
    which: Params<WhichPurchases>,
) -> Result<Json<List<Authorisation>>, Problem> {
    let Params(WhichPurchases { account, limit, cursor }) = which;
    let (id, _) = customer.account_meant(account.map(|it| it.0)).await?;
    let found = customer.office().transactions_of_account(id, part(limit, cursor.as_deref())?).await?;
    Ok(Json(List::of(found, authorisations::shown)))
}

/// One of his numbers. Anybody else's is as good as not there.
async fn number(customer: &Customer, id: NumberId) -> Result<(NumberNow, AccountFacts), Problem> {
    let now = customer.office().number(id).await?;
    let account = customer.account(now.row.account).await?;
    Ok((now, account))
}
