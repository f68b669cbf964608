//! Events as an earlier version wrote them, read into those of today.

use mayfly_card::{Channel, Layout, MinorUnits, Prefix};
use serde::Deserialize;

use crate::{
    AccountId, AccountOpened, AnswerKept, CreditLimit, FailedControl, HolderDigits, IssuerId, IssuerOpened,
    Name, NumberIssued, NumberRef, ProgrammeId, Retirement, Scheme, TimeMs, Transacted, Universal,
};

/// The format of these events. Programmes had fewer terms, and nobody was asked anything.
pub(crate) const VERSION: u8 = 2;

// As in today's: a box would cost each purchase an allocation.
#[allow(clippy::large_enum_variant)]
#[derive(Deserialize)]
pub(crate) enum Event {
    Transacted(Transacted),
    NumberIssued(Box<NumberIssued>),
    NumbersRetired(Vec<(NumberRef, Retirement)>),
    IssuerOpened(IssuerOpened),
    ProgrammeOpened(Box<ProgrammeOpened>),
    AccountOpened(AccountOpened),
    LimitSet { account: AccountId, limit: CreditLimit },
    ChannelBlocked { account: AccountId, channel: Channel, blocked: bool },
    AnswerKept(Box<AnswerKept>),
}

#[derive(Deserialize)]
pub(crate) struct ProgrammeOpened {
    programme: ProgrammeId,
    issuer: IssuerId,
    name: Name,
    terms: Terms,
}

#[derive(Deserialize)]
struct Terms {
    prefix: Prefix,
    layout: Layout,
    scheme: Scheme,
    lifetime_ms: TimeMs,
    lifetime_max_ms: TimeMs,
    uses_max: u32,
    expiry_months: u16,
    quarantine_months: u16,
    active_max: u32,
    amount_max: MinorUnits,
    tolerance_bp: u16,
    hold_days: u16,
    single_completion: bool,
    failed_control: FailedControl,
    universal: Option<Universal>,
}

impl From<Event> for crate::Event {
    fn from(event: Event) -> Self {
        match event {
            Event::Transacted(event) => Self::Transacted(event),
            Event::NumberIssued(event) => Self::NumberIssued(event),
            Event::NumbersRetired(numbers) => Self::NumbersRetired(numbers),
            Event::IssuerOpened(event) => Self::IssuerOpened(event),
            Event::ProgrammeOpened(event) => Self::ProgrammeOpened(Box::new((*event).into())),
            Event::AccountOpened(event) => Self::AccountOpened(event),
            Event::LimitSet { account, limit } => Self::LimitSet { account, limit },
            Event::ChannelBlocked { account, channel, blocked } => {
                Self::ChannelBlocked { account, channel, blocked }
            }
            Event::AnswerKept(event) => Self::AnswerKept(event),
        }
    }
}

impl From<ProgrammeOpened> for crate::ProgrammeOpened {
    fn from(event: ProgrammeOpened) -> Self {
        let ProgrammeOpened { programme, issuer, name, terms } = event;
        Self { programme, issuer, name, terms: terms.into() }
    }
}

impl From<Terms> for crate::Terms {
    fn from(terms: Terms) -> Self {
        Self {
            prefix: terms.prefix,
            layout: terms.layout,
            scheme: terms.scheme,
            lifetime_ms: terms.lifetime_ms,
            lifetime_max_ms: terms.lifetime_max_ms,
            uses_max: terms.uses_max,
            expiry_months: terms.expiry_months,
            quarantine_months: terms.quarantine_months,
            active_max: terms.active_max,
            amount_max: terms.amount_max,
            tolerance_bp: terms.tolerance_bp,
            hold_days: terms.hold_days,
            single_completion: terms.single_completion,
            failed_control: terms.failed_control,
            universal: terms.universal,
            holder: HolderDigits::Drawn,
            sandbox: false,
        }
    }
}

#[cfg(test)]
mod tests {
    use mayfly_card::{ApprovalCode, Currency, LastFour, MerchantId};
    use mayfly_keys::NumberIndex;

    use super::*;
    use crate::{
        Effect, Facts, Hash64, Kind, MessageKind, NumberId, Previous, Reason, ResponseCode, Revival,
        TotalsChange, TransactionId,
    };

    /// What the version before wrote: an issuer, a programme, a channel switched off, a kept answer.
    const WRITTEN: &str = "03010941636d652042616e6b0401010853686f7070696e670634353639343001050009000a00a0f73680b8\
        9929e807240d64ff9f94a58d1d0009000101efcdab89674523018804070300010805000000000000000600000000000000040107";

    /// And a transaction, with the last variant of each list in it, as far as that makes sense.
    const TRANSACTED: &str = "00ac020906102c01c0c4070100000000000000020000000000000003000000000000000107efcdab89674\
        5230102010301090101010101ab0201aa020506c213c80600000000054d2d303031000000000000020306080a0c010e0102030103";

    fn read(written: &str) -> Vec<crate::Event> {
        let at = |at| u8::from_str_radix(&written[at..at + 2], 16).unwrap();
        let bytes: Vec<u8> = (0..written.len()).step_by(2).map(at).collect();
        let mut events = Vec::new();
        crate::Event::read_all(VERSION, &bytes, |event| events.push(event)).unwrap();
        events
    }

    #[test]
    fn a_transaction_of_the_version_before_is_read() {
        let number = NumberRef { id: NumberId(7), index: NumberIndex(0x0123_4567_89ab_cdef) };
        let minor = |amount| MinorUnits::new(amount).unwrap();
        let expected = Transacted {
            id: TransactionId(300),
            kind: Kind::HoldReleased,
            message: MessageKind::Operator,
            response: ResponseCode::Malfunction,
            reason: Reason::Overloaded,
            approval: ApprovalCode::from_value(123_456),
            reference: Hash64(1),
            identity: Hash64(2),
            content: Hash64(3),
            number: Some(number),
            previous: Previous::Retired,
            retires: Some(Retirement::Blocked),
            account: Some(AccountId(9)),
            issuer: Some(IssuerId(1)),
            programme: Some(ProgrammeId(1)),
            target: Some(TransactionId(299)),
            reverses: Some((TransactionId(298), minor(5))),
            ceiling: minor(6),
            amount: minor(2498),
            currency: Currency::from_number(840).unwrap(),
            facts: Facts { merchant: MerchantId::parse("M-001").unwrap(), ..Facts::default() },
            effect: Effect {
                totals: TotalsChange { authorised: 1, held: -2, captured: 3, refunded: 4 },
                funded: 5,
                suspended: 6,
                uses: -1,
                spent: 7,
                tries: 1,
                misses: 2,
                checks: 3,
                binds_merchant: true,
                revival: Revival::Ends,
            },
        };
        assert_eq!(read(TRANSACTED), [crate::Event::Transacted(expected)]);
    }

    #[test]
    fn what_the_version_before_wrote_is_read() {
        let events = read(WRITTEN);
        let mut terms = crate::Terms::standard(Prefix::parse("456940").unwrap(), Layout::DEFAULT);
        terms.universal = Some(Universal {
            index: NumberIndex(0x0123_4567_89ab_cdef),
            last_four: LastFour::from_value(520).unwrap(),
        });
        terms.failed_control = FailedControl::UseUp;
        terms.hold_days = 9;
        let name = |text| Name::parse(text).unwrap();
        let expected = [
            crate::Event::IssuerOpened(IssuerOpened { issuer: IssuerId(1), name: name("Acme Bank") }),
            crate::Event::ProgrammeOpened(Box::new(crate::ProgrammeOpened {
                programme: ProgrammeId(1),
                issuer: IssuerId(1),
                name: name("Shopping"),
                terms,
            })),
            crate::Event::ChannelBlocked {
                account: AccountId(3),
                channel: Channel::CardPresent,
                blocked: true,
            },
            crate::Event::AnswerKept(Box::new(AnswerKept {
                key: Hash64(5),
                content: Hash64(6),
                outcome: crate::Outcome::Done,
                note: vec![7],
            })),
        ];
        assert_eq!(events, expected);
    }
}
