//! What one issuer host has to be told, and when each of it may leave.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mayfly_core::IssuerId;
use mayfly_engine::Catalogue;
use mayfly_iso8583::MessageBuilder;
use mayfly_network::forward::{Reversals, Settled};
use mayfly_network::host::{Identity, Owed, advice};
use mayfly_store::EventPlace;
use tokio::sync::Notify;
use tokio::sync::mpsc::Sender;

/// What is owed to a host and in memory: filled by the keeper.
#[derive(Default)]
pub(super) struct Book {
    owed: Mutex<Owed<EventPlace>>,
    more: Notify,
}

impl Book {
    pub(super) fn owed(&self) -> MutexGuard<'_, Owed<EventPlace>> {
        // Nobody panics while he holds this lock.
        self.owed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// There may be more that may leave.
    pub(super) fn tell(&self) {
        self.more.notify_one();
    }
}

/// Hands it to whoever sends.
pub(super) struct Teller {
    issuer: IssuerId,
    book: Arc<Book>,
    settled: Sender<(IssuerId, EventPlace)>,
    catalogue: Arc<Catalogue>,
    identity: Identity,
}

impl Teller {
    pub(super) fn new(
        issuer: IssuerId,
        book: Arc<Book>,
        settled: Sender<(IssuerId, EventPlace)>,
        catalogue: Arc<Catalogue>,
        identity: Identity,
    ) -> Self {
        Self { issuer, book, settled, catalogue, identity }
    }
}

impl Reversals for Teller {
    type Id = u64;

    async fn unsettled(&mut self, after: Option<u64>, count_max: usize) -> Vec<u64> {
        self.book.owed().tickets(after, count_max)
    }

    async fn more(&mut self) {
        self.book.more.notified().await;
    }

    async fn message(&mut self, id: u64) -> Option<MessageBuilder> {
        let (place, owed) = self.book.owed().of(id).map(|(place, owed)| (place, owed.clone()))?;
        let own = self.catalogue.cards().and_then(|cards| cards.own(owed.advice.number.index));
        if own.is_none() {
            // It stays owed: once the card is known again, the next start tells it.
            tracing::error!(%place, issuer = %self.issuer, number = %owed.advice.number.id,
                "an issuer host can't be told of a card that is not in the conversion table");
        }
        Some(advice(&owed.advice, owed.at_ms, &own?, &self.identity))
    }

    async fn settled(&mut self, id: u64, how: Settled) {
        let Some((place, told)) = self.book.owed().of(id).map(|(place, owed)| (place, owed.advice.told))
        else {
            return;
        };
        if let Settled::Refused(code) = how {
            let code = String::from_utf8_lossy(&code).into_owned();
            tracing::warn!(%place, code, issuer = %self.issuer, told = told.name(),
                "an issuer host refused what it was told: somebody should look at it");
        }
        // The keeper ends after this.
        let _ = self.settled.send((self.issuer, place)).await;
    }
}
