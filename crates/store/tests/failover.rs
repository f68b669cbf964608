//! A primary that is lost, and the standby that takes its place: no record that was acknowledged is lost, and none that was
//! appended again, because nobody knew what had become of it, is there twice.

#![allow(clippy::unwrap_used)]

use std::num::NonZeroU16;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mayfly_core::PartitionId;
use mayfly_engine::{AppendError, Ends, Entry, Journal, Record};
use mayfly_store::{Database, DatabaseOptions, Home, JournalReader, StoredJournal};

/// How long a failover may take before it is given up.
const PATIENCE: Duration = Duration::from_secs(60);

/// Two servers of this test's own, one a standby of the other.
struct Pair {
    _directory: tempfile::TempDir,
    first: PathBuf,
    second: PathBuf,
    url: String,
}

fn script(arguments: &[&str], directory: &Path) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/postgres");
    let mut command = Command::new(script);
    command.arg(arguments[0]).arg(directory).args(&arguments[1..]).stdin(Stdio::null());
    let done = command.output().unwrap();
    assert!(done.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8(done.stdout).unwrap().trim().to_owned()
}

impl Pair {
    fn start() -> Self {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let (first, second) = (directory.path().join("first"), directory.path().join("second"));
        script(&["start"], &first);
        let url = script(&["standby", first.to_str().unwrap()], &second);
        Self { _directory: directory, first, second, url }
    }

    fn home(&self) -> Home {
        let options = DatabaseOptions {
            // The driver asks for the one that can be written to by itself.
            url: self.url.split('?').next().unwrap(),
            password: None,
            ca_file: None,
            statement_time_max: Duration::from_secs(3),
            connect_time_max: Duration::from_secs(4),
        };
        Home::Database(Arc::new(Database::new(&options).unwrap()))
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        script(&["stop"], &self.first);
        script(&["stop"], &self.second);
    }
}

/// Appends an entry, and the same one again as long as nobody knows what became of it. Returns how often that was.
fn append(journal: &mut StoredJournal, entry: &Entry) -> u32 {
    let (begun, mut unknown) = (Instant::now(), 0);
    loop {
        match journal.append(entry) {
            Ok(()) => return unknown,
            Err(AppendError::Unknown(why)) => {
                assert!(begun.elapsed() < PATIENCE, "{why}");
                unknown += 1;
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn a_lost_primary_costs_no_record() {
    let pair = Pair::start();
    let home = pair.home();
    let count = NonZeroU16::new(5).unwrap();
    mayfly_store::create(&home, "test", count).unwrap();
    let mut journal = StoredJournal::open(&home).unwrap();
    let mut ends = Ends::start(count);
    let mut write = |journal: &mut StoredJournal, count: usize| {
        let mut unknown = 0;
        for _ in 0..count {
            // Two partitions at a time, in turn.
            let number = ends.number + 1;
            let record = |turn: u64| {
                let partition = PartitionId::of_hash(turn, journal.partitions());
                let head = ends.head(partition);
                Record::seal(&head, partition, head.at_ms + 1, 0, vec![turn as u8; 1500])
            };
            let mut records = vec![record(number), record(number + 1)];
            records.sort_by_key(|record| record.partition);
            let entry = Entry { number, records };
            unknown += append(journal, &entry);
            ends.advance(&entry);
        }
        unknown
    };
    assert_eq!(write(&mut journal, 200), 0);
    // Without a word to anybody; the standby is promoted while records are appended.
    let (first, second) = (pair.first.clone(), pair.second.clone());
    let failing = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        let pid = std::fs::read_to_string(first.join("data/postmaster.pid")).unwrap();
        let pid = pid.lines().next().unwrap().to_owned();
        assert!(Command::new("kill").args(["-QUIT", &pid]).status().unwrap().success());
        std::thread::sleep(Duration::from_millis(300));
        script(&["promote"], &second);
    });
    let mut unknown = 0;
    while !failing.is_finished() {
        unknown += write(&mut journal, 10);
    }
    failing.join().unwrap();
    unknown += write(&mut journal, 200);
    assert!(unknown > 0, "nothing was ever unknown: the test shows nothing");
    let reader = JournalReader::open(&home).unwrap();
    let mut found = Ends::start(count);
    for entry in reader.entries(1) {
        let entry = entry.unwrap();
        assert_eq!(found.check(&entry), Ok(()));
        found.advance(&entry);
    }
    assert_eq!((&found, reader.ends().as_ref()), (&ends, Ok(&ends)));
}
