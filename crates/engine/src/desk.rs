//! Where numbers are ordered: draws candidates, has the writer take one, and hands it out.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use mayfly_card::{Expiry, LayoutError, MonthIndex, Pan};
use mayfly_core::{
    AccountId, Answer, Candidate, ClaimNumber, Command, Controls, HolderDigits, IssueNumber, NumberId, Once,
    OnceKey, PartitionId, ProgrammeId, Refusal, Terms, TimeMs,
};
use mayfly_keys::{Cvc2, Random, RandomError};

use crate::notes::Note;
use crate::{Catalogue, Clock, Handle, NoteError, NoteKeys, Refused};

/// A number is wanted.
#[derive(Clone, Debug)]
pub struct Order {
    /// Whose purchases it will make.
    pub account: AccountId,
    /// By whose terms.
    pub programme: ProgrammeId,
    /// How often it may be used.
    pub uses: u32,
    /// How long it is good, in milliseconds; the programme's default if none.
    pub lifetime_ms: Option<TimeMs>,
    /// What it may do.
    pub controls: Controls,
    /// The cardholder's own number, of which the programme's numbers have a part.
    pub own: Option<Pan>,
    /// The very number that is wanted, if somebody else drew it.
    pub number: Option<Pan>,
}

/// A number, as its cardholder gets it: the only time that it is seen whole.
#[derive(Debug)]
pub struct Issued {
    /// Its id, for everything that comes later.
    pub id: NumberId,
    /// The number.
    pub pan: Pan,
    /// Its expiration date.
    pub expiry: Expiry,
    /// Its CVC2.
    pub cvc2: Cvc2,
    /// When its lifetime is over.
    pub expires_ms: TimeMs,
}

/// Why no number was issued.
#[derive(Debug, PartialEq, Eq)]
pub enum DeskError {
    /// The core refused it.
    Refused(Refusal),
    /// The engine takes nothing now.
    Busy(Refused),
    /// The operating system gave no randomness.
    Random(RandomError),
    /// What a repeated answer needs could not be kept, or is gone.
    Note(NoteError),
    /// Prefix and layout don't fit: found when a programme is opened, so never here.
    Layout(LayoutError),
    /// The programme's numbers have a part of the cardholder's own, and that is not known.
    OwnNumberMissing,
    /// A number that somebody else drew does not begin like the programme's, or has another length.
    NotOfProgramme,
    /// The programme's numbers are cards of the check site: they are enrolled.
    OfCheckSite(ProgrammeId),
    /// The engine stopped before it answered.
    Stopped,
}

impl fmt::Display for DeskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => refusal.fmt(f),
            Self::Busy(refused) => write!(f, "{refused}; try again"),
            Self::Random(error) => error.fmt(f),
            Self::Note(error) => error.fmt(f),
            Self::Layout(error) => error.fmt(f),
            Self::OwnNumberMissing => f.write_str(
                "numbers of this programme have a part of the cardholder's own, and none is known for the account",
            ),
            Self::NotOfProgramme => f.write_str(
                "that number is none of this programme: its first digits or its length are not the programme's",
            ),
            Self::OfCheckSite(id) => {
                write!(f, "numbers of {id} stand for cards of the check site; enrol a card instead")
            }
            Self::Stopped => f.write_str(
                "the engine stopped before it answered; whether a number was issued shows in its list",
            ),
        }
    }
}

impl std::error::Error for DeskError {}

/// How many numbers are drawn for one order. With one number in ten thousand taken, all four are taken once in
/// 10^16 orders.
const CANDIDATES: usize = 4;
/// How often an order is drawn again when all its candidates are taken.
const ROUNDS: usize = 16;

/// How often, for each partition that there is, a number is drawn until one belongs to the account's: all of them are in
/// vain once in 10^13 orders, if there are enough numbers.
const DRAWS_PER_PARTITION: usize = 30;

/// Why a number could not be claimed.
pub(crate) enum Unclaimed {
    /// It is another's.
    Refused(Refusal),
    /// The engine takes nothing now.
    Busy(Refused),
    /// The engine stopped before it answered.
    Stopped,
}

impl From<Unclaimed> for DeskError {
    fn from(unclaimed: Unclaimed) -> Self {
        match unclaimed {
            Unclaimed::Refused(refusal) => Self::Refused(refusal),
            Unclaimed::Busy(refused) => Self::Busy(refused),
            Unclaimed::Stopped => Self::Stopped,
        }
    }
}

/// A number that somebody else drew belongs to a partition by its hash. If that is not the account's, it is claimed there
/// before it is issued: whoever claims it and does not come back for it only keeps it from others for a while.
pub(crate) async fn claim(
    handle: &Handle,
    catalogue: &Catalogue,
    number: &Pan,
    (account, programme): (AccountId, ProgrammeId),
) -> Result<(), Unclaimed> {
    let home = catalogue.partition_of(number);
    if home == account.partition() {
        return Ok(());
    }
    let claim = ClaimNumber { index: catalogue.index(number), home, account, programme };
    match handle.ask(Command::Claim(Box::new(claim))).map_err(Unclaimed::Busy)?.await {
        Ok(Answer::Done) => Ok(()),
        Ok(Answer::Refused(refusal)) => Err(Unclaimed::Refused(refusal)),
        _ => Err(Unclaimed::Stopped),
    }
}

/// Issues numbers.
pub struct Desk {
    handle: Handle,
    catalogue: Arc<Catalogue>,
    random: Mutex<Box<dyn Random + Send>>,
    clock: Arc<dyn Clock>,
    notes: Arc<dyn NoteKeys>,
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Desk")
    }
}

/// An order with its draws: the command for the writer, and what it will be if the writer takes it.
pub struct Drawn {
    /// For the writer.
    pub command: IssueNumber,
    pans: Vec<Pan>,
    expiry: Expiry,
}

impl Drawn {
    /// As it was drawn for the same order before.
    fn again(mut self, note: Note) -> Self {
        self.expiry = Expiry::from(note.expiry);
        self.command.expiry = note.expiry;
        self.pans = note.pans;
        self
    }
}

impl Desk {
    /// On an engine.
    pub fn new(
        handle: Handle,
        catalogue: Arc<Catalogue>,
        random: Box<dyn Random + Send>,
        clock: Arc<dyn Clock>,
        notes: Arc<dyn NoteKeys>,
    ) -> Self {
        Self { handle, catalogue, random: Mutex::new(random), clock, notes }
    }

    /// Issues a number. With a key that was used for the same order before, the number that was issued then.
    pub async fn issue(&self, order: &Order, once: Option<OnceKey>) -> Result<Issued, DeskError> {
        self.claim(order).await?;
        for _ in 0..ROUNDS {
            let drawn = self.draw(order)?;
            let mut command = Command::Issue(Box::new(drawn.command.clone()));
            if let Some(once) = once {
                command = Command::Once(Box::new(Once {
                    once,
                    note: self.note(&drawn, once)?,
                    command,
                    recalled: None,
                }));
            }
            let answer = self.handle.ask(command).map_err(DeskError::Busy)?;
            let done = match (answer.await.map_err(|_| DeskError::Stopped)?, once) {
                (Answer::Repeated { outcome, note }, Some(once)) => {
                    let note = Note::open(&note, &*self.notes, once).map_err(DeskError::Note)?;
                    self.hand_out(drawn.again(note), outcome.answer())
                }
                (answer, _) => self.hand_out(drawn, answer),
            };
            match done {
                Err(DeskError::Refused(Refusal::CandidatesTaken)) if order.number.is_some() => {
                    return Err(DeskError::Refused(Refusal::NumberTaken));
                }
                Err(DeskError::Refused(Refusal::CandidatesTaken)) => {}
                done => return done,
            }
        }
        Err(DeskError::Refused(Refusal::CandidatesTaken))
    }

    /// If somebody else drew the number.
    async fn claim(&self, order: &Order) -> Result<(), DeskError> {
        let Some(number) = &order.number else { return Ok(()) };
        let owner = (order.account, order.programme);
        Ok(claim(&self.handle, &self.catalogue, number, owner).await?)
    }

    fn note(&self, drawn: &Drawn, once: OnceKey) -> Result<Vec<u8>, DeskError> {
        let note = Note { expiry: drawn.command.expiry, pans: drawn.pans.clone() };
        let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
        note.seal(&*self.notes, once, self.clock.now_ms(), &mut **random).map_err(DeskError::Note)
    }

    /// Draws candidates for an order.
    pub fn draw(&self, order: &Order) -> Result<Drawn, DeskError> {
        let entry = self
            .catalogue
            .programme(order.programme)
            .ok_or(DeskError::Refused(Refusal::NoProgramme(order.programme)))?;
        let terms = &entry.programme.terms;
        if terms.scheme.dynamic().is_some() {
            // Without a row of the conversion table it would be a card that nobody can pay with.
            return Err(DeskError::OfCheckSite(order.programme));
        }
        let pans = match &order.number {
            Some(number) if terms.could_have(number) => vec![number.clone()],
            Some(_) => return Err(DeskError::NotOfProgramme),
            None => {
                let (partition, own) = (order.account.partition(), order.own.as_ref());
                let candidate = |_| self.number_in(partition, terms, own);
                (0..CANDIDATES).map(candidate).collect::<Result<_, _>>()?
            }
        };
        let expiry = self.expiry(order, terms)?;
        let candidates = pans
            .iter()
            .map(|pan| Candidate { index: self.catalogue.index(pan), last_four: pan.last_four() })
            .collect();
        let command = IssueNumber {
            account: order.account,
            programme: order.programme,
            uses: order.uses,
            lifetime_ms: order.lifetime_ms,
            controls: order.controls.clone(),
            expiry,
            candidates,
        };
        Ok(Drawn { command, pans, expiry: Expiry::from(expiry) })
    }

    /// A number that belongs to the partition of its account, so that its purchases are decided where the account is.
    fn number_in(&self, partition: PartitionId, terms: &Terms, own: Option<&Pan>) -> Result<Pan, DeskError> {
        let draws = usize::from(self.catalogue.partitions().get()) * DRAWS_PER_PARTITION;
        for _ in 0..draws {
            let pan = self.drawn_number(terms, own)?;
            if self.catalogue.partition_of(&pan) == partition {
                return Ok(pan);
            }
        }
        Err(DeskError::Refused(Refusal::CandidatesTaken))
    }

    fn drawn_number(&self, terms: &Terms, own: Option<&Pan>) -> Result<Pan, DeskError> {
        let free = self.below(terms.layout.numbers())?;
        let made = match &terms.holder {
            HolderDigits::Drawn => terms.layout.number(&terms.prefix, free),
            HolderDigits::Own => {
                let own = own.ok_or(DeskError::OwnNumberMissing)?.digits();
                // A number is always longer than its holder digits.
                let part = &own[own.len().saturating_sub(terms.layout.holder_digits().into())..];
                terms.layout.number_of(&terms.prefix, part, free)
            }
            HolderDigits::Universal(part) => {
                terms.layout.number_of(&terms.prefix, part.as_str().as_bytes(), free)
            }
        };
        made.map_err(DeskError::Layout)
    }

    /// Makes what the writer took into what the cardholder gets.
    pub fn hand_out(&self, drawn: Drawn, answer: Answer) -> Result<Issued, DeskError> {
        let (id, candidate, expires_ms) = match answer {
            Answer::Issued { number, candidate, expires_ms } => (number, candidate, expires_ms),
            Answer::Refused(refusal) => return Err(DeskError::Refused(refusal)),
            _ => return Err(DeskError::Stopped),
        };
        let programme = drawn.command.programme;
        let pan = drawn.pans.into_iter().nth(candidate).ok_or(DeskError::Stopped)?;
        let entry = self.catalogue.programme(programme);
        let cvc2 = entry.and_then(|entry| entry.cvc2(&pan, drawn.expiry)).ok_or(DeskError::Stopped)?;
        Ok(Issued { id, pan, expiry: drawn.expiry, cvc2, expires_ms })
    }

    /// A date that is good for as long as the number is, drawn from those that the programme allows: so the date
    /// is one more thing that a guess has to hit.
    fn expiry(&self, order: &Order, terms: &Terms) -> Result<MonthIndex, DeskError> {
        let over = self.clock.now_ms().saturating_add(order.lifetime_ms.unwrap_or(terms.lifetime_ms));
        let ahead = self.below(u64::from(terms.expiry_months))?;
        // At most 240 months ahead, by the bound on the term; the calendar ends in 2119.
        let month = MonthIndex::of_unix_ms(over);
        Ok(month.plus(1 + ahead as u16).unwrap_or(month))
    }

    /// A number below `bound`, each as likely as the other.
    fn below(&self, bound: u64) -> Result<u64, DeskError> {
        // Values in the last, incomplete run of `bound` would make some results likelier: draw again.
        let limit = u64::MAX - u64::MAX % bound;
        loop {
            let mut bytes = [0; 8];
            let mut random = self.random.lock().unwrap_or_else(PoisonError::into_inner);
            random.fill(&mut bytes).map_err(DeskError::Random)?;
            let value = u64::from_le_bytes(bytes);
            if value < limit {
                return Ok(value % bound);
            }
        }
    }
}
