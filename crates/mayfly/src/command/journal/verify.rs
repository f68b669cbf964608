//! `mayfly journal verify`: walks the chain from its first record to its last.

use clap::Args;
use mayfly_engine::Ends;
use mayfly_server::config::Settings;
use mayfly_store::{Home, Verified, compare_with_archive};
use serde_json::{Value, json};

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
        let bar = output.progress("checking", journal.last_number().map_err(failure)?);
        let verified = mayfly_store::verify(&journal, |number| bar.set_position(number));
        bar.finish_and_clear();
        let verified = verified.map_err(failure)?;
        if self.views {
            compare(place, output)?;
        }
        let archived = journal.base().map_err(failure)?.number;
        let mut value = ends_json(&verified);
        value["ok"] = true.into();
        value["archived"] = archived.into();
        let mut lines = vec![("journal", journal.location().to_string())];
        lines.extend(ends_lines(&verified));
        if archived > 0 && verified.base.number == 0 {
            lines.push(("in the archive", format!("entries 1 to {archived}")));
        }
        lines.push(("chain", "whole".into()));
        if self.views {
            value["views"] = "same".into();
            lines.push(("views", "the same as a replay of the journal".into()));
        }
        output.either(&value, || pairs(&lines))
    }

    /// Files of an archive alone.
    fn archive(&self, output: Output) -> Outcome {
        let found = archive::verify(&self.source.archive, output)?;
        let before = hex(&found.verified.base.digest());
        let mut value = ends_json(&found.verified);
        value["ok"] = true.into();
        value["files"] = found.files.into();
        value["previous"] = before.clone().into();
        let mut lines = vec![("files", found.files.to_string())];
        lines.extend(ends_lines(&found.verified));
        lines.push(("hash before", before));
        lines.push(("chain", "whole".into()));
        output.either(&value, || pairs(&lines))
    }
}

/// What a journal has and where it ends, for scripts: its last hash stands for all before it.
pub(crate) fn ends_json(verified: &Verified) -> Value {
    let Verified { base, ends, events } = verified;
    json!({
        "entries": ends.number, "first": base.number + 1, "records": records(ends), "events": events,
        "partitions": ends.heads.len(), "head": hex(&ends.digest()),
    })
}

/// The same for people.
pub(crate) fn ends_lines(verified: &Verified) -> Vec<(&'static str, String)> {
    let Verified { base, ends, events } = verified;
    let mut lines = vec![("records", records(ends).to_string()), ("events", events.to_string())];
    if ends.heads.len() > 1 {
        lines.insert(0, ("entries", ends.number.to_string()));
        lines.insert(0, ("partitions", ends.heads.len().to_string()));
    }
    if base.number > 0 {
        let first = base.number + 1;
        lines.push((
            "beginning with",
            format!("entry {first}; what was before was archived, and is not looked at"),
        ));
    }
    lines.push(("last hash", hex(&ends.digest())));
    lines
}

/// How many records all partitions have together.
fn records(ends: &Ends) -> u64 {
    ends.heads.iter().map(|head| head.sequence).sum()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Replays the journal and compares; every difference is told.
fn compare(place: &Place, output: Output) -> Outcome {
    let spinner = output.spinner("comparing the views with a replay");
    let Settings { home, retention, .. } = place.settings()?;
    let differences = compare_with_archive(&home, Some(&retention.archive_dir));
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
