//! Issuer hosts: who has the money of an account that they fund, and what they have to be told.
//!
//! Such an account pays when its issuer host says yes to a *second request* (S1 claims 1f and 4, S2 claim 2), which is
//! a question like any other. What happens to a purchase later (it is completed, reversed, refunded) the
//! host is told by an advice. So is it told, by a reversal, that a second request does not stand: because nobody knows what became
//! of it, or because its yes came to nothing. What is owed is an event of the record in which it came about: nothing
//! of it is ever forgotten.
//!
//! By what a message of ours is known to the host follows from the message that it is made of ([`HostTrace`]). So whoever
//! sends it, and again after a restart, sends the same.

use mayfly_card::{ApprovalCode, Currency, MinorUnits, Rrn, Stan};
use serde::{Deserialize, Serialize};

use crate::{AccountId, Facts, Hash64, IssuerId, MessageKind, NumberRef, Request, ResponseCode};

/// How an issuer's host is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostTerms {
    /// How long its answer is waited for, in milliseconds.
    pub wait_ms: u32,
    /// Up to which amount, in minor units of the account's currency, we approve in its place when it can't be asked or does
    /// not answer. Nothing: we decline.
    pub stand_in_max: MinorUnits,
}

impl Default for HostTerms {
    /// Five seconds, and no stand-in.
    fn default() -> Self {
        Self { wait_ms: 5_000, stand_in_max: MinorUnits::ZERO }
    }
}

/// What an issuer host answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct HostAnswer {
    /// DE 39.
    pub response: ResponseCode,
    /// DE 38.
    pub approval: Option<ApprovalCode>,
}

impl HostAnswer {
    /// Whether it approved.
    pub fn approved(&self) -> bool {
        self.response == ResponseCode::Approved
    }
}

/// By what a message of ours is known to an issuer host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostTrace {
    /// What it is.
    pub message: MessageKind,
    /// The reference of the message that it is made of: the same for all that belongs to one purchase.
    pub reference: Hash64,
    /// Its identity.
    pub identity: Hash64,
    /// DE 7 of that message, `MMDDhhmmss` as a number; 0 where there was none.
    pub transmitted: u32,
}

impl HostTrace {
    /// Of what is made of a message.
    pub fn of(request: &Request) -> Self {
        let Request { message, reference, identity, .. } = *request;
        Self { message, reference, identity, transmitted: request.facts.transmitted }
    }

    /// DE 11.
    pub fn stan(&self) -> Stan {
        // An identity says nothing of the acquirer: those of two tills may be equal. From 1 on: some hosts take 0 for none.
        let mixed = self.identity.0 ^ self.reference.0.rotate_left(32);
        Stan::from_value((mixed % 999_999) as u32 + 1).unwrap_or_default()
    }

    /// DE 37: twelve characters that no other purchase has in a hundred years.
    pub fn rrn(&self) -> Rrn {
        const LETTERS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
        let mut rest = self.reference.0;
        let text: String = std::iter::repeat_with(|| {
            let letter = LETTERS[(rest % 32) as usize];
            rest /= 32;
            char::from(letter)
        })
        .take(12)
        .collect();
        // Twelve characters that all are ASCII.
        Rrn::parse(&text).unwrap_or_default()
    }

    /// Of the advice that we approved in the host's place, which stands for this message from then on.
    #[must_use]
    pub fn stood_in(&self) -> Self {
        let message = match self.message {
            MessageKind::Financial => MessageKind::FinancialAdvice,
            _ => MessageKind::AuthorisationAdvice,
        };
        Self { message, ..*self }
    }

    /// Of the reversal of this message. A host that has done one reversal takes the same again for a repeat: whatever
    /// has to be reversed once more needs another turn.
    #[must_use]
    pub fn reversal(&self, turn: u32) -> Self {
        let identity = Hash64(self.identity.0.rotate_left(23 + 11 * (turn % 2)));
        Self { message: MessageKind::ReversalAdvice, identity, ..*self }
    }
}

/// What an issuer host is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Told {
    /// A message of ours does not stand, or only a part of it does (0420).
    Reversal,
    /// We approved in its place (0120, 0220).
    StandIn,
    /// Something is charged (0220).
    Charge,
    /// Something is given back (0220, processing code 20).
    Refund,
}

impl Told {
    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Reversal => "reversal",
            Self::StandIn => "stand-in",
            Self::Charge => "charge",
            Self::Refund => "refund",
        }
    }
}

/// An issuer host has to be told something, until it says that it has heard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostAdvice {
    /// What.
    pub told: Told,
    /// By what it is known.
    pub trace: HostTrace,
    /// The message of ours that it is about, if there is one.
    pub about: Option<HostTrace>,
    /// Whose host.
    pub issuer: IssuerId,
    /// Whose money.
    pub account: AccountId,
    /// The number.
    pub number: NumberRef,
    /// DE 4: for a reversal, that of the message that it is about.
    pub amount: MinorUnits,
    /// DE 95, what stays of that, if anything does.
    pub stays: Option<MinorUnits>,
    /// DE 49.
    pub currency: Currency,
    /// DE 38 of the purchase, where the host gave one or we did in its place.
    pub approval: Option<ApprovalCode>,
    /// What the message that it is made of says of itself.
    pub facts: Facts,
}
