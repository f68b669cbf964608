//! Listening, and stopping.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{fmt, io};

use mayfly_core::LimitError;
use mayfly_engine::{Catalogue, Handle};
use mayfly_iso8583::{De, Dialect};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use tokio::time;
use tracing::Instrument;

use crate::connection::{Closed, Connection};
use crate::{Meter, Options};

/// Serving.
pub(crate) const RUNNING: u8 = 0;
/// Nothing more is read; what is in flight is answered.
pub(crate) const STOPPING: u8 = 1;
/// Everything ends now.
pub(crate) const OVER: u8 = 2;

/// How long accepting rests when the system has no more sockets.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What an answer is made of: a dialect without these can't be served.
const NEEDED: [De; 7] =
    [De::PAN, De::PROCESSING_CODE, De::AMOUNT, De::STAN, De::APPROVAL_CODE, De::RESPONSE_CODE, De::CURRENCY];

/// Where to listen, and what is spoken there.
#[derive(Clone, Copy, Debug)]
pub struct Endpoint {
    /// The address. Port 0 takes any that is free.
    pub address: SocketAddr,
    /// The dialect. One that was read from a file lives as long as the process: `Box::leak` it.
    pub dialect: &'static Dialect,
}

/// Why the network was not started.
#[derive(Debug)]
pub enum StartError {
    /// A bound is out of its own bounds.
    Options(LimitError),
    /// The dialect lacks an element that every answer needs.
    Dialect {
        /// Its name.
        name: &'static str,
        /// What it lacks.
        lacks: De,
    },
    /// It can't listen there.
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why not.
        error: io::Error,
    },
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Options(error) => error.fmt(f),
            Self::Dialect { name, lacks } => write!(f, "dialect {name} lacks {lacks}, which answers need"),
            Self::Listen { address, error } => write!(f, "can't listen on {address}: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

/// What all connections share. No lock in it is held over I/O.
pub(crate) struct Service {
    pub(crate) handle: Handle,
    pub(crate) catalogue: Arc<Catalogue>,
    pub(crate) options: Options,
    pub(crate) meter: Arc<Meter>,
    pub(crate) phase: AtomicU8,
    /// One permit for each connection that may be open.
    room: Arc<Semaphore>,
    open: Mutex<Open>,
}

/// How the open connections are woken.
#[derive(Default)]
struct Open {
    wakes: HashMap<u64, Arc<Notify>>,
    last: u64,
}

impl Service {
    fn open(&self) -> MutexGuard<'_, Open> {
        // Nobody panics while he holds this lock.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, phase: u8) {
        self.phase.fetch_max(phase, Ordering::AcqRel);
        for wake in self.open().wakes.values() {
            wake.notify_one();
        }
    }
}

/// How a stop ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// Everything that was in flight was answered and written.
    Clean,
    /// So many connections were still busy when time ran out.
    Cut {
        /// How many.
        connections: usize,
    },
}

/// The network while it serves. Stop it with [`Network::stop`]; dropped, it ends at once.
pub struct Network {
    service: Arc<Service>,
    addresses: Vec<SocketAddr>,
    listeners: Vec<JoinHandle<()>>,
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Network").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

impl Network {
    /// Listens on all endpoints. Must be called within a tokio runtime.
    ///
    /// # Errors
    ///
    /// If an option is out of bounds, a dialect can't carry answers, or an address can't be had. Then nothing
    /// listens.
    pub async fn start(
        endpoints: &[Endpoint],
        handle: Handle,
        catalogue: Arc<Catalogue>,
        options: Options,
    ) -> Result<Self, StartError> {
        options.check().map_err(StartError::Options)?;
        let mut bound = Vec::with_capacity(endpoints.len());
        for Endpoint { address, dialect } in endpoints {
            if let Some(lacks) = NEEDED.into_iter().find(|element| !dialect.specifies(*element)) {
                return Err(StartError::Dialect { name: dialect.name(), lacks });
            }
            let failed = |error| StartError::Listen { address: *address, error };
            let listener = TcpListener::bind(address).await.map_err(failed)?;
            bound.push((listener.local_addr().map_err(failed)?, listener, *dialect));
        }
        let service = Arc::new(Service {
            handle,
            catalogue,
            options,
            meter: Arc::new(Meter::default()),
            phase: AtomicU8::new(RUNNING),
            room: Arc::new(Semaphore::new(options.connections_max)),
            open: Mutex::default(),
        });
        let (mut addresses, mut listeners) = (Vec::new(), Vec::new());
        for (address, listener, dialect) in bound {
            tracing::info!(%address, dialect = dialect.name(), "listening for card messages");
            addresses.push(address);
            listeners.push(tokio::spawn(accept(service.clone(), listener, dialect)));
        }
        Ok(Self { service, addresses, listeners })
    }

    /// Where it listens, in the order of the endpoints.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// What it counts.
    pub fn meter(&self) -> Arc<Meter> {
        self.service.meter.clone()
    }

    /// Accepts and reads nothing more, waits until everything in flight is answered and written, and closes all
    /// connections; those that take longer than [`Options::stop_ms_max`] are cut.
    pub async fn stop(mut self) -> Stopped {
        self.close_listeners();
        self.service.enter(STOPPING);
        let limit = Duration::from_millis(self.service.options.stop_ms_max);
        if time::timeout(limit, self.all_closed()).await.is_ok() {
            return Stopped::Clean;
        }
        let connections = self.service.open().wakes.len();
        self.service.enter(OVER);
        // They don't wait for anybody any more, but for half a second to say goodbye.
        drop(time::timeout(limit, self.all_closed()).await);
        Stopped::Cut { connections }
    }

    /// Waits until all permits are back.
    async fn all_closed(&self) {
        // At most 65,536, by the bound on connections.
        let all = self.service.options.connections_max as u32;
        drop(self.service.room.acquire_many(all).await);
    }

    fn close_listeners(&mut self) {
        for listener in self.listeners.drain(..) {
            listener.abort();
        }
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        self.close_listeners();
        self.service.enter(OVER);
    }
}

async fn accept(service: Arc<Service>, listener: TcpListener, dialect: &'static Dialect) {
    loop {
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        match service.room.clone().try_acquire_owned() {
            Ok(permit) => open(&service, stream, peer, dialect, permit),
            Err(_) => {
                service.meter.refused.one();
                tracing::warn!(%peer, "refused: as many connections are open as may be");
            }
        }
    }
}

/// Gives a connection a task of its own.
fn open(
    service: &Arc<Service>,
    stream: TcpStream,
    peer: SocketAddr,
    dialect: &'static Dialect,
    permit: OwnedSemaphorePermit,
) {
    // Answers are written whole: there is nothing to wait for. A socket that can't is served nevertheless.
    drop(stream.set_nodelay(true));
    let wake = Arc::new(Notify::new());
    let guard = Guard::enter(service.clone(), wake.clone(), permit);
    let span = tracing::info_span!("connection", id = guard.id, %peer);
    let mut connection = Connection::new(service.clone(), dialect, wake);
    let task = async move {
        tracing::info!(dialect = dialect.name(), "opened");
        let mut guard = guard;
        guard.why = connection.run(stream).await;
        let malformed = connection.malformed();
        if malformed > 0 || matches!(guard.why, Closed::Unreadable | Closed::TooLong) {
            tracing::warn!(why = %guard.why, malformed, "closed");
        } else {
            tracing::info!(why = %guard.why, "closed");
        }
    };
    tokio::spawn(task.instrument(span));
}

/// What is given back when a connection ends, however it ends.
struct Guard {
    service: Arc<Service>,
    id: u64,
    why: Closed,
    _permit: OwnedSemaphorePermit,
}

impl Guard {
    fn enter(service: Arc<Service>, wake: Arc<Notify>, permit: OwnedSemaphorePermit) -> Self {
        service.meter.opened.one();
        let mut open = service.open();
        open.last += 1;
        let id = open.last;
        open.wakes.insert(id, wake);
        drop(open);
        Self { service, id, why: Closed::Broken, _permit: permit }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.service.open().wakes.remove(&self.id);
        self.service.meter.closed(self.why).one();
    }
}
