//! The socket itself: who may connect, how many, and for how long.

use std::fmt;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::Mode;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::Clerk;
use super::line::{self, Line};
use crate::live::Shared;
use crate::protocol::{AdminError, AdminRequest, AdminResponse, ErrorCode};

/// How long a connection may be silent between two requests.
const IDLE: Duration = Duration::from_secs(60);
/// How long a request may take to arrive once it has begun.
const ARRIVAL: Duration = Duration::from_secs(5);
/// How long a request may take to be done.
const WORK: Duration = Duration::from_secs(20);
/// How long a peer may take to accept an answer.
const DEPARTURE: Duration = Duration::from_secs(5);
/// How long accepting rests when the system has no more sockets.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why the admin socket can't be had.
#[derive(Debug)]
pub enum SocketError {
    /// A server listens on it.
    InUse(PathBuf),
    /// Something stands there that is no socket.
    NotASocket(PathBuf),
    /// The system said no.
    Failed {
        /// The socket.
        path: PathBuf,
        /// What it said.
        error: io::Error,
    },
}

impl fmt::Display for SocketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse(path) => {
                write!(
                    f,
                    "another server listens on {}; stop it, or set another admin.socket",
                    path.display()
                )
            }
            Self::NotASocket(path) => write!(
                f,
                "{} is there and is no socket; move it away, or set another admin.socket",
                path.display()
            ),
            Self::Failed { path, error } => {
                write!(f, "the admin socket {} can't be made: {error}; check its directory", path.display())
            }
        }
    }
}

impl std::error::Error for SocketError {}

/// Binds the socket, for the user alone that runs the server. A socket that a dead server left is replaced.
pub(crate) fn bind(path: &Path) -> Result<UnixListener, SocketError> {
    let failed = |error| SocketError::Failed { path: path.to_owned(), error };
    match std::fs::symlink_metadata(path) {
        Ok(metadata) if !metadata.file_type().is_socket() => {
            return Err(SocketError::NotASocket(path.to_owned()));
        }
        Ok(_) => {
            if std::os::unix::net::UnixStream::connect(path).is_ok() {
                return Err(SocketError::InUse(path.to_owned()));
            }
            std::fs::remove_file(path).map_err(failed)?;
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(failed(error)),
    }
    // The mask is the whole process's: whatever another thread makes meanwhile is its owner's alone too.
    let mask = rustix::process::umask(Mode::RWXG | Mode::RWXO | Mode::XUSR);
    let bound = UnixListener::bind(path);
    rustix::process::umask(mask);
    let bound = bound.map_err(failed)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).map_err(failed)?;
    Ok(bound)
}

/// Who answers.
pub(crate) enum Desk {
    /// Of the active gateway.
    Open(Clerk),
    /// Of a gateway that stands by: whoever asks is told so, and which one is active.
    Closed(Arc<Shared>),
}

impl Desk {
    async fn answer(&self, request: AdminRequest) -> Result<AdminResponse, AdminError> {
        match self {
            Self::Open(clerk) => clerk.answer(request).await,
            Self::Closed(shared) => {
                let why = shared.health.not_ready().unwrap_or_else(|| "it begins to serve".to_owned());
                Err(AdminError::new(ErrorCode::Conflict, format!("the server takes no work: {why}")))
            }
        }
    }
}

/// The admin socket while it serves.
pub(crate) struct AdminSocket {
    path: PathBuf,
    stop: watch::Sender<bool>,
    accepting: JoinHandle<()>,
    room: Arc<Semaphore>,
    connections_max: u32,
}

impl AdminSocket {
    /// Serves. Must be called within a tokio runtime.
    pub(crate) fn start(
        listener: UnixListener,
        path: &Path,
        desk: Arc<Desk>,
        connections_max: usize,
    ) -> Self {
        let (stop, stopping) = watch::channel(false);
        let room = Arc::new(Semaphore::new(connections_max));
        let accepting = tokio::spawn(accept(listener, desk, room.clone(), stopping));
        // At most 1024, by the bound on the setting.
        let connections_max = connections_max as u32;
        Self { path: path.to_owned(), stop, accepting, room, connections_max }
    }

    /// Takes no more requests, and waits, at most so long, for those that are being done.
    pub(crate) async fn stop(self, limit: Duration) {
        // Nobody connects to a socket that isn't there: a client is told at once that no server runs.
        if let Err(error) = std::fs::remove_file(&self.path) {
            tracing::warn!(%error, path = %self.path.display(), "the admin socket could not be removed");
        }
        self.accepting.abort();
        self.stop.send_replace(true);
        if timeout(limit, self.room.acquire_many(self.connections_max)).await.is_err() {
            tracing::warn!(
                "requests on the admin socket were still being done when the time to stop ran out"
            );
        }
    }
}

async fn accept(
    listener: UnixListener,
    desk: Arc<Desk>,
    room: Arc<Semaphore>,
    stopping: watch::Receiver<bool>,
) {
    loop {
        // Whoever comes when all permits are out waits in the system's queue.
        let Ok(permit) = room.clone().acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, _)) => {
                tokio::spawn(serve(stream, desk.clone(), permit, stopping.clone()));
            }
            Err(error) => {
                tracing::warn!(%error, "an admin connection could not be accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve(
    stream: UnixStream,
    desk: Arc<Desk>,
    permit: OwnedSemaphorePermit,
    mut stopping: watch::Receiver<bool>,
) {
    let (read, mut write) = stream.into_split();
    let mut read = BufReader::new(read);
    loop {
        let begun = tokio::select! {
            _ = stopping.wait_for(|stop| *stop) => false,
            begun = timeout(IDLE, read.fill_buf()) => matches!(begun, Ok(Ok(bytes)) if !bytes.is_empty()),
        };
        if !begun {
            break;
        }
        let Ok(Ok(line)) = timeout(ARRIVAL, line::read(&mut read)).await else { break };
        let (outcome, more) = match line {
            Line::End => break,
            Line::TooLong => {
                let what = "the request is longer than 64 KiB; ask for less";
                (Err(AdminError::new(ErrorCode::Limit, what)), false)
            }
            Line::Whole(line) => match line::request(&line) {
                Ok(request) => {
                    drop(line);
                    (answer(&desk, request).await, true)
                }
                Err(error) => (Err(error), true),
            },
        };
        let response = line::response(outcome);
        if !matches!(timeout(DEPARTURE, write.write_all(&response)).await, Ok(Ok(()))) || !more {
            break;
        }
    }
    drop(permit);
}

async fn answer(desk: &Desk, request: AdminRequest) -> Result<AdminResponse, AdminError> {
    match timeout(WORK, desk.answer(request)).await {
        Ok(outcome) => outcome,
        Err(_) => {
            let what = "the server took too long; look whether it was done before you ask again";
            Err(AdminError::new(ErrorCode::Busy, what))
        }
    }
}
