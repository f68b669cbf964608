//! The cards of the check site: enrolled, handed to wallets, unlocked and closed.
//!
//! A card is a row of the conversion table, an entry of the [book](mayfly_engine::cards::CardBook), and a number. They
//! come in this order, so that no number is ever without its card; what is left of an enrolment that came to nothing is
//! taken out again, at the latest at the next start ([`load_cards`]).

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use mayfly_core::state::Open;
use mayfly_core::{
    AccountId, Answer, CardRef, Command, IssuerId, NumberId, NumberRef, Once, OnceKey, Operation, Partitions,
    ProgrammeId, Refusal, TimeMs,
};
use mayfly_dynamic::{CardNumber, Conversion, LAST_TSN_NONCE_BYTES, Numbers, Tsn};
use mayfly_engine::cards::{CardBook, CardDesk, DrawnCard, EnrolOrder, Package, Verified, WalletRequest};
use mayfly_engine::{Catalogue, Clock, Handle};
use mayfly_enrol::Point;
use mayfly_keys::{Mac, NumberIndex, OsRandom};
use mayfly_store::directory::{By, Directory, DirectoryError, NewConversion, Writing};

use crate::{Items, NumberNow, Office, OfficeError, Part};

/// How often a card is drawn anew because its number is taken.
const ROUNDS: usize = 16;
/// How many rows without a number are removed in one change.
const REMOVED_AT_ONCE: usize = 256;

/// What becomes of a card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CardStatus {
    /// Its wallet can ask for purchases.
    Active,
    /// Too many proofs failed: its cardholder has to unlock it.
    Locked,
    /// It is closed, or its date is over.
    Closed,
}

/// A card as it is now.
#[derive(Clone, Debug)]
pub struct CardNow {
    /// Its number.
    pub number: NumberNow,
    /// Whether merchants get the card's own number, not one in its place.
    pub is_own: bool,
    /// What has become of it.
    pub status: CardStatus,
    /// When it was locked, if it is.
    pub locked_ms: Option<TimeMs>,
    /// The purchases that its wallet has asked for and nobody has made yet, the oldest first.
    pub open: Vec<Open>,
}

impl CardNow {
    /// Its id.
    pub fn id(&self) -> NumberId {
        self.number.row.id
    }

    /// Whose purchases it makes.
    pub fn account(&self) -> AccountId {
        self.number.row.account
    }

    fn reference(&self) -> CardRef {
        let row = &self.number.row;
        CardRef { number: NumberRef { id: row.id, index: row.index }, account: row.account }
    }
}

/// Where cards are enrolled.
pub(crate) struct Cards {
    desk: CardDesk,
    handle: Handle,
    catalogue: Arc<Catalogue>,
    directory: Arc<Directory>,
    clock: Arc<dyn Clock>,
    /// Held while a card with its own number is enrolled: two who enrol the same card come one after the other.
    own: tokio::sync::Mutex<()>,
    /// The numbers that are being enrolled now: nobody else writes their rows.
    enrolling: Mutex<HashSet<u64>>,
    /// Held while a wallet is enrolled: a row and what the book says of it change together.
    wallets: Mutex<()>,
}

/// A number that is being enrolled, until that is over.
struct Reserved<'a> {
    cards: &'a Cards,
    index: NumberIndex,
}

impl<'a> Reserved<'a> {
    /// None if somebody else enrols it.
    fn of(cards: &'a Cards, index: NumberIndex) -> Option<Self> {
        let mut enrolling = cards.enrolling.lock().unwrap_or_else(PoisonError::into_inner);
        enrolling.insert(index.0).then_some(Self { cards, index })
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        let mut enrolling = self.cards.enrolling.lock().unwrap_or_else(PoisonError::into_inner);
        enrolling.remove(&self.index.0);
    }
}

impl Office {
    /// Enrols a card, in the name of `actor`. With a key that was used for the same before, the card that was enrolled then.
    ///
    /// # Errors
    /// If the order does not fit its programme, the core refuses it, or nothing can be written. Then nothing is left of it.
    pub async fn enrol_card(
        &self,
        order: EnrolOrder,
        actor: String,
        once: Option<OnceKey>,
    ) -> Result<CardNow, OfficeError> {
        // Asked first: a card's own number is taken when the same order comes again.
        if let Some(before) = self.number_before(once).await? {
            return self.card(before).await;
        }
        // A number that is claimed is kept from others for a long time: what is wrong anyway claims none.
        let account = self.account(order.account).await?;
        let programme = self.programme(order.programme).await?;
        let wrong = [
            (account.issuer != programme.issuer, Refusal::OtherIssuer),
            (account.closed, Refusal::AccountClosed(order.account)),
            (programme.closed, Refusal::ProgrammeClosed(order.programme)),
        ];
        if let Some((_, refusal)) = wrong.into_iter().find(|(is_wrong, _)| *is_wrong) {
            return Err(OfficeError::Refused(refusal));
        }
        let (cards, issuer) = (self.cards.clone(), account.issuer);
        // It goes on if whoever asked goes away: half of it would be of no use to anybody.
        let enrolled = tokio::spawn(async move { cards.enrol(&order, issuer, &actor, once).await });
        self.card(enrolled.await.map_err(|_| OfficeError::Stopped)??).await
    }

    /// A card.
    ///
    /// # Errors
    /// If there was never one of that id, or the views are behind or can't be read.
    pub async fn card(&self, id: NumberId) -> Result<CardNow, OfficeError> {
        let number = self.number(id).await?;
        if self.kind(number.row.programme).is_none() {
            return Err(OfficeError::NoNumber(id));
        }
        self.stand(vec![number]).await?.pop().ok_or(OfficeError::NoNumber(id))
    }

    /// The cards of some accounts, account after account, the latest of each first. A part may have few items, or none,
    /// and still not be the last.
    ///
    /// # Errors
    /// If the views are behind or can't be read.
    pub async fn cards(
        &self,
        accounts: &[AccountId],
        part: Part<NumberId>,
    ) -> Result<Items<CardNow, NumberId>, OfficeError> {
        let (accounts, now_ms, Part { from, limit }) = (accounts.to_vec(), self.clock.now_ms(), part);
        let page = self.views.read(move |views| views.cards(&accounts, now_ms, from, limit)).await?;
        let numbers = self.freshen(page.rows.into_iter().map(|card| card.number).collect()).await?;
        Ok(Items { items: self.stand(numbers).await?, next: page.next })
    }

    /// Ends a card's lock: its cardholder says that it is in his hands. One that is not locked stays as it is.
    ///
    /// # Errors
    /// If there is no such card, it is closed, or nothing can be written.
    pub async fn unlock_card(&self, id: NumberId, once: Option<OnceKey>) -> Result<CardNow, OfficeError> {
        let card = self.card(id).await?.reference();
        self.operate(Operation::UnlockCard { card }, once).await?;
        self.card(id).await
    }

    /// Closes a card for good. What was bought with it goes on.
    ///
    /// # Errors
    /// If there is no such card, it is closed already, or nothing can be written.
    pub async fn close_card(&self, id: NumberId, once: Option<OnceKey>) -> Result<CardNow, OfficeError> {
        self.card(id).await?;
        self.cancel_number(id, once).await?;
        self.card(id).await
    }

    /// Checks a wallet's request, and opens an ETSN for it. A wrong one is written down if it `counts`.
    ///
    /// # Errors
    /// [`NotProved`](mayfly_engine::cards::CardDeskError::NotProved) for whatever a stranger could send.
    pub async fn verify(&self, request: &WalletRequest, counts: bool) -> Result<Verified, OfficeError> {
        Ok(self.cards.desk.open(request, counts).await?)
    }

    /// A card's last TSN, for a wallet that was restored from a copy.
    ///
    /// # Errors
    /// If the card is closed, or has no key.
    pub fn last_tsn(
        &self,
        card: &CardNow,
        nonce: &[u8; LAST_TSN_NONCE_BYTES],
    ) -> Result<(Tsn, Mac), OfficeError> {
        Ok(self.cards.desk.last_tsn(card.reference(), nonce)?)
    }

    /// Hands a card to the wallet with this point. `write` does it in a change of the directory, where it keeps what is
    /// answered; it may also find that there is nothing to do. It blocks.
    ///
    /// # Errors
    /// What `write` comes to: if the card is closed, the point is none, or nothing can be written.
    pub fn give_wallet<T, E>(
        &self,
        card: &CardNow,
        point: &Point,
        write: impl FnOnce(&mut dyn FnMut(&Writing<'_>) -> Result<Package, OfficeError>) -> Result<T, E>,
    ) -> Result<T, E> {
        let card = card.reference();
        let _one = self.cards.wallets.lock().unwrap_or_else(PoisonError::into_inner);
        let written = write(&mut |writing| {
            let (package, conversion) = self.cards.desk.package(card, point)?;
            if let Some(conversion) = conversion {
                writing.replace_conversion(card.number.index, &conversion, &mut OsRandom)?;
            }
            Ok(package)
        });
        // The wallet may hear of it as soon as the book knows what is on the disk: which may be the new row also where the
        // database did not say so, or where this is a repeat.
        if let Some(book) = self.catalogue.cards()
            && let Ok(Some(stored)) = self.cards.directory.conversion(card.number.index)
        {
            book.add(card.number.index, stored.conversion);
        }
        written
    }

    /// Whether merchants get the cards' own numbers; none if the programme is none of the check site.
    fn kind(&self, programme: ProgrammeId) -> Option<bool> {
        let listing = self.catalogue.programme(programme)?;
        listing.programme.terms.scheme.dynamic().map(|terms| terms.numbers == Numbers::Real)
    }

    /// How cards stand.
    async fn stand(&self, numbers: Vec<NumberNow>) -> Result<Vec<CardNow>, OfficeError> {
        let wanted: Vec<_> = numbers.iter().map(|number| (number.row.id, number.row.index)).collect();
        let clock_ms = self.clock.now_ms();
        let (now_ms, standing) = self
            .look(move |partitions| {
                let find = |(id, index): (NumberId, NumberIndex)| {
                    partitions.get(id.partition())?.cards.find(index).cloned()
                };
                let standing: Vec<_> = wanted.into_iter().map(find).collect();
                (partitions.now_ms().max(clock_ms), standing)
            })
            .await?;
        let cards = numbers.into_iter().zip(standing).map(|(number, standing)| {
            let is_over = number.over.is_some();
            // What is closed is remembered no longer, or is another card's by now.
            let standing = standing.filter(|_| !is_over).unwrap_or_default();
            let status = match standing.locked_ms {
                _ if is_over => CardStatus::Closed,
                Some(_) => CardStatus::Locked,
                None => CardStatus::Active,
            };
            CardNow {
                is_own: self.kind(number.row.programme) == Some(true),
                status,
                locked_ms: standing.locked_ms,
                open: standing.open_at(now_ms).cloned().collect(),
                number,
            }
        });
        Ok(cards.collect())
    }
}

impl Cards {
    pub(crate) fn new(
        desk: CardDesk,
        handle: Handle,
        catalogue: Arc<Catalogue>,
        directory: Arc<Directory>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            desk,
            handle,
            catalogue,
            directory,
            clock,
            own: tokio::sync::Mutex::default(),
            enrolling: Mutex::default(),
            wallets: Mutex::default(),
        }
    }

    async fn enrol(
        self: &Arc<Self>,
        order: &EnrolOrder,
        issuer: IssuerId,
        actor: &str,
        once: Option<OnceKey>,
    ) -> Result<NumberId, OfficeError> {
        for _ in 0..ROUNDS {
            let drawn = self.desk.draw(order)?;
            let is_own = matches!(drawn.conversion.number, CardNumber::Real(_));
            let mut _one = None;
            if is_own {
                _one = Some(self.own.lock().await);
                self.desk.claim(order).await?;
            }
            match self.enrol_drawn(drawn, issuer, actor, once).await? {
                Some(number) => return Ok(number),
                None if is_own => return Err(OfficeError::Refused(Refusal::NumberTaken)),
                None => {}
            }
        }
        Err(OfficeError::Refused(Refusal::CandidatesTaken))
    }

    /// None if the number is taken.
    async fn enrol_drawn(
        self: &Arc<Self>,
        drawn: DrawnCard,
        issuer: IssuerId,
        actor: &str,
        once: Option<OnceKey>,
    ) -> Result<Option<NumberId>, OfficeError> {
        let DrawnCard { index, conversion, command } = drawn;
        let account = command.account;
        // Somebody else has drawn the same, just now.
        let Some(_reserved) = Reserved::of(self, index) else { return Ok(None) };
        // What is left of an earlier enrolment, or of a card that was closed long ago, is in nobody's way.
        let now_ms = self.clock.now_ms();
        let taken = self.handle.look(move |partitions| {
            partitions.get(account.partition()).is_some_and(|state| is_kept(state, index, now_ms))
        });
        if taken.map_err(OfficeError::Busy)?.await.map_err(|_| OfficeError::Stopped)? {
            return Ok(None);
        }
        self.keep(index, conversion, (issuer, account, command.programme), actor).await?;
        let issue = Command::Issue(Box::new(command));
        let issue = match once {
            Some(once) => {
                Command::Once(Box::new(Once { once, note: Vec::new(), command: issue, recalled: None }))
            }
            None => issue,
        };
        let refused = match self.handle.ask(issue) {
            Ok(answer) => match answer.await {
                Ok(Answer::Issued { number, .. }) => return Ok(Some(number)),
                Ok(Answer::Repeated { outcome, .. }) => match outcome.answer() {
                    Answer::Issued { number, .. } => Ok(Some(number)),
                    _ => Err(OfficeError::Refused(Refusal::KeyReused)),
                },
                Ok(Answer::Refused(Refusal::CandidatesTaken)) => Ok(None),
                // Whether it was issued is found out at the next start: until then its row stays.
                Ok(Answer::Refused(refusal @ (Refusal::Storage | Refusal::Busy))) => {
                    return Err(OfficeError::Refused(refusal));
                }
                Ok(Answer::Refused(refusal)) => Err(OfficeError::Refused(refusal)),
                _ => return Err(OfficeError::Stopped),
            },
            Err(refused) => Err(OfficeError::Busy(refused)),
        };
        self.forget(index, actor).await;
        refused
    }

    /// Writes a card's row, and then puts it into the book.
    async fn keep(
        self: &Arc<Self>,
        index: NumberIndex,
        conversion: Conversion,
        (issuer, account, programme): (IssuerId, AccountId, ProgrammeId),
        actor: &str,
    ) -> Result<(), OfficeError> {
        let (cards, actor) = (self.clone(), actor.to_owned());
        let kept = tokio::task::spawn_blocking(move || {
            let by = By { actor: &actor, now_ms: cards.clock.now_ms() };
            let new = NewConversion { index, issuer, account, programme, conversion: &conversion };
            cards.directory.write::<_, DirectoryError>(by, |writing| {
                if !writing.add_conversion(&new, &mut OsRandom)? {
                    writing.remove_conversion(index)?;
                    writing.add_conversion(&new, &mut OsRandom)?;
                }
                Ok(())
            })?;
            if let Some(book) = cards.catalogue.cards() {
                book.add(index, conversion);
            }
            Ok(())
        });
        kept.await.map_err(|_| OfficeError::Stopped)?
    }

    /// Takes out what came to nothing.
    async fn forget(self: &Arc<Self>, index: NumberIndex, actor: &str) {
        let (cards, actor) = (self.clone(), actor.to_owned());
        let forgotten = tokio::task::spawn_blocking(move || {
            if let Some(book) = cards.catalogue.cards() {
                book.remove(index);
            }
            let by = By { actor: &actor, now_ms: cards.clock.now_ms() };
            cards.directory.write(by, |writing| writing.remove_conversion(index))
        });
        if let Ok(Err(error)) = forgotten.await {
            tracing::warn!(%error, "the row of a card that was not enrolled is still there; the next start removes it");
        }
    }
}

/// Whether the number of a row is somebody's: it is active, or was and what was bought with it may go on.
fn is_kept(state: &mayfly_core::state::State, index: NumberIndex, now_ms: TimeMs) -> bool {
    state.is_taken(index, now_ms.max(state.now_ms))
}

/// Puts all cards of the conversion table into the book, before the engine starts. Rows whose number is nobody's are
/// removed: an enrolment broke off before its number was issued, or a closed card has been out of use for as long as its
/// programme says. Gives how many cards there are, and how many rows were removed.
///
/// # Errors
/// If the directory can't be read or written, or a row does not open.
pub fn load_cards(
    directory: &Directory,
    book: &CardBook,
    partitions: &Partitions,
    by: By<'_>,
) -> Result<(usize, usize), DirectoryError> {
    let mut stale = Vec::new();
    directory.each_conversion(None, |row| {
        let state = partitions.get(row.account.partition());
        if state.is_some_and(|state| is_kept(state, row.index, by.now_ms)) {
            book.add(row.index, row.conversion);
        } else {
            stale.push(row.index);
        }
    })?;
    for some in stale.chunks(REMOVED_AT_ONCE) {
        directory.write::<_, DirectoryError>(by, |writing| {
            for index in some {
                writing.remove_conversion(*index)?;
            }
            Ok(())
        })?;
    }
    Ok((book.len(), stale.len()))
}
