//! What tests need of the world: an empty database of PostgreSQL for each of them.
//!
//! The server is one for all tests. `scripts/test` starts it; whoever runs tests by hand starts one with
//! `scripts/postgres` and says where it is in `MAYFLY_TEST_POSTGRES`. A test that needs one and finds none fails, and says
//! so. Nothing here is part of the software.
#![allow(clippy::panic, reason = "it is for tests, which fail that way")]

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

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
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let Ok(server) = std::env::var(VARIABLE) else {
            panic!(
                "this test needs a PostgreSQL server: export {VARIABLE}=$(scripts/postgres start /tmp/mayfly-postgres)"
            );
        };
        let name = format!("mayfly_test_{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let database = Self { server, name };
        database.on_server(&format!("DROP DATABASE IF EXISTS {}", database.name));
        database.on_server(&format!("CREATE DATABASE {} TEMPLATE template0", database.name));
        database
    }

    /// How it is connected to.
    #[must_use]
    pub fn url(&self) -> String {
        let (server, _) = self.server.rsplit_once('/').unwrap_or((&self.server, ""));
        format!("{server}/{}", self.name)
    }

    /// Has `psql` do something in it, and gives what it printed, without decoration.
    ///
    /// # Panics
    /// If that fails.
    pub fn psql(&self, sql: &str) -> String {
        psql(&self.url(), sql)
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
    let done = Command::new("psql")
        .args(["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set", "ON_ERROR_STOP=1"])
        .args(["--dbname", url, "--command", sql])
        .stdin(Stdio::null())
        .output();
    match done {
        Ok(done) if done.status.success() => String::from_utf8_lossy(&done.stdout).trim().to_owned(),
        Ok(done) => panic!("psql: {}", String::from_utf8_lossy(&done.stderr)),
        Err(error) => panic!("psql could not be run: {error}"),
    }
}
