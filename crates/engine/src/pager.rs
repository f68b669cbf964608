//! The bounded pool that looks up, in the views, what memory has forgotten.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use mayfly_core::{Answer, Command, MessageAnswer, PageRequest, Reason};

use crate::mailbox::deliver;
use crate::queue::{Queue, Resumed, Work};
use crate::{Archive, Ticket};

/// How many look-ups run at the same time.
const THREADS: usize = 2;
/// How many may wait, several times what one connection may have in flight: whoever comes when they are all taken
/// is answered 96.
const WAITING_MAX: usize = 8192;

pub(crate) struct Pager {
    jobs: SyncSender<Job>,
}

struct Job {
    page: PageRequest,
    /// What must be folded before the look-up sees everything that was decided before it.
    sequence: u64,
    command: Command,
    ticket: Ticket,
}

impl Pager {
    pub(crate) fn start(archive: Arc<dyn Archive>, queue: &Arc<Queue>) -> std::io::Result<Self> {
        let (jobs, receiver) = sync_channel(WAITING_MAX);
        let receiver = Arc::new(Mutex::new(receiver));
        for number in 0..THREADS {
            let (receiver, archive, queue) = (receiver.clone(), archive.clone(), queue.clone());
            thread::Builder::new()
                .name(format!("pager-{number}"))
                .spawn(move || look_up_all(&receiver, &*archive, &queue))?;
        }
        Ok(Self { jobs })
    }

    /// Has something looked up; the message comes back through the queue.
    pub(crate) fn look_up(&self, page: PageRequest, sequence: u64, command: Command, ticket: Ticket) {
        if let Err(TrySendError::Full(job) | TrySendError::Disconnected(job)) =
            self.jobs.try_send(Job { page, sequence, command, ticket })
        {
            deliver(&mut vec![(job.ticket, failed())]);
        }
    }
}

fn failed() -> Answer {
    Answer::Message(MessageAnswer::unrecorded(Reason::LookUpFailed))
}

fn look_up_all(receiver: &Mutex<Receiver<Job>>, archive: &dyn Archive, queue: &Queue) {
    loop {
        let job = receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job { page, sequence, mut command, ticket }) = job else { return };
        match archive.page(&page, sequence) {
            Ok(found) => {
                if let Command::Message(request) = &mut command {
                    request.paged = Some(found.iter().map(|transaction| transaction.id).collect());
                }
                queue.add_again(Work::Resume(Box::new(Resumed { command, ticket, found })));
            }
            Err(error) => {
                tracing::warn!(%error, "a look-up failed; answered 96");
                deliver(&mut vec![(ticket, failed())]);
            }
        }
    }
}
