//! The Luhn check digit of ISO/IEC 7812-1, annex B. It finds slips of the finger; it adds no security.

/// What each digit counts when it is doubled: twice its value, its two digits added.
const DOUBLED: [u8; 10] = [0, 2, 4, 6, 8, 1, 3, 5, 7, 9];

/// The check digit (an ASCII digit) that follows `payload`, which must be ASCII digits.
///
/// Bytes that are no digits count by their low bits: callers parse first.
pub fn check_digit(payload: &[u8]) -> u8 {
    let sum = payload.iter().rev().enumerate().fold(0u32, |sum, (position, byte)| {
        let digit = usize::from(byte.wrapping_sub(b'0') % 10);
        sum + if position % 2 == 0 { u32::from(DOUBLED[digit]) } else { digit as u32 }
    });
    // The remainder is below ten, so it fits a byte.
    b'0' + ((10 - sum % 10) % 10) as u8
}

/// Whether the last of `digits` is the check digit of those before it.
pub fn is_valid(digits: &[u8]) -> bool {
    match digits.split_last() {
        Some((last, payload)) => check_digit(payload) == *last,
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// `7992739871` is the worked example of ISO/IEC 7812-1; the others stand in `mayfly/v1`'s vectors.
    #[test]
    fn known_answers() {
        assert_eq!(check_digit(b"7992739871"), b'3');
        assert_eq!(check_digit(b"411111111111111"), b'1');
        assert_eq!(check_digit(b"456940936011052"), b'0');
        assert!(!is_valid(b""));
    }

    proptest! {
        #[test]
        fn every_single_wrong_digit_is_found(payload in "[0-9]{1,18}", at in 0usize..19, add in 1u8..10) {
            let mut digits = payload.into_bytes();
            digits.push(check_digit(&digits));
            prop_assert!(is_valid(&digits));
            let at = at % digits.len();
            digits[at] = b'0' + (digits[at] - b'0' + add) % 10;
            prop_assert!(!is_valid(&digits));
        }
    }
}
