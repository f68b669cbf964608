//! The whole conversations with a server: enrol, pay, restore.

use std::fmt;

use mayfly_dynamic::{LAST_TSN_NONCE_BYTES, Tsn};
use mayfly_enrol::Point;
use mayfly_keys::Random;

use crate::card::{Card, CardId};
use crate::enrolment::{Enrolment, Package};
use crate::error::WalletError;
use crate::order::{Form, Wish};
use crate::purchase::{Asked, Filled, LastTsn, SignedAnswer};
use crate::wallet::{Store, Wallet};

/// How often a purchase is asked for while no answer comes. Each may have opened an ETSN, and only few can be open.
pub const ASKS_MAX: usize = 3;

/// The server, as the wallet meets it.
pub trait Server {
    /// Gives a logged-in cardholder what is needed for his card, for the wallet with this point.
    ///
    /// # Errors
    ///
    /// [`ServerError`].
    fn enrol(&mut self, card: &CardId, point: &Point) -> Result<Package, ServerError>;

    /// Verifies a request and answers it. Nobody needs to be logged in: MAC1 proves who asks.
    ///
    /// # Errors
    ///
    /// [`ServerError`]; [`ServerError::Lost`] whenever it can't be said that there was no ETSN.
    fn verify(&mut self, asked: &Asked) -> Result<SignedAnswer, ServerError>;

    /// Tells a logged-in cardholder's wallet the card's last TSN.
    ///
    /// # Errors
    ///
    /// [`ServerError`].
    fn last_tsn(&mut self, card: &CardId, nonce: &[u8; LAST_TSN_NONCE_BYTES])
    -> Result<LastTsn, ServerError>;
}

/// Enrols a card, or enrols it anew.
///
/// # Errors
///
/// [`WalletError`]; then the wallet is as it was, and what the server did meanwhile is done again by the next attempt.
pub fn enrol<'a, S: Store>(
    wallet: &'a mut Wallet,
    id: &CardId,
    server: &mut impl Server,
    store: &mut S,
    random: &mut dyn Random,
) -> Result<&'a Card, WalletError<S::Error>> {
    let enrolment = Enrolment::begin(id.clone(), random)?;
    let package = server.enrol(id, &enrolment.point())?;
    wallet.add(enrolment.finish(package)?, store)?;
    wallet.card(id).ok_or(WalletError::UnknownCard)
}

/// Asks for a purchase until an answer comes, and says what to put where in the merchant's form. An answer that is lost
/// may have opened an ETSN; it is left to its end, and the next request counts on.
///
/// # Errors
///
/// [`WalletError`]; [`ServerError::Lost`] if none of [`ASKS_MAX`] requests was answered.
pub fn pay<S: Store>(
    wallet: &mut Wallet,
    id: &CardId,
    wish: Wish,
    form: Form,
    server: &mut impl Server,
    store: &mut S,
) -> Result<Filled, WalletError<S::Error>> {
    let order = wallet.card(id).ok_or(WalletError::UnknownCard)?.order(wish, form)?;
    let mut left = ASKS_MAX;
    loop {
        let asked = wallet.ask(id, order.clone(), store)?;
        left -= 1;
        match server.verify(&asked) {
            Ok(answer) => return wallet.take(asked, &answer, store),
            Err(ServerError::Lost(_)) if left > 0 => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// After the wallet was restored from a copy: asks for the card's last TSN and counts on from it; gives it.
///
/// # Errors
///
/// [`WalletError`].
pub fn restore<S: Store>(
    wallet: &mut Wallet,
    id: &CardId,
    server: &mut impl Server,
    store: &mut S,
    random: &mut dyn Random,
) -> Result<Tsn, WalletError<S::Error>> {
    wallet.card(id).ok_or(WalletError::UnknownCard)?;
    let question = wallet.ask_last_tsn(id, random)?;
    let last = server.last_tsn(id, question.nonce())?;
    wallet.take_last_tsn(&question, &last, store)
}

/// Why the server did not do it. Texts are for people, and have nothing of what was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerError {
    /// No answer came, or none that can be read: it may have been done, or not.
    Lost(String),
    /// It could not be reached, so that nothing was done.
    Unreachable(String),
    /// It refuses the request, and says to nobody why.
    Refused,
    /// It was asked too often.
    Wait {
        /// For how long to wait, in seconds.
        seconds: u64,
    },
    /// Nobody is logged in, or not any more.
    LoggedOut,
    /// It says why.
    Said(String),
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost(why) => write!(f, "no answer of the server arrived ({why}); try again"),
            Self::Unreachable(why) => write!(f, "the server can't be reached: {why}"),
            Self::Refused => f.write_str(
                "the server refuses the request and says to nobody why: the card may be locked or closed, or this wallet \
                 a restored copy",
            ),
            Self::Wait { seconds } => write!(f, "the server was asked too often; wait {seconds} seconds"),
            Self::LoggedOut => f.write_str("nobody is logged in, or not any more; log in"),
            Self::Said(what) => write!(f, "the server says: {what}"),
        }
    }
}

impl std::error::Error for ServerError {}
