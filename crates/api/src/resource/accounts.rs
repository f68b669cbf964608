//! Accounts: a cardholder's money with an issuer, prepaid or credit.

use axum::Json;
use mayfly_card::Channel;
use mayfly_core::{AccountId, CreditLimit, state};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use super::{Created, NewState};
use crate::caller::{Issuer, Reader};
use crate::extract::{Id, Params, Posted};
use crate::money::{Amount, Sum};
use crate::page::{List, part};
use crate::problem::Problem;
use crate::routes::ApiRouter;
use crate::text::{AccountRef, ChannelName, CurrencyCode, IssuerRef, Shown};

/// Who has the money of an account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Funding {
    /// We have it: what was paid in, and what may be owed.
    #[default]
    Ledger,
    /// The issuer's host, which is asked before each purchase and told what becomes of it.
    IssuerHost,
}

/// An account.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Account {
    /// Its id.
    pub id: AccountRef,
    /// With which issuer.
    pub issuer: IssuerRef,
    /// In which currency.
    pub currency: CurrencyCode,
    /// Who has its money.
    pub funding: Funding,
    /// Up to how much may be owed; null if it is prepaid, or its issuer's host has the money.
    #[schema(required)]
    pub credit_limit: Option<Amount>,
    /// What the cardholder has, or owes if negative.
    pub balance: Sum,
    /// Set aside for what was authorised and not yet completed; not in the balance any more.
    pub held: Sum,
    /// What may be spent.
    pub available: Sum,
    /// The channels that are switched off.
    pub blocked_channels: Vec<ChannelName>,
    /// How many active numbers it has.
    #[schema(example = 2)]
    pub active_numbers: u32,
    /// Whether it is closed: then it pays for nothing and gets no numbers.
    pub closed: bool,
}

/// An account that is to be opened.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewAccount {
    /// With which issuer; needed from an operator, and of no use to an issuer, who opens his own.
    #[serde(default)]
    pub issuer: Option<IssuerRef>,
    /// In which currency.
    pub currency: CurrencyCode,
    /// Who has its money; we do, if left out. That is not changed later.
    #[serde(default)]
    pub funding: Option<Funding>,
    /// Up to how much may be owed; prepaid if left out. Of no use where the issuer's host has the money.
    #[serde(default)]
    pub credit_limit: Option<Amount>,
}

/// Another credit limit.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewLimit {
    /// Up to how much may be owed; null for a prepaid account.
    // Left out is not null: nobody becomes prepaid by mistake.
    #[serde(deserialize_with = "Option::deserialize")]
    #[schema(required)]
    pub credit_limit: Option<Amount>,
}

/// Money that is paid in, or out.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Funds {
    /// How much; negative if it is paid out.
    pub amount: Amount,
}

/// A channel to be switched off, or on again.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ChannelSwitch {
    /// Which one.
    pub channel: ChannelName,
    /// Off?
    pub blocked: bool,
}

/// Which accounts are listed.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Which {
    /// Only with this issuer; of use to operators.
    issuer: Option<IssuerRef>,
    /// How many items the page may have.
    #[param(minimum = 1, maximum = 100, default = 50)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// A page of them.
type Page = List<Account>;

pub(crate) fn routes() -> ApiRouter {
    ApiRouter::new()
        .routes(routes!(open, list))
        .routes(routes!(show))
        .routes(routes!(set_limit))
        .routes(routes!(fund))
        .routes(routes!(switch_channel))
        .routes(routes!(close))
}

/// Open an account
#[utoipa::path(post, path = "/v1/accounts", operation_id = "open_account", tag = "accounts",
    request_body = NewAccount, responses((status = 201, description = "It is open.", body = Account)))]
async fn open(issuer: Issuer, new: Posted<NewAccount>) -> Result<Created<Account>, Problem> {
    let Posted { body, once } = new;
    let (office, currency) = (issuer.office(), body.currency.0);
    let limit = match (body.funding.unwrap_or_default(), body.credit_limit) {
        (Funding::Ledger, asked) => limit(asked, currency)?,
        (Funding::IssuerHost, None) => CreditLimit::IssuerHost,
        (Funding::IssuerHost, Some(_)) => {
            let why = "must be left out: the issuer's host has the money, and its limits count";
            return Err(Problem::field("/credit_limit".to_owned(), why.to_owned()));
        }
    };
    let owner = issuer.issuer(body.issuer.map(|it| it.0)).await?;
    let opened = office.open_account(owner, currency, limit, once.for_office(office)).await?;
    Ok(Created::at(format_args!("/v1/accounts/{}", opened.0), shown(opened)))
}

/// List accounts, the first first
#[utoipa::path(get, path = "/v1/accounts", operation_id = "list_accounts", tag = "accounts", params(Which),
    responses((status = 200, description = "A page of accounts.", body = Page)))]
async fn list(reader: Reader, which: Params<Which>) -> Result<Json<Page>, Problem> {
    let Params(Which { issuer, limit, cursor }) = which;
    let whose = reader.whose(issuer.map(|it| it.0)).await?;
    let found = reader.office().accounts(whose, part(limit, cursor.as_deref())?).await?;
    Ok(Json(List::of(found, shown)))
}

/// Show an account
#[utoipa::path(get, path = "/v1/accounts/{id}", operation_id = "show_account", tag = "accounts",
    params(("id" = AccountRef, Path, description = "Which one.")),
    responses((status = 200, description = "The account.", body = Account)))]
async fn show(reader: Reader, Id(id): Id<AccountId>) -> Result<Json<Account>, Problem> {
    Ok(Json(shown((id, reader.account(id).await?))))
}

/// Change how an account is funded
#[utoipa::path(post, path = "/v1/accounts/{id}/limit", operation_id = "set_account_limit", tag = "accounts",
    params(("id" = AccountRef, Path, description = "Which one.")), request_body = NewLimit,
    responses((status = 200, description = "The account as it is now.", body = Account)))]
async fn set_limit(
    issuer: Issuer,
    Id(id): Id<AccountId>,
    new: Posted<NewLimit>,
) -> Result<Json<Account>, Problem> {
    let Posted { body, once } = new;
    let (office, account) = (issuer.office(), issuer.account(id).await?);
    let limit = limit(body.credit_limit, account.currency)?;
    Ok(Json(shown((id, office.set_limit(id, limit, once.for_office(office)).await?))))
}

/// Pay money in, or out
#[utoipa::path(post, path = "/v1/accounts/{id}/funds", operation_id = "fund_account", tag = "accounts",
    params(("id" = AccountRef, Path, description = "Which one.")), request_body = Funds,
    responses((status = 200, description = "The account as it is now.", body = Account)))]
async fn fund(issuer: Issuer, Id(id): Id<AccountId>, new: Posted<Funds>) -> Result<Json<Account>, Problem> {
    let Posted { body, once } = new;
    let (office, account) = (issuer.office(), issuer.account(id).await?);
    let minor = body.amount.in_currency(account.currency)?.signed("/amount")?;
    Ok(Json(shown((id, office.fund(id, minor, once.for_office(office)).await?))))
}

/// Switch a channel off, or on again
#[utoipa::path(post, path = "/v1/accounts/{id}/channels", operation_id = "switch_account_channel", tag = "accounts",
    params(("id" = AccountRef, Path, description = "Which one.")), request_body = ChannelSwitch,
    responses((status = 200, description = "The account as it is now.", body = Account)))]
async fn switch_channel(
    issuer: Issuer,
    Id(id): Id<AccountId>,
    new: Posted<ChannelSwitch>,
) -> Result<Json<Account>, Problem> {
    let Posted { body: ChannelSwitch { channel, blocked }, once } = new;
    let office = issuer.office();
    issuer.account(id).await?;
    Ok(Json(shown((id, office.block_channel(id, channel.0, blocked, once.for_office(office)).await?))))
}

/// Close an account, or open it again
///
/// Closed, it pays for nothing and gets no numbers. What was bought goes on: completions, refunds, paying out what is left.
#[utoipa::path(post, path = "/v1/accounts/{id}/state", operation_id = "close_account", tag = "accounts",
    params(("id" = AccountRef, Path, description = "Which one.")), request_body = NewState,
    responses((status = 200, description = "The account as it is now.", body = Account)))]
async fn close(
    issuer: Issuer,
    Id(id): Id<AccountId>,
    new: Posted<NewState>,
) -> Result<Json<Account>, Problem> {
    let Posted { body: NewState { closed }, once } = new;
    let office = issuer.office();
    issuer.account(id).await?;
    Ok(Json(shown((id, office.close_account(id, closed, once.for_office(office)).await?))))
}

fn limit(asked: Option<Amount>, currency: mayfly_card::Currency) -> Result<CreditLimit, Problem> {
    match asked {
        None => Ok(CreditLimit::Prepaid),
        Some(limit) => Ok(CreditLimit::Credit(limit.in_currency(currency)?.unsigned("/credit_limit")?)),
    }
}

pub(super) fn shown((id, account): (AccountId, state::Account)) -> Account {
    let sum = |minor| Sum::of(minor, account.currency);
    Account {
        id: Shown(id),
        issuer: Shown(account.issuer),
        currency: Shown(account.currency),
        funding: match account.limit {
            CreditLimit::IssuerHost => Funding::IssuerHost,
            CreditLimit::Prepaid | CreditLimit::Credit(_) => Funding::Ledger,
        },
        credit_limit: match account.limit {
            CreditLimit::Prepaid | CreditLimit::IssuerHost => None,
            CreditLimit::Credit(limit) => Some(Amount::of(limit.signed(), account.currency)),
        },
        balance: sum(account.balance),
        held: sum(account.held),
        available: sum(account.available()),
        blocked_channels: Channel::ALL.into_iter().filter(|it| account.blocks(*it)).map(Shown).collect(),
        active_numbers: account.active_numbers,
        closed: account.closed,
    }
}
