//! The directory (`directory.db`): what is not the money path. Keys for the API, cardholders and how they log in,
//! their sessions, merchants and what they ordered, where issuers are told and asked, and an audit stream of all of it.
//!
//! Plain tables, one module per group of tables with all of its SQL. They follow from nothing else, so every change is
//! synced before it is answered, and none happens without its entry in the [audit stream](AuditEntry): both are one
//! transaction, [`Directory::write`]. Only an [order](Payment) of a merchant's is its own record. A change that a client may send again has a key: [`Directory::once`].
//!
//! Whatever belongs to an issuer is looked up with that issuer's id; another issuer's is as good as not there. All
//! calls block: call them where that is allowed.
//!
//! What must never stand in the file readably: a token or a password (hashes only), a name, a log-in name, a card
//! number, a URL, a secret that signs (sealed; a log-in name also as a keyed hash, by which it is found).

mod accounts;
mod audit;
mod cardholders;
mod consoles;
mod decision_endpoints;
mod error;
mod ids;
mod invitations;
mod keys;
mod merchants;
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
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use mayfly_core::TimeMs;
use mayfly_keys::DirectoryKeys;
use rusqlite::{Connection, OptionalExtension, TransactionBehavior};

use crate::StoreError;
use crate::error::At;
use crate::format::{Durability, Format, Step};
use crate::sqlite::{self, Access};
use readers::Readers;

pub use accounts::{ACCOUNTS_MAX, LinkedAccount};
pub use audit::{AuditEntry, AuditHead, AuditScope, Entry};
pub use cardholders::{Cardholder, CardholderStatus, Login};
pub use decision_endpoints::DecisionEndpoint;
pub use error::{AuditFault, DirectoryError};
pub use ids::{AttemptId, CardholderId, KeyId, MerchantEntryId, SessionId, WebhookId};
pub use invitations::{Invitation, NewInvitation, Redeemed, Redemption};
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

const FORMAT: Format = Format {
    file: DIRECTORY_FILE,
    schema: "mayfly_directory",
    application_id: 0x4d59_4644,
    durability: Durability::Full,
    steps: &[
        Step::new(1, KEY_CHECK),
        Step::each(1, audit::CREATE, audit::CREATE),
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
    ],
    upgrades: true,
};

const KEY_CHECK: &str = "
-- A keyed hash of nothing: whether the root key is the one under which the file was written.
CREATE TABLE key_check (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    hash BLOB NOT NULL CHECK (length(hash) = 16)
) STRICT;";

const CACHE_BYTES: usize = 4 << 20;

/// The directory: one connection that writes, a few that read.
pub struct Directory {
    path: PathBuf,
    keys: DirectoryKeys,
    writer: Mutex<Connection>,
    readers: Readers,
    note_keys: note_keys::Cache,
    decision_endpoints: decision_endpoints::Cache,
    webhook_changes: AtomicU64,
}

impl Directory {
    /// Opens the directory in `directory`; makes one where none is, which only its owner can read.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Store`] if the file can't be used, or was written by a newer version of the software;
    /// [`DirectoryError::OtherRootKey`] if it was written under another root key.
    pub fn open(directory: &Path, keys: DirectoryKeys) -> Result<Self, DirectoryError> {
        let path = directory.join(DIRECTORY_FILE);
        // SQLite's own files beside it get the same permissions. One that is there already keeps what it has.
        let made = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
        made.map_err(|error| StoreError::CantOpen { location: (&path).into(), why: error.to_string() })?;
        let connection = sqlite::open(&path, &FORMAT, Access::Create, CACHE_BYTES)?;
        check_key(&connection, &path, &keys)?;
        // What is deleted or replaced, such as an old password's record, does not stay behind in a free page.
        connection.execute_batch("PRAGMA secure_delete = ON").at(&path)?;
        let readers = Readers::new(path.clone());
        Ok(Self {
            path,
            keys,
            writer: Mutex::new(connection),
            readers,
            note_keys: note_keys::Cache::default(),
            decision_endpoints: decision_endpoints::Cache::default(),
            webhook_changes: AtomicU64::new(0),
        })
    }

    /// Changes things, in one transaction that is on the disk when this returns. If `work` fails, nothing was changed.
    ///
    /// `by` says who does it and when; it is in the audit entry of every change. Everybody else who writes waits
    /// meanwhile: hash passwords before.
    ///
    /// # Errors
    ///
    /// What `work` says; or [`DirectoryError::Store`] if it could not be written.
    pub fn write<T, E: From<DirectoryError>>(
        &self,
        by: By<'_>,
        work: impl FnOnce(&Writing<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        // Whoever panicked while it held the connection left no transaction open: dropping one rolls it back.
        let mut connection = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let transaction = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .at(&self.path)
            .map_err(|error| E::from(error.into()))?;
        let writing = Writing::new(&transaction, &self.path, &self.keys, by);
        let done = work(&writing)?;
        let touched = writing.touched();
        transaction.commit().at(&self.path).map_err(|error| E::from(error.into()))?;
        if touched.webhooks {
            self.webhook_changes.fetch_add(1, Ordering::Release);
        }
        if touched.decision_endpoints {
            self.decision_endpoints.clear();
        }
        Ok(done)
    }

    /// A keyed 128-bit hash of `parts` for one use, named by `label`: for the keys of throttles and of repeats, which
    /// must not stand in the file readably.
    pub fn keyed_hash(&self, label: &str, parts: &[&[u8]]) -> [u8; 16] {
        self.keys.hash(label, parts)
    }

    /// How often webhooks were made, changed or deleted since the file was opened: whoever delivers sees by it when to look
    /// them up again.
    pub fn webhook_changes(&self) -> u64 {
        self.webhook_changes.load(Ordering::Acquire)
    }

    fn read<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, DirectoryError> {
        self.readers.with(|connection| work(connection).at(&self.path)).map_err(DirectoryError::Store)
    }
}

impl std::fmt::Debug for Directory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Directory({})", self.path.display())
    }
}

/// A new file notes which key it is written under, an older one is compared with it.
fn check_key(connection: &Connection, path: &Path, keys: &DirectoryKeys) -> Result<(), DirectoryError> {
    let hash = keys.hash("key-check", &[]);
    connection.execute("INSERT OR IGNORE INTO key_check (id, hash) VALUES (1, ?)", [hash]).at(path)?;
    let noted: Option<[u8; 16]> =
        connection.query_row("SELECT hash FROM key_check", (), |row| row.get(0)).optional().at(path)?;
    if noted == Some(hash) { Ok(()) } else { Err(DirectoryError::OtherRootKey { path: path.to_owned() }) }
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
