//! Files of an archive that are read by themselves.

use std::path::PathBuf;

use mayfly_store::{ArchiveFile, Verified, archive_files};

use super::{failure, print};
use crate::failure::{Failure, Outcome};
use crate::output::Output;

/// What files that were verified have.
pub(super) struct Whole {
    pub(super) files: u64,
    pub(super) verified: Verified,
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
    files.sort_by_key(|file| file.span().first());
    Ok(files)
}

/// Checks each file, and that they are one chain.
pub(super) fn verify(paths: &[PathBuf], output: Output) -> Outcome<Whole> {
    let files = open(paths)?;
    let bar = output.progress("checking", files.len() as u64);
    let mut found: Option<Whole> = None;
    for file in files {
        let (span, location) = (file.span().clone(), file.location());
        let events = file.verify().map_err(failure)?;
        bar.inc(1);
        match &mut found {
            Some(Whole { files, verified }) if verified.ends == span.before => {
                (verified.ends, verified.events, *files) = (span.last, verified.events + events, *files + 1);
            }
            Some(Whole { verified, .. }) => {
                return Err(Failure::Refused(format!(
                    "{location} begins with entry {}, and does not follow entry {} of the file before it: one is \
                     missing, or they are of two journals",
                    span.first(),
                    verified.ends.number
                )));
            }
            None => {
                found = Some(Whole {
                    files: 1,
                    verified: Verified { base: span.before, ends: span.last, events },
                });
            }
        }
    }
    bar.finish_and_clear();
    found.ok_or_else(|| Failure::Unreachable("there is no file of an archive".into()))
}

/// Prints what happened, from one entry to another.
pub(super) fn read(paths: &[PathBuf], (from, to): (u64, Option<u64>), output: Output) -> Outcome {
    for mut file in open(paths)? {
        let mut before = file.span().before.clone();
        let several = before.heads.len() > 1;
        while let Some(entry) = file.next() {
            let entry = entry.map_err(failure)?;
            before.check(&entry).map_err(|(record, why)| failure(file.fault(record, why)))?;
            before.advance(&entry);
            if entry.number >= from && to.is_none_or(|to| entry.number <= to) {
                print(&entry, several, output, |record, each| file.each_event(record, each))?;
            }
        }
    }
    Ok(())
}
