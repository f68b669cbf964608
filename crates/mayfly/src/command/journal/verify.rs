//! `mayfly journal verify`: walks the chain from its first record to its last.

use clap::Args;
use mayfly_engine::Head;
use mayfly_store::{JournalReader, StoreError};
use serde_json::json;

use super::{failure, open};
use crate::failure::Outcome;
use crate::output::Output;
use crate::place::Place;
use crate::table::pairs;

/// What is checked.
#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// Also replay the journal and compare what follows from it with the views
    #[arg(long)]
    views: bool,
}

/// What was found in a journal that is whole.
struct Found {
    head: Head,
    events: u64,
}

impl Verify {
    /// Runs it.
    pub(crate) fn run(&self, place: &Place, output: Output) -> Outcome {
        let journal = open(place)?;
        let Found { head, events } = walk(&journal, output)?;
        let hash: String = head.hash.iter().map(|byte| format!("{byte:02x}")).collect();
        let value = json!({ "ok": true, "records": head.sequence, "events": events, "head": hash });
        output.either(&value, || {
            pairs(&[
                ("journal", journal.path().display().to_string()),
                ("records", head.sequence.to_string()),
                ("events", events.to_string()),
                ("last hash", hash.clone()),
                ("chain", "whole".into()),
            ])
        })
    }
}

fn walk(journal: &JournalReader, output: Output) -> Outcome<Found> {
    let bar = output.progress("checking", journal.last_sequence().map_err(failure)?);
    let mut found = Found { head: Head::START, events: 0 };
    for record in journal.records(1) {
        let record = record.map_err(failure)?;
        record.check(&found.head).and_then(|()| record.each_event(|_| found.events += 1)).map_err(|why| {
            failure(StoreError::Record { path: journal.path().to_owned(), sequence: record.sequence, why })
        })?;
        found.head = record.head();
        bar.set_position(record.sequence);
    }
    bar.finish_and_clear();
    Ok(found)
}
