//! An engine on a journal in memory that does as it is told.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)]

use std::num::NonZeroU16;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use mayfly_card::{Currency, Layout, MinorUnits, Prefix};
use mayfly_core::scheme::dynamic::Proof;
use mayfly_core::state::{Kept, Transaction};
use mayfly_core::{
    AccountId, Answer, Command, Controls, CreditLimit, Hash64, IssuerId, Name, Operation, PageRequest,
    PartitionId, Partitions, ProgrammeId, State, Terms,
};
use mayfly_engine::{
    AppendError, Archive, ArchiveError, Asker, Catalogue, Clock, Ends, Engine, Entry, Journal, ManualClock,
    Options, Order, Parts, Progress, Question,
};
use mayfly_keys::{KeyService, RootKey};

pub const NOON: u64 = 1_781_524_800_000;

/// What a journal in memory has, and what it is to do next.
#[derive(Default)]
pub struct Disk {
    pub entries: Vec<Entry>,
    /// How many partitions it has; one if it does not say.
    pub partitions: Option<NonZeroU16>,
    /// Errors to give before records are taken again.
    pub errors: Vec<AppendError>,
    /// Whether appends wait.
    pub held: bool,
    /// After how many entries every append fails.
    pub breaks_after: Option<usize>,
    /// How many appends were tried.
    pub tried: usize,
    /// Whether it can't be reached.
    pub away: bool,
    /// Whether the next entry is written without a word about it.
    pub mute: bool,
    /// Whether somebody else has written to it.
    pub taken_over: bool,
}

impl Disk {
    /// Where it ends.
    fn ends(&self) -> Ends {
        let mut ends = Ends::start(self.partitions.unwrap_or(NonZeroU16::MIN));
        self.entries.iter().for_each(|entry| ends.advance(entry));
        ends
    }
}

#[derive(Clone, Default)]
pub struct MemoryJournal(pub Arc<(Mutex<Disk>, Condvar)>);

impl MemoryJournal {
    pub fn with<T>(&self, change: impl FnOnce(&mut Disk) -> T) -> T {
        let result = change(&mut self.0.0.lock().unwrap());
        self.0.1.notify_all();
        result
    }
}

impl Journal for MemoryJournal {
    fn append(&mut self, entry: &Entry) -> Result<(), AppendError> {
        let mut disk = self.0.0.lock().unwrap();
        disk.tried += 1;
        while disk.held {
            disk = self.0.1.wait(disk).unwrap();
        }
        if let Some(error) = disk.errors.pop() {
            return Err(error);
        }
        if disk.breaks_after.is_some_and(|limit| disk.entries.len() >= limit) {
            return Err(AppendError::Failed("the disk broke".into()));
        }
        if disk.away {
            return Err(AppendError::Unknown("away".into()));
        }
        if disk.entries.last() == Some(entry) {
            return Ok(());
        }
        let ends = disk.ends();
        assert_eq!(entry.number, ends.number + 1);
        assert!(entry.records.is_sorted_by(|a, b| a.partition < b.partition));
        ends.check(entry).expect("the engine chains its records");
        disk.entries.push(entry.clone());
        if std::mem::take(&mut disk.mute) {
            disk.away = true;
            return Err(AppendError::Unknown("the answer was lost".into()));
        }
        Ok(())
    }

    fn confirm(&mut self, ends: &Ends) -> Result<(), AppendError> {
        let disk = self.0.0.lock().unwrap();
        if disk.away {
            return Err(AppendError::Unknown("away".into()));
        }
        if disk.taken_over {
            return Err(AppendError::Refused);
        }
        assert_eq!(disk.ends(), *ends);
        Ok(())
    }

    fn is_hopeful(&self, _: Duration) -> bool {
        true
    }
}

/// An archive in memory.
#[derive(Clone, Default)]
pub struct MemoryArchive(pub Arc<Mutex<Vec<Transaction>>>, pub Arc<Mutex<Option<Kept>>>);

impl Archive for MemoryArchive {
    fn page(&self, _: PartitionId, _: &PageRequest, _: u64) -> Result<Vec<Transaction>, ArchiveError> {
        Ok(self.0.lock().unwrap().clone())
    }

    fn recall(&self, _: PartitionId, _: Hash64) -> Result<Option<Kept>, ArchiveError> {
        Ok(self.1.lock().unwrap().clone())
    }
}

/// Keeps the questions that leave.
#[derive(Clone, Default)]
pub struct Questions(pub Arc<Mutex<Vec<Question>>>);

impl Questions {
    /// Waits for so many.
    pub fn await_count(&self, count: usize) -> Vec<Question> {
        for _ in 0..5_000 {
            let asked = self.0.lock().unwrap().clone();
            if asked.len() >= count {
                return asked;
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        panic!("nobody was asked");
    }
}

impl Asker for Questions {
    fn ask(&self, question: Question) {
        self.0.lock().unwrap().push(question);
    }
}

pub struct Bench {
    pub engine: Engine,
    pub journal: MemoryJournal,
    pub archive: MemoryArchive,
    pub asked: Questions,
    pub clock: Arc<ManualClock>,
    pub catalogue: Arc<Catalogue>,
}

/// On a journal that has so much, and partitions that follow from it.
pub fn start(partitions: Partitions, journal: MemoryJournal, options: Options) -> Bench {
    let clock = Arc::new(ManualClock::at(NOON));
    let catalogue = Catalogue::new(KeyService::new(&RootKey::from_bytes(&[9; 32])));
    let catalogue = Arc::new(catalogue.among(partitions.count()));
    let ends = journal.with(|disk| {
        disk.partitions = Some(partitions.count());
        disk.ends()
    });
    let (archive, asked) = (MemoryArchive::default(), Questions::default());
    let engine = Engine::start(Parts {
        partitions,
        ends,
        journal: Box::new(journal.clone()),
        archive: Arc::new(archive.clone()),
        catalogue: catalogue.clone(),
        asker: Arc::new(asked.clone()),
        clock: clock.clone() as Arc<dyn Clock>,
        progress: Arc::new(Progress::default()),
        options: Options { views_lag_max_ms: u64::MAX, ..options },
    })
    .unwrap();
    Bench { engine, journal, archive, asked, clock, catalogue }
}

pub fn fresh(options: Options) -> Bench {
    start(Partitions::new(NonZeroU16::MIN), MemoryJournal::default(), options)
}

/// An issuer, a programme and an account with money.
pub fn bank(bench: &Bench) -> AccountId {
    let ask = |operation| bench.engine.handle().ask_blocking(Command::Operate(Box::new(operation)));
    let name = |text| Name::parse(text).unwrap();
    assert_eq!(ask(Operation::OpenIssuer { name: name("Bank") }), Answer::Issuer(IssuerId(1)));
    let terms = Terms::standard(Prefix::parse("456940").unwrap(), Layout::DEFAULT);
    ask(Operation::OpenProgramme { issuer: IssuerId(1), name: name("One"), terms });
    account(bench)
}

/// One more account with money.
pub fn account(bench: &Bench) -> AccountId {
    let currency = Currency::from_number(840).unwrap();
    let limit = CreditLimit::Credit(MinorUnits::new(1_000_000).unwrap());
    let open = Operation::OpenAccount { issuer: IssuerId(1), currency, limit };
    match bench.engine.handle().ask_blocking(Command::Operate(Box::new(open))) {
        Answer::Account(account) => account,
        other => panic!("{other:?}"),
    }
}

pub fn order(account: AccountId) -> Order {
    Order {
        account,
        programme: ProgrammeId(1),
        uses: 1,
        lifetime_ms: None,
        controls: Controls::default(),
        own: None,
        number: None,
    }
}

/// What follows from the entries of so many partitions.
pub fn replayed_of(entries: &[Entry], count: NonZeroU16) -> Partitions {
    let (mut partitions, mut ends) = (Partitions::new(count), Ends::start(count));
    for entry in entries {
        ends.check(entry).unwrap();
        for record in &entry.records {
            let apply = |event| partitions.apply(record.partition, &event, record.at_ms);
            record.each_event(apply).unwrap();
        }
        ends.advance(entry);
    }
    partitions
}

/// What follows from the entries of one partition.
pub fn replayed(entries: &[Entry]) -> State {
    replayed_of(entries, NonZeroU16::MIN).first().clone()
}

/// Numbers from a seed (SplitMix64): the same each time.
pub struct Seeded(pub u64);

impl Seeded {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.0;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ (value >> 31)
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

impl mayfly_keys::Random for Seeded {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), mayfly_keys::RandomError> {
        for chunk in bytes.chunks_mut(8) {
            let drawn = self.next().to_le_bytes();
            chunk.copy_from_slice(&drawn[..chunk.len()]);
        }
        Ok(())
    }
}

/// A purchase with a number, under a reference of its own.
pub fn purchase(bench: &Bench, pan: &mayfly_card::Pan, expiry: mayfly_card::Expiry, count: u64) -> Command {
    use mayfly_card::*;
    use mayfly_core::{Cvc2Check, Facts, Hash64, MessageKind, Presented, Processing, Request};
    let mut random = Seeded(count);
    Command::Message(Box::new(Request {
        message: MessageKind::Financial,
        processing: Processing::Purchase,
        reference: Hash64(random.next()),
        identity: Hash64(random.next()),
        content: Hash64(7),
        original: None,
        number: Presented::Number {
            index: bench.catalogue.index(pan),
            programme: bench.catalogue.programme_of(pan),
            last_four: pan.last_four(),
        },
        expiry: Some(expiry),
        cvc2: Cvc2Check::Absent,
        proof: Proof::NoKey,
        amount: MinorUnits::new(100).unwrap(),
        replacement: None,
        currency: Currency::from_number(840).unwrap(),
        declined_elsewhere: false,
        repeat: false,
        facts: Facts { merchant: MerchantId::parse("M-001").unwrap(), ..Facts::default() },
        paged: None,
        partition: bench.catalogue.partition_of(pan),
    }))
}
