//! `mayfly journal verify`: walks the chain from its first record to its last.

use clap::Args;
use mayfly_store::{Home, JournalReader, Verified, compare_with_replay};
use serde_json::json;

use super::{failure, open};
use crate::failure::{Failure, Outcome};
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

impl Verify {
    /// Runs it.
    pub(crate) fn run(&self, place: &Place, output: Output) -> Outcome {
        let journal = open(place)?;
        let bar = output.progress("checking", journal.last_sequence().map_err(failure)?);
        let verified = mayfly_store::verify(&journal, |sequence| bar.set_position(sequence));
        bar.finish_and_clear();
        let Verified { head, events } = verified.map_err(failure)?;
        if self.views {
            compare(&journal, place, output)?;
        }
        let hash: String = head.hash.iter().map(|byte| format!("{byte:02x}")).collect();
        let mut value = json!({ "ok": true, "records": head.sequence, "events": events, "head": hash });
        let mut lines = vec![
            ("journal", journal.location().to_string()),
            ("records", head.sequence.to_string()),
            ("events", events.to_string()),
            ("last hash", hash),
            ("chain", "whole".into()),
        ];
        if self.views {
            value["views"] = "same".into();
            lines.push(("views", "the same as a replay of the journal".into()));
        }
        output.either(&value, || pairs(&lines))
    }
}

/// Replays the journal and compares; every difference is told.
fn compare(journal: &JournalReader, place: &Place, output: Output) -> Outcome {
    let spinner = output.spinner("comparing the views with a replay");
    let home = place.home()?;
    let differences = compare_with_replay(&home, journal.partition());
    spinner.finish_and_clear();
    let differences = differences.map_err(failure)?;
    if differences.is_empty() {
        return Ok(());
    }
    let told: Vec<String> = differences.iter().map(ToString::to_string).collect();
    // A start builds them again.
    let cure = match home {
        Home::Files(_) => "stop the server, remove views.db and start it again",
        Home::Database(_) => {
            "stop every server on this database, have psql DROP SCHEMA mayfly_views CASCADE and start them again"
        }
    };
    let told = told.join("\n  ");
    Err(Failure::Refused(format!("the views are not what the journal says; {cure}:\n  {told}")))
}
