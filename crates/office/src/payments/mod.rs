//! The payment gateway: what merchants order becomes purchases of the core, and what they may hear of them.
//!
//! A payment is nothing but its [order](Payment), written once before the core is asked, and the transactions that the
//! core has under its reference: what has become of it is read there, and stands nowhere else. So there is nothing that
//! could disagree after a crash, and whatever is sent again is the core's own repeat.
//!
//! Nothing of account, cardholder, programme or inner reason leaves through here, and no card number is kept: it becomes
//! its index before anything is written.

mod authorise;
mod console;
mod history;
mod later;
mod request;
mod turns;

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use mayfly_card::{ApprovalCode, Currency, Expiry, LastFour, MinorUnits, Pan};
use mayfly_core::{MessageAnswer, Reason, Request, ResponseCode, TimeMs};
use mayfly_keys::Cvc2;
use mayfly_store::directory::{
    Directory, DirectoryError, Merchant, OrderReference, Payment, PaymentId, WebAddress,
};
use tokio::sync::Semaphore;
use tracing::Instrument;

use crate::{Office, OfficeError};
pub use later::Later;
use turns::Turns;

/// How long a payment waits for a number after it was ordered: for the cardholder to log in, or for another number when
/// the first was declined.
pub const WAIT_MAX_MS: TimeMs = 30 * 60 * 1000;
/// How many numbers may be tried for one payment.
pub const ATTEMPTS_MAX: usize = 3;
/// How many calls of the directory run at a time; whoever comes then waits for one of them.
const CALLS_MAX: usize = 32;

/// Where merchants' requests are done.
pub struct Gateway {
    office: Arc<Office>,
    directory: Arc<Directory>,
    turns: Arc<Turns>,
    places: Semaphore,
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Gateway")
    }
}

/// Who asks for something, by which key a repeat of it is known, and what it is that he asks.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Who asks, and where.
    pub sender: String,
    /// The key of his choice.
    pub key: String,
    /// A hash of all that he asks, which stays in memory: it may be over a card number.
    pub content: [u8; 32],
}

/// A number as it was typed into a shop.
pub struct SentCard {
    /// The number.
    pub pan: Pan,
    /// Its expiration date.
    pub expiry: Expiry,
    /// Its CVC2, if that was asked for.
    pub cvc2: Option<Cvc2>,
}

impl fmt::Debug for SentCard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SentCard")
    }
}

/// What a merchant orders.
pub struct Order {
    /// What he calls it.
    pub reference: OrderReference,
    /// How much he wants.
    pub amount: MinorUnits,
    /// In which currency.
    pub currency: Currency,
    /// Whether it is captured as soon as it is authorised.
    pub captures: bool,
    /// Where he wants the cardholder back.
    pub return_url: Option<WebAddress>,
    /// What the cardholder typed as his name. Nobody gets it, and it is not kept.
    pub name: String,
    /// What he typed as his address. Nobody gets it, and it is not kept.
    pub address: String,
    /// The number that he typed.
    pub card: SentCard,
}

/// What has become of a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PaymentState {
    /// It was ordered, and nobody has heard what came of it: the order may be sent again.
    Pending,
    /// It came with a universal number: the cardholder has to be asked.
    ConsoleRequired,
    /// The amount is held.
    Authorised,
    /// A part is captured, and the rest is still held.
    PartiallyCaptured,
    /// It is captured, and nothing is held any more.
    Captured,
    /// The merchant gave it up.
    Cancelled,
    /// A part was given back.
    PartiallyRefunded,
    /// All of it was given back.
    Refunded,
    /// It was declined.
    Declined,
    /// Its time is over: nobody paid in time, or what was held was not captured in time.
    Expired,
    /// It is so old that what became of it was dropped from the views.
    Archived,
}

/// A payment as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaymentNow {
    /// As it was ordered.
    pub payment: Payment,
    /// What has become of it.
    pub state: PaymentState,
    /// What was answered to the number that was tried last, if one was.
    pub response: Option<ResponseCode>,
    /// The approval code, if it was approved.
    pub approval: Option<ApprovalCode>,
    /// What is authorised, in minor units.
    pub authorised: i64,
    /// What is captured.
    pub captured: i64,
    /// What was given back of that.
    pub refunded: i64,
    /// The last four digits of the number that was tried last, or that it was ordered with.
    pub last_four: LastFour,
    /// Where the cardholder goes to pay it, while he is waited for and if the issuer has said so.
    pub console: Option<String>,
}

/// Why the gateway did not do what was asked.
#[derive(Debug, PartialEq, Eq)]
pub enum GatewayError {
    /// Not a number of this issuer's, or none at all.
    NumberNotAccepted,
    /// The merchant takes no payments any more.
    MerchantClosed,
    /// The payment does not allow that now, or not any more.
    NotNow,
    /// More than there is of it.
    TooMuch,
    /// Something else was asked with the same key.
    OtherContent,
    /// Nothing was decided: the same may be sent again in a moment.
    Unavailable,
    /// It could not be done at all.
    Office(OfficeError),
}

impl<E: Into<OfficeError>> From<E> for GatewayError {
    fn from(error: E) -> Self {
        Self::Office(error.into())
    }
}

impl Gateway {
    /// On an office, and the directory where orders stand.
    pub fn new(office: Arc<Office>, directory: Arc<Directory>) -> Self {
        Self { office, directory, turns: Arc::default(), places: Semaphore::new(CALLS_MAX) }
    }

    /// Does something to a payment when its turn comes, and to the end: whoever asked may go away meanwhile.
    async fn in_turn<T: Send + 'static>(
        &self,
        id: PaymentId,
        work: impl Future<Output = Result<T, GatewayError>> + Send + 'static,
    ) -> Result<T, GatewayError> {
        let turn = self.turns.take(id).await;
        let work = async move {
            let _turn = turn;
            work.await
        };
        tokio::spawn(work.in_current_span()).await.map_err(|_| OfficeError::Stopped)?
    }

    /// Has a message decided; the answer is durable.
    async fn decide(&self, request: Request) -> Result<MessageAnswer, GatewayError> {
        let answer = self.office.decide(request).await?;
        match (answer.transaction, answer.reason) {
            (Some(_), _) | (None, Reason::TakenBack) => Ok(answer),
            (None, Reason::OtherContent) => Err(GatewayError::OtherContent),
            (None, Reason::TooManyMessages) => Err(GatewayError::NotNow),
            (None, _) => Err(GatewayError::Unavailable),
        }
    }

    /// Asks the directory, whose calls block.
    async fn ask_directory<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Directory) -> Result<T, DirectoryError> + Send + 'static,
    ) -> Result<T, GatewayError> {
        // The semaphore is never closed.
        let _place = self.places.acquire().await.map_err(|_| OfficeError::Stopped)?;
        let directory = self.directory.clone();
        let asked = tokio::task::spawn_blocking(move || ask(&directory)).await;
        Ok(asked.map_err(|_| OfficeError::Stopped)??)
    }

    /// A payment as it stands.
    ///
    /// # Errors
    /// If the core, the views or the directory can't be asked.
    pub async fn now(&self, payment: Payment, merchant: &Merchant) -> Result<PaymentNow, GatewayError> {
        let mut all = self.all_now(vec![payment], merchant).await?;
        all.pop().ok_or(GatewayError::Office(OfficeError::Stopped))
    }

    /// Payments to a merchant as they stand.
    ///
    /// # Errors
    /// If the core, the views or the directory can't be asked.
    pub async fn all_now(
        &self,
        payments: Vec<Payment>,
        merchant: &Merchant,
    ) -> Result<Vec<PaymentNow>, GatewayError> {
        let histories = self.histories(&payments, merchant).await?;
        let mut all = Vec::with_capacity(payments.len());
        for (payment, history) in payments.into_iter().zip(histories) {
            all.push(self.shown(payment, &history).await?);
        }
        Ok(all)
    }
}
