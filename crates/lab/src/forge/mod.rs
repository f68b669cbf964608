//! Forgery, measured: a check site in memory is attacked, and what it lets through is held against what was computed.
//!
//! The site decides with the very core that the server decides with, and its MACs are real. The attacker knows everything but
//! keys: the number, how dates are made, what was bought before, that a purchase is open. For each way of guessing many fresh
//! cards are attacked; how many of them fall is compared with the chance that [`mayfly_dynamic::odds`] computes.

mod attack;
mod site;

use std::fmt;

use mayfly_core::Refusal;
use mayfly_core::scheme::dynamic::DynamicTerms;
use mayfly_dynamic::{Months, odds};
use mayfly_keys::RandomError;

pub use attack::{Attack, Mode};

/// Further from what was computed than this, in standard deviations, and something is wrong.
pub const DEVIATIONS_MAX: f64 = 5.0;

/// What is to be attacked, and how often.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The programme's terms.
    pub terms: DynamicTerms,
    /// How many months to try, beside those of the terms.
    pub months: Vec<Months>,
    /// How many open ETSNs to try: 0 to what the terms allow.
    pub open: Vec<u8>,
    /// How many fresh cards each attack is made on.
    pub cards: u64,
    /// Where chance begins.
    pub seed: u64,
}

impl Default for Plan {
    fn default() -> Self {
        let months = [24, 60, 96, 120].into_iter().filter_map(Months::new).collect();
        Self { terms: DynamicTerms::standard(), months, open: vec![0, 1, 2, 3, 8], cards: 100_000, seed: 1 }
    }
}

impl Plan {
    /// How many attacks it is.
    pub fn attacks(&self) -> usize {
        attack::all(self).len()
    }
}

/// What came of one attack.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Line {
    /// Where the MAC travels.
    pub mode: Mode,
    /// How it was attacked.
    pub attack: Attack,
    /// Among how many months dates lay.
    pub months: Months,
    /// How many ETSNs of each card were open.
    pub open: u8,
    /// How many guesses counted at each card.
    pub guesses: u8,
    /// How many cards were attacked.
    pub cards: u64,
    /// How many of them fell.
    pub fell: u64,
    /// The chance that one falls, as it is computed.
    pub chance: f64,
}

impl Line {
    /// What was measured.
    pub fn measured(&self) -> f64 {
        self.fell as f64 / self.cards.max(1) as f64
    }

    /// How far that is from what was computed, in standard deviations.
    pub fn deviations(&self) -> f64 {
        odds::deviations(self.cards, self.fell, self.chance)
    }

    /// Whether it is as computed.
    pub fn holds(&self) -> bool {
        self.deviations() <= DEVIATIONS_MAX
    }
}

/// Attacks as planned, and tells of each attack when it is over.
///
/// # Errors
///
/// [`ForgeError`]: nothing is known of the forgery then.
pub fn run(plan: &Plan, mut each: impl FnMut(&Line)) -> Result<Vec<Line>, ForgeError> {
    let mut lines = Vec::new();
    for (turn, attack) in (0..).zip(attack::all(plan)) {
        let line = attack.carry_out(plan.cards, plan.seed.wrapping_add(turn))?;
        each(&line);
        lines.push(line);
    }
    Ok(lines)
}

/// Why nothing was measured.
#[derive(Debug, PartialEq, Eq)]
pub enum ForgeError {
    /// The terms are none.
    Terms(Refusal),
    /// No randomness.
    Random(RandomError),
    /// The site in memory did not do what it was made for: this is a fault of the laboratory.
    Site(&'static str),
}

impl fmt::Display for ForgeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Terms(refusal) => write!(f, "with such terms no programme can be opened: {refusal}"),
            Self::Random(error) => error.fmt(f),
            Self::Site(what) => write!(f, "the check site in memory refused {what} that it has to take"),
        }
    }
}

impl std::error::Error for ForgeError {}

impl From<RandomError> for ForgeError {
    fn from(error: RandomError) -> Self {
        Self::Random(error)
    }
}
