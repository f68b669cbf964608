//! `mayfly journal list`: what of the journal is where.

use clap::Args;
use mayfly_server::protocol::Time;
use mayfly_store::Span;
use serde_json::{Value, json};

use super::{Source, archive, failure};
use crate::failure::Outcome;
use crate::output::Output;
use crate::place::Place;
use crate::table::Table;

/// What is listed.
#[derive(Debug, Args)]
pub(crate) struct List {
    #[command(flatten)]
    source: Source,
}

/// Entries from one to another, and where they are.
struct Line {
    first: u64,
    last: u64,
    from_ms: u64,
    to_ms: u64,
    place: String,
    bytes: Option<u64>,
    /// Whether the file is there.
    there: bool,
}

impl Line {
    fn of(span: &Span, there: bool) -> Self {
        Self {
            first: span.first(),
            last: span.last.number,
            from_ms: span.first_ms,
            to_ms: span.last.at_ms(),
            place: span.file.clone(),
            bytes: Some(span.bytes),
            there,
        }
    }

    fn json(&self) -> Value {
        json!({
            "first": self.first, "last": self.last,
            "from": Time(self.from_ms).to_string(), "to": Time(self.to_ms).to_string(),
            "place": self.place, "bytes": self.bytes, "missing": !self.there,
        })
    }
}

impl List {
    /// Runs it.
    pub(crate) fn run(&self, place: &Place, output: Output) -> Outcome {
        let lines = if self.source.archive.is_empty() {
            self.installation(place)?
        } else {
            archive::open(&self.source.archive)?.iter().map(|file| Line::of(file.span(), true)).collect()
        };
        let value: Vec<Value> = lines.iter().map(Line::json).collect();
        output.either(&json!({ "items": value }), || {
            let mut table = Table::new([">first", ">last", "from", "to", "where", ">bytes", ""]);
            for line in &lines {
                table.row([
                    line.first.to_string(),
                    line.last.to_string(),
                    Time(line.from_ms).to_string(),
                    Time(line.to_ms).to_string(),
                    line.place.clone(),
                    line.bytes.map(|bytes| bytes.to_string()).unwrap_or_default(),
                    if line.there { String::new() } else { "missing".into() },
                ]);
            }
            table.lines_or("the journal is empty")
        })
    }

    fn installation(&self, place: &Place) -> Outcome<Vec<Line>> {
        let directory = place.settings()?.retention.archive_dir;
        let journal = self.source.open(place)?;
        let mut lines = Vec::new();
        if !self.source.no_archive {
            for span in journal.archived().map_err(failure)? {
                lines.push(Line::of(&span, directory.join(&span.file).exists()));
            }
        }
        let (base, last) = (journal.base().map_err(failure)?, journal.last_number().map_err(failure)?);
        if last > base.number {
            let time_of = |number| journal.time_of(number).map_err(failure);
            lines.push(Line {
                first: base.number + 1,
                last,
                from_ms: time_of(base.number + 1)?.unwrap_or(0),
                to_ms: time_of(last)?.unwrap_or(0),
                place: "journal".into(),
                bytes: None,
                there: true,
            });
        }
        Ok(lines)
    }
}
