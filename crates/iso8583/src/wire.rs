//! How characters, digits, bytes and lengths look on the wire: the independent axes of a dialect.

use crate::ebcdic;
use crate::error::ParseReason;

/// How the characters of a data element become bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// As they are. Bytes (attribute `b`) are hexadecimal text.
    Ascii,
    /// In code page 037. Bytes are hexadecimal text in it.
    Ebcdic,
    /// Two digits in a byte.
    Bcd,
    /// Bytes as they are.
    Raw,
}

/// How the number before a variable content looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Prefix {
    Ascii,
    Ebcdic,
    Bcd,
    /// Big-endian.
    Binary,
}

/// The nibble that fills the byte of an odd count of packed digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OddDigit {
    LeftZero,
    RightZero,
    RightF,
}

impl OddDigit {
    fn is_left(self) -> bool {
        self == Self::LeftZero
    }

    fn nibble(self) -> u8 {
        if self == Self::RightF { 0xf } else { 0 }
    }
}

impl Encoding {
    /// How many bytes this many characters take.
    pub(crate) fn wire_len(self, chars: usize) -> usize {
        match self {
            Self::Ascii | Self::Ebcdic => chars,
            Self::Bcd | Self::Raw => chars.div_ceil(2),
        }
    }

    /// Appends the ASCII characters of these bytes. What has no ASCII counterpart becomes a byte that no
    /// attribute allows.
    ///
    /// Only packed digits can fail: by their padding.
    pub(crate) fn decode(
        self,
        odd: OddDigit,
        chars: usize,
        wire: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), ParseReason> {
        match self {
            Self::Ascii => out.extend_from_slice(wire),
            Self::Ebcdic => out.extend(wire.iter().map(|byte| ebcdic::to_ascii(*byte))),
            Self::Raw => wire.iter().for_each(|byte| out.extend_from_slice(&hex_of(*byte))),
            Self::Bcd => decode_bcd(odd, chars, wire, out)?,
        }
        Ok(())
    }

    /// Appends the bytes of these ASCII characters, which the attribute allows.
    pub(crate) fn encode(self, odd: OddDigit, text: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Ascii => out.extend_from_slice(text),
            Self::Ebcdic => out.extend(text.iter().map(|byte| ebcdic::from_ascii(*byte))),
            Self::Raw => out.extend(pairs(text).map(|(high, low)| nibble_of(high) << 4 | nibble_of(low))),
            Self::Bcd => encode_bcd(odd, text, out),
        }
    }
}

/// Nibbles 0 to 9 are digits; the others become the track separators `:` to `?`, which attribute `n` refuses.
fn decode_bcd(odd: OddDigit, chars: usize, wire: &[u8], out: &mut Vec<u8>) -> Result<(), ParseReason> {
    let start = out.len();
    wire.iter().for_each(|byte| out.extend_from_slice(&[b'0' | byte >> 4, b'0' | byte & 0xf]));
    if chars % 2 == 1 {
        let padding = if odd.is_left() { out.remove(start) } else { out.pop().unwrap_or(0) };
        if padding != b'0' | odd.nibble() {
            return Err(ParseReason::OddDigit);
        }
    }
    Ok(())
}

fn encode_bcd(odd: OddDigit, text: &[u8], out: &mut Vec<u8>) {
    let mut text = text;
    if text.len() % 2 == 1 && odd.is_left() {
        out.push(odd.nibble() << 4 | packed(text[0]));
        text = &text[1..];
    }
    out.extend(pairs(text).map(|(high, low)| packed(high) << 4 | packed(low)));
    if let [last] = text.chunks_exact(2).remainder() {
        out.push(packed(*last) << 4 | odd.nibble());
    }
}

/// The nibble of a digit or a track separator.
fn packed(byte: u8) -> u8 {
    if byte == b'D' { 0xd } else { byte & 0xf }
}

/// Whole pairs only; what is left over is not in it.
fn pairs(text: &[u8]) -> impl Iterator<Item = (u8, u8)> {
    text.chunks_exact(2).map(|pair| (pair[0], pair[1]))
}

fn hex_of(byte: u8) -> [u8; 2] {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 0xf)]]
}

/// The value of a hexadecimal digit; 0 for what is none, which attributes keep out.
fn nibble_of(digit: u8) -> u8 {
    char::from(digit).to_digit(16).unwrap_or(0) as u8
}

impl Prefix {
    /// How many bytes a length of this many decimal digits takes.
    pub(crate) fn wire_len(self, digits: u8) -> usize {
        match self {
            Self::Ascii | Self::Ebcdic => usize::from(digits),
            Self::Bcd => usize::from(digits.div_ceil(2)),
            Self::Binary => usize::from(digits > 2) + 1,
        }
    }

    /// The length that these bytes say, if they are a number.
    pub(crate) fn decode(self, wire: &[u8]) -> Option<u16> {
        wire.iter().try_fold(0_u16, |length, byte| match self {
            Self::Ascii => Some(length * 10 + u16::from(decimal(*byte)?)),
            Self::Ebcdic => Some(length * 10 + u16::from(decimal(ebcdic::to_ascii(*byte))?)),
            Self::Bcd if byte >> 4 <= 9 && byte & 0xf <= 9 => {
                Some(length * 100 + u16::from(byte >> 4) * 10 + u16::from(byte & 0xf))
            }
            Self::Bcd => None,
            Self::Binary => Some(length << 8 | u16::from(*byte)),
        })
    }

    /// Appends a length, which the dialect has bounded to these digits.
    pub(crate) fn encode(self, digits: u8, length: u16, out: &mut Vec<u8>) {
        let decimal = [length / 1000 % 10, length / 100 % 10, length / 10 % 10, length % 10];
        let decimal = decimal.map(|digit| digit as u8);
        let from = 4 - usize::from(digits.min(4));
        match self {
            Self::Ascii => out.extend(decimal[from..].iter().map(|digit| b'0' + digit)),
            Self::Ebcdic => out.extend(decimal[from..].iter().map(|digit| 0xf0 + digit)),
            Self::Bcd => {
                let packed = [decimal[0] << 4 | decimal[1], decimal[2] << 4 | decimal[3]];
                out.extend_from_slice(&packed[2 - self.wire_len(digits).min(2)..]);
            }
            Self::Binary => out.extend_from_slice(&length.to_be_bytes()[2 - self.wire_len(digits)..]),
        }
    }
}

fn decimal(byte: u8) -> Option<u8> {
    byte.is_ascii_digit().then(|| byte - b'0')
}

/// How a bitmap looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BitmapEncoding {
    Raw,
    Hex,
    HexEbcdic,
}

impl BitmapEncoding {
    /// How many bytes one bitmap takes.
    pub(crate) fn wire_len(self) -> usize {
        if self == Self::Raw { 8 } else { 16 }
    }

    /// The 64 bits of these bytes, if they are a bitmap.
    pub(crate) fn decode(self, wire: &[u8]) -> Option<u64> {
        match self {
            Self::Raw => wire.try_into().ok().map(u64::from_be_bytes),
            Self::Hex => decode_hex(wire.iter().copied()),
            Self::HexEbcdic => decode_hex(wire.iter().map(|byte| ebcdic::to_ascii(*byte))),
        }
    }

    /// Appends a bitmap.
    pub(crate) fn encode(self, bits: u64, out: &mut Vec<u8>) {
        let bytes = bits.to_be_bytes();
        match self {
            Self::Raw => out.extend_from_slice(&bytes),
            Self::Hex => out.extend_from_slice(bytes.map(hex_of).as_flattened()),
            Self::HexEbcdic => {
                out.extend(bytes.map(hex_of).as_flattened().iter().map(|c| ebcdic::from_ascii(*c)))
            }
        }
    }
}

fn decode_hex(mut digits: impl Iterator<Item = u8>) -> Option<u64> {
    digits.try_fold(0_u64, |bits, digit| {
        char::from(digit).to_digit(16).map(|nibble| bits << 4 | u64::from(nibble))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bcd(odd: OddDigit, text: &str) -> Vec<u8> {
        let mut wire = Vec::new();
        Encoding::Bcd.encode(odd, text.as_bytes(), &mut wire);
        assert_eq!(wire.len(), Encoding::Bcd.wire_len(text.len()));
        let mut back = Vec::new();
        Encoding::Bcd.decode(odd, text.len(), &wire, &mut back).unwrap();
        assert_eq!(String::from_utf8(back).unwrap(), text.replace('D', "="));
        wire
    }

    #[test]
    fn packed_digits() {
        assert_eq!(bcd(OddDigit::LeftZero, "1234"), [0x12, 0x34]);
        assert_eq!(bcd(OddDigit::LeftZero, "123"), [0x01, 0x23]);
        assert_eq!(bcd(OddDigit::RightZero, "123"), [0x12, 0x30]);
        assert_eq!(bcd(OddDigit::RightF, "123"), [0x12, 0x3f]);
        assert_eq!(bcd(OddDigit::RightF, "1=2D3"), [0x1d, 0x2d, 0x3f]);
        assert_eq!(bcd(OddDigit::LeftZero, ""), []);
    }

    #[test]
    fn wrong_padding_is_refused() {
        for (odd, wire) in [(OddDigit::LeftZero, 0x11), (OddDigit::RightZero, 0x1f), (OddDigit::RightF, 0x10)]
        {
            assert_eq!(Encoding::Bcd.decode(odd, 1, &[wire], &mut Vec::new()), Err(ParseReason::OddDigit));
        }
    }

    #[test]
    fn lengths() {
        let cases: [(Prefix, u8, u16, &[u8]); 8] = [
            (Prefix::Ascii, 2, 16, b"16"),
            (Prefix::Ascii, 3, 16, b"016"),
            (Prefix::Ebcdic, 3, 999, &[0xf9, 0xf9, 0xf9]),
            (Prefix::Bcd, 2, 16, &[0x16]),
            (Prefix::Bcd, 3, 255, &[0x02, 0x55]),
            (Prefix::Binary, 2, 16, &[16]),
            (Prefix::Binary, 3, 255, &[0, 255]),
            (Prefix::Binary, 3, 999, &[3, 231]),
        ];
        for (prefix, digits, length, wire) in cases {
            let mut out = Vec::new();
            prefix.encode(digits, length, &mut out);
            assert_eq!(out, wire);
            assert_eq!(prefix.wire_len(digits), wire.len());
            assert_eq!(prefix.decode(wire), Some(length));
        }
        assert_eq!(Prefix::Ascii.decode(b"1x"), None);
        assert_eq!(Prefix::Ebcdic.decode(b"16"), None);
        assert_eq!(Prefix::Bcd.decode(&[0x1a]), None);
        assert_eq!(Prefix::Bcd.decode(&[0xa1]), None);
    }

    #[test]
    fn bitmaps() {
        for (encoding, wire) in [
            (BitmapEncoding::Raw, vec![0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef]),
            (BitmapEncoding::Hex, b"0123456789ABCDEF".to_vec()),
            (BitmapEncoding::HexEbcdic, b"0123456789ABCDEF".map(ebcdic::from_ascii).to_vec()),
        ] {
            let mut out = Vec::new();
            encoding.encode(0x0123_4567_89ab_cdef, &mut out);
            assert_eq!(out, wire);
            assert_eq!(out.len(), encoding.wire_len());
            assert_eq!(encoding.decode(&wire), Some(0x0123_4567_89ab_cdef));
        }
        assert_eq!(BitmapEncoding::Hex.decode(b"0123456789abcdef"), Some(0x0123_4567_89ab_cdef));
        assert_eq!(BitmapEncoding::Hex.decode(b"0123456789abcdeg"), None);
    }
}
