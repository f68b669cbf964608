//! The bounded pool that looks up, in the views, what memory has forgotten.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use mayfly_core::state::Transaction;
use mayfly_core::{Answer, Command, Hash64, MessageAnswer, PageRequest, PartitionId, Reason, Refusal};

use crate::mailbox::deliver;
use crate::queue::{Queue, Resumed, Work};
use crate::{Archive, ArchiveError, Ticket};

/// How many look-ups run at the same time.
const THREADS: usize = 2;
/// How many may wait, several times what one connection may have in flight: whoever comes when they are all taken
/// is answered 96.
const WAITING_MAX: usize = 8192;

pub(crate) struct Pager {
    jobs: SyncSender<Job>,
}

struct Job {
    /// Where, and what.
    what: (PartitionId, LookUp),
    command: Command,
    ticket: Ticket,
}

/// What is looked up.
pub(crate) enum LookUp {
    /// Transactions. The entry with that number must be folded before the look-up sees everything that was decided before it.
    Page(PageRequest, u64),
    /// An answer that is kept. What memory forgets of those is folded long since.
    Kept(Hash64),
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
    pub(crate) fn look_up(&self, what: (PartitionId, LookUp), command: Command, ticket: Ticket) {
        if let Err(TrySendError::Full(job) | TrySendError::Disconnected(job)) =
            self.jobs.try_send(Job { what, command, ticket })
        {
            let failed = failed(&job.command);
            deliver(&mut vec![(job.ticket, failed)]);
        }
    }
}

fn failed(command: &Command) -> Answer {
    match command {
        Command::Message(_) => Answer::Message(MessageAnswer::unrecorded(Reason::LookUpFailed)),
        _ => Answer::Refused(Refusal::Busy),
    }
}

fn look_up_all(receiver: &Mutex<Receiver<Job>>, archive: &dyn Archive, queue: &Queue) {
    loop {
        let job = receiver.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Job { what, mut command, ticket }) = job else { return };
        match look_up(archive, &what, &mut command) {
            Ok(found) => queue.add_again(Work::Resume(Box::new(Resumed { command, ticket, found }))),
            Err(error) => {
                tracing::warn!(%error, "a look-up failed");
                deliver(&mut vec![(ticket, failed(&command))]);
            }
        }
    }
}

/// Looks up what a command needs, and gives it to the command; transactions are for the writer to admit.
fn look_up(
    archive: &dyn Archive,
    (partition, what): &(PartitionId, LookUp),
    command: &mut Command,
) -> Result<Vec<Transaction>, ArchiveError> {
    match (what, command) {
        (LookUp::Page(page, number), Command::Message(request)) => {
            let found = archive.page(*partition, page, *number)?;
            request.paged = Some(found.iter().map(|transaction| transaction.id).collect());
            Ok(found)
        }
        (LookUp::Kept(key), Command::Once(once)) => {
            once.recalled = Some(archive.recall(*partition, *key)?);
            Ok(Vec::new())
        }
        // Nothing else ever asks for a look-up.
        _ => Ok(Vec::new()),
    }
}
