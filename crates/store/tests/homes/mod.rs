//! What a directory is kept in: the same tests run on files and on a database.

// Each test binary uses a part of it.
#![allow(dead_code, clippy::unwrap_used)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use mayfly_store::directory::DIRECTORY_FILE;
use mayfly_store::{Database, DatabaseOptions, Home};
use mayfly_testing::TestDatabase;
use rusqlite::Connection;
use tempfile::TempDir;

/// Makes two tests of each function that takes a [`Place`].
macro_rules! on_both {
    ($($test:ident)*) => {
        mod files {
            $(#[test]
            fn $test() {
                super::$test(&crate::homes::Place::files());
            })*
        }
        mod database {
            $(#[test]
            fn $test() {
                super::$test(&crate::homes::Place::database());
            })*
        }
    };
}

/// Where a directory is kept, gone when it is dropped.
pub(crate) struct Place {
    home: Home,
    kept: Kept,
}

enum Kept {
    Files(TempDir),
    Database(TestDatabase),
}

impl Place {
    pub(crate) fn files() -> Self {
        let files = tempfile::tempdir().unwrap();
        Self { home: Home::from(files.path()), kept: Kept::Files(files) }
    }

    pub(crate) fn database() -> Self {
        let test = TestDatabase::create();
        let limit = Duration::from_secs(10);
        let options = DatabaseOptions {
            url: &test.url(),
            password: None,
            ca_file: None,
            statement_time_max: limit,
            connect_time_max: limit,
        };
        let home = Home::Database(Arc::new(Database::new(&options).unwrap()));
        Self { home, kept: Kept::Database(test) }
    }

    pub(crate) fn home(&self) -> &Home {
        &self.home
    }

    /// The directory with the files, if it is kept in files.
    pub(crate) fn as_files(&self) -> Option<&TempDir> {
        if let Kept::Files(files) = &self.kept { Some(files) } else { None }
    }

    /// The database, if it is kept in one.
    pub(crate) fn as_database(&self) -> Option<&TestDatabase> {
        if let Kept::Database(test) = &self.kept { Some(test) } else { None }
    }

    /// Does what the software would not.
    pub(crate) fn run(&self, sql: &str) {
        match &self.kept {
            Kept::Files(files) => connect(files).execute_batch(sql).unwrap(),
            Kept::Database(test) => drop(test.psql(&format!("SET search_path TO mayfly_directory; {sql}"))),
        }
    }

    /// Whether the store itself does not let that be done.
    pub(crate) fn refuses(&self, sql: &str) -> bool {
        catch_unwind(AssertUnwindSafe(|| self.run(sql))).is_err()
    }

    /// One number.
    pub(crate) fn number(&self, sql: &str) -> i64 {
        match &self.kept {
            Kept::Files(files) => connect(files).query_row(sql, (), |row| row.get(0)).unwrap(),
            Kept::Database(test) => {
                test.psql(&format!("SET search_path TO mayfly_directory; {sql}")).parse().unwrap()
            }
        }
    }

    /// Says that it is of another version, or of something else.
    pub(crate) fn mark(&self, application_id: u32, version: u32) {
        match &self.kept {
            Kept::Files(_) => self
                .run(&format!("PRAGMA application_id = {application_id}; PRAGMA user_version = {version}")),
            Kept::Database(_) => {
                self.run(&format!("UPDATE format SET application_id = {application_id}, version = {version}"))
            }
        }
    }

    /// Takes away what protects the audit stream.
    pub(crate) fn unguard_audit(&self) {
        let on = if self.as_files().is_some() { "" } else { "ON audit" };
        self.run(&format!("DROP TRIGGER audit_is_not_changed {on}; DROP TRIGGER audit_is_not_cut {on}"));
    }

    /// Nothing of this is found, in whatever letters: in the files as they are, with what was deleted or replaced; in a
    /// database in all of its rows.
    pub(crate) fn assert_nowhere(&self, secrets: &[&[u8]]) {
        let searched = match &self.kept {
            Kept::Files(files) => std::fs::read_dir(files.path())
                .unwrap()
                .map(|file| file.unwrap().path())
                .map(|path| (path.display().to_string(), std::fs::read(path).unwrap()))
                .collect::<Vec<_>>(),
            Kept::Database(test) => {
                let tables = "SELECT tablename FROM pg_tables WHERE schemaname = 'mayfly_directory'";
                let tables = test.psql(tables);
                assert!(tables.lines().count() > 10, "{tables}");
                let rows =
                    |table: &str| test.psql(&format!("SELECT t::text FROM mayfly_directory.{table} t"));
                tables.lines().map(|table| (table.to_owned(), rows(table).into_bytes())).collect()
            }
        };
        assert!(searched.len() >= 2, "the log beside the file is searched, too");
        for (name, bytes) in &searched {
            for secret in secrets {
                let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
                for form in [secret, hex.as_bytes()] {
                    let found = bytes.windows(form.len()).any(|window| window.eq_ignore_ascii_case(form));
                    assert!(!found, "{} stands in {name}", String::from_utf8_lossy(secret));
                }
            }
        }
    }

    /// Breaks all connections to the database.
    pub(crate) fn break_connections(&self) {
        self.as_database().unwrap().psql(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        );
    }
}

fn connect(files: &TempDir) -> Connection {
    Connection::open(files.path().join(DIRECTORY_FILE)).unwrap()
}
