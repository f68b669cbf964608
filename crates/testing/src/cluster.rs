//! A server of a test's own, which may be restarted.

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
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("mayfly-cluster-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let directory = std::env::temp_dir().join(name);
        let url = script("start", &directory, &[]);
        Self { directory, url }
    }

    /// A database on it. It must be dropped before the server is.
    #[must_use]
    pub fn database(&self) -> TestDatabase {
        TestDatabase::on(self.url.clone())
    }

    /// Stops the server and starts it again at the same address, after so long. It ends its connections with a word; or,
    /// `at_once`, without one, as a crash does, and recovers when it starts.
    ///
    /// # Panics
    /// If it does not start again.
    pub fn restart(&self, at_once: bool, after: Duration) {
        let how = if at_once { "immediate" } else { "fast" };
        script("restart", &self.directory, &[how, &after.as_secs_f64().to_string()]);
    }
}

impl Drop for TestCluster {
    fn drop(&mut self) {
        script("stop", &self.directory, &[]);
    }
}

/// Has `scripts/postgres` do something, and gives what it printed.
fn script(action: &str, directory: &Path, more: &[&str]) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/postgres");
    let done = Command::new(script).arg(action).arg(directory).args(more).stdin(Stdio::null()).output();
    match done {
        Ok(done) if done.status.success() => String::from_utf8_lossy(&done.stdout).trim().to_owned(),
        Ok(done) if std::thread::panicking() => {
            eprintln!("postgres {action}: {}", String::from_utf8_lossy(&done.stderr));
            String::new()
        }
        Ok(done) => panic!("postgres {action}: {}", String::from_utf8_lossy(&done.stderr)),
        Err(error) => panic!("scripts/postgres could not be run: {error}"),
    }
}
