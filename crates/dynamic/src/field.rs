//! The MAC field: the accountholder authentication value (AAV) of 20 bytes, as cards' e-commerce authentication has used it.
//!
//! ```text
//! control (1) | SHA-1 of the merchant's name (first 8) | ACS (1) | method, key (4 bits each) | TSN u32 | MAC (5)
//! ```
//!
//! In a message it is 28 characters of base64.

use std::fmt;

use base64ct::{Base64, Encoding};
use mayfly_keys::Mac;
use serde::{Deserialize, Serialize};
use sha1::{Digest, Sha1};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::etsn::{Etsn, EtsnExhausted};

/// The first bytes of MACT: what the field has room for. No readable `Debug`, compared in constant time, wiped on
/// drop.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct FieldMac([u8; FieldMac::BYTES]);

impl FieldMac {
    /// Length in bytes: a guess hits with one in 2^40.
    pub const BYTES: usize = 5;

    pub(crate) fn of(mac: &Mac) -> Self {
        let [a, b, c, d, e, ..] = *mac.expose();
        Self([a, b, c, d, e])
    }

    /// From the bytes of a MAC that was computed elsewhere.
    pub fn from_bytes(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }
}

/// Who made the value, and how: what the field says beside the purchase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldOrigin {
    /// The access control server's id.
    pub acs: u8,
    /// How the cardholder was authenticated: 0 to 15.
    pub method: u8,
    /// Which key: 0 to 15.
    pub key: u8,
}

/// A MAC field. It proves a purchase until it was used, so it has no readable `Debug` and is wiped on drop.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct MacField {
    bytes: [u8; MacField::BYTES],
}

impl MacField {
    /// Length in bytes.
    pub const BYTES: usize = 20;
    /// Length in characters, as it travels.
    pub const CHARACTERS: usize = 28;
    /// The control byte: the only form that is known here.
    pub const CONTROL: u8 = 0x8C;

    const MERCHANT_AT: usize = 1;
    const ORIGIN_AT: usize = 9;
    const TSN_AT: usize = 11;
    const MAC_AT: usize = 15;

    /// The field of a purchase at a merchant with this name.
    ///
    /// # Errors
    ///
    /// [`EtsnExhausted`] if the ETSN has more than 32 bits; no such one is issued.
    pub fn new(
        merchant_name: &str,
        origin: FieldOrigin,
        etsn: Etsn,
        mac: &FieldMac,
    ) -> Result<Self, EtsnExhausted> {
        if etsn > Etsn::MAX {
            return Err(EtsnExhausted);
        }
        let mut bytes = [0; Self::BYTES];
        bytes[0] = Self::CONTROL;
        bytes[Self::MERCHANT_AT..Self::ORIGIN_AT].copy_from_slice(&merchant_digest(merchant_name));
        bytes[Self::ORIGIN_AT] = origin.acs;
        bytes[Self::ORIGIN_AT + 1] = origin.method << 4 | origin.key & 15;
        bytes[Self::TSN_AT..Self::MAC_AT].copy_from_slice(&etsn.low_bits().to_be_bytes());
        bytes[Self::MAC_AT..].copy_from_slice(&mac.0);
        Ok(Self { bytes })
    }

    /// Reads the 28 characters of base64.
    ///
    /// # Errors
    ///
    /// [`MacFieldError`] says what is wrong, without the characters.
    pub fn parse(text: &[u8]) -> Result<Self, MacFieldError> {
        if text.len() != Self::CHARACTERS {
            return Err(MacFieldError::Length { characters: text.len() });
        }
        let mut bytes = [0; Self::BYTES];
        let length = Base64::decode(text, &mut bytes).map_err(|_| MacFieldError::NotBase64)?.len();
        if length != Self::BYTES {
            return Err(MacFieldError::NotBase64);
        }
        if bytes[0] != Self::CONTROL {
            return Err(MacFieldError::OtherForm { control: bytes[0] });
        }
        Ok(Self { bytes })
    }

    /// The characters, as they travel. Call it where they leave, not before.
    pub fn text(&self) -> [u8; Self::CHARACTERS] {
        let mut text = [0; Self::CHARACTERS];
        let length = Base64::encode(&self.bytes, &mut text).map(str::len);
        assert_eq!(length, Ok(Self::CHARACTERS), "20 bytes are 28 characters of base64");
        text
    }

    /// Whether an ETSN can be the field's.
    pub fn is_of(&self, etsn: Etsn) -> bool {
        etsn <= Etsn::MAX && self.tsn() == etsn.low_bits()
    }

    /// The TSN that it carries: the low bits of its ETSN.
    pub fn tsn(&self) -> u32 {
        u32::from_be_bytes(self.array(Self::TSN_AT))
    }

    /// Who made it, and how.
    pub fn origin(&self) -> FieldOrigin {
        let [acs, method_and_key] = self.array(Self::ORIGIN_AT);
        FieldOrigin { acs, method: method_and_key >> 4, key: method_and_key & 15 }
    }

    /// Whether it was made for a merchant with this name.
    pub fn names(&self, merchant_name: &str) -> bool {
        self.array(Self::MERCHANT_AT) == merchant_digest(merchant_name)
    }

    /// Whether its MAC is this one; in constant time.
    pub fn verify(&self, mac: &FieldMac) -> bool {
        self.array::<{ FieldMac::BYTES }>(Self::MAC_AT).ct_eq(&mac.0).into()
    }

    fn array<const N: usize>(&self, at: usize) -> [u8; N] {
        let mut part = [0; N];
        part.copy_from_slice(&self.bytes[at..at + N]);
        part
    }
}

fn merchant_digest(name: &str) -> [u8; 8] {
    let digest: [u8; 20] = Sha1::digest(name.as_bytes()).into();
    let [a, b, c, d, e, f, g, h, ..] = digest;
    [a, b, c, d, e, f, g, h]
}

impl fmt::Debug for FieldMac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FieldMac(..)")
    }
}

impl fmt::Debug for MacField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MacField(..)")
    }
}

/// Why characters are no MAC field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MacFieldError {
    /// There are not 28.
    Length {
        /// How many there are.
        characters: usize,
    },
    /// They are no base64, or not that of 20 bytes.
    NotBase64,
    /// The control byte names another form.
    OtherForm {
        /// The control byte.
        control: u8,
    },
}

impl fmt::Display for MacFieldError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length { characters } => {
                write!(f, "a MAC field has {characters} characters instead of {}", MacField::CHARACTERS)
            }
            Self::NotBase64 => f.write_str("a MAC field is not 20 bytes in base64"),
            Self::OtherForm { control } => {
                write!(
                    f,
                    "a MAC field has the control byte {control:02x}; {:02x} is known",
                    MacField::CONTROL
                )
            }
        }
    }
}

impl std::error::Error for MacFieldError {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ORIGIN: FieldOrigin = FieldOrigin { acs: 1, method: 1, key: 1 };

    #[test]
    fn what_is_no_field_is_named() {
        let mac = FieldMac::from_bytes([1, 2, 3, 4, 5]);
        let text = MacField::new("M", ORIGIN, Etsn(9), &mac).unwrap().text();
        assert!(MacField::parse(&text).is_ok());
        let refused = |text: &[u8]| MacField::parse(text).err();
        assert_eq!(refused(b""), Some(MacFieldError::Length { characters: 0 }));
        assert_eq!(refused(&text[..27]), Some(MacFieldError::Length { characters: 27 }));
        assert_eq!(refused(&[b'?'; 28]), Some(MacFieldError::NotBase64));
        // 21 bytes.
        assert_eq!(refused(&[b'A'; 28]), Some(MacFieldError::NotBase64));
        let mut other = text;
        other[0] = b'A';
        assert_eq!(refused(&other), Some(MacFieldError::OtherForm { control: 0 }));
        assert_eq!(MacField::new("M", ORIGIN, Etsn(1 << 32), &mac).err(), Some(EtsnExhausted));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            name in ".{0,40}", acs: u8, method in 0u8..16, key in 0u8..16, tsn: u32, mac: [u8; 5], flip in 0usize..40,
        ) {
            let origin = FieldOrigin { acs, method, key };
            let etsn = Etsn(tsn.into());
            let mac = FieldMac::from_bytes(mac);
            let field = MacField::parse(&MacField::new(&name, origin, etsn, &mac).unwrap().text()).unwrap();
            prop_assert_eq!((field.origin(), field.tsn()), (origin, tsn));
            prop_assert!(field.is_of(etsn) && !field.is_of(Etsn(etsn.0 + (1 << 32))));
            prop_assert!(field.names(&name) && !field.names(&(name + " ")));
            prop_assert!(field.verify(&mac));
            let mut other = mac.clone();
            other.0[flip / 8] ^= 1 << (flip % 8);
            prop_assert!(!field.verify(&other));
        }

        #[test]
        fn any_characters_are_refused_without_a_panic(text in prop::collection::vec(any::<u8>(), 26..30)) {
            if let Ok(field) = MacField::parse(&text) {
                prop_assert_eq!(&field.text()[..], &text[..]);
            }
        }
    }
}
