//! What tests need of the world: an empty database of PostgreSQL for each of them, and where it takes one a server; a PKCS#11 token; and
//! what was logged.
//!
//! The server is one for all tests. `scripts/test` starts it; whoever runs tests by hand starts one with
//! `scripts/postgres` and says where it is in `MAYFLY_TEST_POSTGRES`. A test that needs one and finds none fails, and says
//! so. Nothing here is part of the software.
#![allow(clippy::panic, reason = "it is for tests, which fail that way")]

mod cluster;
mod log;
mod softhsm;

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

pub use cluster::{TestCluster, TestPair, TestPatroni};
pub use log::CaughtLog;
pub use softhsm::SoftHsm;

/// Where the software under test keeps its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    /// In files of SQLite.
    Sqlite,
    /// In a database of PostgreSQL.
    Postgres,
}

impl Store {
    /// A database, if it takes one.
    #[must_use]
    pub fn database(self) -> Option<TestDatabase> {
        (self == Self::Postgres).then(TestDatabase::create)
    }
}

/// Makes two tests of each function that takes a [`Store`]: one on SQLite, one on PostgreSQL.
#[macro_export]
macro_rules! on_both {
    ($($test:ident)*) => {
        mod on_sqlite {
            $(#[test]
            fn $test() {
                super::$test($crate::Store::Sqlite);
            })*
        }
        mod on_postgres {
            $(#[test]
            fn $test() {
                super::$test($crate::Store::Postgres);
            })*
        }
    };
}

/// Where the server is.
pub const VARIABLE: &str = "MAYFLY_TEST_POSTGRES";

/// A database of its own, empty; it is dropped with this.
#[derive(Debug)]
pub struct TestDatabase {
    server: String,
    name: String,
}

impl TestDatabase {
    /// Makes one.
    ///
    /// # Panics
    /// If there is no server, or it makes none.
    #[must_use]
    pub fn create() -> Self {
        let Ok(server) = std::env::var(VARIABLE) else {
            panic!(
                "this test needs a PostgreSQL server: export {VARIABLE}=$(scripts/postgres start /tmp/mayfly-postgres)"
            );
        };
        Self::on(server)
    }

    /// Makes one on a server that is named by the URL of any of its databases.
    fn on(server: String) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("mayfly_test_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let database = Self { server, name };
        database.on_server(&format!("DROP DATABASE IF EXISTS {}", database.name));
        database.on_server(&format!("CREATE DATABASE {} TEMPLATE template0", database.name));
        database
    }

    /// How it is connected to.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_on(&self.server)
    }

    /// How it is connected to on one of several servers that have it.
    fn url_on(&self, server: &str) -> String {
        let (address, options) = server.split_once('?').unwrap_or((server, ""));
        let address = address.rsplit_once('/').map_or(address, |(address, _)| address);
        let mark = if options.is_empty() { "" } else { "?" };
        format!("{address}/{}{mark}{options}", self.name)
    }

    /// Has `psql` do something in it, and gives what it printed, without decoration.
    ///
    /// # Panics
    /// If that fails.
    pub fn psql(&self, sql: &str) -> String {
        psql(&self.url(), sql)
    }

    /// Writes a schema of it into a file.
    ///
    /// # Panics
    /// If that fails.
    pub fn dump(&self, schema: &str, file: &Path) {
        run(Command::new("pg_dump").args(["--schema", schema, "--dbname", &self.url(), "--file"]).arg(file));
    }

    /// Makes what was written into a file.
    ///
    /// # Panics
    /// If that fails; also if it is there.
    pub fn restore(&self, file: &Path) {
        run(plain_psql(&self.url()).arg("--file").arg(file));
    }

    /// Ends every other connection to it, whatever it is at. Gives how many there were.
    pub fn end_connections(&self) -> u32 {
        let ended = self.psql(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        );
        ended.parse().unwrap_or_else(|_| panic!("psql said: {ended}"))
    }

    fn on_server(&self, sql: &str) {
        psql(&self.server, sql);
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.on_server(&format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name));
        }
    }
}

fn psql(url: &str, sql: &str) -> String {
    run(plain_psql(url).args(["--command", sql]))
}

/// Without decoration, and to its first error.
fn plain_psql(url: &str) -> Command {
    let mut command = Command::new("psql");
    command
        .args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set", "ON_ERROR_STOP=1"])
        .args(["--dbname", url]);
    command
}

/// Gives what it printed.
fn run(command: &mut Command) -> String {
    match command.stdin(Stdio::null()).output() {
        Ok(done) if done.status.success() => String::from_utf8_lossy(&done.stdout).trim().to_owned(),
        Ok(done) => panic!("{:?}: {}", command.get_program(), String::from_utf8_lossy(&done.stderr)),
        Err(error) => panic!("{:?} could not be run: {error}", command.get_program()),
    }
}
