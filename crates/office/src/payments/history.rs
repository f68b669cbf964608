//! What has become of a payment: it follows from the transactions under its reference.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use mayfly_card::{LastFour, MerchantId};
use mayfly_core::state::Transaction;
use mayfly_core::{Hash64, Kind, MessageKind, ResponseCode, TimeMs};
use mayfly_store::directory::{Merchant, Payment};

use super::{ATTEMPTS_MAX, Gateway, GatewayError, PaymentNow, PaymentState, WAIT_MAX_MS};

/// The transactions of a payment, the latest first.
#[derive(Debug, Default)]
pub(super) struct History {
    found: Vec<Transaction>,
    /// Whether there may have been some that were dropped: what was over at this time is not in the views any more.
    dropped_before_ms: TimeMs,
}

impl History {
    /// The numbers that were tried, the latest first.
    fn attempts(&self) -> impl Iterator<Item = &Transaction> {
        self.found.iter().filter(|it| it.kind == Kind::Purchase && it.message != MessageKind::Operator)
    }

    /// The number that was tried last.
    pub(super) fn last_attempt(&self) -> Option<&Transaction> {
        self.attempts().next()
    }

    /// The purchase that was approved and not taken back because its approval came too late.
    pub(super) fn approved(&self) -> Option<&Transaction> {
        self.attempts().find(|it| it.is_purchase() && !self.was_taken_back(it))
    }

    fn was_taken_back(&self, purchase: &Transaction) -> bool {
        let by_us = |it: &&Transaction| it.message == MessageKind::Operator && it.kind == Kind::Reversal;
        self.found.iter().filter(by_us).any(|it| it.target == Some(purchase.id))
    }

    /// Whether the merchant gave it up.
    pub(super) fn is_cancelled(&self) -> bool {
        self.found.iter().any(|it| {
            it.message == MessageKind::Reversal
                && it.kind == Kind::Reversal
                && it.response == ResponseCode::Approved
        })
    }

    /// What was decided when the same was asked before.
    pub(super) fn find(&self, identity: Hash64) -> Option<&Transaction> {
        self.found.iter().find(|it| it.identity == identity)
    }

    /// Whether it still waits for a number.
    pub(super) fn is_open(&self, payment: &Payment, now_ms: TimeMs) -> bool {
        self.approved().is_none()
            && !self.is_cancelled()
            && self.attempts().count() < ATTEMPTS_MAX
            && now_ms < payment.created_ms.saturating_add(WAIT_MAX_MS)
    }

    fn state(&self, payment: &Payment, now_ms: TimeMs) -> PaymentState {
        if let Some(purchase) = self.approved() {
            return match purchase.totals {
                totals if totals.held > 0 && totals.captured > 0 => PaymentState::PartiallyCaptured,
                totals if totals.held > 0 => PaymentState::Authorised,
                totals if totals.captured > 0 && totals.refunded == 0 => PaymentState::Captured,
                totals if totals.refunded < totals.captured => PaymentState::PartiallyRefunded,
                totals if totals.captured > 0 => PaymentState::Refunded,
                _ if self.is_cancelled() => PaymentState::Cancelled,
                _ => PaymentState::Expired,
            };
        }
        if self.found.is_empty() && payment.created_ms < self.dropped_before_ms {
            PaymentState::Archived
        } else if self.is_cancelled() {
            PaymentState::Cancelled
        } else if self.last_attempt().is_some() {
            PaymentState::Declined
        } else if now_ms >= payment.created_ms.saturating_add(WAIT_MAX_MS) {
            PaymentState::Expired
        } else if payment.programme.is_some() {
            PaymentState::ConsoleRequired
        } else {
            PaymentState::Pending
        }
    }

    fn response(&self) -> Option<ResponseCode> {
        let decided = self.approved().or_else(|| self.last_attempt())?;
        // What was taken back was never passed on.
        Some(if self.was_taken_back(decided) { ResponseCode::Declined } else { decided.response })
    }
}

impl Gateway {
    /// The transactions of a payment.
    pub(super) async fn history(
        &self,
        payment: &Payment,
        merchant: &Merchant,
    ) -> Result<History, GatewayError> {
        let found = self.histories(std::slice::from_ref(payment), merchant).await?;
        Ok(found.into_iter().next().unwrap_or_default())
    }

    /// The transactions of each payment.
    ///
    /// All of them came after the payment was ordered: where memory reaches back to that, it has them all. Else it has
    /// forgotten what is folded already.
    pub(super) async fn histories(
        &self,
        payments: &[Payment],
        merchant: &Merchant,
    ) -> Result<Vec<History>, GatewayError> {
        let wanted: Vec<_> = payments.iter().map(|it| (self.reference(it.id), it.created_ms)).collect();
        let (asked, at) = (wanted.clone(), merchant.card_acceptor);
        let in_memory = self.office.look(move |partitions| {
            // Each number that was tried may be of another partition.
            let reaches_back = |created_ms| {
                partitions.iter().map(|state| &state.transactions).all(|transactions| {
                    !transactions.has_forgotten()
                        || transactions.oldest_ms().is_some_and(|oldest_ms| oldest_ms < created_ms)
                })
            };
            let found = asked.into_iter().map(|(reference, created_ms)| {
                (reaches_back(created_ms), partitions.under(reference).cloned().collect::<Vec<_>>())
            });
            found.collect::<Vec<_>>()
        });
        let mut histories = Vec::with_capacity(wanted.len());
        for ((is_whole, mut found), (reference, _)) in in_memory.await?.into_iter().zip(wanted) {
            let mut dropped_before_ms = 0;
            if !is_whole {
                let folded = self.office.views.read_now(move |views| {
                    Ok((views.transactions_under(reference)?, views.dropped_before()?))
                });
                let (folded, before_ms) = folded.await?;
                dropped_before_ms = before_ms;
                // What is in memory is newer than what was folded of it.
                let all = folded.into_iter().chain(found).map(|it| (it.id, it));
                found = all.collect::<BTreeMap<_, _>>().into_values().collect();
            }
            found.sort_by_key(|it| Reverse((it.at_ms, it.id)));
            // By chance something else may stand under the same hash.
            found.retain(|it| is_of(it, reference, at));
            histories.push(History { found, dropped_before_ms });
        }
        Ok(histories)
    }

    /// A payment, as it follows from its transactions.
    pub(super) async fn shown(
        &self,
        payment: Payment,
        history: &History,
    ) -> Result<PaymentNow, GatewayError> {
        let now_ms = self.office.clock.now_ms();
        let last_four = self.last_four(&payment, history).await?;
        let is_asked = history.is_open(&payment, now_ms);
        let console = match payment.programme.filter(|_| is_asked) {
            Some(programme) => {
                let issuer = payment.issuer;
                self.ask_directory(move |directory| directory.console(issuer, programme)).await?
            }
            None => None,
        };
        let purchase = history.approved();
        let totals = purchase.map(|purchase| purchase.totals).unwrap_or_default();
        Ok(PaymentNow {
            state: history.state(&payment, now_ms),
            response: history.response(),
            approval: purchase.and_then(|purchase| purchase.approval),
            authorised: totals.authorised,
            captured: totals.captured,
            refunded: totals.refunded,
            last_four,
            console: console.map(|console| console.with_parameter("payment", payment.id)),
            payment,
        })
    }

    /// Of the number that was tried last, where that need not be the one that the payment was ordered with.
    async fn last_four(&self, payment: &Payment, history: &History) -> Result<LastFour, GatewayError> {
        let ordered = payment.last_four;
        if payment.programme.is_none() && history.attempts().count() <= 1 {
            return Ok(ordered);
        }
        let decided = history.approved().or_else(|| history.last_attempt());
        let Some(number) = decided.and_then(|it| it.number) else { return Ok(ordered) };
        let row = self.office.views.read(move |views| views.number(number.id)).await?;
        Ok(row.map_or(ordered, |row| row.last_four))
    }
}

/// Whether a transaction is one of the payment's.
fn is_of(transaction: &Transaction, reference: Hash64, merchant: MerchantId) -> bool {
    // What we took back ourselves names no merchant.
    let is_his = transaction.merchant == merchant || transaction.message == MessageKind::Operator;
    transaction.reference == reference && is_his
}
