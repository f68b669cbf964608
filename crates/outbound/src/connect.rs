//! Making a connection: the name is looked up, the addresses are looked at, and one of those is connected to.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::pool::{IDLE_MAX, Use};
use crate::target::{Host, Origin};
use crate::{SendError, TargetRules, is_public};

/// How many names are looked up at a time. The system's resolver takes a thread for each, and can't be interrupted.
const LOOKUPS_MAX: usize = 128;
/// How many look-ups of one name are under way: one that is never answered is in the way of nobody who has another name.
const LOOKUPS_PER_NAME_MAX: usize = 2;
/// Of how many names that is remembered; those that nobody looks up are forgotten then.
const NAMES_MAX: usize = 1024;
/// How many addresses of a host are tried.
const ADDRESSES_MAX: usize = 4;
/// The most headers of an answer, and the most bytes of its line and headers.
const HEADERS_MAX: usize = 64;
const HEADER_BYTES_MAX: usize = 16 * 1024;
/// The longest text of what TLS has to say, in characters.
const TLS_WORDS_MAX: usize = 200;

/// A connection on which one request at a time can be sent.
pub(crate) type Sender = SendRequest<Full<Bytes>>;

/// Makes connections.
pub(crate) struct Connector {
    rules: TargetRules,
    tls: TlsConnector,
    lookups: Arc<Semaphore>,
    names: Mutex<HashMap<String, Arc<Semaphore>>>,
}

impl Connector {
    pub(crate) fn new(rules: TargetRules, tls: TlsConnector) -> Self {
        Self { rules, tls, lookups: Arc::new(Semaphore::new(LOOKUPS_MAX)), names: Mutex::default() }
    }

    pub(crate) fn rules(&self) -> TargetRules {
        self.rules
    }

    /// Connects, agrees on TLS, and is ready to send within `limit`.
    pub(crate) async fn connect(
        &self,
        origin: &Origin,
        limit: Duration,
        used: Arc<Use>,
    ) -> Result<Sender, SendError> {
        if !origin.tls && !self.rules.plain_http {
            return Err(SendError::PlainHttpNotAllowed);
        }
        let until = Instant::now() + limit;
        let late = |_| SendError::ConnectTime;
        let addresses = timeout_at(until, self.addresses(origin)).await.map_err(late)??;
        let stream = reach(&addresses, until).await?;
        // Requests are small and written whole.
        let _ = stream.set_nodelay(true);
        if !origin.tls {
            return timeout_at(until, begin(stream, used)).await.map_err(late)?;
        }
        let name = match &origin.host {
            Host::Name(name) => ServerName::try_from(name.clone()).map_err(|_| SendError::Lookup)?,
            Host::Address(address) => ServerName::from(*address),
        };
        let agreed = timeout_at(until, self.tls.connect(name, stream)).await.map_err(late)?;
        let stream = agreed.map_err(|error| SendError::Tls(words(&error)))?;
        timeout_at(until, begin(stream, used)).await.map_err(late)?
    }

    /// The addresses of a host that may be connected to: what is not allowed is not among them, whatever its name was.
    async fn addresses(&self, origin: &Origin) -> Result<Vec<SocketAddr>, SendError> {
        let found = match &origin.host {
            Host::Address(address) => vec![SocketAddr::new(*address, origin.port)],
            Host::Name(name) => self.look_up(name.clone(), origin.port).await?,
        };
        if found.is_empty() {
            return Err(SendError::Lookup);
        }
        let allowed = |address: IpAddr| self.rules.private_addresses || is_public(address);
        let mut allowed: Vec<_> = found.into_iter().filter(|address| allowed(address.ip())).collect();
        if allowed.is_empty() {
            return Err(SendError::AddressNotAllowed);
        }
        allowed.truncate(ADDRESSES_MAX);
        Ok(allowed)
    }

    async fn look_up(&self, name: String, port: u16) -> Result<Vec<SocketAddr>, SendError> {
        // The semaphores are never closed.
        let of_name = self.of_name(&name).acquire_owned().await.map_err(|_| SendError::Lookup)?;
        let place = self.lookups.clone().acquire_owned().await.map_err(|_| SendError::Lookup)?;
        let looked = tokio::task::spawn_blocking(move || {
            // Kept until the system answers, also if nobody waits for it any more.
            let _places = (of_name, place);
            (name.as_str(), port).to_socket_addrs().map(Iterator::collect)
        });
        let found: io::Result<Vec<SocketAddr>> = looked.await.map_err(|_| SendError::Lookup)?;
        found.map_err(|_| SendError::Lookup)
    }
}

impl Connector {
    /// The places for look-ups of one name.
    fn of_name(&self, name: &str) -> Arc<Semaphore> {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        if names.len() >= NAMES_MAX && !names.contains_key(name) {
            names.retain(|_, places| Arc::strong_count(places) > 1);
        }
        names.entry(name.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(LOOKUPS_PER_NAME_MAX))).clone()
    }
}

/// Connects to the first address that takes it. Each gets its part of the time, so that a dead one leaves some for the
/// others.
async fn reach(addresses: &[SocketAddr], until: Instant) -> Result<TcpStream, SendError> {
    let mut error = SendError::ConnectTime;
    for (at, address) in addresses.iter().enumerate() {
        let left = until.saturating_duration_since(Instant::now());
        let share = left / (addresses.len() - at) as u32;
        match timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(refused)) => error = SendError::Connect(refused.kind()),
            Err(_) => error = SendError::ConnectTime,
        }
    }
    Err(error)
}

/// Begins to speak HTTP. The connection lives on a task of its own, until it ends or nobody has used it for a while.
async fn begin(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    used: Arc<Use>,
) -> Result<Sender, SendError> {
    let begun = http1::Builder::new()
        .max_headers(HEADERS_MAX)
        .max_buf_size(HEADER_BYTES_MAX)
        .handshake(TokioIo::new(stream))
        .await;
    let (sender, connection) = begun.map_err(|_| SendError::Broken)?;
    tokio::spawn(async move {
        let mut connection = std::pin::pin!(connection);
        let mut before = used.count();
        loop {
            match timeout(IDLE_MAX, &mut connection).await {
                Ok(Ok(())) => return,
                Ok(Err(error)) => return tracing::debug!(%error, "a connection to a receiver ended"),
                Err(_) if used.is_idle_since(before) => return,
                Err(_) => before = used.count(),
            }
        }
    });
    Ok(sender)
}

/// What TLS has to say. It names certificates and hosts, and nothing that was sent.
fn words(error: &io::Error) -> String {
    error.to_string().chars().take(TLS_WORDS_MAX).collect()
}
