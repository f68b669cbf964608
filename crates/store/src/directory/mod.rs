//! The directory (`directory.db`, or the schema `mayfly_directory`): what is not the money path. Keys for the API, cardholders and how they log in,
//! their sessions, merchants and what they ordered, where issuers are told and asked, which cards stand behind the numbers of
//! the check site, and an audit stream of all of it.
//!
//! Plain tables, one module per group of tables with all of its SQL. They follow from nothing else, so every change is
//! synced before it is answered, and none happens without its entry in the [audit stream](AuditEntry): both are one
//! transaction, [`Directory::write`]. Only an [order](Payment) of a merchant's is its own record. A change that a client may send again has a key: [`Directory::once`].
//!
//! Whatever belongs to an issuer is looked up with that issuer's id; another issuer's is as good as not there. All
//! calls block: call them where that is allowed.
//!
//! It is kept in a file of SQLite or in a schema of PostgreSQL, with the same SQL. Who writes, waits for who wrote before, in
//! other gateways too, so within a [`Writing`] nothing changes but by itself. If the connection to a database breaks, what
//! is read is read again, and what was being written fails: nobody knows whether it was written, and whoever does it
//! [`once`](Directory::once) finds out by doing it again.
//!
//! What must never stand in there readably: a token or a password (hashes only), a name, a log-in name, a card
//! number, a URL, a secret that signs (sealed; a log-in name also as a keyed hash, by which it is found).

mod accounts;
mod audit;
mod cardholders;
mod consoles;
mod conversions;
mod counters;
mod decision_endpoints;
mod error;
mod host_advices;
mod ids;
mod invitations;
mod key_versions;
mod keys;
mod merchants;
#[cfg(test)]
mod migrations;
mod note_keys;
mod once;
mod payments;
mod readers;
mod sealed;
mod sessions;
mod throttles;
mod web_address;
mod webhook_attempts;
mod webhooks;
mod writing;

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use mayfly_core::TimeMs;
use mayfly_keys::DirectoryKeys;

use crate::format::{Durability, Format, Step};
use crate::sql::{Access, Sql, Transaction, values};
use crate::{Home, Location, StoreError, sqlite};
use readers::Readers;

pub use accounts::{ACCOUNTS_MAX, LinkedAccount};
pub use audit::{AuditEntry, AuditHead, AuditScope, Entry};
pub use cardholders::{Cardholder, CardholderStatus, Login};
pub use conversions::{NewConversion, StoredConversion};
pub use decision_endpoints::DecisionEndpoint;
pub use error::{AuditFault, DirectoryError};
pub use host_advices::StoredAdvice;
pub use ids::{AttemptId, CardholderId, KeyId, MerchantEntryId, SessionId, WebhookId};
pub use invitations::{Invitation, NewInvitation, Redeemed, Redemption};
pub use key_versions::{KeyVersionRow, key_versions_of};
pub use keys::{ApiKey, NewKey, NewSecret, Role};
pub use merchants::{Merchant, MerchantState, NewMerchant};
pub use once::{ONCE_KEPT_MS, Once, OnceKey};
pub use payments::{OrderReference, Payment, PaymentId, Placed};
pub use sessions::{NewSession, NewTokens, Refreshed, Session};
pub use throttles::{Attempt, ThrottleKey, ThrottleScope};
pub use web_address::{WebAddress, WebAddressError};
pub use webhook_attempts::{ATTEMPTS_KEPT, ATTEMPTS_KEPT_MS, WebhookAttempt};
pub use webhooks::{
    NewWebhook, WEBHOOKS_MAX, Webhook, WebhookChange, WebhookOrder, WebhookProgress, WebhookState,
};
pub use writing::{By, Purged, Writing};

/// The directory's file name.
pub const DIRECTORY_FILE: &str = "directory.db";

pub(crate) const FORMAT: Format = Format {
    file: DIRECTORY_FILE,
    schema: "mayfly_directory",
    application_id: 0x4d59_4644,
    durability: Durability::Full,
    steps: &[
        Step::new(1, KEY_CHECK),
        Step::new(1, audit::CREATE),
        Step::each(1, audit::GUARD_SQLITE, audit::GUARD_POSTGRES),
        Step::new(1, keys::CREATE),
        Step::new(1, cardholders::CREATE),
        Step::new(1, accounts::CREATE),
        Step::new(1, invitations::CREATE),
        Step::new(1, sessions::CREATE),
        Step::new(1, throttles::CREATE),
        Step::new(1, once::CREATE),
        Step::new(1, note_keys::CREATE),
        Step::new(2, merchants::CREATE),
        Step::new(2, payments::CREATE),
        Step::new(2, consoles::CREATE),
        Step::new(2, webhooks::CREATE),
        Step::new(2, webhook_attempts::CREATE),
        Step::new(2, decision_endpoints::CREATE),
        Step::new(3, counters::CREATE),
        Step::each(3, counters::TAKE_OVER_SQLITE, counters::TAKE_OVER_POSTGRES),
        Step::new(4, key_versions::CREATE),
        Step::new(4, conversions::CREATE),
        Step::new(5, host_advices::CREATE),
    ],
    upgrades: true,
    // One that lacks a table says nothing of what would stand in it.
    reads_from: 3,
};

const KEY_CHECK: &str = "
-- A keyed hash of nothing: whether the root key is the one under which all of this was written.
CREATE TABLE key_check (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    hash BLOB NOT NULL CHECK (length(hash) = 16)
) STRICT;";

const CACHE_BYTES: usize = 4 << 20;
/// How often whoever delivers to webhooks sees what other gateways did.
const LOOKED_UP_SECONDS: u64 = 5;

/// The directory: one connection that writes, a few that read. Several gateways may have the same one open in a database.
pub struct Directory {
    location: Location,
    keys: DirectoryKeys,
    writer: Mutex<Sql>,
    readers: Readers,
    note_keys: note_keys::Cache,
    decision_endpoints: decision_endpoints::Cache,
    webhook_changes: AtomicU64,
    opened: Instant,
}

impl Directory {
    /// Opens the directory of `home`; makes one where none is. A file can be read by its owner only.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Store`] if it can't be used, or was written by a newer version of the software;
    /// [`DirectoryError::OtherRootKey`] if it was written under another root key.
    pub fn open(home: &Home, keys: DirectoryKeys) -> Result<Self, DirectoryError> {
        let location = home.location(&FORMAT);
        if let Location::File(path) = &location {
            // SQLite's own files beside it get the same permissions. One that is there already keeps what it has.
            let made = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path);
            made.map_err(|error| StoreError::CantOpen { location: path.into(), why: error.to_string() })?;
        }
        let sql = home.open(&FORMAT, sqlite::Access::Create, CACHE_BYTES)?;
        check_key(&sql, &keys)?;
        if sql.is_sqlite() {
            // What is deleted or replaced, such as an old password's record, does not stay behind in a free page.
            sql.script("PRAGMA secure_delete = ON")?;
        }
        Ok(Self {
            location,
            keys,
            writer: Mutex::new(sql),
            readers: Readers::new(home.clone()),
            note_keys: note_keys::Cache::default(),
            decision_endpoints: decision_endpoints::Cache::default(),
            webhook_changes: AtomicU64::new(0),
            opened: Instant::now(),
        })
    }

    /// Changes things, in one transaction that is on the disk when this returns. If `work` fails, nothing was changed.
    ///
    /// `by` says who does it and when; it is in the audit entry of every change. Everybody else who writes waits
    /// meanwhile: hash passwords before.
    ///
    /// # Errors
    ///
    /// What `work` says; or [`DirectoryError::Store`] if it could not be written. After a [`StoreError::Lost`] nobody knows
    /// whether it was: who does it [`once`](Self::once) finds out by doing it again.
    pub fn write<T, E: From<DirectoryError>>(
        &self,
        by: By<'_>,
        work: impl FnOnce(&Writing<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let sql = self.writer();
        let failed = |error: StoreError| E::from(error.into());
        let transaction = begin(&sql).map_err(failed)?;
        let writing = Writing::new(&transaction, &self.keys, by);
        let done = work(&writing)?;
        let touched = writing.touched();
        let committed = transaction.commit();
        // Even if that failed: the connection may have been lost only after it was done.
        if touched.webhooks {
            self.webhook_changes.fetch_add(1, Ordering::Release);
        }
        if touched.decision_endpoints {
            self.decision_endpoints.clear();
        }
        committed.map_err(failed)?;
        Ok(done)
    }

    /// A keyed 128-bit hash of `parts` for one use, named by `label`: for the keys of throttles and of repeats, which
    /// must not stand in the file readably.
    pub fn keyed_hash(&self, label: &str, parts: &[&[u8]]) -> [u8; 16] {
        self.keys.hash(label, parts)
    }

    /// How often webhooks were made, changed or deleted since the directory was opened: whoever delivers sees by it when to
    /// look them up again. What other gateways do with a database is not counted here, so it is looked up every few
    /// seconds.
    pub fn webhook_changes(&self) -> u64 {
        let elsewhere =
            if self.is_shared() { self.opened.elapsed().as_secs() / LOOKED_UP_SECONDS } else { 0 };
        self.webhook_changes.load(Ordering::Acquire) + elsewhere
    }

    /// Whether others may change it meanwhile.
    fn is_shared(&self) -> bool {
        matches!(self.location, Location::Schema { .. })
    }

    fn read<T>(&self, work: impl Fn(&Sql) -> Result<T, StoreError>) -> Result<T, DirectoryError> {
        Ok(self.readers.with(work)?)
    }

    fn writer(&self) -> MutexGuard<'_, Sql> {
        // Whoever panicked while it held the connection left no transaction open: dropping one rolls it back.
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Directory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Directory({})", self.location)
    }
}

/// The webhook that is furthest behind, and the sequence of the record that it is at; none if there is no webhook, or no
/// directory. For who must not drop what it has not been told; it takes no key.
pub(crate) fn last_webhook(home: &Home) -> Result<Option<(WebhookId, u64)>, StoreError> {
    if let Location::File(path) = home.location(&FORMAT)
        && !path.exists()
    {
        return Ok(None);
    }
    match home.open(&FORMAT, sqlite::Access::Read, CACHE_BYTES) {
        Ok(sql) => webhooks::last(&sql),
        Err(StoreError::Missing { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The entry of the journal that whoever tells issuer hosts has to read next; none if no host was ever configured, or there is
/// no directory. For who must not drop what was not taken over; it takes no key.
pub(crate) fn next_host_entry(home: &Home) -> Result<Option<u64>, StoreError> {
    if let Location::File(path) = home.location(&FORMAT)
        && !path.exists()
    {
        return Ok(None);
    }
    match home.open(&FORMAT, sqlite::Access::Read, CACHE_BYTES) {
        Ok(sql) => Ok(host_advices::place(&sql)?.map(|place| place.sequence)),
        Err(StoreError::Missing { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// A new one notes which key it is written under, an older one is compared with it.
fn check_key(sql: &Sql, keys: &DirectoryKeys) -> Result<(), DirectoryError> {
    let hash = keys.hash("key-check", &[]);
    sql.run("INSERT INTO key_check (id, hash) VALUES (1, ?) ON CONFLICT (id) DO NOTHING", values![hash])?;
    let noted = sql.one("SELECT hash FROM key_check", &[], |cells| cells.next::<[u8; 16]>())?;
    let is_ours = noted == Some(hash);
    if is_ours { Ok(()) } else { Err(DirectoryError::OtherRootKey { location: sql.location().clone() }) }
}

/// Begins to write. If the connection is lost meanwhile, once more: nothing was done yet.
fn begin(sql: &Sql) -> Result<Transaction<'_>, StoreError> {
    match sql.begin(Access::Write) {
        Err(StoreError::Lost { .. }) => sql.begin(Access::Write),
        begun => begun,
    }
}

/// A time as it stands in a column. What is later than a column can say is as good as never.
fn ms(at_ms: TimeMs) -> i64 {
    i64::try_from(at_ms).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_in_order() {
        assert!(FORMAT.steps.is_sorted_by_key(|step| step.version));
        assert_eq!(FORMAT.steps[0].version, 1);
    }

    #[test]
    fn a_time_beyond_all_times_is_never() {
        assert_eq!(ms(5), 5);
        assert_eq!(ms(u64::MAX), i64::MAX);
    }
}
