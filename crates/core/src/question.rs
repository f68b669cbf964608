//! Questions: who has to say yes before an account pays, and what came of asking.
//!
//! A message that waits for somebody's word is an event like any other: [`Asked`] is on the disk before the question
//! leaves, and takes the number's use away from everybody else; [`Resolved`] ends it, in the same record as the
//! transaction that came of it. A start that finds questions without an end ends them as [`Word::Unfinished`].

use mayfly_card::MinorUnits;
use serde::{Deserialize, Serialize};

use crate::{
    AccountId, HostAnswer, HostTrace, IssuerId, Kind, NumberRef, ProgrammeId, QuestionId, Request, TimeMs,
    TransactionId,
};

/// An issuer wants to be asked before its accounts pay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecisionHook {
    /// How long its word is waited for, in milliseconds.
    pub wait_ms: u32,
    /// What counts if none has come by then.
    pub when_late: WhenLate,
}

impl DecisionHook {
    /// How long a word may be waited for, in milliseconds: whoever asks us does not wait for ever either.
    pub const WAIT_MS: std::ops::RangeInclusive<u32> = 100..=20_000;
}

/// What counts if the issuer's word has not come in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WhenLate {
    /// No.
    Decline,
    /// Yes: what was not asked would have been approved, too.
    Approve,
}

impl WhenLate {
    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Decline => "decline",
            Self::Approve => "approve",
        }
    }
}

/// What came of asking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Word {
    /// Yes.
    Approve,
    /// No.
    Decline,
    /// Nothing in time, or nothing that could be understood.
    Late,
    /// We stopped before it came.
    Unfinished,
    /// What the issuer host answered.
    Host(HostAnswer),
    /// It could not be asked: it knows nothing of it.
    NotAsked,
}

impl Word {
    /// Its name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Decline => "decline",
            Self::Late => "late",
            Self::Unfinished => "unfinished",
            Self::Host(_) => "answered",
            Self::NotAsked => "not-asked",
        }
    }
}

/// Somebody is asked about a message: nothing is decided yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// The question.
    pub question: QuestionId,
    /// Who is asked.
    pub issuer: IssuerId,
    /// What the message will be if the word is yes.
    pub kind: Kind,
    /// The message.
    pub request: Request,
    /// Whose money it is about.
    pub account: Option<AccountId>,
    /// By whose terms.
    pub programme: Option<ProgrammeId>,
    /// The number.
    pub number: Option<NumberRef>,
    /// Whether it keeps a use of the number from everybody else.
    pub keeps_use: bool,
    /// Until when the word is waited for.
    pub deadline_ms: TimeMs,
    /// What counts after that.
    pub when_late: WhenLate,
    /// By whom it is to be answered.
    pub whom: Whom,
    /// What the purchase may come to, as it was when it was asked.
    pub ceiling: MinorUnits,
}

/// Who answers a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Whom {
    /// The issuer's own endpoint.
    Hook,
    /// The issuer's host, which has the money.
    Host,
}

impl Asked {
    /// By what the second request is known to the issuer host.
    pub fn trace(&self) -> HostTrace {
        HostTrace::of(&self.request)
    }

    /// The number of which it keeps a use, if it does.
    pub fn kept(&self) -> Option<NumberRef> {
        self.number.filter(|_| self.keeps_use)
    }
}

/// The word came, or was not waited for any longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resolved {
    /// The question.
    pub question: QuestionId,
    /// Who was asked.
    pub issuer: IssuerId,
    /// What came of it.
    pub word: Word,
    /// The transaction that the message became.
    pub transaction: Option<TransactionId>,
}

/// A word came after it was given up: it changes nothing, and is kept for whoever has to settle the difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AnsweredLate {
    /// The question.
    pub question: QuestionId,
    /// Who was asked.
    pub issuer: IssuerId,
    /// What was said.
    pub word: Word,
}
