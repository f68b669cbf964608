//! What archiving does to appends: how long they take while nothing else happens, and while old records are archived and
//! dropped beside them.
//!
//! Makes a journal of old records in a temporary directory, or in an empty database of PostgreSQL, and goes on appending at a
//! steady rate.
//!
//!     cargo run --release -p mayfly-store --example retention_pause -- [old records] [postgres://…]

#![allow(clippy::print_stdout)]

use std::num::NonZeroU16;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mayfly_core::{AnsweredLate, Event, IssuerId, PartitionId, QuestionId, Word};
use mayfly_engine::{Ends, Entry, Journal, Progress, Record};
use mayfly_store::{
    Asked, Database, DatabaseOptions, FoldOptions, Folder, Home, Retention, RetentionOptions, StoredJournal,
};

type Failure = Box<dyn std::error::Error + Send + Sync>;

const PARTITION: PartitionId = PartitionId(0);
const BEGUN_MS: u64 = 1_790_000_000_000;
const DAY_MS: u64 = 86_400_000;
/// How many events a record has, and how long it is from one to the next.
const EVENTS: u32 = 2_000;
const EVERY: Duration = Duration::from_millis(5);
/// For how long it is measured without anything beside it.
const ALONE: Duration = Duration::from_secs(5);

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let old = arguments.next().map_or(Ok(4_000), |text| text.parse::<u64>())?;
    let directory = tempfile::tempdir()?;
    let home = match arguments.next() {
        None => Home::from(directory.path()),
        Some(url) => {
            let limit = Duration::from_secs(30);
            let options = DatabaseOptions {
                url: &url,
                password: None,
                ca_file: None,
                statement_time_max: limit,
                connect_time_max: limit,
            };
            Home::Database(Arc::new(Database::new(&options)?))
        }
    };
    let mut maker = Maker {
        journal: StoredJournal::open(&home)?,
        ends: Ends::start(NonZeroU16::MIN),
        payload: Vec::new(),
    };
    for _ in 0..EVENTS {
        // It changes nothing: what is measured is the journal.
        let (question, issuer, word) = (QuestionId(u64::MAX), IssuerId(u64::MAX), Word::Late);
        Event::AnsweredLate(AnsweredLate { question, issuer, word }).write(&mut maker.payload);
    }
    for at in 0..old {
        maker.append(BEGUN_MS + at)?;
    }
    let now_ms = BEGUN_MS + 100 * DAY_MS;
    maker.append(now_ms)?;
    let progress = Arc::new(Progress::default());
    progress.set_durable(maker.ends.number, now_ms);
    Folder::start(&home, FoldOptions::default(), progress, |_| {})?.stop()?;
    println!("{old} records of {} bytes, one every {EVERY:?}", maker.payload.len());

    let begun = Instant::now();
    show("alone", maker.measure(now_ms, || begun.elapsed() < ALONE)?);
    let kept = RetentionOptions::forever(directory.path().join("archive"));
    let kept = Retention::open(&home, kept)?;
    let asked = Asked { journal_before_ms: Some(BEGUN_MS + 50 * DAY_MS), ..Asked::default() };
    let over = AtomicBool::new(false);
    let (measured, dropped) = std::thread::scope(|scope| {
        let archiving = scope.spawn(|| {
            let begun = Instant::now();
            let dropped = kept.run(&asked, now_ms, &|| true);
            over.store(true, Ordering::Release);
            dropped.map(|dropped| (dropped, begun.elapsed()))
        });
        let measured = maker.measure(now_ms, || !over.load(Ordering::Acquire));
        (measured, archiving.join())
    });
    show("beside archiving", measured?);
    if let Ok(dropped) = dropped {
        let (dropped, took) = dropped?;
        println!("archived {} records, {} bytes, in {took:.2?}", dropped.records, dropped.bytes);
    }
    Ok(())
}

struct Maker {
    journal: StoredJournal,
    ends: Ends,
    payload: Vec<u8>,
}

impl Maker {
    fn append(&mut self, at_ms: u64) -> Result<Duration, Failure> {
        let head = self.ends.head(PARTITION);
        let record = Record::seal(&head, PARTITION, at_ms, EVENTS, self.payload.clone());
        let entry = Entry { number: record.sequence, records: vec![record] };
        let begun = Instant::now();
        self.journal.append(&entry)?;
        self.ends.advance(&entry);
        Ok(begun.elapsed())
    }

    /// How long each append takes, the shortest first.
    fn measure(&mut self, at_ms: u64, goes_on: impl Fn() -> bool) -> Result<Vec<Duration>, Failure> {
        let mut took = Vec::new();
        while goes_on() {
            let one = self.append(at_ms)?;
            took.push(one);
            std::thread::sleep(EVERY.saturating_sub(one));
        }
        took.sort_unstable();
        Ok(took)
    }
}

fn show(what: &str, took: Vec<Duration>) {
    let at = |part: usize| took.get(took.len() * part / 1000).copied().unwrap_or_default();
    let longest = took.last().copied().unwrap_or_default();
    println!(
        "{what}: {} appends, p50 {:.2?}, p99 {:.2?}, p99.9 {:.2?}, longest {longest:.2?}",
        took.len(),
        at(500),
        at(990),
        at(999)
    );
}
