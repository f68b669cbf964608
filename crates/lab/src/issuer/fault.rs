//! What can go wrong between a question and its answer.

use std::time::Duration;

use crate::seeded::Seeded;

/// What an issuer host does instead of answering as it should.
///
/// Unless it says otherwise the question is booked first, as it would be if only the answer went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Answers that much later.
    Delay(Duration),
    /// Answers when it is told to, by [`IssuerHost::release`](super::IssuerHost::release).
    Hold,
    /// Never answers.
    Silent,
    /// As if the question had never come: neither booked nor answered.
    Deaf,
    /// Closes the connection instead of answering.
    Close,
    /// Closes the connection before anything is booked.
    CloseDeaf,
    /// Answers with another STAN.
    OtherStan,
    /// Answers with another retrieval reference number.
    OtherReference,
    /// Answers with another amount.
    OtherAmount,
    /// Answers with another card number.
    OtherNumber,
    /// Answers with something that is no message.
    Garbage,
    /// Answers twice.
    Twice,
    /// Answers with this code (DE 39), and books nothing.
    Say([u8; 2]),
}

/// Faults by chance: the same each time for the same seed and the same order of questions.
#[derive(Clone, Debug)]
pub struct Chances {
    chance: Seeded,
    /// How many of a thousand questions meet each fault.
    faults: Vec<(u16, Fault)>,
}

impl Chances {
    /// So many of a thousand questions meet each of these faults; the rest is answered as it should.
    pub fn new(seed: u64, faults: impl Into<Vec<(u16, Fault)>>) -> Self {
        Self { chance: Seeded::new(seed), faults: faults.into() }
    }

    /// What the next question meets.
    pub(super) fn next(&mut self) -> Option<Fault> {
        let mut left = self.chance.below(1_000) as u16;
        for (per_mille, fault) in &self.faults {
            match left.checked_sub(*per_mille) {
                Some(rest) => left = rest,
                None => return Some(*fault),
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chances_are_kept_and_the_same_for_a_seed() {
        let faults = [(100, Fault::Silent), (50, Fault::Close)];
        let draw = |seed| -> Vec<_> {
            let mut chances = Chances::new(seed, faults);
            (0..10_000).map(|_| chances.next()).collect()
        };
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        let count = |fault| draw(7).into_iter().filter(|met| *met == fault).count();
        assert!((850..1_150).contains(&count(Some(Fault::Silent))));
        assert!((400..600).contains(&count(Some(Fault::Close))));
    }
}
