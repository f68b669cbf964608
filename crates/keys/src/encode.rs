//! Length-prefixed encoding: what keeps two different lists of parts from becoming the same MAC input.

use core::fmt;

use crate::mac::MacState;

/// Appends `part` such that parts of any length and number stay apart: the length is one byte up to 254, and 255
/// followed by a u64 beyond.
pub(crate) fn update_part(state: &mut MacState<'_>, part: &[u8]) {
    match u8::try_from(part.len()) {
        Ok(length) if length < u8::MAX => state.update(&[length]),
        _ => {
            state.update(&[u8::MAX]);
            state.update(&(part.len() as u64).to_be_bytes());
        }
    }
    state.update(part);
}

/// Fills `out` from exactly as many hexadecimal digits as it takes.
pub(crate) fn decode_hex(digits: &[u8], out: &mut [u8]) -> Option<()> {
    if digits.len() != out.len() * 2 {
        return None;
    }
    for (pair, byte) in digits.chunks_exact(2).zip(out) {
        let high = char::from(pair[0]).to_digit(16)?;
        let low = char::from(pair[1]).to_digit(16)?;
        *byte = (high << 4 | low) as u8;
    }
    Some(())
}

/// Appends the bytes as hexadecimal digits. Reserve room for secrets first: growing would leave a copy behind.
pub(crate) fn push_hex(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from_digit(digit.into(), 16).unwrap_or('?'));
        }
    }
}

/// The longest part that [`lp`] can carry, in bytes.
pub const LP_BYTES_MAX: usize = 255;

/// `lp(part)` of profile `mayfly/v1`: one length byte, then the bytes.
///
/// # Errors
///
/// [`PartTooLong`] if `part` has more than [`LP_BYTES_MAX`] bytes.
pub fn lp(part: &[u8]) -> Result<Vec<u8>, PartTooLong> {
    let prefix = lp_prefix(part)?;
    let mut out = Vec::with_capacity(1 + part.len());
    out.push(prefix);
    out.extend_from_slice(part);
    Ok(out)
}

/// The length byte of `lp(number)`, for digits that were parsed before they came here.
pub(crate) fn number_prefix(number: &[u8]) -> [u8; 1] {
    assert!(number.len() <= LP_BYTES_MAX, "a card number of more than 255 digits passed the parser");
    [number.len() as u8]
}

/// The length byte of `lp(part)` alone, for callers that pass it and the part to a MAC without copying.
///
/// # Errors
///
/// [`PartTooLong`] if `part` has more than [`LP_BYTES_MAX`] bytes.
pub fn lp_prefix(part: &[u8]) -> Result<u8, PartTooLong> {
    u8::try_from(part.len()).map_err(|_| PartTooLong { bytes: part.len() })
}

/// A part is longer than one length byte can say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartTooLong {
    /// Length of the refused part in bytes.
    pub bytes: usize,
}

impl fmt::Display for PartTooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a part has {} bytes, at most {LP_BYTES_MAX} can be encoded; shorten it", self.bytes)
    }
}

impl std::error::Error for PartTooLong {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_its_length_and_its_bytes() {
        assert_eq!(lp(b"").unwrap(), [0]);
        assert_eq!(lp(b"541999").unwrap(), b"\x06541999");
        assert_eq!(lp(&[7; 255]).unwrap().len(), 256);
    }

    #[test]
    fn what_one_byte_cannot_count_is_refused() {
        assert_eq!(lp(&[7; 256]), Err(PartTooLong { bytes: 256 }));
        assert!(PartTooLong { bytes: 256 }.to_string().contains("at most 255"));
    }
}
