//! What wallets and the check site exchange, as text: dates without a stroke, MACs, points and wrapped keys.

use base64ct::{Base64UrlUnpadded, Encoding};
use mayfly_card::Expiry;
use mayfly_enrol::{POINT_BYTES, Point, WRAPPED_BYTES};

use crate::text::{About, Shown, Text};

/// A date as it enters a MAC: four digits, the month first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mmyy(pub Expiry);

/// A date as it enters a MAC.
pub type MacDate = Shown<Mmyy>;

impl Text for Mmyy {
    const ABOUT: About = About {
        name: "MacDate",
        what: "Month and year, as they enter a MAC.",
        pattern: Some("^(0[1-9]|1[0-2])[0-9]{2}$"),
        example: "0528",
        format: None,
    };

    fn show(&self) -> String {
        self.0.mmyy()
    }

    fn read(text: &str) -> Result<Self, String> {
        let four = Some(text).filter(|text| text.len() == 4);
        let date = four.and_then(|text| Expiry::parse_mmyy(text).ok());
        date.map(Self).ok_or_else(|| "must be month and year without a stroke: 0528 for example".to_owned())
    }
}

/// Sixteen bytes: a MAC, or a nonce.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Sixteen(pub [u8; 16]);

/// A MAC, or a nonce, in hexadecimal digits.
pub type HexBytes = Shown<Sixteen>;

// What proves a purchase is in no log.
impl std::fmt::Debug for Sixteen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sixteen(..)")
    }
}

impl Text for Sixteen {
    const ABOUT: About = About {
        name: "HexBytes",
        what: "Sixteen bytes in hexadecimal digits: a MAC, or a nonce.",
        pattern: Some("^[0-9a-fA-F]{32}$"),
        example: "3b2c1d0e0f1a2b3c4d5e6f708192a3b4",
        format: None,
    };

    fn show(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn read(text: &str) -> Result<Self, String> {
        let wrong = || "must be 32 hexadecimal digits".to_owned();
        if text.len() != 32 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return Err(wrong());
        }
        let mut bytes = [0; 16];
        for (at, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * at..2 * at + 2], 16).map_err(|_| wrong())?;
        }
        Ok(Self(bytes))
    }
}

/// One side's half of an enrolment.
pub type PointText = Shown<Point>;

impl Text for Point {
    const ABOUT: About = About {
        name: "Point",
        what: "A point of the curve P-256, uncompressed (65 bytes), in base64url without padding.",
        pattern: Some("^[A-Za-z0-9_-]{87}$"),
        example: "BGsX0fLhLEJH-Lzm5WOkQPJ3A32BLeszoPShOUXYmMKWT-NC4v4af5uO5-tKfA-eFivOM1drMV7Oy7ZAaDe_UfU",
        format: None,
    };

    fn show(&self) -> String {
        Base64UrlUnpadded::encode_string(self.bytes())
    }

    fn read(text: &str) -> Result<Self, String> {
        let wrong = || "must be a point of the curve P-256 in base64url without padding".to_owned();
        let mut bytes = [0; POINT_BYTES];
        match Base64UrlUnpadded::decode(text, &mut bytes) {
            Ok(decoded) if decoded.len() == POINT_BYTES => Self::parse(decoded).map_err(|_| wrong()),
            _ => Err(wrong()),
        }
    }
}

/// A card's key, wrapped for one wallet. Only with the secret half of that wallet's point it opens.
#[derive(Clone, Copy, Debug)]
pub struct Wrapped(pub [u8; WRAPPED_BYTES]);

/// A card's key, wrapped for one wallet.
pub type WrappedKey = Shown<Wrapped>;

impl Text for Wrapped {
    const ABOUT: About = About {
        name: "WrappedKey",
        what: "A card's key, wrapped for one wallet (AES-256-GCM, 32 bytes), in base64url without padding.",
        pattern: Some("^[A-Za-z0-9_-]{43}$"),
        example: "Xk2vAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        format: None,
    };

    fn show(&self) -> String {
        Base64UrlUnpadded::encode_string(&self.0)
    }

    fn read(text: &str) -> Result<Self, String> {
        let bytes = Base64UrlUnpadded::decode_vec(text).ok().and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or_else(|| "must be 32 bytes in base64url without padding".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_read_again_and_nothing_else_is() {
        let date = Mmyy(Expiry::parse_mmyy("0528").unwrap());
        assert_eq!((date.show().as_str(), Mmyy::read("0528")), ("0528", Ok(date)));
        for wrong in ["05/28", "528", "1328", "05280", "", "05é"] {
            assert!(Mmyy::read(wrong).is_err(), "{wrong}");
        }
        let mac = Sixteen([0xab; 16]);
        assert_eq!(Sixteen::read(&mac.show()), Ok(mac));
        assert_eq!(Sixteen::read(&"AB".repeat(16)), Ok(mac));
        assert_eq!(format!("{mac:?}"), "Sixteen(..)");
        for wrong in ["", "ab", &"g".repeat(32), &"+a".repeat(16), &"é".repeat(16)] {
            assert!(Sixteen::read(wrong).is_err(), "{wrong}");
        }
        let point = Point::read(Point::ABOUT.example).unwrap();
        assert_eq!(point.show(), Point::ABOUT.example);
        for wrong in ["", "AAAA", &"A".repeat(87), &format!("{}=", Point::ABOUT.example)] {
            assert!(Point::read(wrong).is_err(), "{wrong}");
        }
        assert_eq!(Wrapped::read(Wrapped::ABOUT.example).unwrap().show(), Wrapped::ABOUT.example);
        assert!(Wrapped::read("AAAA").is_err());
    }
}
