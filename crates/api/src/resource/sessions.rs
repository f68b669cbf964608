//! Cardholders enrol, log in, stay logged in and log out.
//!
//! A log-in is a start and an end: what it answers says in `status` whether the session is there, or which step is asked
//! for next. Clients that look at `status` keep working when issuers ask for more than a password.

use axum::Json;
use axum::http::HeaderMap;
use mayfly_core::IssuerId;
use mayfly_identity::name::LoginName;
use mayfly_identity::password::Password;
use mayfly_identity::token::{Token, TokenKind};
use mayfly_office::{Enrolment, LoginAttempt, ReceptionError, SessionGiven};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::routes;
use zeroize::Zeroizing;

use super::{Created, Nothing};
use crate::customer::Customer;
use crate::extract::{Posted, Told};
use crate::peer::Peer;
use crate::problem::{Code, Problem};
use crate::routes::ApiRouter;
use crate::stranger::Stranger;
use crate::text::{CardNumber, IssuerRef, Shown, Time, time};

/// What somebody chooses who was invited.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewEnrolment {
    /// The invitation that the issuer handed out.
    #[schema(example = "mfi_Xk2vAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")]
    invitation: String,
    /// The log-in name; capitals don't count.
    #[schema(example = "ada", min_length = 1, max_length = 64)]
    login_name: String,
    /// The password: 8 to 128 characters.
    #[schema(example = "correct horse battery", min_length = 8, max_length = 128, format = Password)]
    password: String,
}

/// Somebody has enrolled.
#[derive(Serialize, ToSchema)]
pub struct Enrolled {
    /// With whom.
    issuer: IssuerRef,
    /// The log-in name, as it is kept.
    #[schema(example = "ada")]
    login_name: String,
}

/// Who wants to log in.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewLogin {
    /// At which issuer; or name the universal number.
    #[serde(default)]
    issuer: Option<IssuerRef>,
    /// The universal number that stands on the cardholder's card: it says at which issuer.
    #[serde(default)]
    universal_number: Option<CardNumber>,
    /// The log-in name.
    #[schema(example = "ada", max_length = 64)]
    login_name: String,
    /// The password.
    #[schema(example = "correct horse battery", max_length = 128, format = Password)]
    password: String,
}

/// What a log-in says.
#[derive(Serialize, ToSchema)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum LoginAnswer {
    /// He is logged in.
    Session(SessionTokens),
}

/// A session with its tokens: the only time that they are seen whole.
#[derive(Serialize, Deserialize, ToSchema)]
pub struct SessionTokens {
    /// What to send as `Authorization: Bearer`.
    #[schema(example = "mfs_Xk2vAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")]
    session: String,
    /// Until when.
    expires_at: Time,
    /// What gets the next tokens, once.
    #[schema(example = "mfr_Xk2vAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")]
    refresh: String,
    /// Until when that is possible.
    refresh_expires_at: Time,
}

/// A session that is to go on.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Refresh {
    /// The last `refresh` of the session.
    #[schema(example = "mfr_Xk2vAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA")]
    refresh: String,
}

pub(crate) fn routes() -> ApiRouter {
    ApiRouter::new()
        .routes(routes!(enrol))
        .routes(routes!(log_in))
        .routes(routes!(refresh))
        .routes(routes!(end))
}

/// Enrol with an invitation
///
/// The invitation is used up; from then on the cardholder logs in with the name and password that he chose here. Sent
/// again it is refused like any other used invitation: then log in.
#[utoipa::path(post, path = "/v1/enrolments", operation_id = "enrol", tag = "sessions", security(()),
    request_body = NewEnrolment, responses((status = 201, description = "He can log in.", body = Enrolled)))]
async fn enrol(
    stranger: Stranger,
    Peer(address): Peer,
    Told(asked): Told<NewEnrolment>,
) -> Result<Created<Enrolled>, Problem> {
    let typed = Zeroizing::new(asked.password);
    let name = LoginName::parse(&asked.login_name).map_err(|error| Problem::field("/login_name", error))?;
    let password = Password::choose(&typed).map_err(|error| Problem::field("/password", error))?;
    // What is no token at all is no worse than one that is not open.
    let invitation = Token::parse(TokenKind::Invitation, &asked.invitation)
        .map_err(|_| Problem::new(Code::NotLetIn))?
        .hash();
    let enrolment = Enrolment { invitation, name, password, address };
    let cardholder = stranger.reception().enrol(enrolment).await?;
    let login_name = cardholder.login.as_ref().map(|login| login.as_str().to_owned()).unwrap_or_default();
    Ok(Created::new(Enrolled { issuer: Shown(cardholder.issuer), login_name }))
}

/// Log in
///
/// One answer for an unknown name, a wrong password, a blocked cardholder and an issuer that does not exist.
#[utoipa::path(post, path = "/v1/logins", operation_id = "log_in", tag = "sessions", security(()),
    request_body = NewLogin,
    responses((status = 200, description = "The session, or the next step.", body = LoginAnswer)))]
async fn log_in(
    stranger: Stranger,
    Peer(address): Peer,
    Told(asked): Told<NewLogin>,
) -> Result<Json<LoginAnswer>, Problem> {
    let issuer = match (asked.issuer, asked.universal_number) {
        (Some(issuer), None) => issuer.0,
        // An issuer that there is not: the work is the same.
        (None, Some(number)) => {
            stranger.office().issuer_of_universal(&number.0).await?.unwrap_or(IssuerId(0))
        }
        _ => return Err(Problem::field("", "must have either `issuer` or `universal_number`")),
    };
    let typed = Zeroizing::new(asked.password);
    let password = Password::attempt(&typed).map_err(|error| Problem::field("/password", error))?;
    let name = LoginName::parse(&asked.login_name).ok();
    let attempt = LoginAttempt { issuer, name, password, address };
    Ok(Json(LoginAnswer::Session(SessionTokens::of(stranger.reception().log_in(attempt).await?))))
}

/// Get a session's next tokens
///
/// The old tokens are not good any more. A refresh token that comes twice ends the session: somebody else has it. So send
/// the same Idempotency-Key when the answer was lost: then it is the same answer.
#[utoipa::path(post, path = "/v1/sessions/refresh", operation_id = "refresh_session", tag = "sessions",
    security(()), request_body = Refresh,
    responses((status = 200, description = "The session goes on.", body = SessionTokens)))]
async fn refresh(
    stranger: Stranger,
    headers: HeaderMap,
    Told(asked): Told<Refresh>,
) -> Result<Json<SessionTokens>, Problem> {
    let token = Token::parse(TokenKind::Refresh, &asked.refresh).map_err(|_| Problem::new(Code::NotLetIn))?;
    stranger.refresh(&headers, token.hash()).await.map(Json)
}

/// Log out
#[utoipa::path(post, path = "/v1/sessions/end", operation_id = "end_session", tag = "sessions",
    security(("session" = [])), request_body = Option<Nothing>,
    responses((status = 200, description = "The session has ended.", body = Nothing)))]
async fn end(customer: Customer, asked: Posted<Nothing>) -> Result<Json<Nothing>, Problem> {
    let Posted { body: Nothing {}, once: _ } = asked;
    customer.reception().log_out(customer.session()).await?;
    Ok(Json(Nothing {}))
}

impl SessionTokens {
    pub(crate) fn of(given: SessionGiven) -> Self {
        Self {
            session: given.token.expose().to_owned(),
            expires_at: time(given.session.expires_ms),
            refresh: given.refresh.expose().to_owned(),
            refresh_expires_at: time(given.session.refresh_expires_ms),
        }
    }
}

impl From<ReceptionError> for Problem {
    fn from(error: ReceptionError) -> Self {
        match error {
            ReceptionError::NotLetIn => Self::new(Code::NotLetIn),
            ReceptionError::Crowded => Self::new(Code::Crowded),
            ReceptionError::Wait { retry_after_ms } => Self::wait(retry_after_ms),
            ReceptionError::NameTaken => Self::new(Code::NameTaken),
            ReceptionError::Office(error) => error.into(),
        }
    }
}
