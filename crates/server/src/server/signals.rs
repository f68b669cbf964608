//! What somebody wants of the process.

use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::StartError;

/// The signal that has come, once one has.
pub(super) type Signalled = watch::Receiver<Option<&'static str>>;

/// From now on SIGTERM and SIGINT do not end the process, but are told.
pub(super) fn listen(runtime: &Runtime) -> Result<Signalled, StartError> {
    let _entered = runtime.enter();
    let failed = |error| StartError::System { what: "signals can't be received", error };
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
    Ok(signalled)
}

/// Waits for so long, or until a signal comes, and gives that.
pub(super) fn pause(time: Duration) -> Result<Option<&'static str>, StartError> {
    let failed = |error| StartError::System { what: "threads could not be started", error };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().map_err(failed)?;
    let mut signalled = listen(&runtime)?;
    let came = async { tokio::time::timeout(time, signalled.wait_for(Option::is_some)).await };
    let came = runtime.block_on(came).ok().and_then(Result::ok).and_then(|signal| *signal);
    // Nothing is left to be done on it.
    runtime.shutdown_background();
    Ok(came)
}
