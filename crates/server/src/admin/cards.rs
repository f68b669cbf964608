//! Cards of the check site: from what was asked to what the office takes, and back.

use mayfly_card::{Expiry, MonthIndex};
use mayfly_core::scheme::dynamic::DynamicTerms;
use mayfly_core::{TimeMs, state};
use mayfly_dynamic::{ControlDigit, Numbers};
use mayfly_engine::cards::EnrolOrder;
use mayfly_office::{CardNow, CheckSiteAsked, OfficeError, key_process};

use super::{answer, ask};
use crate::protocol::{
    AdminError, Card, CardKind, CardStatus, CheckSite, EnrolCard, ErrorCode, MacField, Time,
};

pub(super) fn terms(asked: &CheckSite) -> Result<DynamicTerms, AdminError> {
    let CheckSite { numbers, processes, field_merchants, .. } = asked;
    let asked = CheckSiteAsked {
        own: *numbers == CardKind::Own,
        // As it is shown for cards with their own numbers: none.
        processes: processes.clone().filter(|some| *numbers == CardKind::Pseudo || !some.is_empty()),
        months: asked.months,
        furthest_months: asked.furthest_months,
        lifetime_ms: asked.etsn_lifetime_s.map(ask::milliseconds).transpose()?,
        lifetime_max_ms: asked.etsn_lifetime_max_s.map(ask::milliseconds).transpose()?,
        open_max: asked.open_max,
        lock_after: asked.lock_after,
        versions: asked.versions,
        amount_required: asked.amount_required,
        merchant_required: asked.merchant_required,
        field: asked.mac_field.map(|field| match field {
            MacField::None => None,
            MacField::Origin { acs, method, key } => Some((acs, method, key)),
        }),
        field_merchants: Some(field_merchants.clone()),
    };
    Ok(asked.terms().map_err(OfficeError::Terms)?)
}

pub(super) fn shown(terms: &DynamicTerms) -> CheckSite {
    let (numbers, processes) = match terms.numbers {
        Numbers::Real => (CardKind::Own, None),
        Numbers::Pseudo(enabled) => {
            let enabled = ControlDigit::ALL.into_iter().filter(|digit| enabled.contains(*digit));
            (CardKind::Pseudo, Some(enabled.map(|digit| digit.digit() - b'0').collect()))
        }
    };
    CheckSite {
        numbers,
        processes,
        months: Some(terms.months.count()),
        furthest_months: Some(terms.furthest_months),
        etsn_lifetime_s: Some(terms.lifetime_ms / 1000),
        etsn_lifetime_max_s: Some(terms.lifetime_max_ms / 1000),
        open_max: Some(terms.open_max),
        lock_after: Some(terms.misses_max),
        versions: Some((terms.versions.oldest.0, terms.versions.newest.0)),
        amount_required: Some(terms.cap_required),
        merchant_required: Some(terms.merchant_required),
        mac_field: Some(match terms.field {
            None => MacField::None,
            Some(origin) => MacField::Origin { acs: origin.acs, method: origin.method, key: origin.key },
        }),
        field_merchants: terms.field_merchants.clone(),
    }
}

pub(super) fn order(asked: EnrolCard, now_ms: TimeMs) -> Result<EnrolOrder, AdminError> {
    let invalid = |what: &str| AdminError::new(ErrorCode::Invalid, what);
    let EnrolCard { account, programme, number, expiry, process, controls } = asked;
    let date = Expiry::parse_mmyy(expiry.expose())
        .map_err(|_| invalid("the expiration date is none; write month and year, as in 0528"))?;
    let reserved = || invalid("a key process is 0, 1, 2 or 3; the others are reserved");
    Ok(EnrolOrder {
        account,
        programme,
        pan: number,
        // The century is that of now.
        expiry: date.month_near(MonthIndex::of_unix_ms(now_ms)),
        digit: process.map(|process| key_process(process).ok_or_else(reserved)).transpose()?,
        controls: ask::controls(controls)?,
    })
}

pub(super) fn card(card: &CardNow, programme: &state::Programme) -> Card {
    let row = &card.number.row;
    Card {
        id: row.id,
        account: row.account,
        programme: row.programme,
        masked: answer::masked(&programme.terms, row.last_four),
        kind: if card.is_own { CardKind::Own } else { CardKind::Pseudo },
        status: match card.status {
            mayfly_office::CardStatus::Active => CardStatus::Active,
            mayfly_office::CardStatus::Locked => CardStatus::Locked,
            mayfly_office::CardStatus::Closed => CardStatus::Closed,
        },
        open_etsns: card.open.len(),
        locked: card.locked_ms.map(Time),
        enrolled: Time(row.issued_ms),
    }
}

#[cfg(test)]
mod tests {
    use mayfly_office::standard_terms;

    use super::*;

    /// What is shown can be asked for as it is.
    #[test]
    fn terms_come_back() {
        let other = CheckSite {
            numbers: CardKind::Own,
            months: Some(48),
            mac_field: Some(MacField::None),
            field_merchants: vec![mayfly_card::MerchantId::parse("M-1").unwrap()],
            ..CheckSite::default()
        };
        for asked in [CheckSite::default(), other] {
            let opened = terms(&asked).unwrap();
            let prefix = mayfly_card::Prefix::parse("540000").unwrap();
            let layout = mayfly_card::Layout::DEFAULT;
            assert_eq!(standard_terms(prefix, layout, Some(opened.clone())).check(), Ok(()));
            assert_eq!(terms(&shown(&opened)).unwrap(), opened);
        }
        let reserved = CheckSite { processes: Some(vec![4]), ..CheckSite::default() };
        assert_eq!(terms(&reserved).unwrap_err().code, ErrorCode::Limit);
    }
}
