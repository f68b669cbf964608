//! Damage to the views, which follow from the journal alone: a start has to notice and to build them again.

use std::collections::VecDeque;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use mayfly_testing::TestDatabase;

use crate::harness::{Home, Random};

const VIEWS: &str = "views.db";
const SCHEMA: &str = "mayfly_views";
/// Without one of these tables a start can't load the state.
const TABLES: [&str; 4] = ["accounts", "cursor", "issuer_books", "number_state"];
/// What is overwritten, in bytes: a page.
const PAGE: usize = 16_384;
/// How many copies are kept.
const COPIES_MAX: usize = 3;

/// Copies of earlier views, and what is done with them.
#[derive(Default)]
pub(crate) struct Damage {
    copies: VecDeque<PathBuf>,
}

impl Damage {
    /// Does something to the views, or nothing; says what.
    pub(crate) fn inflict(&mut self, home: &Home, random: &mut Random) -> String {
        match home.database() {
            Some(database) => self.inflict_on_schema(database, random),
            None => self.inflict_on_files(home, random),
        }
    }

    fn inflict_on_schema(&mut self, database: &TestDatabase, random: &mut Random) -> String {
        let there = format!("SELECT count(*) FROM pg_tables WHERE schemaname = '{SCHEMA}'");
        if database.psql(&there) == "0" {
            return "are missing".into();
        }
        match random.below(8) {
            0 => {
                let table = random.of(&TABLES).unwrap();
                // A view that lists it goes with it.
                database.psql(&format!("DROP TABLE {SCHEMA}.{table} CASCADE"));
                format!("without their {table}")
            }
            1 => {
                let deleted =
                    "WITH deleted AS (DELETE FROM mayfly_views.number_state WHERE id % 2 = 0 RETURNING 1)
                    SELECT count(*) FROM deleted";
                format!("without {} of their numbers", database.psql(deleted))
            }
            2 => {
                database.psql(&format!("DROP SCHEMA {SCHEMA} CASCADE"));
                "removed".into()
            }
            3 => {
                database.psql(&format!("DELETE FROM {SCHEMA}.cursor"));
                "without their cursor".into()
            }
            4 | 5 => match random.of(self.copies.make_contiguous()) {
                Some(copy) => {
                    database.psql(&format!("DROP SCHEMA {SCHEMA} CASCADE"));
                    database.restore(copy);
                    format!("replaced by {}", copy.file_name().unwrap_or_default().display())
                }
                None => "untouched".into(),
            },
            _ => "untouched".into(),
        }
    }

    fn inflict_on_files(&mut self, home: &Home, random: &mut Random) -> String {
        let views = home.file(VIEWS);
        let Ok(bytes) = fs::metadata(&views).map(|metadata| metadata.len()) else {
            return "are missing".into();
        };
        match random.below(8) {
            0 => {
                let stay = random.below(bytes + 1);
                OpenOptions::new().write(true).open(&views).unwrap().set_len(stay).unwrap();
                format!("cut to {stay} of {bytes} bytes")
            }
            1 => {
                let at = random.below(bytes + 1) / PAGE as u64 * PAGE as u64;
                let file = OpenOptions::new().write(true).open(&views).unwrap();
                file.write_all_at(&random.bytes(PAGE), at).unwrap();
                format!("overwritten at {at} of {bytes} bytes")
            }
            2 => {
                Self::remove(home);
                "removed".into()
            }
            3 => {
                // The write-ahead log alone: what was in it is not in the file.
                let _ = fs::remove_file(home.file("views.db-wal"));
                let _ = fs::remove_file(home.file("views.db-shm"));
                "without their write-ahead log".into()
            }
            4 | 5 => match random.of(self.copies.make_contiguous()) {
                Some(copy) => {
                    Self::remove(home);
                    fs::copy(copy, &views).unwrap();
                    format!("replaced by {}", copy.file_name().unwrap_or_default().display())
                }
                None => "untouched".into(),
            },
            _ => "untouched".into(),
        }
    }

    fn remove(home: &Home) {
        for name in [VIEWS, "views.db-wal", "views.db-shm"] {
            let _ = fs::remove_file(home.file(name));
        }
    }

    /// Keeps a copy of the views of a server that has stopped, for a later round. The latest few are kept.
    pub(crate) fn keep_copy(&mut self, home: &Home, round: u64, random: &mut Random) {
        if random.below(2) == 0 {
            return;
        }
        let copy = home.beside(&format!("views of round {round}"));
        match home.database() {
            Some(database) => database.dump(SCHEMA, &copy),
            None => drop(fs::copy(home.file(VIEWS), &copy).unwrap()),
        }
        self.copies.push_back(copy);
        if self.copies.len() > COPIES_MAX
            && let Some(oldest) = self.copies.pop_front()
        {
            fs::remove_file(oldest).unwrap();
        }
    }
}
