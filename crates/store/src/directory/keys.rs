//! Keys for the API: who may call it, as what, and for which issuer.

use mayfly_core::{IssuerId, Name, TimeMs};
use mayfly_identity::token::{Token, TokenHash};
use serde::{Deserialize, Serialize};

use super::audit::Entry;
use super::{Directory, DirectoryError, KeyId, MerchantEntryId, Writing, ms};
use crate::StoreError;
use crate::query::{PAGE_MAX, Page};
use crate::sql::{Cells, Sql, values};

pub(super) const CREATE: &str = "
-- `hash` is the SHA-256 of the key, `hint` its first characters. Only operators' keys have no issuer. A key ends at
-- `expires_ms` or when it is revoked; `replaced_by` is the key that came in its place.
CREATE TABLE keys (
    id INTEGER PRIMARY KEY,
    issuer INTEGER,
    role TEXT NOT NULL,
    label TEXT NOT NULL,
    hint TEXT NOT NULL,
    hash BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
    created_ms INTEGER NOT NULL,
    expires_ms INTEGER,
    revoked_ms INTEGER,
    replaced_by INTEGER REFERENCES keys (id),
    CHECK ((issuer IS NULL) = (role = 'operator'))
) STRICT;
CREATE INDEX keys_by_issuer ON keys (issuer, id);";

macro_rules! columns {
    () => {
        "id, issuer, role, label, hint, created_ms, expires_ms, revoked_ms, replaced_by, merchant"
    };
}

// Rows are never deleted, so no id comes twice.
const CREATE_KEY: &str =
    "INSERT INTO keys (id, issuer, role, label, hint, hash, created_ms, expires_ms, merchant)
    VALUES ((SELECT coalesce(max(id), 0) + 1 FROM keys), ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id";
// An end that is not there is later than any time.
const FIND_BY_HASH: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM keys WHERE hash = ? AND revoked_ms IS NULL AND coalesce(expires_ms, 9223372036854775807) > ?"
);
const FIND: &str =
    concat!("SELECT ", columns!(), " FROM keys WHERE id = ? AND issuer IS NOT DISTINCT FROM ?");
const LIST: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM keys WHERE issuer IS NOT DISTINCT FROM ? AND id > ? ORDER BY id LIMIT ?"
);
const REPLACE: &str = "UPDATE keys SET replaced_by = ?, expires_ms = ? WHERE id = ?";
const REVOKE: &str = "UPDATE keys SET revoked_ms = ? WHERE id = ?";

/// What the holder of a key may do. The issuer, where there is one, bounds on whose things.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Runs the server: opens issuers and gives them their keys.
    Operator,
    /// Does everything for one issuer.
    Issuer,
    /// A merchant who takes payments of one issuer's cardholders.
    Merchant,
    /// A payment gateway between merchants and one issuer.
    Gateway,
    /// Sees everything of one issuer and changes nothing.
    Auditor,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Operator, Self::Issuer, Self::Merchant, Self::Gateway, Self::Auditor];

    /// As it stands in tables, in JSON and in the audit stream.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Issuer => "issuer",
            Self::Merchant => "merchant",
            Self::Gateway => "gateway",
            Self::Auditor => "auditor",
        }
    }

    /// The role of this name; none for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// A key for the API, without what would let anybody use it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// Its name.
    pub id: KeyId,
    /// What its holder may do.
    pub role: Role,
    /// On whose things; none for an operator's key and only for that.
    pub issuer: Option<IssuerId>,
    /// For whose payments; none for a key that is not a merchant's own.
    pub merchant: Option<MerchantEntryId>,
    /// What people call it.
    pub label: Name,
    /// Its first characters, by which its holder recognises it.
    pub hint: String,
    /// When it was made.
    pub created_ms: TimeMs,
    /// From when on it is not valid any more; none if it has no end.
    pub expires_ms: Option<TimeMs>,
    /// When it was revoked, if it was.
    pub revoked_ms: Option<TimeMs>,
    /// The key that came in its place, if one did.
    pub replaced_by: Option<KeyId>,
}

impl ApiKey {
    /// Whether it lets anybody in.
    pub fn is_usable(&self, now_ms: TimeMs) -> bool {
        self.revoked_ms.is_none() && self.expires_ms.is_none_or(|expires_ms| now_ms < expires_ms)
    }
}

/// A key to be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewKey {
    /// What its holder may do.
    pub role: Role,
    /// On whose things; none for an operator's key and only for that.
    pub issuer: Option<IssuerId>,
    /// For whose payments: needed for a merchant's own key, and only for that.
    pub merchant: Option<MerchantEntryId>,
    /// What people call it.
    pub label: Name,
    /// [`Token::hint`](mayfly_identity::token::Token::hint) of it.
    pub hint: String,
    /// [`Token::hash`](mayfly_identity::token::Token::hash) of it: all that is kept.
    pub hash: TokenHash,
    /// From when on it is not valid any more; none if it has no end.
    pub expires_ms: Option<TimeMs>,
}

/// A key to come in the place of another one, with its role, issuer, merchant and label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewSecret {
    /// [`Token::hint`](mayfly_identity::token::Token::hint) of it.
    pub hint: String,
    /// [`Token::hash`](mayfly_identity::token::Token::hash) of it.
    pub hash: TokenHash,
    /// From when on it is not valid any more; when the old one was not to be, if none.
    pub expires_ms: Option<TimeMs>,
    /// How long the old one stays valid, in milliseconds, so that nobody is locked out while the new one is spread.
    pub overlap_ms: u64,
}

impl NewSecret {
    /// What is kept of `token`.
    pub fn of(token: &Token, expires_ms: Option<TimeMs>, overlap_ms: u64) -> Self {
        Self { hint: token.hint(), hash: token.hash(), expires_ms, overlap_ms }
    }
}

impl Directory {
    /// Whose key this is, if it is valid at `now_ms`. Unknown, revoked and expired ones look alike.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Store`] if the file can't be read.
    pub fn find_key(&self, hash: &TokenHash, now_ms: TimeMs) -> Result<Option<ApiKey>, DirectoryError> {
        self.read(|sql| sql.one(FIND_BY_HASH, values![hash.as_bytes(), ms(now_ms)], read))
    }

    /// A key of `issuer` (none: of the operators), whether it is valid or not. Another's is none.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Store`] if the file can't be read.
    pub fn key(&self, issuer: Option<IssuerId>, id: KeyId) -> Result<Option<ApiKey>, DirectoryError> {
        self.read(|sql| find(sql, issuer, id))
    }

    /// The keys of `issuer` (none: of the operators), those after `after`; at most `limit`, and at most
    /// [`PAGE_MAX`].
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Store`] if the file can't be read.
    pub fn keys(
        &self,
        issuer: Option<IssuerId>,
        after: Option<KeyId>,
        limit: usize,
    ) -> Result<Page<ApiKey, KeyId>, DirectoryError> {
        let limit = limit.min(PAGE_MAX);
        let values = values![tenant(issuer), ms(after.map_or(0, |after| after.0)), limit as i64];
        let rows: Vec<ApiKey> = self.read(|sql| sql.all(LIST, values, read))?;
        let next = rows.last().filter(|_| rows.len() == limit).map(|key| key.id);
        Ok(Page { rows, next })
    }
}

impl Writing<'_> {
    /// Makes a key.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::KeyIssuer`] if an operator's key has an issuer, or another one has none;
    /// [`DirectoryError::KeyMerchant`] if a merchant's key names no merchant, or another one does;
    /// [`DirectoryError::NoMerchant`] if the issuer has no such merchant; [`DirectoryError::TokenTaken`] if there is a key with this hash.
    pub fn create_key(&self, new: &NewKey) -> Result<ApiKey, DirectoryError> {
        if new.issuer.is_none() != (new.role == Role::Operator) {
            return Err(DirectoryError::KeyIssuer { role: new.role });
        }
        match (new.role, new.issuer, new.merchant) {
            (Role::Merchant, Some(issuer), Some(merchant)) => {
                self.merchant(issuer, merchant)?.ok_or(DirectoryError::NoMerchant)?;
            }
            (Role::Merchant, _, _) | (_, _, Some(_)) => {
                return Err(DirectoryError::KeyMerchant { role: new.role });
            }
            (_, _, None) => {}
        }
        let id = self.insert_key(new)?;
        let detail = serde_json::json!({
            "role": new.role, "label": new.label, "hint": new.hint, "expires_ms": new.expires_ms,
            "merchant": new.merchant.map(|merchant| merchant.to_string())
        });
        self.audit(Entry { action: "key.created", subject: &id.to_string(), issuer: new.issuer, detail })?;
        self.key_made(new.issuer, id)
    }

    /// Lets a new key come in the place of one of `issuer` (none: of the operators), which stays valid for a while.
    /// None if there is no such key.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::KeyOver`] if the old one is revoked, expired, or replaced already;
    /// [`DirectoryError::TokenTaken`] if there is a key with the new hash.
    pub fn rotate_key(
        &self,
        issuer: Option<IssuerId>,
        id: KeyId,
        new: &NewSecret,
    ) -> Result<Option<ApiKey>, DirectoryError> {
        let Some(old) = find(self.sql(), issuer, id)? else { return Ok(None) };
        if !old.is_usable(self.now_ms()) || old.replaced_by.is_some() {
            return Err(DirectoryError::KeyOver { key: id });
        }
        let (hint, hash) = (new.hint.clone(), new.hash);
        let expires_ms = new.expires_ms.or(old.expires_ms);
        let (role, merchant) = (old.role, old.merchant);
        let next = NewKey { role, issuer, merchant, label: old.label, hint, hash, expires_ms };
        let next_id = self.insert_key(&next)?;
        let overlap_end_ms = self.now_ms().saturating_add(new.overlap_ms);
        let old_expires_ms =
            old.expires_ms.map_or(overlap_end_ms, |expires_ms| expires_ms.min(overlap_end_ms));
        let values = values![next_id.0 as i64, ms(old_expires_ms), id.0 as i64];
        self.sql().run(REPLACE, values)?;
        let detail = serde_json::json!({
            "replaced_by": next_id.to_string(), "hint": next.hint, "old_expires_ms": old_expires_ms,
            "expires_ms": expires_ms
        });
        self.audit(Entry { action: "key.rotated", subject: &id.to_string(), issuer, detail })?;
        self.key_made(issuer, next_id).map(Some)
    }

    /// Makes a key of `issuer` (none: of the operators) invalid at once and for good. None if there is no such key;
    /// one that was revoked before stays as it is.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Store`] if the file can't be written.
    pub fn revoke_key(&self, issuer: Option<IssuerId>, id: KeyId) -> Result<Option<ApiKey>, DirectoryError> {
        let Some(key) = find(self.sql(), issuer, id)? else { return Ok(None) };
        if key.revoked_ms.is_some() {
            return Ok(Some(key));
        }
        let values = values![ms(self.now_ms()), id.0 as i64];
        self.sql().run(REVOKE, values)?;
        let detail = serde_json::json!({});
        self.audit(Entry { action: "key.revoked", subject: &id.to_string(), issuer, detail })?;
        Ok(Some(ApiKey { revoked_ms: Some(self.now_ms()), ..key }))
    }

    fn insert_key(&self, new: &NewKey) -> Result<KeyId, DirectoryError> {
        let (created_ms, expires_ms) = (ms(self.now_ms()), new.expires_ms.map(ms));
        let values = values![
            tenant(new.issuer),
            new.role.as_str(),
            new.label.as_str(),
            &new.hint,
            new.hash.as_bytes(),
            created_ms,
            expires_ms,
            new.merchant.map(|merchant| ms(merchant.0))
        ];
        let id = self.unique(DirectoryError::TokenTaken, |sql| {
            sql.one(CREATE_KEY, values, |cells| cells.bits().map(KeyId))
        })?;
        id.ok_or(DirectoryError::Unreadable { what: "keys" })
    }

    /// The key that was just written, as it stands in the table.
    fn key_made(&self, issuer: Option<IssuerId>, id: KeyId) -> Result<ApiKey, DirectoryError> {
        find(self.sql(), issuer, id)?.ok_or(DirectoryError::Unreadable { what: "keys" })
    }
}

fn find(sql: &Sql, issuer: Option<IssuerId>, id: KeyId) -> Result<Option<ApiKey>, StoreError> {
    let values = values![id.0 as i64, tenant(issuer)];
    sql.one(FIND, values, read)
}

/// An issuer as it stands in a column; none is null.
pub(super) fn tenant(issuer: Option<IssuerId>) -> Option<i64> {
    issuer.map(|issuer| issuer.0 as i64)
}

fn read(cells: &mut Cells<'_>) -> Result<ApiKey, StoreError> {
    Ok(ApiKey {
        id: KeyId(cells.bits()?),
        issuer: cells.bits_or_none()?.map(IssuerId),
        role: cells.text(|text| Role::parse(text).ok_or(()))?,
        label: cells.text(Name::parse)?,
        hint: cells.next()?,
        created_ms: cells.bits()?,
        expires_ms: cells.bits_or_none()?,
        revoked_ms: cells.bits_or_none()?,
        replaced_by: cells.bits_or_none()?.map(KeyId),
        merchant: cells.bits_or_none()?.map(MerchantEntryId),
    })
}
