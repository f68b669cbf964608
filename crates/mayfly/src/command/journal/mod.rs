//! `mayfly journal …`: reads what happened, straight from the journal and the files of its archive. It only reads, so it
//! may do so while a server runs.

mod archive;
mod event_view;
mod list;
pub(crate) mod verify;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use mayfly_core::Event;
use mayfly_engine::{Entry, Record};
use mayfly_server::config::Settings;
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
    /// Show from which entry to which the journal and the files of its archive are
    List(list::List),
}

/// Where the records are that are read. If nothing is said: in the journal, and in its archive where the configuration has it.
#[derive(Debug, Args)]
pub(crate) struct Source {
    /// Read these files of an archive alone, or all of a directory; no installation is needed
    #[arg(long, value_name = "PATH")]
    archive: Vec<PathBuf>,
    /// Read what is in the journal alone, from where it begins
    #[arg(long, conflicts_with = "archive")]
    no_archive: bool,
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
    #[arg(long, short = 'F', conflicts_with_all = ["to", "archive"])]
    follow: bool,
    #[command(flatten)]
    source: Source,
}

impl JournalCommand {
    /// Runs it.
    pub(crate) fn run(&self, place: &Place, output: Output) -> Outcome {
        match self {
            Self::Read(read) => read.run(place, output),
            Self::Verify(verify) => verify.run(place, output),
            Self::List(list) => list.run(place, output),
        }
    }
}

impl Source {
    /// The journal that the options name, with its archive or without.
    fn open(&self, place: &Place) -> Outcome<JournalReader> {
        let Settings { home, retention, .. } = place.settings()?;
        let journal = JournalReader::open(&home).map_err(failure)?;
        Ok(if self.no_archive { journal } else { journal.with_archive(&retention.archive_dir) })
    }
}

/// Damage is what was looked for; everything else means that the journal can't be read.
fn failure(error: StoreError) -> Failure {
    match &error {
        StoreError::Record { .. }
        | StoreError::Gap { .. }
        | StoreError::Damaged { .. }
        | StoreError::Archived { .. }
        | StoreError::ArchiveMissing { .. } => Failure::Refused(error.to_string()),
        _ => Failure::Unreachable(error.to_string()),
    }
}

impl Read {
    fn run(&self, place: &Place, output: Output) -> Outcome {
        if !self.source.archive.is_empty() {
            return archive::read(&self.source.archive, (self.from, self.to), output);
        }
        let journal = self.source.open(place)?;
        let begins = journal.beginning().map_err(failure)?.number + 1;
        let mut next = self.from.max(begins);
        loop {
            for entry in journal.entries(next) {
                let entry = entry.map_err(failure)?;
                if self.to.is_some_and(|to| entry.number > to) {
                    return Ok(());
                }
                next = entry.number + 1;
                let several = journal.partitions().get() > 1;
                print(&entry, several, output, |record, each| journal.each_event(record, each))?;
            }
            if !self.follow {
                return Ok(());
            }
            std::thread::sleep(FOLLOW_EVERY);
        }
    }
}

/// Prints each event of an entry. Where its records were read from says each of their events.
fn print(
    entry: &Entry,
    several: bool,
    output: Output,
    each_event: impl Fn(&Record, &mut dyn FnMut(Event)) -> Result<(), StoreError>,
) -> Outcome {
    let mut events = Vec::new();
    for record in &entry.records {
        each_event(record, &mut |event| events.push(event)).map_err(failure)?;
        for event in events.drain(..) {
            let of = several.then_some((record.partition, record.sequence));
            let view = EventView { number: entry.number, of, at_ms: record.at_ms, event: &event };
            if output.is_json() { output.json(&view.json()) } else { output.line(view.line()) }?;
        }
    }
    Ok(())
}
