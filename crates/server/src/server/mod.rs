//! The server: everything started in the right order, watched while it runs, and stopped in the right order.

mod error;
mod parts;
mod signals;
mod standby;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use mayfly_api::RunningApi;
use mayfly_engine::Engine;
use mayfly_network::{Network, Stopped};
use mayfly_notify::Delivery;
use mayfly_store::{DirectoryLock, Folder, LeaseKeeper};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tokio::task::JoinHandle;

pub use error::{ServeError, StartError, StopError};

use crate::admin::AdminSocket;
use crate::config::Settings;
use crate::directory::Run;
use crate::health::Phase;
use crate::hosts::Hosts;
use crate::http::AdminPages;
use crate::live::Shared;
use crate::protocol::Addresses;
use crate::retention::Keeping;

/// How often the engine is looked at.
const WATCH: Duration = Duration::from_millis(250);
/// How soon a gateway that found its database away is started again.
const START_AGAIN: Duration = Duration::from_millis(500);
/// How long the runtime may take to end what is left of its tasks.
const RUNTIME_STOP: Duration = Duration::from_secs(2);

/// A running server. Stop it with [`Server::stop`].
pub struct Server {
    runtime: Runtime,
    shared: Arc<Shared>,
    settings: Settings,
    addresses: Addresses,
    failed: watch::Receiver<Option<String>>,
    background: Vec<JoinHandle<()>>,
    network: Network,
    hosts: Hosts,
    api: Option<RunningApi>,
    delivery: Delivery,
    socket: AdminSocket,
    pages: Option<AdminPages>,
    retention: Keeping,
    engine: Engine,
    folder: Folder,
    lock: Option<DirectoryLock>,
    /// Where several gateways share a database: what makes this one the active one.
    keeper: Option<LeaseKeeper>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server").field("addresses", &self.addresses).finish_non_exhaustive()
    }
}

/// Why a server should be stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Somebody wants it to.
    Signal(&'static str),
    /// Another gateway has taken over.
    Superseded,
    /// It can't go on; why.
    Failed(String),
}

/// Starts a server, runs it until it is told to stop or can't go on, and stops it: what `mayfly serve` does.
///
/// # Errors
/// If it could not be started, or could not go on, or could not write everything when it stopped.
pub fn serve(settings: Settings) -> Result<(), ServeError> {
    // Once it was there, a database that is away is waited for; one that is not there at first may be another's.
    let mut found = false;
    loop {
        let server = match parts::start(settings.clone(), &mut found) {
            Ok(server) => server,
            Err(StartError::Unwanted(signal)) => {
                tracing::info!(signal, "stopped while standing by");
                return Ok(());
            }
            Err(error) if found && error.is_passing() => {
                tracing::warn!(%error, "the gateway could not start: it tries again");
                match signals::pause(START_AGAIN).map_err(ServeError::Start)? {
                    None => continue,
                    Some(signal) => {
                        tracing::info!(signal, "stopped while waiting for the database");
                        return Ok(());
                    }
                }
            }
            Err(error) => return Err(ServeError::Start(error)),
        };
        let cause = server.wait();
        let stopped = server.stop().map_err(ServeError::Stop);
        match cause {
            Cause::Signal(_) => return stopped,
            Cause::Failed(why) => return stopped.and(Err(ServeError::Failed(why))),
            // What it has in memory is not how things are any more: it begins anew, and stands by.
            Cause::Superseded => tracing::warn!("another gateway has taken over: this one steps down"),
        }
    }
}

impl Server {
    /// Starts everything. Returns when the server takes work.
    ///
    /// # Errors
    /// What is wrong, and what to do. Then nothing runs.
    pub fn start(settings: Settings) -> Result<Self, StartError> {
        parts::start(settings, &mut false)
    }

    /// Where it listens.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// Where its data are.
    pub fn data_dir(&self) -> &PathBuf {
        &self.settings.data_dir
    }

    /// What it is doing.
    pub fn phase(&self) -> Phase {
        self.shared.health.phase()
    }

    /// Waits until somebody wants the server to stop (SIGTERM, SIGINT), another gateway has taken over, or it can't go on.
    pub fn wait(&self) -> Cause {
        let mut failed = self.failed.clone();
        let mut signalled = match signals::listen() {
            Ok(signalled) => signalled,
            Err(error) => return Cause::Failed(error.to_string()),
        };
        self.runtime.block_on(async {
            tokio::select! {
                signal = signalled.wait_for(Option::is_some) => {
                    Cause::Signal(signal.ok().and_then(|signal| *signal).unwrap_or("the end of the runtime"))
                }
                why = failed.wait_for(Option::is_some) => {
                    let why = why.ok().and_then(|why| why.clone());
                    if self.keeper.as_ref().is_some_and(|keeper| keeper.standing().is_lost()) {
                        return Cause::Superseded;
                    }
                    Cause::Failed(why.unwrap_or_else(|| "the server's watch broke off".to_owned()))
                }
            }
        })
    }

    /// Stops: takes nothing more, answers what is under way (for so long as the settings allow), writes
    /// everything, and gives the directory free.
    ///
    /// # Errors
    /// If the journal could not be written, or the views could not be folded to the end. Whatever was
    /// acknowledged is on the disk nevertheless.
    pub fn stop(self) -> Result<(), StopError> {
        let begun = SystemTime::now();
        let Self {
            runtime,
            shared,
            settings,
            background,
            network,
            hosts,
            api,
            delivery,
            socket,
            pages,
            retention,
            engine,
            folder,
            lock,
            keeper,
            ..
        } = self;
        tracing::info!("stopping");
        shared.health.enter(Phase::Stopping);
        // Scripts that look for a server must not find this one any more.
        Run::remove(&settings.data_dir);
        runtime.block_on(async {
            for task in &background {
                task.abort();
            }
            let stop_api = async {
                if let Some(api) = api {
                    api.stop().await;
                }
                delivery.stop().await;
            };
            let (stopped, (), ()) = tokio::join!(network.stop(), stop_api, socket.stop(settings.drain));
            // Nobody asks any more what they would have to say.
            hosts.stop().await;
            if let Stopped::Cut { connections } = stopped {
                tracing::warn!(connections, "connections were still busy when the time to stop ran out");
            }
        });
        // It ends with the step that it is at.
        drop(retention);
        let superseded = keeper.as_ref().is_some_and(|keeper| keeper.standing().is_lost());
        let journal = engine.stop().err();
        let views = folder.stop().err();
        // Nothing is written any more: whoever stands by may begin.
        if let Some(Err(error)) = keeper.map(LeaseKeeper::release) {
            tracing::warn!(%error, "the lease could not be given back: a standby waits until it is over");
        }
        runtime.block_on(async {
            if let Some(pages) = pages {
                pages.stop().await;
            }
        });
        runtime.shutdown_timeout(RUNTIME_STOP);
        drop(lock);
        let took_ms = begun.elapsed().map_or(0, |took| took.as_millis() as u64);
        match (journal, views) {
            // What was not written or folded is the other one's to do.
            (journal, views) if superseded => {
                tracing::info!(took_ms, ?journal, ?views, "stepped down");
                Ok(())
            }
            (None, None) => {
                tracing::info!(took_ms, "stopped");
                Ok(())
            }
            (journal, views) => Err(StopError { journal, views }),
        }
    }
}
