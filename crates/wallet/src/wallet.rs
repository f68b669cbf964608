//! All cards of a cardholder, and the two steps that count.

use std::fmt;

use mayfly_dynamic::{Tsn, VerificationRequest};
use mayfly_keys::{Random, RandomError};
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::card::{Card, CardId};
use crate::error::WalletError;
use crate::order::Order;
use crate::purchase::{Asked, Filled, LastTsn, SignedAnswer, TsnQuestion};

/// The most cards of a wallet.
pub const CARDS_MAX: usize = 32;
/// The longest address of a server, in bytes.
pub const SERVER_BYTES_MAX: usize = 1024;
/// The longest token of a session, in bytes.
pub const TOKEN_BYTES_MAX: usize = 512;

/// What keeps a wallet. It is asked before a request leaves, and after an answer was taken.
pub trait Store {
    /// Why it can't.
    type Error;

    /// Keeps the wallet as it is now, so that it is there after a failure of whatever kind; returns when that is so.
    ///
    /// # Errors
    ///
    /// If it can't say that it will be there.
    fn save(&mut self, wallet: &Wallet) -> Result<(), Self::Error>;
}

/// What a logged-in cardholder's software sends: wiped on drop.
#[derive(Clone, PartialEq, Eq, Zeroize, ZeroizeOnDrop)]
pub struct Session {
    /// The session's token.
    pub token: String,
    /// Until when it is good, in seconds of Unix time.
    pub expires_unix_s: u64,
    /// What gets the next tokens, once.
    pub refresh: String,
    /// Until when that is good.
    pub refresh_expires_unix_s: u64,
}

/// A cardholder's cards at one server.
#[derive(Debug)]
pub struct Wallet {
    server: String,
    session: Option<Session>,
    cards: Vec<Card>,
}

impl Wallet {
    /// An empty one, for a server.
    pub fn new(server: impl Into<String>) -> Self {
        Self { server: server.into(), session: None, cards: Vec::new() }
    }

    pub(crate) fn from_parts(server: String, session: Option<Session>, cards: Vec<Card>) -> Self {
        Self { server, session, cards }
    }

    /// The server's address.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// The session, if somebody has logged in.
    pub fn session(&self) -> Option<&Session> {
        self.session.as_ref()
    }

    /// Whoever logs in has another session from then on; none is a log-out.
    pub fn set_session(&mut self, session: Option<Session>) {
        self.session = session;
    }

    /// The cards, in the order in which they were enrolled.
    pub fn cards(&self) -> &[Card] {
        &self.cards
    }

    /// A card.
    pub fn card(&self, id: &CardId) -> Option<&Card> {
        self.cards.iter().find(|card| card.id() == id)
    }

    /// Takes a card that was enrolled, in the place of the same one, and keeps it.
    ///
    /// # Errors
    ///
    /// [`WalletError::Full`], [`WalletError::Store`].
    pub fn add<S: Store>(&mut self, card: Card, store: &mut S) -> Result<(), WalletError<S::Error>> {
        match self.cards.iter().position(|other| other.id == card.id) {
            Some(place) => self.cards[place] = card,
            None if self.cards.len() >= CARDS_MAX => return Err(WalletError::Full),
            None => self.cards.push(card),
        }
        self.keep(store)
    }

    /// Forgets a card and its key for good.
    ///
    /// # Errors
    ///
    /// [`WalletError::UnknownCard`], [`WalletError::Store`].
    pub fn forget<S: Store>(&mut self, id: &CardId, store: &mut S) -> Result<(), WalletError<S::Error>> {
        let position = self.cards.iter().position(|card| card.id() == id).ok_or(WalletError::UnknownCard)?;
        self.cards.remove(position);
        self.keep(store)
    }

    /// Asks for a purchase: counts, is saved, and only then gives the request. Whatever happens to that, its number is
    /// never used again.
    ///
    /// # Errors
    ///
    /// [`WalletError`]; then no request was made, and a number may have been left out.
    pub fn ask<S: Store>(
        &mut self,
        id: &CardId,
        order: Order,
        store: &mut S,
    ) -> Result<Asked, WalletError<S::Error>> {
        let card = self.card_mut(id)?;
        let tsn = card.tsn.next().ok_or(WalletError::Exhausted)?;
        card.tsn = tsn;
        let request = VerificationRequest::new(&card.macs(), card.expiry, card.version, tsn);
        let asked = Asked { card: id.clone(), number: card.number.clone(), request, order };
        self.keep(store)?;
        Ok(asked)
    }

    /// Takes the answer: verifies it, counts on from its ETSN, is saved, and says what to put where.
    ///
    /// # Errors
    ///
    /// [`WalletError::Answer`] if it is not what was asked for; then nothing of it is used.
    pub fn take<S: Store>(
        &mut self,
        asked: Asked,
        answer: &SignedAnswer,
        store: &mut S,
    ) -> Result<Filled, WalletError<S::Error>> {
        let card = self.card_mut(&asked.card)?;
        let open = answer.verify(card, &asked)?;
        let filled = card.fill(&open).map_err(|_| WalletError::Exhausted)?;
        card.tsn = card.tsn.max(open.etsn.as_tsn());
        card.last = Some(open);
        self.keep(store)?;
        Ok(filled)
    }

    /// Asks for a card's last TSN, after the wallet was restored from a copy.
    ///
    /// # Errors
    ///
    /// [`RandomError`] if the generator fails.
    pub fn ask_last_tsn(&self, id: &CardId, random: &mut dyn Random) -> Result<TsnQuestion, RandomError> {
        let mut question = TsnQuestion { card: id.clone(), nonce: [0; _] };
        random.fill(&mut question.nonce)?;
        Ok(question)
    }

    /// Counts on from the last TSN; gives the one that counts now.
    ///
    /// # Errors
    ///
    /// [`WalletError::LastTsn`] if the answer is not the server's.
    pub fn take_last_tsn<S: Store>(
        &mut self,
        question: &TsnQuestion,
        last: &LastTsn,
        store: &mut S,
    ) -> Result<Tsn, WalletError<S::Error>> {
        let card = self.card_mut(&question.card)?;
        card.tsn = last.verify(card, question)?;
        let tsn = card.tsn;
        self.keep(store)?;
        Ok(tsn)
    }

    fn card_mut<E>(&mut self, id: &CardId) -> Result<&mut Card, WalletError<E>> {
        self.cards.iter_mut().find(|card| card.id() == id).ok_or(WalletError::UnknownCard)
    }

    fn keep<S: Store>(&self, store: &mut S) -> Result<(), WalletError<S::Error>> {
        store.save(self).map_err(WalletError::Store)
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Session(..)")
    }
}
