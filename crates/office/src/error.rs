//! Why the office did not do what was asked.

use std::fmt;

use mayfly_core::{NumberId, ProgrammeId, Refusal, TransactionId};
use mayfly_engine::cards::CardDeskError;
use mayfly_engine::{DeskError, NoteError, Refused};
use mayfly_keys::KeyringError;
use mayfly_store::StoreError;
use mayfly_store::directory::{DirectoryError, KeyId};

use crate::TermsError;

/// Why the office did not do what was asked.
#[derive(Debug, PartialEq, Eq)]
pub enum OfficeError {
    /// The core refused it.
    Refused(Refusal),
    /// The terms of a new programme are none.
    Terms(TermsError),
    /// There was never such a number.
    NoNumber(NumberId),
    /// There is no such key, or it is another's.
    NoKey(KeyId),
    /// The directory did not do it.
    Directory(DirectoryError),
    /// There was never such a transaction.
    NoTransaction(TransactionId),
    /// The issuer has no programme, or several: one must be named.
    WhichProgramme {
        /// Those that it has.
        programmes: Vec<ProgrammeId>,
    },
    /// Numbers of the programme have a part of the cardholder's own, and that is not known.
    OwnNumberMissing,
    /// The programme's numbers are cards of the check site: they are enrolled.
    OfCheckSite(ProgrammeId),
    /// Nothing came of what was asked of the check site.
    Card(CardDeskError),
    /// The engine takes nothing now.
    Busy(Refused),
    /// The views are behind: what was asked for can't be seen yet.
    Behind {
        /// By how many records.
        records: u64,
    },
    /// What a repeated answer needs could not be kept, or is gone.
    Note(NoteError),
    /// The keys of a BIN can't be had.
    Keys(KeyringError),
    /// The operating system gave no randomness.
    Random(mayfly_keys::RandomError),
    /// The engine stopped before it answered: whether it was done shows when it runs again.
    Stopped,
    /// The views, or the journal, can't be read.
    Views(StoreError),
}

/// How many programmes are named in an error.
const NAMED_MAX: usize = 8;

impl fmt::Display for OfficeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => refusal.fmt(f),
            Self::Terms(error) => error.fmt(f),
            Self::NoNumber(id) => write!(f, "there is no number {id}"),
            Self::NoKey(id) => write!(f, "there is no key {id}"),
            Self::Directory(error) => error.fmt(f),
            Self::NoTransaction(id) => write!(f, "there is no transaction {id}"),
            Self::WhichProgramme { programmes } if programmes.is_empty() => {
                f.write_str("the account's issuer has no programme; open one first")
            }
            Self::WhichProgramme { programmes } => {
                let named: Vec<String> = programmes.iter().take(NAMED_MAX).map(ToString::to_string).collect();
                let more = if programmes.len() > NAMED_MAX { ", …" } else { "" };
                write!(f, "the account's issuer has several programmes; name one: {}{more}", named.join(", "))
            }
            Self::OwnNumberMissing => f.write_str(
                "numbers of this programme have a part of the cardholder's own number, and none is known for this \
                 account: link the account to a cardholder with its funding number first",
            ),
            Self::OfCheckSite(id) => DeskError::OfCheckSite(*id).fmt(f),
            Self::Card(error) => error.fmt(f),
            Self::Busy(refused) => write!(f, "{refused}; try again"),
            Self::Behind { records } => {
                write!(f, "the views are {records} records behind; try again in a moment")
            }
            Self::Note(error) => error.fmt(f),
            Self::Keys(error) => write!(f, "{error}; nothing was opened"),
            Self::Random(error) => error.fmt(f),
            Self::Stopped => f.write_str(
                "the server stopped before it answered; look whether it was done when it runs again",
            ),
            Self::Views(_) => f.write_str("the views could not be read; the server's log says why"),
        }
    }
}

impl std::error::Error for OfficeError {}

impl From<DeskError> for OfficeError {
    fn from(error: DeskError) -> Self {
        match error {
            DeskError::Refused(refusal) => Self::Refused(refusal),
            DeskError::Busy(refused) => Self::Busy(refused),
            DeskError::Random(error) => Self::Random(error),
            DeskError::Layout(error) => Self::Terms(TermsError::Layout(error)),
            DeskError::Note(error) => Self::Note(error),
            DeskError::OwnNumberMissing => Self::OwnNumberMissing,
            DeskError::NotOfProgramme => Self::Terms(TermsError::NotOfProgramme),
            DeskError::OfCheckSite(id) => Self::OfCheckSite(id),
            DeskError::Stopped => Self::Stopped,
        }
    }
}

impl From<CardDeskError> for OfficeError {
    fn from(error: CardDeskError) -> Self {
        match error {
            CardDeskError::Refused(refusal) => Self::Refused(refusal),
            CardDeskError::Busy(refused) => Self::Busy(refused),
            CardDeskError::Random(error) => Self::Random(error),
            CardDeskError::NotOfProgramme => Self::Terms(TermsError::NotOfProgramme),
            CardDeskError::Stopped => Self::Stopped,
            error => Self::Card(error),
        }
    }
}
