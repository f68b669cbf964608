//! Passwords: what a cardholder knows, kept as an Argon2id hash (RFC 9106) with a pepper.
//!
//! Who has the hashes alone can't begin to guess: the pepper follows from the root key and stands in no table. Who has
//! both must spend 19 MiB of memory, twice over, for each guess (OWASP's Password Storage Cheat Sheet, 2023).

mod record;
mod typed;

use core::fmt;

use argon2::{Algorithm, Argon2, Block, Version};
use mayfly_keys::{Random, RandomError, SecretKey};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use record::{HASH_BYTES, SALT_BYTES};

pub use record::{Cost, PasswordRecord, RecordError};
pub use typed::{Password, PasswordError};

/// Hashes and checks passwords; holds the pepper, wiped on drop.
///
/// One computation takes some 20 to 50 ms and [`Cost::memory_kib`] of memory: callers bound how many run at once, and
/// keep them off the threads that serve others.
pub struct PasswordHasher {
    pepper: SecretKey<32>,
    cost: Cost,
    /// Checked in the place of a record that is not there.
    decoy: PasswordRecord,
}

impl PasswordHasher {
    /// Hashes at [`Cost::DEFAULT`].
    pub fn new(pepper: SecretKey<32>) -> Self {
        Self::with_cost(pepper, Cost::DEFAULT)
    }

    /// Hashes at another cost. Records made at a lower one are still checked, and [`Verified::Yes`] says that they
    /// should be made anew.
    pub fn with_cost(pepper: SecretKey<32>, cost: Cost) -> Self {
        let decoy = PasswordRecord { cost, salt: *b"nobody's record!", hash: [0; HASH_BYTES] };
        Self { pepper, cost, decoy }
    }

    /// What is kept of a password.
    ///
    /// # Errors
    ///
    /// [`RandomError`] if no salt could be drawn.
    pub fn hash(&self, password: &Password, random: &mut dyn Random) -> Result<PasswordRecord, RandomError> {
        let mut salt = [0; SALT_BYTES];
        random.fill(&mut salt)?;
        let hash = *self.compute(password, self.cost, &salt);
        Ok(PasswordRecord { cost: self.cost, salt, hash })
    }

    /// Whether `password` is the one that `record` was made of.
    ///
    /// Give none where there is no such name: as much is computed, and it is not the one, so that the time tells
    /// nobody which names exist. (A record of another cost takes another time; it is gone after the next log-in if
    /// callers heed [`Verified::Yes`].)
    pub fn verify(&self, password: &Password, record: Option<&PasswordRecord>) -> Verified {
        let known = record.is_some();
        let record = record.unwrap_or(&self.decoy);
        let computed = self.compute(password, record.cost, &record.salt);
        let same: bool = computed.ct_eq(&record.hash).into();
        if same && known { Verified::Yes { rehash: record.cost.is_below(self.cost) } } else { Verified::No }
    }

    fn compute(
        &self,
        password: &Password,
        cost: Cost,
        salt: &[u8; SALT_BYTES],
    ) -> Zeroizing<[u8; HASH_BYTES]> {
        let mut hash = Zeroizing::new([0; HASH_BYTES]);
        // The first blocks follow from the password without any effort: whoever found them would guess fast.
        let mut memory = Zeroizing::new(vec![Block::new(); cost.params().block_count()]);
        let argon2 =
            Argon2::new_with_secret(self.pepper.expose(), Algorithm::Argon2id, Version::V0x13, cost.params());
        argon2
            .and_then(|argon2| {
                argon2.hash_password_into_with_memory(password.expose(), salt, &mut *hash, &mut memory[..])
            })
            // The bounds of `Cost` and `Password` are narrower than those of Argon2; salt and pepper are fixed.
            .expect("every password and every cost that was let in fits Argon2");
        hash
    }
}

impl fmt::Debug for PasswordHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHasher(..)")
    }
}

/// What came of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Verified {
    /// It is the password.
    Yes {
        /// The record was made at a lower cost than is asked for today: hash the password again and keep that.
        rehash: bool,
    },
    /// It is not, or there is no such name.
    No,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Constant;

    const CHEAP: Cost = Cost::new(64, 1, 1).unwrap();

    fn hasher(cost: Cost) -> PasswordHasher {
        PasswordHasher::with_cost(SecretKey::from_bytes(&[3; 32]), cost)
    }

    fn password(text: &str) -> Password {
        Password::choose(text).unwrap()
    }

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn only_the_password_itself_is_it() {
        let hasher = hasher(CHEAP);
        let record = hasher.hash(&password("correct horse"), &mut Constant(1)).unwrap();
        assert_eq!(hasher.verify(&password("correct horse"), Some(&record)), Verified::Yes { rehash: false });
        assert_eq!(hasher.verify(&password("correct Horse"), Some(&record)), Verified::No);
        assert_eq!(hasher.verify(&password("correct horse"), None), Verified::No);
        let other_salt = hasher.hash(&password("correct horse"), &mut Constant(2)).unwrap();
        assert_ne!(record.hash, other_salt.hash);
    }

    #[test]
    fn without_the_pepper_nothing_fits() {
        let record = hasher(CHEAP).hash(&password("correct horse"), &mut Constant(1)).unwrap();
        let other = PasswordHasher::with_cost(SecretKey::from_bytes(&[4; 32]), CHEAP);
        assert_eq!(other.verify(&password("correct horse"), Some(&record)), Verified::No);
    }

    #[test]
    fn a_cheaper_record_is_still_good_and_asks_to_be_made_anew() {
        let record = hasher(CHEAP).hash(&password("correct horse"), &mut Constant(1)).unwrap();
        let raised = hasher(Cost::new(64, 2, 1).unwrap());
        assert_eq!(raised.verify(&password("correct horse"), Some(&record)), Verified::Yes { rehash: true });
        assert_eq!(raised.verify(&password("wrong horse"), Some(&record)), Verified::No);
        let lowered = hasher(Cost::new(32, 1, 1).unwrap());
        assert_eq!(
            lowered.verify(&password("correct horse"), Some(&record)),
            Verified::Yes { rehash: false }
        );
    }

    #[test]
    fn the_default_is_what_it_says() {
        let record = PasswordHasher::new(SecretKey::from_bytes(&[3; 32]))
            .hash(&password("correct horse"), &mut Constant(1))
            .unwrap();
        assert!(record.to_text().starts_with("$argon2id$v=19$m=19456,t=2,p=1$AQEBAQEBAQEBAQEBAQEBAQ$"));
        assert_eq!(PasswordRecord::parse(&record.to_text()), Ok(record));
    }

    /// Generated with `Argon2id` of the Python package `cryptography`, the pepper as its secret: what is stored must
    /// be checked by every later version.
    #[test]
    fn the_hash_keeps_its_form() {
        let hasher = hasher(CHEAP);
        let record = hasher.hash(&password("correct horse"), &mut Constant(1)).unwrap();
        assert_eq!(hex(&record.hash), "976c36ac95b9cf096eb43a3ad550ef543cc2bde2f1f7ee5106b8dc43b0d542a8");
    }

    #[test]
    fn the_same_characters_are_the_same_password() {
        let hasher = hasher(CHEAP);
        // Composed and decomposed; and a ligature, which a keyboard may make of two letters.
        let record = hasher.hash(&password("café office"), &mut Constant(1)).unwrap();
        let same = hasher.verify(&password("cafe\u{301} o\u{fb03}ce"), Some(&record));
        assert_eq!(same, Verified::Yes { rehash: false });
    }

    #[test]
    fn nothing_shows_a_secret() {
        let hasher = hasher(CHEAP);
        let record = hasher.hash(&password("correct horse"), &mut Constant(1)).unwrap();
        assert_eq!(format!("{hasher:?} {:?}", password("correct horse")), "PasswordHasher(..) Password(..)");
        assert!(format!("{record:?}").ends_with(", ..)"));
    }
}
