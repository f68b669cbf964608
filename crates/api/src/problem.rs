//! What went wrong, as a problem document (RFC 9457): one stable code for programs, one text for people.
//!
//! Outside a problem says what its reader can do about it. The inner cause, where there is one, goes to the log.

use std::borrow::Cow;
use std::fmt;

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// The media type of problem documents.
pub const PROBLEM_JSON: &str = "application/problem+json";

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $status:ident, $title:literal, $advice:literal;)*) => {
        /// The stable code of a problem: programs decide by it, and it never changes.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum Code { $($(#[$doc])* #[serde(rename = $code)] $name,)* }

        impl Code {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// Its name.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// The status that goes with it.
            pub fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status,)* }
            }

            /// What it is, in a few words: the same for every problem of this code.
            pub fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }

            /// What to do about it.
            pub fn advice(self) -> &'static str {
                match self { $(Self::$name => $advice,)* }
            }
        }
    };
}

codes! {
    /// The body is no JSON.
    JsonInvalid = "json_invalid", BAD_REQUEST, "the body is no JSON", "send one JSON value in UTF-8";
    /// The body is JSON, but not what this route takes.
    BodyInvalid = "body_invalid", UNPROCESSABLE_ENTITY, "the body is not what this route takes",
        "correct what `errors` names";
    /// A query parameter is unknown, or its value is none.
    ParameterInvalid = "parameter_invalid", BAD_REQUEST, "a query parameter is wrong",
        "send only parameters that the route has, each once";
    /// Query parameters that can't be sent together.
    ParametersConflict = "parameters_conflict", UNPROCESSABLE_ENTITY, "these query parameters exclude each other",
        "send one of them";
    /// The path has an id that is none of its kind.
    IdInvalid = "id_invalid", BAD_REQUEST, "that is no id", "send an id as the API showed it";
    /// The cursor was not made here.
    CursorInvalid = "cursor_invalid", UNPROCESSABLE_ENTITY, "that is no cursor",
        "send `next_cursor` of the page before, unchanged, or none for the first page";
    /// A POST without an `Idempotency-Key`.
    IdempotencyKeyMissing = "idempotency_key_missing", BAD_REQUEST, "there is no Idempotency-Key",
        "send an Idempotency-Key with every POST, a new one for each thing that is to be done";
    /// An `Idempotency-Key` that is too long, or has other characters than visible ASCII.
    IdempotencyKeyInvalid = "idempotency_key_invalid", BAD_REQUEST, "that is no Idempotency-Key",
        "send one Idempotency-Key of 1 to 255 visible ASCII characters";
    /// No API key, or one that does not let in.
    Unauthenticated = "unauthenticated", UNAUTHORIZED, "who asks is not known",
        "send `Authorization: Bearer` with an API key that is valid";
    /// No session, or one that is over.
    SessionUnknown = "session_unknown", UNAUTHORIZED, "nobody is logged in",
        "log in, or refresh the session, and send `Authorization: Bearer` with its token";
    /// Whatever is wrong with a log-in, an invitation or a refresh.
    NotLetIn = "not_let_in", UNAUTHORIZED, "that lets nobody in",
        "look whether all of it is right; there is no telling what is wrong";
    /// The key's role may not do this.
    RoleNotAllowed = "role_not_allowed", FORBIDDEN, "this key may not do that",
        "use a key with a role that may";
    /// Whatever is wrong with a wallet's request, as far as a stranger could have sent it.
    VerificationRefused = "verification_refused", FORBIDDEN, "the request is refused",
        "ask again with the next sequence number; if that fails, too, ask for the card's last one: there is no telling what is \
         wrong";
    /// There is nothing of this id, as far as this key can see.
    NotFound = "not_found", NOT_FOUND, "there is no such thing",
        "look the id up: there is none, or it is not for this key to see";
    /// The API has no such route.
    RouteUnknown = "route_unknown", NOT_FOUND, "there is no such route",
        "look at /v1/openapi.json for the routes that there are";
    /// The route does not take this method.
    MethodNotAllowed = "method_not_allowed", METHOD_NOT_ALLOWED, "the route does not take this method",
        "use one of the methods that `Allow` names";
    /// The key was used before, with another body.
    IdempotencyKeyReused = "idempotency_key_reused", CONFLICT, "this Idempotency-Key was used for something else",
        "take a new Idempotency-Key for each thing that is to be done";
    /// The name is taken.
    NameTaken = "name_taken", CONFLICT, "the name is taken", "choose another name";
    /// Another programme's numbers begin with the same digits.
    PrefixTaken = "prefix_taken", CONFLICT, "the prefix is taken", "choose another prefix";
    /// The number was used, cancelled or blocked, or its time is over.
    NumberNotActive = "number_not_active", CONFLICT, "the number is not active any more", "issue a new one";
    /// Nothing is held.
    NothingHeld = "nothing_held", CONFLICT, "nothing is held", "nothing has to be done";
    /// The issuer has no programme, or several.
    ProgrammeUnclear = "programme_unclear", CONFLICT, "by which programme is not clear", "name the programme";
    /// The programme's numbers have a part of the cardholder's own, and that is not known.
    OwnNumberMissing = "own_number_missing", CONFLICT, "the cardholder's own number is not known",
        "link the account to its cardholder with a funding number";
    /// What was done to the decision hook with this key was changed since.
    HookChanged = "hook_changed", CONFLICT, "the decision hook was changed since",
        "look at it as it is now; to change it, send that with a new Idempotency-Key";
    /// The account is closed.
    AccountClosed = "account_closed", CONFLICT, "the account is closed", "open it again, or use another account";
    /// The programme is closed.
    ProgrammeClosed = "programme_closed", CONFLICT, "the programme is closed",
        "open it again, or use another programme";
    /// Purchases of this programme are not simulated.
    NotSandbox = "not_sandbox", CONFLICT, "it is not a sandbox's",
        "simulate with a number of a programme that was opened with \"sandbox\": true";
    /// The programme's numbers are cards of the check site.
    ProgrammeOfCards = "programme_of_cards", CONFLICT, "the numbers of this programme stand for cards",
        "enrol a card with `POST /v1/accounts/{id}/cards`, or name another programme";
    /// The programme's numbers are none of the check site.
    ProgrammeNotOfCards = "programme_not_of_cards", CONFLICT, "this programme has no cards",
        "name a programme that was opened with `check_site`";
    /// The number is somebody's, or was until lately.
    NumberTaken = "number_taken", CONFLICT, "the number is taken",
        "it is enrolled already, or was until lately: look whether it is the right one";
    /// The card is locked.
    CardLocked = "card_locked", CONFLICT, "the card is locked",
        "its cardholder unlocks it when he has logged in: `POST /v1/me/cards/{id}/unlock`";
    /// As many purchases of a card are open as may be.
    OpenPurchasesMax = "open_purchases_max", CONFLICT, "as many purchases of the card are open as may be",
        "make one of them, or wait until one is over";
    /// The card has had all its sequence numbers.
    CardExhausted = "card_exhausted", CONFLICT, "the card has had all its purchases",
        "close it, and enrol the card anew";
    /// Account and programme belong to different issuers.
    OtherIssuer = "other_issuer", CONFLICT, "account and programme belong to different issuers",
        "name a programme of the account's issuer";
    /// The account has as many active numbers as it may.
    ActiveNumbersMax = "active_numbers_max", CONFLICT, "the account has as many active numbers as it may",
        "cancel one, or wait until one is over";
    /// Not enough money.
    FundsMissing = "funds_missing", CONFLICT, "the account has not enough money", "pay out less";
    /// The account is another cardholder's.
    AccountTaken = "account_taken", CONFLICT, "the account is another cardholder's", "link another account";
    /// The cardholder has as many accounts as one can have.
    AccountsMax = "accounts_max", CONFLICT, "the cardholder has as many accounts as one can have",
        "link it to another cardholder";
    /// The issuer has as many webhooks as one can have.
    WebhooksMax = "webhooks_max", CONFLICT, "the issuer has as many webhooks as one can have",
        "delete one that is not needed any more";
    /// The API key is revoked, expired or replaced.
    KeyOver = "key_over", CONFLICT, "the API key is revoked, expired or replaced already", "make a new key";
    /// Another merchant of the issuer has the card acceptor id.
    CardAcceptorTaken = "card_acceptor_taken", CONFLICT, "the card acceptor id is taken",
        "choose another card acceptor id";
    /// The merchant takes no payments any more.
    MerchantClosed = "merchant_closed", CONFLICT, "the merchant takes no payments any more",
        "ask the issuer to open it again";
    /// The payment does not allow it in the state that it is in.
    PaymentState = "payment_state", CONFLICT, "the payment does not allow that now",
        "look at its `state` and amounts: in that state something else is possible, or nothing is left of it";
    /// The body is too large.
    BodyTooLarge = "body_too_large", PAYLOAD_TOO_LARGE, "the body is too large", "send less than 64 KiB";
    /// The body is not declared to be JSON.
    MediaTypeUnsupported = "media_type_unsupported", UNSUPPORTED_MEDIA_TYPE, "the body is not declared to be JSON",
        "send `Content-Type: application/json`";
    /// A value is outside its bounds.
    OutOfBounds = "out_of_bounds", UNPROCESSABLE_ENTITY, "a value is outside its bounds",
        "choose a value within the bounds that `detail` names";
    /// The amount is in another currency than the account.
    CurrencyMismatch = "currency_mismatch", UNPROCESSABLE_ENTITY, "that is not the account's currency",
        "give the amount in the account's currency";
    /// The number is none that this issuer's payments are made with.
    NumberNotAccepted = "number_not_accepted", UNPROCESSABLE_ENTITY, "that number is not accepted here",
        "look for a mistake in it, or take another way to be paid";
    /// More than is left of a payment.
    AmountTooLarge = "amount_too_large", UNPROCESSABLE_ENTITY, "that is more than is left of the payment",
        "look at its amounts, and take no more than is left";
    /// This name or address has failed too often.
    TooManyFailures = "too_many_failures", TOO_MANY_REQUESTS, "that failed too often",
        "wait for as many seconds as `Retry-After` says";
    /// Too many log in at once.
    Crowded = "crowded", TOO_MANY_REQUESTS, "too many log in at once", "try again in a moment";
    /// Something that should not happen.
    Internal = "internal", INTERNAL_SERVER_ERROR, "something went wrong",
        "tell the server's operator the request id: the log says more";
    /// Nothing could be read or written.
    Storage = "storage", INTERNAL_SERVER_ERROR, "nothing could be read or written",
        "tell the server's operator the request id: the log says more";
    /// The server is busy, behind, or stopping.
    Busy = "busy", SERVICE_UNAVAILABLE, "the server is busy or stopping",
        "try again in a moment, with the same Idempotency-Key";
    /// The server stopped before it answered.
    Stopped = "stopped", SERVICE_UNAVAILABLE, "the server stopped before it answered",
        "try again in a moment, with the same Idempotency-Key: it is done once at the most";
    /// The request took too long.
    TimeOver = "time_over", SERVICE_UNAVAILABLE, "the request took too long",
        "try again in a moment, with the same Idempotency-Key: it is done once at the most";
}

// By hand: the names come from the table above.
impl PartialSchema for Code {
    fn schema() -> RefOr<Schema> {
        let names = Self::ALL.iter().map(|code| code.name());
        let what = "What programs decide by: it never changes. There may be more of them one day.";
        ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some(what))
            .examples(["not_found"])
            .enum_values(Some(names))
            .into()
    }
}

impl ToSchema for Code {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("ProblemCode")
    }
}

/// What is wrong at one place of a body.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FieldError {
    /// Where, as a JSON pointer (RFC 6901); empty for the whole body.
    #[schema(example = "/amount/minor")]
    pub pointer: String,
    /// What.
    #[schema(example = "must be a whole number")]
    pub detail: String,
}

/// A request that was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    code: Code,
    detail: Option<String>,
    errors: Vec<FieldError>,
    /// How long to wait, in seconds.
    retry_after_s: Option<u64>,
}

impl Problem {
    /// One that says of itself all there is to say.
    pub fn new(code: Code) -> Self {
        Self { code, detail: None, errors: Vec::new(), retry_after_s: None }
    }

    /// One with a text of its own. It must not contain anything that the caller may not see, and nothing that was
    /// sent: that could be a card number.
    pub fn with(code: Code, detail: impl fmt::Display) -> Self {
        Self { detail: Some(detail.to_string()), ..Self::new(code) }
    }

    /// A body that is wrong at one place.
    pub fn field(pointer: impl Into<String>, detail: impl fmt::Display) -> Self {
        let error = FieldError { pointer: pointer.into(), detail: detail.to_string() };
        Self { errors: vec![error], ..Self::new(Code::BodyInvalid) }
    }

    /// Somebody has failed too often, and has to wait.
    pub fn wait(retry_after_ms: u64) -> Self {
        Self { retry_after_s: Some(retry_after_ms.div_ceil(1000).max(1)), ..Self::new(Code::TooManyFailures) }
    }

    /// Its code.
    pub fn code(&self) -> Code {
        self.code
    }

    /// As the document that is sent.
    pub fn document(self, request_id: &str) -> ProblemDocument {
        let Self { code, detail, errors, .. } = self;
        ProblemDocument {
            kind: format!("urn:mayfly:problem:{}", code.name()),
            title: code.title().to_owned(),
            status: code.status().as_u16(),
            detail: detail.unwrap_or_else(|| code.advice().to_owned()),
            code,
            request_id: request_id.to_owned(),
            errors,
        }
    }

    /// The headers that go with it.
    fn header(&self) -> Option<(HeaderName, HeaderValue)> {
        match self.code.status() {
            StatusCode::UNAUTHORIZED => {
                Some((header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"mayfly\"")))
            }
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
                Some((header::RETRY_AFTER, HeaderValue::from(self.retry_after_s.unwrap_or(1))))
            }
            _ => None,
        }
    }
}

impl IntoResponse for Problem {
    /// Status and headers; the document is written by the request's frame, which knows its id.
    fn into_response(self) -> Response {
        let mut response = self.code.status().into_response();
        response.headers_mut().extend(self.header());
        response.extensions_mut().insert(self);
        response
    }
}

/// Why a request was not done (RFC 9457).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemDocument {
    /// The kind of problem; one for each code.
    #[serde(rename = "type")]
    #[schema(example = "urn:mayfly:problem:not_found")]
    pub kind: String,
    /// What it is, in a few words: the same for every problem of this code.
    #[schema(example = "there is no such thing")]
    pub title: String,
    /// The status of the answer.
    #[schema(example = 404, minimum = 400, maximum = 599)]
    pub status: u16,
    /// What is wrong this time, or what to do.
    #[schema(example = "look the id up: there is none, or it is not for this key to see")]
    pub detail: String,
    /// For programs: it never changes.
    pub code: Code,
    /// By which the server's log knows this request.
    #[schema(example = "01jdaz8q3v5m")]
    pub request_id: String,
    /// What is wrong with the body, place by place.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_say_what_to_do() {
        let names: std::collections::HashSet<_> = Code::ALL.iter().map(|code| code.name()).collect();
        assert_eq!(names.len(), Code::ALL.len());
        for code in Code::ALL {
            assert!(code.status().is_client_error() || code.status().is_server_error(), "{code:?}");
            assert!(!code.title().is_empty() && !code.advice().is_empty(), "{code:?}");
            assert_eq!(serde_json::to_value(code).unwrap(), code.name());
        }
    }
}
