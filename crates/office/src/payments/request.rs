//! A payment's messages, as the core knows them: made of values, not of a message on the wire.

use mayfly_card::{Expiry, LastFour, MinorUnits, PosEntryMode, Rrn};
use mayfly_core::scheme::dynamic::Proof;
use mayfly_core::{
    Cvc2Check, Facts, Hash64, MessageKind, PartitionId, Presented, Processing, ProgrammeId, Request, TimeMs,
};
use mayfly_engine::cards::Shown;
use mayfly_keys::NumberIndex;
use mayfly_store::directory::{Merchant, OrderReference, Payment, PaymentId};

use super::{Asked, Gateway, SentCard};
use crate::facts::facts_of_here;

/// A number without the number: what can be decided by it, and nothing that could be used elsewhere.
#[derive(Clone, Copy, Debug)]
pub(super) struct Card {
    pub(super) index: NumberIndex,
    pub(super) partition: PartitionId,
    pub(super) programme: Option<ProgrammeId>,
    pub(super) last_four: LastFour,
    pub(super) expiry: Option<Expiry>,
    pub(super) cvc2: Cvc2Check,
    pub(super) proof: Proof,
}

/// One thing that is asked of a payment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Message {
    pub(super) kind: MessageKind,
    pub(super) processing: Processing,
    pub(super) amount: MinorUnits,
    pub(super) card: Card,
    pub(super) identity: Hash64,
    pub(super) content: Hash64,
    /// It may have been sent before, longer ago than memory reaches.
    pub(super) repeat: bool,
}

impl Gateway {
    /// Under which all messages of a payment stand.
    pub(super) fn reference(&self, id: PaymentId) -> Hash64 {
        self.office.catalogue.hash("payment", &[&id.0])
    }

    /// By which a repeat of what is asked is known.
    pub(super) fn identity(&self, id: PaymentId, asked: &Asked) -> Hash64 {
        let parts = [&id.0[..], asked.sender.as_bytes(), asked.key.as_bytes()];
        self.office.catalogue.hash("payment-identity", &parts)
    }

    /// What a repeat must have in common with its first.
    pub(super) fn content(&self, parts: &[&[u8]]) -> Hash64 {
        self.office.catalogue.hash("payment-content", parts)
    }

    /// What can be decided by a number. The number itself is wiped when its owner drops it.
    pub(super) fn card(&self, sent: &SentCard) -> Card {
        let catalogue = &self.office.catalogue;
        let SentCard { pan, expiry, cvc2 } = sent;
        let cvc2 = cvc2.as_ref().map(|cvc2| &cvc2.expose()[..]);
        let (index, programme, last_four) =
            (catalogue.index(pan), catalogue.programme_of(pan), pan.last_four());
        let presented = Presented::Number { index, programme, last_four };
        Card {
            index,
            partition: catalogue.partition_of(pan),
            programme,
            last_four,
            proof: catalogue.proof(&presented, &Shown { expiry: Some(*expiry), field: None }),
            expiry: Some(*expiry),
            cvc2: catalogue.check_cvc2(pan, Some(*expiry), cvc2),
        }
    }

    /// A message of a payment.
    pub(super) fn request(&self, payment: &Payment, merchant: &Merchant, message: Message) -> Request {
        let Message { kind, processing, amount, card, identity, content, repeat } = message;
        let Card { index, partition, programme, last_four, expiry, cvc2, proof } = card;
        Request {
            message: kind,
            processing,
            reference: self.reference(payment.id),
            identity,
            content,
            original: None,
            number: Presented::Number { index, programme, last_four },
            expiry,
            cvc2,
            proof,
            amount,
            replacement: None,
            currency: payment.currency,
            declined_elsewhere: false,
            repeat,
            facts: facts(payment, merchant, identity, self.office.clock.now_ms()),
            paged: None,
            partition,
        }
    }
}

/// What the message says of itself, for whoever looks at it later.
fn facts(payment: &Payment, merchant: &Merchant, identity: Hash64, now_ms: TimeMs) -> Facts {
    Facts {
        rrn: rrn(&payment.reference),
        merchant: merchant.card_acceptor,
        mcc: Some(merchant.mcc),
        country: Some(merchant.country),
        entry_mode: PosEntryMode::E_COMMERCE,
        ..facts_of_here(identity, now_ms)
    }
}

/// The start of what the merchant calls the order, so that people find it.
fn rrn(reference: &OrderReference) -> Rrn {
    let start: String = reference.as_str().chars().take(12).collect();
    Rrn::parse(&start).unwrap_or_default()
}
