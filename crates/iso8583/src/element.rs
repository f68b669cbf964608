//! The number of a data element.

use std::fmt;

/// The number of a data element (DE), 2 to 128.
///
/// Number 1 is missing on purpose: it announces the secondary bitmap and carries nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct De(u8);

impl De {
    /// The data element with this number, if there is one.
    pub const fn new(number: u8) -> Option<Self> {
        if number >= 2 && number <= 128 { Some(Self(number)) } else { None }
    }

    /// The number, 2 to 128.
    pub const fn number(self) -> u8 {
        self.0
    }

    /// Whether the secondary bitmap announces this data element.
    pub const fn in_secondary_bitmap(self) -> bool {
        self.0 > 64
    }

    /// The element's bit: the highest bit of both bitmaps together is data element 1.
    pub(crate) const fn bit(self) -> u128 {
        1 << (128 - self.0)
    }

    /// The element's place in an array that begins with data element 1.
    pub(crate) const fn index(self) -> usize {
        self.0 as usize - 1
    }
}

/// The elements of a bitmap, in the order in which they follow each other on the wire.
#[derive(Clone, Debug)]
pub struct Elements(u128);

impl Elements {
    pub(crate) fn of(bitmap: u128) -> Self {
        Self(bitmap & !SECONDARY)
    }
}

/// The bit of data element 1, which announces the secondary bitmap.
pub(crate) const SECONDARY: u128 = 1 << 127;

impl Iterator for Elements {
    type Item = De;

    fn next(&mut self) -> Option<De> {
        // At most 127, because the zero case has been answered before.
        let before = if self.0 == 0 { return None } else { self.0.leading_zeros() as u8 };
        let element = De(before + 1);
        self.0 &= !element.bit();
        Some(element)
    }
}

impl fmt::Debug for De {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for De {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DE {}", self.0)
    }
}

/// The data elements that have a name in this project, by that name.
impl De {
    /// 2, primary account number.
    pub const PAN: Self = Self(2);
    /// 3, processing code.
    pub const PROCESSING_CODE: Self = Self(3);
    /// 4, amount of the transaction in minor units.
    pub const AMOUNT: Self = Self(4);
    /// 7, transmission date and time, MMDDhhmmss in UTC.
    pub const TRANSMISSION_TIME: Self = Self(7);
    /// 11, system trace audit number.
    pub const STAN: Self = Self(11);
    /// 12, local time of the transaction, hhmmss.
    pub const LOCAL_TIME: Self = Self(12);
    /// 13, local date of the transaction, MMDD.
    pub const LOCAL_DATE: Self = Self(13);
    /// 14, expiration date, YYMM.
    pub const EXPIRATION_DATE: Self = Self(14);
    /// 15, settlement date, MMDD.
    pub const SETTLEMENT_DATE: Self = Self(15);
    /// 18, merchant category code.
    pub const MCC: Self = Self(18);
    /// 19, country of the acquirer.
    pub const ACQUIRER_COUNTRY: Self = Self(19);
    /// 22, point of service entry mode.
    pub const POS_ENTRY_MODE: Self = Self(22);
    /// 23, card sequence number.
    pub const CARD_SEQUENCE: Self = Self(23);
    /// 25, point of service condition code.
    pub const POS_CONDITION: Self = Self(25);
    /// 32, acquirer.
    pub const ACQUIRER: Self = Self(32);
    /// 33, forwarding institution.
    pub const FORWARDER: Self = Self(33);
    /// 35, track 2.
    pub const TRACK_2: Self = Self(35);
    /// 37, retrieval reference number.
    pub const RRN: Self = Self(37);
    /// 38, approval code.
    pub const APPROVAL_CODE: Self = Self(38);
    /// 39, response code.
    pub const RESPONSE_CODE: Self = Self(39);
    /// 41, terminal.
    pub const TERMINAL: Self = Self(41);
    /// 42, card acceptor.
    pub const CARD_ACCEPTOR: Self = Self(42);
    /// 43, card acceptor's name and location.
    pub const CARD_ACCEPTOR_NAME: Self = Self(43);
    /// 44, additional response data.
    pub const ADDITIONAL_RESPONSE: Self = Self(44);
    /// 48, additional data: sub-elements.
    pub const ADDITIONAL_DATA: Self = Self(48);
    /// 49, currency of the transaction, numeric.
    pub const CURRENCY: Self = Self(49);
    /// 52, PIN block.
    pub const PIN: Self = Self(52);
    /// 54, additional amounts.
    pub const ADDITIONAL_AMOUNTS: Self = Self(54);
    /// 55, chip data.
    pub const CHIP: Self = Self(55);
    /// 70, network management information code.
    pub const NETWORK_CODE: Self = Self(70);
    /// 90, original data elements.
    pub const ORIGINAL_DATA: Self = Self(90);
    /// 95, replacement amounts.
    pub const REPLACEMENT_AMOUNTS: Self = Self(95);
    /// 120, private: sub-elements.
    pub const PRIVATE: Self = Self(120);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_2_to_128_are_data_elements() {
        assert_eq!([0, 1, 129, 255].map(De::new), [None; 4]);
        assert_eq!(De::new(2), Some(De::PAN));
        assert_eq!(De::new(128).map(De::number), Some(128));
    }

    #[test]
    fn elements_come_in_the_order_of_the_wire() {
        let bits = De::PRIVATE.bit() | De::PAN.bit() | De(64).bit() | De(128).bit() | SECONDARY;
        let numbers: Vec<u8> = Elements::of(bits).map(De::number).collect();
        assert_eq!(numbers, [2, 64, 120, 128]);
    }
}
