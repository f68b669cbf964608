//! The cardholder pays at his issuer's own page: the number is made for this one payment, and never leaves the server.

use std::sync::Arc;

use mayfly_card::Channel;
use mayfly_core::{AccountId, Controls, MerchantRule, NumberId};
use mayfly_store::directory::{Merchant, MerchantState, Payment};

use super::{Asked, Gateway, GatewayError, PaymentNow, PaymentState, SentCard};
use crate::NumberOrder;

impl Gateway {
    /// Whether a cardholder can pay it at his issuer's page: it came with a universal number, and waits.
    ///
    /// # Errors
    /// If the core, the views or the directory can't be asked.
    pub async fn waits_for_cardholder(
        &self,
        payment: &Payment,
        merchant: &Merchant,
    ) -> Result<bool, GatewayError> {
        if payment.programme.is_none() || merchant.state == MerchantState::Closed {
            return Ok(false);
        }
        let history = self.history(payment, merchant).await?;
        Ok(history.is_open(payment, self.office.clock.now_ms()))
    }

    /// Pays a payment from a cardholder's account: a number is issued for it, and tried at once.
    ///
    /// # Errors
    /// If it does not wait for him, no number can be issued, something else was asked with the key, or nothing was
    /// decided.
    pub async fn pay(
        self: &Arc<Self>,
        payment: Payment,
        merchant: Merchant,
        account: AccountId,
        asked: Asked,
    ) -> Result<PaymentNow, GatewayError> {
        let (gateway, id) = (self.clone(), payment.id);
        self.in_turn(id, async move { gateway.pay_now(payment, &merchant, account, &asked).await }).await
    }

    async fn pay_now(
        &self,
        payment: Payment,
        merchant: &Merchant,
        account: AccountId,
        asked: &Asked,
    ) -> Result<PaymentNow, GatewayError> {
        let history = self.history(&payment, merchant).await?;
        let identity = self.identity(payment.id, asked);
        let content = self.content(&[&payment.id.0, b"pay", &account.0.to_be_bytes()]);
        if let Some(before) = history.find(identity) {
            if before.content != content {
                return Err(GatewayError::OtherContent);
            }
            return self.shown(payment, &history).await;
        }
        let is_open = history.is_open(&payment, self.office.clock.now_ms());
        if payment.programme.is_none() || merchant.state == MerchantState::Closed || !is_open {
            return Err(GatewayError::NotNow);
        }
        let order = NumberOrder {
            account,
            programme: payment.programme,
            uses: 1,
            lifetime_ms: None,
            controls: Controls {
                amount_max: Some(payment.amount),
                currency: Some(payment.currency),
                merchant: MerchantRule::Fixed(merchant.card_acceptor),
                channel: Some(Channel::CardNotPresent),
                ..Controls::default()
            },
        };
        // With the same key it is the same number: one that was made before the server broke off is taken now.
        let once = self.office.once_key(asked.sender.as_bytes(), asked.key.as_bytes(), &asked.content);
        let issued = self.office.issue_number(order, Some(once)).await?;
        let (number, card) =
            (issued.id, SentCard { pan: issued.pan, expiry: issued.expiry, cvc2: Some(issued.cvc2) });
        let card = self.card(&card);
        let paid = self.authorise(payment, merchant, (card, identity, content), true).await?;
        if paid.state == PaymentState::Declined {
            self.give_up(number).await;
        }
        Ok(paid)
    }

    /// A number that nobody has, and that did not pay, is of no use. If it can't be cancelled it expires by itself.
    async fn give_up(&self, number: NumberId) {
        if let Err(error) = self.office.cancel_number(number, None).await {
            tracing::debug!(%number, %error, "the number of a declined payment was not cancelled");
        }
    }
}
