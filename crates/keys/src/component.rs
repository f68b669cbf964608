//! A root key in two components, so that no single custodian ever knows it.
//!
//! Each custodian has 32 random bytes; the root key is their exclusive or, so that either alone says nothing of it. What
//! a custodian writes down and types again is hexadecimal, in groups of four digits, with the component's own check value
//! behind it.

use core::fmt;

use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

use crate::encode::{decode_hex, push_hex};
use crate::kdf::SecretKey;
use crate::opaque::opaque_debug;
use crate::random::{Random, RandomError};
use crate::root::{CheckValue, RootKey};

/// One of the two components of a root key; wiped on drop.
pub struct Component(SecretKey<{ RootKey::BYTES }>);

const DIGITS: usize = 2 * RootKey::BYTES;
const GROUP_DIGITS: usize = 4;
/// Longer than anything that a custodian types.
const TEXT_BYTES_MAX: usize = 256;

impl Component {
    /// Draws a component. Each is drawn by itself, where only its custodian sees it.
    ///
    /// # Errors
    ///
    /// [`RandomError`] if the generator fails.
    pub fn generate(random: &mut dyn Random) -> Result<Self, RandomError> {
        SecretKey::generate(random).map(Self)
    }

    /// Reads what a custodian types: 64 hexadecimal digits, of either case, with any spaces and hyphens, and the check
    /// value that he wrote down with them.
    ///
    /// # Errors
    ///
    /// [`ComponentError`] says what is wrong, without the digits.
    pub fn parse(text: &str, check_value: CheckValue) -> Result<Self, ComponentError> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(ComponentError::TooLong);
        }
        let mut digits = Zeroizing::new([0; DIGITS]);
        let mut count = 0;
        for (position, byte) in text.trim().bytes().enumerate() {
            match byte {
                b' ' | b'-' => continue,
                _ if !byte.is_ascii_hexdigit() => return Err(ComponentError::NotHexadecimal { position }),
                _ => {}
            }
            if let Some(digit) = digits.get_mut(count) {
                *digit = byte;
            }
            count += 1;
        }
        let mut bytes = Zeroizing::new([0; RootKey::BYTES]);
        if count != DIGITS || decode_hex(&*digits, &mut *bytes).is_none() {
            return Err(ComponentError::Length { digits: count });
        }
        let component = Self(SecretKey::from_bytes(&bytes));
        let found = component.check_value();
        if found == check_value {
            Ok(component)
        } else {
            Err(ComponentError::CheckValueDiffers { expected: check_value, found })
        }
    }

    /// What its custodian writes down: 16 groups of four hexadecimal digits. Show it to nobody else.
    pub fn text(&self) -> Zeroizing<String> {
        // Reserved whole at once: growing would leave a copy behind.
        let mut text = Zeroizing::new(String::with_capacity(DIGITS + DIGITS / GROUP_DIGITS));
        for group in self.0.expose().chunks(GROUP_DIGITS / 2) {
            if !text.is_empty() {
                text.push(' ');
            }
            push_hex(&mut text, group);
        }
        text
    }

    /// The component's own check value, as of a key. It is public.
    pub fn check_value(&self) -> CheckValue {
        CheckValue::of(&self.0.to_mac_key().mac(&[&CheckValue::MESSAGE]))
    }
}

impl RootKey {
    /// The root key of two components: their exclusive or.
    ///
    /// # Errors
    ///
    /// [`ComponentError::Same`] if one component was given twice, and [`ComponentError::Zero`] if one is all zeros: the
    /// key would be known to whoever looks at it, or to the other custodian.
    pub fn from_components(one: &Component, other: &Component) -> Result<Self, ComponentError> {
        let (one, other) = (one.0.expose(), other.0.expose());
        if one.ct_eq(other).into() {
            return Err(ComponentError::Same);
        }
        if [one, other].iter().any(|bytes| bytes.ct_eq(&[0; Self::BYTES]).into()) {
            return Err(ComponentError::Zero);
        }
        let mut bytes = *one;
        for (byte, of_other) in bytes.iter_mut().zip(other) {
            *byte ^= of_other;
        }
        let root = Self::from_bytes(&bytes);
        bytes.zeroize();
        Ok(root)
    }
}

opaque_debug!(Component);

/// Why a text is no component, or two are no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ComponentError {
    /// The text is longer than any component's.
    TooLong,
    /// A character is neither a hexadecimal digit nor a space or hyphen.
    NotHexadecimal {
        /// Where, from 0.
        position: usize,
    },
    /// There are not 64 digits.
    Length {
        /// How many there are.
        digits: usize,
    },
    /// The digits are not those that the check value was made for.
    CheckValueDiffers {
        /// The check value that was given.
        expected: CheckValue,
        /// The check value of the digits.
        found: CheckValue,
    },
    /// Both components are the same.
    Same,
    /// A component is all zeros.
    Zero,
}

impl fmt::Display for ComponentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "that is longer than a component, which has {DIGITS} digits"),
            Self::NotHexadecimal { position } => write!(
                f,
                "character {} of the component is no hexadecimal digit; type 0 to 9 and a to f",
                position + 1
            ),
            Self::Length { digits } => {
                write!(
                    f,
                    "the component has {digits} digits instead of {DIGITS}; type all {} groups",
                    DIGITS / 4
                )
            }
            Self::CheckValueDiffers { expected, found } => write!(
                f,
                "the digits have check value {found}, not {expected}: there is a mistake in them, or it is another \
                 custodian's check value"
            ),
            Self::Same => f.write_str("both components are the same; each custodian types his own"),
            Self::Zero => f.write_str("a component is all zeros; draw another"),
        }
    }
}

impl std::error::Error for ComponentError {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn component(bytes: [u8; 32]) -> Component {
        Component(SecretKey::from_bytes(&bytes))
    }

    /// The check values were generated with CMAC of the Python package `cryptography`.
    #[test]
    fn two_components_make_the_key_that_neither_is() {
        let one = component([0xA5; 32]);
        let other = component(core::array::from_fn(|at| at as u8 ^ 0xA5));
        assert_eq!(one.check_value().to_string(), "3df80c");
        assert_eq!(other.check_value().to_string(), "62c061");
        let root = RootKey::from_components(&one, &other).unwrap();
        assert_eq!(root.expose()[..], core::array::from_fn::<u8, 32, _>(|at| at as u8));
        // That of the profile's reference values.
        assert_eq!(root.check_value().to_string(), "377822");
        assert_eq!(RootKey::from_components(&other, &one).unwrap().expose(), root.expose());
    }

    #[test]
    fn components_that_would_tell_the_key_are_refused() {
        let one = component([0xA5; 32]);
        assert_eq!(RootKey::from_components(&one, &component([0xA5; 32])).err(), Some(ComponentError::Same));
        assert_eq!(RootKey::from_components(&one, &component([0; 32])).err(), Some(ComponentError::Zero));
        assert_eq!(RootKey::from_components(&component([0; 32]), &one).err(), Some(ComponentError::Zero));
    }

    #[test]
    fn every_slip_of_a_custodian_has_its_reason() {
        let one = component(core::array::from_fn(|at| at as u8));
        let (text, check) = (one.text(), one.check_value());
        assert_eq!(text.len(), 79);
        let refused = |text: &str| Component::parse(text, check).err();
        assert_eq!(refused(&text), None);
        assert_eq!(refused(&text.to_uppercase().replace(' ', "-")), None);
        assert_eq!(refused(&text.replace(' ', "")), None);
        assert_eq!(refused(""), Some(ComponentError::Length { digits: 0 }));
        assert_eq!(refused(&text[..78]), Some(ComponentError::Length { digits: 63 }));
        assert_eq!(refused(&format!("{}0", *text)), Some(ComponentError::Length { digits: 65 }));
        assert_eq!(refused(&text.replace('f', "x")), Some(ComponentError::NotHexadecimal { position: 38 }));
        assert_eq!(refused(&"0".repeat(257)), Some(ComponentError::TooLong));
        let found = match refused(&text.replace("0001", "0100")) {
            Some(ComponentError::CheckValueDiffers { expected, found }) if expected == check => found,
            other => panic!("{other:?}"),
        };
        assert_ne!(found, check);
    }

    proptest! {
        #[test]
        fn what_is_written_down_is_typed_again(one: [u8; 32], other: [u8; 32]) {
            let (one, other) = (component(one), component(other));
            let again = Component::parse(&one.text(), one.check_value()).unwrap();
            prop_assert_eq!(again.0.expose(), one.0.expose());
            if let Ok(root) = RootKey::from_components(&one, &other) {
                let both = one.0.expose().iter().zip(other.0.expose());
                prop_assert!(root.expose().iter().zip(both).all(|(root, (one, other))| *root == one ^ other));
            }
        }
    }
}
