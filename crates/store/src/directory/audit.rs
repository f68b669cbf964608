//! The audit stream: who changed what in the directory, in the order in which it happened, and never changed.
//!
//! Each entry carries a SHA-256 over itself and the hash of the one before it, so that an entry can't be changed, taken
//! out or put in without all later ones being written anew. Whoever notes the last hash elsewhere ([`AuditHead`]) sees
//! that as well, and that none were cut off at the end.

use mayfly_core::{IssuerId, TimeMs};
use sha2::{Digest as _, Sha256};

use super::keys::tenant;
use super::{AuditFault, By, Directory, DirectoryError, Writing, ms};
use crate::StoreError;
use crate::query::{PAGE_MAX, Page};
use crate::sql::{Cells, Sql, values};

pub(super) const CREATE: &str = "
-- `actor` did `action` to `subject`; `detail` is JSON without anything secret. `hash` is over all of it and the hash of
-- the entry before.
CREATE TABLE audit (
    sequence INTEGER PRIMARY KEY,
    at_ms INTEGER NOT NULL,
    actor TEXT NOT NULL,
    action TEXT NOT NULL,
    subject TEXT NOT NULL,
    issuer INTEGER,
    detail TEXT NOT NULL,
    hash BLOB NOT NULL CHECK (length(hash) = 32)
) STRICT;
CREATE INDEX audit_by_issuer ON audit (issuer, sequence);";

pub(super) const GUARD_SQLITE: &str = "
CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit
    BEGIN SELECT raise(ABORT, 'the audit stream is only appended to'); END;
CREATE TRIGGER audit_is_not_cut BEFORE DELETE ON audit
    BEGIN SELECT raise(ABORT, 'the audit stream is only appended to'); END;";

pub(super) const GUARD_POSTGRES: &str = "
CREATE FUNCTION audit_is_only_appended_to() RETURNS trigger LANGUAGE plpgsql
    AS $$ BEGIN RAISE EXCEPTION 'the audit stream is only appended to'; END $$;
CREATE TRIGGER audit_is_not_changed BEFORE UPDATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION audit_is_only_appended_to();
CREATE TRIGGER audit_is_not_cut BEFORE DELETE OR TRUNCATE ON audit
    FOR EACH STATEMENT EXECUTE FUNCTION audit_is_only_appended_to();";

macro_rules! columns {
    () => {
        "sequence, at_ms, actor, action, subject, issuer, detail, hash"
    };
}

const HEAD: &str = "SELECT sequence, hash FROM audit ORDER BY sequence DESC LIMIT 1";
const APPEND: &str = concat!("INSERT INTO audit (", columns!(), ") VALUES (?, ?, ?, ?, ?, ?, ?, ?)");
const LIST: &str = concat!("SELECT ", columns!(), " FROM audit WHERE sequence > ? ORDER BY sequence LIMIT ?");
const LIST_OF: &str =
    concat!("SELECT ", columns!(), " FROM audit WHERE issuer = ? AND sequence > ? ORDER BY sequence LIMIT ?");
// Two statements: with `IS NOT DISTINCT FROM` PostgreSQL would not use the index, and read all of the stream.
const LIST_OF_NOBODY: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM audit WHERE issuer IS NULL AND sequence > ? ORDER BY sequence LIMIT ?"
);

/// What the hash of every entry begins with. It names the form: another form gets another label.
const LABEL: &[u8] = b"mayfly-audit/1\0";

/// What is noted of a change. Who and when is known already.
#[derive(Clone, Debug)]
pub struct Entry<'a> {
    /// What happened, as `thing.happened`.
    pub action: &'a str,
    /// The id of what it happened to.
    pub subject: &'a str,
    /// Whose it is; none for what belongs to the whole server.
    pub issuer: Option<IssuerId>,
    /// What else is worth knowing: an object, without anything secret and without anybody's name.
    pub detail: serde_json::Value,
}

/// An entry of the audit stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// Its number, from 1, without gaps.
    pub sequence: u64,
    /// When it happened.
    pub at_ms: TimeMs,
    /// Who did it: see [`By::actor`].
    pub actor: String,
    /// What happened, as `thing.happened`.
    pub action: String,
    /// The id of what it happened to.
    pub subject: String,
    /// Whose it is; none for what belongs to the whole server.
    pub issuer: Option<IssuerId>,
    /// What else is worth knowing.
    pub detail: serde_json::Value,
    /// The SHA-256 over all of it and the hash of the entry before.
    pub hash: [u8; 32],
}

/// Which entries are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuditScope {
    /// All of them: for who runs the server.
    All,
    /// An issuer's; none: what belongs to the whole server.
    Of(Option<IssuerId>),
}

/// Where the audit stream ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct AuditHead {
    /// The last entry's number, 0 if there is none.
    pub sequence: u64,
    /// Its hash, zeros if there is none.
    pub hash: [u8; 32],
}

impl AuditHead {
    /// Before the first entry.
    pub const START: Self = Self { sequence: 0, hash: [0; 32] };
}

impl std::fmt::Debug for AuditHead {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "AuditHead({}, ", self.sequence)?;
        self.hash.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
        f.write_str(")")
    }
}

impl Directory {
    /// The entries after the one numbered `after`, the earliest first; at most `limit`, and at most
    /// [`PAGE_MAX`].
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Store`] if the file can't be read.
    pub fn audit(
        &self,
        scope: AuditScope,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Page<AuditEntry, u64>, DirectoryError> {
        let limit = limit.min(PAGE_MAX);
        let after = after.unwrap_or(0);
        let rows = self.read(|sql| list(sql, scope, after, limit))?;
        let rows: Vec<AuditEntry> = rows.into_iter().map(|(entry, _)| entry).collect();
        let next = rows.last().filter(|_| rows.len() == limit).map(|entry| entry.sequence);
        Ok(Page { rows, next })
    }

    /// Computes every hash again, and returns where the stream ends. That the end is the right one is seen by
    /// comparing it with one that was noted elsewhere.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Audit`] names the first entry that does not fit; [`DirectoryError::Store`] if the file can't
    /// be read.
    pub fn verify_audit(&self) -> Result<AuditHead, DirectoryError> {
        let mut head = AuditHead::START;
        loop {
            let rows = self.read(|sql| list(sql, AuditScope::All, head.sequence, PAGE_MAX))?;
            if rows.is_empty() {
                return Ok(head);
            }
            for (entry, detail) in rows {
                head = follow(&head, &entry, &detail)?;
            }
        }
    }
}

/// The head after `entry`, if that one fits behind it.
fn follow(head: &AuditHead, entry: &AuditEntry, detail: &str) -> Result<AuditHead, DirectoryError> {
    let sequence = head.sequence + 1;
    if entry.sequence != sequence {
        return Err(DirectoryError::Audit { sequence, why: AuditFault::Missing });
    }
    let by = By { actor: &entry.actor, now_ms: entry.at_ms };
    let hash = entry_hash(head, by, (&entry.action, &entry.subject, entry.issuer), detail);
    if hash != entry.hash {
        return Err(DirectoryError::Audit { sequence, why: AuditFault::Altered });
    }
    Ok(AuditHead { sequence, hash })
}

impl Writing<'_> {
    /// Appends an entry of the caller's own. Every function that changes something appends its entry by itself.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Store`] if the file can't be written.
    pub fn audit(&self, entry: Entry<'_>) -> Result<AuditHead, DirectoryError> {
        let Entry { action, subject, issuer, detail } = entry;
        let (by, detail) = (self.by(), detail.to_string());
        let head = head(self.sql())?;
        let hash = entry_hash(&head, by, (action, subject, issuer), &detail);
        let sequence = head.sequence + 1;
        let values =
            values![ms(sequence), ms(by.now_ms), by.actor, action, subject, tenant(issuer), detail, hash];
        self.sql().run(APPEND, values)?;
        Ok(AuditHead { sequence, hash })
    }
}

fn entry_hash(
    head: &AuditHead,
    by: By<'_>,
    (action, subject, issuer): (&str, &str, Option<IssuerId>),
    detail: &str,
) -> [u8; 32] {
    // As it stands in the column: a time beyond all times would not come back as it was.
    let at_ms = ms(by.now_ms);
    let mut hash = Sha256::new()
        .chain_update(LABEL)
        .chain_update(head.hash)
        .chain_update((head.sequence + 1).to_be_bytes())
        .chain_update(at_ms.to_be_bytes())
        .chain_update([u8::from(issuer.is_some())])
        .chain_update(issuer.map_or(0, |issuer| issuer.0).to_be_bytes());
    for text in [by.actor, action, subject, detail] {
        hash.update((text.len() as u64).to_be_bytes());
        hash.update(text);
    }
    hash.finalize().into()
}

fn head(sql: &Sql) -> Result<AuditHead, StoreError> {
    let head = sql.one(HEAD, &[], |cells| Ok(AuditHead { sequence: cells.bits()?, hash: cells.next()? }))?;
    Ok(head.unwrap_or(AuditHead::START))
}

/// Entries, each with its detail as it stands there, which is what its hash is over.
fn list(
    sql: &Sql,
    scope: AuditScope,
    after: u64,
    limit: usize,
) -> Result<Vec<(AuditEntry, String)>, StoreError> {
    let (after, limit) = (ms(after), limit as i64);
    match scope {
        AuditScope::All => sql.all(LIST, values![after, limit], read),
        AuditScope::Of(None) => sql.all(LIST_OF_NOBODY, values![after, limit], read),
        AuditScope::Of(issuer) => sql.all(LIST_OF, values![tenant(issuer), after, limit], read),
    }
}

fn read(cells: &mut Cells<'_>) -> Result<(AuditEntry, String), StoreError> {
    let (sequence, at_ms) = (cells.bits()?, cells.bits()?);
    let (actor, action, subject) = (cells.next()?, cells.next()?, cells.next()?);
    let issuer = cells.bits_or_none()?.map(IssuerId);
    let detail: String = cells.next()?;
    // What is no JSON any more is shown as it stands: the check of the chain must get past it to say where it is.
    let shown = serde_json::from_str(&detail).unwrap_or_else(|_| serde_json::Value::from(detail.as_str()));
    let hash = cells.next()?;
    Ok((AuditEntry { sequence, at_ms, actor, action, subject, issuer, detail: shown, hash }, detail))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed with Python's `hashlib` from the form in [`entry_hash`]: a later version must verify what this wrote.
    #[test]
    fn the_hash_keeps_its_form() {
        let head = AuditHead { sequence: 4, hash: [9; 32] };
        let by = By { actor: "key_1", now_ms: 1_790_000_000_000 };
        let hash = |issuer| {
            let hash = entry_hash(&head, by, ("key.revoked", "key_2", issuer), "{}");
            hash.iter().map(|byte| format!("{byte:02x}")).collect::<String>()
        };
        assert_eq!(
            hash(Some(IssuerId(7))),
            "c83cad7080405dcbfb442382c27965a6d69976d21c672bfb051b0a888441f77b"
        );
        assert_eq!(hash(None), "2312e35f08d250ac512a750b77cd440d4f2e3fd69431f459b289a0911bacd937");
    }
}
