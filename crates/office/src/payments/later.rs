//! What a merchant does about a payment afterwards: capture it, give it up, give money back.

use std::sync::Arc;

use mayfly_card::MinorUnits;
use mayfly_core::scheme::dynamic::Proof;
use mayfly_core::state::Transaction;
use mayfly_core::{Cvc2Check, MessageKind, NumberRef, PartitionId, Processing, Reason, ResponseCode};
use mayfly_keys::NumberIndex;
use mayfly_store::directory::{Merchant, Payment};

use super::history::History;
use super::request::{Card, Message};
use super::{Asked, Gateway, GatewayError, PaymentNow};

/// What is done about a payment afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Later {
    /// So much of what is held is captured; all of it if none is said.
    Capture(Option<MinorUnits>),
    /// What is not captured is given up: what is held is given back, and no number is tried any more.
    Cancel,
    /// So much of what is captured is given back; all of it if none is said.
    Refund(Option<MinorUnits>),
}

impl Later {
    /// In words, for the hash of what was asked.
    fn name(self) -> &'static [u8] {
        match self {
            Self::Capture(_) => b"capture",
            Self::Cancel => b"cancel",
            Self::Refund(_) => b"refund",
        }
    }

    fn asked(self) -> Option<MinorUnits> {
        match self {
            Self::Capture(amount) | Self::Refund(amount) => amount,
            Self::Cancel => None,
        }
    }
}

impl Gateway {
    /// Does something about a payment. The same that comes again is done once.
    ///
    /// # Errors
    /// If the payment does not allow it now, there is not so much of it, something else was asked with the key, or
    /// nothing was decided.
    pub async fn later(
        self: &Arc<Self>,
        payment: Payment,
        merchant: Merchant,
        later: Later,
        asked: Asked,
    ) -> Result<PaymentNow, GatewayError> {
        let (gateway, id) = (self.clone(), payment.id);
        self.in_turn(id, async move { gateway.later_now(payment, &merchant, later, &asked).await }).await
    }

    async fn later_now(
        &self,
        payment: Payment,
        merchant: &Merchant,
        later: Later,
        asked: &Asked,
    ) -> Result<PaymentNow, GatewayError> {
        let history = self.history(&payment, merchant).await?;
        let identity = self.identity(payment.id, asked);
        let is_repeat = history.find(identity).is_some();
        let purchase = history.approved();
        let is_possible = match (later, purchase) {
            // What is captured at once can only be given back.
            (Later::Cancel, Some(purchase)) => purchase.message == MessageKind::Authorisation,
            (Later::Cancel, None) => !history.is_cancelled(),
            (Later::Capture(_) | Later::Refund(_), purchase) => purchase.is_some(),
        };
        if !is_possible && !is_repeat {
            return Err(GatewayError::NotNow);
        }
        let (kind, processing) = match later {
            Later::Capture(_) => (MessageKind::FinancialAdvice, Processing::Purchase),
            Later::Cancel => (MessageKind::Reversal, Processing::Purchase),
            Later::Refund(_) => (MessageKind::Financial, Processing::Refund),
        };
        // What is left may be another amount when it comes again, so only what was asked counts for a repeat.
        let minor = later.asked().map(|amount| amount.value().to_be_bytes());
        let minor = minor.as_ref().map_or(&[][..], |minor| minor);
        let content = self.content(&[&payment.id.0, later.name(), minor]);
        let amount = later.asked().unwrap_or_else(|| left(later, &payment, purchase));
        // What can't be is not asked: it would take a place among the payment's messages for nothing.
        if !is_repeat && let (Later::Capture(_) | Later::Refund(_), Some(purchase)) = (later, purchase) {
            let most = self.most(later, purchase);
            if most <= 0 {
                return Err(GatewayError::NotNow);
            }
            if amount.signed() > most {
                return Err(GatewayError::TooMuch);
            }
        }
        let card = card(&payment, &history);
        // As long as its purchase is in memory, so is all that was done to it.
        let message = Message { kind, processing, amount, card, identity, content, repeat: false };
        let answer = self.decide(self.request(&payment, merchant, message)).await?;
        match (answer.response, answer.reason) {
            (ResponseCode::Approved, _) => self.now(payment, merchant).await,
            (_, Reason::MoreThanLeft | Reason::MoreThanCaptured) => Err(GatewayError::TooMuch),
            _ => Err(GatewayError::NotNow),
        }
    }
}

impl Gateway {
    /// How much can be captured or given back at the most, in minor units.
    fn most(&self, later: Later, purchase: &Transaction) -> i64 {
        let totals = purchase.totals;
        if matches!(later, Later::Refund(_)) {
            return totals.captured - totals.refunded;
        }
        let programme = purchase.programme.and_then(|id| self.office.catalogue.programme(id));
        let tolerance_bp = programme.map_or(0, |entry| entry.programme.terms.tolerance_bp);
        totals.authorised.saturating_add(totals.authorised.saturating_mul(tolerance_bp.into()) / 10_000)
            - totals.captured
    }
}

/// How much is left to be done. With nothing left the core says so.
fn left(later: Later, payment: &Payment, purchase: Option<&Transaction>) -> MinorUnits {
    let totals = purchase.map(|purchase| purchase.totals).unwrap_or_default();
    let minor = match later {
        Later::Capture(_) => totals.held,
        Later::Refund(_) => totals.captured - totals.refunded,
        Later::Cancel => payment.amount.signed(),
    };
    u64::try_from(minor).ok().and_then(MinorUnits::new).unwrap_or(MinorUnits::ZERO)
}

/// The number that is meant: that of the purchase, or the last that was tried. Where none was, the message is about
/// none.
fn card(payment: &Payment, history: &History) -> Card {
    let meant = history.approved().or_else(|| history.last_attempt());
    let number: Option<NumberRef> = meant.and_then(|meant| meant.number);
    Card {
        index: number.map_or(NumberIndex(0), |number| number.index),
        // Where the number is, there was its transaction.
        partition: meant.map_or(PartitionId::FIRST, |meant| meant.id.partition()),
        programme: meant.and_then(|meant| meant.programme).or(payment.programme),
        last_four: payment.last_four,
        expiry: None,
        cvc2: Cvc2Check::Absent,
        proof: Proof::NoKey,
    }
}
