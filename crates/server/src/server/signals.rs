//! What somebody wants of the process.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::StartError;

/// The signal that has come, once one has.
pub(super) type Signalled = watch::Receiver<Option<&'static str>>;

/// Whoever listens, and what it listens on. It is one for the process and stays: a signal that comes while a gateway that
/// stepped down is between two lives must not be lost, and does not end the process any more.
static LISTENER: Mutex<Option<(Runtime, Signalled)>> = Mutex::new(None);

/// How often it is looked whether a signal has come.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// From now on SIGTERM and SIGINT do not end the process, but are told.
pub(super) fn listen() -> Result<Signalled, StartError> {
    let mut listener = LISTENER.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((_, signalled)) = &*listener {
        return Ok(signalled.clone());
    }
    let failed = |error| StartError::System { what: "signals can't be received", error };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("mayfly-signals")
        .enable_all()
        .build()
        .map_err(failed)?;
    let entered = runtime.enter();
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let (sender, signalled) = watch::channel(None);
    drop(runtime.spawn(async move {
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        sender.send_replace(Some(name));
        // Whoever looks later must find it.
        sender.closed().await;
    }));
    drop(entered);
    *listener = Some((runtime, signalled.clone()));
    Ok(signalled)
}

/// Waits for so long, or until a signal comes, and gives that.
pub(super) fn pause(time: Duration) -> Result<Option<&'static str>, StartError> {
    let signalled = listen()?;
    let begun = Instant::now();
    while signalled.borrow().is_none() && begun.elapsed() < time {
        std::thread::sleep(LOOK_EVERY);
    }
    Ok(*signalled.borrow())
}
