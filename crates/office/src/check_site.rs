//! The terms of programmes of the check site, as they are asked for.

use mayfly_card::{Layout, MerchantId, Prefix};
use mayfly_core::scheme::dynamic::DynamicTerms;
use mayfly_core::{LimitError, Scheme, Terms, TimeMs};
use mayfly_dynamic::{AppVersion, AppVersions, ControlDigit, ControlDigits, FieldOrigin, Months, Numbers};

use crate::TermsError;

/// Cards are good for years: what a programme of the check site has for its longest lifetime if nothing else is asked.
const CARD_LIFETIME_MAX_MS: TimeMs = 3660 * 24 * 3_600_000;

/// The check site's terms as they are asked for: what is none has its default ([`DynamicTerms::standard`]).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckSiteAsked {
    /// Whether merchants get the cards' own numbers.
    pub own: bool,
    /// The key processes that are enabled, 0 to 3.
    pub processes: Option<Vec<u8>>,
    /// Among how many months dates lie.
    pub months: Option<u8>,
    /// How many months ahead merchants' forms accept a date.
    pub furthest_months: Option<u16>,
    /// How long an ETSN is good.
    pub lifetime_ms: Option<TimeMs>,
    /// How long it may be good at the most.
    pub lifetime_max_ms: Option<TimeMs>,
    /// How many may be open.
    pub open_max: Option<u8>,
    /// How many failed proofs lock a card.
    pub lock_after: Option<u8>,
    /// The oldest and the newest version of the wallet.
    pub versions: Option<(u8, u8)>,
    /// Whether the wallet must say what a purchase may come to.
    pub amount_required: Option<bool>,
    /// Whether it must say at which merchant.
    pub merchant_required: Option<bool>,
    /// The origin that MAC fields name: server, method and key; none within if there are no MAC fields.
    pub field: Option<Option<(u8, u8, u8)>>,
    /// Merchants that have a MAC field.
    pub field_merchants: Option<Vec<MerchantId>>,
}

impl CheckSiteAsked {
    /// With the defaults. Most bounds are the core's to check, when the programme is opened.
    ///
    /// # Errors
    /// What can't be expressed at all.
    pub fn terms(&self) -> Result<DynamicTerms, TermsError> {
        let standard = DynamicTerms::standard();
        let months = match self.months {
            Some(months) => Months::new(months).ok_or(wrong("months", "12 to 120"))?,
            None => standard.months,
        };
        // So that nobody has to name both.
        let furthest = standard.furthest_months.max(u16::from(months.count()) + 1);
        let lifetime_max_ms = self.lifetime_max_ms.unwrap_or(standard.lifetime_max_ms);
        let numbers = match (&self.processes, self.own) {
            (None, true) => Numbers::Real,
            (Some(_), true) => {
                return Err(wrong("key processes", "left out where cards have their own numbers"));
            }
            (None, false) => standard.numbers,
            (Some(processes), false) => processes
                .iter()
                .try_fold(ControlDigits::NONE, |enabled, process| Some(enabled.with(key_process(*process)?)))
                .map(Numbers::Pseudo)
                .ok_or(wrong("key processes", "of 0, 1, 2, 3: the others are reserved"))?,
        };
        Ok(DynamicTerms {
            numbers,
            months,
            furthest_months: self.furthest_months.unwrap_or(furthest),
            lifetime_ms: self.lifetime_ms.unwrap_or(standard.lifetime_ms.min(lifetime_max_ms)),
            lifetime_max_ms,
            open_max: self.open_max.unwrap_or(standard.open_max),
            misses_max: self.lock_after.unwrap_or(standard.misses_max),
            versions: match self.versions {
                Some((oldest, newest)) => {
                    AppVersions { oldest: AppVersion(oldest), newest: AppVersion(newest) }
                }
                None => standard.versions,
            },
            cap_required: self.amount_required.unwrap_or(standard.cap_required),
            merchant_required: self.merchant_required.unwrap_or(standard.merchant_required),
            field: match self.field {
                Some(origin) => origin.map(|(acs, method, key)| FieldOrigin { acs, method, key }),
                None => standard.field,
            },
            field_merchants: self.field_merchants.clone().unwrap_or(standard.field_merchants),
        })
    }
}

/// The process with this number, if there is one.
pub fn key_process(process: u8) -> Option<ControlDigit> {
    process.checked_add(b'0').and_then(ControlDigit::parse)
}

fn wrong(term: &'static str, bounds: &'static str) -> TermsError {
    TermsError::Limit(LimitError { term, bounds })
}

/// The defaults of a programme: of one-time numbers, or of the check site's cards, which are good for years.
pub fn standard_terms(prefix: Prefix, layout: Layout, check_site: Option<DynamicTerms>) -> Terms {
    let standard = Terms::standard(prefix, layout);
    match check_site {
        None => standard,
        Some(terms) => Terms {
            scheme: Scheme::Dynamic(Box::new(terms)),
            lifetime_max_ms: CARD_LIFETIME_MAX_MS,
            ..standard
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened(asked: &CheckSiteAsked) -> Result<Terms, String> {
        let dynamic = asked.terms().map_err(|error| error.to_string())?;
        let terms = standard_terms(Prefix::parse("541999").unwrap(), Layout::DEFAULT, Some(dynamic));
        terms.check().map_err(|error| error.to_string())?;
        Ok(terms)
    }

    #[test]
    fn what_is_not_asked_has_its_default() {
        let terms = opened(&CheckSiteAsked::default()).unwrap();
        assert_eq!(terms.scheme.dynamic(), Some(&DynamicTerms::standard()));
        let own = opened(&CheckSiteAsked { own: true, ..CheckSiteAsked::default() }).unwrap();
        assert_eq!(own.scheme.dynamic().unwrap().numbers, Numbers::Real);
        // A card of today is good for ten years.
        assert!(own.lifetime_max_ms >= 10 * 365 * 24 * 3_600_000);
        let wide = CheckSiteAsked { months: Some(120), ..CheckSiteAsked::default() };
        assert_eq!(opened(&wide).unwrap().scheme.dynamic().unwrap().furthest_months, 121);
        let short = CheckSiteAsked { lifetime_max_ms: Some(60_000), ..CheckSiteAsked::default() };
        assert_eq!(opened(&short).unwrap().scheme.dynamic().unwrap().lifetime_ms, 60_000);
    }

    /// A43: reserved digits are refused where they are to be enabled, too.
    #[test]
    fn what_can_t_be_is_refused_in_words() {
        let asked = |processes: &[u8]| CheckSiteAsked {
            processes: Some(processes.to_vec()),
            ..CheckSiteAsked::default()
        };
        assert!(opened(&asked(&[0, 1, 2, 3])).is_ok());
        for processes in [&[4][..], &[2, 9], &[255], &[]] {
            assert!(opened(&asked(processes)).unwrap_err().contains("key processes"), "{processes:?}");
        }
        let own = CheckSiteAsked { own: true, ..asked(&[2]) };
        assert!(opened(&own).unwrap_err().contains("left out"));
        for months in [0, 11, 121] {
            let asked = CheckSiteAsked { months: Some(months), ..CheckSiteAsked::default() };
            assert_eq!(opened(&asked).unwrap_err(), "months must be 12 to 120");
        }
    }
}
