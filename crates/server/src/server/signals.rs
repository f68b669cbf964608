//! What somebody wants of the process.

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
