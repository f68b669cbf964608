//! What the office and the directory refuse, as problems. Texts that could tell one issuer of another's things are
//! left out.

use mayfly_core::Refusal;
use mayfly_dynamic::IssueError;
use mayfly_engine::NoteError;
use mayfly_engine::cards::CardDeskError;
use mayfly_office::OfficeError;
use mayfly_office::payments::GatewayError;

use crate::problem::{Code, Problem};

impl From<OfficeError> for Problem {
    fn from(error: OfficeError) -> Self {
        match error {
            OfficeError::Refused(refusal) => refusal.into(),
            OfficeError::Terms(error) => Self::with(Code::OutOfBounds, error),
            OfficeError::NoNumber(_) | OfficeError::NoTransaction(_) | OfficeError::NoKey(_) => {
                Self::new(Code::NotFound)
            }
            OfficeError::Directory(error) => error.into(),
            OfficeError::WhichProgramme { .. } => Self::with(Code::ProgrammeUnclear, error),
            OfficeError::OwnNumberMissing => Self::with(Code::OwnNumberMissing, error),
            OfficeError::OfCheckSite(_) => Self::new(Code::ProgrammeOfCards),
            OfficeError::Card(error) => error.into(),
            OfficeError::Busy(_) | OfficeError::Behind { .. } => Self::new(Code::Busy),
            OfficeError::Stopped => Self::new(Code::Stopped),
            OfficeError::Views(error) if error.is_passing() => Self::passing(&error),
            OfficeError::Views(error) => {
                tracing::error!(%error, "the views or the journal could not be read");
                Self::new(Code::Storage)
            }
            OfficeError::Note(error) => error.into(),
            OfficeError::Keys(ref why) => {
                tracing::error!(%why, "the keys of a BIN can't be had");
                Self::with(Code::Storage, error)
            }
            OfficeError::Random(error) => {
                tracing::error!(%error, "the system gave no randomness");
                Self::new(Code::Internal)
            }
        }
    }
}

impl From<CardDeskError> for Problem {
    fn from(error: CardDeskError) -> Self {
        let code = match error {
            CardDeskError::NotProved => Code::VerificationRefused,
            CardDeskError::NoCard => Code::NumberNotActive,
            CardDeskError::NotOfCheckSite(_) => Code::ProgrammeNotOfCards,
            CardDeskError::ProcessNotEnabled => return Self::field("/control_digit", error),
            CardDeskError::Expiry => return Self::field("/expiry", error),
            CardDeskError::Enrol(_) => return Self::field("/point", error),
            CardDeskError::Issue(IssueError::TooManyOpen | IssueError::NoFreeDate) => Code::OpenPurchasesMax,
            CardDeskError::Issue(IssueError::Exhausted) => Code::CardExhausted,
            CardDeskError::NotOfProgramme
            | CardDeskError::NoField
            | CardDeskError::CapMissing
            | CardDeskError::MerchantMissing
            | CardDeskError::Lifetime { .. } => return Self::with(Code::OutOfBounds, error),
            CardDeskError::Reference(why) => {
                tracing::error!(%why, "a programme's months can't be chosen from");
                Code::Internal
            }
            CardDeskError::Random(error) => return OfficeError::Random(error).into(),
            CardDeskError::Refused(refusal) => return refusal.into(),
            CardDeskError::Busy(_) => Code::Busy,
            CardDeskError::Stopped => Code::Stopped,
        };
        Self::new(code)
    }
}

impl From<GatewayError> for Problem {
    fn from(error: GatewayError) -> Self {
        match error {
            GatewayError::NumberNotAccepted => Self::new(Code::NumberNotAccepted),
            GatewayError::MerchantClosed => Self::new(Code::MerchantClosed),
            GatewayError::NotNow => Self::new(Code::PaymentState),
            GatewayError::TooMuch => Self::new(Code::AmountTooLarge),
            GatewayError::OtherContent => Self::new(Code::IdempotencyKeyReused),
            GatewayError::Unavailable => Self::new(Code::Busy),
            GatewayError::Office(error) => error.into(),
        }
    }
}

impl From<NoteError> for Problem {
    fn from(error: NoteError) -> Self {
        tracing::error!(%error, "a repeated answer could not be kept or read");
        Self::new(Code::Storage)
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let code = match &refusal {
            Refusal::NoIssuer(_) | Refusal::NoProgramme(_) | Refusal::NoAccount(_) => Code::NotFound,
            Refusal::NoNumber(_) => Code::NumberNotActive,
            Refusal::NoHold(_) => Code::NothingHeld,
            // Nobody asks for a question over the API.
            Refusal::NoQuestion(_) => Code::NotFound,
            Refusal::NameTaken => Code::NameTaken,
            Refusal::PrefixTaken(_) => Code::PrefixTaken,
            Refusal::OtherIssuer => Code::OtherIssuer,
            Refusal::AccountClosed(_) => Code::AccountClosed,
            Refusal::ProgrammeClosed(_) => Code::ProgrammeClosed,
            Refusal::Limit(_) | Refusal::Uses { .. } | Refusal::Lifetime { .. } | Refusal::AmountTooLarge => {
                return Self::with(Code::OutOfBounds, refusal);
            }
            Refusal::NoCard(_) => Code::NumberNotActive,
            Refusal::NumberTaken => Code::NumberTaken,
            Refusal::NotOfCheckSite(_) => Code::ProgrammeNotOfCards,
            Refusal::CardLocked(_) => Code::CardLocked,
            Refusal::FundedByHost(_) => return Self::with(Code::OutOfBounds, refusal),
            Refusal::OpenPurchases { .. } => Code::OpenPurchasesMax,
            Refusal::CardChanged => Code::Busy,
            Refusal::ActiveNumbers { .. } => return Self::with(Code::ActiveNumbersMax, refusal),
            Refusal::Funds => Code::FundsMissing,
            Refusal::KeyReused => Code::IdempotencyKeyReused,
            // Every operation of the office takes one.
            Refusal::NoKeyHere => Code::Internal,
            Refusal::CandidatesTaken | Refusal::Busy => Code::Busy,
            Refusal::Storage => Code::Storage,
        };
        Self::new(code)
    }
}
