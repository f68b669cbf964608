//! The limit of the machine: a plain file to which records are appended, with one sync for each group.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use mayfly_engine::{AppendError, Journal, Record};

/// Appends groups of `group` records of `record_bytes` each for so long. Returns records a second.
pub fn bare_file(path: &Path, group: usize, record_bytes: usize, run_for: Duration) -> io::Result<f64> {
    let mut file = File::create(path)?;
    let bytes: Vec<u8> = (0..group * record_bytes).map(|at| (at % 251) as u8).collect();
    let begun = Instant::now();
    let mut groups = 0u64;
    while begun.elapsed() < run_for {
        file.write_all(&bytes)?;
        file.sync_data()?;
        groups += 1;
    }
    let rate = (groups * group as u64) as f64 / begun.elapsed().as_secs_f64();
    drop(file);
    std::fs::remove_file(path)?;
    Ok(rate)
}

/// A journal that is only a file: what the engine could do if its database cost nothing.
pub struct FlatJournal(File);

impl FlatJournal {
    /// In a new file.
    pub fn create(path: &Path) -> io::Result<Self> {
        File::create(path).map(Self)
    }
}

impl Journal for FlatJournal {
    fn append(&mut self, record: &Record) -> Result<(), AppendError> {
        let written = self.0.write_all(&record.payload).and_then(|()| self.0.sync_data());
        written.map_err(|error| AppendError::Failed(error.to_string()))
    }
}
