//! Serving the API: a bounded number of connections, none of them for ever, and a stop that lets go of nothing that
//! was begun.

mod options;
mod silence;
mod tls;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::{Extension, Router};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use mayfly_engine::Clock;
use mayfly_notify::{HookMeter, Notifier};
use mayfly_office::payments::Gateway;
use mayfly_office::{Office, Reception};
use mayfly_store::directory::Directory;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, oneshot};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

pub use options::{ApiOptions, ApiStartError};
pub use tls::{TlsError, TlsFiles};

use crate::directory::DirectoryDesk;
use crate::frame::RequestIds;
use crate::peer::Peer;
use crate::routes;
use crate::shared::Shared;
use silence::Impatient;

/// How long accepting rests when the system has no more sockets.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// The most headers of a request.
const HEADERS_MAX: usize = 64;
/// The most bytes of a request's line and headers.
const HEADER_BYTES_MAX: usize = 16 * 1024;

/// What the API works on.
pub struct ApiParts {
    /// Where things are done.
    pub office: Arc<Office>,
    /// Where keys are kept.
    pub directory: Arc<Directory>,
    /// Where cardholders are let in.
    pub reception: Arc<Reception>,
    /// Where webhooks are tried.
    pub notifier: Arc<Notifier>,
    /// How asking issuers goes.
    pub asked: Arc<HookMeter>,
    /// Tells the time, for the ends of keys.
    pub clock: Arc<dyn Clock>,
}

/// The HTTP API.
#[derive(Clone, Copy, Debug)]
pub struct Api;

impl Api {
    /// Serves the API. Must be called within a tokio runtime.
    ///
    /// # Errors
    ///
    /// [`ApiStartError`] if the options don't fit each other, certificate or key can't be used, or the address is
    /// taken.
    pub async fn start(options: ApiOptions, parts: ApiParts) -> Result<RunningApi, ApiStartError> {
        options.check()?;
        let tls = options.tls.as_ref().map(TlsFiles::acceptor).transpose().map_err(ApiStartError::Tls)?;
        let bind =
            |error: std::io::Error| ApiStartError::Bind { address: options.address, why: error.kind() };
        let listener = TcpListener::bind(options.address).await.map_err(bind)?;
        let address = listener.local_addr().map_err(bind)?;
        let service = service(&options, parts);
        tracing::info!(%address, tls = tls.is_some(), "the API is served");
        let (stop, stopped) = oneshot::channel();
        let serving = Serving { listener, tls, service, options };
        Ok(RunningApi { address, stop, serving: tokio::spawn(serving.run(stopped)) })
    }
}

fn service(options: &ApiOptions, parts: ApiParts) -> Router {
    let (router, description) = routes::described();
    let shared = Shared {
        gateway: Arc::new(Gateway::new(parts.office.clone(), parts.directory.clone())),
        office: parts.office,
        strangers: DirectoryDesk::new(parts.directory.clone()),
        directory: DirectoryDesk::new(parts.directory),
        proxies: options.proxies.clone(),
        reception: parts.reception,
        notifier: parts.notifier,
        asked: parts.asked,
        hooks: tokio::sync::Mutex::default(),
        clock: parts.clock,
        request_time_max: options.request_time_max,
        request_ids: RequestIds::default(),
        // It is made of names and texts: there is nothing in it that is no JSON.
        openapi: description.to_json().unwrap_or_default(),
    };
    routes::service(router, Arc::new(shared))
}

/// The API while it is served.
#[derive(Debug)]
pub struct RunningApi {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<()>,
}

impl RunningApi {
    /// Where it is served.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Takes no more connections, answers what was asked, and closes.
    pub async fn stop(self) {
        // Whoever serves may have ended already.
        let _ = self.stop.send(());
        if let Err(error) = self.serving.await {
            tracing::error!(%error, "the API broke off");
        }
    }
}

struct Serving {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    service: Router,
    options: ApiOptions,
}

impl Serving {
    async fn run(self, mut stopped: oneshot::Receiver<()>) {
        let Self { listener, tls, service, options } = self;
        let (room, graceful) = (Arc::new(Semaphore::new(options.connections_max)), GracefulShutdown::new());
        let mut connections = JoinSet::new();
        loop {
            let accepted = async {
                // The semaphore is never closed.
                let place = room.clone().acquire_owned().await.ok()?;
                Some((listener.accept().await, place))
            };
            let (accepted, place) = tokio::select! {
                Some(accepted) = accepted => accepted,
                _ = &mut stopped => break,
            };
            // Those that ended meanwhile.
            while connections.try_join_next().is_some() {}
            match accepted {
                Ok((stream, peer)) => {
                    let connection = Connection {
                        service: service.clone(),
                        peer: Peer(peer.ip()),
                        watcher: graceful.watcher(),
                        options: options.clone(),
                    };
                    let tls = tls.clone();
                    connections.spawn(async move {
                        let _place = place;
                        connection.run(stream, tls).await;
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection to the API could not be accepted");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(listener);
        if timeout(options.stop_time_max, graceful.shutdown()).await.is_err() {
            tracing::warn!(
                connections = connections.len(),
                "connections to the API were still busy at the stop"
            );
        }
        connections.shutdown().await;
    }
}

struct Connection {
    service: Router,
    peer: Peer,
    watcher: Watcher,
    options: ApiOptions,
}

impl Connection {
    async fn run(self, stream: TcpStream, tls: Option<TlsAcceptor>) {
        // Answers are small and written whole.
        let _ = stream.set_nodelay(true);
        let Some(tls) = tls else { return self.serve(stream).await };
        match timeout(self.options.header_time_max, tls.accept(stream)).await {
            Ok(Ok(stream)) => self.serve(stream).await,
            Ok(Err(error)) => tracing::debug!(%error, "a connection to the API did not agree on TLS"),
            Err(_) => tracing::debug!("a connection to the API took too long to agree on TLS"),
        }
    }

    async fn serve(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let stream = TokioIo::new(Impatient::new(stream, self.options.silence_time_max));
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.options.header_time_max)
            .max_headers(HEADERS_MAX)
            .max_buf_size(HEADER_BYTES_MAX)
            .serve_connection(stream, TowerToHyperService::new(self.service.layer(Extension(self.peer))));
        if let Err(error) = self.watcher.watch(connection).await {
            tracing::debug!(%error, "a connection to the API ended");
        }
    }
}
