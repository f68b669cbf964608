//! What comes back: outside a response code that tells no more than it should, inside the exact reason.

use std::fmt;

use mayfly_card::{ApprovalCode, MerchantId};
use mayfly_keys::NumberIndex;
use serde::{Deserialize, Serialize};

use crate::{
    AccountId, Hash64, IssuerId, LimitError, NumberId, Outcome, ProgrammeId, QuestionId, TimeMs,
    TransactionId,
};

macro_rules! response_codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal,)*) => {
        /// DE 39.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum ResponseCode {
            $($(#[$doc])* $name,)*
            /// What only an issuer host says: passed on as it is.
            Other(OtherCode),
        }

        impl ResponseCode {
            /// All that we give ourselves.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The two characters of DE 39.
            pub fn code(self) -> &'static str {
                match self {
                    $(Self::$name => $code,)*
                    Self::Other(code) => code.as_str(),
                }
            }
        }
    };
}

response_codes! {
    /// Approved, or accepted.
    Approved = "00",
    /// The merchant is not known.
    UnknownMerchant = "03",
    /// Declined: whatever proof failed, it looks like this.
    Declined = "05",
    /// Not a transaction that can be made.
    InvalidTransaction = "12",
    /// Not an amount that can be paid.
    InvalidAmount = "13",
    /// Not a card number, or nobody's.
    InvalidNumber = "14",
    /// The message could not be read.
    FormatError = "30",
    /// Not enough money.
    Funds = "51",
    /// The expiration date is in the past.
    Expired = "54",
    /// This channel, category or currency is not allowed.
    NotAllowed = "57",
    /// Over a limit on amounts.
    OverLimit = "61",
    /// Restricted, by country.
    Restricted = "62",
    /// Too often.
    TooMany = "65",
    /// Too late.
    TooLate = "68",
    /// The issuer can't be reached.
    IssuerUnavailable = "91",
    /// The same reference with another content.
    Duplicate = "94",
    /// We can't answer now.
    Malfunction = "96",
}

/// Two digits or capital letters that stand for none of the answers that we give ourselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct OtherCode(u16);

/// The characters of a code.
const CODE_CHARACTERS: &[u8; 36] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";

/// All codes of two characters, in their order.
static CODES: [[u8; 2]; OtherCode::COUNT] = {
    let mut codes = [[0; 2]; OtherCode::COUNT];
    let mut at = 0;
    while at < codes.len() {
        codes[at] = [CODE_CHARACTERS[at / 36], CODE_CHARACTERS[at % 36]];
        at += 1;
    }
    codes
};

impl OtherCode {
    /// How many codes of two characters there are.
    pub const COUNT: usize = 36 * 36;

    /// From a stored value.
    pub fn from_value(value: u16) -> Option<Self> {
        (usize::from(value) < Self::COUNT).then_some(Self(value))
    }

    /// Its place among all codes of two characters.
    pub fn value(self) -> u16 {
        self.0
    }

    fn as_str(self) -> &'static str {
        let code = CODES.get(usize::from(self.0)).and_then(|code| std::str::from_utf8(code).ok());
        // What is read from a journal may be any number.
        code.unwrap_or("05")
    }
}

impl ResponseCode {
    /// By the two characters of DE 39: none if they are no digits or capital letters.
    pub fn from_code(code: &str) -> Option<Self> {
        if let Some(known) = Self::ALL.iter().copied().find(|known| known.code() == code) {
            return Some(known);
        }
        // Some 1,300 pairs, and a host says the unusual rarely.
        let at = CODES.iter().position(|known| known == code.as_bytes())?;
        Some(Self::Other(OtherCode(at as u16)))
    }

    /// Its place in [`ResponseCode::ALL`], if it is one that we give ourselves.
    pub fn position(self) -> Option<usize> {
        Self::ALL.iter().position(|known| *known == self)
    }

    /// In words, for people.
    pub fn words(self) -> &'static str {
        match self {
            Self::Approved => "approved",
            Self::UnknownMerchant => "unknown merchant",
            Self::Declined => "declined",
            Self::InvalidTransaction => "invalid transaction",
            Self::InvalidAmount => "invalid amount",
            Self::InvalidNumber => "not a valid number",
            Self::FormatError => "format error",
            Self::Funds => "not enough funds",
            Self::Expired => "expired",
            Self::NotAllowed => "not allowed here",
            Self::OverLimit => "over the amount limit",
            Self::Restricted => "restricted",
            Self::TooMany => "too many",
            Self::TooLate => "too late",
            Self::IssuerUnavailable => "issuer unavailable",
            Self::Duplicate => "duplicate with other content",
            Self::Malfunction => "malfunction",
            Self::Other(_) => "the issuer's own answer",
        }
    }
}

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident => $code:ident, $words:literal;)*) => {
        /// Exactly why a message was answered as it was. Recorded, shown to operators, never sent. Written by their
        /// place in this list: new ones come last.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        pub enum Reason { $($(#[$doc])* $name,)* }

        impl Reason {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// What is answered for this reason.
            pub fn response(self) -> ResponseCode {
                match self { $(Self::$name => ResponseCode::$code,)* }
            }

            /// Its name in tables.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $words,)* }
            }
        }
    };
}

reasons! {
    /// Everything held.
    Approved => Approved, "approved";
    /// The check digit or the length is wrong.
    NotANumber => InvalidNumber, "not-a-number";
    /// No programme has this prefix.
    UnknownPrefix => InvalidNumber, "unknown-prefix";
    /// Never issued, or long forgotten.
    UnknownNumber => Declined, "unknown-number";
    /// All its uses were used.
    NumberUsed => Declined, "number-used";
    /// Its lifetime is over.
    NumberExpired => Declined, "number-expired";
    /// It was cancelled.
    NumberCancelled => Declined, "number-cancelled";
    /// Too many failed tries.
    NumberBlocked => Declined, "number-blocked";
    /// The universal number alone authorises nothing.
    UniversalAlone => Declined, "universal-alone";
    /// No expiration date was sent.
    DateMissing => Declined, "date-missing";
    /// Another expiration date than the number's.
    DateWrong => Declined, "date-wrong";
    /// The expiration date is in the past.
    DateOver => Expired, "date-over";
    /// The CVC2 does not belong to number and date.
    Cvc2Wrong => Declined, "cvc2-wrong";
    /// Bound to another merchant.
    MerchantWrong => Declined, "merchant-wrong";
    /// Bound to another currency.
    CurrencyWrong => Declined, "currency-wrong";
    /// Not the account's currency.
    CurrencyNotAccounts => NotAllowed, "currency-not-accounts";
    /// The account has this channel switched off.
    ChannelBlocked => NotAllowed, "channel-blocked";
    /// The number is not for this channel.
    ChannelNotAllowed => NotAllowed, "channel-not-allowed";
    /// The number is not for this category.
    MccNotAllowed => NotAllowed, "mcc-not-allowed";
    /// The number is not for this country.
    CountryNotAllowed => Restricted, "country-not-allowed";
    /// Over the largest amount of one purchase.
    OverAmount => OverLimit, "over-amount";
    /// Over the largest sum.
    OverTotal => OverLimit, "over-total";
    /// Not enough money.
    FundsMissing => Funds, "funds-missing";
    /// More zero-amount checks than a number has.
    TooManyChecks => TooMany, "too-many-checks";
    /// More messages under one reference than are kept.
    TooManyMessages => TooMany, "too-many-messages";
    /// A processing code that is not supported.
    ProcessingUnknown => InvalidTransaction, "processing-unknown";
    /// Nothing stands under this reference.
    OriginalUnknown => InvalidTransaction, "original-unknown";
    /// Another merchant's or another number's purchase.
    OriginalNotYours => InvalidTransaction, "original-not-yours";
    /// What is referred to was not approved.
    OriginalDeclined => InvalidTransaction, "original-declined";
    /// It was reversed before it arrived.
    ReversedBefore => Declined, "reversed-before";
    /// Nothing is left to reverse or to complete.
    NothingLeft => InvalidTransaction, "nothing-left";
    /// More than is left.
    MoreThanLeft => InvalidAmount, "more-than-left";
    /// More than was captured.
    MoreThanCaptured => InvalidAmount, "more-than-captured";
    /// An amount of nothing where there must be one.
    AmountZero => InvalidAmount, "amount-zero";
    /// The hold was given back before this came.
    HoldOver => TooLate, "hold-over";
    /// The same identity with another content.
    OtherContent => Duplicate, "other-content";
    /// Accepted, and put into suspense: nobody can be sure whose it is.
    Suspense => Approved, "suspense";
    /// Accepted: we had approved it ourselves.
    ToldBefore => Approved, "told-before";
    /// Noted: somebody else declined it.
    ToldDeclined => Approved, "told-declined";
    /// A reversal of what does not stand: it has what it wants.
    NothingStood => Approved, "nothing-stood";
    /// A reversal before its original: kept, so that the original is declined if it comes.
    ReversalFirst => Approved, "reversal-first";
    /// The books can't hold such an amount.
    BooksFull => Malfunction, "books-full";
    /// The views can't be asked now.
    LookUpFailed => Malfunction, "look-up-failed";
    /// Approved too late, and taken back.
    TakenBack => Malfunction, "taken-back";
    /// The queue is full or we are stopping.
    Overloaded => Malfunction, "overloaded";
    /// Approved because the issuer's own endpoint was late, and the issuer wants it so.
    StoodIn => Approved, "stood-in";
    /// The issuer's own endpoint said no.
    HookDeclined => Declined, "hook-declined";
    /// The issuer's own endpoint was late.
    HookLate => IssuerUnavailable, "hook-late";
    /// We stopped while somebody was being asked.
    Unfinished => Malfunction, "unfinished";
    /// The account is closed.
    AccountClosed => NotAllowed, "account-closed";
    /// The journal does not confirm what is written, or is written by somebody else.
    Unconfirmed => IssuerUnavailable, "unconfirmed";
    /// The card has no key: it was never enrolled, its process is not enabled, or its keys are retired.
    NoCardKey => Declined, "no-card-key";
    /// The card is locked, until its cardholder says otherwise.
    CardLocked => Declined, "card-locked";
    /// The cardholder has asked for no purchase with this card that is still open.
    NoEtsnOpen => Declined, "no-etsn-open";
    /// The date is that of no open ETSN of the card.
    MacWrong => Declined, "mac-wrong";
    /// The MAC field is not that of an open ETSN and this purchase.
    FieldWrong => Declined, "field-wrong";
    /// The ETSN was open a moment ago: another purchase was faster.
    EtsnUsed => Declined, "etsn-used";
    /// The ETSN's lifetime is over.
    EtsnExpired => Declined, "etsn-expired";
    /// More than the cardholder has allowed for this purchase.
    OverCap => Declined, "over-cap";
    /// The merchant is known to have a MAC field, and left it out.
    FieldExpected => Declined, "field-expected";
    /// The issuer host said no; its answer is passed on.
    IssuerDeclined => Declined, "issuer-declined";
    /// The issuer host did not answer in time, or not in a way that could be understood.
    IssuerSilent => IssuerUnavailable, "issuer-silent";
    /// No connection to the issuer host.
    IssuerAway => IssuerUnavailable, "issuer-away";
}

/// The answer to a card message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageAnswer {
    /// DE 39.
    pub response: ResponseCode,
    /// DE 38, where one is given.
    pub approval: Option<ApprovalCode>,
    /// Exactly why.
    pub reason: Reason,
    /// Its record, if it has one.
    pub transaction: Option<TransactionId>,
    /// Whether this is the answer that was given before.
    pub repeat: bool,
    /// Of a purchase that was approved now: when its number's lifetime is over. Whoever passes the approval on looks
    /// at it, for that may be later than the decision.
    pub good_until_ms: Option<TimeMs>,
}

impl MessageAnswer {
    /// An answer without a record.
    pub fn unrecorded(reason: Reason) -> Self {
        let response = reason.response();
        Self { response, approval: None, reason, transaction: None, repeat: false, good_until_ms: None }
    }
}

/// What has to be looked up in the views before a message can be decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageRequest {
    /// The transactions under a reference.
    Reference(Hash64),
    /// The transactions under a reference, and the purchases ever made with a number at a merchant.
    Purchases {
        /// The reference.
        reference: Hash64,
        /// The number.
        index: NumberIndex,
        /// The merchant.
        merchant: MerchantId,
    },
}

/// What comes of a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// To a card message.
    Message(MessageAnswer),
    /// Nothing was decided: look this up and ask again.
    Page(PageRequest),
    /// Nothing was decided: look whether an answer is kept under this key, and ask again with what was found.
    Recall(Hash64),
    /// Nothing is decided yet: somebody is asked, and the answer comes with his word.
    Waits(QuestionId),
    /// His word has come: this is what the message is answered.
    Resolved {
        /// What was asked.
        question: QuestionId,
        /// The message's answer.
        answer: MessageAnswer,
    },
    /// A number was issued.
    Issued {
        /// Its id.
        number: NumberId,
        /// Which of the candidates it is.
        candidate: usize,
        /// When its lifetime is over.
        expires_ms: TimeMs,
    },
    /// An issuer was opened.
    Issuer(IssuerId),
    /// A programme was opened.
    Programme(ProgrammeId),
    /// An account was opened.
    Account(AccountId),
    /// It is done.
    Done,
    /// It was done before, when the same was sent with the same key: nothing was done now.
    Repeated {
        /// What was answered then.
        outcome: Outcome,
        /// The note that came with it then.
        note: Vec<u8>,
    },
    /// So many numbers were retired.
    Swept(usize),
    /// It can't be done.
    Refused(Refusal),
}

/// Why an operator's command, or the issue of a number, was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such issuer.
    NoIssuer(IssuerId),
    /// There is no such programme.
    NoProgramme(ProgrammeId),
    /// There is no such account.
    NoAccount(AccountId),
    /// There is no such number, or it is not active any more.
    NoNumber(NumberId),
    /// There is no such transaction in memory, or it holds nothing.
    NoHold(TransactionId),
    /// The account is closed.
    AccountClosed(AccountId),
    /// The programme is closed.
    ProgrammeClosed(ProgrammeId),
    /// There was never such a question.
    NoQuestion(QuestionId),
    /// Something of that name exists.
    NameTaken,
    /// Another programme's numbers begin with these digits.
    PrefixTaken(ProgrammeId),
    /// Account and programme belong to different issuers.
    OtherIssuer,
    /// A term or control is outside its bounds.
    Limit(LimitError),
    /// More uses than the programme allows.
    Uses {
        /// How many it allows.
        max: u32,
    },
    /// Longer than the programme allows.
    Lifetime {
        /// How long it allows, in milliseconds.
        max_ms: TimeMs,
    },
    /// There is no such card.
    NoCard(NumberId),
    /// The card is locked.
    CardLocked(NumberId),
    /// The card's programme is none of the check site.
    NotOfCheckSite(ProgrammeId),
    /// The card has as many purchases open as it may.
    OpenPurchases {
        /// How many it may have.
        max: u8,
    },
    /// The issuer host has the account's money: it is neither paid in nor out here, and stays where it is.
    FundedByHost(AccountId),
    /// Something else has happened to the card since it was looked at: look again.
    CardChanged,
    /// The account has as many active numbers as it may.
    ActiveNumbers {
        /// How many it may have.
        max: u32,
    },
    /// All candidates are taken: draw again.
    CandidatesTaken,
    /// The number that somebody else drew is taken.
    NumberTaken,
    /// More would be paid out than is there.
    Funds,
    /// The books can't hold such an amount.
    AmountTooLarge,
    /// Something else was asked with the same key.
    KeyReused,
    /// Such a command has no key.
    NoKeyHere,
    /// The server is busy or stopping: try again.
    Busy,
    /// Nothing was written, for a reason that the server's log has.
    Storage,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoIssuer(id) => write!(f, "there is no issuer {id}"),
            Self::NoProgramme(id) => write!(f, "there is no programme {id}"),
            Self::NoAccount(id) => write!(f, "there is no account {id}"),
            Self::NoNumber(id) => write!(f, "there is no active number {id}"),
            Self::NoHold(id) => write!(f, "{id} holds nothing"),
            Self::AccountClosed(id) => write!(f, "{id} is closed; open it again, or use another account"),
            Self::ProgrammeClosed(id) => write!(f, "{id} is closed; open it again, or use another programme"),
            Self::NoQuestion(id) => write!(f, "{id} was never asked"),
            Self::NameTaken => f.write_str("that name is taken; choose another"),
            Self::PrefixTaken(id) => {
                write!(f, "numbers of {id} begin with these digits; choose another prefix")
            }
            Self::OtherIssuer => f.write_str("the account and the programme belong to different issuers"),
            Self::Limit(error) => error.fmt(f),
            Self::Uses { max } => write!(f, "a number of this programme has 1 to {max} uses"),
            Self::Lifetime { max_ms } => {
                write!(f, "a number of this programme is good for 1 to {} seconds", max_ms / 1000)
            }
            Self::NoCard(id) => write!(f, "there is no card {id}, or it is not active any more"),
            Self::CardLocked(id) => {
                write!(f, "{id} is locked after too many wrong tries; its cardholder has to unlock it")
            }
            Self::NotOfCheckSite(id) => write!(f, "numbers of {id} are none of the check site"),
            Self::OpenPurchases { max } => {
                write!(f, "the card has {max} purchases open, as many as it may; use one, or wait")
            }
            Self::FundedByHost(id) => {
                write!(
                    f,
                    "the money of {id} is with the issuer host; pay it in there, or use another account"
                )
            }
            Self::CardChanged => f.write_str("something else has happened to the card meanwhile; try again"),
            Self::ActiveNumbers { max } => {
                write!(f, "the account has {max} active numbers, as many as it may; cancel one or wait")
            }
            Self::NumberTaken => f.write_str("that number is taken, or was until lately; draw another"),
            Self::CandidatesTaken => f.write_str("all numbers that were drawn are taken; draw again"),
            Self::Funds => f.write_str("the account has less than that to pay out"),
            Self::AmountTooLarge => f.write_str("the amount is larger than the books can hold"),
            Self::KeyReused => {
                f.write_str("something else was asked with this key; use a new one for each request")
            }
            Self::NoKeyHere => f.write_str("such a command has no key; send it without one"),
            Self::Busy => f.write_str("the server is busy or stopping; try again"),
            Self::Storage => f.write_str("nothing was written, see the server's log"),
        }
    }
}

impl std::error::Error for Refusal {}
