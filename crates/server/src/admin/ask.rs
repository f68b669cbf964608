//! From what was asked to what the office takes.

use mayfly_card::{Ascii, MinorUnits};
use mayfly_core::{Controls, CreditLimit, HolderDigits, HostTerms, MerchantRule, Name, Terms};

use crate::protocol::{
    AccountLimit, AdminError, ErrorCode, FailedControl, Includes, IssueNumber, Merchant, NumberControls,
    TermsAsked,
};
use mayfly_office::{NumberOrder, OfficeError, TermsError, standard_layout, standard_terms};

pub(super) fn name(name: Name) -> Result<Name, AdminError> {
    if name.is_empty() {
        return Err(AdminError::new(ErrorCode::Invalid, "the name is empty; name it"));
    }
    Ok(name)
}

fn minor_units(field: &str, minor: u64) -> Result<MinorUnits, AdminError> {
    MinorUnits::new(minor).ok_or_else(|| {
        let max = MinorUnits::MAX.value();
        AdminError::new(ErrorCode::Limit, format!("{field} is {minor}; an amount is at most {max}"))
    })
}

pub(super) fn host(wait_ms: u32, stand_in_max_minor: u64) -> Result<HostTerms, AdminError> {
    let stand_in_max = minor_units("the largest amount of stand-in", stand_in_max_minor)?;
    Ok(HostTerms { wait_ms, stand_in_max })
}

pub(super) fn limit(limit: AccountLimit) -> Result<CreditLimit, AdminError> {
    match limit {
        AccountLimit::Prepaid => Ok(CreditLimit::Prepaid),
        AccountLimit::IssuerHost => Ok(CreditLimit::IssuerHost),
        AccountLimit::Credit { minor } => minor_units("the credit limit", minor).map(CreditLimit::Credit),
    }
}

pub(super) fn terms(asked: &TermsAsked) -> Result<Terms, AdminError> {
    let layout = match asked.layout {
        Some(layout) => layout,
        None => {
            standard_layout(&asked.prefix).map_err(|error| OfficeError::Terms(TermsError::Layout(error)))?
        }
    };
    let check_site = asked.check_site.as_deref().map(super::cards::terms).transpose()?;
    let standard = standard_terms(asked.prefix, layout, check_site);
    let lifetime_max_ms = asked.lifetime_max_s.map_or(Ok(standard.lifetime_max_ms), milliseconds)?;
    Ok(Terms {
        lifetime_ms: asked.lifetime_s.map_or(Ok(standard.lifetime_ms.min(lifetime_max_ms)), milliseconds)?,
        lifetime_max_ms,
        uses_max: asked.uses_max.unwrap_or(standard.uses_max),
        expiry_months: asked.expiry_months.unwrap_or(standard.expiry_months),
        quarantine_months: asked.quarantine_months.unwrap_or(standard.quarantine_months),
        active_max: asked.active_max.unwrap_or(standard.active_max),
        amount_max: match asked.amount_max_minor {
            Some(minor) => minor_units("the largest amount", minor)?,
            None => standard.amount_max,
        },
        tolerance_bp: asked.tolerance_percent.map_or(Ok(standard.tolerance_bp), basis_points)?,
        hold_days: asked.hold_days.unwrap_or(standard.hold_days),
        single_completion: asked.single_completion.unwrap_or(standard.single_completion),
        failed_control: match asked.failed_control {
            None => standard.failed_control,
            Some(FailedControl::KeepUsable) => mayfly_core::FailedControl::KeepUsable,
            Some(FailedControl::UseUp) => mayfly_core::FailedControl::UseUp,
        },
        holder: match asked.includes {
            None | Some(Includes::Nothing) => HolderDigits::Drawn,
            Some(Includes::OwnNumber) => HolderDigits::Own,
            // The office knows the digits.
            Some(Includes::UniversalNumber) => HolderDigits::Universal(Ascii::default()),
        },
        sandbox: asked.sandbox.unwrap_or(standard.sandbox),
        ..standard
    })
}

pub(super) fn milliseconds(seconds: u64) -> Result<u64, AdminError> {
    let too_long = || AdminError::new(ErrorCode::Limit, "a lifetime is at most 3660 days");
    seconds.checked_mul(1000).ok_or_else(too_long)
}

fn basis_points(percent: f64) -> Result<u16, AdminError> {
    let (exact, rounded) = (percent * 100.0, (percent * 100.0).round());
    if !(0.0..=10_000.0).contains(&rounded) || (exact - rounded).abs() > 1e-6 {
        let what = "the tolerance is 0 to 100 percent, with at most two decimals";
        return Err(AdminError::new(ErrorCode::Limit, what));
    }
    // Within 0 to 10,000, just looked at.
    Ok(rounded as u16)
}

pub(super) fn order(asked: IssueNumber) -> Result<NumberOrder, AdminError> {
    Ok(NumberOrder {
        account: asked.account,
        programme: asked.programme,
        uses: asked.uses.unwrap_or(1),
        lifetime_ms: asked.lifetime_s.map(milliseconds).transpose()?,
        controls: controls(asked.controls)?,
    })
}

pub(super) fn controls(asked: NumberControls) -> Result<Controls, AdminError> {
    let amount = |field, minor: Option<u64>| minor.map(|minor| minor_units(field, minor)).transpose();
    let mccs = mayfly_core::MccSet { allowed: asked.mcc_allowed, refused: asked.mcc_refused };
    let none = mccs == mayfly_core::MccSet::default() && asked.countries.is_empty();
    Ok(Controls {
        amount_max: amount("the largest amount", asked.amount_max_minor)?,
        total_max: amount("the largest sum", asked.total_max_minor)?,
        currency: asked.currency,
        merchant: match asked.merchant {
            Merchant::Any => MerchantRule::Any,
            Merchant::FirstUse => MerchantRule::FirstUse,
            Merchant::Fixed(merchant) if merchant.is_empty() => {
                return Err(AdminError::new(ErrorCode::Invalid, "the merchant is empty; name one"));
            }
            Merchant::Fixed(merchant) => MerchantRule::Fixed(merchant),
        },
        channel: asked.channel,
        lists: if none { None } else { Some(Box::new((mccs, asked.countries))) },
    })
}

#[cfg(test)]
mod tests {
    use mayfly_card::Prefix;

    use super::*;

    #[test]
    fn what_is_not_asked_has_the_default_of_the_core() {
        let prefix = Prefix::parse("456940").unwrap();
        let terms = terms(&TermsAsked::standard(prefix)).unwrap();
        assert_eq!(terms, Terms::standard(prefix, mayfly_card::Layout::DEFAULT));
    }

    #[test]
    fn percents_have_two_decimals() {
        assert_eq!(basis_points(12.34).unwrap(), 1234);
        assert_eq!(basis_points(0.07).unwrap(), 7);
        assert_eq!(basis_points(100.0).unwrap(), 10_000);
        for percent in [-1.0, 100.01, 0.001, f64::NAN, f64::INFINITY] {
            assert_eq!(basis_points(percent).unwrap_err().code, ErrorCode::Limit, "{percent}");
        }
    }

    #[test]
    fn a_short_longest_lifetime_shortens_the_usual_one() {
        let asked =
            TermsAsked { lifetime_max_s: Some(60), ..TermsAsked::standard(Prefix::parse("456940").unwrap()) };
        assert_eq!(terms(&asked).unwrap().lifetime_ms, 60_000);
    }
}
