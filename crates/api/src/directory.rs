//! Asking the directory: its calls block, so they run on threads that may, a few at a time.

use std::sync::Arc;

use mayfly_store::StoreError;
use mayfly_store::directory::{Directory, DirectoryError};
use tokio::sync::Semaphore;

use crate::problem::{Code, Problem};

/// How many calls run at a time; whoever comes then waits for one of them.
const CALLS_MAX: usize = 8;

/// Where the directory is asked.
pub(crate) struct DirectoryDesk {
    directory: Arc<Directory>,
    room: Arc<Semaphore>,
}

impl DirectoryDesk {
    pub(crate) fn new(directory: Arc<Directory>) -> Self {
        Self { directory, room: Arc::new(Semaphore::new(CALLS_MAX)) }
    }

    /// Asks. Whoever asked may go away meanwhile: the call goes on, and keeps its place until it ends.
    pub(crate) async fn ask<T, E>(
        &self,
        ask: impl FnOnce(&Directory) -> Result<T, E> + Send + 'static,
    ) -> Result<T, Problem>
    where
        T: Send + 'static,
        E: Into<Problem> + Send + 'static,
    {
        // The semaphore is never closed.
        let place = self.room.clone().acquire_owned().await.map_err(|_| Problem::new(Code::Busy))?;
        let directory = self.directory.clone();
        let span = tracing::Span::current();
        let asked = tokio::task::spawn_blocking(move || {
            let (_place, _entered) = (place, span.entered());
            ask(&directory).map_err(Into::into)
        });
        // It panicked, or the runtime is stopping.
        asked.await.map_err(|_| Problem::new(Code::Internal))?
    }
}

impl Problem {
    /// The database is away, or the connection to it broke: it may be over already. Nobody knows whether it was done; whoever
    /// asks again with the same key finds out.
    pub(crate) fn passing(error: &StoreError) -> Self {
        tracing::warn!(%error, "the database is away");
        Self::new(Code::Busy)
    }
}

impl From<DirectoryError> for Problem {
    fn from(error: DirectoryError) -> Self {
        match error {
            DirectoryError::KeyIssuer { .. } => Self::field("/role", error),
            DirectoryError::KeyMerchant { .. } => Self::field("/merchant", error),
            DirectoryError::NoMerchant => Self::new(Code::NotFound),
            DirectoryError::CardAcceptorTaken => Self::new(Code::CardAcceptorTaken),
            DirectoryError::KeyOver { .. } => Self::new(Code::KeyOver),
            DirectoryError::LoginNameTaken => Self::new(Code::NameTaken),
            DirectoryError::AccountTaken { .. } => Self::new(Code::AccountTaken),
            DirectoryError::TooManyAccounts => Self::new(Code::AccountsMax),
            DirectoryError::TooManyWebhooks => Self::new(Code::WebhooksMax),
            DirectoryError::Store(error) if error.is_passing() => Self::passing(&error),
            error => {
                tracing::error!(%error, "the directory could not be used");
                Self::new(Code::Storage)
            }
        }
    }
}
