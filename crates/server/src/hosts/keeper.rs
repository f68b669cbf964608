//! Takes over from the journal what issuer hosts have to be told, and writes down what they have acknowledged.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mayfly_core::IssuerId;
use mayfly_engine::Clock;
use mayfly_network::host::OwedAdvice;
use mayfly_office::Office;
use mayfly_office::events::Advised;
use mayfly_store::EventPlace;
use mayfly_store::directory::{By, Directory, DirectoryError, StoredAdvice};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::oneshot;
use tokio::time::sleep;

use super::HostsError;
use super::teller::Book;

/// Who it is, where it is said who writes.
const KEEPER: &str = "issuer-hosts";
/// How often it is looked whether there is something new.
const POLL: Duration = Duration::from_millis(50);
/// How often it is written how far the journal was read, while there is nothing else to write.
const WRITE_EVERY: Duration = Duration::from_secs(5);
/// How long it is waited after something could not be read or written.
const PAUSE: Duration = Duration::from_millis(500);
/// How many of one issuer are in memory; the others stay in the directory until there is room.
const KNOWN_MAX: usize = 16_384;
/// How many acknowledgements wait to be written.
const SETTLED_MAX: usize = 4_096;

pub(super) struct Keeper {
    office: Arc<Office>,
    directory: Arc<Directory>,
    clock: Arc<dyn Clock>,
    books: HashMap<IssuerId, Kept>,
    settled: Receiver<(IssuerId, EventPlace)>,
    /// Up to where it is written that everything was taken over.
    written: EventPlace,
    written_at: Instant,
}

struct Kept {
    book: Arc<Book>,
    /// Whether there are more in the directory than in memory.
    more: bool,
}

/// What is to be written at once.
#[derive(Default)]
struct Round {
    taken_over: Vec<StoredAdvice>,
    settled: Vec<(IssuerId, EventPlace)>,
    next: Option<EventPlace>,
}

/// Another gateway has taken over.
struct Superseded;

impl Keeper {
    /// Reads what is owed. Whatever is settled is said to the sender.
    pub(super) async fn open(
        office: Arc<Office>,
        directory: Arc<Directory>,
        clock: Arc<dyn Clock>,
        books: HashMap<IssuerId, Arc<Book>>,
    ) -> Result<(Self, Sender<(IssuerId, EventPlace)>), HostsError> {
        let now_ms = clock.now_ms();
        let of_directory = directory.clone();
        let begin = move || {
            if let Some(place) = of_directory.host_place()? {
                return Ok(place);
            }
            // From now on nothing is dropped from the journal that was not looked at.
            let by = By { actor: KEEPER, now_ms };
            of_directory
                .write(by, |writing| writing.note_host_advices((None, EventPlace::FIRST), &[], &[]))?;
            Ok(EventPlace::FIRST)
        };
        let written = blocking(begin).await.map_err(HostsError::Directory)?;
        let (sender, settled) = channel(SETTLED_MAX);
        let books = books.into_iter().map(|(issuer, book)| (issuer, Kept { book, more: true })).collect();
        let written_at = Instant::now();
        let mut keeper = Self { office, directory, clock, books, settled, written, written_at };
        keeper.fill().await.map_err(HostsError::Directory)?;
        Ok((keeper, sender))
    }

    /// Runs until it is stopped, or another gateway has taken over.
    pub(super) async fn run(mut self, mut stopped: oneshot::Receiver<()>) {
        let mut from = self.written;
        let mut round = Round::default();
        let mut failing = false;
        loop {
            while round.settled.len() < SETTLED_MAX
                && let Ok(settled) = self.settled.try_recv()
            {
                round.settled.push(settled);
            }
            let stops = !matches!(stopped.try_recv(), Err(oneshot::error::TryRecvError::Empty));
            let done = self.step(&mut round, &mut from).await;
            let pause = match done {
                Ok(Ok(more)) => {
                    failing = false;
                    if more { Duration::ZERO } else { POLL }
                }
                Ok(Err(Superseded)) => {
                    tracing::warn!("another gateway tells issuer hosts what they have to hear");
                    return;
                }
                Err(error) => {
                    if !std::mem::replace(&mut failing, true) {
                        tracing::error!(
                            error,
                            "what issuer hosts have to be told can't be kept; it is tried again"
                        );
                    }
                    PAUSE
                }
            };
            if stops {
                return;
            }
            tokio::select! {
                _ = &mut stopped => return self.last(round, from).await,
                Some(settled) = self.settled.recv() => round.settled.push(settled),
                () = sleep(pause) => {}
            }
        }
    }

    /// Writes what was settled before the end.
    async fn last(&mut self, mut round: Round, mut from: EventPlace) {
        while let Ok(settled) = self.settled.try_recv() {
            round.settled.push(settled);
        }
        if let Err(error) = self.step(&mut round, &mut from).await {
            tracing::error!(
                error,
                "what issuer hosts have acknowledged could not be written: they are told it again"
            );
        }
    }

    /// One round. Whether there is more to do at once.
    async fn step(
        &mut self,
        round: &mut Round,
        from: &mut EventPlace,
    ) -> Result<Result<bool, Superseded>, String> {
        if round.next.is_none() {
            let Advised { advices, next } =
                self.office.advised(*from).await.map_err(|error| error.to_string())?;
            let stored = |(place, at_ms, advice)| StoredAdvice { place, at_ms, advice };
            round.taken_over = advices.into_iter().map(stored).collect();
            round.next = Some(next);
        }
        let next = round.next.unwrap_or(*from);
        let something = !round.taken_over.is_empty() || !round.settled.is_empty();
        let is_time = next > self.written && self.written_at.elapsed() >= WRITE_EVERY;
        if something || is_time {
            if !self.write(round, next).await? {
                return Ok(Err(Superseded));
            }
            self.written_at = Instant::now();
            self.note(std::mem::take(round));
            self.fill().await?;
        }
        let more = next > *from;
        *from = next;
        round.next = None;
        Ok(Ok(more))
    }

    /// False if another gateway has written meanwhile.
    async fn write(&mut self, round: &Round, next: EventPlace) -> Result<bool, String> {
        let (directory, before) = (self.directory.clone(), self.written);
        let (taken_over, by_ms) = (round.taken_over.clone(), self.clock.now_ms());
        let settled: Vec<EventPlace> = round.settled.iter().map(|(_, place)| *place).collect();
        let written = blocking(move || {
            let by = By { actor: KEEPER, now_ms: by_ms };
            let span = (Some(before), next);
            match directory.write(by, |writing| writing.note_host_advices(span, &taken_over, &settled)) {
                // Nobody knows whether it was written; the place says it.
                Err(error) if next > before => match directory.host_place() {
                    Ok(Some(place)) if place == next => Ok(true),
                    _ => Err(error),
                },
                written => written,
            }
        })
        .await?;
        if written {
            self.written = next;
        }
        Ok(written)
    }

    /// What was written is so in memory too: what waited for something settled may leave now.
    fn note(&mut self, round: Round) {
        for (issuer, place) in round.settled {
            if let Some(kept) = self.books.get(&issuer) {
                kept.book.owed().settled(place);
                kept.book.tell();
            }
        }
        for StoredAdvice { place, at_ms, advice } in round.taken_over {
            let Some(kept) = self.books.get_mut(&advice.issuer) else { continue };
            let mut owed = kept.book.owed();
            kept.more |= owed.len() >= KNOWN_MAX;
            if !kept.more {
                owed.add(place, OwedAdvice { advice, at_ms });
                kept.book.tell();
            }
        }
    }

    /// Reads more of those of which only some are in memory, if there is room.
    async fn fill(&mut self) -> Result<(), String> {
        for (issuer, kept) in &mut self.books {
            let (known, last) = {
                let owed = kept.book.owed();
                (owed.len(), owed.last())
            };
            if !kept.more || known > KNOWN_MAX / 2 {
                continue;
            }
            let (directory, issuer, room) = (self.directory.clone(), *issuer, KNOWN_MAX - known);
            let found = blocking(move || directory.host_advices(issuer, last, room)).await?;
            kept.more = found.len() >= room;
            let mut owed = kept.book.owed();
            for StoredAdvice { place, at_ms, advice } in found {
                owed.add(place, OwedAdvice { advice, at_ms });
            }
            kept.book.tell();
        }
        Ok(())
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, DirectoryError> + Send + 'static,
) -> Result<T, String> {
    let done = tokio::task::spawn_blocking(work).await.map_err(|error| error.to_string())?;
    done.map_err(|error| error.to_string())
}
