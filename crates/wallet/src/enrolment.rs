//! How a card comes into the wallet.

use std::fmt;

use mayfly_card::{Expiry, Pan};
use mayfly_dynamic::{AppVersion, AppVersions, CardNumber, FieldOrigin, NumberRefusal, PseudoPan, Tsn};
use mayfly_enrol::{EnrolError, Half, Point, WRAPPED_BYTES};
use mayfly_keys::{Random, RandomError};

use crate::card::{Card, CardId};

/// The version of this software, a part of the MACs that it computes (S2 cl. 5, 6).
pub const APP_VERSION: AppVersion = AppVersion(1);

/// An enrolment under way: what was drawn for it is used up by the server's package.
#[derive(Debug)]
pub struct Enrolment {
    card: CardId,
    half: Half,
}

/// What the server gives for a card: all that the wallet ever learns of it (S2 cl. 3b). There is nothing else in it from
/// which another card's key could follow.
#[derive(Clone, Debug)]
pub struct Package {
    /// The number that merchants get.
    pub number: Pan,
    /// Whether that is the card's own, so that the wallet makes the key (S1 cl. 3).
    pub own: bool,
    /// The card's real expiration date.
    pub expiry: Expiry,
    /// The server's point.
    pub point: Point,
    /// The card's key, wrapped.
    pub wrapped: [u8; WRAPPED_BYTES],
    /// The last TSN that the server has seen of the card.
    pub last_tsn: Tsn,
    /// Which versions of this software still count.
    pub versions: AppVersions,
    /// What the MAC field says beside the purchase; none if purchases of this card have no MAC field.
    pub origin: Option<FieldOrigin>,
}

impl Enrolment {
    /// Begins one.
    ///
    /// # Errors
    ///
    /// [`RandomError`] if the generator fails.
    pub fn begin(card: CardId, random: &mut dyn Random) -> Result<Self, RandomError> {
        Ok(Self { card, half: Half::draw(random)? })
    }

    /// Of which card.
    pub fn card(&self) -> &CardId {
        &self.card
    }

    /// What the server gets.
    pub fn point(&self) -> Point {
        self.half.point()
    }

    /// The card of the server's package.
    ///
    /// # Errors
    ///
    /// [`PackageError`]; then begin anew.
    pub fn finish(self, package: Package) -> Result<Card, PackageError> {
        let Package { number, own, expiry, point, wrapped, last_tsn, versions, origin } = package;
        if !versions.contains(APP_VERSION) {
            return Err(PackageError::Version { versions });
        }
        let number =
            if own { CardNumber::Real(number) } else { CardNumber::Pseudo(PseudoPan::from_pan(number)?) };
        let key = self.half.unwrap(&point, &number, &wrapped)?;
        Ok(Card {
            id: self.card,
            number,
            expiry,
            key,
            version: APP_VERSION,
            tsn: last_tsn,
            origin,
            last: None,
        })
    }
}

/// Why a server's package is no card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PackageError {
    /// The key does not open, or the point is none.
    Key(EnrolError),
    /// The number is no pseudo account number, though it should be one.
    Number(NumberRefusal),
    /// This version of the software does not count.
    Version {
        /// Those that do.
        versions: AppVersions,
    },
}

impl From<EnrolError> for PackageError {
    fn from(error: EnrolError) -> Self {
        Self::Key(error)
    }
}

impl From<NumberRefusal> for PackageError {
    fn from(refusal: NumberRefusal) -> Self {
        Self::Number(refusal)
    }
}

impl fmt::Display for PackageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(error) => error.fmt(f),
            Self::Number(refusal) => write!(f, "the server's package is not sound: {refusal}"),
            Self::Version { versions: AppVersions { oldest, newest } } => write!(
                f,
                "the server works with versions {} to {} of the wallet, and this is {}; get another one",
                oldest.0, newest.0, APP_VERSION.0
            ),
        }
    }
}

impl std::error::Error for PackageError {}
