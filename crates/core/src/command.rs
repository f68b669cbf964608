//! What is asked of the core. A command carries everything that a decision needs: hashes, drawn numbers and
//! checked codes are computed before it is queued, on the connections' tasks.

use mayfly_card::{
    AcquirerId, Country, Currency, Expiry, LastFour, Mcc, MerchantId, MinorUnits, MonthIndex, PosEntryMode,
    Rrn, Stan, TerminalId,
};
use mayfly_dynamic::{Etsn, RequestRefusal};
use mayfly_keys::NumberIndex;
use serde::{Deserialize, Serialize};

use crate::scheme::dynamic::Proof;
use crate::state::Kept;
use crate::{
    AccountId, CardRef, Controls, CreditLimit, DecisionHook, EtsnOpened, Hash64, HostAdvice, HostTerms,
    IssuerId, Name, NumberId, PartitionId, ProgrammeId, QuestionId, Terms, TimeMs, TransactionId, Word,
    fixed,
};

/// One thing to decide.
#[derive(Clone, Debug)]
pub enum Command {
    /// A card message from the network.
    Message(Box<Request>),
    /// A number is wanted.
    Issue(Box<IssueNumber>),
    /// A number that somebody else drew is wanted for an account of another partition.
    Claim(Box<ClaimNumber>),
    /// An operator's act.
    Operate(Box<Operation>),
    /// An operator's act, or the issue of a number, that is done once however often it is sent.
    Once(Box<Once>),
    /// Somebody who was asked has answered, or is not waited for any longer.
    Resolve(Resolution),
    /// A wallet has shown that it has its card's key: an ETSN is opened. It was chosen for the card as it was looked at: if
    /// that has changed, another one has to be.
    OpenEtsn {
        /// What is opened.
        open: Box<EtsnOpened>,
        /// The last ETSN that the card had then.
        last: Etsn,
    },
    /// A wallet's request was refused: it is counted.
    RefuseRequest {
        /// Which card it named.
        card: CardRef,
        /// Why it was refused.
        why: RequestRefusal,
    },
    /// An issuer host has to be told something, for it answered when nobody waited any more.
    Advise(Box<HostAdvice>),
    /// Retire what is over: at most so many numbers.
    Sweep {
        /// The bound of one batch.
        limit: usize,
    },
}

/// What came of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Resolution {
    /// Which one.
    pub question: QuestionId,
    /// Who was asked.
    pub issuer: IssuerId,
    /// What came of it.
    pub word: Word,
}

/// The key that a sender gave to a command, and what he asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OnceKey {
    /// Keyed hash of the key, and of whose it is.
    pub key: Hash64,
    /// Keyed hash of what is asked.
    pub content: Hash64,
}

/// A command with the key that its sender gave to it. Effect and key are one commit: whoever did not hear the answer
/// sends it again and gets the same one, also after a restart.
#[derive(Clone, Debug)]
pub struct Once {
    /// The key.
    pub once: OnceKey,
    /// Given back with the answer when the command is repeated: what follows from it and is kept nowhere else.
    pub note: Vec<u8>,
    /// [`Command::Issue`] or [`Command::Operate`].
    pub command: Command,
    /// What was found in the views under the key; none if nobody has looked yet.
    pub recalled: Option<Option<Kept>>,
}

/// The kinds of card messages, by MTI without the repeat digit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum MessageKind {
    /// 0100
    Authorisation,
    /// 0120
    AuthorisationAdvice,
    /// 0200
    Financial,
    /// 0220
    FinancialAdvice,
    /// 0400
    Reversal,
    /// 0420
    ReversalAdvice,
    /// No message: an operator's act that moved money.
    Operator,
}

impl MessageKind {
    /// Its MTI; none for an operator's act.
    pub fn mti(self) -> &'static str {
        match self {
            Self::Authorisation => "0100",
            Self::AuthorisationAdvice => "0120",
            Self::Financial => "0200",
            Self::FinancialAdvice => "0220",
            Self::Reversal => "0400",
            Self::ReversalAdvice => "0420",
            Self::Operator => "",
        }
    }

    /// By MTI, the repeat digit already taken off.
    pub fn from_mti(mti: &str) -> Option<Self> {
        [
            Self::Authorisation,
            Self::AuthorisationAdvice,
            Self::Financial,
            Self::FinancialAdvice,
            Self::Reversal,
            Self::ReversalAdvice,
        ]
        .into_iter()
        .find(|kind| kind.mti() == mti)
    }

    /// Whether it tells of what has already happened, and so can't be refused.
    pub fn is_advice(self) -> bool {
        matches!(self, Self::AuthorisationAdvice | Self::FinancialAdvice | Self::ReversalAdvice)
    }
}

/// DE 3, as far as it is told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Processing {
    /// 00: goods and services.
    Purchase,
    /// 20: money back to the cardholder.
    Refund,
    /// Anything else: answered 12.
    Other,
}

/// The number that a message presents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Presented {
    /// It has the form of a card number.
    Number {
        /// How it is found.
        #[serde(with = "fixed")]
        index: NumberIndex,
        /// The programme whose prefix it has, if there is one.
        programme: Option<ProgrammeId>,
        /// Its last four.
        last_four: LastFour,
    },
    /// It has not: a wrong check digit, or a wrong length.
    Invalid,
}

/// What came of checking the CVC2 that a message carried, for the number and the date that it carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cvc2Check {
    /// None was sent.
    Absent,
    /// It belongs to number and date.
    Right,
    /// It does not.
    Wrong,
}

/// What a message says of itself, kept word for word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Facts {
    /// DE 32.
    pub acquirer: AcquirerId,
    /// DE 11.
    pub stan: Stan,
    /// DE 37; empty where there was none.
    pub rrn: Rrn,
    /// DE 41.
    pub terminal: TerminalId,
    /// DE 42.
    pub merchant: MerchantId,
    /// DE 18.
    pub mcc: Option<Mcc>,
    /// DE 19.
    pub country: Option<Country>,
    /// DE 22.
    pub entry_mode: PosEntryMode,
    /// DE 7, `MMDDhhmmss` as a number; 0 where there was none.
    pub transmitted: u32,
    /// DE 13, `MMDD` as a number; 0 where there was none.
    pub local_date: u16,
    /// DE 12, `hhmmss` as a number; 0 where there was none.
    pub local_time: u32,
}

/// What a message says of an earlier one (DE 90; DE 38 as well, in an incremental authorisation).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Original {
    /// The earlier message's kind and STAN, if DE 90 named them.
    pub message: Option<(MessageKind, Stan)>,
    /// Where to look for it.
    pub reference: Hash64,
}

/// A card message, parsed, hashed and checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// By its MTI.
    pub message: MessageKind,
    /// By DE 3.
    pub processing: Processing,
    /// Keyed hash of acquirer and RRN: the same for all messages of one purchase. Without an RRN, of acquirer,
    /// STAN, terminal and local date.
    pub reference: Hash64,
    /// Keyed hash of kind, STAN, dates and terminal: together with the reference, the request's identity.
    pub identity: Hash64,
    /// Keyed hash of everything that a repeat must have in common with its first.
    pub content: Hash64,
    /// The earlier message that this one is about, if it names one.
    pub original: Option<Original>,
    /// The number.
    pub number: Presented,
    /// DE 14.
    pub expiry: Option<Expiry>,
    /// DE 48.92, checked.
    pub cvc2: Cvc2Check,
    /// The open ETSN of its card, as it was found before it was queued.
    pub proof: Proof,
    /// DE 4.
    pub amount: MinorUnits,
    /// DE 95, the actual amount.
    pub replacement: Option<MinorUnits>,
    /// DE 49.
    pub currency: Currency,
    /// DE 39 of an advice said that the purchase was declined.
    pub declined_elsewhere: bool,
    /// Its MTI says that it was sent before (0101, 0221, …).
    pub repeat: bool,
    /// What else it said.
    pub facts: Facts,
    /// What was looked up in the views for it: none if nobody has looked yet.
    pub paged: Option<Vec<TransactionId>>,
    /// Where it is decided: in the partition of its number. It is not written with it, for it stands there.
    #[serde(skip)]
    pub partition: PartitionId,
}

/// A number that could be issued: drawn at random and hashed before the command was queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// How it will be found.
    pub index: NumberIndex,
    /// What people see of it.
    pub last_four: LastFour,
}

/// A number is wanted.
#[derive(Clone, Debug)]
pub struct IssueNumber {
    /// Whose purchases it will make.
    pub account: AccountId,
    /// By whose terms.
    pub programme: ProgrammeId,
    /// How often it may be used; 1 unless asked otherwise.
    pub uses: u32,
    /// How long it is good, in milliseconds; the programme's default if none.
    pub lifetime_ms: Option<TimeMs>,
    /// What it may do.
    pub controls: Controls,
    /// The printed expiration date.
    pub expiry: MonthIndex,
    /// Numbers in the order in which to try them.
    pub candidates: Vec<Candidate>,
}

/// A number that somebody else drew is wanted for an account, whose partition is not that of the number's hash. Whoever orders
/// it claims it there first, and then has it issued: so nobody else has it, and its purchases find their way. The same claim
/// again changes nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClaimNumber {
    /// How it is found.
    pub index: NumberIndex,
    /// Where it belongs by its hash.
    pub home: PartitionId,
    /// Whose purchases it will make.
    pub account: AccountId,
    /// By whose terms.
    pub programme: ProgrammeId,
}

/// What operators do.
#[derive(Clone, Debug)]
pub enum Operation {
    /// A new issuer.
    OpenIssuer {
        /// What it is called; no two have the same name.
        name: Name,
    },
    /// A new programme.
    OpenProgramme {
        /// Whose.
        issuer: IssuerId,
        /// What it is called; no two of an issuer have the same name.
        name: Name,
        /// Its terms.
        terms: Terms,
    },
    /// An issuer is to be asked before its accounts pay, or not any more.
    SetHook {
        /// Which issuer.
        issuer: IssuerId,
        /// How it is asked; not at all if none.
        hook: Option<DecisionHook>,
    },
    /// A new account.
    OpenAccount {
        /// With which issuer.
        issuer: IssuerId,
        /// In which currency.
        currency: Currency,
        /// How it is funded.
        limit: CreditLimit,
    },
    /// Another credit limit.
    SetLimit {
        /// Of which account.
        account: AccountId,
        /// The new one.
        limit: CreditLimit,
    },
    /// Money is paid in, or out if negative.
    Fund {
        /// To which account.
        account: AccountId,
        /// How much, in minor units.
        minor: i64,
    },
    /// A channel is switched off, or on again.
    BlockChannel {
        /// Of which account.
        account: AccountId,
        /// Which one.
        channel: mayfly_card::Channel,
        /// Off?
        blocked: bool,
    },
    /// An account is closed, or opened again: it pays for nothing and gets no numbers. What was bought goes on.
    CloseAccount {
        /// Which one.
        account: AccountId,
        /// Closed?
        closed: bool,
    },
    /// A programme is closed, or opened again: no numbers are issued by its terms. Those that were are good until
    /// they are over.
    CloseProgramme {
        /// Which one.
        programme: ProgrammeId,
        /// Closed?
        closed: bool,
    },
    /// An issuer's host is asked by these terms.
    SetHost {
        /// Which issuer's.
        issuer: IssuerId,
        /// The terms; the defaults if none.
        host: Option<HostTerms>,
    },
    /// The cardholder unlocks his card.
    UnlockCard {
        /// Which one.
        card: CardRef,
    },
    /// A number is not wanted any more.
    CancelNumber {
        /// Which one.
        number: NumberId,
        /// How it is found.
        index: NumberIndex,
    },
    /// What was approved too late is taken back: its peer was told something else.
    TakeBack {
        /// Which transaction; it has to be in memory.
        transaction: TransactionId,
    },
    /// An authorisation that was not completed in time gives its hold back.
    ReleaseHold {
        /// Which one; it has to be in memory.
        transaction: TransactionId,
    },
}
