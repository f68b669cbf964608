//! What tests of the directory do past it.

use std::os::unix::fs::PermissionsExt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use mayfly_store::directory::DIRECTORY_FILE;
use rusqlite::Connection;

use super::Ground;

impl Ground {
    /// Does what the directory would not.
    pub(crate) fn run(&self, sql: &str) {
        if let Some(database) = &self.database {
            database.psql(&format!("SET search_path = mayfly_directory; {sql}"));
        }
        if let Some(directory) = &self.directory {
            Connection::open(directory.path().join(DIRECTORY_FILE)).unwrap().execute_batch(sql).unwrap();
        }
    }

    /// Whether the store itself does not let that be done.
    pub(crate) fn refuses(&self, sql: &str) -> bool {
        catch_unwind(AssertUnwindSafe(|| self.run(sql))).is_err()
    }

    /// Says that it is of another version, or of something else.
    pub(crate) fn mark(&self, application_id: u32, version: u32) {
        self.run(&if self.is_files() {
            format!("PRAGMA application_id = {application_id}; PRAGMA user_version = {version}")
        } else {
            format!("UPDATE format SET application_id = {application_id}, version = {version}")
        });
    }

    /// Takes away what protects the audit stream.
    pub(crate) fn unguard_audit(&self) {
        let on = if self.is_files() { "" } else { "ON audit" };
        self.run(&format!("DROP TRIGGER audit_is_not_changed {on}; DROP TRIGGER audit_is_not_cut {on}"));
    }

    /// Nothing of this is found, in whatever letters: in the files as they are, with what was deleted or replaced; in a
    /// database in all of its rows.
    pub(crate) fn assert_nowhere(&self, secrets: &[&[u8]]) {
        let mut searched = Vec::new();
        for file in self.directory.iter().flat_map(|files| std::fs::read_dir(files.path()).unwrap()) {
            let path = file.unwrap().path();
            searched.push((path.display().to_string(), std::fs::read(path).unwrap()));
        }
        if let Some(database) = &self.database {
            let tables = "SELECT tablename FROM pg_tables WHERE schemaname = 'mayfly_directory'";
            let tables = database.psql(tables);
            assert!(tables.lines().count() > 10, "{tables}");
            for table in tables.lines() {
                let rows = database.psql(&format!("SELECT t::text FROM mayfly_directory.{table} t"));
                searched.push((table.to_owned(), rows.into_bytes()));
            }
        }
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

    /// The permissions of its files.
    pub(crate) fn modes(&self) -> Vec<u32> {
        let files = self.directory.iter().flat_map(|files| std::fs::read_dir(files.path()).unwrap());
        files.map(|file| file.unwrap().metadata().unwrap().permissions().mode() & 0o777).collect()
    }

    /// Whether it is kept in files.
    pub(crate) fn is_files(&self) -> bool {
        self.directory.is_some()
    }

    /// Breaks all connections to the database.
    pub(crate) fn break_connections(&self) {
        self.database.as_ref().unwrap().psql(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
             WHERE datname = current_database() AND pid <> pg_backend_pid()",
        );
    }
}
