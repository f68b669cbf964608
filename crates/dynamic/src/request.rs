//! The MAC verification request: the wallet shows that it has the card's key, and asks for an ETSN.

use std::fmt;

use mayfly_card::Expiry;
use mayfly_keys::Mac;
use serde::{Deserialize, Serialize};
use subtle::{Choice, ConstantTimeEq};

use crate::etsn::{AppVersion, Tsn};
use crate::macs::CardMacs;

/// How far a request's TSN may be ahead of the card's last one: requests get lost, but not so many.
pub const TSN_AHEAD_MAX: u64 = 1000;

/// What a wallet asks, as it arrives: nothing of it is proved yet (S1 cl. 6c, 8, 9; S2 cl. 3d, 5).
#[derive(Clone, Copy)]
pub struct VerificationRequest {
    /// The card's real expiration date.
    pub expiry: Expiry,
    /// The version of the cardholder's software.
    pub version: AppVersion,
    /// The wallet's counter.
    pub tsn: Tsn,
    /// MAC1, over all of it and the number.
    pub mac: [u8; Mac::BYTES],
}

impl fmt::Debug for VerificationRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerificationRequest({:?}, {:?}, ..)", self.version, self.tsn)
    }
}

/// What the check site knows of the card.
#[derive(Clone, Copy, Debug)]
pub struct CardStanding {
    /// Its real expiration date.
    pub expiry: Expiry,
    /// The TSN of its last good request.
    pub last_tsn: Tsn,
    /// Which versions of the cardholder's software still count.
    pub versions: AppVersions,
}

/// Versions of the cardholder's software that still count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AppVersions {
    /// The oldest.
    pub oldest: AppVersion,
    /// The newest.
    pub newest: AppVersion,
}

impl AppVersions {
    /// Whether a version is one of them.
    pub fn contains(&self, version: AppVersion) -> bool {
        (self.oldest..=self.newest).contains(&version)
    }
}

/// A request whose MAC was right and whose content holds. There is no other way to an ETSN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifiedRequest {
    tsn: Tsn,
    version: AppVersion,
}

impl VerificationRequest {
    /// Made by the wallet: with the MAC that it computes.
    pub fn new(macs: &CardMacs, expiry: Expiry, version: AppVersion, tsn: Tsn) -> Self {
        Self { expiry, version, tsn, mac: *macs.verification(expiry, version, tsn).expose() }
    }

    /// Checks it against what is known of the card. The MAC is computed in any case and compared in constant time.
    ///
    /// # Errors
    ///
    /// [`RequestRefusal`], for the record; whoever asked is told nothing of it.
    pub fn verify(&self, macs: &CardMacs, card: &CardStanding) -> Result<VerifiedRequest, RequestRefusal> {
        let genuine = macs.verification(self.expiry, self.version, self.tsn).verify(&self.mac);
        let same_expiry: Choice = self.expiry.mmyy_bytes().ct_eq(&card.expiry.mmyy_bytes());
        if !bool::from(same_expiry) {
            return Err(RequestRefusal::Expiry);
        }
        if !card.versions.contains(self.version) {
            return Err(RequestRefusal::Version);
        }
        match self.tsn.0.checked_sub(card.last_tsn.0) {
            None | Some(0) => return Err(RequestRefusal::TsnReplayed),
            Some(ahead) if ahead > TSN_AHEAD_MAX => return Err(RequestRefusal::TsnTooFarAhead),
            Some(_) => {}
        }
        if genuine {
            Ok(VerifiedRequest { tsn: self.tsn, version: self.version })
        } else {
            Err(RequestRefusal::Mac)
        }
    }
}

impl VerifiedRequest {
    /// The wallet's counter.
    pub fn tsn(&self) -> Tsn {
        self.tsn
    }

    /// The version of the cardholder's software, with which MAC2 is computed, too.
    pub fn version(&self) -> AppVersion {
        self.version
    }

    #[cfg(test)]
    pub(crate) fn for_tests(tsn: Tsn) -> Self {
        Self { tsn, version: AppVersion(1) }
    }
}

/// Why a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum RequestRefusal {
    /// The expiration date is not the card's.
    Expiry,
    /// The version of the cardholder's software does not count.
    Version,
    /// The TSN is not greater than the card's last one.
    TsnReplayed,
    /// The TSN is more than [`TSN_AHEAD_MAX`] ahead of the card's last one.
    TsnTooFarAhead,
    /// The MAC is wrong.
    Mac,
}

impl fmt::Display for RequestRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Expiry => "the expiration date is not the card's",
            Self::Version => "the version of the cardholder's software does not count",
            Self::TsnReplayed => "the transaction sequence number was used before",
            Self::TsnTooFarAhead => "the transaction sequence number is too far ahead",
            Self::Mac => "the MAC is wrong",
        })
    }
}

impl std::error::Error for RequestRefusal {}
