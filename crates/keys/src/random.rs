//! Randomness as an argument: the operating system's in production, a seeded one in tests.

use core::fmt;

/// A source of random bytes, passed in so that one seed can replay a whole run.
pub trait Random {
    /// Fills `out` with random bytes.
    ///
    /// # Errors
    ///
    /// [`RandomError`] if the source can't deliver; `out` must then not be used.
    fn fill(&mut self, out: &mut [u8]) -> Result<(), RandomError>;
}

impl<R: Random + ?Sized> Random for &mut R {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), RandomError> {
        (**self).fill(out)
    }
}

/// The operating system's generator (`getrandom(2)` on Linux).
#[derive(Clone, Copy, Debug, Default)]
pub struct OsRandom;

impl Random for OsRandom {
    fn fill(&mut self, out: &mut [u8]) -> Result<(), RandomError> {
        getrandom::fill(out).map_err(|error| RandomError::Unavailable { os_error: error.raw_os_error() })
    }
}

/// Why no random bytes were delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RandomError {
    /// The source failed; `os_error` is the operating system's error number where it gave one.
    Unavailable {
        /// The operating system's error number.
        os_error: Option<i32>,
    },
}

impl fmt::Display for RandomError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Unavailable { os_error } = self;
        f.write_str("the random generator delivered nothing")?;
        if let Some(number) = os_error {
            write!(f, " (operating system error {number})")?;
        }
        f.write_str("; check that the sandbox or container lets this process call getrandom")
    }
}

impl std::error::Error for RandomError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operating_system_delivers_different_bytes_each_time() {
        let (mut first, mut second) = ([0; 32], [0; 32]);
        OsRandom.fill(&mut first).unwrap();
        OsRandom.fill(&mut second).unwrap();
        assert_ne!(first, [0; 32]);
        assert_ne!(first, second);
    }

    #[test]
    fn the_error_says_what_failed_and_what_to_check() {
        let text = RandomError::Unavailable { os_error: Some(38) }.to_string();
        assert!(text.contains("operating system error 38") && text.contains("getrandom"), "{text}");
    }
}
