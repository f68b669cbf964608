//! The office: everything that operators can do and see, as plain functions from typed values to typed values.
//!
//! Whatever speaks to operators (the admin socket, the HTTP API) is a thin layer over it. What changes something is
//! answered when it is on the disk. What is read from the views is never older than the request.

mod accounts;
mod cards;
mod check_site;
mod error;
pub mod events;
mod facts;
mod holds;
mod issuers;
mod keyring;
mod numbers;
pub mod payments;
mod reception;
mod simulation;
mod status;
mod transactions;
mod views;

use std::fmt;
use std::sync::Arc;

use mayfly_core::{Answer, Command, MessageAnswer, Once, OnceKey, Operation, Partitions, Request};
use mayfly_engine::cards::CardDesk;
use mayfly_engine::{Catalogue, Clock, Desk, Handle};
use mayfly_store::directory::Directory;

use accounts::KnownAccounts;
use cards::Cards;

pub use accounts::AccountFacts;
pub use cards::{CardNow, CardStatus, load_cards};
pub use check_site::{CheckSiteAsked, key_process, standard_terms};
pub use error::OfficeError;
pub use holds::Hold;
pub use issuers::{TermsError, standard_layout};

pub use keyring::{KeyGiven, KeyOrder, Keyring, make_key, rotate_key};
pub use numbers::{NumberNow, NumberOrder};
pub use reception::{
    Enrolment, LoginAttempt, Reception, ReceptionError, ReceptionOptions, SessionGiven, address_key,
};
pub use simulation::{Afterwards, SaleKind, Shop, SimulatedSale};
pub use status::Snapshot;
pub use views::Views;

/// Where operators' requests are done.
pub struct Office {
    handle: Handle,
    desk: Desk,
    cards: Arc<Cards>,
    catalogue: Arc<Catalogue>,
    views: Views,
    directory: Arc<Directory>,
    clock: Arc<dyn Clock>,
    known_accounts: KnownAccounts,
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
    /// What a sender's key is in the core. The same key of another sender, or for something else, is another one.
    pub fn once_key(&self, sender: &[u8], key: &[u8], content: &[u8; 32]) -> OnceKey {
        OnceKey {
            key: self.catalogue.hash("once", &[sender, key]),
            content: self.catalogue.hash("once-content", &[content]),
        }
    }

    /// On an engine, its views and the directory.
    pub fn new(
        handle: Handle,
        (desk, cards): (Desk, CardDesk),
        catalogue: Arc<Catalogue>,
        views: Views,
        directory: Arc<Directory>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let cards = Cards::new(cards, handle.clone(), catalogue.clone(), directory.clone(), clock.clone());
        let (cards, known_accounts) = (Arc::new(cards), KnownAccounts::default());
        Self { handle, desk, cards, catalogue, views, directory, clock, known_accounts }
    }

    /// Has something done, or hears that it was done when the same came with the same key; the answer is durable.
    async fn operate(&self, operation: Operation, once: Option<OnceKey>) -> Result<Answer, OfficeError> {
        let answer = self.handle.ask(command(operation, once)).map_err(OfficeError::Busy)?;
        done(answer.await.map_err(|_| OfficeError::Stopped)?)
    }

    /// Has a message decided, as if the network had brought it; the answer is durable.
    async fn decide(&self, request: Request) -> Result<MessageAnswer, OfficeError> {
        let answer = self.handle.ask(Command::Message(Box::new(request))).map_err(OfficeError::Busy)?;
        match answer.await {
            Ok(Answer::Message(answer)) => Ok(answer),
            _ => Err(OfficeError::Stopped),
        }
    }

    /// Looks into the engine's memory.
    async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Partitions) -> T + Send + 'static,
    ) -> Result<T, OfficeError> {
        self.handle.look(look).map_err(OfficeError::Busy)?.await.map_err(|_| OfficeError::Stopped)
    }
}

/// The things of a list from position `skip` on, each with its id: the first thing of all has id 1.
fn numbered<T, Id>(all: &[T], skip: usize, id: fn(u64) -> Id) -> impl Iterator<Item = (Id, &T)> {
    let rest = all.get(skip..).unwrap_or_default();
    rest.iter().zip(skip as u64..).map(move |(thing, at)| (id(at + 1), thing))
}

/// An operation as a command, with its key if it has one.
fn command(operation: Operation, once: Option<OnceKey>) -> Command {
    let command = Command::Operate(Box::new(operation));
    match once {
        Some(once) => Command::Once(Box::new(Once { once, note: Vec::new(), command, recalled: None })),
        None => command,
    }
}

/// What came of a command, now or when it was sent before.
fn done(answer: Answer) -> Result<Answer, OfficeError> {
    match answer {
        Answer::Refused(refusal) => Err(OfficeError::Refused(refusal)),
        Answer::Repeated { outcome, .. } => Ok(outcome.answer()),
        answer => Ok(answer),
    }
}
