//! Servers of a test's own, which may be restarted and lost.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::TestDatabase;

/// A PostgreSQL server that nobody else uses; it is stopped and removed with this.
#[derive(Debug)]
pub struct TestCluster {
    directory: PathBuf,
    url: String,
}

impl TestCluster {
    /// Starts one.
    ///
    /// # Panics
    /// If PostgreSQL is not installed, or does not start.
    #[must_use]
    pub fn start() -> Self {
        Self::with(&[])
    }

    /// Starts one with settings of its own, each as `name=value`.
    ///
    /// # Panics
    /// The same.
    #[must_use]
    pub fn with(settings: &[&str]) -> Self {
        let directory = new_directory("cluster");
        let url = script("start", &directory, settings);
        Self { directory, url }
    }

    /// A database on it. It must be dropped before the server is.
    #[must_use]
    pub fn database(&self) -> TestDatabase {
        TestDatabase::on(self.url.clone())
    }

    /// Starts one that archives its log, for [`Self::restore`].
    ///
    /// # Panics
    /// The same.
    #[must_use]
    pub fn archiving() -> Self {
        // It runs in the directory of its data.
        Self::with(&["archive_mode=on", "archive_command=mkdir -p ../archive && cp %p ../archive/%f"])
    }

    /// Backs up all that there is now.
    ///
    /// # Panics
    /// If that does not work.
    pub fn back_up(&self) {
        script("backup", &self.directory, &[&self.directory.join("backup").to_string_lossy()]);
    }

    /// Another server, with what this one had at some time after it was backed up: made of the backup and of the archive alone.
    ///
    /// # Panics
    /// If that does not work.
    #[must_use]
    pub fn restore(&self, time: &str) -> Self {
        let directory = new_directory("cluster");
        let path = |name: &str| self.directory.join(name).to_string_lossy().into_owned();
        let url = script("restore", &directory, &[&path("backup"), &path("archive"), time]);
        Self { directory, url }
    }

    /// How a database that is on this server, too, is connected to here.
    #[must_use]
    pub fn url_of(&self, database: &TestDatabase) -> String {
        database.url_on(&self.url)
    }

    /// None of its files can grow beyond so many bytes any more, or all of them again: as on a disk that is full. It says so
    /// as it would of such a disk if the limit is within a page, and the next page is what does not fit any more.
    ///
    /// # Panics
    /// If its processes can't be limited.
    pub fn limit_files(&self, bytes: Option<u64>) {
        let bytes = bytes.map_or_else(|| "unlimited".to_owned(), |bytes| bytes.to_string());
        script("limit", &self.directory, &[&bytes]);
    }

    /// How long its longest table or index is, in bytes.
    #[must_use]
    pub fn longest_file(&self) -> u64 {
        let files = |directory: &Path| std::fs::read_dir(directory).into_iter().flatten().flatten();
        let tables = files(&self.directory.join("data/base")).flat_map(|database| files(&database.path()));
        tables.filter_map(|file| Some(file.metadata().ok()?.len())).max().unwrap_or(0)
    }

    /// Its processes: whoever stops all of them has it stand still. None if it has ended.
    #[must_use]
    pub fn processes(&self) -> Vec<i32> {
        processes(&self.directory)
    }

    /// Starts it when it has ended by itself.
    ///
    /// # Panics
    /// If it does not start.
    pub fn start_again(&self) {
        script("start", &self.directory, &[]);
    }

    /// Stops the server and starts it again at the same address, after so long. It ends its connections with a word; or,
    /// `at_once`, without one, as a crash does, and recovers when it starts.
    ///
    /// # Panics
    /// If it does not start again.
    pub fn restart(&self, at_once: bool, after: Duration) {
        restart(&self.directory, at_once, after);
    }
}

impl Drop for TestCluster {
    fn drop(&mut self) {
        script("stop", &self.directory, &[]);
    }
}

/// Two servers, one a standby of the other, for which every commit waits. They are stopped and removed with this.
#[derive(Debug)]
pub struct TestPair {
    primary: PathBuf,
    standby: PathBuf,
    /// Leads to whichever can be written to.
    url: String,
}

impl TestPair {
    /// Starts them.
    ///
    /// # Panics
    /// If PostgreSQL is not installed, or does not start.
    #[must_use]
    pub fn start() -> Self {
        let (primary, standby) = (new_directory("cluster"), new_directory("cluster"));
        script("start", &primary, &[]);
        let url = script("standby", &standby, &[&primary.to_string_lossy()]);
        Self { primary, standby, url }
    }

    /// A database on both. It must be dropped before they are.
    #[must_use]
    pub fn database(&self) -> TestDatabase {
        TestDatabase::on(self.url.clone())
    }

    /// Stops the primary and starts it again, as [`TestCluster::restart`].
    ///
    /// # Panics
    /// If it does not start again.
    pub fn restart(&self, at_once: bool, after: Duration) {
        restart(&self.primary, at_once, after);
    }

    /// The primary is lost, without a word to anybody, and after so long the standby is promoted. It waits for nobody until
    /// there is [a standby again](Self::repair).
    ///
    /// # Panics
    /// If that does not work.
    pub fn fail_over(&mut self, after: Duration) {
        self.halt();
        self.promote(after);
    }

    /// The primary is lost, without a word to anybody.
    ///
    /// # Panics
    /// If that does not work.
    pub fn halt(&self) {
        script("halt", &self.primary, &[]);
    }

    /// After so long the standby is promoted. The primary must be lost, or stand still for good.
    ///
    /// # Panics
    /// If that does not work.
    pub fn promote(&mut self, after: Duration) {
        std::thread::sleep(after);
        script("promote", &self.standby, &[]);
        std::mem::swap(&mut self.primary, &mut self.standby);
    }

    /// The lost one is made anew, as a standby of the other.
    ///
    /// # Panics
    /// If that does not work.
    pub fn repair(&mut self) {
        script("standby", &self.standby, &[&self.primary.to_string_lossy()]);
    }

    /// The processes of the primary: whoever stops all of them has it stand still.
    #[must_use]
    pub fn primary_processes(&self) -> Vec<i32> {
        processes(&self.primary)
    }

    /// The processes of the standby.
    #[must_use]
    pub fn standby_processes(&self) -> Vec<i32> {
        processes(&self.standby)
    }

    /// What the standby's own database gives for a query, without decoration, when it has all that the primary had.
    ///
    /// # Panics
    /// If it fails, or does not have it in time.
    #[must_use]
    pub fn on_standby(&self, database: &TestDatabase, sql: &str) -> String {
        let here = database.psql("SELECT pg_current_wal_flush_lsn()");
        let url = database.url_on(&script("url", &self.standby, &[]));
        let caught_up = format!("SELECT pg_last_wal_replay_lsn() >= '{here}'");
        for _ in 0..600 {
            if crate::psql(&url, &caught_up) == "t" {
                return crate::psql(&url, sql);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("the standby does not come to {here}")
    }
}

impl Drop for TestPair {
    fn drop(&mut self) {
        for directory in [&self.primary, &self.standby] {
            script("stop", directory, &[]);
        }
    }
}

/// Two servers that Patroni looks after, with an etcd for it. They are stopped and removed with this.
#[derive(Debug)]
pub struct TestPatroni {
    directory: PathBuf,
    /// Leads to whichever can be written to.
    pub url: String,
}

impl TestPatroni {
    /// Starts them.
    ///
    /// # Panics
    /// If Patroni or etcd is not installed, or they do not start.
    #[must_use]
    pub fn start() -> Self {
        let directory = new_directory("cluster");
        let url = run_script("patroni", "start", &directory, &[]);
        Self { directory, url }
    }

    /// Does what `scripts/patroni` knows: a `switchover`, a `crash` of the primary, to `recover` what crashed.
    ///
    /// # Panics
    /// If that does not work.
    pub fn have(&self, action: &str) {
        run_script("patroni", action, &self.directory, &[]);
    }
}

impl Drop for TestPatroni {
    fn drop(&mut self) {
        self.have("stop");
    }
}

/// The postmaster and its children.
fn processes(directory: &Path) -> Vec<i32> {
    let pid = std::fs::read_to_string(directory.join("data/postmaster.pid")).unwrap_or_default();
    let postmaster = pid.lines().next().and_then(|line| line.trim().parse::<i32>().ok());
    let Some(postmaster) = postmaster else { return Vec::new() };
    let Ok(children) = std::fs::read_to_string(format!("/proc/{postmaster}/task/{postmaster}/children"))
    else {
        return Vec::new();
    };
    let children = children.split_whitespace().filter_map(|pid| pid.parse().ok());
    // First of all whoever would make more of them.
    [postmaster].into_iter().chain(children).collect()
}

pub(crate) fn new_directory(what: &str) -> PathBuf {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let name = format!("mayfly-{what}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
    std::env::temp_dir().join(name)
}

fn restart(directory: &Path, at_once: bool, after: Duration) {
    let how = if at_once { "immediate" } else { "fast" };
    script("restart", directory, &[how, &after.as_secs_f64().to_string()]);
}

fn script(action: &str, directory: &Path, more: &[&str]) -> String {
    run_script("postgres", action, directory, more)
}

/// Has one of our scripts do something, and gives what it printed.
fn run_script(name: &str, action: &str, directory: &Path, more: &[&str]) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts").join(name);
    let done = Command::new(script).arg(action).arg(directory).args(more).stdin(Stdio::null()).output();
    match done {
        Ok(done) if done.status.success() => String::from_utf8_lossy(&done.stdout).trim().to_owned(),
        Ok(done) if std::thread::panicking() => {
            eprintln!("{name} {action}: {}", String::from_utf8_lossy(&done.stderr));
            String::new()
        }
        Ok(done) => panic!("{name} {action}: {}", String::from_utf8_lossy(&done.stderr)),
        Err(error) => panic!("scripts/{name} could not be run: {error}"),
    }
}
