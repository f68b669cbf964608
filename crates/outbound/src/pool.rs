//! Connections that wait for their next request.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::connect::Sender;
use crate::target::Origin;

/// How long a connection may wait for its next request.
pub(crate) const IDLE_MAX: Duration = Duration::from_secs(30);
/// How many connections to one origin may wait.
const IDLE_PER_ORIGIN_MAX: usize = 64;
/// How many connections may wait.
const IDLE_ALL_MAX: usize = 512;

/// Whether a connection is in use, and how often it was.
#[derive(Debug, Default)]
pub(crate) struct Use {
    busy: AtomicBool,
    count: AtomicU64,
}

impl Use {
    fn begin(&self) {
        self.busy.store(true, Ordering::Release);
        self.count.fetch_add(1, Ordering::AcqRel);
    }

    fn end(&self) {
        self.busy.store(false, Ordering::Release);
    }

    /// How often it was used.
    pub(crate) fn count(&self) -> u64 {
        self.count.load(Ordering::Acquire)
    }

    /// Whether nobody has used it since it had been used so often, and nobody does.
    pub(crate) fn is_idle_since(&self, count: u64) -> bool {
        !self.busy.load(Ordering::Acquire) && self.count() == count
    }
}

/// A connection, and who uses it.
pub(crate) struct Pooled {
    pub(crate) sender: Sender,
    pub(crate) used: Arc<Use>,
}

/// Connections that wait for their next request.
#[derive(Default)]
pub(crate) struct Pool {
    idle: Mutex<Idle>,
}

#[derive(Default)]
struct Idle {
    by_origin: HashMap<Origin, Vec<Pooled>>,
    count: usize,
}

impl Pool {
    /// The connection that was used last, if one is open. Its other end may be closing it.
    pub(crate) fn take(&self, origin: &Origin) -> Option<Pooled> {
        let mut idle = self.lock();
        loop {
            let waiting = idle.by_origin.get_mut(origin)?;
            let found = waiting.pop();
            if waiting.is_empty() {
                idle.by_origin.remove(origin);
            }
            let found = found?;
            idle.count -= 1;
            if !found.sender.is_closed() {
                found.used.begin();
                return Some(found);
            }
        }
    }

    /// A new connection is in use from the start.
    pub(crate) fn fresh(sender: Sender, used: Arc<Use>) -> Pooled {
        used.begin();
        Pooled { sender, used }
    }

    /// Keeps a connection for the next request, if there is room.
    pub(crate) fn put(&self, origin: &Origin, pooled: Pooled) {
        pooled.used.end();
        let mut idle = self.lock();
        if idle.count >= IDLE_ALL_MAX {
            idle.sweep();
        }
        let room = idle.count < IDLE_ALL_MAX;
        let waiting = idle.by_origin.entry(origin.clone()).or_default();
        if room && waiting.len() < IDLE_PER_ORIGIN_MAX && !pooled.sender.is_closed() {
            waiting.push(pooled);
            idle.count += 1;
        } else if waiting.is_empty() {
            idle.by_origin.remove(origin);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Idle> {
        // A list of connections and its length: worst of all, one too few is kept.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Idle {
    /// Forgets those that have ended.
    fn sweep(&mut self) {
        self.by_origin.retain(|_, waiting| {
            waiting.retain(|pooled| !pooled.sender.is_closed());
            !waiting.is_empty()
        });
        self.count = self.by_origin.values().map(Vec::len).sum();
    }
}
