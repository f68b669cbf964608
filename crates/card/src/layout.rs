//! How the digits of a number are divided: a layout is a value, not code.
//!
//! `network | issuer | holder | transaction id | MAC | check digit`, each of a width of its own, any of the
//! middle ones empty. The layout of the first claims of S0 is 1+4+0+10+0+1, that of its figure 1 is
//! 1+4+4+0+6+1, and a programme's usual one is a prefix of six digits and nine that are drawn.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Ascii, Pan, PanError};

/// The widths of a number's fields, in digits. The last digit is always the check digit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Layout {
    network: u8,
    issuer: u8,
    holder: u8,
    transaction: u8,
    mac: u8,
    radix: u8,
}

/// Why widths are no layout, or digits don't fit one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayoutError {
    /// The fields and the check digit don't add up to 12 to 19 digits.
    Length {
        /// What they add up to.
        digits: usize,
    },
    /// Nothing is left to draw: neither a transaction id nor a MAC.
    NothingFree,
    /// More free digits than a 64-bit number holds: at most 18.
    TooManyFree,
    /// A field was given with another number of digits than the layout says.
    Width {
        /// The field's name.
        field: &'static str,
        /// How many digits it must have.
        expected: u8,
    },
    /// Something that is no digit.
    NotDigits,
    /// A number's length is not the layout's.
    NumberLength,
    /// Free digits can be drawn to base 2 to 10: a card number has no other digits.
    Radix,
}

impl fmt::Display for LayoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length { digits } => {
                write!(f, "the fields add up to {digits} digits; a number has 12 to 19")
            }
            Self::NothingFree => {
                f.write_str("the layout leaves no digit free to draw; widen the transaction id")
            }
            Self::TooManyFree => f.write_str("the layout has more than 18 free digits"),
            Self::Width { field, expected } => write!(f, "the {field} must have {expected} digits"),
            Self::NotDigits => f.write_str("only digits are allowed"),
            Self::Radix => f.write_str("the radix of the free digits must be 2 to 10"),
            Self::NumberLength => f.write_str("the number's length is not that of the layout"),
        }
    }
}

impl std::error::Error for LayoutError {}

/// A number divided by its layout.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fields<'a> {
    /// Names the payment system.
    pub network: &'a str,
    /// Names the issuer within it.
    pub issuer: &'a str,
    /// Names the cardholder, where the layout has that.
    pub holder: &'a str,
    /// What makes the number one of its own.
    pub transaction: &'a str,
    /// A MAC of the purchase, where the layout has that.
    pub mac: &'a str,
    /// The check digit.
    pub check: &'a str,
}

impl fmt::Debug for Fields<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fields({}{}…)", self.network, self.issuer)
    }
}

impl Layout {
    /// Six digits of prefix and nine that are drawn: 16 with the check digit.
    pub const DEFAULT: Self = Self { network: 1, issuer: 5, holder: 0, transaction: 9, mac: 0, radix: 10 };
    /// Figure 6 of S3: network, four digits of issuer, ten of transaction id.
    pub const REGISTERED: Self =
        Self { network: 1, issuer: 4, holder: 0, transaction: 10, mac: 0, radix: 10 };

    /// From the widths of its fields.
    pub fn new(network: u8, issuer: u8, holder: u8, transaction: u8, mac: u8) -> Result<Self, LayoutError> {
        let layout = Self { network, issuer, holder, transaction, mac, radix: 10 };
        let digits =
            [network, issuer, holder, transaction, mac].into_iter().map(usize::from).sum::<usize>() + 1;
        if !(Pan::LENGTH_MIN..=Pan::LENGTH_MAX).contains(&digits) {
            return Err(LayoutError::Length { digits });
        }
        match layout.free_digits() {
            0 => Err(LayoutError::NothingFree),
            19.. => Err(LayoutError::TooManyFree),
            _ => Ok(layout),
        }
    }

    /// The same layout, its free digits written to another base: with 8, only 0 to 7 are drawn.
    pub fn with_radix(self, radix: u8) -> Result<Self, LayoutError> {
        if (2..=10).contains(&radix) { Ok(Self { radix, ..self }) } else { Err(LayoutError::Radix) }
    }

    /// From `1+5+0+9+0`: network, issuer, holder, transaction id, MAC; the check digit goes without saying.
    /// A radix other than 10 follows a slash: `1+5+0+9+0/8`.
    pub fn parse(text: &str) -> Result<Self, LayoutError> {
        let (text, radix) = text.split_once('/').unwrap_or((text, "10"));
        let radix = radix.trim().parse().map_err(|_| LayoutError::Radix)?;
        let mut widths = [0u8; 5];
        let mut parts = text.split('+');
        for width in &mut widths {
            let part =
                parts.next().ok_or(LayoutError::Width { field: "layout (five widths)", expected: 5 })?;
            *width = part.trim().parse().map_err(|_| LayoutError::NotDigits)?;
        }
        if parts.next().is_some() {
            return Err(LayoutError::Width { field: "layout (five widths)", expected: 5 });
        }
        let [network, issuer, holder, transaction, mac] = widths;
        Self::new(network, issuer, holder, transaction, mac)?.with_radix(radix)
    }

    /// How many digits a number has, the check digit included.
    pub fn length(&self) -> usize {
        usize::from(self.prefix_digits()) + usize::from(self.free_digits()) + 1
    }

    /// How many digits are fixed for an issuer: network and issuer.
    pub fn prefix_digits(&self) -> u8 {
        self.network + self.issuer
    }

    /// How many digits are between the prefix and the check digit.
    pub fn free_digits(&self) -> u8 {
        self.holder + self.transaction + self.mac
    }

    /// How many digits name the cardholder.
    pub fn holder_digits(&self) -> u8 {
        self.holder
    }

    /// How many different numbers one prefix has: the radix to the number of free digits.
    pub fn numbers(&self) -> u64 {
        // At most 18 digits to base 10, by construction.
        u64::from(self.radix).pow(u32::from(self.free_digits()))
    }

    /// The number of this layout with that prefix whose free digits are `free` (reduced to their number).
    pub fn number(&self, prefix: &Prefix, free: u64) -> Result<Pan, LayoutError> {
        if prefix.as_str().len() != usize::from(self.prefix_digits()) {
            return Err(LayoutError::Width { field: "prefix", expected: self.prefix_digits() });
        }
        self.numbered(prefix.as_str().as_bytes(), free)
    }

    /// The number of this layout with that prefix and these holder digits, whose other free digits are `free`
    /// (reduced to their number).
    pub fn number_of(&self, prefix: &Prefix, holder: &[u8], free: u64) -> Result<Pan, LayoutError> {
        let parts =
            [("prefix", prefix.as_str().as_bytes(), self.prefix_digits()), ("holder", holder, self.holder)];
        let mut head = zeroize::Zeroizing::new(Vec::with_capacity(Pan::LENGTH_MAX));
        for (field, digits, expected) in parts {
            if digits.len() != usize::from(expected) {
                return Err(LayoutError::Width { field, expected });
            }
            head.extend_from_slice(digits);
        }
        self.numbered(&head, free)
    }

    /// The number that begins with `head`, whose other digits are `free`, reduced to their number.
    fn numbered(&self, head: &[u8], free: u64) -> Result<Pan, LayoutError> {
        let mut digits = [0u8; Pan::LENGTH_MAX];
        let end = self.length() - 1;
        digits[..head.len()].copy_from_slice(head);
        let mut rest = free;
        for digit in digits[head.len()..end].iter_mut().rev() {
            // Below ten, by the bound on the radix.
            *digit = b'0' + (rest % u64::from(self.radix)) as u8;
            rest /= u64::from(self.radix);
        }
        let pan = Pan::with_check_digit(&digits[..end]);
        zeroize::Zeroize::zeroize(&mut digits);
        pan.map_err(|error| match error {
            PanError::Length => LayoutError::Length { digits: end + 1 },
            PanError::NotDigits | PanError::CheckDigit => LayoutError::NotDigits,
        })
    }

    /// The number of this layout with these fields, the check digit computed.
    pub fn assemble(&self, fields: &Fields<'_>) -> Result<Pan, LayoutError> {
        let parts = [
            ("network", fields.network, self.network),
            ("issuer", fields.issuer, self.issuer),
            ("holder", fields.holder, self.holder),
            ("transaction id", fields.transaction, self.transaction),
            ("MAC", fields.mac, self.mac),
        ];
        let mut payload = String::with_capacity(Pan::LENGTH_MAX);
        for (field, text, expected) in parts {
            if text.len() != usize::from(expected) {
                return Err(LayoutError::Width { field, expected });
            }
            payload.push_str(text);
        }
        Pan::with_check_digit(&payload).map_err(|_| LayoutError::NotDigits)
    }

    /// Divides a number by this layout.
    pub fn split<'a>(&self, pan: &'a Pan) -> Result<Fields<'a>, LayoutError> {
        self.split_digits(pan.as_str())
    }

    /// Divides digits by this layout, whether or not their check digit is right.
    pub fn split_digits<'a>(&self, digits: &'a str) -> Result<Fields<'a>, LayoutError> {
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(LayoutError::NotDigits);
        }
        if digits.len() != self.length() {
            return Err(LayoutError::NumberLength);
        }
        let mut rest = digits;
        let mut take = |width: u8| {
            let (head, tail) = rest.split_at(usize::from(width));
            rest = tail;
            head
        };
        Ok(Fields {
            network: take(self.network),
            issuer: take(self.issuer),
            holder: take(self.holder),
            transaction: take(self.transaction),
            mac: take(self.mac),
            check: take(1),
        })
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{}+{}+{}+{}", self.network, self.issuer, self.holder, self.transaction, self.mac)?;
        if self.radix == 10 { Ok(()) } else { write!(f, "/{}", self.radix) }
    }
}

/// The digits at which all numbers of a programme begin: network and issuer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Prefix(Ascii<14>);

impl Prefix {
    /// Parses 2 to 14 digits.
    pub fn parse(text: &str) -> Result<Self, LayoutError> {
        if !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(LayoutError::NotDigits);
        }
        if text.len() < 2 {
            return Err(LayoutError::Width { field: "prefix (at least)", expected: 2 });
        }
        Ascii::parse(text)
            .map(Self)
            .map_err(|_| LayoutError::Width { field: "prefix (at most)", expected: 14 })
    }

    /// The digits.
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// Whether a number begins with it.
    pub fn leads(&self, digits: &[u8]) -> bool {
        digits.starts_with(self.as_str().as_bytes())
    }

    /// Whether one of the two begins with the other, so that a number could belong to both.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.as_str().starts_with(other.as_str()) || other.as_str().starts_with(self.as_str())
    }

    /// The first six digits, for which keys are derived; filled with zeros on the right where it is shorter.
    pub fn bin(&self) -> [u8; 6] {
        let mut bin = [b'0'; 6];
        let digits = &self.as_str().as_bytes()[..self.as_str().len().min(6)];
        bin[..digits.len()].copy_from_slice(digits);
        bin
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::luhn;
    use proptest::prelude::*;

    /// A52: nine digits of prefix are kept, and the printed number splits as the seed says though its check
    /// digit is wrong.
    #[test]
    fn a52_the_printed_number_splits() {
        let layout = Layout::new(1, 8, 0, 6, 0).unwrap();
        let fields = layout.split_digits("4569409360110523").unwrap();
        assert_eq!([fields.network, fields.issuer].concat(), "456940936");
        assert_eq!([fields.transaction, fields.check].concat(), "0110523");
        assert!(!luhn::is_valid(b"4569409360110523"));
        let prefix = Prefix::parse("456940936").unwrap();
        let made = layout.number(&prefix, 11_052).unwrap();
        assert!(prefix.leads(made.digits()) && luhn::is_valid(made.digits()));
    }

    #[test]
    fn widths_that_make_no_number_are_refused() {
        assert_eq!(Layout::new(1, 5, 0, 4, 0), Err(LayoutError::Length { digits: 11 }));
        assert_eq!(Layout::new(1, 14, 0, 0, 0), Err(LayoutError::NothingFree));
        assert_eq!(
            Layout::parse("1+5+0+9"),
            Err(LayoutError::Width { field: "layout (five widths)", expected: 5 })
        );
        assert_eq!(Layout::parse("1+5+0+9+0"), Ok(Layout::DEFAULT));
    }

    proptest! {
        /// A17 and A18: whatever the layout, the prefix is kept, the check digit right, and the fields come back.
        #[test]
        fn a17_a18_numbers_of_any_layout_split_back(
            network in 1u8..3, issuer in 1u8..8, holder in 0u8..5, transaction in 1u8..11, radix in 2u8..11, free: u64,
        ) {
            let Ok(layout) = Layout::new(network, issuer, holder, transaction, 0) else { return Ok(()) };
            let layout = layout.with_radix(radix).unwrap();
            prop_assert_eq!(Layout::parse(&layout.to_string()), Ok(layout));
            let digits = "4569409360".repeat(2);
            let prefix = Prefix::parse(&digits[..usize::from(layout.prefix_digits())]).unwrap();
            let pan = layout.number(&prefix, free).unwrap();
            prop_assert_eq!(pan.length(), layout.length());
            prop_assert!(prefix.leads(pan.digits()));
            let fields = layout.split(&pan).unwrap();
            prop_assert_eq!(layout.assemble(&fields).unwrap(), pan.clone());
            let drawn = u64::from_str_radix(&[fields.holder, fields.transaction].concat(), radix.into()).unwrap();
            prop_assert_eq!(drawn, free % layout.numbers());
        }
    }
}
