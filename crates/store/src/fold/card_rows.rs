//! The rows of cards, their ETSNs, what waits for somebody's word, and what issuer hosts are told.

use mayfly_card::{ApprovalCode, MerchantId, MinorUnits};
use mayfly_core::{Asked, CardRef, EtsnOpened, HostAdvice, NumberId, PartitionId, QuestionId, TimeMs, Whom};
use mayfly_dynamic::{Etsn, RequestRefusal, Tsn};

use super::rows::{Change, Changed, How, Row, Table, bits, change, row};
use crate::sql::{Cells, Value, json, show_month};
use crate::views::codes::Code;
use crate::{EventPlace, StoreError};

type Result<T> = std::result::Result<T, StoreError>;

/// What of an open ETSN's row is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OpenEtsn {
    pub(super) number: NumberId,
    pub(super) etsn: Etsn,
    /// The id of its row among all of them.
    pub(super) id: u64,
    pub(super) expires_ms: TimeMs,
}

impl OpenEtsn {
    /// The columns that it is read from, in any order that a statement has joined them in.
    pub(super) const COLUMNS: &str = "number, etsn, id, expires_ms";

    pub(super) fn read(cells: &mut Cells<'_>) -> Result<Self> {
        Ok(Self {
            number: NumberId(cells.bits()?),
            etsn: Etsn(cells.bits()?),
            id: cells.bits()?,
            expires_ms: cells.bits()?,
        })
    }
}

/// An ETSN that was opened in this batch, and what became of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Opening<'e> {
    pub(super) id: u64,
    pub(super) event: &'e EtsnOpened,
    pub(super) at_ms: TimeMs,
    pub(super) after: EtsnTouch,
}

/// What comes to an ETSN after it was opened.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct EtsnTouch {
    pub(super) checks: u8,
    pub(super) used_ms: Option<TimeMs>,
    pub(super) void_ms: Option<TimeMs>,
}

impl EtsnTouch {
    /// Whether a purchase may still use it.
    pub(super) fn is_open(&self) -> bool {
        self.used_ms.is_none() && self.void_ms.is_none()
    }
}

pub(super) fn etsn<'e>(opening: &Opening<'e>) -> Row<'e, 17> {
    let Opening { id, event, at_ms, after } = *opening;
    row![
        Table::Etsns,
        partition: PartitionId::of_id(id).0,
        id: id as i64,
        number: event.card.number.id.0 as i64,
        etsn: event.etsn.0 as i64,
        tsn: event.tsn.0 as i64,
        mode: event.mode.code(),
        version: event.version.0,
        reference: show_month(event.reference.date()),
        months: event.reference.months().count(),
        cap: event.cap.map(|(cap, _)| cap.signed()),
        cap_currency: event.cap.map(|(_, currency)| currency.number()),
        merchant: event.merchant.as_ref().map(MerchantId::as_str),
        opened_ms: at_ms as i64,
        expires_ms: event.expires_ms as i64,
        checks: after.checks,
        used_ms: bits(after.used_ms),
        void_ms: bits(after.void_ms),
    ]
}

/// One that stays open, among those.
pub(super) fn open<'e>(opening: &Opening<'e>) -> Row<'e, 13> {
    let Opening { id, event, after, .. } = *opening;
    let number = event.card.number.id;
    row![
        Table::OpenEtsns,
        partition: number.partition().0,
        number: number.0 as i64,
        etsn: event.etsn.0 as i64,
        id: id as i64,
        mode: event.mode.code(),
        version: event.version.0,
        reference: show_month(event.reference.date()),
        months: event.reference.months().count(),
        cap: event.cap.map(|(cap, _)| cap.signed()),
        cap_currency: event.cap.map(|(_, currency)| currency.number()),
        merchant: event.merchant.as_ref().map(MerchantId::as_str),
        expires_ms: event.expires_ms as i64,
        checks: after.checks,
    ]
}

/// What comes to an ETSN that was opened before.
pub(super) fn etsn_touched(id: u64, touch: &EtsnTouch) -> Change<'static, 4> {
    change![
        Changed::Etsn,
        Key id: id as i64,
        Add checks: touch.checks,
        Keep used_ms: bits(touch.used_ms),
        Keep void_ms: bits(touch.void_ms),
    ]
}

/// ETSNs of a card were opened.
pub(super) fn card_opened(card: &CardRef, last: (Tsn, Etsn), count: u32) -> Change<'static, 7> {
    change![
        Changed::CardOpened,
        Key partition: card.number.id.partition().0,
        Key id: card.number.id.0 as i64,
        Set number_index: card.number.index.0 as i64,
        Set account: card.account.0 as i64,
        Most last_tsn: last.0.0 as i64,
        Most last_etsn: last.1.0 as i64,
        Add etsns: count,
    ]
}

/// It was locked or unlocked; failed proofs count from that one on.
pub(super) fn card_locked(card: &CardRef, locked_ms: Option<TimeMs>, misses_from: u64) -> Change<'static, 6> {
    change![
        Changed::CardLocked,
        Key partition: card.number.id.partition().0,
        Key id: card.number.id.0 as i64,
        Set number_index: card.number.index.0 as i64,
        Set account: card.account.0 as i64,
        Set locked_ms: bits(locked_ms),
        Most misses_from: misses_from as i64,
    ]
}

/// So many requests of a wallet were refused, the last one so.
pub(super) fn card_refused(
    card: &CardRef,
    count: u32,
    (why, at_ms): (RequestRefusal, TimeMs),
) -> Change<'static, 7> {
    change![
        Changed::CardRefused,
        Key partition: card.number.id.partition().0,
        Key id: card.number.id.0 as i64,
        Set number_index: card.number.index.0 as i64,
        Set account: card.account.0 as i64,
        Add refused: count,
        Set refusal: why.code(),
        Set refused_ms: at_ms as i64,
    ]
}

/// A proof failed, and counts.
pub(super) fn miss(id: u64, card: &CardRef, locks: bool, at_ms: TimeMs) -> Row<'static, 5> {
    row![
        Table::CardMisses,
        partition: PartitionId::of_id(id).0,
        at_ms: at_ms as i64,
        id: id as i64,
        number: card.number.id.0 as i64,
        locks: locks,
    ]
}

/// A message that waits for somebody's word.
pub(super) fn pending(asked: &Asked) -> Result<Row<'static, 10>> {
    let QuestionId(id) = asked.question;
    Ok(row![
        Table::Pending,
        partition: asked.question.partition().0,
        id: id as i64,
        issuer: asked.issuer.0 as i64,
        whom: match asked.whom {
            Whom::Hook => "hook",
            Whom::Host => "host",
        },
        account: bits(asked.account.map(|id| id.0)),
        number: bits(asked.number.map(|number| number.id.0)),
        amount: asked.request.amount.signed(),
        currency: asked.request.currency.number(),
        deadline_ms: asked.deadline_ms as i64,
        asked: json(asked)?,
    ])
}

/// What an issuer host has to be told.
pub(super) fn host_advice(
    partition: PartitionId,
    place: EventPlace,
    advice: &HostAdvice,
    at_ms: TimeMs,
) -> Row<'static, 16> {
    row![
        Table::HostAdvices,
        partition: partition.0,
        issuer: advice.issuer.0 as i64,
        entry: place.sequence as i64,
        place: place.index,
        at_ms: at_ms as i64,
        told: advice.told.code(),
        number: advice.number.id.0 as i64,
        account: advice.account.0 as i64,
        reference: advice.trace.reference.0 as i64,
        stan: advice.trace.stan().value(),
        rrn: advice.trace.rrn().as_str().to_owned(),
        about: advice.about.map(|about| about.stan().value()),
        amount: advice.amount.signed(),
        stays: advice.stays.map(MinorUnits::signed),
        currency: advice.currency.number(),
        approval: advice.approval.map(ApprovalCode::value),
    ]
}
