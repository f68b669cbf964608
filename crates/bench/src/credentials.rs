//! The numbers that a benchmark presents: issued through the engine like any others.

use std::sync::Arc;

use mayfly_card::{Currency, Expiry, LastFour, Layout, MinorUnits, MonthIndex, Pan, Prefix};
use mayfly_core::{
    AccountId, Answer, Candidate, Command, Controls, CreditLimit, IssueNumber, IssuerId, Name, Operation,
    PartitionId, ProgrammeId, Terms,
};
use mayfly_engine::{Catalogue, Handle, Mailbox, Submission};
use mayfly_keys::NumberIndex;

use crate::drive::Bell;

/// One number: what a message needs to present it, and what the engine needs to find it.
#[derive(Clone, Copy, Debug)]
pub struct Credential {
    /// The number as an integer: 16 digits.
    pub digits: u64,
    /// How it is found.
    pub index: NumberIndex,
    /// Where it belongs.
    pub partition: PartitionId,
    /// Its programme.
    pub programme: Option<ProgrammeId>,
    /// Its expiration date.
    pub expiry: Expiry,
}

/// How many numbers share an account.
const PER_ACCOUNT: usize = 10;
/// How many orders are under way while numbers are loaded.
const IN_FLIGHT: usize = 4096;

/// The prefix of the numbers that a benchmark issues.
pub const PREFIX: &str = "456940";

/// Draws numbers that look random and are the same for the same seed: a permutation of the counter by an odd
/// factor, so that none comes twice.
fn digits(layout: &Layout, prefix: &Prefix, seed: u64, counter: u64) -> Option<Pan> {
    let free = seed.wrapping_add(counter).wrapping_mul(387_420_489) % layout.numbers();
    layout.number(prefix, free).ok()
}

/// What went wrong while numbers were loaded.
#[derive(Debug)]
pub struct LoadError(pub String);

impl std::fmt::Display for LoadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the benchmark's numbers could not be issued: {}", self.0)
    }
}

impl std::error::Error for LoadError {}

/// Opens an issuer, a programme and accounts.
pub struct Bank {
    handle: Handle,
    catalogue: Arc<Catalogue>,
    programme: ProgrammeId,
    /// By partition.
    accounts: Vec<Vec<AccountId>>,
    terms: Terms,
    drawn: u64,
}

impl Bank {
    /// With room for `credentials` numbers.
    pub fn open(handle: Handle, catalogue: Arc<Catalogue>, credentials: usize) -> Result<Self, LoadError> {
        let prefix = Prefix::parse(PREFIX).map_err(|error| LoadError(error.to_string()))?;
        let mut terms = Terms::standard(prefix, Layout::DEFAULT);
        terms.active_max = 100_000_000;
        terms.uses_max = 1_000_000;
        terms.lifetime_max_ms = 365 * 24 * 3600 * 1000;
        terms.lifetime_ms = terms.lifetime_max_ms;
        let issuer = match operate(&handle, Operation::OpenIssuer { name: name("Bench")? })? {
            Answer::Issuer(issuer) => issuer,
            other => return Err(LoadError(format!("{other:?}"))),
        };
        let open = Operation::OpenProgramme { issuer, name: name("Bench")?, terms: terms.clone() };
        let programme = match operate(&handle, open)? {
            Answer::Programme(programme) => programme,
            other => return Err(LoadError(format!("{other:?}"))),
        };
        // At least one in each partition, for every number has an account where it belongs.
        let partitions = catalogue.partitions().get().into();
        let mut bank = Self { handle, catalogue, programme, accounts: Vec::new(), terms, drawn: 0 };
        bank.open_accounts(issuer, credentials.div_ceil(PER_ACCOUNT).max(partitions))?;
        Ok(bank)
    }

    fn open_accounts(&mut self, issuer: IssuerId, count: usize) -> Result<(), LoadError> {
        let currency =
            Currency::parse_alphabetic("USD").ok_or_else(|| LoadError("no such currency".into()))?;
        let limit = CreditLimit::Credit(MinorUnits::MAX);
        let commands = (0..count)
            .map(|_| Command::Operate(Box::new(Operation::OpenAccount { issuer, currency, limit })));
        let mut accounts = Vec::with_capacity(count);
        run_all(&self.handle, commands, |_, answer| match answer {
            Answer::Account(account) => {
                accounts.push(account);
                Ok(())
            }
            other => Err(LoadError(format!("{other:?}"))),
        })?;
        self.accounts = vec![Vec::new(); self.catalogue.partitions().get().into()];
        for account in accounts {
            self.accounts[usize::from(account.partition().0)].push(account);
        }
        Ok(())
    }

    /// The same bank on an engine that was started again.
    pub fn moved_to(self, handle: Handle, catalogue: Arc<Catalogue>) -> Self {
        Self { handle, catalogue, ..self }
    }

    /// The order for the next number.
    pub fn order(&mut self, uses: u32) -> Option<(Command, Credential)> {
        let pan = digits(&self.terms.layout, &self.terms.prefix, 7, self.drawn)?;
        let partition = self.catalogue.partition_of(&pan);
        let accounts = &self.accounts[usize::from(partition.0)];
        let account = *accounts.get((self.drawn as usize / PER_ACCOUNT).checked_rem(accounts.len())?)?;
        self.drawn += 1;
        let expiry = MonthIndex::new(2035, 12)?;
        let index = self.catalogue.index(&pan);
        let last_four: LastFour = pan.last_four();
        let credential = Credential {
            digits: pan.as_str().parse().ok()?,
            index,
            partition,
            programme: Some(self.programme),
            expiry: Expiry::from(expiry),
        };
        let command = Command::Issue(Box::new(IssueNumber {
            account,
            programme: self.programme,
            uses,
            lifetime_ms: None,
            controls: Controls::default(),
            expiry,
            candidates: vec![Candidate { index, last_four }],
        }));
        Some((command, credential))
    }

    /// Issues `count` numbers, each with so many uses.
    pub fn load(
        &mut self,
        count: usize,
        uses: u32,
        mut progress: impl FnMut(usize),
    ) -> Result<Vec<Credential>, LoadError> {
        let mut credentials = Vec::with_capacity(count);
        let handle = self.handle.clone();
        let orders = std::iter::from_fn(|| {
            let (command, credential) = (credentials.len() < count).then(|| self.order(uses))??;
            credentials.push(credential);
            Some(command)
        });
        let mut done = 0;
        run_all(&handle, orders, |_, answer| match answer {
            Answer::Issued { .. } => {
                done += 1;
                if done % 50_000 == 0 {
                    progress(done);
                }
                Ok(())
            }
            other => Err(LoadError(format!("{other:?}"))),
        })?;
        Ok(credentials)
    }
}

pub(crate) fn name(text: &str) -> Result<Name, LoadError> {
    Name::parse(text).map_err(|error| LoadError(error.to_string()))
}

pub(crate) fn operate(handle: &Handle, operation: Operation) -> Result<Answer, LoadError> {
    Ok(handle.ask_blocking(Command::Operate(Box::new(operation))))
}

/// Has the engine run all commands, some thousand at a time.
pub fn run_all(
    handle: &Handle,
    mut commands: impl Iterator<Item = Command>,
    mut each: impl FnMut(u64, Answer) -> Result<(), LoadError>,
) -> Result<(), LoadError> {
    let bell = Arc::new(Bell::default());
    let ring = bell.clone();
    let mailbox = Mailbox::new(move || ring.ring());
    let mut submission = Submission::default();
    let mut letters = Vec::new();
    let (mut in_flight, mut sent, mut more) = (0, 0u64, true);
    while more || in_flight > 0 {
        while more && in_flight < IN_FLIGHT {
            match commands.next() {
                Some(command) => {
                    submission.add(command, &mailbox, sent);
                    sent += 1;
                    in_flight += 1;
                }
                None => more = false,
            }
        }
        handle.submit(&mut submission);
        if in_flight == 0 {
            break;
        }
        bell.wait();
        mailbox.take(&mut letters);
        for (key, answer) in letters.drain(..) {
            in_flight -= 1;
            each(key, answer)?;
        }
    }
    Ok(())
}
