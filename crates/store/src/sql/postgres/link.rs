//! A connection to PostgreSQL, from a thread that it blocks.

use std::collections::HashMap;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{try_join, try_join3};
use futures_util::{SinkExt, TryStreamExt};
use tokio::runtime::{Builder, Runtime};
use tokio_postgres::error::SqlState;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Connection, Row, Socket, Statement};

use super::error::{of_hosts, of_postgres};
use super::tls::Tls;
use super::{Column, Database};
use crate::format::Durability;
use crate::sql::{Access, Value, dialect};
use crate::{Location, StoreError};

type Result<T> = std::result::Result<T, StoreError>;
type Connected = (Client, Connection<Socket, <Tls as MakeTlsConnect<Socket>>::Stream>);

/// How many statements are kept prepared; their texts are our own, so there are never so many.
const STATEMENTS_MAX: usize = 512;
/// Whoever makes or changes a schema holds this lock of the database: "mayfly" in bytes.
const MIGRATING: i64 = 0x6d61_7966_6c79;
/// How much longer than the server the client waits for a statement: then the server, or the way to it, is gone.
const GRACE: Duration = Duration::from_secs(5);

/// A connection to one schema. It is made when it is needed, and again after it broke.
pub(crate) struct Link {
    database: Arc<Database>,
    location: Location,
    schema: &'static str,
    durability: Durability,
    live: Option<Live>,
    in_transaction: bool,
}

struct Live {
    // Dropped last: it is what the connection lives in.
    client: Client,
    statements: HashMap<String, Statement>,
    runtime: Option<Runtime>,
}

impl Drop for Live {
    fn drop(&mut self) {
        // Wherever it is dropped: waiting for the runtime's end is not allowed everywhere, and not needed.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Live {
    /// Waits for `work`, and not for ever.
    fn wait<T>(
        &self,
        location: &Location,
        limit: Duration,
        work: impl Future<Output = std::result::Result<T, tokio_postgres::Error>>,
    ) -> Result<T> {
        let Some(runtime) = &self.runtime else { return Err(StoreError::lost(location, "it was closed")) };
        let done = runtime.block_on(async { tokio::time::timeout(limit, work).await });
        match done {
            Ok(done) => done.map_err(|error| of_postgres(location, &error)),
            Err(_) => Err(StoreError::lost(location, "it did not answer in time")),
        }
    }
}

impl Link {
    /// To `schema`, which is the only one that its statements see. Connects at once.
    pub(crate) fn open(
        database: &Arc<Database>,
        schema: &'static str,
        durability: Durability,
    ) -> Result<Self> {
        let location = database.location(schema);
        let database = database.clone();
        let mut link = Self { database, location, schema, durability, live: None, in_transaction: false };
        link.connected()?;
        Ok(link)
    }

    pub(crate) fn location(&self) -> &Location {
        &self.location
    }

    /// How long the client waits for a statement.
    fn limit(&self) -> Duration {
        self.database.statement_time_max() + GRACE
    }

    /// Connects, if it is not connected.
    fn connected(&mut self) -> Result<()> {
        if self.live.as_ref().is_some_and(|live| live.client.is_closed()) {
            self.live = None;
        }
        if self.live.is_some() {
            return Ok(());
        }
        if self.in_transaction {
            return Err(StoreError::lost(&self.location, "the connection broke within a transaction"));
        }
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| StoreError::lost(&self.location, &error.to_string()))?;
        let (client, connection) = runtime.block_on(self.connect())?;
        // It ends with the client, and says nothing that a statement does not say.
        drop(runtime.spawn(connection));
        self.live = Some(Live { client, statements: HashMap::new(), runtime: Some(runtime) });
        Ok(())
    }

    /// To the first host that can be written to.
    async fn connect(&self) -> Result<Connected> {
        let (tls, limit) = (self.database.tls(), self.database.host_time_max());
        let mut failed = Vec::new();
        for (host, config) in self.database.configs(self.schema, self.durability) {
            let error = match tokio::time::timeout(limit, config.connect(tls.clone())).await {
                Ok(Ok(connected)) => return Ok(connected),
                Ok(Err(error)) => of_postgres(&self.location, &error),
                Err(_) => StoreError::lost(&self.location, "it did not answer in time"),
            };
            failed.push((host, error));
        }
        Err(of_hosts(&self.location, failed))
    }

    /// Does something with the connection, and lets go of one that is of no use any more.
    fn with<T>(&mut self, work: impl FnOnce(&mut Live, &Location, Duration) -> Result<T>) -> Result<T> {
        self.connected()?;
        let limit = self.limit();
        let Some(live) = &mut self.live else {
            return Err(StoreError::lost(&self.location, "it was closed"));
        };
        let done = work(live, &self.location, limit);
        match &done {
            // A server that can't be written any more: the next connection finds the one that can.
            Err(StoreError::Lost { .. } | StoreError::Refused { .. }) => self.live = None,
            // A table that was made anew, or a server behind the same address: prepared statements may be of another time.
            Err(StoreError::Database { .. }) => live.statements.clear(),
            _ => {}
        }
        done
    }

    pub(crate) fn run(&mut self, sql: &str, values: &[Value<'_>]) -> Result<u64> {
        self.with(|live, location, limit| {
            let statement = prepared(live, location, limit, sql)?;
            live.wait(location, limit, live.client.execute_raw(&statement, values))
        })
    }

    pub(crate) fn script(&mut self, sql: &str) -> Result<()> {
        self.with(|live, location, limit| live.wait(location, limit, live.client.batch_execute(sql)))
    }

    /// Each row as it comes. The time limit is for each of them.
    pub(crate) fn each(
        &mut self,
        sql: &str,
        values: &[Value<'_>],
        mut each: impl FnMut(&Row) -> Result<()>,
    ) -> Result<()> {
        self.with(|live, location, limit| {
            let statement = prepared(live, location, limit, sql)?;
            let rows = live.wait(location, limit, live.client.query_raw(&statement, values))?;
            let mut rows = pin!(rows);
            while let Some(row) = live.wait(location, limit, rows.try_next())? {
                each(&row)?;
            }
            Ok(())
        })
    }

    /// Copies rows into a table: `sql` is `COPY … FROM STDIN BINARY`.
    pub(crate) fn copy(&mut self, sql: &str, rows: Bytes) -> Result<()> {
        self.with(|live, location, limit| {
            let statement = prepared(live, location, limit, sql)?;
            let copied = async {
                let mut sink = pin!(live.client.copy_in::<_, Bytes>(&statement).await?);
                sink.send(rows).await?;
                sink.finish().await
            };
            live.wait(location, limit, copied).map(|_| ())
        })
    }

    /// Copies rows into a table and then does `last`, both as one transaction. Says whether it was done: not if `last` would
    /// leave a column without a value that must have one. It takes two ways to the server and back.
    pub(crate) fn copy_and(
        &mut self,
        copy: &str,
        rows: Bytes,
        last: &str,
        values: &[Value<'_>],
    ) -> Result<bool> {
        self.with(|live, location, limit| {
            let (copy, last) =
                (prepared(live, location, limit, copy)?, prepared(live, location, limit, last)?);
            let client = &live.client;
            let attempt = async {
                // Sent in this order, and nothing waits for an answer before the next is sent. If the last statement fails,
                // what follows it rolls everything back.
                let begin = client.batch_execute("BEGIN");
                let ((), sink) = try_join(begin, client.copy_in::<_, Bytes>(&copy)).await?;
                let mut sink = pin!(sink);
                sink.send(rows).await?;
                let last = client.execute_raw(&last, values);
                try_join3(sink.finish(), last, client.batch_execute("COMMIT")).await.map(|_| ())
            };
            let done = async {
                let done = attempt.await;
                if done.is_err() {
                    // Whatever was begun is over, also if it can't be said any more.
                    drop(client.batch_execute("ROLLBACK").await);
                }
                match done {
                    Err(error) if error.code() == Some(&SqlState::NOT_NULL_VIOLATION) => Ok(false),
                    done => done.map(|()| true),
                }
            };
            live.wait(location, limit, done)
        })
    }

    /// Does something with columns of values and, after them, single ones. Returns how many rows it changed.
    pub(crate) fn run_columns(&mut self, sql: &str, columns: &[Column], values: &[Value<'_>]) -> Result<u64> {
        self.with(|live, location, limit| {
            let statement = prepared(live, location, limit, sql)?;
            let single = values.iter().map(|value| value as &(dyn ToSql + Sync));
            let values: Vec<_> = columns.iter().map(Column::as_sql).chain(single).collect();
            live.wait(location, limit, live.client.execute(&statement, &values))
        })
    }

    /// Each row that is found by columns of values.
    pub(crate) fn each_of_columns(
        &mut self,
        sql: &str,
        columns: &[Column],
        mut each: impl FnMut(&Row) -> Result<()>,
    ) -> Result<()> {
        self.with(|live, location, limit| {
            let statement = prepared(live, location, limit, sql)?;
            let values: Vec<_> = columns.iter().map(Column::as_sql).collect();
            let found = live.wait(location, limit, live.client.query(&statement, &values))?;
            found.iter().try_for_each(&mut each)
        })
    }

    pub(crate) fn begin(&mut self, access: Access) -> Result<()> {
        let begin = match access {
            Access::Read => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY".to_owned(),
            // Whoever writes next in this schema waits here.
            Access::Write => "BEGIN; SELECT version FROM format FOR UPDATE".to_owned(),
            Access::Migrate => format!("BEGIN; SELECT pg_advisory_xact_lock({MIGRATING})"),
        };
        match self.script(&begin) {
            // A connection that broke while nobody used it is found out here, and nothing was done yet.
            Err(StoreError::Lost { .. }) => self.script(&begin)?,
            begun => begun?,
        }
        self.in_transaction = true;
        Ok(())
    }

    pub(crate) fn end(&mut self, how: &str) -> Result<()> {
        let ended = if self.live.is_some() {
            // After an error in it that somebody overlooked, a COMMIT would roll it back without a word. A statement
            // before it fails then.
            self.script(if how == "COMMIT" { "SELECT 1; COMMIT" } else { how })
        } else {
            Err(StoreError::lost(&self.location, "the connection broke within a transaction"))
        };
        self.in_transaction = false;
        if ended.is_err() {
            // With it goes whatever was begun.
            self.live = None;
        }
        ended
    }
}

fn prepared(live: &mut Live, location: &Location, limit: Duration, sql: &str) -> Result<Statement> {
    if let Some(statement) = live.statements.get(sql) {
        return Ok(statement.clone());
    }
    let statement = live.wait(location, limit, live.client.prepare(&dialect::statement(sql)))?;
    if live.statements.len() >= STATEMENTS_MAX {
        live.statements.clear();
    }
    live.statements.insert(sql.to_owned(), statement.clone());
    Ok(statement)
}
