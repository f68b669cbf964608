//! What is around every request: its id, its place in the log, its time limit, and the end of what goes wrong in it.

use std::any::Any;
use std::future::poll_fn;
use std::hash::{BuildHasher, RandomState};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Instant;

use axum::Json;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tracing::Instrument;

use crate::problem::{Code, PROBLEM_JSON, Problem};
use crate::shared::Shared;

/// The header with a request's id.
pub const REQUEST_ID: &str = "x-request-id";
/// The longest id that is taken over from a client, in characters.
pub const REQUEST_ID_CHARS_MAX: usize = 64;

/// Makes ids of requests.
#[derive(Debug, Default)]
pub(crate) struct RequestIds {
    hasher: RandomState,
    last: AtomicU64,
}

impl RequestIds {
    /// The client's own, if it sent one that can stand in a log; else a new one.
    fn of(&self, headers: &HeaderMap) -> String {
        let sent = headers.get(REQUEST_ID).and_then(|id| id.to_str().ok());
        let fits = |id: &&str| {
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
            (1..=REQUEST_ID_CHARS_MAX).contains(&id.len()) && id.bytes().all(allowed)
        };
        sent.filter(fits).map(str::to_owned).unwrap_or_else(|| self.new_id())
    }

    fn new_id(&self) -> String {
        format!("{:016x}", self.hasher.hash_one(self.last.fetch_add(1, Ordering::Relaxed)))
    }
}

/// The outermost of a request within the API.
pub(crate) async fn frame(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let id = shared.request_ids.of(request.headers());
    let route = request.extensions().get::<MatchedPath>().map_or("none", MatchedPath::as_str);
    // The path itself is not logged: people put into it what they should not.
    let span = tracing::info_span!("request", id, method = method(request.method()), route);
    answer(&shared, request, next, &id).instrument(span).await
}

async fn answer(shared: &Shared, request: Request, next: Next, id: &str) -> Response {
    let begun = Instant::now();
    let answered = tokio::time::timeout(shared.request_time_max, unpanicked(next.run(request))).await;
    let mut response = match answered {
        Ok(Ok(response)) => response,
        Ok(Err(panic)) => {
            tracing::error!(panic = said(&*panic), "a handler panicked");
            Problem::new(Code::Internal).into_response()
        }
        Err(_) => Problem::new(Code::TimeOver).into_response(),
    };
    let problem = response.extensions_mut().remove::<Problem>();
    let took_us = begun.elapsed().as_micros() as u64;
    let code = problem.as_ref().map_or("", |problem| problem.code().name());
    tracing::debug!(status = response.status().as_u16(), code, took_us, "answered");
    if let Some(problem) = problem {
        response = written(response, problem, id);
    }
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert(REQUEST_ID, id);
    }
    // Numbers and keys are in answers.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The problem as a document, with the status and the headers of `response`.
fn written(response: Response, problem: Problem, id: &str) -> Response {
    let (parts, _) = response.into_parts();
    let mut document = (parts.status, Json(problem.document(id))).into_response();
    for (name, value) in &parts.headers {
        if name != header::CONTENT_TYPE && name != header::CONTENT_LENGTH {
            document.headers_mut().append(name, value.clone());
        }
    }
    document.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
    document
}

/// What comes of a future, or what it panicked with.
async fn unpanicked<T>(future: impl Future<Output = T>) -> Result<T, Box<dyn Any + Send>> {
    let mut future = Box::pin(future);
    // A future that panicked is not polled again, and what it shared with others is made for that: locks that are
    // poisoned are taken over everywhere.
    poll_fn(move |context| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(value)) => Poll::Ready(Ok(value)),
        Err(panic) => Poll::Ready(Err(panic)),
    })
    .await
}

fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("something")
}

/// A method by its name, if it is a usual one: clients can make names up.
fn method(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_taken_over_if_they_fit_into_a_log() {
        let ids = RequestIds::default();
        let of = |sent: &str| {
            ids.of(&HeaderMap::from_iter([(REQUEST_ID.parse().unwrap(), sent.parse().unwrap())]))
        };
        let longest = "a".repeat(64);
        for taken in ["a", "A-b_c.9", longest.as_str()] {
            assert_eq!(of(taken), taken);
        }
        for other in ["", "a b", "a\u{e9}", "a/b", &"a".repeat(65)] {
            assert_ne!(of(other), other);
            assert_eq!(of(other).len(), 16);
        }
        assert_ne!(ids.of(&HeaderMap::new()), ids.of(&HeaderMap::new()));
    }

    #[tokio::test]
    async fn a_panic_ends_here() {
        assert_eq!(unpanicked(async { 7 }).await.ok(), Some(7));
        let panic = unpanicked(async { panic!("{}", "dropped a plate") }).await.map(|(): ()| ()).unwrap_err();
        assert_eq!(said(&*panic), "dropped a plate");
    }
}
