//! Cardholders: who they are to their issuer, which accounts are theirs, and how they are invited to log in.
//!
//! Names are personal: they are for the issuer and its auditors, and not for whoever runs the server.

use axum::Json;
use mayfly_core::IssuerId;
use mayfly_identity::name::PersonName;
use mayfly_identity::token::{Token, TokenKind};
use mayfly_keys::OsRandom;
use mayfly_office::{Items, OfficeError};
use mayfly_store::directory::{self, CardholderId, CardholderStatus, LinkedAccount, NewInvitation};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use super::Created;
use crate::caller::{OwnReader, Owner};
use crate::extract::{Id, Params, Posted};
use crate::page::{List, part};
use crate::problem::{Code, Problem};
use crate::routes::ApiRouter;
use crate::text::{AccountRef, CardNumber, CardholderRef, IssuerRef, Shown, Time, time};

/// How long an invitation is open unless asked otherwise, in seconds: 7 days.
const INVITATION_SECONDS: u64 = 7 * 86_400;
/// The longest, in seconds: 30 days.
const INVITATION_SECONDS_MAX: u64 = 30 * 86_400;

/// A cardholder.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct Cardholder {
    /// His id.
    pub id: CardholderRef,
    /// Whose cardholder he is.
    pub issuer: IssuerRef,
    /// What he is called.
    #[schema(example = "Ada Lovelace", min_length = 1, max_length = 100)]
    pub name: String,
    /// What he logs in with; null until he has enrolled.
    #[schema(required, example = "ada")]
    pub login_name: Option<String>,
    /// Whether he is let in.
    pub state: CardholderState,
    /// Since when there is an entry for him.
    pub created_at: Time,
}

/// Whether a cardholder is let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CardholderState {
    /// He is.
    Active,
    /// He is not, and his sessions have ended.
    Blocked,
}

/// A cardholder who is to be entered.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewCardholder {
    /// What he is called.
    #[schema(example = "Ada Lovelace", min_length = 1, max_length = 100)]
    pub name: String,
}

/// Whether a cardholder is to be let in.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewState {
    /// Let in, or not any more.
    pub state: CardholderState,
}

/// An account that is to be a cardholder's.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewLink {
    /// Which one.
    pub account: AccountRef,
    /// The real card number behind it, if there is one. It is sealed, and only ever shown masked.
    #[serde(default)]
    pub funding_number: Option<CardNumber>,
}

/// An account that is a cardholder's.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Link {
    /// Which one.
    pub account: AccountRef,
    /// Whose it is.
    pub cardholder: CardholderRef,
    /// First six and last four digits of the real card number behind it; null if none is known.
    #[schema(required, example = "456940******0520")]
    pub funding_number: Option<String>,
    /// Since when it is his.
    pub linked_at: Time,
}

/// The accounts that are a cardholder's.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Links {
    /// All of them.
    pub items: Vec<Link>,
}

/// An invitation that is to be made.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewInvite {
    /// How long it is open, in seconds; seven days if left out.
    #[serde(default)]
    #[schema(minimum = 60, maximum = 2_592_000, example = 604_800)]
    pub lifetime_seconds: Option<u64>,
}

/// An invitation as it is handed to the cardholder: the only time that it is seen whole.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct Invite {
    /// Whom it lets enrol.
    pub cardholder: CardholderRef,
    /// What he needs to enrol, once.
    #[schema(
        example = "mfi_Xk2vAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        pattern = "^mfi_[A-Za-z0-9_-]{43}$"
    )]
    pub invitation: String,
    /// Until when.
    pub expires_at: Time,
}

/// Which part of the list of cardholders.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Which {
    /// How many items the page may have.
    #[param(minimum = 1, maximum = 100, default = 50)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// A page of cardholders.
type Page = List<Cardholder>;

pub(crate) fn routes() -> ApiRouter {
    ApiRouter::new()
        .routes(routes!(create, list))
        .routes(routes!(show))
        .routes(routes!(set_state))
        .routes(routes!(invite))
        .routes(routes!(link, links))
}

/// Enter a cardholder
#[utoipa::path(post, path = "/v1/cardholders", operation_id = "create_cardholder", tag = "cardholders",
    request_body = NewCardholder, responses((status = 201, description = "There is an entry.", body = Cardholder)))]
async fn create(owner: Owner, new: Posted<NewCardholder>) -> Result<Created<Cardholder>, Problem> {
    let Posted { body, once } = new;
    let issuer = owner.tenant()?;
    let name = PersonName::parse(&body.name).map_err(|error| Problem::field("/name", error))?;
    let made = owner
        .once(once, move |writing| Ok(shown(&writing.create_cardholder(issuer, &name, &mut OsRandom)?)));
    let made = made.await?;
    let id = made.id.0;
    Ok(Created::at(format_args!("/v1/cardholders/{id}"), made))
}

/// List the cardholders, the first first
#[utoipa::path(get, path = "/v1/cardholders", operation_id = "list_cardholders", tag = "cardholders",
    params(Which), responses((status = 200, description = "A page of cardholders.", body = Page)))]
async fn list(reader: OwnReader, which: Params<Which>) -> Result<Json<List<Cardholder>>, Problem> {
    let Params(Which { limit, cursor }) = which;
    let issuer = reader.tenant()?;
    let part = part::<CardholderId>(limit, cursor.as_deref())?;
    let page =
        reader.directory().ask(move |directory| directory.cardholders(issuer, part.from, part.limit)).await?;
    Ok(Json(List::of(Items { items: page.rows, next: page.next }, |it| shown(&it))))
}

/// Show a cardholder
#[utoipa::path(get, path = "/v1/cardholders/{id}", operation_id = "show_cardholder", tag = "cardholders",
    params(("id" = CardholderRef, Path, description = "Which one.")),
    responses((status = 200, description = "The cardholder.", body = Cardholder)))]
async fn show(reader: OwnReader, Id(id): Id<CardholderId>) -> Result<Json<Cardholder>, Problem> {
    Ok(Json(shown(&found(&reader, reader.tenant()?, id).await?)))
}

/// Let a cardholder in, or not any more
///
/// Who is blocked is out at once: his sessions end.
#[utoipa::path(post, path = "/v1/cardholders/{id}/state", operation_id = "set_cardholder_state",
    tag = "cardholders", params(("id" = CardholderRef, Path, description = "Which one.")),
    request_body = NewState, responses((status = 200, description = "As he is now.", body = Cardholder)))]
async fn set_state(
    owner: Owner,
    Id(id): Id<CardholderId>,
    new: Posted<NewState>,
) -> Result<Json<Cardholder>, Problem> {
    let Posted { body, once } = new;
    let issuer = owner.tenant()?;
    let status = match body.state {
        CardholderState::Active => CardholderStatus::Active,
        CardholderState::Blocked => CardholderStatus::Blocked,
    };
    let done = owner.once(once, move |writing| {
        let cardholder = writing.set_status(issuer, id, status)?.ok_or_else(none)?;
        Ok(shown(&cardholder))
    });
    Ok(Json(done.await?))
}

/// Invite a cardholder to enrol
///
/// With the invitation he chooses his log-in name and password, once; so it is also how he gets another password. Earlier
/// invitations of his end.
#[utoipa::path(post, path = "/v1/cardholders/{id}/invitations", operation_id = "invite_cardholder",
    tag = "cardholders", params(("id" = CardholderRef, Path, description = "Whom.")),
    request_body = Option<NewInvite>,
    responses((status = 201, description = "He can enrol.", body = Invite)))]
async fn invite(
    owner: Owner,
    Id(id): Id<CardholderId>,
    new: Posted<NewInvite>,
) -> Result<Created<Invite>, Problem> {
    let Posted { body, once } = new;
    let issuer = owner.tenant()?;
    let seconds = body.lifetime_seconds.unwrap_or(INVITATION_SECONDS);
    if !(60..=INVITATION_SECONDS_MAX).contains(&seconds) {
        let must = format!("must be 60 to {INVITATION_SECONDS_MAX}");
        return Err(Problem::field("/lifetime_seconds", must));
    }
    let made = owner.once(once, move |writing| {
        let token = Token::draw(TokenKind::Invitation, &mut OsRandom).map_err(OfficeError::Random)?;
        let expires_ms = writing.now_ms().saturating_add(seconds * 1000);
        let new = NewInvitation { issuer, cardholder: id, hash: token.hash(), expires_ms };
        let invited = writing.create_invitation(&new)?.ok_or_else(none)?;
        Ok(Invite {
            cardholder: Shown(invited.cardholder),
            invitation: token.expose().to_owned(),
            expires_at: time(invited.expires_ms),
        })
    });
    Ok(Created::new(made.await?))
}

/// Link an account to a cardholder
///
/// From then on he sees it, and gets numbers for it, when he has logged in.
#[utoipa::path(post, path = "/v1/cardholders/{id}/accounts", operation_id = "link_account",
    tag = "cardholders", params(("id" = CardholderRef, Path, description = "Whose it will be.")),
    request_body = NewLink, responses((status = 201, description = "It is his.", body = Link)))]
async fn link(
    owner: Owner,
    Id(id): Id<CardholderId>,
    new: Posted<NewLink>,
) -> Result<Created<Link>, Problem> {
    let Posted { body, once } = new;
    let (issuer, account) = (owner.tenant()?, body.account.0);
    owner.account(account).await?;
    let pan = body.funding_number.map(|number| number.0);
    let done = owner.once(once, move |writing| {
        let mut linked = writing.link_account(issuer, id, account)?.ok_or_else(none)?;
        if let Some(pan) = &pan {
            linked = writing.set_funding_pan(issuer, account, pan, &mut OsRandom)?.ok_or_else(none)?;
        }
        Ok(linked_shown(linked))
    });
    Ok(Created::new(done.await?))
}

/// List a cardholder's accounts
#[utoipa::path(get, path = "/v1/cardholders/{id}/accounts", operation_id = "list_linked_accounts",
    tag = "cardholders", params(("id" = CardholderRef, Path, description = "Whose.")),
    responses((status = 200, description = "All of them.", body = Links)))]
async fn links(reader: OwnReader, Id(id): Id<CardholderId>) -> Result<Json<Links>, Problem> {
    let issuer = reader.tenant()?;
    found(&reader, issuer, id).await?;
    let linked = reader.directory().ask(move |directory| directory.accounts_of(issuer, id)).await?;
    Ok(Json(Links { items: linked.into_iter().map(linked_shown).collect() }))
}

async fn found(
    reader: &OwnReader,
    issuer: IssuerId,
    id: CardholderId,
) -> Result<directory::Cardholder, Problem> {
    reader.directory().ask(move |directory| directory.cardholder(issuer, id)).await?.ok_or_else(none)
}

fn none() -> Problem {
    Problem::new(Code::NotFound)
}

pub(super) fn shown(cardholder: &directory::Cardholder) -> Cardholder {
    Cardholder {
        id: Shown(cardholder.id),
        issuer: Shown(cardholder.issuer),
        name: cardholder.name.as_str().to_owned(),
        login_name: cardholder.login.as_ref().map(|login| login.as_str().to_owned()),
        state: match cardholder.status {
            CardholderStatus::Active => CardholderState::Active,
            CardholderStatus::Blocked => CardholderState::Blocked,
        },
        created_at: time(cardholder.created_ms),
    }
}

fn linked_shown(linked: LinkedAccount) -> Link {
    Link {
        account: Shown(linked.account),
        cardholder: Shown(linked.cardholder),
        funding_number: linked.pan_masked,
        linked_at: time(linked.linked_ms),
    }
}
