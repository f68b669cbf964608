//! `mayfly journal verify`: walks the chain from its first record to its last.

use clap::Args;
use mayfly_engine::Head;
use mayfly_server::config::Settings;
use mayfly_store::{Home, JournalReader, Verified, compare_with_archive};
use serde_json::json;

use super::{Source, archive, failure};
use crate::failure::{Failure, Outcome};
use crate::output::Output;
use crate::place::Place;
use crate::table::pairs;

/// What is checked.
#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// Also replay the journal and compare what follows from it with the views
    #[arg(long, conflicts_with_all = ["archive", "no_archive"])]
    views: bool,
    #[command(flatten)]
    source: Source,
}

impl Verify {
    /// Runs it.
    pub(crate) fn run(&self, place: &Place, output: Output) -> Outcome {
        if !self.source.archive.is_empty() {
            return self.archive(output);
        }
        let journal = self.source.open(place)?;
        let bar = output.progress("checking", journal.last_sequence().map_err(failure)?);
        let verified = mayfly_store::verify(&journal, |sequence| bar.set_position(sequence));
        bar.finish_and_clear();
        let Verified { base, head, events } = verified.map_err(failure)?;
        if self.views {
            compare(&journal, place, output)?;
        }
        let hash = hex(&head);
        let archived = journal.base().map_err(failure)?.sequence;
        let mut value = json!({
            "ok": true, "records": head.sequence, "events": events, "head": hash, "first": base.sequence + 1,
            "archived": archived,
        });
        let records = match (archived, base.sequence) {
            (0, _) => head.sequence.to_string(),
            (archived, 0) => format!("{}, the first {archived} of them in the archive", head.sequence),
            (_, base) => {
                format!("{} to {}; those before were archived, and not looked at", base + 1, head.sequence)
            }
        };
        let mut lines = vec![
            ("journal", journal.location().to_string()),
            ("records", records),
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

    /// Files of an archive alone.
    fn archive(&self, output: Output) -> Outcome {
        let found = archive::verify(&self.source.archive, output)?;
        let partitions: Vec<_> = found
            .iter()
            .map(|whole| {
                json!({
                    "partition": whole.partition.0, "files": whole.files, "first": whole.base.sequence + 1,
                    "last": whole.head.sequence, "events": whole.events, "previous": hex(&whole.base),
                    "head": hex(&whole.head),
                })
            })
            .collect();
        output.either(&json!({ "ok": true, "partitions": partitions }), || {
            let lines = found.iter().map(|whole| {
                pairs(&[
                    ("files", whole.files.to_string()),
                    ("records", format!("{} to {}", whole.base.sequence + 1, whole.head.sequence)),
                    ("events", whole.events.to_string()),
                    ("hash before", hex(&whole.base)),
                    ("last hash", hex(&whole.head)),
                    ("chain", "whole".into()),
                ])
            });
            lines.collect::<Vec<_>>().join("\n")
        })
    }
}

fn hex(head: &Head) -> String {
    head.hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Replays the journal and compares; every difference is told.
fn compare(journal: &JournalReader, place: &Place, output: Output) -> Outcome {
    let spinner = output.spinner("comparing the views with a replay");
    let Settings { home, retention, .. } = place.settings()?;
    let differences = compare_with_archive(&home, journal.partition(), Some(&retention.archive_dir));
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
