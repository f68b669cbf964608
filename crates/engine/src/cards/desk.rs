//! Where cards are enrolled and wallets ask for ETSNs: computes what takes a card's key, and has the writer decide.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, RwLockReadGuard};

use mayfly_card::{Currency, Expiry, MerchantId, MinorUnits, MonthIndex, Pan};
use mayfly_core::scheme::dynamic::{DynamicTerms, MARGIN_MS};
use mayfly_core::{
    AccountId, Answer, Candidate, CardRef, Command, Controls, EtsnOpened, IssueNumber, PartitionId,
    ProgrammeId, Refusal, TimeMs,
};
use mayfly_dynamic::{
    Answer as Said, AppVersion, AppVersions, CardKey, CardMacs, CardNumber, CardStanding, ControlDigit,
    Conversion, Etsn, FieldOrigin, IssueError, KeyRefusal, LAST_TSN_NONCE_BYTES, Mode, Numbers, OpenEtsn,
    PseudoExpiry, PseudoPan, ReferenceData, ReferenceError, ReferencePolicy, RequestRefusal, Tsn,
    VerificationRequest, VerifiedRequest, issue, issue_for_field,
};
use mayfly_enrol::{EnrolError, Half, Point, WRAPPED_BYTES};
use mayfly_keys::{CardKeyring, Mac, NumberIndex, Random, RandomError, SecretKey};

use super::{Active, CardBook, Entry};
use crate::desk::{Unclaimed, claim};
use crate::{Catalogue, Clock, Handle, Refused};

/// How often a request is computed again because something else has happened to its card meanwhile.
const ROUNDS: usize = 8;

/// How far the writer's time may be behind, in milliseconds.
const BATCH_MS: TimeMs = 1000;

/// How often, for each partition that there is, a number is drawn until one belongs to the account's.
const DRAWS_PER_PARTITION: usize = 30;

/// A card is to be enrolled.
#[derive(Clone, Debug)]
pub struct EnrolOrder {
    /// Whose purchases it makes.
    pub account: AccountId,
    /// By whose terms.
    pub programme: ProgrammeId,
    /// The card's own number.
    pub pan: Pan,
    /// Its real expiration date.
    pub expiry: MonthIndex,
    /// The process by which its key is made; the first that the programme has enabled if none. Of no meaning where the card's
    /// own number is used.
    pub digit: Option<ControlDigit>,
    /// What it may do.
    pub controls: Controls,
}

/// A card that could be enrolled: for the conversion table, and then for the writer.
#[derive(Debug)]
pub struct DrawnCard {
    /// How its number is found.
    pub index: NumberIndex,
    /// Its row of the conversion table.
    pub conversion: Conversion,
    /// What issues its number.
    pub command: IssueNumber,
}

/// What a wallet gets when it is enrolled: nothing that the check site would need to keep from it.
#[derive(Debug)]
pub struct Package {
    /// The number that merchants get.
    pub number: CardNumber,
    /// The card's real expiration date.
    pub expiry: MonthIndex,
    /// Our half of the exchange.
    pub point: Point,
    /// The card's key, wrapped for the wallet.
    pub wrapped: [u8; WRAPPED_BYTES],
    /// The TSN from which the wallet counts on.
    pub last_tsn: Tsn,
    /// Which versions of its software count.
    pub versions: AppVersions,
    /// What its MAC fields say of their origin, if there are any.
    pub field: Option<FieldOrigin>,
}

/// What a wallet asks before a purchase.
#[derive(Clone, Debug)]
pub struct WalletRequest {
    /// The number that merchants get.
    pub number: Pan,
    /// What its MAC proves.
    pub proved: VerificationRequest,
    /// Where the MAC of the purchase will be.
    pub mode: Mode,
    /// The most that it may come to.
    pub cap: Option<(MinorUnits, Currency)>,
    /// The one merchant.
    pub merchant: Option<MerchantId>,
    /// How long it is good, in milliseconds; the programme's default if none.
    pub lifetime_ms: Option<TimeMs>,
}

/// What it is answered.
#[derive(Debug)]
pub struct Verified {
    /// What is said.
    pub said: Said,
    /// Under the card's key.
    pub mac: Mac,
}

/// Why nothing came of it.
#[derive(Debug, PartialEq, Eq)]
pub enum CardDeskError {
    /// Nothing was proved. Whoever asks is told no more than that.
    NotProved,
    /// There is no such card, or no key for it.
    NoCard,
    /// The programme is none of the check site.
    NotOfCheckSite(ProgrammeId),
    /// The programme has not enabled that process, or its cards' own numbers are used.
    ProcessNotEnabled,
    /// The card's own number does not begin like the programme's.
    NotOfProgramme,
    /// The card's date is over, or further ahead than a number may be good.
    Expiry,
    /// The programme has no MAC field.
    NoField,
    /// The wallet must say what the purchase may come to.
    CapMissing,
    /// The wallet must say at which merchant.
    MerchantMissing,
    /// Longer than the programme allows.
    Lifetime {
        /// How long it allows, in milliseconds.
        max_ms: TimeMs,
    },
    /// No ETSN is to be had.
    Issue(IssueError),
    /// The programme's months do not fit what merchants accept.
    Reference(ReferenceError),
    /// The wallet's point is none.
    Enrol(EnrolError),
    /// The operating system gave no randomness.
    Random(RandomError),
    /// The core refused it.
    Refused(Refusal),
    /// The engine takes nothing now.
    Busy(Refused),
    /// The engine stopped before it answered.
    Stopped,
}

impl fmt::Display for CardDeskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotProved => f.write_str("the request was not proved to be that of the card's wallet"),
            Self::NoCard => f.write_str("there is no such card, or there are no keys for it"),
            Self::NotOfCheckSite(id) => write!(f, "numbers of {id} are none of the check site"),
            Self::ProcessNotEnabled => f.write_str("the programme has not enabled that key process"),
            Self::NotOfProgramme => {
                f.write_str("that number is none of this programme: its first digits or its length are not the programme's")
            }
            Self::Expiry => f.write_str("the card's expiration date is over, or too far ahead for the programme"),
            Self::NoField => f.write_str("the programme has no MAC field; ask for an expiration date"),
            Self::CapMissing => f.write_str("say what the purchase may come to: the programme wants it"),
            Self::MerchantMissing => f.write_str("say at which merchant: the programme wants it"),
            Self::Lifetime { max_ms } => {
                write!(f, "a purchase of this programme may be open for 1 to {} seconds", max_ms / 1000)
            }
            Self::Issue(error) => error.fmt(f),
            Self::Reference(error) => error.fmt(f),
            Self::Enrol(error) => error.fmt(f),
            Self::Random(error) => error.fmt(f),
            Self::Refused(refusal) => refusal.fmt(f),
            Self::Busy(refused) => write!(f, "{refused}; try again"),
            Self::Stopped => f.write_str("the engine stopped before it answered; ask again"),
        }
    }
}

impl std::error::Error for CardDeskError {}

impl From<Unclaimed> for CardDeskError {
    fn from(unclaimed: Unclaimed) -> Self {
        match unclaimed {
            Unclaimed::Refused(refusal) => Self::Refused(refusal),
            Unclaimed::Busy(refused) => Self::Busy(refused),
            Unclaimed::Stopped => Self::Stopped,
        }
    }
}

impl From<RandomError> for CardDeskError {
    fn from(error: RandomError) -> Self {
        Self::Random(error)
    }
}

impl From<KeyRefusal> for CardDeskError {
    fn from(_: KeyRefusal) -> Self {
        Self::NoCard
    }
}

/// Enrols cards and opens ETSNs.
pub struct CardDesk {
    handle: Handle,
    catalogue: Arc<Catalogue>,
    random: Mutex<Box<dyn Random + Send>>,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for CardDesk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CardDesk")
    }
}

impl CardDesk {
    /// On an engine.
    pub fn new(
        handle: Handle,
        catalogue: Arc<Catalogue>,
        random: Box<dyn Random + Send>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { handle, catalogue, random: Mutex::new(random), clock }
    }

    /// Draws a card for an order. Whoever orders it writes its row of the conversion table first, then puts it into the
    /// [book](super::CardBook), and then has its number issued; if that is refused he takes both out again.
    ///
    /// # Errors
    ///
    /// [`CardDeskError`]: what of the order does not fit its programme.
    pub fn draw(&self, order: &EnrolOrder) -> Result<DrawnCard, CardDeskError> {
        let refused = CardDeskError::Refused(Refusal::NoProgramme(order.programme));
        let listing = self.catalogue.programme(order.programme).ok_or(refused)?;
        let terms = &listing.programme.terms;
        let bin = terms.special_bin().ok_or(CardDeskError::NotOfCheckSite(order.programme))?;
        let number = match bin.numbers {
            Numbers::Real if !terms.could_have(&order.pan) => return Err(CardDeskError::NotOfProgramme),
            Numbers::Real => CardNumber::Real(order.pan.clone()),
            Numbers::Pseudo(enabled) => {
                let first = ControlDigit::ALL.into_iter().find(|digit| enabled.contains(*digit));
                let digit = order.digit.or(first).filter(|digit| enabled.contains(*digit));
                let digit = digit.ok_or(CardDeskError::ProcessNotEnabled)?;
                let partition = order.account.partition();
                CardNumber::Pseudo(self.pseudo(partition, || {
                    let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
                    Ok(PseudoPan::draw(bin.bin, digit, &mut **random)?)
                })?)
            }
        };
        let secret = match number.control_digit() {
            Some(ControlDigit::Stored) => {
                let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
                Some(SecretKey::generate(&mut **random)?)
            }
            _ => None,
        };
        let now_ms = self.clock.now_ms();
        let over_ms = order.expiry.plus(1).map(MonthIndex::start_unix_ms).filter(|over_ms| *over_ms > now_ms);
        let lifetime_ms = over_ms.ok_or(CardDeskError::Expiry)? - now_ms;
        let index = self.catalogue.index(number.pan());
        let command = IssueNumber {
            account: order.account,
            programme: order.programme,
            uses: 1,
            lifetime_ms: Some(lifetime_ms),
            controls: order.controls.clone(),
            expiry: order.expiry,
            candidates: vec![Candidate { index, last_four: number.pan().last_four() }],
        };
        let version = self.ring()?.current();
        let conversion = Conversion { number, pan: order.pan.clone(), expiry: order.expiry, version, secret };
        // A card without a key would be found out by its first purchase.
        conversion.key(&*self.ring()?, &bin)?;
        Ok(DrawnCard { index, conversion, command })
    }

    /// A number that belongs to the partition of its account.
    fn pseudo(
        &self,
        partition: PartitionId,
        mut draw: impl FnMut() -> Result<PseudoPan, CardDeskError>,
    ) -> Result<PseudoPan, CardDeskError> {
        let draws = usize::from(self.catalogue.partitions().get()) * DRAWS_PER_PARTITION;
        for _ in 0..draws {
            let number = draw()?;
            if self.catalogue.partition_of(number.pan()) == partition {
                return Ok(number);
            }
        }
        Err(CardDeskError::Refused(Refusal::CandidatesTaken))
    }

    /// A card's own number belongs to a partition by its hash: it is claimed there before the card is enrolled.
    ///
    /// # Errors
    ///
    /// [`CardDeskError`]: it is another account's, or the engine takes nothing.
    pub async fn claim(&self, order: &EnrolOrder) -> Result<(), CardDeskError> {
        Ok(claim(&self.handle, &self.catalogue, &order.pan, (order.account, order.programme)).await?)
    }

    /// Takes a wallet's point and wraps the card's key for it. Where the wallet makes the key itself, its share is new, and
    /// so is the card's row of the conversion table: that has to be written before the wallet hears of it, and put into the
    /// book then. A wallet that was enrolled before can't pay any more.
    ///
    /// # Errors
    ///
    /// [`CardDeskError::NoCard`], [`CardDeskError::Enrol`].
    pub fn package(
        &self,
        card: CardRef,
        wallet: &Point,
    ) -> Result<(Package, Option<Conversion>), CardDeskError> {
        let half = {
            let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
            Half::draw(&mut **random)?
        };
        let point = half.point();
        self.at(card.number.index, |entry, active, terms, bin| {
            let Conversion { number, expiry, version, .. } = &entry.conversion;
            let derived = match number {
                CardNumber::Real(_) => Conversion { secret: None, ..entry.conversion.clone() },
                CardNumber::Pseudo(_) => entry.conversion.clone(),
            };
            let key = derived.key(&*self.ring()?, &bin)?;
            let made = half.wrap(wallet, number, &key).map_err(CardDeskError::Enrol)?;
            let package = Package {
                number: number.clone(),
                expiry: *expiry,
                point,
                wrapped: made.wrapped,
                last_tsn: Tsn(active.standing.last_tsn.0.max(active.standing.last_etsn.0)),
                versions: terms.versions,
                field: terms.field,
            };
            let changed =
                made.share.map(|share| Conversion { secret: Some(share), version: *version, ..derived });
            Ok((package, changed))
        })
    }

    /// Checks a wallet's request, and opens an ETSN for it (S1 claim 6a to f; S2 claim 3d to g). A wrong one is written down
    /// unless `counts` is false: whoever asks often enough must not fill the journal.
    ///
    /// # Errors
    ///
    /// [`CardDeskError::NotProved`] for whatever a stranger could send; the others only after the MAC was right.
    pub async fn open(&self, request: &WalletRequest, counts: bool) -> Result<Verified, CardDeskError> {
        let index = self.catalogue.index(&request.number);
        for _ in 0..ROUNDS {
            let (command, said, mac) = match self.choose(index, request) {
                Ok(chosen) => chosen,
                Err(Fault::Wrong(card, why)) => {
                    if counts {
                        // Nobody waits for it: how long that takes would tell that there is such a card.
                        drop(self.handle.ask(Command::RefuseRequest { card, why }));
                    }
                    return Err(CardDeskError::NotProved);
                }
                Err(Fault::Error(error)) => return Err(error),
            };
            match self.handle.ask(command).map_err(CardDeskError::Busy)?.await {
                Ok(Answer::Done) => return Ok(Verified { said, mac }),
                Ok(Answer::Refused(Refusal::CardChanged)) => {}
                Ok(Answer::Refused(refusal)) => return Err(CardDeskError::Refused(refusal)),
                _ => return Err(CardDeskError::Stopped),
            }
        }
        Err(CardDeskError::Refused(Refusal::CardChanged))
    }

    /// Chooses the ETSN for a request, for the card as it stands.
    fn choose(&self, index: NumberIndex, request: &WalletRequest) -> Result<(Command, Said, Mac), Fault> {
        let now_ms = self.clock.now_ms();
        let chosen = self.at(index, |entry, active, terms, bin| {
            let macs = entry.macs(&*self.ring()?, &bin)?;
            let Active { card, standing, .. } = active;
            let known = CardStanding {
                expiry: Expiry::from(entry.conversion.expiry),
                last_tsn: standing.last_tsn,
                versions: terms.versions,
            };
            let asked = match request.proved.verify(&macs, &known) {
                Ok(asked) => asked,
                Err(why) => return Ok(Err(Fault::Wrong(*card, why))),
            };
            let chosen = self.answer(active, terms, &macs, &asked, request, now_ms);
            Ok(chosen.map_err(Fault::Error))
        });
        // What nobody has, and what has no key, is not told from what is not proved: the same work is done for it.
        chosen.map_err(|_| {
            decoy(request);
            Fault::Error(CardDeskError::NotProved)
        })?
    }

    fn answer(
        &self,
        active: &Active,
        terms: &DynamicTerms,
        macs: &CardMacs,
        asked: &VerifiedRequest,
        request: &WalletRequest,
        now_ms: TimeMs,
    ) -> Result<(Command, Said, Mac), CardDeskError> {
        let Active { card, standing, .. } = active;
        let WalletRequest { mode, cap, merchant, .. } = *request;
        if terms.cap_required && cap.is_none() {
            return Err(CardDeskError::CapMissing);
        }
        if terms.merchant_required && merchant.is_none() {
            return Err(CardDeskError::MerchantMissing);
        }
        let lifetime_ms = request.lifetime_ms.unwrap_or(terms.lifetime_ms);
        if !(1000..=terms.lifetime_max_ms).contains(&lifetime_ms) {
            return Err(CardDeskError::Lifetime { max_ms: terms.lifetime_max_ms });
        }
        let policy = ReferencePolicy {
            months: terms.months,
            margin_ms: MARGIN_MS,
            furthest_months: terms.furthest_months,
        };
        let reference =
            ReferenceData::choose(now_ms, lifetime_ms, &policy).map_err(CardDeskError::Reference)?;
        let version = asked.version();
        let last = standing.last_etsn;
        let etsn = match mode {
            Mode::Expiry => expiry_etsn(standing, macs, asked, version, reference, now_ms)?,
            Mode::Field if terms.field.is_none() => return Err(CardDeskError::NoField),
            Mode::Field => issue_for_field(last, asked, standing.open_at(now_ms).count())
                .map_err(CardDeskError::Issue)?,
        };
        // To the second, as the wallet is told.
        let expires_unix_s = (now_ms + lifetime_ms) / 1000;
        let expires_ms = expires_unix_s * 1000;
        let tsn = asked.tsn();
        let said = Said { tsn, etsn, reference, expires_unix_s, cap, merchant };
        let card = *card;
        let open = EtsnOpened { card, tsn, etsn, mode, version, reference, expires_ms, cap, merchant };
        Ok((Command::OpenEtsn { open: Box::new(open), last }, said, macs.response(&said)))
    }

    /// The last TSN of a card, under its key, for a wallet that was restored from a copy and has logged in. It is such that the
    /// wallet's next request is greater than all before it.
    ///
    /// # Errors
    ///
    /// [`CardDeskError::NoCard`].
    pub fn last_tsn(
        &self,
        card: CardRef,
        nonce: &[u8; LAST_TSN_NONCE_BYTES],
    ) -> Result<(Tsn, Mac), CardDeskError> {
        self.at(card.number.index, |entry, active, _, bin| {
            let macs = entry.macs(&*self.ring()?, &bin)?;
            let last = active.standing.last_tsn;
            Ok((last, macs.last_tsn(nonce, last)))
        })
    }

    fn ring(&self) -> Result<RwLockReadGuard<'_, CardKeyring>, CardDeskError> {
        self.catalogue.cards().map(CardBook::ring).ok_or(CardDeskError::NoCard)
    }

    /// What is to be done with an active card.
    fn at<T>(
        &self,
        index: NumberIndex,
        act: impl FnOnce(&Entry, &Active, &DynamicTerms, mayfly_dynamic::SpecialBin) -> Result<T, CardDeskError>,
    ) -> Result<T, CardDeskError> {
        let shard = self.catalogue.cards().ok_or(CardDeskError::NoCard)?.read(index);
        let entry = shard.get(&index.0).ok_or(CardDeskError::NoCard)?;
        let active = entry.active.as_ref().ok_or(CardDeskError::NoCard)?;
        let listing = self.catalogue.programme(active.programme).ok_or(CardDeskError::NoCard)?;
        let terms = &listing.programme.terms;
        let dynamic = terms.scheme.dynamic().ok_or(CardDeskError::NoCard)?;
        act(entry, active, dynamic, terms.special_bin().ok_or(CardDeskError::NoCard)?)
    }
}

/// Checks a request against a card that there is not, with a key that nobody has.
fn decoy(request: &WalletRequest) {
    let nobodys = SecretKey::from_bytes(&[0; 16]);
    let key = CardKey::from_secret(nobodys.clone()).with_share(&nobodys);
    let macs = CardMacs::new(&key, CardNumber::Real(request.number.clone()));
    let VerificationRequest { expiry, version, .. } = request.proved;
    let versions = AppVersions { oldest: version, newest: version };
    let standing = CardStanding { expiry, last_tsn: Tsn::default(), versions };
    let _ = std::hint::black_box(request.proved.verify(&macs, &standing));
}

/// An ETSN whose date is that of no other that is open, nor of one that was open a moment ago.
fn expiry_etsn(
    standing: &mayfly_core::state::Card,
    macs: &CardMacs,
    asked: &VerifiedRequest,
    version: AppVersion,
    reference: ReferenceData,
    now_ms: TimeMs,
) -> Result<Etsn, CardDeskError> {
    let dates = macs.expiry_macs();
    // What is over for us may still be open for the writer, whose time is that of his batch.
    let open = standing.open_at(now_ms.saturating_sub(BATCH_MS)).filter(|open| open.mode == Mode::Expiry);
    let open: Vec<PseudoExpiry> = open.map(|open| dates.expiry(&open.of_date())).collect();
    let issued =
        issue(standing.last_etsn, asked, &open, |etsn| dates.expiry(&OpenEtsn { etsn, version, reference }));
    issued.map(|issued| issued.etsn).map_err(CardDeskError::Issue)
}

/// Why no ETSN was chosen.
enum Fault {
    /// The request was wrong: that is counted.
    Wrong(CardRef, RequestRefusal),
    Error(CardDeskError),
}

impl From<CardDeskError> for Fault {
    fn from(error: CardDeskError) -> Self {
        Self::Error(error)
    }
}
