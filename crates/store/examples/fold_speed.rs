//! How fast records are appended to the journal and folded into the views, and what they take on the disk.
//!
//! Makes a synthetic journal in a temporary directory: accounts, active numbers, and purchases spread at random
//! over the numbers. Then folds it; the same with purchases for each of which an ETSN is opened a while before. At last opens it as
//! a start of the server would, with three open ETSNs of each number.
//!
//!     cargo run --release -p mayfly-store --example fold_speed -- [numbers] [purchases] [directory]

#![allow(clippy::print_stdout)]

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mayfly_card::{
    AcquirerId, Currency, LastFour, Layout, Mcc, MerchantId, MinorUnits, MonthIndex, PosEntryMode, Prefix,
    Rrn, Stan, TerminalId,
};
use mayfly_core::{
    AccountId, AccountOpened, CardRef, Controls, CreditLimit, Effect, EtsnOpened, Event, Facts, Hash64,
    IssuerId, IssuerOpened, Kind, MessageKind, Name, NumberId, NumberIssued, NumberRef, PartitionId,
    Previous, ProgrammeId, ProgrammeOpened, Reason, ResponseCode, Terms, TotalsChange, Transacted,
    TransactionId,
};
use mayfly_dynamic::{AppVersion, Etsn, Mode, Months, ReferenceData, Tsn};
use mayfly_engine::{Entry, Head, Journal, Progress, Record};
use mayfly_keys::NumberIndex;
use mayfly_store::{FoldOptions, Folder, JOURNAL_FILE, OpenOptions, StoredJournal, VIEWS_FILE, open};

type Failure = Box<dyn std::error::Error>;

/// As many events as the engine puts into a record under load.
const BATCH: usize = 512;
/// So many records may wait for the views.
const LAG_MAX: u64 = 600;
/// So many ETSNs wait for their purchases.
const WAITING: usize = 50_000;
const PARTITION: PartitionId = PartitionId(0);
const BEGUN_MS: u64 = 1_790_000_000_000;

fn main() -> Result<(), Failure> {
    let mut arguments = std::env::args().skip(1);
    let mut count = |usual: u64| arguments.next().map_or(Ok(usual), |text| text.parse());
    let (numbers, purchases) = (count(1_000_000)?, count(2_000_000)?);
    let place = arguments.next().unwrap_or_else(|| ".".to_owned());
    let directory = tempfile::tempdir_in(place)?;

    let mut maker = Maker::new(directory.path(), numbers)?;
    let begun = Instant::now();
    maker.open_everything()?;
    report("set up", maker.events, begun.elapsed());
    let before = maker.events;
    fold(directory.path(), maker.head.sequence, before)?;
    let journal_before = size(directory.path(), JOURNAL_FILE);
    let views_before = size(directory.path(), VIEWS_FILE);

    maker.purchases(purchases)?;
    report("appended", purchases, maker.appending);
    println!("commits: {}", maker.slowest());
    fold(directory.path(), maker.head.sequence, purchases)?;
    let bytes = |file, before| (size(directory.path(), file) - before) / purchases.max(1);
    println!(
        "bytes per purchase: journal {}, views {}",
        bytes(JOURNAL_FILE, journal_before),
        bytes(VIEWS_FILE, views_before)
    );

    maker.follow(directory.path())?;
    maker.purchases(purchases)?;
    report("appended while folding", purchases, maker.appending);
    println!("commits: {}", maker.slowest());
    maker.stop_following()?;

    maker.dynamic_purchases(purchases)?;
    report("appended with ETSNs", purchases, maker.appending);
    fold(directory.path(), maker.head.sequence, purchases)?;
    for _ in 0..3 {
        maker.open_etsns()?;
    }
    fold(directory.path(), maker.head.sequence, 3 * numbers)?;
    drop(maker);
    let begun = Instant::now();
    let step = |what| println!("{:>10.2?} {what:?}", begun.elapsed());
    let opened = open(&directory.path().into(), &OpenOptions::default(), step)?;
    println!(
        "opened {} numbers, {} cards and {} transactions, with a check of all pages, in {:.2?}",
        opened.partitions.first().numbers.len(),
        opened.partitions.first().cards.len(),
        opened.partitions.first().transactions.len(),
        begun.elapsed()
    );
    Ok(())
}

fn report(what: &str, events: u64, time: Duration) {
    println!("{what} {events} events in {time:.2?}: {:.0} a second", events as f64 / time.as_secs_f64());
}

/// The processor time of this process so far, where the system tells it: on a machine that does other things as well
/// it says more than the clock.
fn processor_time() -> Option<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // After the name in brackets: user and system time are the 12th and 13th, in hundredths of a second.
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut next = || fields.next().and_then(|field| field.parse::<u64>().ok());
    Some(Duration::from_millis((next()? + next()?) * 10))
}

fn size(directory: &Path, file: &str) -> u64 {
    std::fs::metadata(directory.join(file)).map_or(0, |file| file.len())
}

fn fold(directory: &Path, through: u64, events: u64) -> Result<(), Failure> {
    let progress = Arc::new(Progress::default());
    let (begun, processor) = (Instant::now(), processor_time());
    progress.set_durable(through, 0);
    let folder = Folder::start(&directory.into(), FoldOptions::default(), progress.clone(), |_| {})?;
    folder.stop()?;
    report("folded", events, begun.elapsed());
    if let (Some(before), Some(after)) = (processor, processor_time()) {
        report("folded, by processor time,", events, after - before);
    }
    Ok(())
}

/// Makes events and appends them.
struct Maker {
    journal: StoredJournal,
    head: Head,
    payload: Vec<u8>,
    count: u32,
    events: u64,
    numbers: u64,
    accounts: u64,
    transactions: u64,
    etsns: u64,
    /// ETSNs that wait for their purchases, and the ids of their numbers.
    waiting: VecDeque<(u64, Etsn)>,
    last_by_number: Vec<Option<TransactionId>>,
    random: u64,
    appending: Duration,
    commits: Vec<Duration>,
    following: Option<(Folder, Arc<Progress>)>,
}

impl Maker {
    fn new(directory: &Path, numbers: u64) -> Result<Self, Failure> {
        let journal = StoredJournal::open(&directory.into())?;
        let head = journal.ends()?.head(PARTITION);
        Ok(Self {
            journal,
            head,
            payload: Vec::new(),
            count: 0,
            events: 0,
            numbers,
            accounts: (numbers / 10).max(1),
            transactions: 0,
            etsns: 0,
            waiting: VecDeque::new(),
            last_by_number: vec![None; numbers as usize],
            random: 0x9e37_79b9_7f4a_7c15,
            appending: Duration::ZERO,
            commits: Vec::new(),
            following: None,
        })
    }

    /// From now on the views are folded while records are appended.
    fn follow(&mut self, directory: &Path) -> Result<(), Failure> {
        let progress = Arc::new(Progress::default());
        let folder = Folder::start(&directory.into(), FoldOptions::default(), progress.clone(), |_| {})?;
        self.following = Some((folder, progress));
        Ok(())
    }

    fn stop_following(&mut self) -> Result<(), Failure> {
        if let Some((folder, _)) = self.following.take() {
            folder.stop()?;
        }
        Ok(())
    }

    /// How long commits took.
    fn slowest(&mut self) -> String {
        self.commits.sort_unstable();
        let part = |part: usize| self.commits.get((self.commits.len().max(1) - 1) * part / 1000);
        let [half, most, nearly, all] = [500, 990, 999, 1000].map(|it| part(it).copied().unwrap_or_default());
        format!("p50 {half:.2?}, p99 {most:.2?}, p99.9 {nearly:.2?}, max {all:.2?}")
    }

    fn random(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }

    fn push(&mut self, event: &Event) -> Result<(), Failure> {
        event.write(&mut self.payload);
        self.count += 1;
        self.events += 1;
        if self.count as usize == BATCH { self.append() } else { Ok(()) }
    }

    fn append(&mut self) -> Result<(), Failure> {
        let at_ms = BEGUN_MS + self.events / 100;
        let payload = std::mem::take(&mut self.payload);
        let begun = Instant::now();
        let record = Record::seal(&self.head, PARTITION, at_ms, self.count, payload);
        self.journal.append(&Entry { number: record.sequence, records: vec![record.clone()] })?;
        self.appending += begun.elapsed();
        self.commits.push(begun.elapsed());
        if let Some((_, progress)) = &self.following {
            progress.set_durable(record.sequence, at_ms);
            // As fast as the views can follow, and no faster: the engine sheds what is beyond.
            while progress.folded() + LAG_MAX < record.sequence {
                std::thread::sleep(Duration::from_micros(500));
            }
        }
        self.head = record.head();
        self.count = 0;
        Ok(())
    }

    fn open_everything(&mut self) -> Result<(), Failure> {
        let (issuer, programme) = (IssuerId(1), ProgrammeId(1));
        let usd = Currency::from_number(840).ok_or("no such currency")?;
        let terms = Terms::standard(Prefix::parse("456940")?, Layout::DEFAULT);
        self.push(&Event::IssuerOpened(IssuerOpened { issuer, name: Name::parse("Bank")? }))?;
        let opened = ProgrammeOpened { programme, issuer, name: Name::parse("Standard")?, terms };
        self.push(&Event::ProgrammeOpened(Box::new(opened)))?;
        let limit = CreditLimit::Credit(MinorUnits::MAX);
        for account in 1..=self.accounts {
            let opened = AccountOpened { account: AccountId(account), issuer, currency: usd, limit };
            self.push(&Event::AccountOpened(opened))?;
        }
        for id in 1..=self.numbers {
            let event = NumberIssued {
                number: number(id),
                last_four: LastFour::from_value((id % 10_000) as u16).ok_or("four digits")?,
                account: AccountId(id % self.accounts + 1),
                programme,
                expiry: MonthIndex::new(2028, 5).ok_or("no such month")?,
                expires_ms: BEGUN_MS + 86_400_000,
                uses: 1000,
                controls: Controls::default(),
            };
            self.push(&Event::NumberIssued(Box::new(event)))?;
        }
        if self.count > 0 { self.append() } else { Ok(()) }
    }

    fn purchases(&mut self, count: u64) -> Result<(), Failure> {
        (self.appending, self.commits) = (Duration::ZERO, Vec::new());
        for _ in 0..count {
            let number_id = self.random() % self.numbers + 1;
            self.purchase(number_id)?;
        }
        if self.count > 0 { self.append() } else { Ok(()) }
    }

    /// Purchases with an ETSN each, which was opened some seconds before.
    fn dynamic_purchases(&mut self, count: u64) -> Result<(), Failure> {
        (self.appending, self.commits) = (Duration::ZERO, Vec::new());
        let mut done = 0;
        while done < count {
            let opened = self.random() % self.numbers + 1;
            let etsn = self.open_etsn(opened)?;
            self.waiting.push_back((opened, etsn));
            if self.waiting.len() <= WAITING {
                continue;
            }
            let Some((number_id, etsn)) = self.waiting.pop_front() else { break };
            self.push(&Event::EtsnUsed { card: self.card(number_id), etsn })?;
            self.purchase(number_id)?;
            done += 1;
        }
        if self.count > 0 { self.append() } else { Ok(()) }
    }

    /// One ETSN of each number.
    fn open_etsns(&mut self) -> Result<(), Failure> {
        for id in 1..=self.numbers {
            self.open_etsn(id)?;
        }
        if self.count > 0 { self.append() } else { Ok(()) }
    }

    fn card(&self, number_id: u64) -> CardRef {
        CardRef { number: number(number_id), account: AccountId(number_id % self.accounts + 1) }
    }

    fn open_etsn(&mut self, number_id: u64) -> Result<Etsn, Failure> {
        self.etsns += 1;
        let month = MonthIndex::new(2026, 11).ok_or("no such month")?;
        let etsn = Etsn(self.etsns);
        let event = EtsnOpened {
            card: self.card(number_id),
            tsn: Tsn(self.etsns),
            etsn,
            mode: Mode::Expiry,
            version: AppVersion(1),
            reference: ReferenceData::new(month, Months::new(96).ok_or("months")?)?,
            expires_ms: BEGUN_MS + 86_400_000,
            cap: Some((
                MinorUnits::new(20_000).ok_or("an amount")?,
                Currency::from_number(840).ok_or("USD")?,
            )),
            merchant: None,
        };
        self.push(&Event::EtsnOpened(Box::new(event)))?;
        Ok(etsn)
    }

    fn purchase(&mut self, number_id: u64) -> Result<(), Failure> {
        let usd = Currency::from_number(840).ok_or("no such currency")?;
        let drawn = self.random();
        let amount = (drawn >> 32) % 20_000 + 101;
        self.transactions += 1;
        let totals =
            TotalsChange { authorised: amount as i64, held: amount as i64, ..TotalsChange::default() };
        let facts = Facts {
            acquirer: AcquirerId::parse("123456")?,
            stan: Stan::from_value((self.transactions % 1_000_000) as u32).unwrap_or_default(),
            rrn: Rrn::parse(&format!("{:012}", self.transactions))?,
            terminal: TerminalId::parse("TERM0001")?,
            merchant: MerchantId::parse(&format!("MERCHANT{:05}", drawn % 20_000))?,
            mcc: Mcc::from_value(5411),
            country: None,
            entry_mode: PosEntryMode::parse("812")?,
            transmitted: 1_122_131_415,
            local_date: 1122,
            local_time: 131_415,
        };
        let last = &mut self.last_by_number[(number_id - 1) as usize];
        let previous = last.map_or(Previous::Nothing, Previous::Transaction);
        *last = Some(TransactionId(self.transactions));
        let event = Transacted {
            id: TransactionId(self.transactions),
            kind: Kind::Purchase,
            message: MessageKind::Authorisation,
            response: ResponseCode::Approved,
            reason: Reason::Approved,
            approval: None,
            reference: Hash64(self.random()),
            identity: Hash64(self.random()),
            content: Hash64(self.random()),
            number: Some(number(number_id)),
            previous,
            retires: None,
            account: Some(AccountId(number_id % self.accounts + 1)),
            issuer: Some(IssuerId(1)),
            programme: Some(ProgrammeId(1)),
            target: None,
            reverses: None,
            ceiling: MinorUnits::MAX,
            amount: MinorUnits::new(amount).unwrap_or_default(),
            currency: usd,
            facts,
            effect: Effect { totals, uses: -1, spent: amount as i64, ..Effect::default() },
        };
        self.push(&Event::Transacted(event))
    }
}

/// The number with that id: its index is as random as a keyed hash.
fn number(id: u64) -> NumberRef {
    let mut index = id.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    index = (index ^ (index >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    NumberRef { id: NumberId(id), index: NumberIndex(index ^ (index >> 32)) }
}
