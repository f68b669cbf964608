//! Where an issuer is asked whether a purchase may be.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mayfly_core::{IssuerId, TimeMs};
use mayfly_keys::{DirectoryKeys, Opened, Random};

use super::audit::Entry;
use super::sealed::Column;
use super::{Directory, DirectoryError, Writing, ms};
use crate::StoreError;
use crate::sql::{Cells, Sql, values};

pub(super) const CREATE: &str = "
-- One for each issuer that wants to be asked. `url` and `secret` are sealed.
CREATE TABLE decision_endpoints (
    issuer INTEGER PRIMARY KEY,
    url BLOB NOT NULL,
    secret BLOB NOT NULL,
    created_ms INTEGER NOT NULL,
    changed_ms INTEGER NOT NULL
) STRICT;";

const FIND: &str =
    "SELECT issuer, url, secret, created_ms, changed_ms FROM decision_endpoints WHERE issuer = ?";
const SET: &str = "INSERT INTO decision_endpoints (issuer, url, secret, created_ms, changed_ms)
    VALUES (?, ?, ?, ?, ?) ON CONFLICT (issuer)
    DO UPDATE SET url = excluded.url, secret = excluded.secret, changed_ms = excluded.changed_ms";
const REMOVE: &str = "DELETE FROM decision_endpoints WHERE issuer = ?";

/// There is one row for each issuer, whose key is its number.
const URL: Column = Column("decision_endpoints.url");
const SECRET: Column = Column("decision_endpoints.secret");

/// How many issuers' endpoints are kept in memory; beyond it they are read anew.
const CACHED_MAX: usize = 10_000;

/// Where an issuer is asked.
pub struct DecisionEndpoint {
    /// Who is asked.
    pub issuer: IssuerId,
    /// Where. It can be a secret by itself.
    pub url: String,
    /// What signs.
    pub secret: Opened,
    /// When it was first set.
    pub created_ms: TimeMs,
    /// When it was set last.
    pub changed_ms: TimeMs,
}

impl fmt::Debug for DecisionEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DecisionEndpoint").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

/// What was read before.
#[derive(Default)]
pub(super) struct Cache(Mutex<Cached>);

#[derive(Default)]
struct Cached {
    /// How often something was changed: what was read before the last change is not kept.
    changes: u64,
    endpoints: HashMap<IssuerId, Option<Arc<DecisionEndpoint>>>,
}

impl Cache {
    fn lock(&self) -> MutexGuard<'_, Cached> {
        // What was read is whole, or not there.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something was changed, and is on the disk.
    pub(super) fn clear(&self) {
        let mut cached = self.lock();
        cached.changes += 1;
        cached.endpoints.clear();
    }
}

impl Directory {
    /// Where `issuer` is asked; none if it does not want to be. Read from memory if it was read before; not from a
    /// database, where another gateway may have changed it.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Store`] if the file can't be read, [`DirectoryError::Sealed`] if what is in it does not open.
    pub fn decision_endpoint(
        &self,
        issuer: IssuerId,
    ) -> Result<Option<Arc<DecisionEndpoint>>, DirectoryError> {
        if self.is_shared() {
            let found = self.read(|sql| find(sql, issuer))?;
            return Ok(found.map(|row| row.open(&self.keys)).transpose()?.map(Arc::new));
        }
        let changes = {
            let cached = self.decision_endpoints.lock();
            if let Some(found) = cached.endpoints.get(&issuer) {
                return Ok(found.clone());
            }
            cached.changes
        };
        let found = self.read(|sql| find(sql, issuer))?;
        let found = found.map(|row| row.open(&self.keys)).transpose()?.map(Arc::new);
        let mut cached = self.decision_endpoints.lock();
        if cached.changes == changes {
            if cached.endpoints.len() >= CACHED_MAX {
                cached.endpoints.clear();
            }
            cached.endpoints.insert(issuer, found.clone());
        }
        Ok(found)
    }
}

impl Writing<'_> {
    /// Sets where `issuer` is asked, with another secret or with the one that it has. None, and nothing is done, if it
    /// has none and none is given.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Seal`] or [`DirectoryError::Store`] if it could not be written.
    pub fn set_decision_endpoint(
        &self,
        issuer: IssuerId,
        url: &str,
        secret: Option<&[u8]>,
        random: &mut dyn Random,
    ) -> Result<Option<DecisionEndpoint>, DirectoryError> {
        let place = (issuer, issuer.0);
        let url = URL.seal(self.secrets(), place, url.as_bytes(), random)?;
        let sealed = match (secret, find(self.sql(), issuer)?) {
            (Some(secret), _) => SECRET.seal(self.secrets(), place, secret, random)?,
            (None, Some(before)) => before.secret,
            (None, None) => return Ok(None),
        };
        let now_ms = ms(self.now_ms());
        let values = values![issuer.0 as i64, url, sealed, now_ms, now_ms];
        self.sql().run(SET, values)?;
        let detail = serde_json::json!({ "secret_changed": secret.is_some() });
        self.audit_decision_endpoint("decision_endpoint.set", issuer, detail)?;
        let found = find(self.sql(), issuer)?;
        found.map(|row| row.open(self.secrets())).transpose()
    }

    /// Removes where `issuer` is asked. False if it was not asked anyway.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Store`] if it could not be written.
    pub fn remove_decision_endpoint(&self, issuer: IssuerId) -> Result<bool, DirectoryError> {
        if self.sql().run(REMOVE, values![issuer.0 as i64])? == 0 {
            return Ok(false);
        }
        self.audit_decision_endpoint("decision_endpoint.removed", issuer, serde_json::json!({}))?;
        Ok(true)
    }

    fn audit_decision_endpoint(
        &self,
        action: &str,
        issuer: IssuerId,
        detail: serde_json::Value,
    ) -> Result<(), DirectoryError> {
        self.touch_decision_endpoints();
        self.audit(Entry { action, subject: &issuer.to_string(), issuer: Some(issuer), detail }).map(|_| ())
    }
}

fn find(sql: &Sql, issuer: IssuerId) -> Result<Option<SealedEndpoint>, StoreError> {
    sql.one(FIND, values![issuer.0 as i64], SealedEndpoint::read)
}

/// A row as it stands in the table.
struct SealedEndpoint {
    issuer: IssuerId,
    url: Vec<u8>,
    secret: Vec<u8>,
    created_ms: TimeMs,
    changed_ms: TimeMs,
}

impl SealedEndpoint {
    fn read(cells: &mut Cells<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            issuer: IssuerId(cells.bits()?),
            url: cells.next()?,
            secret: cells.next()?,
            created_ms: cells.bits()?,
            changed_ms: cells.bits()?,
        })
    }

    fn open(self, keys: &DirectoryKeys) -> Result<DecisionEndpoint, DirectoryError> {
        let Self { issuer, url, secret, created_ms, changed_ms } = self;
        let url = URL.open(keys, (issuer, issuer.0), &url)?;
        let url = std::str::from_utf8(url.expose()).map_err(|_| URL.unreadable())?.to_owned();
        let secret = SECRET.open(keys, (issuer, issuer.0), &secret)?;
        Ok(DecisionEndpoint { issuer, url, secret, created_ms, changed_ms })
    }
}
