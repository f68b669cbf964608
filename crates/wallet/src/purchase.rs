//! From the request to the check site to what stands in the merchant's form.

use std::fmt;

use mayfly_card::{Expiry, Pan};
use mayfly_dynamic::{
    Answer, AnswerRefusal, CardNumber, Etsn, LAST_TSN_NONCE_BYTES, MacField, TSN_AHEAD_MAX, Tsn,
    VerificationRequest,
};
use mayfly_keys::Mac;

use crate::card::{Card, CardId, OpenPurchase};
use crate::order::Order;

/// A request that may leave: the wallet has counted it, and was saved. It is used up by its answer, and asked anew, with
/// the next number, if that is lost.
#[derive(Debug)]
pub struct Asked {
    pub(crate) card: CardId,
    pub(crate) number: CardNumber,
    pub(crate) request: VerificationRequest,
    pub(crate) order: Order,
}

impl Asked {
    /// Of which card.
    pub fn card(&self) -> &CardId {
        &self.card
    }

    /// The number that merchants get.
    pub fn number(&self) -> &Pan {
        self.number.pan()
    }

    /// What MAC1 covers, and MAC1.
    pub fn request(&self) -> &VerificationRequest {
        &self.request
    }

    /// What is asked for.
    pub fn order(&self) -> &Order {
        &self.order
    }
}

/// The check site's answer, as it arrives: nothing of it is proved yet.
#[derive(Clone, Debug)]
pub struct SignedAnswer {
    /// What it says.
    pub answer: Answer,
    /// RSP1, over all of it.
    pub mac: [u8; Mac::BYTES],
}

impl SignedAnswer {
    /// The purchase that the check site expects, if it is what was asked for.
    pub(crate) fn verify(&self, card: &Card, asked: &Asked) -> Result<OpenPurchase, AnswerError> {
        let Answer { etsn, reference, expires_unix_s, cap, merchant, tsn: _ } = self.answer;
        self.answer.verify(&card.macs(), asked.request.tsn, &self.mac)?;
        let wish = asked.order.wish();
        // MAC1 does not cover what was wished, so somebody on the way may have changed it; RSP1 covers what came of it.
        if cap != wish.amount {
            return Err(AnswerError::OtherAmount);
        }
        if merchant != wish.merchant {
            return Err(AnswerError::OtherMerchant);
        }
        if etsn > Etsn::MAX {
            return Err(AnswerError::Exhausted);
        }
        Ok(OpenPurchase { order: asked.order.clone(), etsn, reference, expires_unix_s })
    }
}

/// What to put where in a merchant's form.
#[derive(Clone, Debug)]
pub struct Filled {
    /// The number.
    pub number: Pan,
    /// The expiration date: a pseudo one without a MAC field, the card's own with one.
    pub expiry: Expiry,
    /// The MAC field, if the form has one.
    pub mac_field: Option<MacField>,
    /// Until when the check site expects the purchase, in seconds of Unix time.
    pub expires_unix_s: u64,
}

/// A question for the last TSN of a card; used up by its answer.
#[derive(Debug)]
pub struct TsnQuestion {
    pub(crate) card: CardId,
    pub(crate) nonce: [u8; LAST_TSN_NONCE_BYTES],
}

impl TsnQuestion {
    /// Of which card.
    pub fn card(&self) -> &CardId {
        &self.card
    }

    /// What was drawn for it.
    pub fn nonce(&self) -> &[u8; LAST_TSN_NONCE_BYTES] {
        &self.nonce
    }
}

/// The last TSN, as it arrives: nothing of it is proved yet.
#[derive(Clone, Copy, Debug)]
pub struct LastTsn {
    /// The TSN.
    pub tsn: Tsn,
    /// TSN1, over it and the question.
    pub mac: [u8; Mac::BYTES],
}

impl LastTsn {
    /// Where the card's counter goes on from.
    pub(crate) fn verify(&self, card: &Card, question: &TsnQuestion) -> Result<Tsn, LastTsnError> {
        if !card.macs().last_tsn(&question.nonce, self.tsn).verify(&self.mac) {
            return Err(LastTsnError::Mac);
        }
        // Never back: what was sent once is never sent again, whether it arrived or not.
        let on = card.tsn.max(self.tsn);
        if on.0 - self.tsn.0 >= TSN_AHEAD_MAX { Err(LastTsnError::TooFarAhead) } else { Ok(on) }
    }
}

/// Why an answer is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerError {
    /// It is not the check site's answer to this request.
    Refused(AnswerRefusal),
    /// It is for another amount than was asked for, or for any.
    OtherAmount,
    /// It is for another merchant than was asked for, or for any.
    OtherMerchant,
    /// Its number does not fit the MAC field: the card has had them all.
    Exhausted,
}

impl From<AnswerRefusal> for AnswerError {
    fn from(refusal: AnswerRefusal) -> Self {
        Self::Refused(refusal)
    }
}

impl fmt::Display for AnswerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => write!(f, "{refusal}; nothing of it is used"),
            Self::OtherAmount => {
                f.write_str("the answer is for another amount than was asked for; nothing of it is used")
            }
            Self::OtherMerchant => {
                f.write_str("the answer is for another merchant than was asked for; nothing of it is used")
            }
            Self::Exhausted => f.write_str("the card has no sequence numbers left; enrol it anew"),
        }
    }
}

impl std::error::Error for AnswerError {}

/// Why a card's last TSN is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LastTsnError {
    /// The MAC is wrong: it is not the server's, answers another question, or was changed.
    Mac,
    /// The wallet has counted further than the server follows.
    TooFarAhead,
}

impl fmt::Display for LastTsnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mac => {
                f.write_str("the answer is not that of the server that has the card's key, or was changed")
            }
            Self::TooFarAhead => {
                write!(
                    f,
                    "this wallet has asked {TSN_AHEAD_MAX} times without being heard; enrol the card anew"
                )
            }
        }
    }
}

impl std::error::Error for LastTsnError {}
