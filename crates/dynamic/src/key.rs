//! A card's key: made by the process that its number names, or refused.

use std::fmt;

use mayfly_card::Pan;
use mayfly_keys::{CardKeyring, KeyVersion, KeyringError, MacKey, SecretKey, VersionError, with_share};

use crate::number::{CardNumber, ControlDigit, NumberRefusal, SpecialBin};

/// The key of one card, 16 bytes: no readable `Debug`, wiped on drop.
pub struct CardKey(SecretKey<16>);

/// What the conversion table says of a card: all that its key follows from.
#[derive(Clone, Copy, Debug)]
pub struct Enrolment<'a> {
    /// The card's own number.
    pub pan: &'a Pan,
    /// The process by which its key was made when it was enrolled; none for a card without a pseudo number.
    pub digit: Option<ControlDigit>,
    /// The version of the keys that it was made from.
    pub version: KeyVersion,
    /// What is stored with the card itself.
    pub material: KeyMaterial<'a>,
}

/// What is stored with a card, sealed, towards its key. It was opened for this request.
#[derive(Clone, Copy, Debug)]
pub enum KeyMaterial<'a> {
    /// Nothing: the key is derived.
    None,
    /// The key itself, drawn at random (process 3).
    Stored(&'a SecretKey<16>),
    /// The share of which the cardholder's software made its key (S1 cl. 3).
    Share(&'a SecretKey<16>),
}

impl CardKey {
    /// The key of a card that presents `number`, as its enrolment says. The number's control digit must be that of the
    /// enrolment, and enabled for the BIN; a version that is retired is refused.
    ///
    /// # Errors
    ///
    /// [`KeyRefusal`], for the record: whoever presents the number is told nothing of it.
    pub fn of(
        ring: &CardKeyring,
        bin: &SpecialBin,
        number: &CardNumber,
        enrolment: &Enrolment<'_>,
    ) -> Result<Self, KeyRefusal> {
        bin.check(number)?;
        let digit = number.control_digit();
        if digit != enrolment.digit {
            return Err(KeyRefusal::OtherProcess);
        }
        let base = ring.base(enrolment.version, bin.bin.digits())?;
        let (pseudo, pan) = (number.pan().digits(), enrolment.pan.digits());
        Ok(Self(match (digit, enrolment.material) {
            (Some(ControlDigit::OfNumber), KeyMaterial::None) => base.of_number(pseudo),
            (Some(ControlDigit::OfNumberAndBin), KeyMaterial::None) => base.of_number_and_bin(pseudo),
            (Some(ControlDigit::OfPanAndNumber), KeyMaterial::None) => base.of_pan_and_number(pan, pseudo),
            (Some(ControlDigit::Stored), KeyMaterial::Stored(key)) => key.clone(),
            (None, KeyMaterial::None | KeyMaterial::Share(_)) if pseudo != pan => {
                return Err(KeyRefusal::OtherCard);
            }
            (None, KeyMaterial::None) => base.of_pan(pan),
            (None, KeyMaterial::Share(share)) => with_share(&base.of_pan(pan), share),
            _ => return Err(KeyRefusal::OtherMaterial),
        }))
    }

    /// A key that stands elsewhere: that was drawn for a card of process 3, or that a wallet has kept.
    pub fn from_secret(key: SecretKey<16>) -> Self {
        Self(key)
    }

    /// The key that the cardholder's software makes of this one and the share (S1 cl. 3).
    #[must_use]
    pub fn with_share(&self, share: &SecretKey<16>) -> Self {
        Self(with_share(&self.0, share))
    }

    /// The key's bytes: for the enrolment that takes them to the cardholder's software, sealed, and for that to keep
    /// them, sealed. Nowhere else.
    pub fn expose(&self) -> &SecretKey<16> {
        &self.0
    }

    pub(crate) fn prepare(&self) -> MacKey {
        self.0.to_mac_key()
    }
}

impl fmt::Debug for CardKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CardKey(..)")
    }
}

/// Why a card has no key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyRefusal {
    /// The number is none of the BIN, or its process is not enabled.
    Number(NumberRefusal),
    /// The number's control digit is not that of the card's enrolment.
    OtherProcess,
    /// A number that is a card's own is not that of the enrolment.
    OtherCard,
    /// What is stored with the card does not fit its process.
    OtherMaterial,
    /// The version of the keys is retired, or unknown.
    Version(VersionError),
    /// The keys of the version, or of the BIN in it, are not there.
    Keyring(KeyringError),
}

impl From<NumberRefusal> for KeyRefusal {
    fn from(refusal: NumberRefusal) -> Self {
        Self::Number(refusal)
    }
}

impl From<KeyringError> for KeyRefusal {
    fn from(error: KeyringError) -> Self {
        match error {
            KeyringError::Version(error) => Self::Version(error),
            other => Self::Keyring(other),
        }
    }
}

impl fmt::Display for KeyRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(refusal) => refusal.fmt(f),
            Self::OtherProcess => {
                f.write_str("the number's control digit is not that of the card's enrolment")
            }
            Self::OtherCard => f.write_str("the number is not that of the card's enrolment"),
            Self::OtherMaterial => f.write_str("what is stored with the card does not fit its key process"),
            Self::Version(error) => error.fmt(f),
            Self::Keyring(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for KeyRefusal {}
