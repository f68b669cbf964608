//! SQL off the hot path, written once: a connection to SQLite or to PostgreSQL, and what both of them understand.
//!
//! Statements are written with `?`, with `INTEGER`, `TEXT` and `BLOB`, and without anything that only one of them knows;
//! [`dialect`] says what is put in their places for PostgreSQL. What is one file with SQLite is one schema there.
//!
//! A connection belongs to one thread at a time and blocks it. No wait is without a limit. One to PostgreSQL that broke
//! is made again by the next statement that is not within a transaction; whether the statement at which it broke was
//! done is not known: whoever changes something must be able to find out.

mod cells;
pub(crate) mod dialect;
pub(crate) mod postgres;
mod value;

use std::cell::RefCell;

use rusqlite::{Connection, params_from_iter};

pub(crate) use cells::{Cells, json, show_month};
pub(crate) use value::{Cell, Raw, Value, values};

use crate::error::At;
use crate::{Location, StoreError};
use cells::Row;
use postgres::Link;

type Result<T> = std::result::Result<T, StoreError>;

/// A connection.
pub(crate) struct Sql {
    location: Location,
    inner: Inner,
}

enum Inner {
    Sqlite(Connection),
    Postgres(Box<RefCell<Link>>),
}

/// A connection as its database's own library has it.
pub(crate) enum Backend<'a> {
    Sqlite(&'a Connection),
    Postgres(&'a RefCell<Link>),
}

/// What a transaction may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Read: everything as of one moment.
    Read,
    /// Write: one at a time in each file or schema; the next one waits.
    Write,
    /// Make or change tables: one at a time in each file or database.
    Migrate,
}

impl Sql {
    pub(crate) fn sqlite(connection: Connection, location: Location) -> Self {
        Self { location, inner: Inner::Sqlite(connection) }
    }

    pub(crate) fn postgres(link: Link) -> Self {
        Self { location: link.location().clone(), inner: Inner::Postgres(Box::new(RefCell::new(link))) }
    }

    /// What it is connected to.
    pub(crate) fn location(&self) -> &Location {
        &self.location
    }

    /// The database's own connection, for what only one of them does.
    pub(crate) fn backend(&self) -> Backend<'_> {
        match &self.inner {
            Inner::Sqlite(connection) => Backend::Sqlite(connection),
            Inner::Postgres(link) => Backend::Postgres(link),
        }
    }

    pub(crate) fn is_sqlite(&self) -> bool {
        matches!(self.inner, Inner::Sqlite(_))
    }

    /// SQLite's own connection, if it is one, to change how it works.
    pub(crate) fn as_sqlite_mut(&mut self) -> Option<&mut Connection> {
        if let Inner::Sqlite(connection) = &mut self.inner { Some(connection) } else { None }
    }

    /// Does something. Returns how many rows it changed.
    pub(crate) fn run(&self, sql: &str, values: &[Value<'_>]) -> Result<u64> {
        match &self.inner {
            Inner::Sqlite(connection) => connection
                .prepare_cached(sql)
                .and_then(|mut statement| statement.execute(params_from_iter(values)))
                .map(|changed| changed as u64)
                .at(&self.location),
            Inner::Postgres(link) => link.borrow_mut().run(sql, values),
        }
    }

    /// Does several things that have no values, one after the other.
    pub(crate) fn script(&self, sql: &str) -> Result<()> {
        match &self.inner {
            Inner::Sqlite(connection) => connection.execute_batch(sql).at(&self.location),
            Inner::Postgres(link) => link.borrow_mut().script(sql),
        }
    }

    /// The first row, if there is one.
    pub(crate) fn one<T>(
        &self,
        sql: &str,
        values: &[Value<'_>],
        read: impl FnOnce(&mut Cells<'_>) -> Result<T>,
    ) -> Result<Option<T>> {
        match &self.inner {
            Inner::Sqlite(connection) => {
                let mut statement = connection.prepare_cached(sql).at(&self.location)?;
                let mut rows = statement.query(params_from_iter(values)).at(&self.location)?;
                let Some(row) = rows.next().at(&self.location)? else { return Ok(None) };
                let found = read(&mut Cells::new(Row::Sqlite(row), &self.location))?;
                // To its end: only there is it said that what was written refers to something that is not there.
                while rows.next().at(&self.location)?.is_some() {}
                Ok(Some(found))
            }
            Inner::Postgres(link) => {
                let mut read = Some(read);
                let mut found = None;
                link.borrow_mut().each(sql, values, |row| {
                    if let Some(read) = read.take() {
                        found = Some(read(&mut Cells::new(Row::Postgres(row), &self.location))?);
                    }
                    Ok(())
                })?;
                Ok(found)
            }
        }
    }

    /// Each row, one after the other, as they come: none of them is kept. `each` must not use the connection.
    pub(crate) fn each(
        &self,
        sql: &str,
        values: &[Value<'_>],
        mut each: impl FnMut(&mut Cells<'_>) -> Result<()>,
    ) -> Result<()> {
        match &self.inner {
            Inner::Sqlite(connection) => {
                let mut statement = connection.prepare_cached(sql).at(&self.location)?;
                let mut rows = statement.query(params_from_iter(values)).at(&self.location)?;
                while let Some(row) = rows.next().at(&self.location)? {
                    each(&mut Cells::new(Row::Sqlite(row), &self.location))?;
                }
                Ok(())
            }
            Inner::Postgres(link) => link
                .borrow_mut()
                .each(sql, values, |row| each(&mut Cells::new(Row::Postgres(row), &self.location))),
        }
    }

    /// All rows.
    pub(crate) fn all<T>(
        &self,
        sql: &str,
        values: &[Value<'_>],
        mut read: impl FnMut(&mut Cells<'_>) -> Result<T>,
    ) -> Result<Vec<T>> {
        let mut rows = Vec::new();
        self.each(sql, values, |cells| {
            rows.push(read(cells)?);
            Ok(())
        })?;
        Ok(rows)
    }

    /// Begins a transaction. Dropped without a commit, it is rolled back.
    pub(crate) fn begin(&self, access: Access) -> Result<Transaction<'_>> {
        match (&self.inner, access) {
            (Inner::Sqlite(_), Access::Read) => self.script("BEGIN DEFERRED")?,
            (Inner::Sqlite(_), Access::Write | Access::Migrate) => self.script("BEGIN IMMEDIATE")?,
            (Inner::Postgres(link), access) => link.borrow_mut().begin(access)?,
        }
        Ok(Transaction { sql: self, over: false })
    }

    fn end(&self, how: &str) -> Result<()> {
        match &self.inner {
            Inner::Sqlite(_) => self.script(how),
            Inner::Postgres(link) => link.borrow_mut().end(how),
        }
    }
}

/// A transaction that is under way on a connection.
pub(crate) struct Transaction<'a> {
    sql: &'a Sql,
    over: bool,
}

impl Transaction<'_> {
    /// Everything in it is on the disk when this returns.
    pub(crate) fn commit(mut self) -> Result<()> {
        self.over = true;
        let ended = self.sql.end("COMMIT");
        if ended.is_err() {
            // SQLite leaves a transaction open that could not be committed, if the disk was full for instance.
            drop(self.sql.end("ROLLBACK"));
        }
        ended
    }
}

impl std::ops::Deref for Transaction<'_> {
    type Target = Sql;
    fn deref(&self) -> &Sql {
        self.sql
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if !self.over {
            // Where it can't be rolled back the connection is lost, and with it the transaction.
            drop(self.sql.end("ROLLBACK"));
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use mayfly_testing::TestDatabase;

    use super::*;
    use crate::Home;
    use crate::format::{Durability, Format, Step};
    use crate::sql::postgres::{Database, DatabaseOptions};
    use crate::sqlite;

    const FIRST: Format = Format {
        file: "a.db",
        schema: "mayfly_a",
        application_id: 7,
        durability: Durability::Full,
        steps: &[Step::new(
            1,
            "CREATE TABLE a (id INTEGER PRIMARY KEY, text TEXT, bytes BLOB, yes INTEGER NOT NULL) STRICT;",
        )],
        upgrades: true,
        reads_from: 1,
    };
    const SECOND: Format = Format {
        steps: &[
            Step::new(
                1,
                "CREATE TABLE a (id INTEGER PRIMARY KEY, text TEXT, bytes BLOB, yes INTEGER NOT NULL) STRICT;",
            ),
            Step::new(2, "ALTER TABLE a ADD COLUMN more INTEGER;"),
        ],
        reads_from: 2,
        ..FIRST
    };
    const BROKEN: Format = Format {
        steps: &[
            Step::new(2, "ALTER TABLE a ADD COLUMN more INTEGER;"),
            Step::new(3, "CREATE TABLE b (id INTEGER PRIMARY KEY) STRICT;"),
            Step::new(4, "CREATE TABLE b (id INTEGER PRIMARY KEY) STRICT;"),
        ],
        ..FIRST
    };

    pub(crate) fn database(url: &str) -> Arc<Database> {
        let limit = Duration::from_secs(10);
        let options = DatabaseOptions {
            url,
            password: None,
            ca_file: None,
            statement_time_max: limit,
            connect_time_max: limit,
        };
        Arc::new(Database::new(&options).unwrap())
    }

    /// Both databases must do the same.
    pub(crate) fn on_both(work: impl Fn(&Home)) {
        let directory = tempfile::tempdir().unwrap();
        work(&Home::Files(directory.path().to_owned()));
        let test = TestDatabase::create();
        work(&Home::Database(database(&test.url())));
    }

    fn open(home: &Home, format: &Format) -> Result<Sql> {
        home.open(format, sqlite::Access::Create, 1 << 20)
    }

    const ADD: &str = "INSERT INTO a (id, text, bytes, yes) VALUES (?, ?, ?, ?)";

    #[test]
    fn rows_come_back_as_they_were_written() {
        on_both(|home| {
            let sql = open(home, &FIRST).unwrap();
            let (text, bytes) = ("what?", [0, 255, 7]);
            assert_eq!(sql.run(ADD, values![i64::MIN, text, bytes, true]).unwrap(), 1);
            assert_eq!(sql.run(ADD, values![7, None::<&str>, None::<&[u8]>, false]).unwrap(), 1);
            let list = "SELECT id, text, bytes, yes FROM a WHERE id > ? OR text = '?what?' ORDER BY id";
            let rows = sql
                .all(list, values![i64::MIN], |cells| {
                    Ok((cells.bits()?, cells.next::<Option<String>>()?, cells.next::<Option<[u8; 3]>>()?))
                })
                .unwrap();
            assert_eq!(rows, [(7, None, None)]);
            let first = sql.one("SELECT id, text, bytes, yes FROM a ORDER BY id", &[], |cells| {
                Ok((
                    cells.next::<i64>()?,
                    cells.next::<String>()?,
                    cells.next::<Vec<u8>>()?,
                    cells.next::<bool>()?,
                ))
            });
            assert_eq!(first.unwrap(), Some((i64::MIN, text.to_owned(), bytes.to_vec(), true)));
            // A column with something else in it than what is read.
            let error = sql.one("SELECT text FROM a WHERE id = 7", &[], |cells| cells.next::<u32>());
            assert!(matches!(error, Err(StoreError::Damaged { .. })), "{error:?}");
            let none = sql.one("SELECT id FROM a WHERE id = ?", values![8], |cells| cells.bits());
            assert_eq!(none.unwrap(), None);
        });
    }

    #[test]
    fn a_row_that_is_there_already_is_said_to_be() {
        on_both(|home| {
            let sql = open(home, &FIRST).unwrap();
            let add = || sql.run(ADD, values![1, "a", None::<&[u8]>, true]);
            add().unwrap();
            assert_eq!(add(), Err(StoreError::Taken { location: sql.location().clone() }));
        });
    }

    #[test]
    fn what_refers_to_nothing_is_not_said_to_be_written() {
        on_both(|home| {
            let sql = open(home, &FIRST).unwrap();
            sql.script("CREATE TABLE b (id BIGINT PRIMARY KEY, a BIGINT NOT NULL REFERENCES a (id))")
                .unwrap();
            let add = "INSERT INTO b (id, a) VALUES (?, ?) RETURNING id";
            let said = sql.one(add, values![1, 99], |cells| cells.bits());
            assert!(matches!(said, Err(StoreError::Database { .. })), "{said:?}");
        });
    }

    #[test]
    fn a_transaction_is_all_or_nothing() {
        on_both(|home| {
            let (sql, other) = (open(home, &FIRST).unwrap(), open(home, &FIRST).unwrap());
            let count = |sql: &Sql| sql.one("SELECT count(*) FROM a", &[], |cells| cells.bits()).unwrap();
            let writing = sql.begin(Access::Write).unwrap();
            writing.run(ADD, values![1, "a", None::<&[u8]>, true]).unwrap();
            assert_eq!((count(&writing), count(&other)), (Some(1), Some(0)));
            drop(writing);
            assert_eq!(count(&sql), Some(0));
            let writing = sql.begin(Access::Write).unwrap();
            writing.run(ADD, values![1, "a", None::<&[u8]>, true]).unwrap();
            // As of when it began to read.
            let reading = other.begin(Access::Read).unwrap();
            assert_eq!(count(&reading), Some(0));
            writing.commit().unwrap();
            assert_eq!(count(&reading), Some(0));
            drop(reading);
            assert_eq!(count(&other), Some(1));
        });
    }

    /// PostgreSQL does nothing more in a transaction after an error, and would say that it was committed.
    #[test]
    fn a_transaction_with_an_error_in_it_is_not_said_to_be_committed() {
        on_both(|home| {
            let sql = open(home, &FIRST).unwrap();
            let add = |id| sql.run(ADD, values![id, "a", None::<&[u8]>, true]);
            let writing = sql.begin(Access::Write).unwrap();
            add(1).unwrap();
            add(1).unwrap_err();
            let said = writing.commit().is_ok();
            let count = sql.one("SELECT count(*) FROM a", &[], |cells| cells.bits()).unwrap();
            assert_eq!((said, count), if sql.is_sqlite() { (true, Some(1)) } else { (false, Some(0)) });
        });
    }

    #[test]
    fn writers_take_turns() {
        on_both(|home| {
            open(home, &FIRST).unwrap().run(ADD, values![1, None::<&str>, None::<&[u8]>, 0]).unwrap();
            std::thread::scope(|scope| {
                for _ in 0..4 {
                    scope.spawn(|| {
                        let sql = open(home, &FIRST).unwrap();
                        for _ in 0..25 {
                            let writing = sql.begin(Access::Write).unwrap();
                            let read = writing.one("SELECT yes FROM a", &[], |cells| cells.next::<i64>());
                            let next = read.unwrap().unwrap() + 1;
                            writing.run("UPDATE a SET yes = ?", values![next]).unwrap();
                            writing.commit().unwrap();
                        }
                    });
                }
            });
            let sql = open(home, &FIRST).unwrap();
            assert_eq!(sql.one("SELECT yes FROM a", &[], |cells| cells.bits()).unwrap(), Some(100));
        });
    }

    #[test]
    fn an_older_one_gets_what_it_lacks_and_a_newer_one_is_refused() {
        on_both(|home| {
            assert!(home.open(&FIRST, sqlite::Access::Read, 1 << 20).is_err());
            open(home, &FIRST).unwrap().run(ADD, values![1, "a", None::<&[u8]>, true]).unwrap();
            let older = home.open(&SECOND, sqlite::Access::Read, 1 << 20).map(|_| ());
            assert!(matches!(older, Err(StoreError::Damaged { .. })), "{older:?}");
            home.open(&Format { reads_from: 1, ..SECOND }, sqlite::Access::Read, 1 << 20).unwrap();
            let older = open(home, &Format { upgrades: false, ..SECOND }).map(|_| ());
            assert!(matches!(older, Err(StoreError::Damaged { .. })), "{older:?}");
            // Two at once: one of them does it.
            std::thread::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(|| open(home, &SECOND).map(|_| ()).unwrap());
                }
            });
            let sql = open(home, &SECOND).unwrap();
            let read = sql.one("SELECT text, more FROM a", &[], |cells| {
                Ok((cells.next::<String>()?, cells.next::<Option<u32>>()?))
            });
            assert_eq!(read.unwrap(), Some(("a".to_owned(), None)));
            let location = sql.location().clone();
            let newer = StoreError::Newer { location: location.clone(), version: 2, known: 1 };
            assert_eq!(open(home, &FIRST).err(), Some(newer));
            let foreign = Format { application_id: 8, ..SECOND };
            assert_eq!(open(home, &foreign).err(), Some(StoreError::Foreign { location }));
            // All steps or none.
            assert!(open(home, &BROKEN).is_err());
            open(home, &SECOND).unwrap();
        });
    }

    #[test]
    fn a_connection_that_broke_is_made_again() {
        let test = TestDatabase::create();
        let home = Home::Database(database(&test.url()));
        let sql = open(&home, &FIRST).unwrap();
        let kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid()";
        let count = |sql: &Sql| sql.one("SELECT count(*) FROM a", &[], |cells| cells.bits());
        assert_eq!(count(&sql), Ok(Some(0)));
        assert_eq!(test.psql(kill), "1");
        assert!(matches!(count(&sql), Err(StoreError::Lost { .. })));
        assert_eq!(count(&sql), Ok(Some(0)));
        // Not within a transaction: what was done in it is gone.
        let writing = sql.begin(Access::Write).unwrap();
        writing.run(ADD, values![1, "a", None::<&[u8]>, true]).unwrap();
        test.psql(kill);
        assert!(matches!(count(&writing), Err(StoreError::Lost { .. })));
        assert!(matches!(count(&writing), Err(StoreError::Lost { .. })));
        assert!(matches!(writing.commit(), Err(StoreError::Lost { .. })));
        assert_eq!(count(&sql), Ok(Some(0)));
    }
}
