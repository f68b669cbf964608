//! The client: one request at a time, with a limit for each of its parts.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{ACCEPT, CONTENT_TYPE, HOST, HeaderName, HeaderValue, RETRY_AFTER, USER_AGENT};
use hyper::{HeaderMap, Method, Request, Response};
use tokio::time::timeout;

use crate::connect::Connector;
use crate::pool::{Pool, Pooled, Use};
use crate::target::Origin;
use crate::{ClientError, SendError, Target, TargetError, TargetRules, tls};

/// How much of an answer's body is read, in bytes.
pub const REPLY_BYTES_MAX: usize = 64 * 1024;

/// What a client may connect to, and whom it believes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientOptions {
    /// Which targets are allowed. Default: `https`, on the public internet.
    pub rules: TargetRules,
    /// Certificate authorities that are believed besides the public ones, as PEM. Default none.
    pub ca_file: Option<PathBuf>,
}

/// How long a request may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// To look its host up, connect, and agree on TLS.
    pub connect: Duration,
    /// From its beginning to the end of its answer.
    pub total: Duration,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Its status.
    pub status: u16,
    /// How long to wait, if it says so in seconds.
    pub retry_after: Option<Duration>,
    /// Its body, as far as it was read.
    pub body: Vec<u8>,
    /// Whether that is all of it: no more than [`REPLY_BYTES_MAX`] are read.
    pub whole: bool,
}

/// The client. It follows no redirects, and sends nothing twice but on a connection that turned out to be closed.
pub struct Client {
    connector: Connector,
    pool: Pool,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("rules", &self.connector.rules()).finish_non_exhaustive()
    }
}

impl Client {
    /// With these options.
    ///
    /// # Errors
    ///
    /// [`ClientError`] if the file of certificates can't be used.
    pub fn new(options: &ClientOptions) -> Result<Self, ClientError> {
        let tls = tls::connector(options.ca_file.as_deref())?;
        Ok(Self { connector: Connector::new(options.rules, tls), pool: Pool::default() })
    }

    /// A URL, if something may be sent there.
    ///
    /// # Errors
    ///
    /// [`TargetError`]: what it must be.
    pub fn target(&self, url: &str) -> Result<Target, TargetError> {
        Target::parse(url, self.connector.rules())
    }

    /// Posts a JSON body.
    ///
    /// A request that finds a connection closed on which another one was answered before is sent again on a new one: so
    /// whoever receives it must know a repeat.
    ///
    /// # Errors
    ///
    /// [`SendError`] if no whole answer came within the limits.
    pub async fn post(
        &self,
        target: &Target,
        headers: &[(HeaderName, HeaderValue)],
        body: Bytes,
        limits: Limits,
    ) -> Result<Reply, SendError> {
        let what = What { method: Method::POST, target, headers, body };
        self.within(limits, what).await
    }

    /// Gets a JSON body.
    ///
    /// # Errors
    ///
    /// As [`post`](Self::post).
    pub async fn get(
        &self,
        target: &Target,
        headers: &[(HeaderName, HeaderValue)],
        limits: Limits,
    ) -> Result<Reply, SendError> {
        let what = What { method: Method::GET, target, headers, body: Bytes::new() };
        self.within(limits, what).await
    }

    async fn within(&self, limits: Limits, what: What<'_>) -> Result<Reply, SendError> {
        timeout(limits.total, self.send(what, limits.connect)).await.map_err(|_| SendError::Time)?
    }

    async fn send(&self, what: What<'_>, connect: Duration) -> Result<Reply, SendError> {
        let origin = &what.target.origin;
        if let Some(mut pooled) = self.pool.take(origin) {
            match exchange(&mut pooled, what.request()?).await {
                Ok(response) => return self.read(origin, pooled, response).await,
                Err(error) => tracing::debug!(%error, "a connection to a receiver was closed meanwhile"),
            }
        }
        let used = Arc::new(Use::default());
        let sender = self.connector.connect(origin, connect, used.clone()).await?;
        let mut pooled = Pool::fresh(sender, used);
        let response = exchange(&mut pooled, what.request()?).await;
        let response = response.map_err(|error| {
            tracing::debug!(%error, "a receiver did not answer");
            SendError::Broken
        })?;
        self.read(origin, pooled, response).await
    }

    /// Reads the rest of an answer; then the connection waits for the next request, if all of it was read.
    async fn read(
        &self,
        origin: &Origin,
        pooled: Pooled,
        response: Response<Incoming>,
    ) -> Result<Reply, SendError> {
        let (head, mut incoming) = response.into_parts();
        let (mut body, mut whole) = (Vec::new(), true);
        while let Some(frame) = incoming.frame().await {
            let Ok(data) = frame.map_err(|_| SendError::Broken)?.into_data() else { continue };
            let room = REPLY_BYTES_MAX - body.len();
            body.extend_from_slice(&data[..data.len().min(room)]);
            if data.len() > room {
                whole = false;
                break;
            }
        }
        if whole {
            self.pool.put(origin, pooled);
        }
        let retry_after = retry_after(&head.headers);
        Ok(Reply { status: head.status.as_u16(), retry_after, body, whole })
    }
}

async fn exchange(pooled: &mut Pooled, request: Request<Full<Bytes>>) -> hyper::Result<Response<Incoming>> {
    pooled.sender.ready().await?;
    pooled.sender.send_request(request).await
}

/// What is sent.
struct What<'a> {
    method: Method,
    target: &'a Target,
    headers: &'a [(HeaderName, HeaderValue)],
    body: Bytes,
}

impl What<'_> {
    fn request(&self) -> Result<Request<Full<Bytes>>, SendError> {
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.target.path.clone().into();
        let host = HeaderValue::try_from(self.target.origin.authority()).map_err(|_| SendError::Lookup)?;
        let json = HeaderValue::from_static("application/json");
        let all = request.headers_mut();
        all.extend([(HOST, host), (USER_AGENT, HeaderValue::from_static("mayfly")), (ACCEPT, json.clone())]);
        if self.method == Method::POST {
            all.insert(CONTENT_TYPE, json);
        }
        all.extend(self.headers.iter().cloned());
        Ok(request)
    }
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}
