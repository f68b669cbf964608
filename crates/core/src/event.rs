//! What has happened: the only thing that is kept for ever, and all that ever changes the state.
//!
//! An event says what it changes by how much, so that the state in memory and the tables that people read are
//! both folded from it mechanically, without deciding anything again. Events are written with postcard:
//! variants and fields are only ever added at the end, under a new record version.

use mayfly_card::{ApprovalCode, Channel, Currency, LastFour, MerchantId, MinorUnits, MonthIndex};
use mayfly_dynamic::{AppVersion, Etsn, Mode, ReferenceData, RequestRefusal, Tsn};
use mayfly_keys::NumberIndex;
use serde::{Deserialize, Serialize};

use crate::{
    AccountId, Answer, AnsweredLate, Asked, Books, Controls, CreditLimit, DecisionHook, Facts, Hash64,
    HostAdvice, HostTerms, IssuerId, MessageKind, Name, NumberId, ProgrammeId, Reason, Resolved,
    ResponseCode, Terms, TimeMs, TransactionId, earlier, fixed,
};

/// One thing that has happened.
// A purchase is by far the most frequent and the largest: a box would cost each one an allocation.
#[allow(clippy::large_enum_variant)]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// A message was processed, or an operator moved money.
    Transacted(Transacted),
    /// A number was issued.
    NumberIssued(Box<NumberIssued>),
    /// Numbers left the active ones for quarantine.
    NumbersRetired(Vec<(NumberRef, Retirement)>),
    /// An issuer was opened.
    IssuerOpened(IssuerOpened),
    /// A programme was opened.
    ProgrammeOpened(Box<ProgrammeOpened>),
    /// An account was opened.
    AccountOpened(AccountOpened),
    /// An account's limit was changed.
    LimitSet {
        /// Whose.
        account: AccountId,
        /// To what.
        limit: CreditLimit,
    },
    /// A channel was switched off or on.
    ChannelBlocked {
        /// Of which account.
        account: AccountId,
        /// Which one.
        channel: Channel,
        /// Off?
        blocked: bool,
    },
    /// The answer to a command is kept, for when it is sent again.
    AnswerKept(Box<AnswerKept>),
    /// An issuer is asked before its accounts pay from now on, or not any more.
    HookSet {
        /// Which issuer.
        issuer: IssuerId,
        /// How it is asked.
        hook: Option<DecisionHook>,
    },
    /// An account was closed, or opened again.
    AccountClosed {
        /// Which one.
        account: AccountId,
        /// Closed?
        closed: bool,
    },
    /// A programme was closed, or opened again.
    ProgrammeClosed {
        /// Which one.
        programme: ProgrammeId,
        /// Whose it is.
        issuer: IssuerId,
        /// Closed?
        closed: bool,
    },
    /// Somebody is asked about a message.
    Asked(Box<Asked>),
    /// What came of that.
    Resolved(Resolved),
    /// A word came after it was given up.
    AnsweredLate(AnsweredLate),
    /// A number that somebody else drew was claimed for an account of another partition.
    NumberClaimed(NumberClaimed),
    /// An ETSN of a card was opened.
    EtsnOpened(Box<EtsnOpened>),
    /// A purchase used an ETSN up.
    EtsnUsed {
        /// Of which card.
        card: CardRef,
        /// Which one.
        etsn: Etsn,
    },
    /// A zero-amount check was made with an ETSN.
    EtsnChecked {
        /// Of which card.
        card: CardRef,
        /// Which one.
        etsn: Etsn,
    },
    /// A purchase's proof failed while the card had an open ETSN.
    CardMissed {
        /// Which card.
        card: CardRef,
        /// Whether it is locked with that, and its open ETSNs are void.
        locks: bool,
    },
    /// A cardholder unlocked his card.
    CardUnlocked {
        /// Which one.
        card: CardRef,
    },
    /// A wallet's request for an ETSN was refused.
    RequestRefused {
        /// Whose card it named.
        card: CardRef,
        /// Why.
        why: RequestRefusal,
    },
    /// An issuer's host is asked by these terms from now on; by the defaults if none.
    HostSet {
        /// Which issuer's.
        issuer: IssuerId,
        /// The terms.
        host: Option<HostTerms>,
    },
    /// An issuer host has to be told something.
    HostAdvised(Box<HostAdvice>),
}

/// A card of the check site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CardRef {
    /// Its number.
    pub number: NumberRef,
    /// Whose it is.
    pub account: AccountId,
}

/// An ETSN of a card was opened: a purchase that carries its MAC is this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EtsnOpened {
    /// The card.
    pub card: CardRef,
    /// The TSN of the request that it was opened for.
    pub tsn: Tsn,
    /// The ETSN.
    pub etsn: Etsn,
    /// Where its MAC has to be.
    pub mode: Mode,
    /// The version of the cardholder's software.
    pub version: AppVersion,
    /// How its MAC becomes a date.
    pub reference: ReferenceData,
    /// When its lifetime is over.
    pub expires_ms: TimeMs,
    /// The most that it pays, if that is limited.
    pub cap: Option<(MinorUnits, Currency)>,
    /// The one merchant that it pays, if it is bound to one.
    pub merchant: Option<MerchantId>,
}

/// The answer to a command is kept under the key that its sender gave to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnswerKept {
    /// See [`crate::OnceKey::key`].
    pub key: Hash64,
    /// See [`crate::OnceKey::content`].
    pub content: Hash64,
    /// What was answered.
    pub outcome: Outcome,
    /// See [`crate::Once::note`].
    pub note: Vec<u8>,
}

/// What came of a command that was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// A number was issued.
    Number {
        /// Its id.
        number: NumberId,
        /// Which of the candidates it is.
        candidate: u8,
        /// When its lifetime is over.
        expires_ms: TimeMs,
    },
    /// An issuer was opened.
    Issuer(IssuerId),
    /// A programme was opened.
    Programme(ProgrammeId),
    /// An account was opened.
    Account(AccountId),
    /// It was done.
    Done,
}

impl Outcome {
    /// What is kept of an answer; nothing if nothing was done.
    pub fn of(answer: &Answer) -> Option<Self> {
        Some(match *answer {
            Answer::Issued { number, candidate, expires_ms } => {
                Self::Number { number, candidate: u8::try_from(candidate).ok()?, expires_ms }
            }
            Answer::Issuer(id) => Self::Issuer(id),
            Answer::Programme(id) => Self::Programme(id),
            Answer::Account(id) => Self::Account(id),
            Answer::Done => Self::Done,
            Answer::Message(_)
            | Answer::Page(_)
            | Answer::Recall(_)
            | Answer::Waits(_)
            | Answer::Resolved { .. }
            | Answer::Swept(_)
            | Answer::Repeated { .. }
            | Answer::Refused(_) => return None,
        })
    }

    /// The answer that it was kept of.
    pub fn answer(self) -> Answer {
        match self {
            Self::Number { number, candidate, expires_ms } => {
                Answer::Issued { number, candidate: candidate.into(), expires_ms }
            }
            Self::Issuer(id) => Answer::Issuer(id),
            Self::Programme(id) => Answer::Programme(id),
            Self::Account(id) => Answer::Account(id),
            Self::Done => Answer::Done,
        }
    }
}

/// An issuer was opened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuerOpened {
    /// Its id.
    pub issuer: IssuerId,
    /// What it is called.
    pub name: Name,
}

/// A programme was opened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProgrammeOpened {
    /// Its id.
    pub programme: ProgrammeId,
    /// Whose it is.
    pub issuer: IssuerId,
    /// What it is called.
    pub name: Name,
    /// Its terms.
    pub terms: Terms,
}

/// An account was opened.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountOpened {
    /// Its id.
    pub account: AccountId,
    /// With which issuer.
    pub issuer: IssuerId,
    /// In which currency.
    pub currency: Currency,
    /// How it is funded.
    pub limit: CreditLimit,
}

/// A number was issued.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NumberIssued {
    /// Which one.
    pub number: NumberRef,
    /// What people see of it.
    pub last_four: LastFour,
    /// Whose purchases it makes.
    pub account: AccountId,
    /// By whose terms.
    pub programme: ProgrammeId,
    /// The printed expiration date.
    pub expiry: MonthIndex,
    /// When its lifetime is over.
    pub expires_ms: TimeMs,
    /// How often it may be used.
    pub uses: u32,
    /// What it may do.
    pub controls: Controls,
}

/// A number that somebody else drew was claimed for an account of another partition, in the partition of its hash. Its
/// purchases are decided where the account is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NumberClaimed {
    /// How it is found.
    #[serde(with = "fixed")]
    pub index: NumberIndex,
    /// Whose it is.
    pub account: AccountId,
    /// The month in which nobody has it any more.
    pub free: MonthIndex,
}

/// A number: its id for people and tables, its index for finding it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct NumberRef {
    /// Its id.
    pub id: NumberId,
    /// Its keyed index.
    #[serde(with = "fixed")]
    pub index: NumberIndex,
}

/// Why a number is not active any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Retirement {
    /// All its uses were used.
    Used,
    /// Its lifetime is over.
    Expired,
    /// Somebody cancelled it.
    Cancelled,
    /// Too many failed tries.
    Blocked,
}

impl Retirement {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Used, Self::Expired, Self::Cancelled, Self::Blocked];

    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Used => "used",
            Self::Expired => "expired",
            Self::Cancelled => "cancelled",
            Self::Blocked => "blocked",
        }
    }
}

/// What kind of transaction it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// A purchase: held (0100) or captured at once (0200).
    Purchase,
    /// A zero-amount account check.
    Check,
    /// More for an authorised purchase.
    Increment,
    /// An authorised purchase, or a part of it, is charged.
    Completion,
    /// A charge that no authorisation went before.
    ForcePost,
    /// Somebody else authorised it and tells us.
    Advice,
    /// A message is taken back, or a part of it.
    Reversal,
    /// Money back for something that was bought.
    Refund,
    /// Paid in or out by an operator.
    Funding,
    /// A hold that waited too long was given back.
    HoldReleased,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Purchase,
        Self::Check,
        Self::Increment,
        Self::Completion,
        Self::ForcePost,
        Self::Advice,
        Self::Reversal,
        Self::Refund,
        Self::Funding,
        Self::HoldReleased,
    ];

    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Purchase => "purchase",
            Self::Check => "check",
            Self::Increment => "increment",
            Self::Completion => "completion",
            Self::ForcePost => "force-post",
            Self::Advice => "advice",
            Self::Reversal => "reversal",
            Self::Refund => "refund",
            Self::Funding => "funding",
            Self::HoldReleased => "hold-released",
        }
    }
}

/// A message was processed: what it said, what was answered, and what it changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transacted {
    /// Its id: one more than the last.
    pub id: TransactionId,
    /// What kind it was.
    pub kind: Kind,
    /// Which message brought it.
    pub message: MessageKind,
    /// What was answered.
    pub response: ResponseCode,
    /// Exactly why. Never sent.
    pub reason: Reason,
    /// The approval code, where one was given.
    pub approval: Option<ApprovalCode>,
    /// See [`crate::Request::reference`].
    pub reference: Hash64,
    /// See [`crate::Request::identity`].
    pub identity: Hash64,
    /// See [`crate::Request::content`].
    pub content: Hash64,
    /// The number, if one was found.
    pub number: Option<NumberRef>,
    /// The transaction with the same number before it.
    pub previous: Previous,
    /// Why the number is not active any more from now on, if it is not.
    pub retires: Option<Retirement>,
    /// The account, if one was found.
    pub account: Option<AccountId>,
    /// Whose books it went through.
    pub issuer: Option<IssuerId>,
    /// By whose terms, if a number or a purchase was found.
    pub programme: Option<ProgrammeId>,
    /// The purchase that it belongs to, unless it is one itself.
    pub target: Option<TransactionId>,
    /// Which message it takes back, and how much of it.
    pub reverses: Option<(TransactionId, MinorUnits)>,
    /// How much a purchase may come to, increments included: what its limits left.
    pub ceiling: MinorUnits,
    /// DE 4.
    pub amount: MinorUnits,
    /// DE 49.
    pub currency: Currency,
    /// The rest of what it said.
    pub facts: Facts,
    /// What it changed.
    pub effect: Effect,
}

/// What a transaction comes after in the list of those with the same number. It is written down so that whoever
/// keeps that list in a table need not read it to add to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Previous {
    /// It is the first, or there is no number.
    Nothing,
    /// This one.
    Transaction(TransactionId),
    /// Whatever was last: the number had retired, and is remembered in tables only.
    Retired,
}

/// What a transaction does to the time in which a reversal may give a use back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Revival {
    /// Nothing.
    #[default]
    Unchanged,
    /// It begins: the number stays active for [`crate::state::REVIVAL_MS`], even without a use left.
    Begins,
    /// It is over, because the use was given back: that happens once.
    Happened,
    /// It is over.
    Ends,
}

/// By how much a transaction changed things. All zero for most that were declined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Effect {
    /// Change of the purchase's totals: of the target if there is one, else of the transaction itself.
    pub totals: TotalsChange,
    /// Paid in by an operator, in minor units.
    pub funded: i64,
    /// Put into suspense, in minor units.
    pub suspended: i64,
    /// Change of the number's uses: −1 for a purchase, +1 for one given back, less to use it up.
    pub uses: i32,
    /// Change of what was bought with the number, in minor units.
    pub spent: i64,
    /// Tries after failed controls that it took.
    pub tries: u8,
    /// Failed proofs that it counted.
    pub misses: u8,
    /// Zero-amount checks that it took.
    pub checks: u8,
    /// The number is bound to this transaction's merchant from now on.
    pub binds_merchant: bool,
    /// What it does to the time in which a use may be given back.
    pub revival: Revival,
}

/// By how much the totals of a purchase change, in minor units.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TotalsChange {
    /// Authorised.
    pub authorised: i64,
    /// Still held.
    pub held: i64,
    /// Captured.
    pub captured: i64,
    /// Given back after capture.
    pub refunded: i64,
}

impl Effect {
    /// The entries in the books: whatever is held, captured or given back comes from the cardholder or goes to
    /// him, so that their sum is zero by the way they are made.
    pub fn books(&self) -> Books {
        let TotalsChange { held, captured, refunded, .. } = self.totals;
        let books = Books {
            cardholder: refunded - held - captured + self.funded,
            held,
            settlement: captured - refunded - self.suspended,
            funding: -self.funded,
            suspense: self.suspended,
        };
        debug_assert_eq!(books.sum(), 0);
        books
    }
}

impl Transacted {
    /// Whether it was approved.
    pub fn approved(&self) -> bool {
        self.response == ResponseCode::Approved
    }
}

/// The version of records whose events have this form.
pub const EVENTS_VERSION: u8 = 5;

/// Why a record's events can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventsError {
    /// Written by a newer version of the software.
    Newer {
        /// Its version.
        version: u8,
    },
    /// Written by an older version of the software, in a form that this one does not read any more.
    Older {
        /// Its version.
        version: u8,
    },
    /// Not what was written.
    Damaged,
}

impl std::fmt::Display for EventsError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Newer { version } => {
                write!(f, "the events have format {version}; this software reads {EVENTS_VERSION}: update it")
            }
            Self::Older { version } => write!(
                f,
                "the events have format {version} of a preview; this software reads {EVENTS_VERSION}: begin with a \
                 new data directory"
            ),
            Self::Damaged => f.write_str("the events are damaged"),
        }
    }
}

impl std::error::Error for EventsError {}

impl Event {
    /// Appends the event to a record's payload.
    pub fn write(&self, payload: &mut Vec<u8>) {
        // Writing to a vector fails only for types without a length, and events have none.
        let taken = std::mem::take(payload);
        if let Ok(written) = postcard::to_extend(self, taken) {
            *payload = written;
        }
    }

    /// Reads the events of a record's payload one after the other.
    pub fn read_all(version: u8, mut payload: &[u8], mut each: impl FnMut(Self)) -> Result<(), EventsError> {
        if version > EVENTS_VERSION {
            return Err(EventsError::Newer { version });
        }
        // Format 1 did not say what a transaction comes after.
        if version < earlier::OLDEST {
            return Err(EventsError::Older { version });
        }
        while !payload.is_empty() {
            let read = earlier::take(version, payload).unwrap_or_else(|| postcard::take_from_bytes(payload));
            let (event, rest) = read.map_err(|_| EventsError::Damaged)?;
            payload = rest;
            each(event);
        }
        Ok(())
    }
}
