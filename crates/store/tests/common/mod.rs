//! A small world for tests: random commands, decided by the core, written to a journal.

// Each test binary uses a part of it.
#![allow(dead_code, clippy::unwrap_used)]

pub(crate) mod cards;
mod directory;

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use mayfly_card::{
    AcquirerId, Channel, Country, Currency, Expiry, LastFour, Layout, Mcc, MerchantId, MinorUnits,
    MonthIndex, PosEntryMode, Prefix, Rrn, Stan, TerminalId,
};
use mayfly_core::state::{Number, Transaction};
use mayfly_core::{
    AccountId, Answer, Candidate, ClaimNumber, Command, Controls, CreditLimit, Cvc2Check, DecisionHook,
    Event, Facts, FailedControl, Hash64, IssueNumber, IssuerId, MerchantRule, MessageKind, Name,
    NumberIssued, NumberRef, Once, OnceKey, Operation, Original, PageRequest, PartitionId, Partitions,
    Presented, Processing, ProgrammeId, QuestionId, Request, Resolution, State, Terms, TransactionId,
    WhenLate, Whom, Word, serial,
};
use mayfly_engine::{Ends, Entry, Head, Journal, Progress, Record};
use mayfly_keys::NumberIndex;
use mayfly_store::{
    Database, DatabaseOptions, FoldOptions, Folder, Home, OpenOptions, Opened, StoredJournal,
};
use mayfly_testing::TestDatabase;
use tempfile::TempDir;

/// Where nothing is said of another one.
pub(crate) const PARTITION: PartitionId = PartitionId::FIRST;
/// How many partitions a database has here: few, so that each is used, and a number that halves nothing.
pub(crate) const SEVERAL: u16 = 5;
pub(crate) const BEGUN_MS: u64 = 1_790_000_000_000;
const DAY_MS: u64 = 86_400_000;

/// The entry that a record is by itself, where there is one partition.
pub(crate) fn alone(record: &Record) -> Entry {
    Entry { number: record.sequence, records: vec![record.clone()] }
}

/// A record that follows.
pub(crate) fn record(head: &Head, partition: PartitionId, payload: &[u8]) -> Record {
    Record::seal(head, partition, head.at_ms + 1, 0, payload.to_vec())
}

/// Small enough that a test folds in several transactions.
pub(crate) fn options() -> OpenOptions {
    OpenOptions { fold: FoldOptions { events_max: 300, ..FoldOptions::default() }, ..OpenOptions::default() }
}

/// Where a test's data are: in files, or in a database of its own.
pub(crate) struct Ground {
    pub(crate) home: Home,
    directory: Option<TempDir>,
    database: Option<TestDatabase>,
}

impl Ground {
    pub(crate) fn files() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self { home: directory.path().into(), directory: Some(directory), database: None }
    }

    pub(crate) fn postgres() -> Self {
        let database = TestDatabase::create();
        let limit = Duration::from_secs(30);
        let options = DatabaseOptions {
            url: &database.url(),
            password: None,
            ca_file: None,
            statement_time_max: limit,
            connect_time_max: limit,
        };
        let home = Home::Database(Arc::new(Database::new(&options).unwrap()));
        Self { home, directory: None, database: Some(database) }
    }

    /// A number that a statement finds or does, past the store: of the file `name.db`, or of the schema `mayfly_name`.
    pub(crate) fn raw(&self, name: &str, sql: &str) -> i64 {
        if let Some(database) = &self.database {
            let said = database.psql(&format!("SET search_path = mayfly_{name}; {sql}"));
            return said.parse().unwrap_or_else(|_| panic!("{sql}: {said}"));
        }
        let file = self.directory.as_ref().unwrap().path().join(format!("{name}.db"));
        rusqlite::Connection::open(file).unwrap().query_row(sql, (), |row| row.get(0)).unwrap()
    }

    /// How the database is connected to.
    pub(crate) fn url(&self) -> String {
        self.database.as_ref().unwrap().url()
    }

    /// Does something past the store, whatever it gives.
    pub(crate) fn spoil(&self, name: &str, sql: &str) {
        if let Some(database) = &self.database {
            return drop(database.psql(&format!("SET search_path = mayfly_{name}; {sql}")));
        }
        let file = self.directory.as_ref().unwrap().path().join(format!("{name}.db"));
        rusqlite::Connection::open(file).unwrap().execute_batch(sql).unwrap();
    }

    /// The views are gone, as if somebody had thrown them away.
    pub(crate) fn lose_views(&self) {
        match &self.home {
            Home::Files(directory) => {
                for file in ["views.db", "views.db-wal", "views.db-shm"] {
                    let _ = std::fs::remove_file(directory.join(file));
                }
            }
            Home::Database(_) => self.spoil("views", "DROP SCHEMA mayfly_views CASCADE"),
        }
    }

    /// Changes something past the store. Returns how many rows.
    pub(crate) fn alter(&self, name: &str, sql: &str) -> usize {
        if self.database.is_some() {
            return self.raw(name, &format!("WITH done AS ({sql} RETURNING 1) SELECT count(*) FROM done"))
                as usize;
        }
        let file = self.directory.as_ref().unwrap().path().join(format!("{name}.db"));
        rusqlite::Connection::open(file).unwrap().execute(sql, ()).unwrap()
    }
}

/// Each of these functions is a test for either store: it takes a [`Ground`].
#[allow(unused_macros)]
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod on_sqlite {
            $(#[test] fn $name() { super::$name(super::common::Ground::files()); })*
        }
        mod on_postgres {
            $(#[test] fn $name() { super::$name(super::common::Ground::postgres()); })*
        }
    };
}
#[allow(unused_imports)]
pub(crate) use on_both;

/// Folds everything, as a server that is stopped does, in one transaction if it can.
pub(crate) fn fold(home: &Home, ends: &Ends) {
    let progress = Arc::new(Progress::default());
    progress.set_durable(ends.number, ends.at_ms());
    Folder::start(home, FoldOptions::default(), progress, |_| ()).unwrap().stop().unwrap();
}

pub(crate) fn reopen(home: &Home) -> Opened {
    mayfly_store::open(home, &options(), |_| ()).unwrap()
}

/// Views and journal say the same, row by row.
pub(crate) fn assert_same(home: &Home) {
    let differences = mayfly_store::compare_with_replay(home).unwrap();
    assert!(differences.is_empty(), "{}", differences.iter().map(|it| format!("{it}\n")).collect::<String>());
}

/// The states are as they were; of the transactions, those of the last 48 hours are there.
pub(crate) fn assert_state(loaded: &Partitions, decided: &Partitions) {
    assert_eq!(loaded.count(), decided.count());
    loaded.iter().zip(decided.iter()).for_each(|(loaded, of_partition)| {
        assert_one(loaded, of_partition);
        cards::assert_cards(loaded, of_partition, decided.now_ms());
    });
}

fn assert_one(loaded: &State, decided: &State) {
    assert_eq!(loaded.now_ms, decided.now_ms);
    assert_eq!(loaded.register, decided.register);
    assert_eq!(loaded.accounts, decided.accounts);
    assert_eq!(loaded.issuer_books, decided.issuer_books);
    assert_eq!(loaded.next_number, decided.next_number);
    assert_eq!(loaded.pending, decided.pending);
    assert_eq!(loaded.numbers.len(), decided.numbers.len());
    for number in decided.numbers.iter() {
        assert_eq!(loaded.numbers.find(number.index), Some(number));
    }
    assert_eq!(loaded.transactions.next_id(), decided.transactions.next_id());
    let since_ms = decided.now_ms.saturating_sub(48 * 3_600_000);
    let plain = |it: &Transaction| Transaction {
        previous_by_reference: None,
        previous_by_number: None,
        ..it.clone()
    };
    for transaction in decided.transactions.iter() {
        let found = loaded.transactions.find(transaction.id).map(plain);
        if transaction.touched_ms >= since_ms || found.is_some() {
            assert_eq!(found, Some(plain(transaction)));
        }
    }
    let month = MonthIndex::of_unix_ms(decided.now_ms);
    let (mut loaded, mut decided) = (loaded.quarantine.clone(), decided.quarantine.clone());
    loaded.forget(month);
    decided.forget(month);
    assert_eq!(loaded.len(), decided.len());
}

/// What a later message needs of an earlier one.
#[derive(Clone, Copy)]
struct Earlier {
    reference: Hash64,
    message: MessageKind,
    stan: Stan,
    merchant: MerchantId,
    number: NumberRef,
    amount: u64,
}

pub(crate) struct Play {
    pub(crate) home: Home,
    pub(crate) journal: StoredJournal,
    pub(crate) partitions: Partitions,
    pub(crate) ends: Ends,
    pub(crate) now_ms: u64,
    pub(crate) numbers: Vec<NumberRef>,
    pub(crate) events: u64,
    random: u64,
    /// What has gathered: the events of each partition, and how many.
    changes: BTreeMap<PartitionId, (Vec<u8>, u32)>,
    earlier: Vec<Earlier>,
    stan: u32,
}

pub(crate) fn usd() -> Currency {
    Currency::from_number(840).unwrap()
}

impl Play {
    /// Where no journal is. In a database it has several partitions, in files one.
    pub(crate) fn new(home: &Home, seed: u64) -> Self {
        let partitions = if matches!(home, Home::Files(_)) { 1 } else { SEVERAL };
        Self::of(home, seed, partitions)
    }

    /// Where no journal is, with so many partitions.
    pub(crate) fn of(home: &Home, seed: u64, partitions: u16) -> Self {
        let count = NonZeroU16::new(partitions).unwrap();
        mayfly_store::create(home, "test", count).unwrap();
        let journal = StoredJournal::open(home).unwrap();
        let mut play = Self {
            home: home.clone(),
            journal,
            partitions: Partitions::new(count),
            ends: Ends::start(count),
            now_ms: BEGUN_MS,
            numbers: Vec::new(),
            events: 0,
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            changes: BTreeMap::new(),
            earlier: Vec::new(),
            stan: 0,
        };
        play.open_world();
        play
    }

    /// Below `bound`.
    pub(crate) fn draw(&mut self, bound: u64) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) % bound
    }

    fn one_in(&mut self, bound: u64) -> bool {
        self.draw(bound) == 0
    }

    pub(crate) fn decide(&mut self, command: &Command) -> Answer {
        let mut events = Vec::new();
        let partition = self.partitions.route(command, self.now_ms);
        let answer = self.partitions.decide(partition, command, self.now_ms, &mut events);
        for event in &events {
            self.partitions.apply(partition, event, self.now_ms);
            self.gather(partition, event);
            self.events += 1;
        }
        answer
    }

    fn gather(&mut self, partition: PartitionId, event: &Event) {
        let (payload, count) = self.changes.entry(partition).or_default();
        event.write(payload);
        *count += 1;
    }

    /// An event of the first partition that was not decided, for the journal alone.
    pub(crate) fn record(&mut self, event: &Event) {
        self.gather(PARTITION, event);
    }

    /// The partition of an index: here, nothing else routes it.
    pub(crate) fn home_of(&self, index: NumberIndex) -> PartitionId {
        PartitionId::of_hash(index.0, self.partitions.count())
    }

    /// What is known of a number.
    pub(crate) fn active(&self, index: NumberIndex) -> Option<&Number> {
        self.partitions.iter().find_map(|state| state.numbers.find(index))
    }

    /// One of the partitions.
    fn some_partition(&mut self) -> &State {
        let partition = PartitionId(self.draw(u64::from(self.partitions.count().get())) as u16);
        self.partitions.get(partition).unwrap()
    }

    /// A number with that id, for the journal alone.
    pub(crate) fn issue_as(&mut self, number: NumberRef) {
        self.record(&Event::NumberIssued(Box::new(NumberIssued {
            number,
            last_four: LastFour::from_value(1234).unwrap(),
            account: AccountId(1),
            programme: ProgrammeId(1),
            expiry: MonthIndex::of_unix_ms(self.now_ms),
            expires_ms: self.now_ms + DAY_MS,
            uses: 2,
            controls: Controls::default(),
        })));
    }

    /// Writes what has gathered as one entry.
    pub(crate) fn commit(&mut self) {
        let changes = std::mem::take(&mut self.changes);
        let records: Vec<_> = changes
            .into_iter()
            .map(|(partition, (payload, count))| {
                Record::seal(&self.ends.head(partition), partition, self.now_ms, count, payload)
            })
            .collect();
        if !records.is_empty() {
            let entry = Entry { number: self.ends.number + 1, records };
            self.journal.append(&entry).unwrap();
            self.ends.advance(&entry);
        }
    }

    /// So many random commands, in records of a few commands each.
    pub(crate) fn run(&mut self, commands: usize) {
        for _ in 0..commands {
            self.step();
            if self.one_in(6) {
                self.commit();
                let pause = match self.draw(200) {
                    0 => 20 * DAY_MS,
                    1..4 => DAY_MS,
                    4..10 => 15 * 60_000,
                    _ => 50,
                };
                self.now_ms += self.draw(pause) + 1;
            }
        }
        self.commit();
    }

    fn operate(&mut self, operation: Operation) -> Answer {
        self.decide(&Command::Operate(Box::new(operation)))
    }

    fn open_world(&mut self) {
        for (at, name) in ["North", "South"].into_iter().enumerate() {
            self.operate(Operation::OpenIssuer { name: Name::parse(name).unwrap() });
            let issuer = IssuerId(at as u64 + 1);
            let prefix = Prefix::parse(["456940", "512345"][at]).unwrap();
            let terms = Terms {
                quarantine_months: [1, 3][at],
                tolerance_bp: 1500,
                single_completion: at == 1,
                failed_control: [FailedControl::KeepUsable, FailedControl::UseUp][at],
                ..Terms::standard(prefix, Layout::DEFAULT)
            };
            let name = Name::parse("Standard").unwrap();
            self.operate(Operation::OpenProgramme { issuer, name, terms });
            for limit in [CreditLimit::Prepaid, CreditLimit::Credit(MinorUnits::new(5_000_000).unwrap())] {
                self.operate(Operation::OpenAccount { issuer, currency: usd(), limit });
            }
        }
        self.open_check_site();
        self.commit();
    }

    fn account(&mut self) -> AccountId {
        let all: Vec<_> = self.partitions.accounts_from(AccountId(0)).map(|(id, _)| id).collect();
        all[self.draw(all.len() as u64) as usize]
    }

    fn number(&mut self) -> NumberRef {
        let unknown = NumberRef { id: mayfly_core::NumberId(0), index: NumberIndex(7) };
        if self.numbers.is_empty() || self.one_in(30) {
            return unknown;
        }
        // Mostly the latest ones: the others are over.
        let reach = if self.one_in(4) { self.numbers.len() } else { self.numbers.len().min(20) };
        let back = self.draw(reach as u64) as usize;
        self.numbers[self.numbers.len() - 1 - back]
    }

    /// One issuer is asked, now and then, and answers or does not.
    fn ask(&mut self) {
        if self.one_in(80) {
            let when_late = [WhenLate::Decline, WhenLate::Approve][self.draw(2) as usize];
            let hook = (!self.one_in(3)).then_some(DecisionHook { wait_ms: 2000, when_late });
            self.operate(Operation::SetHook { issuer: IssuerId(2), hook });
        }
        let waiting = self.partitions.iter().flat_map(|state| state.pending.iter());
        let waits = waiting.map(|asked| (asked.question, asked.issuer, asked.whom)).next();
        let last = self.some_partition().pending.next_id();
        let over = QuestionId(last.partition().id(self.draw(serial(last.0))));
        // Sometimes one that is over already.
        let over = (over, IssuerId(2), Whom::Hook);
        let question = if self.one_in(5) { Some(over) } else { waits };
        if let Some((question, issuer, whom)) = question.filter(|_| self.one_in(4)) {
            let words = [Word::Approve, Word::Decline, Word::Late, Word::Unfinished];
            let word = if whom == Whom::Host { self.host_word() } else { words[self.draw(4) as usize] };
            self.decide(&Command::Resolve(Resolution { question, issuer, word }));
        }
    }

    fn step(&mut self) {
        self.ask();
        if self.one_in(2) {
            self.touch_card();
        }
        match self.draw(100) {
            0..3 => {
                let (account, minor) = (self.account(), self.draw(200_000) as i64 - 20_000);
                self.operate(Operation::Fund { account, minor });
            }
            3 => {
                let account = self.account();
                let limit = CreditLimit::Credit(MinorUnits::new(self.draw(1_000_000)).unwrap());
                self.operate(Operation::SetLimit { account, limit });
            }
            4 => {
                let (account, channel) = (self.account(), Channel::ALL[self.draw(2) as usize]);
                let blocked = self.one_in(4);
                self.operate(Operation::BlockChannel { account, channel, blocked });
            }
            5 if self.one_in(4) => {
                let (account, closed) = (self.account(), self.one_in(8));
                self.operate(Operation::CloseAccount { account, closed });
                let (programme, closed) = (ProgrammeId(self.draw(2) + 1), self.one_in(8));
                self.operate(Operation::CloseProgramme { programme, closed });
            }
            5..7 => {
                let NumberRef { id, index } = self.number();
                self.operate(Operation::CancelNumber { number: id, index });
            }
            7 => {
                let last = self.some_partition().transactions.next_id();
                let transaction = TransactionId(last.partition().id(self.draw(serial(last.0)) + 1));
                let operation = if self.one_in(3) {
                    Operation::TakeBack { transaction }
                } else {
                    Operation::ReleaseHold { transaction }
                };
                self.operate(operation);
            }
            8..12 => {
                self.decide(&Command::Sweep { limit: 10 });
            }
            12 => {
                let (issuer, currency) = (IssuerId(self.draw(2) + 1), usd());
                self.operate(Operation::OpenAccount { issuer, currency, limit: CreditLimit::Prepaid });
            }
            13..40 => self.issue(),
            40..70 => self.purchase(),
            _ => self.follow_up(),
        }
    }

    fn controls(&mut self) -> Controls {
        if self.one_in(2) {
            return Controls::default();
        }
        let some = |yes: bool, minor| yes.then(|| MinorUnits::new(minor).unwrap());
        let (first, second) = (self.one_in(2), self.one_in(3));
        Controls {
            amount_max: some(first, 15_000),
            total_max: some(second, 40_000),
            currency: self.one_in(3).then(usd),
            merchant: match self.draw(3) {
                0 => MerchantRule::Any,
                1 => MerchantRule::FirstUse,
                _ => MerchantRule::Fixed(MerchantId::parse("SHOP-1").unwrap()),
            },
            channel: self.one_in(5).then_some(Channel::CardNotPresent),
            lists: self.one_in(5).then(|| {
                let mccs =
                    mayfly_core::MccSet { allowed: vec![Mcc::parse("5411").unwrap()], refused: vec![] };
                Box::new((mccs, vec![Country::parse("840").unwrap()]))
            }),
        }
    }

    /// Now and then somebody else drew the number, and it belongs elsewhere by its hash.
    fn claim(&mut self, account: AccountId, index: NumberIndex) -> bool {
        let (home, programme) = (self.home_of(index), ProgrammeId(1));
        let claim = ClaimNumber { index, home, account, programme };
        self.one_in(12) && self.decide(&Command::Claim(Box::new(claim))) == Answer::Done
    }

    pub(crate) fn issue(&mut self) {
        let account = self.account();
        let issuer = self.partitions.account(account).unwrap().issuer;
        // A small space of indices, so that they are issued again after their quarantine.
        let candidates: Vec<_> = (0..4)
            .map(|_| Candidate {
                index: loop {
                    let index = NumberIndex(self.draw(3000).wrapping_mul(0x9e37_79b9_7f4a_7c15));
                    if self.home_of(index) == account.partition() || self.claim(account, index) {
                        break index;
                    }
                },
                last_four: LastFour::from_value(self.draw(10_000) as u16).unwrap(),
            })
            .collect();
        let uses = if self.one_in(2) { 1 } else { self.draw(5) as u32 + 1 };
        let lifetime_ms = if self.one_in(3) { Some(DAY_MS) } else { None };
        let controls = self.controls();
        let expiry = MonthIndex::of_unix_ms(self.now_ms).plus(6).unwrap();
        let command = Command::Issue(Box::new(IssueNumber {
            account,
            programme: ProgrammeId(issuer.0),
            uses,
            lifetime_ms,
            controls,
            expiry,
            candidates: candidates.clone(),
        }));
        // Some come with a key, a few of them with one that was used before.
        let command = if self.one_in(4) {
            let once = OnceKey { key: Hash64(self.draw(500)), content: Hash64(self.draw(2)) };
            Command::Once(Box::new(Once {
                once,
                note: vec![self.draw(256) as u8; 40],
                command,
                recalled: None,
            }))
        } else {
            command
        };
        let answer = self.decide(&command);
        if let Answer::Issued { number, candidate, .. } = answer {
            self.numbers.push(NumberRef { id: number, index: candidates[candidate].index });
        }
    }

    pub(crate) fn request(&mut self, message: MessageKind, number: NumberRef, amount: u64) -> Request {
        self.stan = (self.stan + 1) % 1_000_000;
        let (identity, reference, content) = (self.draw(1 << 40), self.draw(1 << 50), self.draw(1 << 40));
        let shop = ["SHOP-1", "SHOP-2"][self.draw(2) as usize];
        let programme = [Some(ProgrammeId(1)), Some(ProgrammeId(2)), None][self.draw(3) as usize];
        let proof = self.proof(number.index);
        let month = self.active(number.index).map(|number| number.expiry);
        let month = month.unwrap_or_else(|| MonthIndex::of_unix_ms(self.now_ms).plus(6).unwrap());
        let wrong = u16::from(self.one_in(15));
        let expiry = format!("{:02}{:02}", (month.year() + wrong) % 100, month.month());
        Request {
            message,
            processing: Processing::Purchase,
            // Spread over all 64 bits as keyed hashes are.
            reference: Hash64(reference.wrapping_mul(0x9e37_79b9_7f4a_7c15)),
            identity: Hash64(identity),
            content: Hash64(content),
            original: None,
            number: Presented::Number {
                index: number.index,
                programme,
                last_four: LastFour::from_value(1234).unwrap(),
            },
            expiry: Some(Expiry::parse_yymm(&expiry).unwrap()),
            cvc2: if self.one_in(20) { Cvc2Check::Wrong } else { Cvc2Check::Absent },
            proof,
            amount: MinorUnits::new(amount).unwrap(),
            replacement: None,
            currency: if self.one_in(25) { Currency::from_number(978).unwrap() } else { usd() },
            declined_elsewhere: self.one_in(10),
            repeat: false,
            facts: Facts {
                acquirer: AcquirerId::parse("123456").unwrap(),
                stan: Stan::from_value(self.stan).unwrap(),
                rrn: Rrn::parse(&format!("{reference:012}")[..12]).unwrap(),
                terminal: TerminalId::parse("T1").unwrap(),
                merchant: MerchantId::parse(shop).unwrap(),
                mcc: Some(Mcc::parse(["5411", "5812"][self.draw(2) as usize]).unwrap()),
                country: (!self.one_in(3)).then(|| Country::parse("840").unwrap()),
                entry_mode: PosEntryMode::parse(["812", "051"][self.draw(2) as usize]).unwrap(),
                transmitted: 1_122_131_415,
                local_date: 1122,
                local_time: 131_415,
            },
            paged: None,
            partition: self.home_of(number.index),
        }
    }

    fn purchase(&mut self) {
        let message = [
            MessageKind::Authorisation,
            MessageKind::Authorisation,
            MessageKind::Financial,
            MessageKind::AuthorisationAdvice,
            MessageKind::FinancialAdvice,
        ][self.draw(5) as usize];
        let number = self.number();
        let amount = match self.draw(8) {
            0 => 0,
            1..3 => self.draw(100) + 1,
            _ => self.draw(20_000) + 101,
        };
        let request = self.request(message, number, amount);
        self.message(request, number);
    }

    fn follow_up(&mut self) {
        if self.earlier.is_empty() {
            return self.purchase();
        }
        let reach = self.earlier.len().min(if self.one_in(5) { usize::MAX } else { 40 });
        let back = self.draw(reach as u64) as usize;
        let earlier = self.earlier[self.earlier.len() - 1 - back];
        let (message, processing) = [
            (MessageKind::FinancialAdvice, Processing::Purchase),
            (MessageKind::Authorisation, Processing::Purchase),
            (MessageKind::Reversal, Processing::Purchase),
            (MessageKind::ReversalAdvice, Processing::Purchase),
            (MessageKind::Financial, Processing::Refund),
            (MessageKind::FinancialAdvice, Processing::Refund),
        ][self.draw(6) as usize];
        let part = self.draw(earlier.amount.max(1)) + 1;
        let amount = if self.one_in(2) { earlier.amount } else { part };
        let mut request = self.request(message, earlier.number, amount);
        request.processing = processing;
        request.facts.merchant = earlier.merchant;
        match self.draw(4) {
            0 => {
                let original = Some((earlier.message, earlier.stan));
                request.original = Some(Original { message: original, reference: earlier.reference });
            }
            1 if processing == Processing::Refund => {}
            _ => {
                request.reference = earlier.reference;
                if message == MessageKind::Authorisation {
                    request.original = Some(Original { message: None, reference: earlier.reference });
                }
            }
        }
        if message == MessageKind::Reversal && self.one_in(3) {
            request.replacement = MinorUnits::new(part / 2);
        }
        self.message(request, earlier.number);
    }

    pub(crate) fn message(&mut self, mut request: Request, number: NumberRef) -> Answer {
        let answer = self.decide(&Command::Message(Box::new(request.clone())));
        let answer = match answer {
            Answer::Page(page) => {
                let partition =
                    self.partitions.route(&Command::Message(Box::new(request.clone())), self.now_ms);
                request.paged = Some(self.look_up(partition, &page));
                self.decide(&Command::Message(Box::new(request.clone())))
            }
            answer => answer,
        };
        self.earlier.push(Earlier {
            reference: request.reference,
            message: request.message,
            stan: request.facts.stan,
            merchant: request.facts.merchant,
            number,
            amount: request.amount.value(),
        });
        answer
    }

    /// What the archive would find: here, everything is still in memory.
    pub(crate) fn look_up(&self, partition: PartitionId, page: &PageRequest) -> Vec<TransactionId> {
        let transactions = &self.partitions.get(partition).unwrap().transactions;
        let (reference, of_number) = match *page {
            PageRequest::Reference(reference) => (reference, None),
            PageRequest::Purchases { reference, index, merchant } => (reference, Some((index, merchant))),
        };
        let bought = |it: &&Transaction| {
            of_number.is_some_and(|(index, merchant)| {
                let ours = it.number.is_some_and(|number| number.index == index);
                it.is_purchase() && it.merchant == merchant && ours
            })
        };
        let mut found: BTreeSet<_> = transactions.under(reference).map(|it| it.id).collect();
        found.extend(transactions.iter().filter(bought).map(|it| it.id));
        let purchases: Vec<_> =
            found.iter().map(|id| transactions.find(*id).unwrap().target.unwrap_or(*id)).collect();
        found.extend(&purchases);
        let belongs = |it: &&Transaction| it.target.is_some_and(|target| purchases.contains(&target));
        found.extend(transactions.iter().filter(belongs).map(|it| it.id));
        found.into_iter().rev().collect()
    }
}
