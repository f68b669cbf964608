//! Messages that nobody sent, as if the network had: for an issuer's developer, on programmes that are sandboxes.
//!
//! They go the same way as any other message, and change the same books. Only where they come from is made up.

use mayfly_card::{
    AcquirerId, Country, Currency, Expiry, Mcc, MerchantId, MinorUnits, Pan, PosEntryMode, Rrn, TerminalId,
};
use mayfly_core::scheme::dynamic::Proof;
use mayfly_core::{
    Facts, Hash64, MessageAnswer, MessageKind, OnceKey, Operation, Original, PartitionId, Presented,
    Processing, ProgrammeId, Reason, Refusal, Request, ResponseCode,
};
use mayfly_engine::cards::Shown;
use mayfly_keys::Cvc2;
use mayfly_store::TransactionRow;

use crate::facts::facts_of_here;
use crate::{Office, OfficeError};

/// Something that a shop does with a number.
#[derive(Debug)]
pub struct SimulatedSale {
    /// What.
    pub kind: SaleKind,
    /// With which number.
    pub number: Pan,
    /// Its expiration date, if it is sent.
    pub expiry: Option<Expiry>,
    /// Its CVC2, if it is sent.
    pub cvc2: Option<Cvc2>,
    /// The amount.
    pub amount: MinorUnits,
    /// Its currency.
    pub currency: Currency,
    /// Which shop.
    pub shop: Shop,
}

/// What a shop does with a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SaleKind {
    /// It asks whether it may be charged, and charges it later (0100).
    Authorisation,
    /// It charges it at once (0200).
    Financial,
    /// Somebody else authorised it, and tells (0120).
    Advice,
    /// It charges what nobody authorised (0220).
    ForcePost,
    /// It gives money back, and does not say for what (0200, processing code 20).
    Refund,
}

impl SaleKind {
    fn message(self) -> (MessageKind, Processing) {
        match self {
            Self::Authorisation => (MessageKind::Authorisation, Processing::Purchase),
            Self::Financial => (MessageKind::Financial, Processing::Purchase),
            Self::Advice => (MessageKind::AuthorisationAdvice, Processing::Purchase),
            Self::ForcePost => (MessageKind::FinancialAdvice, Processing::Purchase),
            Self::Refund => (MessageKind::Financial, Processing::Refund),
        }
    }
}

/// A shop, as a message names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shop {
    /// DE 42.
    pub merchant: MerchantId,
    /// DE 18.
    pub mcc: Option<Mcc>,
    /// DE 19.
    pub country: Option<Country>,
    /// DE 22.
    pub entry_mode: PosEntryMode,
}

/// What comes after an earlier message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Afterwards {
    /// So much of it is charged (0220).
    Completion(MinorUnits),
    /// So much more is to be authorised (0100).
    Increment(MinorUnits),
    /// It is taken back, but for so much (0400).
    Reversal(MinorUnits),
    /// So much of it is given back (0200, processing code 20).
    Refund(MinorUnits),
}

/// How the network knows a simulated acquirer: no real one has nothing but zeros.
const ACQUIRER: &str = "00000000000";

impl Office {
    /// Whether purchases of a programme may be simulated.
    pub fn is_sandbox(&self, programme: ProgrammeId) -> bool {
        self.catalogue.programme(programme).is_some_and(|entry| entry.programme.terms.sandbox)
    }

    /// The programme whose numbers begin as this one does.
    pub fn programme_of(&self, number: &Pan) -> Option<ProgrammeId> {
        self.catalogue.programme_of(number)
    }

    /// What a shop does, as if the network had brought it. The same with the same key is a repeat of it. If the network
    /// does not wait for the answer, it hears 96, and an approval is taken back.
    ///
    /// # Errors
    /// If nothing is taken now, or the server stops.
    pub async fn simulate_sale(
        &self,
        sale: &SimulatedSale,
        (once, waits): (OnceKey, bool),
    ) -> Result<MessageAnswer, OfficeError> {
        let (message, processing) = sale.kind.message();
        let SimulatedSale { number, expiry, cvc2, amount, currency, shop, .. } = sale;
        let cvc2 = cvc2.as_ref().map(|cvc2| &cvc2.expose()[..]);
        let presented = (self.catalogue.presented(number), self.catalogue.partition_of(number));
        let proof = self.catalogue.proof(&presented.0, &Shown { expiry: *expiry, field: None });
        let reference = self.catalogue.hash("simulated", &[&once.key.0.to_be_bytes()]);
        let facts = self.simulated_facts(once.key, reference, *shop);
        let request = Request {
            message,
            processing,
            expiry: *expiry,
            cvc2: self.catalogue.check_cvc2(number, *expiry, cvc2),
            proof,
            amount: *amount,
            ..request(once, reference, presented, *currency, facts)
        };
        self.simulated(request, waits).await
    }

    /// What comes after an earlier message, by the same shop and with the same number.
    ///
    /// # Errors
    /// If the earlier one had no number of a programme, nothing is taken now, or the server stops.
    pub async fn simulate_afterwards(
        &self,
        earlier: &TransactionRow,
        afterwards: Afterwards,
        once: OnceKey,
    ) -> Result<MessageAnswer, OfficeError> {
        let transaction = &earlier.transaction;
        let none = OfficeError::NoTransaction(transaction.id);
        let (Some(number), Some(programme)) = (transaction.number, transaction.programme) else {
            return Err(none);
        };
        let id = number.id;
        let row = self.views.read(move |views| views.number(id)).await?.ok_or(none)?;
        let presented =
            Presented::Number { index: number.index, programme: Some(programme), last_four: row.last_four };
        let shop = Shop {
            merchant: earlier.facts.merchant,
            mcc: earlier.facts.mcc,
            country: earlier.facts.country,
            entry_mode: earlier.facts.entry_mode,
        };
        let facts = Facts {
            rrn: earlier.facts.rrn,
            terminal: earlier.facts.terminal,
            acquirer: earlier.facts.acquirer,
            ..self.simulated_facts(once.key, transaction.reference, shop)
        };
        // Where the number is, there was its transaction.
        let presented = (presented, transaction.id.partition());
        let base = request(once, transaction.reference, presented, transaction.currency, facts);
        let reference = transaction.reference;
        let request = match afterwards {
            Afterwards::Completion(amount) => {
                Request { message: MessageKind::FinancialAdvice, amount, ..base }
            }
            Afterwards::Increment(amount) => {
                Request { amount, original: Some(Original { message: None, reference }), ..base }
            }
            Afterwards::Reversal(stays) => Request {
                message: MessageKind::Reversal,
                processing: Processing::Other,
                amount: transaction.amount,
                replacement: Some(stays).filter(|stays| *stays > MinorUnits::ZERO),
                original: Some(Original {
                    message: Some((transaction.message, transaction.stan)),
                    reference,
                }),
                ..base
            },
            Afterwards::Refund(amount) => {
                Request { message: MessageKind::Financial, processing: Processing::Refund, amount, ..base }
            }
        };
        self.simulated(request, true).await
    }

    async fn simulated(&self, request: Request, waits: bool) -> Result<MessageAnswer, OfficeError> {
        let answer = self.decide(request).await?;
        if matches!(answer.reason, Reason::Overloaded | Reason::Unconfirmed) {
            return Err(OfficeError::Refused(Refusal::Busy));
        }
        if waits {
            return Ok(answer);
        }
        if let Some(transaction) =
            answer.transaction.filter(|_| answer.response == ResponseCode::Approved && !answer.repeat)
        {
            self.operate(Operation::TakeBack { transaction }, None).await?;
        }
        Ok(MessageAnswer { response: ResponseCode::Malfunction, approval: None, ..answer })
    }

    fn simulated_facts(&self, identity: Hash64, reference: Hash64, shop: Shop) -> Facts {
        let rrn = format!("{:012}", reference.0 % 1_000_000_000_000);
        Facts {
            acquirer: AcquirerId::parse(ACQUIRER).unwrap_or_default(),
            rrn: Rrn::parse(&rrn).unwrap_or_default(),
            terminal: TerminalId::parse("SIMULATE").unwrap_or_default(),
            merchant: shop.merchant,
            mcc: shop.mcc,
            country: shop.country,
            entry_mode: shop.entry_mode,
            ..facts_of_here(identity, self.clock.now_ms())
        }
    }
}

/// An authorisation of nothing, to be made into whatever is meant.
fn request(
    once: OnceKey,
    reference: Hash64,
    (number, partition): (Presented, PartitionId),
    currency: Currency,
    facts: Facts,
) -> Request {
    Request {
        message: MessageKind::Authorisation,
        processing: Processing::Purchase,
        reference,
        identity: once.key,
        content: once.content,
        original: None,
        number,
        expiry: None,
        cvc2: mayfly_core::Cvc2Check::Absent,
        proof: Proof::NoKey,
        amount: MinorUnits::ZERO,
        replacement: None,
        currency,
        declined_elsewhere: false,
        // It may have been sent before, longer ago than memory reaches.
        repeat: true,
        facts,
        paged: None,
        partition,
    }
}
