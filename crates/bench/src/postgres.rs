//! The peer: the same purchases as one transaction each in PostgreSQL, tables updated in place, as most systems
//! of this kind are built.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use mayfly_store::{Database, DatabaseError, DatabaseOptions, Home};
use tokio_postgres::{Client, Config, Error, NoTls, Statement};

use crate::drive::{Figures, Latency};

/// How many connections authorise at the same time.
pub const CONNECTIONS: usize = 16;

const SCHEMA: &str = "
    CREATE TEMPORARY TABLE IF NOT EXISTS probe (one int);
    DROP SCHEMA IF EXISTS mayfly_bench CASCADE;
    CREATE SCHEMA mayfly_bench;
    CREATE TABLE mayfly_bench.accounts (id bigint PRIMARY KEY, available bigint NOT NULL, held bigint NOT NULL);
    CREATE TABLE mayfly_bench.numbers (
        number_index bigint PRIMARY KEY, account bigint NOT NULL, expiry int NOT NULL, uses_left int NOT NULL,
        spent bigint NOT NULL);
    CREATE TABLE mayfly_bench.authorisations (
        id bigserial PRIMARY KEY, acquirer text NOT NULL, rrn text NOT NULL, stan int NOT NULL, at timestamptz NOT NULL,
        number_index bigint NOT NULL, account bigint NOT NULL, amount bigint NOT NULL, merchant text NOT NULL,
        mcc int NOT NULL, country int NOT NULL, response text NOT NULL, UNIQUE (acquirer, rrn));
";

/// One purchase: the use, the funds, the record, all or nothing.
const AUTHORISE: &str = "
    WITH used AS (
        UPDATE mayfly_bench.numbers SET uses_left = uses_left - 1, spent = spent + $2
        WHERE number_index = $1 AND uses_left > 0 AND expiry = 203512 RETURNING account),
    paid AS (
        UPDATE mayfly_bench.accounts SET available = available - $2, held = held + $2
        FROM used WHERE id = used.account AND available >= $2 RETURNING id)
    INSERT INTO mayfly_bench.authorisations
        (acquirer, rrn, stan, at, number_index, account, amount, merchant, mcc, country, response)
    SELECT '40000123456', $3, $4, now(), $1, id, $2, 'MERCHANT-000042', 5411, 840, '00' FROM paid";

/// Runs it for so long against the database at `url`, with `numbers` active numbers.
pub async fn authorise(url: &str, numbers: u64, run_for: Duration) -> Result<Figures, Error> {
    let setup = connect(url).await?;
    setup.batch_execute(SCHEMA).await?;
    let numbers_sql = numbers as i64;
    setup
        .execute(
            "INSERT INTO mayfly_bench.accounts SELECT a, 1000000000000, 0 FROM generate_series(1::bigint, $1) a",
            &[&(numbers_sql / 10).max(1)],
        )
        .await?;
    setup
        .execute(
            "INSERT INTO mayfly_bench.numbers SELECT n, n % ($1::bigint / 10) + 1, 203512, 1000, 0
             FROM generate_series(0::bigint, $1::bigint - 1) n",
            &[&numbers_sql.max(10)],
        )
        .await?;
    setup.batch_execute("ANALYZE").await?;
    let counter = Arc::new(AtomicU64::new(0));
    let begun = Instant::now();
    let mut tasks = Vec::new();
    for _ in 0..CONNECTIONS {
        let client = connect(url).await?;
        let statement = client.prepare(AUTHORISE).await?;
        tasks.push(tokio::spawn(purchases(client, statement, numbers, counter.clone(), begun, run_for)));
    }
    let mut latency = Latency::new(begun);
    for task in tasks {
        if let Ok(measured) = task.await {
            for (sent, came) in measured? {
                latency.came(sent, came, true);
            }
        }
    }
    let figures = latency.figures(run_for);
    setup.batch_execute("DROP SCHEMA mayfly_bench CASCADE").await?;
    Ok(figures)
}

/// The same database as a home for the engine's data.
pub fn home(url: &str) -> Result<Home, DatabaseError> {
    let parsed: Result<Config, Error> = url.parse();
    let config = parsed.map_err(|error| DatabaseError::Url(error.to_string()))?;
    // Those of a benchmark may stand in its URL.
    let password = config.get_password().map(|password| String::from_utf8_lossy(password).into_owned());
    let without = password
        .as_ref()
        .map_or_else(|| url.to_owned(), |password| url.replace(&format!(":{password}@"), "@"));
    let limit = Duration::from_secs(60);
    let database = Database::new(&DatabaseOptions {
        url: &without,
        password: password.as_deref(),
        ca_file: None,
        statement_time_max: limit,
        connect_time_max: limit,
    })?;
    Ok(Home::Database(Arc::new(database)))
}

/// Takes away what an engine has left there.
pub async fn clear(url: &str) -> Result<(), Error> {
    let clear = "DROP SCHEMA IF EXISTS mayfly_journal CASCADE; DROP SCHEMA IF EXISTS mayfly_views CASCADE;
        DROP SCHEMA IF EXISTS mayfly_views_bad CASCADE";
    connect(url).await?.batch_execute(clear).await
}

async fn purchases(
    client: Client,
    statement: Statement,
    numbers: u64,
    counter: Arc<AtomicU64>,
    begun: Instant,
    run_for: Duration,
) -> Result<Vec<(Instant, Instant)>, Error> {
    let mut measured = Vec::new();
    while begun.elapsed() < run_for {
        let count = counter.fetch_add(1, Ordering::Relaxed);
        let number = (count.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20) % numbers;
        let sent = Instant::now();
        let rrn = format!("{count:012}");
        client
            .execute(&statement, &[&(number as i64), &2498i64, &rrn, &((count % 1_000_000) as i32)])
            .await?;
        measured.push((sent, Instant::now()));
    }
    Ok(measured)
}

async fn connect(url: &str) -> Result<Client, Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(async move {
        // The client sees the same error with its next statement.
        let _ = connection.await;
    });
    Ok(client)
}
