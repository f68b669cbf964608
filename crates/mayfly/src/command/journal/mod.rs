//! `mayfly journal …`: reads what happened, straight from the file. It only reads, so it may do so while a
//! server runs.

mod event_view;
pub(crate) mod verify;

use std::time::Duration;

use clap::{Args, Subcommand};
use mayfly_engine::Entry;
use mayfly_store::{JournalReader, StoreError};

use crate::failure::{Failure, Outcome};
use crate::output::Output;
use crate::place::Place;
use event_view::EventView;

/// How often a followed journal is looked at.
const FOLLOW_EVERY: Duration = Duration::from_millis(200);

/// Read and check the journal, also while a server runs
#[derive(Debug, Subcommand)]
pub(crate) enum JournalCommand {
    /// Print what happened, one event a line
    Read(Read),
    /// Check that nothing was altered: every record's hash, and the chain that they make
    Verify(verify::Verify),
}

/// Which part of the journal.
#[derive(Debug, Args)]
pub(crate) struct Read {
    /// The first entry: what was written together, one record in each partition that it changed
    #[arg(long, value_name = "ENTRY", default_value_t = 1)]
    from: u64,
    /// The last entry
    #[arg(long, value_name = "ENTRY")]
    to: Option<u64>,
    /// Go on with what happens from now, until interrupted
    #[arg(long, short = 'F', conflicts_with = "to")]
    follow: bool,
}

impl JournalCommand {
    /// Runs it.
    pub(crate) fn run(&self, place: &Place, output: Output) -> Outcome {
        match self {
            Self::Read(read) => read.run(place, output),
            Self::Verify(verify) => verify.run(place, output),
        }
    }
}

/// The journal that the options name.
fn open(place: &Place) -> Outcome<JournalReader> {
    JournalReader::open(&place.home()?).map_err(failure)
}

/// Damage is what was looked for; everything else means that the journal can't be read.
fn failure(error: StoreError) -> Failure {
    match &error {
        StoreError::Record { .. } | StoreError::Gap { .. } | StoreError::Damaged { .. } => {
            Failure::Refused(error.to_string())
        }
        _ => Failure::Unreachable(error.to_string()),
    }
}

impl Read {
    fn run(&self, place: &Place, output: Output) -> Outcome {
        let journal = open(place)?;
        let mut next = self.from;
        loop {
            for entry in journal.entries(next) {
                let entry = entry.map_err(failure)?;
                if self.to.is_some_and(|to| entry.number > to) {
                    return Ok(());
                }
                next = entry.number + 1;
                print(&entry, &journal, output)?;
            }
            if !self.follow {
                return Ok(());
            }
            std::thread::sleep(FOLLOW_EVERY);
        }
    }
}

fn print(entry: &Entry, journal: &JournalReader, output: Output) -> Outcome {
    let several = journal.partitions().get() > 1;
    let mut events = Vec::new();
    for record in &entry.records {
        journal.each_event(record, |event| events.push(event)).map_err(failure)?;
        for event in events.drain(..) {
            let of = several.then_some((record.partition, record.sequence));
            let view = EventView { number: entry.number, of, at_ms: record.at_ms, event: &event };
            if output.is_json() { output.json(&view.json())? } else { output.line(view.line())? }
        }
    }
    Ok(())
}
