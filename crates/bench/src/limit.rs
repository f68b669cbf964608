//! The limit of the machine: a plain file to which records are appended, with one sync for each group.

use std::fs::File;
use std::io::{self, Write};
use std::num::NonZeroU16;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use mayfly_core::state::Transaction;
use mayfly_core::{PageRequest, PartitionId, Partitions};
use mayfly_engine::{
    AppendError, Archive, ArchiveError, Catalogue, Ends, Engine, Entry, Journal, NobodyAsked, Options, Parts,
    Progress, SystemClock,
};

use crate::drive::{Bell, Figures, Latency};
use crate::rig::BenchError;

/// What waits to be written, and what has been.
#[derive(Default)]
struct Exchange {
    waiting: Mutex<Vec<usize>>,
    filled: Bell,
    written: Mutex<Vec<usize>>,
    answered: Bell,
    done: AtomicBool,
}

/// Appends records of `record_bytes` for so long, with `in_flight` always under way: whatever waits is appended
/// as one group, with one sync, and then answered. Nothing is decided: it is what the disk and two threads can
/// do, in the same closed loop as the engine.
pub fn bare_file(
    path: &Path,
    in_flight: usize,
    record_bytes: usize,
    run_for: Duration,
) -> io::Result<Figures> {
    let mut file = File::create(path)?;
    let exchange = Arc::new(Exchange::default());
    let server = exchange.clone();
    let writer = thread::Builder::new().name("bare-file".into()).spawn(move || -> io::Result<()> {
        let bytes: Vec<u8> = (0..in_flight * record_bytes).map(|at| (at % 251) as u8).collect();
        let mut group = Vec::new();
        while !server.done.load(Ordering::Acquire) {
            server.filled.wait();
            std::mem::swap(&mut *lock(&server.waiting), &mut group);
            if !group.is_empty() {
                file.write_all(&bytes[..group.len() * record_bytes])?;
                file.sync_data()?;
                lock(&server.written).append(&mut group);
                server.answered.ring();
            }
        }
        Ok(())
    })?;
    let begun = Instant::now();
    let mut latency = Latency::new(begun);
    let mut sent = vec![begun; in_flight];
    let mut answers = Vec::new();
    lock(&exchange.waiting).extend(0..in_flight);
    exchange.filled.ring();
    while begun.elapsed() < run_for && !writer.is_finished() {
        exchange.answered.wait();
        std::mem::swap(&mut *lock(&exchange.written), &mut answers);
        let now = Instant::now();
        for slot in &answers {
            latency.came(sent[*slot], now, true);
            sent[*slot] = now;
        }
        lock(&exchange.waiting).append(&mut answers);
        exchange.filled.ring();
    }
    let figures = latency.figures(begun.elapsed());
    exchange.done.store(true, Ordering::Release);
    exchange.filled.ring();
    writer.join().map_err(|_| io::Error::other("the writer of the bare file panicked"))??;
    std::fs::remove_file(path)?;
    Ok(figures)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A journal that is only a file: what the engine could do if its database cost nothing.
pub struct FlatJournal(File);

impl FlatJournal {
    /// In a new file.
    pub fn create(path: &Path) -> io::Result<Self> {
        File::create(path).map(Self)
    }
}

impl Journal for FlatJournal {
    fn append(&mut self, entry: &Entry) -> Result<(), AppendError> {
        let mut records = entry.records.iter();
        let written = records
            .try_for_each(|record| self.0.write_all(&record.payload))
            .and_then(|()| self.0.sync_data());
        written.map_err(|error| AppendError::Failed(error.to_string()))
    }
}

/// Benchmarks look nothing up.
pub(crate) struct NoArchive;

impl Archive for NoArchive {
    fn page(&self, _: PartitionId, _: &PageRequest, _: u64) -> Result<Vec<Transaction>, ArchiveError> {
        Err(ArchiveError("a benchmark looks nothing up".into()))
    }
}

/// An engine on a flat file, without views.
pub fn without_database(journal: &Path) -> Result<(Engine, Arc<Catalogue>), BenchError> {
    let catalogue = crate::rig::catalogue(NonZeroU16::MIN)?;
    let engine = Engine::start(Parts {
        partitions: Partitions::new(NonZeroU16::MIN),
        ends: Ends::start(NonZeroU16::MIN),
        journal: Box::new(FlatJournal::create(journal)?),
        archive: Arc::new(NoArchive),
        catalogue: catalogue.clone(),
        asker: Arc::new(NobodyAsked),
        clock: Arc::new(SystemClock),
        progress: Arc::new(Progress::default()),
        options: Options { views_lag_max_ms: u64::MAX, ..Options::default() },
    })?;
    Ok((engine, catalogue))
}
