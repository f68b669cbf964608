//! Upkeep of the directory: once a minute what counts for nothing any more is forgotten.

use std::sync::Arc;
use std::time::Duration;

use mayfly_engine::Clock;
use mayfly_identity::throttle::ThrottlePolicy;
use mayfly_store::directory::{By, Directory, DirectoryError, Purged};

/// How often.
const EVERY: Duration = Duration::from_secs(60);
/// How many rows of each kind at a time: some milliseconds in which nobody else writes.
const ROWS: usize = 1000;

/// Keeps the directory small, until it is aborted.
pub(crate) async fn run(directory: Arc<Directory>, clock: Arc<dyn Clock>) {
    loop {
        tokio::time::sleep(EVERY).await;
        let (directory, now_ms) = (directory.clone(), clock.now_ms());
        let purged = tokio::task::spawn_blocking(move || purge(&directory, now_ms)).await;
        if let Ok(Err(error)) = purged {
            tracing::warn!(%error, "what is over in the directory could not be forgotten");
        }
    }
}

/// As often as there is as much as is forgotten at a time.
fn purge(directory: &Directory, now_ms: u64) -> Result<(), DirectoryError> {
    loop {
        let by = By { actor: "upkeep", now_ms };
        let purged = directory.write(by, |writing| writing.purge(ROWS, ThrottlePolicy::NAME.forgotten_ms))?;
        let Purged { sessions, invitations, throttles, answers, attempts } = purged;
        let most = sessions.max(invitations).max(throttles).max(answers).max(attempts);
        if most < ROWS {
            return directory.sweep(now_ms);
        }
    }
}
