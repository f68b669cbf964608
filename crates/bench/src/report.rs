//! What was measured, as a table and as JSON.

use std::fmt::Write as _;

use serde::Serialize;

use crate::drive::Figures;

/// One line of the table.
#[derive(Clone, Debug, Serialize)]
pub struct Line {
    /// What was measured.
    pub name: String,
    /// The figures.
    #[serde(flatten)]
    pub figures: Figures,
    /// The largest lag of the views while it ran, in milliseconds, where there are views.
    pub views_lag_ms_max: Option<u64>,
    /// How long the views took to catch up afterwards, in milliseconds.
    pub caught_up_ms: Option<u64>,
    /// Bytes of journal for each answer.
    pub journal_bytes: Option<f64>,
    /// Its rate as a part of that of the bare file with as many in flight.
    pub of_bare_file: Option<f64>,
    /// Its rate as a multiple of that of PostgreSQL.
    pub of_postgres: Option<f64>,
}

impl Line {
    /// With figures only.
    pub fn new(name: impl Into<String>, figures: Figures) -> Self {
        Self {
            name: name.into(),
            figures,
            views_lag_ms_max: None,
            caught_up_ms: None,
            journal_bytes: None,
            of_bare_file: None,
            of_postgres: None,
        }
    }
}

/// A whole run.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// How many numbers were active.
    pub credentials: usize,
    /// What was measured.
    pub lines: Vec<Line>,
    /// Bytes of memory for an active number, its account counted too.
    pub memory_per_number: Option<u64>,
    /// How long an engine with these numbers took to open, in milliseconds.
    pub start_ms: Option<u64>,
    /// Bytes of all files for each transaction, the active numbers counted too.
    pub disk_per_transaction: Option<f64>,
    /// The median rate at the second size as a part of that at the first.
    pub sizes_ratio: Option<f64>,
    /// How long it takes to find which open purchase of a card a message is, in microseconds, for one open purchase, for two
    /// and so on.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub proof_us: Vec<f64>,
    /// What could not be measured, and why.
    pub notes: Vec<String>,
}

impl Report {
    /// Fills in the ratios to the limit and to the peer, by the number in flight.
    pub fn relate(
        &mut self,
        bare: &[(usize, f64)],
        postgres: Option<f64>,
        in_flight_of: impl Fn(&str) -> Option<usize>,
    ) {
        for line in &mut self.lines {
            let limit = in_flight_of(&line.name).and_then(|count| bare.iter().find(|(of, _)| *of == count));
            line.of_bare_file = limit.map(|(_, rate)| line.figures.rate / rate);
            line.of_postgres = postgres.map(|rate| line.figures.rate / rate);
        }
    }

    /// As a table.
    pub fn table(&self) -> String {
        let mut table = String::new();
        let heads = [
            "",
            "rate/s",
            "p50 ms",
            "p99 ms",
            "p99.9 ms",
            "max ms",
            "stall ms",
            "views lag ms",
            "caught up ms",
            "journal B",
            "of bare file",
            "of PostgreSQL",
        ];
        let mut rows = vec![heads.map(str::to_owned)];
        rows.extend(self.lines.iter().map(row));
        let widths: Vec<usize> = (0..heads.len())
            .map(|at| rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0))
            .collect();
        for row in &rows {
            let cells = row.iter().zip(&widths).enumerate().map(|(at, (cell, width))| {
                if at == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
            });
            // Writing to a string can't fail.
            let _ = writeln!(table, "{}", cells.collect::<Vec<_>>().join("  ").trim_end());
        }
        let _ = writeln!(table, "\nactive numbers: {}", self.credentials);
        if let Some(bytes) = self.memory_per_number {
            let _ = writeln!(table, "memory for an active number: {bytes} bytes");
        }
        if let Some(ms) = self.start_ms {
            let _ = writeln!(table, "start with these numbers: {ms} ms");
        }
        if let Some(bytes) = self.disk_per_transaction {
            let _ = writeln!(table, "all files, for each transaction: {bytes:.0} bytes");
        }
        if let Some(ratio) = self.sizes_ratio {
            let _ = writeln!(
                table,
                "rate at the second size, as a part of that at the first (medians): {ratio:.2}"
            );
        }
        if let (Some(first), Some(last)) = (self.proof_us.first(), self.proof_us.last()) {
            let each = (last - first) / (self.proof_us.len() - 1).max(1) as f64;
            let _ = writeln!(
                table,
                "to find a card's open purchase: {first:.2} us with one, {last:.2} us with {}, {each:.3} us for each more",
                self.proof_us.len()
            );
        }
        for line in &self.lines {
            let Figures { answers, approved, .. } = line.figures;
            if line.name.contains("cards") && approved < answers {
                let _ = writeln!(table, "not approved: {} of {answers}, {}", answers - approved, line.name);
            }
        }
        for note in &self.notes {
            let _ = writeln!(table, "note: {note}");
        }
        table
    }
}

fn row(line: &Line) -> [String; 12] {
    let figures = &line.figures;
    let or_dash = |value: Option<String>| value.unwrap_or_else(|| "-".to_owned());
    [
        line.name.clone(),
        format!("{:.0}", figures.rate),
        format!("{:.2}", figures.p50_ms),
        format!("{:.2}", figures.p99_ms),
        format!("{:.2}", figures.p999_ms),
        format!("{:.1}", figures.max_ms),
        format!("{:.1}", figures.stall_ms),
        or_dash(line.views_lag_ms_max.map(|ms| ms.to_string())),
        or_dash(line.caught_up_ms.map(|ms| ms.to_string())),
        or_dash(line.journal_bytes.map(|bytes| format!("{bytes:.0}"))),
        or_dash(line.of_bare_file.map(|ratio| format!("{:.0} %", ratio * 100.0))),
        or_dash(line.of_postgres.map(|ratio| format!("{ratio:.1} x"))),
    ]
}
