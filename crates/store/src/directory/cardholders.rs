//! Cardholders: who they are, and how they log in.

use mayfly_core::{IssuerId, TimeMs};
use mayfly_identity::name::{LoginName, PersonName};
use mayfly_identity::password::PasswordRecord;
use mayfly_keys::{DirectoryKeys, Random};
use serde::{Deserialize, Serialize};

use super::audit::Entry;
use super::sealed::{Column, login_hash};
use super::{CardholderId, Directory, DirectoryError, Writing, ms};
use crate::StoreError;
use crate::query::{PAGE_MAX, Page};
use crate::sql::{Cells, Sql, values};

pub(super) const CREATE: &str = "
-- `name` and `login` are sealed; `login_hash` is a keyed hash, by which a log-in name is found. A cardholder who was not
-- let in yet has neither log-in name nor password.
CREATE TABLE cardholders (
    id INTEGER PRIMARY KEY,
    issuer INTEGER NOT NULL,
    name BLOB NOT NULL,
    login_hash BLOB CHECK (length(login_hash) = 16),
    login BLOB,
    password TEXT,
    status TEXT NOT NULL CHECK (status IN ('active', 'blocked')),
    created_ms INTEGER NOT NULL,
    UNIQUE (issuer, login_hash),
    CHECK ((login IS NULL) = (login_hash IS NULL))
) STRICT;
CREATE INDEX cardholders_by_issuer ON cardholders (issuer, id);";

macro_rules! columns {
    () => {
        "id, issuer, name, login, status, created_ms"
    };
}

const NEXT_ID: &str = "SELECT coalesce(max(id), 0) + 1 FROM cardholders";
const CREATE_CARDHOLDER: &str =
    "INSERT INTO cardholders (id, issuer, name, status, created_ms) VALUES (?, ?, ?, 'active', ?)";
const FIND: &str = concat!("SELECT ", columns!(), " FROM cardholders WHERE id = ? AND issuer = ?");
const FIND_BY_LOGIN: &str =
    concat!("SELECT ", columns!(), ", password FROM cardholders WHERE issuer = ? AND login_hash = ?");
const LIST: &str =
    concat!("SELECT ", columns!(), " FROM cardholders WHERE issuer = ? AND id > ? ORDER BY id LIMIT ?");
const SET_LOGIN: &str = "UPDATE cardholders SET login_hash = ?, login = ?, password = ? WHERE id = ?";
const SET_PASSWORD: &str = "UPDATE cardholders SET password = ? WHERE id = ? AND issuer = ?";
const RENEW_PASSWORD: &str =
    "UPDATE cardholders SET password = ? WHERE id = ? AND issuer = ? AND password = ?";
const SET_STATUS: &str = "UPDATE cardholders SET status = ? WHERE id = ?";

const NAME: Column = Column("cardholders.name");
const LOGIN: Column = Column("cardholders.login");

/// Whether a cardholder is let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CardholderStatus {
    /// He may log in, once he has chosen a name and a password.
    Active,
    /// He may not.
    Blocked,
}

impl CardholderStatus {
    /// As it stands in tables and in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Blocked => "blocked",
        }
    }

    fn parse(text: &str) -> Result<Self, ()> {
        [Self::Active, Self::Blocked].into_iter().find(|status| status.as_str() == text).ok_or(())
    }
}

/// A cardholder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cardholder {
    /// His id.
    pub id: CardholderId,
    /// Whose customer he is.
    pub issuer: IssuerId,
    /// What he is called.
    pub name: PersonName,
    /// What he logs in with, once he chose it.
    pub login: Option<LoginName>,
    /// Whether he is let in.
    pub status: CardholderStatus,
    /// When he was entered.
    pub created_ms: TimeMs,
}

/// What a log-in needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// Who it is, if his password is right.
    pub cardholder: Cardholder,
    /// What is kept of his password. Hand it to the hasher even where it is none, and where there is no cardholder.
    pub password: Option<PasswordRecord>,
}

impl Directory {
    /// A cardholder of `issuer`. Another's is none.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Store`] if the file can't be read, [`DirectoryError::Sealed`] if what is in it does not open.
    pub fn cardholder(
        &self,
        issuer: IssuerId,
        id: CardholderId,
    ) -> Result<Option<Cardholder>, DirectoryError> {
        let found = self.read(|sql| find(sql, issuer, id))?;
        found.map(|row| row.open(&self.keys)).transpose()
    }

    /// Who logs in with this name at `issuer`, whether he is let in or not.
    ///
    /// # Errors
    ///
    /// As [`cardholder`](Self::cardholder).
    pub fn login(&self, issuer: IssuerId, login: &LoginName) -> Result<Option<Login>, DirectoryError> {
        let values = values![issuer.0 as i64, login_hash(&self.keys, issuer, login)];
        let found = self.read(|sql| {
            sql.one(FIND_BY_LOGIN, values, |cells| {
                Ok((SealedCardholder::read(cells)?, cells.text_or_none(PasswordRecord::parse)?))
            })
        })?;
        let Some((row, password)) = found else { return Ok(None) };
        Ok(Some(Login { cardholder: row.open(&self.keys)?, password }))
    }

    /// The cardholders of `issuer`, those after `after`; at most `limit`, and at most [`PAGE_MAX`].
    ///
    /// # Errors
    ///
    /// As [`cardholder`](Self::cardholder).
    pub fn cardholders(
        &self,
        issuer: IssuerId,
        after: Option<CardholderId>,
        limit: usize,
    ) -> Result<Page<Cardholder, CardholderId>, DirectoryError> {
        let limit = limit.min(PAGE_MAX);
        let values = values![issuer.0 as i64, ms(after.map_or(0, |after| after.0)), limit as i64];
        let rows = self.read(|sql| sql.all(LIST, values, SealedCardholder::read))?;
        let rows = rows.into_iter().map(|row| row.open(&self.keys)).collect::<Result<Vec<_>, _>>()?;
        let next = rows.last().filter(|_| rows.len() == limit).map(|row| row.id);
        Ok(Page { rows, next })
    }
}

impl Writing<'_> {
    /// What is kept of the password of who logs in with this name, as it is within this transaction, and who that is.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Store`] if the file can't be read.
    pub fn login_record(
        &self,
        issuer: IssuerId,
        login: &LoginName,
    ) -> Result<Option<(CardholderId, Option<PasswordRecord>)>, DirectoryError> {
        let values = values![issuer.0 as i64, login_hash(self.secrets(), issuer, login)];
        let found = self.sql().one(FIND_BY_LOGIN, values, |cells| {
            Ok((SealedCardholder::read(cells)?.id, cells.text_or_none(PasswordRecord::parse)?))
        });
        Ok(found?)
    }

    /// A cardholder of `issuer`, as he is within this transaction. Another's is none.
    ///
    /// # Errors
    ///
    /// As [`Directory::cardholder`].
    pub fn cardholder(
        &self,
        issuer: IssuerId,
        id: CardholderId,
    ) -> Result<Option<Cardholder>, DirectoryError> {
        let found = find(self.sql(), issuer, id)?;
        found.map(|row| row.open(self.secrets())).transpose()
    }

    /// Enters a cardholder. He logs in with what he chooses when he redeems an invitation.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Seal`] if his name could not be sealed, [`DirectoryError::Store`] if it could not be written.
    pub fn create_cardholder(
        &self,
        issuer: IssuerId,
        name: &PersonName,
        random: &mut dyn Random,
    ) -> Result<Cardholder, DirectoryError> {
        // Rows are never deleted, so no id comes twice.
        let next = self.sql().one(NEXT_ID, &[], |cells| cells.bits())?;
        let id = CardholderId(next.ok_or(DirectoryError::Unreadable { what: "cardholders" })?);
        let sealed = NAME.seal(self.secrets(), (issuer, id.0), name.as_str().as_bytes(), random)?;
        let values = values![ms(id.0), issuer.0 as i64, sealed, ms(self.now_ms())];
        self.sql().run(CREATE_CARDHOLDER, values)?;
        self.audit_cardholder("cardholder.created", issuer, id, serde_json::json!({}))?;
        let (status, created_ms) = (CardholderStatus::Active, self.now_ms());
        Ok(Cardholder { id, issuer, name: name.clone(), login: None, status, created_ms })
    }

    /// Gives a cardholder of `issuer` another password, and ends all his sessions: whoever knew the old one is out.
    /// False if there is no such cardholder.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Store`] if the file can't be written.
    pub fn set_password(
        &self,
        issuer: IssuerId,
        id: CardholderId,
        password: &PasswordRecord,
    ) -> Result<bool, DirectoryError> {
        let values = values![password.to_text(), ms(id.0), issuer.0 as i64];
        if self.sql().run(SET_PASSWORD, values)? == 0 {
            return Ok(false);
        }
        self.audit_cardholder("cardholder.password_set", issuer, id, serde_json::json!({}))?;
        self.revoke_sessions(issuer, id)?;
        Ok(true)
    }

    /// Keeps the same password at a higher cost, as [`Verified`](mayfly_identity::password::Verified) asked for. False
    /// if another one was set since it was checked: that one stays.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Store`] if the file can't be written.
    pub fn renew_password(
        &self,
        issuer: IssuerId,
        id: CardholderId,
        (checked, renewed): (&PasswordRecord, &PasswordRecord),
    ) -> Result<bool, DirectoryError> {
        let values = values![renewed.to_text(), ms(id.0), issuer.0 as i64, checked.to_text()];
        if self.sql().run(RENEW_PASSWORD, values)? == 0 {
            return Ok(false);
        }
        self.audit_cardholder("cardholder.password_renewed", issuer, id, serde_json::json!({}))?;
        Ok(true)
    }

    /// Lets a cardholder of `issuer` in, or not any more: then his sessions end, too. None if there is no such
    /// cardholder.
    ///
    /// # Errors
    ///
    /// As [`Directory::cardholder`], and if the file can't be written.
    pub fn set_status(
        &self,
        issuer: IssuerId,
        id: CardholderId,
        status: CardholderStatus,
    ) -> Result<Option<Cardholder>, DirectoryError> {
        let Some(cardholder) = self.cardholder(issuer, id)? else { return Ok(None) };
        if cardholder.status == status {
            return Ok(Some(cardholder));
        }
        let values = values![status.as_str(), id.0 as i64];
        self.sql().run(SET_STATUS, values)?;
        let action = match status {
            CardholderStatus::Active => "cardholder.unblocked",
            CardholderStatus::Blocked => "cardholder.blocked",
        };
        self.audit_cardholder(action, issuer, id, serde_json::json!({}))?;
        if status == CardholderStatus::Blocked {
            self.revoke_sessions(issuer, id)?;
        }
        Ok(Some(Cardholder { status, ..cardholder }))
    }

    /// Sets what a cardholder logs in with. He is there: the caller just read him.
    pub(super) fn set_login(
        &self,
        cardholder: &Cardholder,
        (login, password): (&LoginName, &PasswordRecord),
        random: &mut dyn Random,
    ) -> Result<(), DirectoryError> {
        let (issuer, id) = (cardholder.issuer, cardholder.id);
        let sealed = LOGIN.seal(self.secrets(), (issuer, id.0), login.as_str().as_bytes(), random)?;
        let hash = login_hash(self.secrets(), issuer, login);
        let values = values![hash, sealed, password.to_text(), id.0 as i64];
        self.unique(DirectoryError::LoginNameTaken, |sql| sql.run(SET_LOGIN, values))?;
        Ok(())
    }

    pub(super) fn audit_cardholder(
        &self,
        action: &str,
        issuer: IssuerId,
        id: CardholderId,
        detail: serde_json::Value,
    ) -> Result<(), DirectoryError> {
        self.audit(Entry { action, subject: &id.to_string(), issuer: Some(issuer), detail }).map(|_| ())
    }
}

fn find(sql: &Sql, issuer: IssuerId, id: CardholderId) -> Result<Option<SealedCardholder>, StoreError> {
    sql.one(FIND, values![ms(id.0), issuer.0 as i64], SealedCardholder::read)
}

/// A row as it stands in the table.
struct SealedCardholder {
    id: CardholderId,
    issuer: IssuerId,
    name: Vec<u8>,
    login: Option<Vec<u8>>,
    status: CardholderStatus,
    created_ms: TimeMs,
}

impl SealedCardholder {
    fn read(cells: &mut Cells<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            id: CardholderId(cells.bits()?),
            issuer: IssuerId(cells.bits()?),
            name: cells.next()?,
            login: cells.next()?,
            status: cells.text(CardholderStatus::parse)?,
            created_ms: cells.bits()?,
        })
    }

    fn open(self, keys: &DirectoryKeys) -> Result<Cardholder, DirectoryError> {
        let Self { id, issuer, status, created_ms, .. } = self;
        let open = |column: Column, sealed: &[u8]| column.open(keys, (issuer, id.0), sealed);
        let name = open(NAME, &self.name)?;
        let name = text(NAME, name.expose(), PersonName::parse)?;
        let login = match &self.login {
            Some(sealed) => Some(text(LOGIN, open(LOGIN, sealed)?.expose(), LoginName::parse)?),
            None => None,
        };
        Ok(Cardholder { id, issuer, name, login, status, created_ms })
    }
}

fn text<T, E>(
    column: Column,
    opened: &[u8],
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Result<T, DirectoryError> {
    std::str::from_utf8(opened).ok().and_then(|text| parse(text).ok()).ok_or_else(|| column.unreadable())
}
