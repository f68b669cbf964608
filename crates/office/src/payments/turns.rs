//! What is done to one payment is done one after the other; to different ones at the same time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mayfly_store::directory::PaymentId;
use tokio::sync::{Mutex as Waiting, OwnedMutexGuard};

/// The payments that something is done to now: no more than there are requests.
#[derive(Default)]
pub(super) struct Turns {
    payments: Mutex<HashMap<PaymentId, Arc<Waiting<()>>>>,
}

/// Somebody's turn, or his place among those who wait for it. It ends when it is dropped.
pub(super) struct Turn {
    turns: Arc<Turns>,
    id: PaymentId,
    queue: Arc<Waiting<()>>,
    held: Option<OwnedMutexGuard<()>>,
}

impl Turns {
    /// Waits for its turn.
    pub(super) async fn take(self: &Arc<Self>, id: PaymentId) -> Turn {
        let queue = self.lock().entry(id).or_default().clone();
        // Made before it waits: whoever goes away meanwhile leaves nothing behind.
        let mut turn = Turn { turns: self.clone(), id, queue, held: None };
        turn.held = Some(turn.queue.clone().lock_owned().await);
        turn
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<PaymentId, Arc<Waiting<()>>>> {
        // The table is never half changed.
        self.payments.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.held = None;
        let mut payments = self.turns.lock();
        // The table's and this one: nobody else waits, and nobody can come while the table is locked.
        if Arc::strong_count(&self.queue) == 2 {
            payments.remove(&self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn one_payment_waits_for_itself_only_and_nothing_is_left_behind() {
        let turns = Arc::new(Turns::default());
        let [one, other] = [PaymentId([1; 16]), PaymentId([2; 16])];
        let Poll::Ready(first) = poll(pin!(turns.take(one))) else { panic!("nobody else is there") };
        let Poll::Ready(another) = poll(pin!(turns.take(other))) else { panic!("it is another payment") };
        {
            let mut gone = pin!(turns.take(one));
            let mut second = pin!(turns.take(one));
            assert!(poll(gone.as_mut()).is_pending() && poll(second.as_mut()).is_pending());
            drop(first);
            // The first who waits has it now, and goes away without having looked.
            gone.set(turns.take(one));
            assert!(poll(second.as_mut()).is_ready());
        }
        assert_eq!(turns.lock().len(), 1);
        drop(another);
        assert!(turns.lock().is_empty());
    }
}
