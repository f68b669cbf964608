//! Why something did not go on.

use std::fmt;

use mayfly_keys::RandomError;

use crate::conversation::ServerError;
use crate::enrolment::PackageError;
use crate::order::OrderError;
use crate::purchase::{AnswerError, LastTsnError};
use crate::wallet::CARDS_MAX;

/// Why the wallet did not go on; `E` is what its [`Store`](crate::Store) says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WalletError<E> {
    /// There is no such card in the wallet.
    UnknownCard,
    /// There are as many cards as there can be.
    Full,
    /// The wish can't be asked for.
    Order(OrderError),
    /// What the server gave for a card is none.
    Package(PackageError),
    /// The answer is not what was asked for.
    Answer(AnswerError),
    /// The last TSN is not the server's.
    LastTsn(LastTsnError),
    /// The card has no sequence numbers left.
    Exhausted,
    /// The server did not do it.
    Server(ServerError),
    /// The wallet was not kept.
    Store(E),
    /// Nothing could be drawn.
    Random(RandomError),
}

impl<E: fmt::Display> fmt::Display for WalletError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownCard => f.write_str("there is no such card in the wallet; enrol it first"),
            Self::Full => write!(f, "the wallet has {CARDS_MAX} cards, and takes no more; forget one"),
            Self::Order(error) => error.fmt(f),
            Self::Package(error) => error.fmt(f),
            Self::Answer(error) => error.fmt(f),
            Self::LastTsn(error) => error.fmt(f),
            Self::Exhausted => f.write_str("the card has no sequence numbers left; enrol it anew"),
            Self::Server(error) => error.fmt(f),
            Self::Store(error) => error.fmt(f),
            Self::Random(error) => error.fmt(f),
        }
    }
}

impl<E: fmt::Debug + fmt::Display> std::error::Error for WalletError<E> {}

macro_rules! widen {
    ($($from:ty => $variant:ident),+ $(,)?) => {
        $(impl<E> From<$from> for WalletError<E> {
            fn from(error: $from) -> Self {
                Self::$variant(error)
            }
        })+
    };
}

widen! {
    OrderError => Order,
    PackageError => Package,
    AnswerError => Answer,
    LastTsnError => LastTsn,
    ServerError => Server,
    RandomError => Random,
}
