//! A file of the archive: the entries of one span, one after the other, behind a header that says which they are.
//!
//! Numbers have their highest byte first. The header is [`MAGIC`], the count of partitions (2 bytes), the numbers of the first
//! and the last entry (8 each), the time of the first (8), of each partition the sequence (8), time (8) and hash (32) of its
//! last record before the first entry, the same with the last entry, and a SHA-256 of all that. An entry is the count of its
//! records (2) and those, by partition. A record is its partition (2), its time (8), the count of its events (4), their version
//! (1), its hash (32), the length of its payload (4), and its payload.
//!
//! The hashes chain the records of a partition to each other and to what is around the file: it needs nothing else to be
//! verified, and belongs to whatever journal its hashes are found in.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, BufWriter, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use mayfly_core::{Event, PartitionId, TimeMs};
use mayfly_engine::{Digest, Ends, Entry, Head, Record, RecordError};
use mayfly_keys::{OsRandom, Random};
use sha2::{Digest as _, Sha256};

use super::base::{HEAD, Span, read_heads, write_heads};
use crate::{Location, StoreError};

type Result<T> = std::result::Result<T, StoreError>;

/// What a file of the archive begins with; its last byte is the version.
const MAGIC: &[u8; 16] = b"mayfly/archive\0\x01";
/// What a header begins with, whatever count of partitions it has.
const FRONT: usize = 16 + 2;
const ENTRY_HEADER: usize = 2;
const RECORD_HEADER: usize = 2 + 8 + 4 + 1 + 32 + 4;
/// No payload is anywhere near so long.
const PAYLOAD_MAX: usize = 1 << 30;
/// How the name of a file ends that is not whole, and after how long one that was left is of no use to anybody.
const PARTIAL: &str = ".partial";
const LEFT_FOR: Duration = Duration::from_secs(86_400);
/// How names of files begin and end.
const NAME: (&str, &str) = ("journal-", ".archive");

/// The name of a span's file: names sort as the spans do.
fn name(first: u64, last: u64) -> String {
    format!("{}{first:015}-{last:015}{}", NAME.0, NAME.1)
}

/// How long the header is without its own hash.
fn facts_length(partitions: usize) -> usize {
    FRONT + 3 * 8 + 2 * HEAD * partitions
}

/// The files of an archive's directory, by name.
///
/// # Errors
/// If the directory can't be read.
pub fn archive_files(directory: &Path) -> Result<Vec<PathBuf>> {
    let failed =
        |error: std::io::Error| StoreError::Directory { path: directory.to_owned(), why: error.to_string() };
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let is_ours = path
            .file_name()
            .and_then(|name| name.to_str())
            .is_some_and(|name| name.starts_with(NAME.0) && name.ends_with(NAME.1));
        if is_ours {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// A file of the archive that is read: its entries, one after the other, as they were read. [`Ends::check`] says whether
/// they are as they were written. After an error there are no more.
#[derive(Debug)]
pub struct ArchiveFile {
    path: PathBuf,
    file: BufReader<File>,
    span: Span,
    /// Where the journal ended with the entry that was read last.
    at: Ends,
    over: bool,
}

impl ArchiveFile {
    /// Opens a file, and reads its header.
    ///
    /// # Errors
    /// If there is none, or it is no file of an archive, or is damaged.
    pub fn open(path: &Path) -> Result<Self> {
        let failed = |error: std::io::Error| read_error(path, &error);
        let opened = File::open(path).map_err(failed)?;
        let bytes = opened.metadata().map_err(failed)?.len();
        let mut file = BufReader::with_capacity(1 << 16, opened);
        let mut read = |bytes: &mut [u8]| match file.read_exact(bytes) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                Err(damaged(path, "it is too short for its header"))
            }
            read => read.map_err(failed),
        };
        let mut facts = vec![0; FRONT];
        read(&mut facts)?;
        if facts[..15] != MAGIC[..15] {
            return Err(StoreError::Foreign { location: path.into() });
        }
        if facts[15] > MAGIC[15] {
            let (version, known) = (facts[15].into(), MAGIC[15].into());
            return Err(StoreError::Newer { location: path.into(), version, known });
        }
        let partitions = u16::from_be_bytes([facts[16], facts[17]]);
        let mut hash = [0; 32];
        if (1..=PartitionId::COUNT_MAX).contains(&partitions) {
            facts.resize(facts_length(partitions.into()), 0);
            read(&mut facts[FRONT..])?;
            read(&mut hash)?;
        }
        if Sha256::digest(&facts)[..] != hash {
            return Err(damaged(path, "its header is not what was written"));
        }
        let file_name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
        let span = read_facts(&facts, partitions.into(), bytes, file_name);
        let at = span.before.clone();
        Ok(Self { path: path.to_owned(), file, span, at, over: false })
    }

    /// What it says that it has.
    pub fn span(&self) -> &Span {
        &self.span
    }

    /// Where it is.
    pub fn location(&self) -> Location {
        self.path.clone().into()
    }

    /// Where the journal ended with the entry that was read or passed last.
    pub(crate) fn at(&self) -> &Ends {
        &self.at
    }

    /// Goes to an entry, past those before it. Whoever does so must check the next one against what he knows.
    pub(crate) fn skip_to(&mut self, number: u64) -> Result<()> {
        while self.at.number + 1 < number {
            for _ in 0..self.entry_header()? {
                let header = self.header()?;
                let length = i64::try_from(header.length).unwrap_or(i64::MAX);
                self.file.seek_relative(length).map_err(|error| read_error(&self.path, &error))?;
                self.pass(&header)?;
            }
            self.at.number += 1;
        }
        Ok(())
    }

    /// Reads all of it, and checks each record and that they end as the header says. Returns how many events they have.
    ///
    /// # Errors
    /// Which record is not what was written, or how far it can be read.
    pub fn verify(mut self) -> Result<u64> {
        let (mut events, mut before) = (0, self.at.clone());
        while let Some(entry) = self.next() {
            let entry = entry?;
            before.check(&entry).map_err(|(record, why)| self.fault(record, why))?;
            for record in &entry.records {
                self.each_event(record, |_| ())?;
                events += u64::from(record.count);
            }
            before.advance(&entry);
        }
        let is_last = before == self.span.last;
        is_last.then_some(events).ok_or_else(|| damaged(&self.path, "it does not end as its header says"))
    }

    /// Each of a record's events, in order.
    ///
    /// # Errors
    /// [`StoreError::Record`] if they can't be read.
    pub fn each_event(&self, record: &Record, each: impl FnMut(Event)) -> Result<()> {
        record.each_event(each).map_err(|why| self.fault(record, why))
    }

    /// What is said of a record of this file that is not what was written.
    pub fn fault(&self, record: &Record, why: RecordError) -> StoreError {
        StoreError::of_record(self.location(), record, why)
    }

    /// How many records the next entry has.
    fn entry_header(&mut self) -> Result<usize> {
        let mut bytes = [0; ENTRY_HEADER];
        self.fill(&mut bytes)?;
        let count = usize::from(u16::from_be_bytes(bytes));
        if (1..=self.at.heads.len()).contains(&count) {
            return Ok(count);
        }
        Err(damaged(&self.path, &format!("entry {} has no count of records", self.at.number + 1)))
    }

    fn header(&mut self) -> Result<RecordHeader> {
        let mut bytes = [0; RECORD_HEADER];
        self.fill(&mut bytes)?;
        let mut facts = Facts(&bytes);
        let header = RecordHeader {
            partition: PartitionId(u16::from_be_bytes(facts.take())),
            at_ms: facts.u64(),
            count: u32::from_be_bytes(facts.take()),
            version: facts.take::<1>()[0],
            hash: facts.take(),
            length: u32::from_be_bytes(facts.take()) as usize,
        };
        if header.length > PAYLOAD_MAX {
            return Err(damaged(
                &self.path,
                &format!("a record of entry {} has no length", self.at.number + 1),
            ));
        }
        Ok(header)
    }

    /// The journal ends with that record now. Returns what it ended with before.
    fn pass(&mut self, header: &RecordHeader) -> Result<Head> {
        let number = self.at.number + 1;
        let Some(head) = self.at.heads.get_mut(usize::from(header.partition.0)) else {
            return Err(damaged(&self.path, &format!("a record of entry {number} has no partition")));
        };
        let now = Head { sequence: head.sequence + 1, hash: header.hash, at_ms: header.at_ms };
        Ok(std::mem::replace(head, now))
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<()> {
        self.file.read_exact(bytes).map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => {
                damaged(&self.path, &format!("it ends within entry {}", self.at.number + 1))
            }
            _ => read_error(&self.path, &error),
        })
    }

    fn read(&mut self) -> Result<Option<Entry>> {
        if self.at.number == self.span.last.number {
            // What is behind the last entry was not written by us.
            let rest = self.file.fill_buf().map_err(|error| read_error(&self.path, &error))?;
            return if rest.is_empty() {
                Ok(None)
            } else {
                Err(damaged(&self.path, "it does not end with its last entry"))
            };
        }
        let count = self.entry_header()?;
        let mut records: Vec<Record> = Vec::with_capacity(count);
        for _ in 0..count {
            let header = self.header()?;
            if records.last().is_some_and(|before| before.partition >= header.partition) {
                let why = format!("the records of entry {} are not by partition", self.at.number + 1);
                return Err(damaged(&self.path, &why));
            }
            let mut payload = vec![0; header.length];
            self.fill(&mut payload)?;
            let before = self.pass(&header)?;
            records.push(Record {
                partition: header.partition,
                sequence: before.sequence + 1,
                at_ms: header.at_ms,
                count: header.count,
                version: header.version,
                payload,
                previous: before.hash,
                hash: header.hash,
            });
        }
        self.at.number += 1;
        Ok(Some(Entry { number: self.at.number, records }))
    }
}

impl Iterator for ArchiveFile {
    type Item = Result<Entry>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.over {
            return None;
        }
        let read = self.read().transpose();
        self.over = !matches!(read, Some(Ok(_)));
        read
    }
}

struct RecordHeader {
    partition: PartitionId,
    at_ms: TimeMs,
    count: u32,
    version: u8,
    hash: Digest,
    length: usize,
}

/// Bytes that are taken from the front. There are always enough: their count is fixed.
struct Facts<'a>(&'a [u8]);

impl Facts<'_> {
    fn take<const N: usize>(&mut self) -> [u8; N] {
        let mut taken = [0; N];
        if let Some((front, rest)) = self.0.split_first_chunk::<N>() {
            (taken, self.0) = (*front, rest);
        }
        taken
    }

    fn u64(&mut self) -> u64 {
        u64::from_be_bytes(self.take())
    }
}

fn read_facts(facts: &[u8], partitions: usize, bytes: u64, file: String) -> Span {
    let mut facts = Facts(&facts[FRONT..]);
    let (first, last, first_ms) = (facts.u64(), facts.u64(), facts.u64());
    let (before, ends) = facts.0.split_at(HEAD * partitions);
    let before = read_heads(first.saturating_sub(1), before);
    Span { before, last: read_heads(last, ends), first_ms, bytes, file, archived_ms: 0 }
}

fn write_facts(span: &Span) -> Vec<u8> {
    let partitions = span.before.heads.len();
    let mut facts = Vec::with_capacity(facts_length(partitions) + 32);
    facts.extend(MAGIC);
    // No installation has so many that they could not be counted.
    facts.extend((partitions as u16).to_be_bytes());
    facts.extend(span.first().to_be_bytes());
    facts.extend(span.last.number.to_be_bytes());
    facts.extend(span.first_ms.to_be_bytes());
    facts.extend(write_heads(&span.before));
    facts.extend(write_heads(&span.last));
    let hash = Sha256::digest(&facts);
    facts.extend(hash);
    facts
}

/// A file of the archive that is written: under another name until it is whole.
pub(super) struct Writer {
    directory: PathBuf,
    partial: PathBuf,
    file: BufWriter<File>,
    span: Span,
}

impl Writer {
    /// For the entries that follow `before`.
    pub(super) fn create(directory: &Path, before: Ends) -> Result<Self> {
        make_directory(directory)?;
        let prefix = format!(".{}", NAME.0);
        remove_left(directory, &prefix);
        // A name that nobody else has: one who was superseded and does not know it yet may be at the same.
        let mut drawn = [0; 4];
        OsRandom.fill(&mut drawn).map_err(|error| StoreError::Unwritable { why: error.to_string() })?;
        let partial = directory.join(format!("{prefix}{:08x}{PARTIAL}", u32::from_be_bytes(drawn)));
        let failed = |error: std::io::Error| write_error(&partial, &error);
        let opened = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&partial);
        let mut file = BufWriter::with_capacity(1 << 18, opened.map_err(failed)?);
        // The header is known at the end.
        let header = facts_length(before.heads.len()) + 32;
        file.write_all(&vec![0; header]).map_err(failed)?;
        let (last, bytes, file_name) = (before.clone(), header as u64, String::new());
        let span = Span { before, last, first_ms: 0, bytes, file: file_name, archived_ms: 0 };
        Ok(Self { directory: directory.to_owned(), partial, file, span })
    }

    /// What it has so far.
    pub(super) fn span(&self) -> &Span {
        &self.span
    }

    /// Whether nothing was added yet.
    pub(super) fn is_empty(&self) -> bool {
        self.span.last.number == self.span.before.number
    }

    /// Adds the next entry, which was checked.
    pub(super) fn add(&mut self, entry: &Entry) -> Result<()> {
        if self.is_empty() {
            self.span.first_ms = entry.at_ms();
        }
        self.write(&(entry.records.len() as u16).to_be_bytes())?;
        for record in &entry.records {
            let length =
                u32::try_from(record.payload.len()).ok().filter(|length| *length as usize <= PAYLOAD_MAX);
            let Some(length) = length else {
                let why = format!("a record of entry {} is too long", entry.number);
                return Err(StoreError::Unwritable { why });
            };
            let mut header = Vec::with_capacity(RECORD_HEADER);
            header.extend(record.partition.0.to_be_bytes());
            header.extend(record.at_ms.to_be_bytes());
            header.extend(record.count.to_be_bytes());
            header.push(record.version);
            header.extend(record.hash);
            header.extend(length.to_be_bytes());
            self.write(&header)?;
            self.write(&record.payload)?;
        }
        self.span.last.advance(entry);
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.span.bytes += bytes.len() as u64;
        self.file.write_all(bytes).map_err(|error| write_error(&self.partial, &error))
    }

    /// Brings it to its name, safe on the disk, and reads it again from there. What is there under that name already must be
    /// the same.
    pub(super) fn finish(mut self) -> Result<Span> {
        let failed = |error: std::io::Error| write_error(&self.partial, &error);
        self.span.file = name(self.span.first(), self.span.last.number);
        self.file.flush().map_err(failed)?;
        let file = self.file.get_mut();
        file.seek(SeekFrom::Start(0)).map_err(failed)?;
        file.write_all(&write_facts(&self.span)).map_err(failed)?;
        file.sync_all().map_err(failed)?;
        let path = self.directory.join(&self.span.file);
        if path.exists() {
            let there = ArchiveFile::open(&path)?;
            if !there.span.is_same(&self.span) {
                return Err(StoreError::Occupied { location: path.into() });
            }
        }
        fs::rename(&self.partial, &path).map_err(failed)?;
        sync(&self.directory)?;
        check(&path, &self.span)?;
        Ok(self.span.clone())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Of one that was given up. A whole one has another name by now.
        drop(fs::remove_file(&self.partial));
    }
}

impl Span {
    /// Whether both are of the same entries.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        (&self.before, &self.last) == (&other.before, &other.last)
    }
}

/// Reads a file from its beginning to its end: it must be whole, and have these entries.
pub(super) fn check(path: &Path, span: &Span) -> Result<()> {
    let file = open_as(path, span)?;
    file.verify().map(drop)
}

/// Opens the file that must have these entries.
pub(crate) fn open_as(path: &Path, span: &Span) -> Result<ArchiveFile> {
    if !path.exists() {
        let (first, last) = (span.first(), span.last.number);
        return Err(StoreError::ArchiveMissing { path: path.to_owned(), first, last });
    }
    let file = ArchiveFile::open(path)?;
    if file.span.is_same(span) { Ok(file) } else { Err(damaged(path, "it is of another journal")) }
}

/// What was begun and not finished, because the power went or the process was killed. Nothing is wrong if it stays.
fn remove_left(directory: &Path, prefix: &str) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let is_ours = name.to_str().is_some_and(|name| name.starts_with(prefix) && name.ends_with(PARTIAL));
        let age = entry.metadata().and_then(|data| data.modified()).ok().and_then(|at| at.elapsed().ok());
        if is_ours && age.is_some_and(|age| age > LEFT_FOR) {
            drop(fs::remove_file(entry.path()));
        }
    }
}

/// The file that was begun with the entries after `before`, if there is one whole under its name: whoever wrote it did not
/// come to note it.
pub(super) fn left_behind(directory: &Path, before: &Ends) -> Option<Span> {
    let prefix = format!("{}{:015}-", NAME.0, before.number + 1);
    let files = archive_files(directory).ok()?;
    // Its content was synced before it came to its name; that it has that may not have been.
    sync(directory).ok()?;
    let begins = |path: &PathBuf| {
        path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(&prefix))
    };
    files.into_iter().filter(begins).find_map(|path| {
        let file = ArchiveFile::open(&path).ok()?;
        let span = file.span.clone();
        (span.before == *before && file.verify().is_ok()).then_some(span)
    })
}

/// Makes the directory, its owner's alone, if it is not there; one that is there stays as it is.
pub(super) fn make_directory(directory: &Path) -> Result<()> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(directory);
    made.map_err(|error| write_error(directory, &error))
}

/// What was renamed stays renamed.
fn sync(directory: &Path) -> Result<()> {
    let synced = File::open(directory).and_then(|directory| directory.sync_all());
    synced.map_err(|error| write_error(directory, &error))
}

fn damaged(path: &Path, why: &str) -> StoreError {
    StoreError::Damaged { location: path.into(), why: why.to_owned() }
}

fn read_error(path: &Path, error: &std::io::Error) -> StoreError {
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::PermissionDenied => {
            StoreError::CantOpen { location: path.into(), why: error.to_string() }
        }
        _ => StoreError::Io { location: path.into(), why: error.to_string() },
    }
}

fn write_error(path: &Path, error: &std::io::Error) -> StoreError {
    match error.kind() {
        ErrorKind::StorageFull => StoreError::Full { location: path.into() },
        ErrorKind::ReadOnlyFilesystem | ErrorKind::PermissionDenied => {
            StoreError::ReadOnly { location: path.into() }
        }
        _ => StoreError::Io { location: path.into(), why: error.to_string() },
    }
}
