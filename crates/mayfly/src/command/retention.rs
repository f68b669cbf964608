//! `mayfly retention …`: what a running server keeps, and what it would drop.

use std::time::Duration;

use clap::{Args, Subcommand};
use mayfly_server::protocol::{AdminRequest, Retention, RetentionAsked, Time};

use crate::admin::{Admin, another_answer, answered};
use crate::failure::{Failure, Outcome};
use crate::output::Output;
use crate::place::Place;
use crate::table::pairs;

/// How often it is looked whether a run has come to its end.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Look at what is kept and for how long, or have what is old archived and dropped now
#[derive(Debug, Subcommand)]
pub(crate) enum RetentionCommand {
    /// Show what would be archived and dropped, and who keeps it from being; nothing is done
    Show(What),
    /// Have it done, and wait until it is
    Run(What),
}

/// What is dropped. If nothing is said: what the configuration says.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct What {
    /// What was written before this time, as in 2026-11-22T14:26:51Z; at least 48 hours ago
    #[arg(long, value_name = "TIME")]
    journal_before: Option<jiff::Timestamp>,
    /// What has been over since this time, of the views; never more than the journal
    #[arg(long, value_name = "TIME")]
    views_before: Option<jiff::Timestamp>,
}

impl What {
    fn asked(self) -> RetentionAsked {
        let time = |time: jiff::Timestamp| Time(u64::try_from(time.as_millisecond()).unwrap_or(0));
        RetentionAsked {
            journal_before: self.journal_before.map(time),
            views_before: self.views_before.map(time),
        }
    }
}

impl RetentionCommand {
    /// Runs it.
    pub(crate) fn run(self, place: &Place, output: Output) -> Outcome {
        let mut admin = Admin::connect(place)?;
        match self {
            Self::Show(what) => {
                let found = answered!(admin.ask(AdminRequest::ShowRetention(what.asked()))?, Retention)?;
                output.either(&found, || show(&found))
            }
            Self::Run(what) => {
                let begun = answered!(admin.ask(AdminRequest::RunRetention(what.asked()))?, Retention)?;
                let run = begun.run.ok_or_else(another_answer)?;
                wait(&mut admin, run, output)?;
                let asked = AdminRequest::ShowRetention(RetentionAsked::default());
                let done = answered!(admin.ask(asked)?, Retention)?;
                let last = done.runs.last.as_ref().ok_or_else(another_answer)?;
                if let Some(error) = &last.error {
                    return Err(Failure::Unreachable(error.clone()));
                }
                output.either(&done, || {
                    pairs(&[
                        ("records archived", last.records.to_string()),
                        ("files", last.files.to_string()),
                        ("bytes", last.bytes.to_string()),
                        ("transactions dropped", last.transactions.to_string()),
                        ("numbers dropped", last.numbers.to_string()),
                    ])
                })
            }
        }
    }
}

/// Until a run has come to its end.
fn wait(admin: &mut Admin, run: u64, output: Output) -> Outcome {
    let spinner = output.spinner("archiving and dropping");
    while answered!(admin.ask(AdminRequest::RetentionRuns {})?, RetentionRuns)?.runs < run {
        std::thread::sleep(LOOK_EVERY);
    }
    spinner.finish_and_clear();
    Ok(())
}

fn show(found: &Retention) -> String {
    let before =
        |time: Option<Time>| time.map_or("kept for ever".to_owned(), |time| format!("before {time}"));
    let mut lines = vec![
        ("journal", before(found.journal_before)),
        ("views", before(found.views_before)),
        ("archive", found.archive_dir.clone()),
    ];
    if let Some(last) = &found.runs.last {
        let what = match &last.error {
            Some(error) => format!("failed: {error}"),
            None => format!(
                "{} records, {} transactions and {} numbers dropped",
                last.records, last.transactions, last.numbers
            ),
        };
        lines.push(("last run", format!("{}: {what}", last.at)));
    }
    if found.runs.running {
        lines.push(("now", "something is being dropped".into()));
    }
    let drops = match (found.entries, found.held) {
        (entries, 0) => entries.to_string(),
        (entries, held) => {
            let by = found.held_by.as_deref().unwrap_or("somebody");
            format!("{entries}; {held} more are old enough, but {by} has to read them first")
        }
    };
    let oldest = found.oldest.map(|time| format!(", the first of {time}")).unwrap_or_default();
    lines.push(("entries", format!("{} to {}{oldest}", found.first_entry, found.last_entry)));
    lines.push(("entries to drop", drops));
    lines.push(("transactions to look at", found.transactions.to_string()));
    pairs(&lines)
}
