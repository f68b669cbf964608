//! The office: everything that operators can do and see, as plain functions from typed values to typed values.
//!
//! Whatever speaks to operators (the admin socket, the HTTP API) is a thin layer over it. What changes something is
//! answered when it is on the disk. What is read from the views is never older than the request.

mod accounts;
mod error;
mod holds;
mod issuers;
mod numbers;
mod status;
mod transactions;
mod views;

use std::fmt;
use std::sync::Arc;

use mayfly_core::state::State;
use mayfly_core::{Answer, Command, Operation};
use mayfly_engine::{Catalogue, Clock, Desk, Handle};

pub use error::OfficeError;
pub use holds::Hold;
pub use issuers::{TermsError, standard_layout};

pub use numbers::{NumberNow, NumberOrder};
pub use status::Snapshot;
pub use views::Views;

/// Where operators' requests are done.
pub struct Office {
    handle: Handle,
    desk: Desk,
    catalogue: Arc<Catalogue>,
    views: Views,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for Office {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Office")
    }
}

/// Which part of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part<Id> {
    /// With which item it begins; with the list's first if none.
    pub from: Option<Id>,
    /// How many items it may have.
    pub limit: usize,
}

/// A part of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Items<T, Id> {
    /// The items.
    pub items: Vec<T>,
    /// With which item the next part begins; none if there is no more.
    pub next: Option<Id>,
}

impl Office {
    /// On an engine and its views.
    pub fn new(
        handle: Handle,
        desk: Desk,
        catalogue: Arc<Catalogue>,
        views: Views,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { handle, desk, catalogue, views, clock }
    }

    /// Has something done; the answer is durable.
    async fn operate(&self, operation: Operation) -> Result<Answer, OfficeError> {
        let answer = self.handle.ask(Command::Operate(Box::new(operation))).map_err(OfficeError::Busy)?;
        match answer.await.map_err(|_| OfficeError::Stopped)? {
            Answer::Refused(refusal) => Err(OfficeError::Refused(refusal)),
            answer => Ok(answer),
        }
    }

    /// Looks into the engine's memory.
    async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&State) -> T + Send + 'static,
    ) -> Result<T, OfficeError> {
        self.handle.look(look).map_err(OfficeError::Busy)?.await.map_err(|_| OfficeError::Stopped)
    }
}
