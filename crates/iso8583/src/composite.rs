//! Data elements that are made of several values: 90 and 95.

use std::fmt;

use crate::mti::Mti;

/// Original data elements (DE 90): the message that is to be reversed, as its sender knew it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OriginalData {
    mti: Mti,
    stan: u32,
    transmission_time: u64,
    acquirer: u64,
    forwarder: u64,
}

/// What is wrong with DE 90 or 95. It never holds the content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CompositeError {
    /// Not 42 characters.
    Length,
    /// This value is not made as the standard says, or does not fit its place.
    Value(&'static str),
}

impl fmt::Display for CompositeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length => f.write_str("is not 42 characters long"),
            Self::Value(name) => write!(f, "has a wrong {name}"),
        }
    }
}

impl std::error::Error for CompositeError {}

impl OriginalData {
    /// Puts the values together. Zero stands for what the sender does not know.
    ///
    /// # Errors
    ///
    /// [`CompositeError::Value`] if a number has too many digits: 6 for the STAN, 10 for the transmission
    /// time (MMDDhhmmss), 11 for acquirer and forwarder.
    pub fn new(
        mti: Mti,
        stan: u32,
        transmission_time: u64,
        acquirer: u64,
        forwarder: u64,
    ) -> Result<Self, CompositeError> {
        let bounded = [
            (u64::from(stan), 6, "STAN"),
            (transmission_time, 10, "transmission time"),
            (acquirer, 11, "acquirer"),
            (forwarder, 11, "forwarder"),
        ];
        match bounded.into_iter().find(|(value, digits, _)| *value >= 10_u64.pow(*digits)) {
            Some((_, _, name)) => Err(CompositeError::Value(name)),
            None => Ok(Self { mti, stan, transmission_time, acquirer, forwarder }),
        }
    }

    /// Reads the 42 digits of DE 90.
    ///
    /// # Errors
    ///
    /// If they are not 42 digits.
    pub fn parse(text: &str) -> Result<Self, CompositeError> {
        let mut fields = Fields::of_42(text)?;
        let mti = fields.next(4).and_then(Mti::parse).ok_or(CompositeError::Value("MTI"))?;
        let stan = fields.number(6, "STAN")?;
        Ok(Self {
            mti,
            // Six digits fit.
            stan: stan as u32,
            transmission_time: fields.number(10, "transmission time")?,
            acquirer: fields.number(11, "acquirer")?,
            forwarder: fields.number(11, "forwarder")?,
        })
    }

    /// The original's message type indicator.
    pub fn mti(&self) -> Mti {
        self.mti
    }

    /// The original's system trace audit number (DE 11).
    pub fn stan(&self) -> u32 {
        self.stan
    }

    /// The original's transmission date and time (DE 7), MMDDhhmmss read as a number.
    pub fn transmission_time(&self) -> u64 {
        self.transmission_time
    }

    /// The original's acquirer (DE 32) as a number, because DE 90 fills it up with zeros that DE 32 need not
    /// have.
    pub fn acquirer(&self) -> u64 {
        self.acquirer
    }

    /// The original's forwarding institution (DE 33) as a number.
    pub fn forwarder(&self) -> u64 {
        self.forwarder
    }
}

/// The 42 digits of DE 90.
impl fmt::Display for OriginalData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mti, stan, transmission_time, acquirer, forwarder } = self;
        write!(f, "{mti}{stan:06}{transmission_time:010}{acquirer:011}{forwarder:011}")
    }
}

/// Replacement amounts (DE 95): what was really spent, in a partial reversal.
///
/// Fees are positive if they are the cardholder's debit, negative if his credit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ReplacementAmounts {
    transaction: u64,
    settlement: u64,
    transaction_fee: i64,
    settlement_fee: i64,
}

impl ReplacementAmounts {
    /// Puts the amounts together, all in minor units.
    ///
    /// # Errors
    ///
    /// [`CompositeError::Value`] if an amount has more than 12 digits, or a fee more than 8.
    pub fn new(
        transaction: u64,
        settlement: u64,
        transaction_fee: i64,
        settlement_fee: i64,
    ) -> Result<Self, CompositeError> {
        let bounded = [
            (transaction, 12, "transaction amount"),
            (settlement, 12, "settlement amount"),
            (transaction_fee.unsigned_abs(), 8, "transaction fee"),
            (settlement_fee.unsigned_abs(), 8, "settlement fee"),
        ];
        match bounded.into_iter().find(|(value, digits, _)| *value >= 10_u64.pow(*digits)) {
            Some((_, _, name)) => Err(CompositeError::Value(name)),
            None => Ok(Self { transaction, settlement, transaction_fee, settlement_fee }),
        }
    }

    /// Reads the 42 characters of DE 95. A fee is C or D and eight digits; many senders write nine zeros for
    /// none.
    ///
    /// # Errors
    ///
    /// If they are not made so.
    pub fn parse(text: &str) -> Result<Self, CompositeError> {
        let mut fields = Fields::of_42(text)?;
        Ok(Self {
            transaction: fields.number(12, "transaction amount")?,
            settlement: fields.number(12, "settlement amount")?,
            transaction_fee: fields.fee("transaction fee")?,
            settlement_fee: fields.fee("settlement fee")?,
        })
    }

    /// The real amount of the transaction, in minor units of its currency.
    pub fn transaction(&self) -> u64 {
        self.transaction
    }

    /// The real amount of the settlement, in minor units of its currency; 0 if it is not said.
    pub fn settlement(&self) -> u64 {
        self.settlement
    }

    /// The real fee of the transaction.
    pub fn transaction_fee(&self) -> i64 {
        self.transaction_fee
    }

    /// The real fee of the settlement.
    pub fn settlement_fee(&self) -> i64 {
        self.settlement_fee
    }
}

/// The 42 characters of DE 95. No fee is nine zeros.
impl fmt::Display for ReplacementAmounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:012}{:012}", self.transaction, self.settlement)?;
        for fee in [self.transaction_fee, self.settlement_fee] {
            let sign = match fee {
                0 => '0',
                1.. => 'D',
                _ => 'C',
            };
            write!(f, "{sign}{:08}", fee.unsigned_abs())?;
        }
        Ok(())
    }
}

/// Takes a content apart.
struct Fields<'a>(&'a str);

impl<'a> Fields<'a> {
    fn of_42(text: &'a str) -> Result<Self, CompositeError> {
        if text.len() == 42 { Ok(Self(text)) } else { Err(CompositeError::Length) }
    }

    fn next(&mut self, len: usize) -> Option<&'a str> {
        let (next, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(next)
    }

    fn number(&mut self, digits: usize, name: &'static str) -> Result<u64, CompositeError> {
        let text = self.next(digits).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
        text.and_then(|text| text.parse().ok()).ok_or(CompositeError::Value(name))
    }

    fn fee(&mut self, name: &'static str) -> Result<i64, CompositeError> {
        let sign = self.next(1);
        let number = self.number(8, name)?.cast_signed();
        match (sign, number) {
            (Some("D"), number) => Ok(number),
            (Some("C"), number) => Ok(-number),
            (Some("0"), 0) => Ok(0),
            _ => Err(CompositeError::Value(name)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn original_data_is_read_as_written() {
        let text = "010000001711221356060000042393500000000000";
        let original = OriginalData::parse(text).unwrap();
        let same = OriginalData::new(Mti::AUTHORISATION_REQUEST, 17, 1_122_135_606, 423_935, 0);
        assert_eq!(Ok(original), same);
        assert_eq!(original.to_string(), text);
    }

    #[test]
    fn original_data_errors() {
        let value = |name| Err(CompositeError::Value(name));
        assert_eq!(OriginalData::parse(""), Err(CompositeError::Length));
        let whole = "0".repeat(42);
        for (at, name) in
            [(0, "MTI"), (4, "STAN"), (10, "transmission time"), (20, "acquirer"), (31, "forwarder")]
        {
            let mut text = whole.clone();
            text.replace_range(at..=at, "+");
            assert_eq!(OriginalData::parse(&text), value(name));
        }
        assert_eq!(OriginalData::parse(&format!("010{}", "é".repeat(19) + "0")), value("MTI"));
        let mti = Mti::AUTHORISATION_REQUEST;
        assert_eq!(OriginalData::new(mti, 1_000_000, 0, 0, 0), value("STAN"));
        assert_eq!(OriginalData::new(mti, 0, 10_000_000_000, 0, 0), value("transmission time"));
        assert_eq!(OriginalData::new(mti, 0, 0, 100_000_000_000, 0), value("acquirer"));
        assert_eq!(OriginalData::new(mti, 0, 0, 0, 100_000_000_000), value("forwarder"));
    }

    #[test]
    fn replacement_amounts_are_read_as_written() {
        let text = "000000001500000000001400D00000012C00000003";
        let amounts = ReplacementAmounts::parse(text).unwrap();
        assert_eq!(Ok(amounts), ReplacementAmounts::new(1_500, 1_400, 12, -3));
        assert_eq!(amounts.to_string(), text);
        let zeros = "0".repeat(42);
        assert_eq!(ReplacementAmounts::parse(&zeros), Ok(ReplacementAmounts::default()));
        assert_eq!(ReplacementAmounts::default().to_string(), zeros);
    }

    #[test]
    fn replacement_amounts_errors() {
        let value = |name| Err(CompositeError::Value(name));
        assert_eq!(ReplacementAmounts::parse("1"), Err(CompositeError::Length));
        let cases = [
            (0, "x", "transaction amount"),
            (12, "x", "settlement amount"),
            (24, "E", "transaction fee"),
            (33, "1", "settlement fee"),
            (41, "1", "settlement fee"),
        ];
        for (at, with, name) in cases {
            let mut text = "0".repeat(42);
            text.replace_range(at..=at, with);
            assert_eq!(ReplacementAmounts::parse(&text), value(name), "{at}");
        }
        assert_eq!(ReplacementAmounts::new(1_000_000_000_000, 0, 0, 0), value("transaction amount"));
        assert_eq!(ReplacementAmounts::new(0, 1_000_000_000_000, 0, 0), value("settlement amount"));
        assert_eq!(ReplacementAmounts::new(0, 0, 100_000_000, 0), value("transaction fee"));
        assert_eq!(ReplacementAmounts::new(0, 0, 0, i64::MIN), value("settlement fee"));
    }
}
