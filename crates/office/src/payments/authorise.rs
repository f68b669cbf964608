//! An order comes in, and a number is tried for it.

use std::sync::Arc;
use std::time::Duration;

use mayfly_core::{
    Hash64, MessageAnswer, MessageKind, Operation, Processing, Refusal, ResponseCode, TimeMs, TransactionId,
};
use mayfly_store::directory::{Merchant, MerchantState, Payment, PaymentId, Placed};
use tokio::time::sleep;

use super::request::{Card, Message};
use super::{Asked, Gateway, GatewayError, Order, PaymentNow, PaymentState, SentCard};
use crate::OfficeError;

/// How often a late approval is tried to be taken back, while nothing is taken because the server is busy.
const TAKE_BACK_TRIES: u32 = 100;
const TAKE_BACK_PAUSE: Duration = Duration::from_millis(100);

impl Gateway {
    /// Takes an order, and has its number authorised; with a universal number nothing is authorised, and the
    /// cardholder has to be asked. The same order that comes again is answered as it stands.
    ///
    /// # Errors
    /// If the number is none of the issuer's, the merchant takes no payments, something else was asked with the key,
    /// or nothing was decided.
    pub async fn order(
        self: &Arc<Self>,
        merchant: Merchant,
        order: Order,
        asked: Asked,
    ) -> Result<PaymentNow, GatewayError> {
        let card = self.accepted(&merchant, &order.card)?;
        let id = self.directory.keyed_hash("payment", &[asked.sender.as_bytes(), asked.key.as_bytes()]);
        let payment = Payment {
            number: 0,
            id: PaymentId(id),
            content: self.content_of(&merchant, &order, &card),
            issuer: merchant.issuer,
            merchant: merchant.id,
            reference: order.reference,
            amount: order.amount,
            currency: order.currency,
            captures: order.captures,
            last_four: card.last_four,
            return_url: order.return_url,
            programme: self.office.catalogue.universal(card.index),
            created_ms: self.office.clock.now_ms(),
        };
        let gateway = self.clone();
        self.in_turn(payment.id, async move { gateway.order_now(payment, merchant, card, asked).await }).await
    }

    async fn order_now(
        &self,
        payment: Payment,
        merchant: Merchant,
        card: Card,
        asked: Asked,
    ) -> Result<PaymentNow, GatewayError> {
        let is_closed = merchant.state == MerchantState::Closed;
        let placed = self.ask_directory(move |directory| {
            if !is_closed {
                return directory.place_payment(payment).map(Some);
            }
            // What he ordered before is still shown.
            let found = directory.payment(payment.issuer, payment.id)?;
            Ok(found.map(|found| match found.content == payment.content {
                true => Placed::Before(found),
                false => Placed::OtherContent,
            }))
        });
        let (payment, is_new) = match placed.await?.ok_or(GatewayError::MerchantClosed)? {
            Placed::New(payment) => (payment, true),
            Placed::Before(payment) => (payment, false),
            Placed::OtherContent => return Err(GatewayError::OtherContent),
        };
        if payment.programme.is_some() {
            return self.now(payment, &merchant).await;
        }
        let identity = self.identity(payment.id, &asked);
        if !is_new {
            let history = self.history(&payment, &merchant).await?;
            let is_known = history.find(identity).is_some();
            if !is_known && (is_closed || !history.is_open(&payment, self.office.clock.now_ms())) {
                return self.shown(payment, &history).await;
            }
        }
        let content = self.content(&[&payment.content]);
        self.authorise(payment, &merchant, (card, identity, content), !is_new).await
    }

    /// Tries a number for a payment that waits for one.
    ///
    /// # Errors
    /// If the payment does not wait for a number, and as [`order`](Self::order).
    pub async fn try_number(
        self: &Arc<Self>,
        payment: Payment,
        merchant: Merchant,
        card: &SentCard,
        asked: Asked,
    ) -> Result<PaymentNow, GatewayError> {
        let card = self.accepted(&merchant, card)?;
        // By itself it authorises nothing, and would take one of the tries.
        if self.office.catalogue.universal(card.index).is_some() {
            return Err(GatewayError::NumberNotAccepted);
        }
        let (gateway, id) = (self.clone(), payment.id);
        let work = async move {
            let identity = gateway.identity(payment.id, &asked);
            let history = gateway.history(&payment, &merchant).await?;
            if history.find(identity).is_none() {
                if merchant.state == MerchantState::Closed {
                    return Err(GatewayError::MerchantClosed);
                }
                if !history.is_open(&payment, gateway.office.clock.now_ms()) {
                    return Err(GatewayError::NotNow);
                }
            }
            let expiry = card.expiry.map(|expiry| expiry.mmyy_bytes()).unwrap_or_default();
            let content = gateway.content(&[&payment.id.0, &card.index.0.to_be_bytes(), &expiry]);
            gateway.authorise(payment, &merchant, (card, identity, content), true).await
        };
        self.in_turn(id, work).await
    }

    /// What can be decided by a number, if it is one of a programme of the merchant's issuer. Whatever else it is, the
    /// merchant is told one thing.
    fn accepted(&self, merchant: &Merchant, sent: &SentCard) -> Result<Card, GatewayError> {
        let card = self.card(sent);
        let programme = card.programme.and_then(|id| self.office.catalogue.programme(id));
        let is_ours = programme.is_some_and(|entry| entry.programme.issuer == merchant.issuer);
        is_ours.then_some(card).ok_or(GatewayError::NumberNotAccepted)
    }

    /// What a repeat of an order must have in common with its first. The CVC2 does not count, because whoever stores an
    /// order for a repeat must not store that.
    fn content_of(&self, merchant: &Merchant, order: &Order, card: &Card) -> [u8; 16] {
        let expiry = card.expiry.map(|expiry| expiry.mmyy_bytes()).unwrap_or_default();
        self.directory.keyed_hash(
            "payment-content",
            &[
                &merchant.id.0.to_be_bytes(),
                &card.index.0.to_be_bytes(),
                &expiry,
                &order.amount.value().to_be_bytes(),
                &order.currency.number().to_be_bytes(),
                &[u8::from(order.captures)],
                order.reference.as_str().as_bytes(),
                order.return_url.as_ref().map(|url| url.as_str().as_bytes()).unwrap_or_default(),
                order.name.as_bytes(),
                order.address.as_bytes(),
            ],
        )
    }

    /// Has a number authorised, and looks at its age when the authorisation is back.
    pub(super) async fn authorise(
        &self,
        payment: Payment,
        merchant: &Merchant,
        (card, identity, content): (Card, Hash64, Hash64),
        repeat: bool,
    ) -> Result<PaymentNow, GatewayError> {
        let kind = if payment.captures { MessageKind::Financial } else { MessageKind::Authorisation };
        let (processing, amount) = (Processing::Purchase, payment.amount);
        let message = Message { kind, processing, amount, card, identity, content, repeat };
        let answer = self.decide(self.request(&payment, merchant, message)).await?;
        if answer.repeat || answer.transaction.is_none() {
            return self.now(payment, merchant).await;
        }
        if let (Some(transaction), Some(good_until_ms)) = (answer.transaction, answer.good_until_ms)
            && !self.is_young_enough(&card, good_until_ms)
        {
            self.take_back(transaction).await?;
            return self.now(payment, merchant).await;
        }
        Ok(decided_now(payment, &answer, &card))
    }

    /// Whether a number is still good when its authorisation has come back: its age must be below what it may be. If
    /// the clock stands before the time at which it can have been issued, nobody knows its age, and it is not.
    fn is_young_enough(&self, card: &Card, good_until_ms: TimeMs) -> bool {
        let programme = card.programme.and_then(|id| self.office.catalogue.programme(id));
        let lifetime_max_ms = programme.map_or(0, |entry| entry.programme.terms.lifetime_max_ms);
        let now_ms = self.office.clock.now_ms();
        now_ms < good_until_ms && good_until_ms - now_ms <= lifetime_max_ms
    }

    /// Takes an approval back that must not be passed on, before anybody hears of it.
    async fn take_back(&self, transaction: TransactionId) -> Result<(), GatewayError> {
        for _ in 0..TAKE_BACK_TRIES {
            match self.office.operate(Operation::TakeBack { transaction }, None).await {
                Err(OfficeError::Busy(_) | OfficeError::Refused(Refusal::Busy)) => {
                    sleep(TAKE_BACK_PAUSE).await;
                }
                // Nothing stands of it any more.
                Ok(_) | Err(OfficeError::Refused(Refusal::NoHold(_))) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
        tracing::error!(%transaction, "a late approval could not be taken back: give it back by hand");
        Err(GatewayError::Unavailable)
    }
}

/// A payment whose number was decided just now.
fn decided_now(payment: Payment, answer: &MessageAnswer, card: &Card) -> PaymentNow {
    let is_approved = answer.response == ResponseCode::Approved;
    let amount = if is_approved { payment.amount.signed() } else { 0 };
    PaymentNow {
        state: match (is_approved, payment.captures) {
            (true, false) => PaymentState::Authorised,
            (true, true) => PaymentState::Captured,
            (false, _) => PaymentState::Declined,
        },
        response: Some(answer.response),
        approval: answer.approval,
        authorised: amount,
        captured: if payment.captures { amount } else { 0 },
        refunded: 0,
        last_four: card.last_four,
        console: None,
        payment,
    }
}
