//! What is owed to an issuer host, written down where it outlives whoever forwards it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use mayfly_iso8583::MessageBuilder;
use mayfly_network::forward::{Reversals, Settled};
use tokio::sync::Notify;

#[derive(Clone, Default)]
pub struct Owed(Arc<Book>);

#[derive(Default)]
struct Book {
    entries: Mutex<BTreeMap<u64, (MessageBuilder, Option<Settled>)>>,
    more: Notify,
}

impl Owed {
    pub fn add(&self, message: MessageBuilder) {
        let mut entries = self.0.entries.lock().unwrap();
        let id = entries.len() as u64;
        entries.insert(id, (message, None));
        self.0.more.notify_one();
    }

    pub fn len(&self) -> usize {
        self.0.entries.lock().unwrap().len()
    }

    /// How each that is settled was.
    pub fn outcomes(&self) -> Vec<Settled> {
        self.0.entries.lock().unwrap().values().filter_map(|(_, how)| *how).collect()
    }
}

impl Reversals for Owed {
    type Id = u64;

    async fn unsettled(&mut self, after: Option<u64>, count_max: usize) -> Vec<u64> {
        let entries = self.0.entries.lock().unwrap();
        let open =
            entries.iter().filter(|(id, (_, how))| after.is_none_or(|after| **id > after) && how.is_none());
        open.map(|(id, _)| *id).take(count_max).collect()
    }

    async fn more(&mut self) {
        self.0.more.notified().await;
    }

    async fn message(&mut self, id: u64) -> Option<MessageBuilder> {
        self.0.entries.lock().unwrap().get(&id).map(|(message, _)| message.clone())
    }

    async fn settled(&mut self, id: u64, how: Settled) {
        if let Some((_, settled)) = self.0.entries.lock().unwrap().get_mut(&id) {
            assert_eq!(*settled, None, "settled once");
            *settled = Some(how);
        }
    }
}
