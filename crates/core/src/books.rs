//! Double entry: money is never made, it moves between books.

use serde::{Deserialize, Serialize};

/// Where money stands. The first two are kept per account, the others per issuer and currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Book {
    /// The cardholder's own: what he has (prepaid), or less than nothing: what he owes (credit).
    Cardholder,
    /// Set aside for purchases that were authorised and not yet completed.
    Held,
    /// Owed to the network for what was captured.
    Settlement,
    /// Where prepaid money came from.
    Funding,
    /// Money that arrived and that nobody can be sure whose it is.
    Suspense,
}

impl Book {
    /// All of them, in the order of [`Books::entries`].
    pub const ALL: [Self; 5] =
        [Self::Cardholder, Self::Held, Self::Settlement, Self::Funding, Self::Suspense];

    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Cardholder => "cardholder",
            Self::Held => "held",
            Self::Settlement => "settlement",
            Self::Funding => "funding",
            Self::Suspense => "suspense",
        }
    }
}

/// An amount for each book, in minor units: the entries of one movement, or balances.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Books {
    /// [`Book::Cardholder`].
    pub cardholder: i64,
    /// [`Book::Held`].
    pub held: i64,
    /// [`Book::Settlement`].
    pub settlement: i64,
    /// [`Book::Funding`].
    pub funding: i64,
    /// [`Book::Suspense`].
    pub suspense: i64,
}

impl Books {
    /// Each book with its amount.
    pub fn entries(&self) -> [(Book, i64); 5] {
        let amounts = [self.cardholder, self.held, self.settlement, self.funding, self.suspense];
        let mut at = 0;
        Book::ALL.map(|book| {
            at += 1;
            (book, amounts[at - 1])
        })
    }

    /// The sum over all books: zero, always.
    pub fn sum(&self) -> i64 {
        self.cardholder + self.held + self.settlement + self.funding + self.suspense
    }

    /// Adds the entries of a movement.
    pub fn add(&mut self, other: &Self) {
        self.cardholder += other.cardholder;
        self.held += other.held;
        self.settlement += other.settlement;
        self.funding += other.funding;
        self.suspense += other.suspense;
    }
}
