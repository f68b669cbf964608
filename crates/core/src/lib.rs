//! The decision core: a deterministic state machine.
//!
//! [`decide()`] looks at the [`State`], a [`Command`] and the time, and says which [`Event`]s follow and what the
//! [`Answer`] is; [`State::apply`] is the only thing that changes the state. Nothing here reads a clock, draws
//! randomness or does I/O: what a decision needs of those comes with the command. So the journal of events is
//! the truth, and the same events always give the same state.
//!
//! Every purchase takes one path — locate, prove, control, consume, fund, record, answer — and a scheme
//! ([`scheme`]) differs from another in the first two steps only.

mod answer;
mod books;
mod command;
pub mod decide;
mod earlier;
mod event;
mod host;
mod ids;
mod partitions;
mod programme;
mod question;
pub mod scheme;
pub mod state;

pub use answer::{Answer, MessageAnswer, OtherCode, PageRequest, Reason, Refusal, ResponseCode};
pub use books::{Book, Books};
pub use command::{
    Candidate, ClaimNumber, Command, Cvc2Check, Facts, IssueNumber, MessageKind, Once, OnceKey, Operation,
    Original, Presented, Processing, Request, Resolution,
};
pub use decide::{ACCOUNT_MAX, decide};
pub use event::{
    AccountOpened, AnswerKept, CardRef, EVENTS_VERSION, Effect, EtsnOpened, Event, EventsError, IssuerOpened,
    Kind, NumberClaimed, NumberIssued, NumberRef, Outcome, Previous, ProgrammeOpened, Retirement, Revival,
    TotalsChange, Transacted,
};
pub use host::{HostAdvice, HostAnswer, HostTerms, HostTrace, Told};
pub use ids::{
    AccountId, Hash64, IdError, IssuerId, Name, NumberId, PartitionId, ProgrammeId, QuestionId, TimeMs,
    TransactionId, fixed, serial,
};
pub use partitions::Partitions;
pub use programme::{
    Controls, CountrySet, CreditLimit, FailedControl, HolderDigits, LimitError, MccSet, MerchantRule, Scheme,
    Terms, Universal,
};
pub use question::{AnsweredLate, Asked, DecisionHook, Resolved, WhenLate, Whom, Word};
pub use state::State;
