//! Sessions: a cardholder who is logged in.
//!
//! A session has two tokens: a short-lived one that lets him in, and one that gets the next two. The second is good
//! once. Who shows one that was used before is not its rightful holder, or the rightful holder is not the only one: the
//! whole session ends (RFC 9700, section 4.14.2).

use mayfly_core::{IssuerId, TimeMs};
use mayfly_identity::token::TokenHash;

use super::audit::Entry;
use super::cardholders::CardholderStatus;
use super::{CardholderId, Directory, DirectoryError, SessionId, Writing, ms};
use crate::StoreError;
use crate::sql::{Cells, Sql, values};

pub(super) const CREATE: &str = "
-- `hash` lets in until `expires_ms`; `refresh` gets the next tokens until `refresh_expires_ms`, which is never later
-- than `ends_ms`. An id does not come twice, although rows are deleted.
CREATE TABLE sessions (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    cardholder INTEGER NOT NULL REFERENCES cardholders (id),
    issuer INTEGER NOT NULL,
    hash BLOB NOT NULL UNIQUE CHECK (length(hash) = 32),
    refresh BLOB NOT NULL UNIQUE CHECK (length(refresh) = 32),
    created_ms INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL,
    refresh_expires_ms INTEGER NOT NULL,
    ends_ms INTEGER NOT NULL,
    revoked_ms INTEGER
) STRICT;
CREATE INDEX sessions_by_cardholder ON sessions (cardholder);
CREATE INDEX sessions_by_end ON sessions (refresh_expires_ms);

-- Refresh tokens that were used: whoever shows one again ends the session.
CREATE TABLE used_refreshes (
    hash BLOB PRIMARY KEY CHECK (length(hash) = 32),
    session INTEGER NOT NULL REFERENCES sessions (id)
) STRICT, WITHOUT ROWID;
CREATE INDEX used_refreshes_by_session ON used_refreshes (session);";

macro_rules! columns {
    () => {
        "sessions.id, cardholder, sessions.issuer, sessions.created_ms, expires_ms, refresh_expires_ms, ends_ms"
    };
}

const CREATE_SESSION: &str = "INSERT INTO sessions
    (id, cardholder, issuer, hash, refresh, created_ms, expires_ms, refresh_expires_ms, ends_ms)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";
const FIND: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM sessions JOIN cardholders ON cardholders.id = cardholder
    WHERE hash = ? AND expires_ms > ? AND revoked_ms IS NULL AND status = 'active'"
);
const FIND_BY_REFRESH: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM sessions JOIN cardholders ON cardholders.id = cardholder
    WHERE refresh = ? AND refresh_expires_ms > ? AND revoked_ms IS NULL AND status = 'active'"
);
const FIND_BY_USED: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM sessions WHERE revoked_ms IS NULL AND id = (SELECT session FROM used_refreshes WHERE hash = ?)"
);
const USED: &str = "INSERT INTO used_refreshes (hash, session) VALUES (?, ?)";
const IS_USED: &str = "SELECT EXISTS (SELECT 1 FROM used_refreshes WHERE hash = ?)";
const REFRESH: &str =
    "UPDATE sessions SET hash = ?, refresh = ?, expires_ms = ?, refresh_expires_ms = ? WHERE id = ?";
const REVOKE: &str = "UPDATE sessions SET revoked_ms = ?
    WHERE id = ? AND cardholder = ? AND issuer = ? AND revoked_ms IS NULL";
const REVOKE_ALL: &str = "UPDATE sessions SET revoked_ms = ?
    WHERE cardholder = ? AND issuer = ? AND revoked_ms IS NULL AND refresh_expires_ms > ?";
// Both find the same.
macro_rules! over {
    () => {
        "(SELECT id FROM sessions WHERE refresh_expires_ms <= ? ORDER BY refresh_expires_ms, id LIMIT ?)"
    };
}
const PURGE_USED: &str = concat!("DELETE FROM used_refreshes WHERE session IN ", over!());
const PURGE: &str = concat!("DELETE FROM sessions WHERE id IN ", over!());

/// What their ids are counted under.
const SESSIONS: &str = "sessions";

/// A session to be opened, for a cardholder who has shown who he is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewSession {
    /// The cardholder's issuer.
    pub issuer: IssuerId,
    /// Whose session it is.
    pub cardholder: CardholderId,
    /// Its first tokens.
    pub tokens: NewTokens,
    /// When it ends, however often it is refreshed.
    pub ends_ms: TimeMs,
}

/// The tokens of a session until the next refresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewTokens {
    /// The hash of what lets in.
    pub hash: TokenHash,
    /// The hash of what gets the next tokens.
    pub refresh: TokenHash,
    /// Until when the first lets in. Never later than the session's end.
    pub expires_ms: TimeMs,
    /// Until when the second can be used. Never later than the session's end.
    pub refresh_expires_ms: TimeMs,
}

/// A session that is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Session {
    /// Its name, the same after every refresh.
    pub id: SessionId,
    /// Whose it is.
    pub cardholder: CardholderId,
    /// The cardholder's issuer.
    pub issuer: IssuerId,
    /// When the cardholder logged in.
    pub created_ms: TimeMs,
    /// Until when its token lets in.
    pub expires_ms: TimeMs,
    /// Until when it can be refreshed.
    pub refresh_expires_ms: TimeMs,
    /// When it ends, however often it is refreshed.
    pub ends_ms: TimeMs,
}

/// What came of a refresh. To a client the last two are the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Refreshed {
    /// The new tokens are good, the old ones are not any more.
    Done(Session),
    /// The token was used before. If the session was still open, it is not any more.
    Reused,
    /// The token is unknown or expired, the session revoked, or the cardholder blocked.
    NotOpen,
}

impl Directory {
    /// Whether a refresh token would change anything at `now_ms`: its session goes on with it, or ends because it was used
    /// before. Look before anything is written for a stranger.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Store`] if the file can't be read.
    pub fn knows_refresh(&self, refresh: &TokenHash, now_ms: TimeMs) -> Result<bool, DirectoryError> {
        self.read(|sql| {
            if find(sql, FIND_BY_REFRESH, refresh, now_ms)?.is_some() {
                return Ok(true);
            }
            Ok(sql.one(FIND_BY_USED, values![refresh.as_bytes()], read)?.is_some())
        })
    }

    /// The session that a token lets into at `now_ms`. None if the token is unknown or expired, the session was
    /// revoked, or the cardholder is blocked.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Store`] if the file can't be read.
    pub fn find_session(&self, hash: &TokenHash, now_ms: TimeMs) -> Result<Option<Session>, DirectoryError> {
        self.read(|sql| find(sql, FIND, hash, now_ms))
    }
}

impl Writing<'_> {
    /// Opens a session. None if there is no such cardholder, or he is blocked.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::TokenTaken`] if there is a session with one of the hashes.
    pub fn create_session(&self, new: &NewSession) -> Result<Option<Session>, DirectoryError> {
        let NewSession { issuer, cardholder, tokens, ends_ms } = *new;
        let found = self.cardholder(issuer, cardholder)?;
        if found.is_none_or(|found| found.status != CardholderStatus::Active) {
            return Ok(None);
        }
        let created_ms = self.now_ms();
        let (expires_ms, refresh_expires_ms) = tokens.until(ends_ms);
        let id = SessionId(self.draw_ids(SESSIONS, 1)?);
        let values = values![
            ms(id.0),
            cardholder.0 as i64,
            issuer.0 as i64,
            tokens.hash.as_bytes(),
            tokens.refresh.as_bytes(),
            ms(created_ms),
            ms(expires_ms),
            ms(refresh_expires_ms),
            ms(ends_ms)
        ];
        self.unique(DirectoryError::TokenTaken, |sql| sql.run(CREATE_SESSION, values))?;
        let session = Session { id, cardholder, issuer, created_ms, expires_ms, refresh_expires_ms, ends_ms };
        self.audit_session("session.opened", &session)?;
        Ok(Some(session))
    }

    /// Changes the tokens of the session whose refresh token this is. A token that was used before ends its session:
    /// let the transaction be written even then.
    ///
    /// Also a client whose answer got lost is out when it tries again, unless it sends the key of a repeat: answer it
    /// through [`Directory::once`].
    ///
    /// # Errors
    ///
    /// [`DirectoryError::TokenTaken`] if there is a session with one of the new hashes.
    pub fn refresh_session(
        &self,
        refresh: &TokenHash,
        tokens: &NewTokens,
    ) -> Result<Refreshed, DirectoryError> {
        let open = find(self.sql(), FIND_BY_REFRESH, refresh, self.now_ms())?;
        let Some(session) = open else { return self.end_reused(refresh) };
        let (expires_ms, refresh_expires_ms) = tokens.until(session.ends_ms);
        let (id, hash, next) = (session.id.0 as i64, tokens.hash.as_bytes(), tokens.refresh.as_bytes());
        if self.is_used(&tokens.refresh)? || tokens.refresh == *refresh {
            return Err(DirectoryError::TokenTaken);
        }
        self.unique(DirectoryError::TokenTaken, |sql| {
            sql.run(USED, values![refresh.as_bytes(), id])?;
            let values = values![hash, next, ms(expires_ms), ms(refresh_expires_ms), id];
            sql.run(REFRESH, values)
        })?;
        let session = Session { expires_ms, refresh_expires_ms, ..session };
        self.audit_session("session.refreshed", &session)?;
        Ok(Refreshed::Done(session))
    }

    /// Ends one session of a cardholder of `issuer`. False if there is none, or it was ended before.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Store`] if the file can't be written.
    pub fn revoke_session(
        &self,
        issuer: IssuerId,
        cardholder: CardholderId,
        id: SessionId,
    ) -> Result<bool, DirectoryError> {
        let values = values![ms(self.now_ms()), ms(id.0), ms(cardholder.0), issuer.0 as i64];
        if self.sql().run(REVOKE, values)? == 0 {
            return Ok(false);
        }
        let detail = serde_json::json!({ "cardholder": cardholder.to_string() });
        let subject = &id.to_string();
        self.audit(Entry { action: "session.revoked", subject, issuer: Some(issuer), detail })?;
        Ok(true)
    }

    /// Ends all sessions of a cardholder of `issuer`; says how many there were.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Store`] if the file can't be written.
    pub fn revoke_sessions(
        &self,
        issuer: IssuerId,
        cardholder: CardholderId,
    ) -> Result<usize, DirectoryError> {
        let now_ms = ms(self.now_ms());
        let values = values![now_ms, ms(cardholder.0), issuer.0 as i64, now_ms];
        let revoked = self.sql().run(REVOKE_ALL, values)?;
        if revoked > 0 {
            let detail = serde_json::json!({ "sessions": revoked });
            self.audit_cardholder("cardholder.sessions_revoked", issuer, cardholder, detail)?;
        }
        Ok(revoked as usize)
    }

    fn is_used(&self, refresh: &TokenHash) -> Result<bool, DirectoryError> {
        let used = self.sql().one(IS_USED, values![refresh.as_bytes()], |cells| cells.next::<bool>())?;
        Ok(used == Some(true))
    }

    /// Whoever shows a used refresh token ends its session.
    fn end_reused(&self, refresh: &TokenHash) -> Result<Refreshed, DirectoryError> {
        if !self.is_used(refresh)? {
            return Ok(Refreshed::NotOpen);
        }
        let open = self.sql().one(FIND_BY_USED, values![refresh.as_bytes()], read)?;
        if let Some(session) = open {
            let values = values![
                ms(self.now_ms()),
                session.id.0 as i64,
                session.cardholder.0 as i64,
                session.issuer.0 as i64,
            ];
            self.sql().run(REVOKE, values)?;
            self.audit_session("session.token_reused", &session)?;
        }
        Ok(Refreshed::Reused)
    }

    fn audit_session(&self, action: &str, session: &Session) -> Result<(), DirectoryError> {
        let detail = serde_json::json!({
            "cardholder": session.cardholder.to_string(), "refresh_expires_ms": session.refresh_expires_ms
        });
        let (subject, issuer) = (&session.id.to_string(), Some(session.issuer));
        self.audit(Entry { action, subject, issuer, detail }).map(|_| ())
    }

    /// Sessions that can't be refreshed any more, whose tokens don't let in either.
    pub(super) fn purge_sessions(&self, limit: i64) -> Result<usize, DirectoryError> {
        let values = values![ms(self.now_ms()), limit];
        self.sql().run(PURGE_USED, values)?;
        Ok(self.sql().run(PURGE, values)? as usize)
    }
}

impl NewTokens {
    /// Until when they are good in a session that ends at `ends_ms`. A session is forgotten when it can't be refreshed
    /// any more, so its token does not let in any longer than that.
    fn until(&self, ends_ms: TimeMs) -> (TimeMs, TimeMs) {
        let refresh_expires_ms = self.refresh_expires_ms.min(ends_ms);
        (self.expires_ms.min(refresh_expires_ms), refresh_expires_ms)
    }
}

fn find(sql: &Sql, by: &str, hash: &TokenHash, now_ms: TimeMs) -> Result<Option<Session>, StoreError> {
    sql.one(by, values![hash.as_bytes(), ms(now_ms)], read)
}

fn read(cells: &mut Cells<'_>) -> Result<Session, StoreError> {
    Ok(Session {
        id: SessionId(cells.bits()?),
        cardholder: CardholderId(cells.bits()?),
        issuer: IssuerId(cells.bits()?),
        created_ms: cells.bits()?,
        expires_ms: cells.bits()?,
        refresh_expires_ms: cells.bits()?,
        ends_ms: cells.bits()?,
    })
}
