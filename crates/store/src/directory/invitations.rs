//! Invitations: how a cardholder comes to a log-in name and a password, once.

use mayfly_core::{IssuerId, TimeMs};
use mayfly_identity::name::LoginName;
use mayfly_identity::password::PasswordRecord;
use mayfly_identity::token::TokenHash;
use mayfly_keys::Random;

use super::cardholders::{Cardholder, CardholderStatus};
use super::{CardholderId, Directory, DirectoryError, Writing, ms};
use crate::StoreError;
use crate::sql::{Cells, Sql, values};

pub(super) const CREATE: &str = "
-- An invitation is open until it expires, is used, or a later one of the same cardholder takes its place.
CREATE TABLE invitations (
    hash BLOB PRIMARY KEY CHECK (length(hash) = 32),
    cardholder INTEGER NOT NULL REFERENCES cardholders (id),
    issuer INTEGER NOT NULL,
    created_ms INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL,
    used_ms INTEGER,
    voided_ms INTEGER
) STRICT, WITHOUT ROWID;
CREATE INDEX invitations_by_cardholder ON invitations (cardholder);
CREATE INDEX invitations_by_end ON invitations (expires_ms);";

const CREATE_INVITATION: &str =
    "INSERT INTO invitations (hash, cardholder, issuer, created_ms, expires_ms) VALUES (?, ?, ?, ?, ?)";
const VOID: &str = "UPDATE invitations SET voided_ms = ?
    WHERE cardholder = ? AND used_ms IS NULL AND voided_ms IS NULL AND expires_ms > ?";
const FIND_OPEN: &str = "SELECT issuer, cardholder, expires_ms FROM invitations
    WHERE hash = ? AND used_ms IS NULL AND voided_ms IS NULL AND expires_ms > ?";
const USE: &str = "UPDATE invitations SET used_ms = ? WHERE hash = ?";
const PURGE: &str = "DELETE FROM invitations WHERE hash IN
    (SELECT hash FROM invitations WHERE expires_ms <= ? ORDER BY expires_ms LIMIT ?)";

/// An invitation to be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewInvitation {
    /// The cardholder's issuer.
    pub issuer: IssuerId,
    /// Who is invited.
    pub cardholder: CardholderId,
    /// The hash of its token: all that is kept.
    pub hash: TokenHash,
    /// From when on it is not valid any more.
    pub expires_ms: TimeMs,
}

/// An invitation that is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invitation {
    /// The cardholder's issuer.
    pub issuer: IssuerId,
    /// Who is invited.
    pub cardholder: CardholderId,
    /// From when on it is not valid any more.
    pub expires_ms: TimeMs,
}

/// What somebody chose who was invited.
#[derive(Clone, Copy, Debug)]
pub struct Redemption<'a> {
    /// The hash of the token that he showed.
    pub hash: &'a TokenHash,
    /// What he wants to log in with.
    pub login: &'a LoginName,
    /// What is kept of his password.
    pub password: &'a PasswordRecord,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub enum Redeemed {
    /// He can log in from now on.
    Done(Cardholder),
    /// The invitation is unknown, expired, used, or voided, or the cardholder is blocked. Nobody is told which.
    NotOpen,
}

impl Directory {
    /// An invitation, if it is open at `now_ms`: look before a password is hashed for nothing.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Store`] if the file can't be read.
    pub fn open_invitation(
        &self,
        hash: &TokenHash,
        now_ms: TimeMs,
    ) -> Result<Option<Invitation>, DirectoryError> {
        self.read(|sql| find_open(sql, hash, now_ms))
    }
}

impl Writing<'_> {
    /// Invites a cardholder; earlier invitations of his end. He may have a password already: then this is how he gets
    /// another one, and the old one is good until he does. None if there is no such cardholder, or he is blocked.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::TokenTaken`] if there is an invitation with this hash.
    pub fn create_invitation(&self, new: &NewInvitation) -> Result<Option<Invitation>, DirectoryError> {
        let NewInvitation { issuer, cardholder, hash, expires_ms } = *new;
        let found = self.cardholder(issuer, cardholder)?;
        if found.is_none_or(|found| found.status != CardholderStatus::Active) {
            return Ok(None);
        }
        let (id, now_ms) = (cardholder.0 as i64, ms(self.now_ms()));
        let voided = self.sql().run(VOID, values![now_ms, id, now_ms])?;
        let values = values![hash.as_bytes(), id, issuer.0 as i64, now_ms, ms(expires_ms)];
        self.unique(DirectoryError::TokenTaken, |sql| sql.run(CREATE_INVITATION, values))?;
        let detail = serde_json::json!({ "expires_ms": expires_ms, "voided": voided });
        self.audit_cardholder("cardholder.invited", issuer, cardholder, detail)?;
        Ok(Some(Invitation { issuer, cardholder, expires_ms }))
    }

    /// Uses an invitation up: the cardholder logs in with this name and this password from now on, and sessions that
    /// he had before end.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::LoginNameTaken`] if another cardholder of his issuer has the name; the invitation stays open.
    pub fn redeem_invitation(
        &self,
        redemption: &Redemption<'_>,
        random: &mut dyn Random,
    ) -> Result<Redeemed, DirectoryError> {
        let Redemption { hash, login, password } = *redemption;
        let open = find_open(self.sql(), hash, self.now_ms())?;
        let Some(Invitation { issuer, cardholder, .. }) = open else { return Ok(Redeemed::NotOpen) };
        let found = self.cardholder(issuer, cardholder)?;
        let Some(found) = found.filter(|found| found.status == CardholderStatus::Active) else {
            return Ok(Redeemed::NotOpen);
        };
        self.set_login(&found, (login, password), random)?;
        let values = values![ms(self.now_ms()), hash.as_bytes()];
        self.sql().run(USE, values)?;
        self.audit_cardholder("cardholder.invitation_redeemed", issuer, cardholder, serde_json::json!({}))?;
        self.revoke_sessions(issuer, cardholder)?;
        Ok(Redeemed::Done(Cardholder { login: Some(login.clone()), ..found }))
    }

    pub(super) fn purge_invitations(&self, limit: i64) -> Result<usize, DirectoryError> {
        let values = values![ms(self.now_ms()), limit];
        Ok(self.sql().run(PURGE, values)? as usize)
    }
}

fn find_open(sql: &Sql, hash: &TokenHash, now_ms: TimeMs) -> Result<Option<Invitation>, StoreError> {
    sql.one(FIND_OPEN, values![hash.as_bytes(), ms(now_ms)], read)
}

fn read(cells: &mut Cells<'_>) -> Result<Invitation, StoreError> {
    Ok(Invitation {
        issuer: IssuerId(cells.bits()?),
        cardholder: CardholderId(cells.bits()?),
        expires_ms: cells.bits()?,
    })
}
