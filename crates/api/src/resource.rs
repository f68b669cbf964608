//! What the API is about: a module for each kind of thing, with its form and its handlers.

pub mod accounts;
pub mod authorisations;
pub mod cardholders;
pub mod cards;
pub mod check_site;
pub mod consoles;
pub mod decision_hook;
pub mod events;
pub mod info;
pub mod issuers;
pub mod keys;
pub mod me;
pub mod merchants;
pub mod my_cards;
pub mod my_payments;
pub mod numbers;
pub mod payments;
pub mod programmes;
pub mod sessions;
pub mod simulate;
pub mod verifications;
pub mod webhooks;

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What is posted where there is nothing to say: nothing, or an empty object.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// Whether something is to be closed.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewState {
    /// Closed, or open again?
    pub closed: bool,
}

/// Something new, and where it is found, if that is anywhere.
pub(crate) struct Created<T> {
    location: Option<String>,
    thing: T,
}

impl<T> Created<T> {
    pub(crate) fn new(thing: T) -> Self {
        Self { location: None, thing }
    }

    pub(crate) fn at(location: impl std::fmt::Display, thing: T) -> Self {
        Self { location: Some(location.to_string()), thing }
    }
}

impl<T: Serialize> IntoResponse for Created<T> {
    fn into_response(self) -> Response {
        let mut response = (StatusCode::CREATED, Json(self.thing)).into_response();
        // A path with an id is always a header's value.
        if let Some(Ok(location)) = self.location.as_deref().map(HeaderValue::from_str) {
            response.headers_mut().insert(header::LOCATION, location);
        }
        response
    }
}
