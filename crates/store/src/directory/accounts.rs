//! Which accounts are a cardholder's, and the real card numbers behind them.
//!
//! The accounts themselves, with their money, are the engine's. Here stands only whose they are.

use mayfly_card::Pan;
use mayfly_core::{AccountId, IssuerId, TimeMs};
use mayfly_keys::Random;

use super::sealed::Column;
use super::{CardholderId, Directory, DirectoryError, Writing, ms};
use crate::StoreError;
use crate::sql::{Cells, Sql, values};

pub(super) const CREATE: &str = "
-- `pan` is the card number behind the account, sealed; `pan_masked` its first six and last four digits.
CREATE TABLE linked_accounts (
    account INTEGER PRIMARY KEY,
    cardholder INTEGER NOT NULL REFERENCES cardholders (id),
    issuer INTEGER NOT NULL,
    pan BLOB,
    pan_masked TEXT,
    linked_ms INTEGER NOT NULL,
    CHECK ((pan IS NULL) = (pan_masked IS NULL))
) STRICT;
CREATE INDEX linked_accounts_by_cardholder ON linked_accounts (cardholder, account);";

macro_rules! columns {
    () => {
        "account, cardholder, pan_masked, linked_ms"
    };
}

const LINK: &str = "INSERT INTO linked_accounts (account, cardholder, issuer, linked_ms) VALUES (?, ?, ?, ?)";
const FIND: &str = concat!("SELECT ", columns!(), " FROM linked_accounts WHERE account = ? AND issuer = ?");
const COUNT: &str = "SELECT count(*) FROM linked_accounts WHERE cardholder = ?";
const LIST: &str = concat!(
    "SELECT ",
    columns!(),
    " FROM linked_accounts WHERE cardholder = ? AND issuer = ? ORDER BY account"
);
const SET_PAN: &str = "UPDATE linked_accounts SET pan = ?, pan_masked = ? WHERE account = ? AND issuer = ?";
const FIND_PAN: &str = "SELECT pan FROM linked_accounts WHERE account = ? AND issuer = ?";

const PAN: Column = Column("linked_accounts.pan");

/// How many accounts one cardholder can have.
pub const ACCOUNTS_MAX: usize = 100;

/// An account that belongs to a cardholder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkedAccount {
    /// The account.
    pub account: AccountId,
    /// Whose it is.
    pub cardholder: CardholderId,
    /// The card number behind it, if one is known: its first six and last four digits.
    pub pan_masked: Option<String>,
    /// When it was linked.
    pub linked_ms: TimeMs,
}

impl Directory {
    /// The accounts of a cardholder of `issuer`, at most [`ACCOUNTS_MAX`]. Another issuer's cardholder has none.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Store`] if the file can't be read.
    pub fn accounts_of(
        &self,
        issuer: IssuerId,
        cardholder: CardholderId,
    ) -> Result<Vec<LinkedAccount>, DirectoryError> {
        let values = values![ms(cardholder.0), issuer.0 as i64];
        self.read(|sql| sql.all(LIST, values, read))
    }

    /// Whose an account of `issuer` is. None if it is nobody's, or another issuer's.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Store`] if the file can't be read.
    pub fn linked_account(
        &self,
        issuer: IssuerId,
        account: AccountId,
    ) -> Result<Option<LinkedAccount>, DirectoryError> {
        self.read(|sql| find(sql, issuer, account))
    }

    /// The card number behind an account of `issuer`. Show it to nobody who may not see all of it.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Store`] if the file can't be read, [`DirectoryError::Sealed`] if what is in it does not open.
    pub fn funding_pan(&self, issuer: IssuerId, account: AccountId) -> Result<Option<Pan>, DirectoryError> {
        let values = values![ms(account.0), issuer.0 as i64];
        let sealed = self.read(|sql| sql.one(FIND_PAN, values, |cells| cells.next::<Option<Vec<u8>>>()))?;
        let Some(sealed) = sealed.flatten() else { return Ok(None) };
        let opened = PAN.open(&self.keys, (issuer, account.0), &sealed)?;
        Pan::parse(opened.expose()).map(Some).map_err(|_| PAN.unreadable())
    }
}

impl Writing<'_> {
    /// Links an account to a cardholder of `issuer`. That the account is the issuer's own is for the caller to check:
    /// the engine knows it. Linking it once more to the same cardholder changes nothing. None if there is no such
    /// cardholder.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::AccountTaken`] if it is linked to somebody else, [`DirectoryError::TooManyAccounts`] if the
    /// cardholder has [`ACCOUNTS_MAX`].
    pub fn link_account(
        &self,
        issuer: IssuerId,
        cardholder: CardholderId,
        account: AccountId,
    ) -> Result<Option<LinkedAccount>, DirectoryError> {
        if self.cardholder(issuer, cardholder)?.is_none() {
            return Ok(None);
        }
        match find(self.sql(), issuer, account)? {
            Some(linked) if linked.cardholder == cardholder => return Ok(Some(linked)),
            Some(_) => return Err(DirectoryError::AccountTaken { account }),
            None => {}
        }
        let id = cardholder.0 as i64;
        let accounts = self.sql().one(COUNT, values![id], |cells| cells.bits())?;
        if accounts.unwrap_or(0) >= ACCOUNTS_MAX as u64 {
            return Err(DirectoryError::TooManyAccounts);
        }
        let linked_ms = self.now_ms();
        let values = values![ms(account.0), id, issuer.0 as i64, ms(linked_ms)];
        // Where another issuer has linked it, it is not found above.
        self.unique(DirectoryError::AccountTaken { account }, |sql| sql.run(LINK, values))?;
        let detail = serde_json::json!({ "account": account.to_string() });
        self.audit_cardholder("cardholder.account_linked", issuer, cardholder, detail)?;
        Ok(Some(LinkedAccount { account, cardholder, pan_masked: None, linked_ms }))
    }

    /// Keeps the card number behind an account of `issuer` that is linked to a cardholder. None if it is not.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Seal`] if it could not be sealed, [`DirectoryError::Store`] if it could not be written.
    pub fn set_funding_pan(
        &self,
        issuer: IssuerId,
        account: AccountId,
        pan: &Pan,
        random: &mut dyn Random,
    ) -> Result<Option<LinkedAccount>, DirectoryError> {
        let Some(linked) = find(self.sql(), issuer, account)? else {
            return Ok(None);
        };
        let sealed = PAN.seal(self.secrets(), (issuer, account.0), pan.digits(), random)?;
        let masked = pan.to_string();
        let values = values![sealed, &masked, account.0 as i64, issuer.0 as i64];
        self.sql().run(SET_PAN, values)?;
        let detail = serde_json::json!({ "account": account.to_string(), "pan": masked });
        self.audit_cardholder("cardholder.funding_pan_set", issuer, linked.cardholder, detail)?;
        Ok(Some(LinkedAccount { pan_masked: Some(masked), ..linked }))
    }
}

fn find(sql: &Sql, issuer: IssuerId, account: AccountId) -> Result<Option<LinkedAccount>, StoreError> {
    let values = values![ms(account.0), issuer.0 as i64];
    sql.one(FIND, values, read)
}

fn read(cells: &mut Cells<'_>) -> Result<LinkedAccount, StoreError> {
    Ok(LinkedAccount {
        account: AccountId(cells.bits()?),
        cardholder: CardholderId(cells.bits()?),
        pan_masked: cells.next()?,
        linked_ms: cells.bits()?,
    })
}
