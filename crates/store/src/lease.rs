//! Which gateway writes a partition's journal, where several of them share a database.
//!
//! Whoever has the lease writes. It is over after a while unless it is renewed, by the database's own clock; each one that is
//! taken has a higher fencing number than all before it. The gateways' clocks do not matter: a holder believes itself the holder
//! for as long as a renewal is good for, counted from before it was asked for, and without leap or zone.
//!
//! A lease keeps gateways from stepping on each other's feet. That no record is ever written twice, or over another one, does
//! not rest on it, but on the journal's primary key.

use std::fmt;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mayfly_core::PartitionId;
use mayfly_keys::{OsRandom, Random};

use crate::StoreError;
use crate::journal::FORMAT;
use crate::sql::postgres::{Database, schema};
use crate::sql::{Sql, values};
use crate::sqlite::Access;

/// For how long a lease is good that was not renewed. Three renewals fit into it.
pub const LEASE_TIME: Duration = Duration::from_secs(5);

pub(crate) const CREATE_POSTGRES: &str = "
CREATE TABLE lease (
    partition BIGINT PRIMARY KEY,
    fence BIGINT NOT NULL, -- one more for each holder
    owner TEXT NOT NULL, -- for people, and to know one's own again
    until_ms BIGINT NOT NULL -- by this database's clock
);
COMMENT ON TABLE lease IS 'Which gateway writes a partition''s journal, and until when if it does not say so again.';";

/// In the statements, in its place: the database's clock.
const NOW_MS: &str = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint";

/// A place in the queue for a lease: whoever has one can look, and take it when it is free.
pub struct Lease {
    sql: Sql,
    partition: PartitionId,
    owner: String,
    time: Duration,
    /// How long a statement may take.
    statement_time_max: Duration,
    statements: Statements,
}

struct Statements {
    look: String,
    take: String,
    renew: String,
}

/// Ends connections of our own user that have been at a statement for so many milliseconds, and wait for their client: of a
/// gateway that stands still, or is lost, while it copies rows. The server ends by itself what is idle in a transaction, but not
/// those: while it reads from a client it looks at no time limit, and all that time they keep their locks.
const END_STUCK: &str = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
    WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()
    AND state = 'active' AND wait_event = 'ClientRead'
    AND (extract(epoch FROM clock_timestamp() - state_change) * 1000)::bigint > ?";

/// Who has a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its name: host, process, and something random.
    pub owner: String,
    /// Its fencing number.
    pub fence: u64,
    /// How long the lease is good, by the database's clock; nothing if it is free.
    pub left: Duration,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (fencing number {})", self.owner, self.fence)
    }
}

impl Lease {
    /// Of a partition's journal. Nothing is taken yet.
    pub fn open(
        database: &Arc<Database>,
        partition: PartitionId,
        owner: String,
        time: Duration,
    ) -> Result<Self, StoreError> {
        let sql = schema::open(database, &FORMAT, Access::Create)?;
        let statements = Statements {
            look: format!("SELECT owner, fence, until_ms - {NOW_MS} FROM lease WHERE partition = ?"),
            take: format!(
                "INSERT INTO lease AS held (partition, fence, owner, until_ms) VALUES (?, 1, ?, {NOW_MS} + ?)
                ON CONFLICT (partition) DO UPDATE
                SET fence = held.fence + 1, owner = excluded.owner, until_ms = excluded.until_ms
                WHERE held.until_ms <= {NOW_MS} OR held.owner = excluded.owner RETURNING fence"
            ),
            renew: format!(
                "UPDATE lease SET until_ms = {NOW_MS} + ? WHERE partition = ? AND fence = ? AND owner = ?"
            ),
        };
        let statement_time_max = database.statement_time_max();
        Ok(Self { sql, partition, owner, time, statement_time_max, statements })
    }

    /// What this one is called.
    pub fn owner(&self) -> &str {
        &self.owner
    }

    /// Who has it, or had it last.
    pub fn holder(&self) -> Result<Option<Holder>, StoreError> {
        self.sql.one(&self.statements.look, values![self.partition.0], |cells| {
            Ok(Holder {
                owner: cells.next()?,
                fence: cells.bits()?,
                left: Duration::from_millis(u64::try_from(cells.next::<i64>()?).unwrap_or(0)),
            })
        })
    }

    /// Takes it, if it is free. If that could not be heard it may be asked again: one's own is always free.
    pub fn take(&self) -> Result<Option<Arc<Standing>>, StoreError> {
        // Before it is asked for: from then on it is good for so long at the least.
        let asked = Instant::now();
        let values = values![self.partition.0, &self.owner, self.time_ms()];
        let fence = self.sql.one(&self.statements.take, values, |cells| cells.bits())?;
        if fence.is_some() {
            self.end_stuck();
        }
        Ok(fence.map(|fence| Arc::new(Standing::new(fence, self.trusted_until(asked)))))
    }

    /// Makes it good for longer. If somebody else has it, the standing is lost.
    pub fn renew(&self, standing: &Standing) -> Result<(), StoreError> {
        let asked = Instant::now();
        if self.set(standing, self.time_ms())? {
            standing.extend(self.trusted_until(asked));
            self.end_stuck();
        } else {
            standing.lose();
        }
        Ok(())
    }

    /// Gives it back, so that the next one need not wait.
    pub fn release(&self, standing: &Standing) -> Result<(), StoreError> {
        standing.lose();
        self.set(standing, 0).map(drop)
    }

    /// From now on it is good for so long. Says whether it is one's own.
    fn set(&self, standing: &Standing, time_ms: i64) -> Result<bool, StoreError> {
        let values = values![time_ms, self.partition.0, standing.fence as i64, &self.owner];
        self.sql.run(&self.statements.renew, values).map(|changed| changed == 1)
    }

    /// Whoever stands still holds nobody up who has the lease.
    fn end_stuck(&self) {
        let limit_ms = i64::try_from(self.statement_time_max.as_millis()).unwrap_or(i64::MAX);
        match self.sql.one(END_STUCK, values![limit_ms], |cells| cells.bits()) {
            Ok(None | Some(0)) => {}
            Ok(Some(ended)) => tracing::warn!(ended, "connections of a gateway that stands still were ended"),
            Err(error) => tracing::debug!(%error, "connections that stand still could not be looked for"),
        }
    }

    fn time_ms(&self) -> i64 {
        i64::try_from(self.time.as_millis()).unwrap_or(i64::MAX)
    }

    /// The holder stops a little before the others may begin: no two clocks go at the same rate.
    fn trusted_until(&self, asked: Instant) -> Instant {
        asked + self.time - self.time / 10
    }
}

/// A name by which people know this process, and which no other one has.
pub fn lease_owner() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let mut drawn = [0; 4];
    if OsRandom.fill(&mut drawn).is_err() {
        // Then the host and the process must do.
        tracing::warn!("the system gives no random numbers");
    }
    let (host, pid, drawn) = (host.trim(), std::process::id(), u32::from_be_bytes(drawn));
    let host = if host.is_empty() { "gateway" } else { host };
    format!("{host} pid {pid} {drawn:08x}")
}

/// How its holder stands with a lease, for all threads to see.
#[derive(Debug)]
pub struct Standing {
    fence: u64,
    inner: Mutex<Stand>,
}

#[derive(Debug)]
struct Stand {
    until: Instant,
    lost: bool,
}

impl Standing {
    fn new(fence: u64, until: Instant) -> Self {
        Self { fence, inner: Mutex::new(Stand { until, lost: false }) }
    }

    /// The fencing number.
    pub fn fence(&self) -> u64 {
        self.fence
    }

    /// How long it is certainly good. After that another gateway may have taken it, or not: until that is known, nothing may
    /// be written or answered.
    pub fn left(&self) -> Duration {
        let stand = self.lock();
        if stand.lost { Duration::ZERO } else { stand.until.saturating_duration_since(Instant::now()) }
    }

    /// Whether it is certainly good.
    pub fn is_good(&self) -> bool {
        self.left() > Duration::ZERO
    }

    /// Whether it was given back, or somebody else has it: it does not come back.
    pub fn is_lost(&self) -> bool {
        self.lock().lost
    }

    /// It is over for good.
    pub(crate) fn lose(&self) {
        self.lock().lost = true;
    }

    fn extend(&self, until: Instant) {
        let mut stand = self.lock();
        stand.until = stand.until.max(until);
    }

    fn lock(&self) -> MutexGuard<'_, Stand> {
        // Nobody panics while he holds this lock.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Renews a lease that was taken, on a thread of its own, until it is lost or given back.
pub struct LeaseKeeper {
    thread: Option<JoinHandle<Lease>>,
    stop: Arc<(Mutex<bool>, Condvar)>,
    standing: Arc<Standing>,
}

impl LeaseKeeper {
    /// Renews from now on, three times within the time for which it is good.
    pub fn start(lease: Lease, standing: Arc<Standing>) -> Result<Self, StoreError> {
        let stop = Arc::new((Mutex::new(false), Condvar::new()));
        let (of_thread, kept, location) = (stop.clone(), standing.clone(), lease.sql.location().clone());
        let thread = std::thread::Builder::new()
            .name("mayfly-lease".to_owned())
            .spawn(move || {
                keep(&lease, &kept, &of_thread);
                lease
            })
            .map_err(|error| StoreError::no_thread(&location, &error))?;
        Ok(Self { thread: Some(thread), stop, standing })
    }

    /// How the holder stands.
    pub fn standing(&self) -> &Arc<Standing> {
        &self.standing
    }

    /// Gives the lease back: whoever stands by takes over at once. Nothing may be written any more.
    pub fn release(mut self) -> Result<(), StoreError> {
        self.give_back()
    }

    fn give_back(&mut self) -> Result<(), StoreError> {
        let was_lost = self.standing.is_lost();
        match self.end() {
            Some(lease) if !was_lost => lease.release(&self.standing),
            _ => Ok(()),
        }
    }

    fn end(&mut self) -> Option<Lease> {
        *self.stop.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.stop.1.notify_all();
        self.thread.take().and_then(|thread| thread.join().ok())
    }
}

impl fmt::Debug for LeaseKeeper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LeaseKeeper({:?})", self.standing)
    }
}

impl Drop for LeaseKeeper {
    /// Whoever takes a lease and can't go on must not keep others waiting. Nothing is written under it any more.
    fn drop(&mut self) {
        if let Err(error) = self.give_back() {
            tracing::warn!(%error, "the lease could not be given back");
        }
        self.standing.lose();
    }
}

fn keep(lease: &Lease, standing: &Standing, (stop, changed): &(Mutex<bool>, Condvar)) {
    let mut failed = false;
    while !standing.is_lost() {
        // Whoever does not get through tries more often.
        let pause = if failed { lease.time / 20 } else { lease.time / 3 };
        let waits = stop.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = changed.wait_timeout_while(waits, pause, |stop| !*stop);
        if *waited.unwrap_or_else(PoisonError::into_inner).0 {
            return;
        }
        match lease.renew(standing) {
            Ok(()) => failed = false,
            Err(error) => {
                if !failed {
                    tracing::warn!(%error, left = ?standing.left(), "the lease could not be renewed");
                }
                failed = true;
            }
        }
    }
    tracing::warn!(fence = standing.fence(), "another gateway has the lease");
}
