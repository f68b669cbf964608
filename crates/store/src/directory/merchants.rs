//! Merchants that take payments of an issuer's cardholders.

use mayfly_card::{Country, Mcc, MerchantId};
use mayfly_core::{IssuerId, Name, TimeMs};
use serde::{Deserialize, Serialize};

use super::audit::Entry;
use super::{Directory, DirectoryError, MerchantEntryId, Writing, ms};
use crate::StoreError;
use crate::query::{PAGE_MAX, Page};
use crate::sql::{Cells, Sql, values};

pub(super) const CREATE: &str = "
-- `card_acceptor` is what the network knows a merchant by (DE 42): an issuer has no two with the same.
CREATE TABLE merchants (
    id INTEGER PRIMARY KEY,
    issuer INTEGER NOT NULL,
    name TEXT NOT NULL,
    card_acceptor TEXT NOT NULL,
    mcc INTEGER NOT NULL,
    country INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('active', 'closed')),
    created_ms INTEGER NOT NULL,
    UNIQUE (issuer, card_acceptor)
) STRICT;
CREATE INDEX merchants_by_issuer ON merchants (issuer, id);
-- Whose payments a key is for: a merchant's own key names him, every other names none.
ALTER TABLE keys ADD COLUMN merchant INTEGER REFERENCES merchants (id);";

macro_rules! columns {
    () => {
        "id, issuer, name, card_acceptor, mcc, country, state, created_ms"
    };
}

// Rows are never deleted, so no id comes twice.
const CREATE_MERCHANT: &str =
    "INSERT INTO merchants (id, issuer, name, card_acceptor, mcc, country, state, created_ms)
    VALUES ((SELECT coalesce(max(id), 0) + 1 FROM merchants), ?, ?, ?, ?, ?, 'active', ?) RETURNING id";
const FIND: &str = concat!("SELECT ", columns!(), " FROM merchants WHERE id = ? AND issuer = ?");
const LIST: &str =
    concat!("SELECT ", columns!(), " FROM merchants WHERE issuer = ? AND id > ? ORDER BY id LIMIT ?");
const SET_STATE: &str = "UPDATE merchants SET state = ? WHERE id = ?";

/// Whether a merchant may take payments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MerchantState {
    /// He may.
    Active,
    /// He takes no new ones. What he has sold is still captured, cancelled and refunded.
    Closed,
}

impl MerchantState {
    /// As it stands in tables and in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Closed => "closed",
        }
    }

    fn parse(text: &str) -> Result<Self, ()> {
        [Self::Active, Self::Closed].into_iter().find(|state| state.as_str() == text).ok_or(())
    }
}

/// A merchant that is to be entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewMerchant {
    /// Whose cardholders pay him.
    pub issuer: IssuerId,
    /// What he is called.
    pub name: Name,
    /// What the network knows him by (DE 42).
    pub card_acceptor: MerchantId,
    /// What he sells (DE 18).
    pub mcc: Mcc,
    /// Where he sells it (DE 19).
    pub country: Country,
}

/// A merchant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Merchant {
    /// His id.
    pub id: MerchantEntryId,
    /// Whose cardholders pay him.
    pub issuer: IssuerId,
    /// What he is called.
    pub name: Name,
    /// What the network knows him by (DE 42).
    pub card_acceptor: MerchantId,
    /// What he sells (DE 18).
    pub mcc: Mcc,
    /// Where he sells it (DE 19).
    pub country: Country,
    /// Whether he may take payments.
    pub state: MerchantState,
    /// When he was entered.
    pub created_ms: TimeMs,
}

impl Directory {
    /// A merchant of `issuer`. Another's is none.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Store`] if the file can't be read.
    pub fn merchant(
        &self,
        issuer: IssuerId,
        id: MerchantEntryId,
    ) -> Result<Option<Merchant>, DirectoryError> {
        self.read(|sql| find(sql, issuer, id))
    }

    /// The merchants of `issuer`, those after `after`; at most `limit`, and at most [`PAGE_MAX`].
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Store`] if the file can't be read.
    pub fn merchants(
        &self,
        issuer: IssuerId,
        after: Option<MerchantEntryId>,
        limit: usize,
    ) -> Result<Page<Merchant, MerchantEntryId>, DirectoryError> {
        let limit = limit.min(PAGE_MAX);
        let values = values![issuer.0 as i64, ms(after.map_or(0, |after| after.0)), limit as i64];
        let rows: Vec<Merchant> = self.read(|sql| sql.all(LIST, values, read))?;
        let next = rows.last().filter(|_| rows.len() == limit).map(|row| row.id);
        Ok(Page { rows, next })
    }
}

impl Writing<'_> {
    /// Enters a merchant.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::CardAcceptorTaken`] if the issuer has a merchant of that card acceptor id;
    /// [`DirectoryError::Store`] if the file can't be written.
    pub fn create_merchant(&self, new: &NewMerchant) -> Result<Merchant, DirectoryError> {
        let NewMerchant { issuer, name, card_acceptor, mcc, country } = *new;
        let created_ms = self.now_ms();
        let values = values![
            issuer.0 as i64,
            name.as_str(),
            card_acceptor.as_str(),
            mcc.value(),
            country.value(),
            ms(created_ms)
        ];
        let id = self.unique(DirectoryError::CardAcceptorTaken, |sql| {
            sql.one(CREATE_MERCHANT, values, |cells| cells.bits().map(MerchantEntryId))
        })?;
        let id = id.ok_or(DirectoryError::Unreadable { what: "merchants" })?;
        let detail = serde_json::json!({ "name": name, "card_acceptor": card_acceptor });
        self.audit_merchant("merchant.created", issuer, id, detail)?;
        let state = MerchantState::Active;
        Ok(Merchant { id, issuer, name, card_acceptor, mcc, country, state, created_ms })
    }

    /// Lets a merchant of `issuer` take payments, or not any more. None if there is no such merchant.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Store`] if the file can't be written.
    pub fn set_merchant_state(
        &self,
        issuer: IssuerId,
        id: MerchantEntryId,
        state: MerchantState,
    ) -> Result<Option<Merchant>, DirectoryError> {
        let Some(merchant) = self.merchant(issuer, id)? else { return Ok(None) };
        if merchant.state == state {
            return Ok(Some(merchant));
        }
        let values = values![state.as_str(), ms(id.0)];
        self.sql().run(SET_STATE, values)?;
        let action = match state {
            MerchantState::Active => "merchant.opened",
            MerchantState::Closed => "merchant.closed",
        };
        self.audit_merchant(action, issuer, id, serde_json::json!({}))?;
        Ok(Some(Merchant { state, ..merchant }))
    }

    /// A merchant of `issuer`, as he is within this transaction. Another's is none.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Store`] if the file can't be read.
    pub fn merchant(
        &self,
        issuer: IssuerId,
        id: MerchantEntryId,
    ) -> Result<Option<Merchant>, DirectoryError> {
        Ok(find(self.sql(), issuer, id)?)
    }

    fn audit_merchant(
        &self,
        action: &str,
        issuer: IssuerId,
        id: MerchantEntryId,
        detail: serde_json::Value,
    ) -> Result<(), DirectoryError> {
        self.audit(Entry { action, subject: &id.to_string(), issuer: Some(issuer), detail }).map(|_| ())
    }
}

fn find(sql: &Sql, issuer: IssuerId, id: MerchantEntryId) -> Result<Option<Merchant>, StoreError> {
    sql.one(FIND, values![ms(id.0), issuer.0 as i64], read)
}

fn read(cells: &mut Cells<'_>) -> Result<Merchant, StoreError> {
    Ok(Merchant {
        id: MerchantEntryId(cells.bits()?),
        issuer: IssuerId(cells.bits()?),
        name: cells.text(Name::parse)?,
        card_acceptor: cells.text(MerchantId::parse)?,
        mcc: cells.code(Mcc::from_value)?,
        country: cells.code(Country::from_value)?,
        state: cells.text(MerchantState::parse)?,
        created_ms: cells.bits()?,
    })
}
