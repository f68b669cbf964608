//! Transaction sequence numbers, the wallet's and those that the check site expects.

use std::fmt;

use serde::{Deserialize, Serialize};
use subtle::{Choice, ConstantTimeEq};

use crate::reference::PseudoExpiry;
use crate::request::VerifiedRequest;

/// The most ETSNs of a card that are open at a time. Each one more is one more month that a guess can hit.
pub const OPEN_MAX: usize = 8;

/// How many ETSNs are passed over because another open one has the same date.
pub const SKIPS_MAX: u64 = 16;

/// The version of the cardholder's software: a part of its MACs (S2 cl. 5, 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AppVersion(pub u8);

/// A transaction sequence number (TSN), as the wallet counts: one more for each request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Tsn(pub u64);

impl Tsn {
    /// The next one, for a new request.
    pub fn next(self) -> Option<Self> {
        self.0.checked_add(1).map(Self)
    }
}

/// An expected transaction sequence number (ETSN): greater than every one that its card ever had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Etsn(pub u64);

impl Etsn {
    /// The greatest that is issued: what the MAC field can carry.
    pub const MAX: Self = Self(u32::MAX as u64);

    /// The wallet's counter once it has this one.
    pub fn as_tsn(self) -> Tsn {
        Tsn(self.0)
    }

    /// What the MAC field carries of it: its low 32 bits.
    pub fn low_bits(self) -> u32 {
        self.0 as u32
    }

    /// The one that a card gets after `last`, for a request that carried `tsn`: one more than both.
    ///
    /// # Errors
    ///
    /// [`EtsnExhausted`] if it would not fit the MAC field: the card must be enrolled anew.
    pub fn after(last: Self, tsn: Tsn) -> Result<Self, EtsnExhausted> {
        let greater = last.0.max(tsn.0);
        if greater >= Self::MAX.0 { Err(EtsnExhausted) } else { Ok(Self(greater + 1)) }
    }
}

/// A card has had all the numbers that it can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EtsnExhausted;

impl fmt::Display for EtsnExhausted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the card has no sequence numbers left; enrol it anew")
    }
}

impl std::error::Error for EtsnExhausted {}

/// Where the MAC of a purchase travels (S2 cl. 13). An ETSN is issued in one mode, and counts in no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Mode {
    /// Mode E: as the expiration date.
    Expiry,
    /// Mode F: in the MAC field.
    Field,
}

impl Mode {
    /// The mode for a merchant's form: the MAC field if it has one (S2 cl. 14).
    pub fn for_form(has_mac_field: bool) -> Self {
        if has_mac_field { Self::Field } else { Self::Expiry }
    }
}

/// An ETSN for mode E, and the date that its MAC becomes.
#[derive(Clone, Copy, Debug)]
pub struct Issued {
    /// The ETSN.
    pub etsn: Etsn,
    /// Its date.
    pub expiry: PseudoExpiry,
}

/// Issues an ETSN for mode E: the one after `last` and the request's TSN whose date is that of no other open one, so that
/// a purchase belongs to one at most. `open` are the dates of those that are open in mode E; `expiry_of` computes dates
/// ([`ExpiryMacs::expiry`](crate::ExpiryMacs::expiry)), or has them computed already.
///
/// # Errors
///
/// [`IssueError`]; then nothing was issued.
pub fn issue(
    last: Etsn,
    request: &VerifiedRequest,
    open: &[PseudoExpiry],
    mut expiry_of: impl FnMut(Etsn) -> PseudoExpiry,
) -> Result<Issued, IssueError> {
    if open.len() >= OPEN_MAX {
        return Err(IssueError::TooManyOpen);
    }
    let mut etsn = Etsn::after(last, request.tsn())?;
    for _ in 0..=SKIPS_MAX {
        let expiry = expiry_of(etsn);
        let taken = open.iter().fold(Choice::from(0), |taken, other| taken | other.ct_eq(&expiry));
        if !bool::from(taken) {
            return Ok(Issued { etsn, expiry });
        }
        etsn = Etsn::after(etsn, request.tsn())?;
    }
    Err(IssueError::NoFreeDate)
}

/// Issues an ETSN for mode F, of which `open` are open already.
///
/// # Errors
///
/// [`IssueError::TooManyOpen`], [`IssueError::Exhausted`].
pub fn issue_for_field(last: Etsn, request: &VerifiedRequest, open: usize) -> Result<Etsn, IssueError> {
    if open >= OPEN_MAX {
        return Err(IssueError::TooManyOpen);
    }
    Ok(Etsn::after(last, request.tsn())?)
}

/// Why no ETSN was issued, though the request was good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IssueError {
    /// [`OPEN_MAX`] are open.
    TooManyOpen,
    /// The dates of so many in a row are those of open ones.
    NoFreeDate,
    /// The card has had them all.
    Exhausted,
}

impl From<EtsnExhausted> for IssueError {
    fn from(_: EtsnExhausted) -> Self {
        Self::Exhausted
    }
}

impl fmt::Display for IssueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooManyOpen => write!(f, "{OPEN_MAX} purchases of the card are open; use one, or wait"),
            Self::NoFreeDate => {
                f.write_str("no date is free for another purchase of the card; use one, or wait")
            }
            Self::Exhausted => EtsnExhausted.fmt(f),
        }
    }
}

impl std::error::Error for IssueError {}

#[cfg(test)]
mod tests {
    use mayfly_card::MonthIndex;
    use mayfly_keys::Mac;
    use proptest::prelude::*;

    use super::*;
    use crate::reference::{Months, ReferenceData};

    fn request(tsn: u64) -> VerifiedRequest {
        VerifiedRequest::for_tests(Tsn(tsn))
    }

    /// The date that is so many months after the reference month.
    fn date(offset: u64) -> PseudoExpiry {
        let reference = ReferenceData::new(MonthIndex::new(2026, 1).unwrap(), Months::MAX).unwrap();
        PseudoExpiry::of(&Mac::from_bytes(u128::from(offset).to_be_bytes()), &reference)
    }

    #[test]
    fn a28_an_etsn_is_greater_than_every_one_before() {
        assert_eq!(Etsn::after(Etsn(7), Tsn(7)), Ok(Etsn(8)));
        assert_eq!(Etsn::after(Etsn(7), Tsn(3)), Ok(Etsn(8)));
        assert_eq!(Etsn::after(Etsn(7), Tsn(100)), Ok(Etsn(101)));
        assert_eq!(Etsn::after(Etsn(u64::from(u32::MAX) - 1), Tsn(0)), Ok(Etsn::MAX));
        assert_eq!(Etsn::after(Etsn::MAX, Tsn(0)), Err(EtsnExhausted));
        assert_eq!(Etsn::after(Etsn(0), Tsn(u64::MAX)), Err(EtsnExhausted));
        assert_eq!(issue_for_field(Etsn(7), &request(9), 0), Ok(Etsn(10)));
        assert_eq!(issue_for_field(Etsn(7), &request(9), OPEN_MAX), Err(IssueError::TooManyOpen));
        assert_eq!(issue_for_field(Etsn::MAX, &request(9), 0), Err(IssueError::Exhausted));
    }

    #[test]
    fn a47_the_mac_field_is_used_where_there_is_one() {
        assert_eq!(Mode::for_form(true), Mode::Field);
        assert_eq!(Mode::for_form(false), Mode::Expiry);
    }

    #[test]
    fn a_date_that_an_open_one_has_is_passed_over() {
        let issued = |open: &[PseudoExpiry], of: fn(Etsn) -> PseudoExpiry| {
            issue(Etsn(7), &request(5), open, of).map(|issued| issued.etsn)
        };
        assert_eq!(issued(&[], |_| date(1)), Ok(Etsn(8)));
        assert_eq!(issued(&[date(8), date(9)], |etsn| date(etsn.0)), Ok(Etsn(10)));
        assert_eq!(issued(&[date(1)], |_| date(1)), Err(IssueError::NoFreeDate));
        // The seventeenth is the last that is tried.
        assert_eq!(issued(&[date(1)], |etsn| date(if etsn.0 < 24 { 1 } else { 2 })), Ok(Etsn(24)));
        let later = |etsn: Etsn| date(if etsn.0 < 25 { 1 } else { 2 });
        assert_eq!(issued(&[date(1)], later), Err(IssueError::NoFreeDate));
        assert_eq!(issued(&[date(1); OPEN_MAX], |_| date(2)), Err(IssueError::TooManyOpen));
        let near_the_end = issue(Etsn(u64::from(u32::MAX) - 1), &request(5), &[date(1)], |_| date(1));
        assert_eq!(near_the_end.err(), Some(IssueError::Exhausted));
    }

    proptest! {
        #[test]
        fn open_dates_stay_different(offsets in prop::collection::vec(0u64..12, 200), tsn in 0u64..100) {
            let mut open: Vec<PseudoExpiry> = Vec::new();
            let mut last = Etsn(0);
            for _ in 0..OPEN_MAX {
                let of = |etsn: Etsn| date(offsets[etsn.0 as usize % offsets.len()]);
                let Ok(issued) = issue(last, &request(tsn), &open, of) else { break };
                prop_assert!(issued.etsn > last && issued.etsn.0 > tsn);
                prop_assert!(open.iter().all(|other| !bool::from(other.ct_eq(&issued.expiry))));
                last = issued.etsn;
                open.push(issued.expiry);
            }
        }
    }
}
