//! A card in the wallet: its number, its key, its counter.

use std::fmt;

use mayfly_card::Expiry;
use mayfly_dynamic::{
    AppVersion, CardKey, CardMacs, CardNumber, Etsn, EtsnExhausted, FieldOrigin, MacField, Mode, OpenEtsn,
    ReferenceData, Tsn,
};
use serde::{Deserialize, Serialize};

use crate::order::{Form, Order, OrderError, Wish};
use crate::purchase::Filled;

/// A card's id, as the server's API shows it: up to 64 letters, digits and underscores.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CardId(String);

impl CardId {
    /// The most characters.
    pub const CHARS_MAX: usize = 64;

    /// Reads it. It becomes a part of a URL, so nothing else is let in.
    ///
    /// # Errors
    ///
    /// [`CardIdError`].
    pub fn parse(text: &str) -> Result<Self, CardIdError> {
        let is_one = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        if text.is_empty() || text.len() > Self::CHARS_MAX || !text.bytes().all(is_one) {
            return Err(CardIdError);
        }
        Ok(Self(text.to_owned()))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for CardId {
    type Error = CardIdError;

    fn try_from(text: String) -> Result<Self, CardIdError> {
        Self::parse(&text)
    }
}

impl From<CardId> for String {
    fn from(id: CardId) -> Self {
        id.0
    }
}

impl fmt::Display for CardId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text is no card's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CardIdError;

impl fmt::Display for CardIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("that is no card's id: write it as the server shows it, num_1 for example")
    }
}

impl std::error::Error for CardIdError {}

/// A card that was enrolled.
pub struct Card {
    pub(crate) id: CardId,
    pub(crate) number: CardNumber,
    pub(crate) expiry: Expiry,
    pub(crate) key: CardKey,
    pub(crate) version: AppVersion,
    /// The last one that was used, or that the server is known to have seen.
    pub(crate) tsn: Tsn,
    /// What the MAC field says beside the purchase; none if purchases of this card have no MAC field.
    pub(crate) origin: Option<FieldOrigin>,
    pub(crate) last: Option<OpenPurchase>,
}

/// A purchase that the check site expects: what was asked for, and what it answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenPurchase {
    /// What was asked for; the answer said the same.
    pub order: Order,
    /// Its number.
    pub etsn: Etsn,
    /// How its MAC becomes a date.
    pub reference: ReferenceData,
    /// Until when the check site expects it, in seconds of Unix time.
    pub expires_unix_s: u64,
}

impl Card {
    /// Its id.
    pub fn id(&self) -> &CardId {
        &self.id
    }

    /// The number that merchants get. It shows itself masked.
    pub fn number(&self) -> &CardNumber {
        &self.number
    }

    /// Its real expiration date.
    pub fn expiry(&self) -> Expiry {
        self.expiry
    }

    /// The version of this software with which it was enrolled.
    pub fn version(&self) -> AppVersion {
        self.version
    }

    /// Its counter.
    pub fn tsn(&self) -> Tsn {
        self.tsn
    }

    /// Whether its purchases can have a MAC field.
    pub fn has_mac_field(&self) -> bool {
        self.origin.is_some()
    }

    /// The last purchase that the check site agreed to expect, whether it was made since or not.
    pub fn last(&self) -> Option<&OpenPurchase> {
        self.last.as_ref()
    }

    /// What is to be asked for, so that a wish can be fulfilled at a merchant with that form. The MAC field is used if
    /// the form has one (S2 cl. 14), and the card too.
    ///
    /// # Errors
    ///
    /// [`OrderError`] names what is missing for that.
    pub fn order(&self, wish: Wish, form: Form) -> Result<Order, OrderError> {
        let mode = Mode::for_form(form.mac_field && self.has_mac_field());
        Order::new(wish, mode)
    }

    /// What to put where, for the last purchase that the check site expects; none if there is none.
    ///
    /// # Errors
    ///
    /// [`EtsnExhausted`] if its number does not fit the MAC field; no such one is taken.
    pub fn fill_last(&self) -> Option<Result<Filled, EtsnExhausted>> {
        self.last.as_ref().map(|last| self.fill(last))
    }

    /// What to put where.
    pub(crate) fn fill(&self, open: &OpenPurchase) -> Result<Filled, EtsnExhausted> {
        let OpenPurchase { order, etsn, reference, expires_unix_s } = open;
        let macs = self.macs();
        let (expiry, mac_field) = match (order.field(), self.origin) {
            (Some((purchase, name)), Some(origin)) => {
                let mac = macs.field(self.version, *etsn, purchase);
                (self.expiry, Some(MacField::new(name, origin, *etsn, &mac)?))
            }
            // An order with a field is made only for a card that has one.
            _ => {
                let open = OpenEtsn { etsn: *etsn, version: self.version, reference: *reference };
                (macs.expiry_macs().expiry(&open).expose(), None)
            }
        };
        Ok(Filled { number: self.number.pan().clone(), expiry, mac_field, expires_unix_s: *expires_unix_s })
    }

    pub(crate) fn macs(&self) -> CardMacs {
        CardMacs::new(&self.key, self.number.clone())
    }
}

impl fmt::Debug for Card {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Card({}, {:?}, {:?})", self.id, self.number, self.tsn)
    }
}
