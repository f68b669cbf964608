//! Files of an archive that are read by themselves.

use std::path::PathBuf;

use mayfly_core::PartitionId;
use mayfly_engine::Head;
use mayfly_store::{ArchiveFile, archive_files};

use super::{failure, print};
use crate::failure::{Failure, Outcome};
use crate::output::Output;

/// What files that were verified have, partition by partition.
pub(super) struct Whole {
    pub(super) partition: PartitionId,
    pub(super) base: Head,
    pub(super) head: Head,
    pub(super) files: u64,
    pub(super) events: u64,
}

/// These files, and those of these directories, in the order of what they have.
pub(super) fn open(paths: &[PathBuf]) -> Outcome<Vec<ArchiveFile>> {
    let mut files = Vec::new();
    for path in paths {
        let named = if path.is_dir() { archive_files(path).map_err(failure)? } else { vec![path.clone()] };
        if named.is_empty() {
            return Err(Failure::Unreachable(format!(
                "there is no file of an archive in {}",
                path.display()
            )));
        }
        for path in named {
            files.push(ArchiveFile::open(&path).map_err(failure)?);
        }
    }
    files.sort_by_key(|file| (file.span().partition, file.span().before.sequence));
    Ok(files)
}

/// Checks each file, and that they are one chain.
pub(super) fn verify(paths: &[PathBuf], output: Output) -> Outcome<Vec<Whole>> {
    let files = open(paths)?;
    let bar = output.progress("checking", files.len() as u64);
    let mut found: Vec<Whole> = Vec::new();
    for file in files {
        let (span, location) = (file.span().clone(), file.location());
        let events = file.verify().map_err(failure)?;
        bar.inc(1);
        match found.last_mut().filter(|whole| whole.partition == span.partition) {
            Some(whole) if whole.head == span.before => {
                (whole.head, whole.files, whole.events) = (span.last, whole.files + 1, whole.events + events);
            }
            Some(whole) => {
                return Err(Failure::Refused(format!(
                    "{location} begins with record {}, and does not follow record {} of the file before it: one is \
                     missing, or they are of two journals",
                    span.first(),
                    whole.head.sequence
                )));
            }
            None => {
                let (partition, base, head) = (span.partition, span.before, span.last);
                found.push(Whole { partition, base, head, files: 1, events });
            }
        }
    }
    bar.finish_and_clear();
    Ok(found)
}

/// Prints what happened, from one record to another.
pub(super) fn read(paths: &[PathBuf], (from, to): (u64, Option<u64>), output: Output) -> Outcome {
    for file in open(paths)? {
        let location = file.location();
        let mut before = file.span().before;
        for record in file {
            let record = record.map_err(failure)?;
            record.check(&before).map_err(|why| {
                let (location, sequence) = (location.clone(), record.sequence);
                failure(mayfly_store::StoreError::Record { location, sequence, why })
            })?;
            before = record.head();
            if record.sequence >= from && to.is_none_or(|to| record.sequence <= to) {
                print(&record, output).map_err(|why| why.of(&location))?;
            }
        }
    }
    Ok(())
}
