//! Where passwords are hashed and checked: on threads of their own, few of them and a short queue, that step back
//! behind those who answer purchases. A storm of log-ins is turned away at the door and costs nobody else anything.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use mayfly_identity::password::PasswordHasher;
use tokio::sync::oneshot;

/// How far these threads step back, as `nice` counts it.
const NICE: i32 = 10;

type Work = Box<dyn FnOnce(&PasswordHasher) + Send>;

/// Hashes and checks passwords. Its threads end when it is dropped.
pub(super) struct Passwords {
    queue: SyncSender<Work>,
}

/// There are too many already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Full;

impl Passwords {
    /// With so many threads, and so many who may wait for one.
    pub(super) fn start(hasher: PasswordHasher, workers: usize, waiting_max: usize) -> std::io::Result<Self> {
        let (queue, taken) = sync_channel::<Work>(waiting_max);
        let (hasher, taken) = (Arc::new(hasher), Arc::new(Mutex::new(taken)));
        for _ in 0..workers {
            let (hasher, taken) = (hasher.clone(), taken.clone());
            thread::Builder::new().name("passwords".to_owned()).spawn(move || {
                step_back();
                while let Some(work) = next(&taken) {
                    work(&hasher);
                }
            })?;
        }
        Ok(Self { queue })
    }

    /// Has something done with the hasher, if there is room. None comes back if it broke off.
    pub(super) fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&PasswordHasher) -> T + Send + 'static,
    ) -> Result<oneshot::Receiver<T>, Full> {
        let (done, answer) = oneshot::channel();
        let work: Work = Box::new(move |hasher| {
            // Whoever has gone away is not worth the work.
            if !done.is_closed() {
                drop(done.send(work(hasher)));
            }
        });
        match self.queue.try_send(work) {
            Ok(()) => Ok(answer),
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => Err(Full),
        }
    }
}

fn next(taken: &Mutex<Receiver<Work>>) -> Option<Work> {
    taken.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}

fn step_back() {
    let thread = rustix::thread::gettid();
    if let Err(error) = rustix::process::setpriority_process(Some(thread), NICE) {
        tracing::debug!(%error, "passwords are checked like any other work");
    }
}
