//! A row of the conversion table: which card a number stands for, and what its key follows from.

use std::fmt;

use mayfly_card::{MonthIndex, Pan};
use mayfly_keys::{CardKeyring, KeyVersion, SecretKey};

use crate::key::{CardKey, Enrolment, KeyMaterial, KeyRefusal};
use crate::number::{CardNumber, ControlDigit, SpecialBin};

/// A row of the conversion table (S2 cl. 3a, 8): the number that merchants get, and the card behind it. Only the check
/// site has it; it is sealed wherever it lies, and wiped on drop.
#[derive(Clone)]
pub struct Conversion {
    /// The number that merchants get.
    pub number: CardNumber,
    /// The card's own number, by which the issuer knows it.
    pub pan: Pan,
    /// The card's real expiration date.
    pub expiry: MonthIndex,
    /// The version of the keys that its own was made from.
    pub version: KeyVersion,
    /// What is stored towards its key: the key itself where the number's process is 3, the share that its wallet made
    /// (S1 cl. 3) where the number is the card's own; nothing where the key is derived.
    pub secret: Option<SecretKey<16>>,
}

impl Conversion {
    /// The card's key.
    ///
    /// # Errors
    ///
    /// [`KeyRefusal`], for the record.
    pub fn key(&self, ring: &CardKeyring, bin: &SpecialBin) -> Result<CardKey, KeyRefusal> {
        let digit = self.number.control_digit();
        let material = match (&self.secret, digit) {
            (None, _) => KeyMaterial::None,
            (Some(key), Some(ControlDigit::Stored)) => KeyMaterial::Stored(key),
            (Some(share), _) => KeyMaterial::Share(share),
        };
        let enrolment = Enrolment { pan: &self.pan, digit, version: self.version, material };
        CardKey::of(ring, bin, &self.number, &enrolment)
    }
}

impl fmt::Debug for Conversion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Conversion({:?}, {})", self.number, self.version)
    }
}
