//! What handlers take: ids of the path, parameters of the query, and the bodies of POSTs. Whatever is wrong with them
//! comes out as a problem document.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, MatchedPath, Path, Request};
use axum::http::{HeaderMap, StatusCode, Uri, header, request};
use axum::response::IntoResponse;
use serde::de::DeserializeOwned;

use crate::body;
use crate::idempotency::{self, Once, Sender};
use crate::problem::{Code, Problem};
use crate::shared::Shared;
use crate::text::Text;

/// The id in the path of a route that has no parameters.
pub(crate) struct Id<T>(pub(crate) T);

impl<T: Text> FromRequestParts<Arc<Shared>> for Id<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut request::Parts, shared: &Arc<Shared>) -> Result<Self, Problem> {
        no_query(&parts.uri)?;
        IdBeside::from_request_parts(parts, shared).await.map(|IdBeside(id)| Self(id))
    }
}

/// The id in the path of a route that has parameters, too.
pub(crate) struct IdBeside<T>(pub(crate) T);

impl<T: Text> FromRequestParts<Arc<Shared>> for IdBeside<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut request::Parts, shared: &Arc<Shared>) -> Result<Self, Problem> {
        let invalid = |detail| Problem::with(Code::IdInvalid, detail);
        let Path(text) = Path::<String>::from_request_parts(parts, shared)
            .await
            .map_err(|_| invalid("the id in the path is no text".to_owned()))?;
        T::read(&text).map(Self).map_err(|must| invalid(format!("the id in the path {must}")))
    }
}

/// The parameters of the query.
pub(crate) struct Params<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequestParts<Arc<Shared>> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut request::Parts, _: &Arc<Shared>) -> Result<Self, Problem> {
        let query = parts.uri.query().unwrap_or_default();
        let parameters = serde_urlencoded::Deserializer::new(form_urlencoded::parse(query.as_bytes()));
        serde_path_to_error::deserialize(parameters).map(Self).map_err(|error| {
            let (path, said) = (body::pointer(error.path()), body::said(&error.inner().to_string()));
            Problem::with(Code::ParameterInvalid, format!("the query{path}: {said}"))
        })
    }
}

/// Of a route that has no parameters.
fn no_query(uri: &Uri) -> Result<(), Problem> {
    match uri.query() {
        None | Some("") => Ok(()),
        Some(_) => Err(Problem::with(Code::ParameterInvalid, "this route has no query parameters")),
    }
}

/// What is posted, and the key with which it is done once.
pub(crate) struct Posted<T> {
    /// The body.
    pub(crate) body: T,
    /// For whatever is done.
    pub(crate) once: Once,
}

impl<T: DeserializeOwned> FromRequest<Arc<Shared>> for Posted<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, shared: &Arc<Shared>) -> Result<Self, Problem> {
        no_query(request.uri())?;
        let (headers, path) = (request.headers().clone(), request.uri().path().to_owned());
        // The caller's extractor stands before this one in every handler: without it there is no way to the office.
        let sender = request.extensions().get::<Sender>().cloned();
        let route = request.extensions().get::<MatchedPath>().cloned();
        let (Some(sender), Some(route)) = (sender, route) else { return Err(Problem::new(Code::Internal)) };
        let key = idempotency::key(&headers)?;
        let bytes = json(request, shared).await?;
        let once = Once::of(key, &sender, (route.as_str(), &path), &bytes);
        Ok(Self { body: body::read(&bytes)?, once })
    }
}

/// What somebody tells of himself: it is no order, so it has no key.
pub(crate) struct Told<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Arc<Shared>> for Told<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, shared: &Arc<Shared>) -> Result<Self, Problem> {
        no_query(request.uri())?;
        Ok(Self(body::read(&json(request, shared).await?)?))
    }
}

/// Of a route that takes nothing but its path.
pub(crate) struct Bare;

impl<S: Sync> FromRequestParts<S> for Bare {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut request::Parts, _: &S) -> Result<Self, Problem> {
        no_query(&parts.uri).map(|()| Self)
    }
}

/// A body that is declared to be JSON, or empty.
async fn json(request: Request, shared: &Arc<Shared>) -> Result<Bytes, Problem> {
    let declared = declared_json(request.headers())?;
    let bytes = Bytes::from_request(request, shared).await.map_err(|rejection| {
        match rejection.into_response().status() {
            StatusCode::PAYLOAD_TOO_LARGE => Problem::new(Code::BodyTooLarge),
            _ => Problem::with(Code::JsonInvalid, "the body broke off; send all of it"),
        }
    })?;
    if !declared && !bytes.is_empty() {
        return Err(Problem::new(Code::MediaTypeUnsupported));
    }
    Ok(bytes)
}

/// Whether the body is declared to be JSON; an error if it is declared to be something else.
fn declared_json(headers: &HeaderMap) -> Result<bool, Problem> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(false) };
    let essence = value.to_str().ok().and_then(|text| text.split(';').next()).map(str::trim);
    match essence {
        Some(essence) if essence.eq_ignore_ascii_case("application/json") => Ok(true),
        _ => Err(Problem::new(Code::MediaTypeUnsupported)),
    }
}
