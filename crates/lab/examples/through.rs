//! How much goes through listener and engine when the journal costs nothing: load over TCP on the same machine.
//!
//! ```text
//! cargo run --release -p mayfly-lab --example through [connections] [in flight] [seconds] [numbers]
//! ```

use std::error::Error;
use std::io::Write;
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::sync::Arc;
use std::time::Duration;

use mayfly_card::{Currency, Expiry, Layout, MinorUnits, MonthIndex, Prefix};
use mayfly_core::state::Transaction;
use mayfly_core::{
    Answer, Candidate, Command, Controls, CreditLimit, IssueNumber, Name, Operation, PageRequest,
    PartitionId, Partitions, Terms,
};
use mayfly_engine::{
    AppendError, Archive, ArchiveError, Catalogue, Ends, Engine, Entry, Handle, Journal, NobodyAsked, Parts,
    Progress, SystemClock,
};
use mayfly_iso8583::Dialect;
use mayfly_keys::{KeyService, RootKey};
use mayfly_lab::{Acceptor, Card, Register, load};
use mayfly_network::{Endpoint, Network, Options};

/// Keeps nothing.
struct NoJournal(Arc<Progress>);

impl Journal for NoJournal {
    fn append(&mut self, entry: &Entry) -> Result<(), AppendError> {
        self.0.set_folded(entry.number, entry.at_ms(), std::iter::empty());
        Ok(())
    }
}

/// Knows nothing.
struct NoArchive;

impl Archive for NoArchive {
    fn page(&self, _: PartitionId, _: &PageRequest, _: u64) -> Result<Vec<Transaction>, ArchiveError> {
        Ok(Vec::new())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1).map(|argument| argument.parse::<usize>());
    let connections = arguments.next().transpose()?.unwrap_or(64);
    let in_flight = arguments.next().transpose()?.unwrap_or(16);
    let seconds = arguments.next().transpose()?.unwrap_or(5);
    let numbers = arguments.next().transpose()?.unwrap_or(2_000_000);
    let dialect = Dialect::builtin("ascii87").ok_or("built in")?;
    let catalogue = Arc::new(Catalogue::new(KeyService::new(&RootKey::from_bytes(&[7; 32]))));
    let progress = Arc::new(Progress::default());
    let engine = Engine::start(Parts {
        partitions: Partitions::new(NonZeroU16::MIN),
        ends: Ends::start(NonZeroU16::MIN),
        journal: Box::new(NoJournal(progress.clone())),
        archive: Arc::new(NoArchive),
        catalogue: catalogue.clone(),
        asker: Arc::new(NobodyAsked),
        clock: Arc::new(SystemClock),
        progress,
        options: mayfly_engine::Options::default(),
    })?;
    let cards = issue(&engine.handle(), &catalogue, numbers)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let endpoint = Endpoint { address: SocketAddr::from(([127, 0, 0, 1], 0)), dialect };
    let network =
        runtime.block_on(Network::start(&[endpoint], engine.handle(), catalogue, Options::default()))?;
    let (pan, expiry) = cards[0].clone();
    let mut register = Register::new(Acceptor::web_shop("THROUGH").ok_or("a short name")?);
    let amount = MinorUnits::new(2498).ok_or("a small amount")?;
    let template = register.authorisation(1_700_000_000_000, &Card { pan, expiry, cvc2: None }, amount);
    let options = load::Options {
        connections,
        in_flight,
        duration: Duration::from_secs(seconds as u64),
        ..load::Options::to(network.addresses()[0])
    };
    let summary = load::run(&options, dialect, &template, cards)?;
    let mut out = std::io::stdout();
    writeln!(out, "{}", serde_json::to_string_pretty(&summary)?)?;
    for (bound_us, count) in network.meter().latency.buckets() {
        writeln!(out, "within {} us: {count}", bound_us.map_or("more".into(), |us| us.to_string()))?;
    }
    writeln!(out, "{:?}", runtime.block_on(network.stop()))?;
    engine.stop()?;
    Ok(())
}

fn issue(handle: &Handle, catalogue: &Catalogue, count: usize) -> Result<load::Cards, Box<dyn Error>> {
    let prefix = Prefix::parse("456940")?;
    let mut terms = Terms::standard(prefix, Layout::DEFAULT);
    terms.active_max = 100_000_000;
    let lifetime_ms = Some(terms.lifetime_max_ms);
    let operate = |operation| match handle.ask_blocking(Command::Operate(Box::new(operation))) {
        Answer::Refused(refusal) => Err(refusal),
        answer => Ok(answer),
    };
    let Answer::Issuer(issuer) = operate(Operation::OpenIssuer { name: Name::parse("Issuer")? })? else {
        return Err("no issuer".into());
    };
    let open = Operation::OpenProgramme { issuer, name: Name::parse("Programme")?, terms: terms.clone() };
    let Answer::Programme(programme) = operate(open)? else { return Err("no programme".into()) };
    let currency = Currency::from_number(840).ok_or("dollars")?;
    let open = Operation::OpenAccount { issuer, currency, limit: CreditLimit::Credit(MinorUnits::MAX) };
    let Answer::Account(account) = operate(open)? else { return Err("no account".into()) };
    let month = MonthIndex::new(2035, 12).ok_or("a month")?;
    let mut cards = Vec::with_capacity(count);
    let mut last = None;
    for nth in 0..count as u64 {
        let pan = terms.layout.number(&prefix, nth * 387_420_489)?;
        let candidate = Candidate { index: catalogue.index(&pan), last_four: pan.last_four() };
        cards.push((pan, Expiry::from(month)));
        let command = IssueNumber {
            account,
            programme,
            uses: 1,
            lifetime_ms,
            controls: Controls::default(),
            expiry: month,
            candidates: vec![candidate],
        };
        last = Some(handle.ask(Command::Issue(Box::new(command)))?);
        if nth % 10_000 == 9_999
            && let Some(last) = last.take()
        {
            last.blocking_recv()?;
        }
    }
    if let Some(last) = last {
        last.blocking_recv()?;
    }
    Ok(cards.into())
}
