//! Events as earlier versions wrote them, read into those of today: those few that had another form then.

use mayfly_card::{Currency, Expiry, Layout, MinorUnits, Prefix};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::scheme::dynamic::Proof;
use crate::{
    AccountId, Cvc2Check, Event, Facts, FailedControl, Hash64, HolderDigits, IssuerId, Kind, MessageKind,
    Name, NumberRef, Original, Presented, Processing, ProgrammeId, QuestionId, TimeMs, TransactionId,
    Universal, WhenLate, Whom,
};

/// The oldest format that is read.
pub(crate) const OLDEST: u8 = 2;

/// The last format in which programmes had fewer terms.
const FEWER_TERMS: u8 = 2;
/// The last format in which questions had one kind of asker, and messages no ETSN.
const ONE_ASKER: u8 = 4;

/// Where these stand among the kinds of events: what an event begins with.
const PROGRAMME_OPENED: u8 = 4;
const ASKED: u8 = 12;

/// The next event of a payload, if it is one that was written in another form by that version.
pub(crate) fn take(version: u8, payload: &[u8]) -> Option<postcard::Result<(Event, &[u8])>> {
    match payload.split_first()? {
        (&PROGRAMME_OPENED, rest) if version <= FEWER_TERMS => {
            Some(read(rest, |event: ProgrammeOpened| Event::ProgrammeOpened(Box::new(event.into()))))
        }
        (&ASKED, rest) if version <= ONE_ASKER => {
            Some(read(rest, |event: Asked| Event::Asked(Box::new(event.into()))))
        }
        _ => None,
    }
}

fn read<T: DeserializeOwned>(payload: &[u8], into: fn(T) -> Event) -> postcard::Result<(Event, &[u8])> {
    postcard::take_from_bytes(payload).map(|(event, rest)| (into(event), rest))
}

#[derive(Deserialize)]
struct ProgrammeOpened {
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

#[derive(Deserialize)]
enum Scheme {
    Issued,
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
            scheme: match terms.scheme {
                Scheme::Issued => crate::Scheme::Issued,
            },
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

#[derive(Deserialize)]
struct Asked {
    question: QuestionId,
    issuer: IssuerId,
    kind: Kind,
    request: Request,
    account: Option<AccountId>,
    programme: Option<ProgrammeId>,
    number: Option<NumberRef>,
    keeps_use: bool,
    deadline_ms: TimeMs,
    when_late: WhenLate,
}

#[derive(Deserialize)]
struct Request {
    message: MessageKind,
    processing: Processing,
    reference: Hash64,
    identity: Hash64,
    content: Hash64,
    original: Option<Original>,
    number: Presented,
    expiry: Option<Expiry>,
    cvc2: Cvc2Check,
    amount: MinorUnits,
    replacement: Option<MinorUnits>,
    currency: Currency,
    declined_elsewhere: bool,
    repeat: bool,
    facts: Facts,
    paged: Option<Vec<TransactionId>>,
}

impl From<Asked> for crate::Asked {
    fn from(event: Asked) -> Self {
        Self {
            question: event.question,
            issuer: event.issuer,
            kind: event.kind,
            request: event.request.into(),
            account: event.account,
            programme: event.programme,
            number: event.number,
            keeps_use: event.keeps_use,
            deadline_ms: event.deadline_ms,
            when_late: event.when_late,
            whom: Whom::Hook,
            ceiling: MinorUnits::MAX,
        }
    }
}

impl From<Request> for crate::Request {
    fn from(request: Request) -> Self {
        Self {
            message: request.message,
            processing: request.processing,
            reference: request.reference,
            identity: request.identity,
            content: request.content,
            original: request.original,
            number: request.number,
            expiry: request.expiry,
            cvc2: request.cvc2,
            proof: Proof::NoKey,
            amount: request.amount,
            replacement: request.replacement,
            currency: request.currency,
            declined_elsewhere: request.declined_elsewhere,
            repeat: request.repeat,
            facts: request.facts,
            paged: request.paged,
            partition: crate::PartitionId::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use mayfly_card::{ApprovalCode, Channel, LastFour, MerchantId};
    use mayfly_keys::NumberIndex;

    use super::*;
    use crate::{
        AnswerKept, Effect, IssuerOpened, NumberId, Previous, Reason, ResponseCode, Retirement, Revival,
        TotalsChange, Transacted,
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
        crate::Event::read_all(OLDEST, &bytes, |event| events.push(event)).unwrap();
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
