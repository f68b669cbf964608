//! Where answers are delivered: one lock and one wake for all answers of a batch that go to the same place.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use mayfly_core::Answer;
use tokio::sync::oneshot;

/// Collects the answers for one asker (a connection), each with the key that he gave.
pub struct Mailbox {
    letters: Mutex<Vec<(u64, Answer)>>,
    wake: Box<dyn Fn() + Send + Sync>,
}

impl fmt::Debug for Mailbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mailbox")
    }
}

impl Mailbox {
    /// An empty one. `wake` is called when answers have come; it must neither block nor panic.
    pub fn new(wake: impl Fn() + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self { letters: Mutex::new(Vec::new()), wake: Box::new(wake) })
    }

    /// Takes everything that has come, into an empty `letters` whose space is used again.
    pub fn take(&self, letters: &mut Vec<(u64, Answer)>) {
        // Nobody panics while he holds this lock; if one did, the letters would still be whole.
        std::mem::swap(&mut *self.letters.lock().unwrap_or_else(PoisonError::into_inner), letters);
    }

    fn put(&self, key: u64, answer: Answer) -> bool {
        let mut letters = self.letters.lock().unwrap_or_else(PoisonError::into_inner);
        letters.push((key, answer));
        letters.len() == 1
    }
}

/// Where one answer goes.
#[derive(Debug)]
pub enum Ticket {
    /// To a mailbox, under a key.
    Mailbox(Arc<Mailbox>, u64),
    /// To the one who waits for just this.
    Once(oneshot::Sender<Answer>),
    /// Nobody wants to know.
    Nobody,
}

/// Delivers the answers of a batch, then wakes each asker once.
pub(crate) fn deliver(answers: &mut Vec<(Ticket, Answer)>) {
    let mut to_wake: Vec<Arc<Mailbox>> = Vec::new();
    for (ticket, answer) in answers.drain(..) {
        match ticket {
            Ticket::Mailbox(mailbox, key) => {
                if mailbox.put(key, answer) {
                    to_wake.push(mailbox);
                }
            }
            // Whoever does not wait any more does not want the answer.
            Ticket::Once(sender) => drop(sender.send(answer)),
            Ticket::Nobody => {}
        }
    }
    for mailbox in to_wake {
        (mailbox.wake)();
    }
}
