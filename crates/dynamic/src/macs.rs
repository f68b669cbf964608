//! The MACs of a card: AES-CMAC under its key, each with a label of its own.

use std::fmt;

use mayfly_card::{Currency, Expiry, MerchantId, MinorUnits};
use mayfly_keys::{Mac, MacKey, MacState};
use subtle::{ConditionallySelectable, ConstantTimeEq};

use crate::etsn::{AppVersion, Etsn, OPEN_MAX, Tsn};
use crate::field::{FieldMac, MacField};
use crate::key::CardKey;
use crate::number::CardNumber;
use crate::reference::{PseudoExpiry, ReferenceData};

/// Length of what a wallet draws when it asks for its card's last TSN.
pub const LAST_TSN_NONCE_BYTES: usize = 16;

/// A card's key, prepared once for all MACs of a request, with the number that enters each of them. Wiped on drop.
pub struct CardMacs {
    key: MacKey,
    number: CardNumber,
}

/// A purchase, as the MAC field covers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Purchase {
    /// Its amount.
    pub amount: MinorUnits,
    /// Its currency.
    pub currency: Currency,
    /// The merchant's id, DE 42.
    pub merchant: MerchantId,
}

/// The answer to a MAC verification request: what the wallet must know to be the server's.
#[derive(Clone, Copy, Debug)]
pub struct Answer {
    /// The TSN of the request.
    pub tsn: Tsn,
    /// The ETSN that it got.
    pub etsn: Etsn,
    /// How its MAC becomes a date.
    pub reference: ReferenceData,
    /// When it is over, in seconds of Unix time.
    pub expires_unix_s: u64,
    /// The most that it pays, if it is limited: an amount and its currency.
    pub cap: Option<(MinorUnits, Currency)>,
    /// The one merchant that it pays, if it is bound.
    pub merchant: Option<MerchantId>,
}

impl Answer {
    /// The wallet's check: that the server with the card's key has answered the request that carried `sent`.
    ///
    /// # Errors
    ///
    /// [`AnswerRefusal`]; then nothing of the answer is to be used.
    pub fn verify(&self, macs: &CardMacs, sent: Tsn, mac: &[u8; Mac::BYTES]) -> Result<(), AnswerRefusal> {
        if !macs.response(self).verify(mac) {
            return Err(AnswerRefusal::Mac);
        }
        if self.tsn != sent {
            return Err(AnswerRefusal::OtherRequest);
        }
        if self.etsn.as_tsn() > sent { Ok(()) } else { Err(AnswerRefusal::NotGreater) }
    }
}

/// Why a wallet does not take an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerRefusal {
    /// The MAC is wrong: it is not the server's, or was changed.
    Mac,
    /// It answers another request.
    OtherRequest,
    /// Its ETSN is not greater than the request's TSN.
    NotGreater,
}

impl fmt::Display for AnswerRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mac => "the answer is not that of the server that has the card's key, or was changed",
            Self::OtherRequest => "the answer is that to another request",
            Self::NotGreater => "the answer's sequence number was used before",
        })
    }
}

impl std::error::Error for AnswerRefusal {}

/// An ETSN for mode E that no purchase has used yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenEtsn {
    /// The ETSN.
    pub etsn: Etsn,
    /// The version of the cardholder's software that asked for it.
    pub version: AppVersion,
    /// How its MAC becomes a date.
    pub reference: ReferenceData,
}

impl CardMacs {
    /// Prepares a card's key: its schedule is computed here, and nowhere else for this request.
    pub fn new(key: &CardKey, number: CardNumber) -> Self {
        Self { key: key.prepare(), number }
    }

    /// The number that enters the MACs.
    pub fn number(&self) -> &CardNumber {
        &self.number
    }

    /// MAC1, of the MAC verification request: `"MAC1\0" lp(number) MMYY version u8 TSN u64` (S1 cl. 8, 9; S2 cl. 5).
    pub fn verification(&self, expiry: Expiry, version: AppVersion, tsn: Tsn) -> Mac {
        let mut state = self.start(b"MAC1\0");
        state.update(&expiry.mmyy_bytes());
        state.update(&[version.0]);
        state.update(&tsn.0.to_be_bytes());
        state.finish()
    }

    /// What MAC2 of every ETSN begins with, computed once.
    pub fn expiry_macs(&self) -> ExpiryMacs<'_> {
        ExpiryMacs { prefix: self.start(b"MAC2\0") }
    }

    /// MACT, of a purchase in mode F, of which the MAC field has the first bytes:
    /// `"MACT\0" lp(number) version u8 TSN u64 amount u64 currency (3) lp(merchant id)` (S1 cl. 1b; S2 cl. 10c). The
    /// TSN is the ETSN.
    pub fn field(&self, version: AppVersion, etsn: Etsn, purchase: &Purchase) -> FieldMac {
        FieldMac::of(&self.field_whole(version, etsn, purchase))
    }

    /// The open ETSN of a purchase whose MAC field is right, if any: the field's TSN must be that of one which is issued in
    /// mode F and not over, and its MAC that of this purchase. `open` are those, with the version of the cardholder's software
    /// that asked for each. A field that is wrong is never looked at as anything else.
    pub fn find_field(
        &self,
        open: impl IntoIterator<Item = (Etsn, AppVersion)>,
        field: &MacField,
        purchase: &Purchase,
    ) -> Option<Etsn> {
        // The TSN is no secret, so only its ETSN's MAC is computed.
        let (etsn, version) = open.into_iter().find(|(etsn, _)| field.is_of(*etsn))?;
        field.verify(&self.field(version, etsn, purchase)).then_some(etsn)
    }

    fn field_whole(&self, version: AppVersion, etsn: Etsn, purchase: &Purchase) -> Mac {
        let mut state = self.start(b"MACT\0");
        state.update(&[version.0]);
        state.update(&etsn.0.to_be_bytes());
        state.update(&purchase.amount.value().to_be_bytes());
        state.update(purchase.currency.letters().as_bytes());
        update_lp(&mut state, purchase.merchant.as_str().as_bytes());
        state.finish()
    }

    /// RSP1, of the answer to a MAC verification request: `"RSP1\0" lp(number) TSN u64 ETSN u64 MMYY months u8 expires
    /// u64 cap u64 lp(currency) lp(merchant id)`; cap 0, currency and merchant empty where none is set.
    pub fn response(&self, answer: &Answer) -> Mac {
        let mut state = self.start(b"RSP1\0");
        state.update(&answer.tsn.0.to_be_bytes());
        state.update(&answer.etsn.0.to_be_bytes());
        state.update(&Expiry::from(answer.reference.date()).mmyy_bytes());
        state.update(&[answer.reference.months().count()]);
        state.update(&answer.expires_unix_s.to_be_bytes());
        let (cap, currency) = answer.cap.map_or((0, ""), |(cap, currency)| (cap.value(), currency.letters()));
        state.update(&cap.to_be_bytes());
        update_lp(&mut state, currency.as_bytes());
        update_lp(&mut state, answer.merchant.as_ref().map_or("", MerchantId::as_str).as_bytes());
        state.finish()
    }

    /// TSN1, of the last TSN, which a wallet asks for that was restored from a copy: `"TSN1\0" lp(number) nonce (16) TSN
    /// u64`. The nonce is the wallet's, drawn for this one question, so that an old answer is none.
    pub fn last_tsn(&self, nonce: &[u8; LAST_TSN_NONCE_BYTES], tsn: Tsn) -> Mac {
        let mut state = self.start(b"TSN1\0");
        state.update(nonce);
        state.update(&tsn.0.to_be_bytes());
        state.finish()
    }

    fn start(&self, label: &[u8; 5]) -> MacState<'_> {
        let mut state = self.key.start();
        state.update(label);
        update_lp(&mut state, self.number.pan().digits());
        state
    }
}

/// `lp` of what types keep short: numbers, codes of messages.
fn update_lp(state: &mut MacState<'_>, part: &[u8]) {
    debug_assert!(part.len() <= 19, "a code that is longer than a card number");
    state.update(&[part.len() as u8]);
    state.update(part);
}

/// Computes MAC2 of a card's ETSNs and the dates that they become. Each costs one block, and allocates nothing.
pub struct ExpiryMacs<'a> {
    prefix: MacState<'a>,
}

impl ExpiryMacs<'_> {
    /// MAC2: `"MAC2\0" lp(number) version u8 ETSN u64` (S1 cl. 6g; S2 cl. 3h, 6).
    pub fn mac(&self, version: AppVersion, etsn: Etsn) -> Mac {
        let mut state = self.prefix.clone();
        state.update(&[version.0]);
        state.update(&etsn.0.to_be_bytes());
        state.finish()
    }

    /// The date that MAC2 of an ETSN becomes.
    pub fn expiry(&self, etsn: &OpenEtsn) -> PseudoExpiry {
        PseudoExpiry::of(&self.mac(etsn.version, etsn.etsn), &etsn.reference)
    }

    /// The first of the open ETSNs whose date a purchase presents, if any (S2 cl. 8, 9). `open` are those that are
    /// issued in mode E, oldest first; [`OPEN_MAX`] of them are looked at, and no more are ever open.
    ///
    /// All of them are computed and compared, whichever it is, so that the time says nothing of which.
    pub fn find(&self, open: impl IntoIterator<Item = OpenEtsn>, presented: Expiry) -> Option<Etsn> {
        // 0 for none: the first ETSN that a card gets is 1.
        let mut hit = 0u64;
        for candidate in open.into_iter().take(OPEN_MAX) {
            let first = self.expiry(&candidate).matches(presented) & hit.ct_eq(&0);
            hit.conditional_assign(&candidate.etsn.0, first);
        }
        (hit != 0).then_some(Etsn(hit))
    }
}

impl fmt::Debug for CardMacs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CardMacs(..)")
    }
}

impl fmt::Debug for ExpiryMacs<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ExpiryMacs(..)")
    }
}
