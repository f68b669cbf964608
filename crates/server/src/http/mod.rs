//! The admin pages: metrics, health and readiness, for this machine only.
//!
//! They are there from the first moment of a start to the last of a stop, so that whoever watches sees why a
//! server takes no work.

mod bounded;
mod host_metrics;
mod metrics;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::live::Shared;
use bounded::Bounded;

/// How many connections may be open. Whoever comes then waits.
const CONNECTIONS_MAX: usize = 32;
/// How long a stop waits for pages under way.
const STOP: Duration = Duration::from_secs(2);
/// How long metrics wait for what only the engine's writer knows.
const SNAPSHOT: Duration = Duration::from_secs(1);

/// The admin pages while they are served.
pub(crate) struct AdminPages {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

impl AdminPages {
    /// Serves. Must be called within a tokio runtime.
    pub(crate) async fn start(address: SocketAddr, shared: Arc<Shared>) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let pages = Router::new()
            .route("/health", get(|| async { "alive\n" }))
            .route("/ready", get(ready))
            .route("/metrics", get(metrics))
            .with_state(shared);
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(async move {
            let serve = axum::serve(Bounded::new(listener, CONNECTIONS_MAX), pages);
            let stopped = async { drop(stopped.await) };
            if let Err(error) = serve.with_graceful_shutdown(stopped).await {
                tracing::error!(%error, "the admin pages broke off");
            }
        });
        Ok(Self { address, stop, serving })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) async fn stop(mut self) {
        // Whoever serves may have ended already.
        let _ = self.stop.send(());
        if timeout(STOP, &mut self.serving).await.is_err() {
            self.serving.abort();
        }
    }
}

async fn ready(State(shared): State<Arc<Shared>>) -> Response {
    match shared.health.not_ready() {
        None => "ready\n".into_response(),
        Some(why) => {
            let retry = [(header::RETRY_AFTER, "1")];
            (StatusCode::SERVICE_UNAVAILABLE, retry, format!("{why}\n")).into_response()
        }
    }
}

async fn metrics(State(shared): State<Arc<Shared>>) -> Response {
    let snapshot = match shared.live.get() {
        Some(live) => timeout(SNAPSHOT, live.office.snapshot()).await.ok().and_then(Result::ok),
        None => None,
    };
    match metrics::encode(shared, snapshot) {
        Ok(text) => {
            let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
            ([(header::CONTENT_TYPE, kind)], text).into_response()
        }
        Err(error) => {
            tracing::error!(%error, "the metrics could not be written");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
