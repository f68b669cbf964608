//! The whole benchmark in one go.

use std::num::NonZeroU16;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::cards::Deck;
use crate::credentials::{Bank, Credential};
use crate::drive::{self, Load, Requests};
use crate::report::{Line, Report};
use crate::rig::{BenchError, Folding, LagWatch, Rig, memory_bytes};
use crate::{limit, postgres};
use mayfly_card::MinorUnits;
use mayfly_core::CreditLimit;
use mayfly_dynamic::OPEN_MAX;
use mayfly_network::host::host_asker;
use mayfly_store::Home;

/// What is measured, and how.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Where the files go: a directory of their own is made in it.
    pub directory: PathBuf,
    /// How many active numbers are loaded first.
    pub credentials: usize,
    /// How many uses each of them has.
    pub uses: u32,
    /// How long a peak is driven.
    pub peak: Duration,
    /// How long a sustained load is driven.
    pub sustained: Duration,
    /// How many authorisations a second are offered to the engine in the sustained run.
    pub sustained_rate: f64,
    /// The same for the server over TCP.
    pub sustained_rate_tcp: f64,
    /// How many a second are offered where the data are in PostgreSQL.
    pub sustained_rate_store: f64,
    /// Where PostgreSQL is, if it is to be measured.
    pub postgres: Option<String>,
    /// What to measure.
    pub parts: Vec<Part>,
    /// Two sizes to compare, and how often.
    pub sizes: Option<(usize, usize, usize)>,
    /// The command that drives a load over TCP from a process of its own: program and arguments.
    pub load_command: Vec<String>,
}

/// A part of the benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The bare file.
    Limit,
    /// The engine alone.
    Engine,
    /// The server over TCP.
    Tcp,
    /// Issue-and-authorise pairs.
    Pairs,
    /// The engine with its data in PostgreSQL.
    Store,
    /// PostgreSQL with a transaction for each authorisation.
    Postgres,
    /// A start with the numbers that are there.
    Start,
    /// What an active number takes in memory.
    Memory,
    /// The check site's cards, by pseudo expiration date.
    Cards,
}

impl Part {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Limit,
        Self::Engine,
        Self::Tcp,
        Self::Pairs,
        Self::Start,
        Self::Memory,
        Self::Cards,
        Self::Store,
        Self::Postgres,
    ];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Limit => "limit",
            Self::Engine => "engine",
            Self::Tcp => "tcp",
            Self::Pairs => "pairs",
            Self::Store => "store",
            Self::Postgres => "postgres",
            Self::Start => "start",
            Self::Memory => "memory",
            Self::Cards => "cards",
        }
    }
}

const IN_FLIGHT: [usize; 2] = [512, 64];
/// How long the views may take to catch up before that is given up.
const CATCH_UP: Duration = Duration::from_secs(120);
/// What an authorisation takes in the journal, about: for the bare file.
const RECORD_BYTES: usize = 145;

/// What a number takes in memory: in an engine without a database, whose caches have a bound of their own.
fn memory_per_number(journal: &Path, count: usize) -> Result<u64, BenchError> {
    let (engine, catalogue) = limit::without_database(journal)?;
    let mut bank = Bank::open(engine.handle(), catalogue, count)?;
    let before = memory_bytes();
    let credentials = bank.load(count, 1, |_| ())?;
    let own = (credentials.capacity() * size_of::<Credential>()) as u64;
    let grown = memory_bytes().saturating_sub(before + own);
    engine.stop()?;
    std::fs::remove_file(journal)?;
    Ok(grown / count.max(1) as u64)
}

/// Runs it. `say` is told what is being done.
pub fn run(plan: &Plan, mut say: impl FnMut(&str)) -> Result<Report, BenchError> {
    let mut report = Report { credentials: plan.credentials, ..Report::default() };
    let directory = tempfile::Builder::new().prefix("mayfly-bench-").tempdir_in(&plan.directory)?;
    let has = |part| plan.parts.contains(&part);
    let mut bare = Vec::new();
    if has(Part::Memory) {
        say("memory of the numbers");
        report.memory_per_number = Some(memory_per_number(&directory.path().join("flat"), plan.credentials)?);
    }
    if has(Part::Limit) {
        for in_flight in IN_FLIGHT {
            say(&format!("the bare file, {in_flight} in flight"));
            let path = directory.path().join("bare");
            let figures = limit::bare_file(&path, in_flight, RECORD_BYTES, plan.peak / 2)?;
            bare.push((in_flight, figures.rate));
            report.lines.push(Line::new(format!("bare file, {in_flight} in flight"), figures));
        }
    }
    if [Part::Engine, Part::Tcp, Part::Pairs, Part::Start].into_iter().any(has) {
        let home = Home::Files(directory.path().join("engine"));
        let mut bench = Loaded::new(plan, &home, Folding::On, plan.credentials, &mut say)?;
        if has(Part::Start) {
            bench = bench.again(&mut report, &mut say)?;
        }
        if has(Part::Engine) {
            bench.engine(plan, &mut report, &mut say)?;
        }
        if has(Part::Tcp) {
            bench.tcp(plan, &mut report, &mut say)?;
        }
        if has(Part::Pairs) {
            bench.pairs(plan, &mut report, &mut say)?;
        }
        bench.finish(&mut report)?;
    }
    if has(Part::Cards) {
        by_date(plan, &Home::Files(directory.path().join("cards")), &mut report, &mut say)?;
        with_a_host(plan, &Home::Files(directory.path().join("host")), &mut report, &mut say)?;
    }
    if has(Part::Store) {
        in_postgres(plan, &mut report, &mut say)?;
    }
    let mut peer = None;
    if has(Part::Postgres) {
        peer = against_postgres(plan, &mut report, &mut say)?;
    }
    if let Some((first, second, rounds)) = plan.sizes {
        compare_sizes(plan, (first, second), rounds, &mut report, &mut say)?;
    }
    report.relate(&bare, peer, |name| {
        IN_FLIGHT.into_iter().find(|count| name.contains(&format!("{count} in flight")))
    });
    Ok(report)
}

/// An engine with its numbers.
struct Loaded {
    rig: Rig,
    bank: Bank,
    credentials: Vec<Credential>,
    requests: Requests,
    /// What lay on the disk before any transaction.
    loaded_bytes: u64,
}

impl Loaded {
    fn new(
        plan: &Plan,
        home: &Home,
        folding: Folding,
        count: usize,
        say: &mut impl FnMut(&str),
    ) -> Result<Self, BenchError> {
        say(&format!("issuing {count} numbers"));
        let rig = Rig::open(home, folding)?;
        let mut bank = Bank::open(rig.handle.clone(), rig.catalogue.clone(), count)?;
        let credentials = bank.load(count, plan.uses, |done| say(&format!("issued {done} of {count}")))?;
        if folding == Folding::On {
            rig.caught_up(CATCH_UP).ok_or_else(|| BenchError("the views did not catch up".into()))?;
        }
        let loaded_bytes = rig.bytes_on_disk()?;
        Ok(Self { rig, bank, credentials, requests: Requests::default(), loaded_bytes })
    }

    fn line(
        &mut self,
        name: String,
        load: Load,
        work: impl FnOnce(&mut Self, Load) -> Result<drive::Figures, BenchError>,
    ) -> Result<Line, BenchError> {
        let before = self.rig.handle.meter().counts();
        let watch = LagWatch::start(&self.rig.handle)?;
        let figures = work(self, load)?;
        let lag_ms = watch.stop();
        let after = self.rig.handle.meter().counts();
        let mut line = Line::new(name, figures);
        line.journal_bytes = Some((after.bytes - before.bytes) as f64 / line.figures.answers.max(1) as f64);
        line.views_lag_ms_max = self.rig.folds().then_some(lag_ms);
        line.caught_up_ms = self.rig.caught_up(CATCH_UP).map(|took| took.as_millis() as u64);
        Ok(line)
    }

    fn engine(
        &mut self,
        plan: &Plan,
        report: &mut Report,
        say: &mut impl FnMut(&str),
    ) -> Result<(), BenchError> {
        let loads = [
            ("engine, 512 in flight", Load { in_flight: 512, run_for: plan.peak, rate: None }),
            ("engine, 64 in flight", Load { in_flight: 64, run_for: plan.peak, rate: None }),
            (
                "engine sustained, 512 in flight",
                Load { in_flight: 512, run_for: plan.sustained, rate: Some(plan.sustained_rate) },
            ),
        ];
        loads.into_iter().try_for_each(|(name, load)| self.authorise(name, load, report, say))
    }

    fn authorise(
        &mut self,
        name: &str,
        load: Load,
        report: &mut Report,
        say: &mut impl FnMut(&str),
    ) -> Result<(), BenchError> {
        say(name);
        let line = self.line(name.to_owned(), load, |bench, load| {
            Ok(drive::authorise(&bench.rig.handle, &bench.credentials, load, &mut bench.requests))
        })?;
        report.lines.push(line);
        Ok(())
    }

    fn pairs(
        &mut self,
        plan: &Plan,
        report: &mut Report,
        say: &mut impl FnMut(&str),
    ) -> Result<(), BenchError> {
        let name = "issue and authorise, single use, 512 in flight";
        say(name);
        let load = Load { in_flight: 512, run_for: plan.peak, rate: None };
        let line = self.line(name.to_owned(), load, |bench, load| {
            Ok(drive::pairs(&bench.rig.handle, &mut bench.bank, load, &mut bench.requests))
        })?;
        report.lines.push(line);
        Ok(())
    }

    fn tcp(
        &mut self,
        plan: &Plan,
        report: &mut Report,
        say: &mut impl FnMut(&str),
    ) -> Result<(), BenchError> {
        let loads = [
            ("TCP, 64 connections, 16 in flight each", plan.peak, None),
            (
                "TCP sustained, 64 connections, 16 in flight each",
                plan.sustained,
                Some(plan.sustained_rate_tcp),
            ),
        ];
        for (round, (name, run_for, rate)) in loads.into_iter().enumerate() {
            let load = Load { in_flight: 1024, run_for, rate };
            self.over_tcp(name, load, round as u32, plan, report, say)?;
        }
        Ok(())
    }

    /// From a process of its own, whose messages are those of this round.
    fn over_tcp(
        &mut self,
        name: &str,
        load: Load,
        round: u32,
        plan: &Plan,
        report: &mut Report,
        say: &mut impl FnMut(&str),
    ) -> Result<(), BenchError> {
        say(name);
        let line = self.line(name.to_owned(), load, |bench, load| {
            crate::tcp::drive(&bench.rig, &bench.credentials, load, round, &plan.load_command)
        })?;
        report.lines.push(line);
        Ok(())
    }

    /// Stops the engine and starts it again: what a restart with these numbers takes.
    fn again(self, report: &mut Report, say: &mut impl FnMut(&str)) -> Result<Self, BenchError> {
        say("starting again with the numbers that are there");
        let home = self.rig.home.clone();
        self.rig.stop()?;
        let rig = Rig::open(&home, Folding::On)?;
        report.start_ms = Some(rig.opened_in.as_millis() as u64);
        let bank = self.bank.moved_to(rig.handle.clone(), rig.catalogue.clone());
        Ok(Self { rig, bank, ..self })
    }

    /// Stops the engine, and looks what it has left on the disk.
    fn finish(self, report: &mut Report) -> Result<(), BenchError> {
        let answers = self.rig.handle.meter().counts().answers.max(1);
        let before = self.loaded_bytes;
        self.rig.caught_up(CATCH_UP);
        report.disk_per_transaction =
            Some(self.rig.bytes_on_disk()?.saturating_sub(before) as f64 / answers as f64);
        self.rig.stop()
    }
}

/// The check site's cards, with one to eight open purchases each, presented by pseudo expiration date. Which of them a message
/// is, is found by the thread that makes the load, as a connection does it.
fn by_date(
    plan: &Plan,
    home: &Home,
    report: &mut Report,
    say: &mut impl FnMut(&str),
) -> Result<(), BenchError> {
    let rig = Rig::open(home, Folding::On)?;
    let limit = CreditLimit::Credit(MinorUnits::MAX);
    let (handle, catalogue) = (rig.handle.clone(), rig.catalogue.clone());
    let mut deck = Deck::load(&handle, &catalogue, plan.credentials, OPEN_MAX, limit, &mut *say)?;
    say("views of cards");
    rig.caught_up(CATCH_UP).ok_or_else(|| BenchError("the views did not catch up".into()))?;
    report.proof_us = deck.proof_us(OPEN_MAX);
    let mut requests = Requests::default();
    for in_flight in IN_FLIGHT {
        let name = format!("cards by date, 1 to {OPEN_MAX} open, {in_flight} in flight");
        if deck.left() == 0 {
            report.notes.push(format!("not measured, all purchases that were open are used up: {name}"));
            break;
        }
        say(&name);
        let load = Load { in_flight, run_for: plan.peak, rate: None };
        let watch = LagWatch::start(&rig.handle)?;
        let figures = drive::ask(&rig.handle, load, || deck.request(&mut requests));
        let lag_ms = watch.stop();
        let mut line = Line::new(name, figures);
        line.views_lag_ms_max = Some(lag_ms);
        line.caught_up_ms = rig.caught_up(CATCH_UP).map(|took| took.as_millis() as u64);
        report.lines.push(line);
    }
    rig.stop()
}

/// The same over TCP, with accounts whose money an issuer host has: each purchase is two requests, the second one to a host
/// that answers at once.
fn with_a_host(
    plan: &Plan,
    home: &Home,
    report: &mut Report,
    say: &mut impl FnMut(&str),
) -> Result<(), BenchError> {
    let (asker, questions) = host_asker();
    let rig = Rig::asking(home, Folding::On, Arc::new(asker))?;
    let (handle, catalogue) = (rig.handle.clone(), rig.catalogue.clone());
    let limit = CreditLimit::IssuerHost;
    let mut deck = Deck::load(&handle, &catalogue, plan.credentials, OPEN_MAX, limit, &mut *say)?;
    rig.caught_up(CATCH_UP).ok_or_else(|| BenchError("the views did not catch up".into()))?;
    let host = crate::host::Host::start(&rig, &deck, questions)?;
    let name = "cards by date with an issuer host, TCP, 64 connections, 16 in flight each";
    say(name);
    let load = Load { in_flight: 1024, run_for: plan.peak, rate: None };
    let watch = LagWatch::start(&rig.handle)?;
    let figures = crate::tcp::drive(&rig, &deck.credentials(), load, 0, &plan.load_command)?;
    let lag_ms = watch.stop();
    let mut line = Line::new(name, figures);
    line.views_lag_ms_max = Some(lag_ms);
    line.caught_up_ms = rig.caught_up(CATCH_UP).map(|took| took.as_millis() as u64);
    report.lines.push(line);
    report.notes.push(host.stop());
    rig.stop()
}

/// As many as an installation in a database has.
const PARTITIONS: u16 = 64;

/// The engine with its data in PostgreSQL: the journal alone, with one partition and with as many as usual, and then with the views folded into the same server.
fn in_postgres(plan: &Plan, report: &mut Report, say: &mut impl FnMut(&str)) -> Result<(), BenchError> {
    let Some(url) = &plan.postgres else {
        report.notes.push("no data were kept in PostgreSQL: give its address with --postgres".into());
        return Ok(());
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let home = postgres::home(url)?;
    for (folding, partitions) in [(Folding::Off, 1), (Folding::Off, PARTITIONS), (Folding::On, PARTITIONS)] {
        if mayfly_store::root_check(&home)?.is_some() {
            return Err(BenchError("there is an installation in that database: name another one".into()));
        }
        // What a run that was cut off has left.
        runtime.block_on(postgres::clear(url))?;
        let count = NonZeroU16::new(partitions).unwrap_or(NonZeroU16::MIN);
        mayfly_store::create(&home, "a benchmark's", count)?;
        let mut bench = Loaded::new(plan, &home, folding, plan.credentials, say)?;
        let peak = |in_flight| Load { in_flight, run_for: plan.peak, rate: None };
        let sustained =
            Load { in_flight: 512, run_for: plan.sustained, rate: Some(plan.sustained_rate_store) };
        let loads: &[(&str, Load)] = match folding {
            Folding::Off if partitions == 1 => {
                &[("512 in flight", peak(512)), ("2048 in flight", peak(2048))]
            }
            Folding::Off => {
                &[("512 in flight", peak(512)), ("2048 in flight", peak(2048)), ("64 in flight", peak(64))]
            }
            Folding::On => &[("512 in flight", peak(512)), ("sustained, 512 in flight", sustained)],
        };
        let what = if folding == Folding::Off { "journal" } else { "all" };
        let of = match partitions {
            1 => format!("{what} in PostgreSQL, one partition"),
            _ => format!("{what} in PostgreSQL, {partitions} partitions"),
        };
        let mut measured = loads
            .iter()
            .try_for_each(|(name, load)| bench.authorise(&format!("{of}, {name}"), *load, report, say));
        if measured.is_ok() && folding == Folding::Off {
            let name = format!("{of}, TCP, 64 connections, 16 in flight each");
            measured = bench.over_tcp(&name, peak(1024), 0, plan, report, say);
        }
        let stopped = bench.rig.stop();
        runtime.block_on(postgres::clear(url))?;
        measured.and(stopped)?;
    }
    Ok(())
}

fn against_postgres(
    plan: &Plan,
    report: &mut Report,
    say: &mut impl FnMut(&str),
) -> Result<Option<f64>, BenchError> {
    let Some(url) = &plan.postgres else {
        report.notes.push("PostgreSQL was not compared: give its address with --postgres".into());
        return Ok(None);
    };
    say("PostgreSQL, one transaction for each authorisation, 16 connections");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let numbers = plan.credentials.clamp(1000, 1_000_000) as u64;
    match runtime.block_on(postgres::authorise(url, numbers, plan.peak)) {
        Ok(figures) => {
            let rate = figures.rate;
            report.lines.push(Line::new("PostgreSQL, 16 connections, a transaction each", figures));
            Ok(Some(rate))
        }
        Err(error) => {
            report.notes.push(format!("PostgreSQL was not compared: {error}"));
            Ok(None)
        }
    }
}

/// The rate with few and with many active numbers, in turn, so that a machine that gets slower makes both slower.
fn compare_sizes(
    plan: &Plan,
    (first, second): (usize, usize),
    rounds: usize,
    report: &mut Report,
    say: &mut impl FnMut(&str),
) -> Result<(), BenchError> {
    let directory = tempfile::Builder::new().prefix("mayfly-bench-").tempdir_in(&plan.directory)?;
    let mut few = Loaded::new(plan, &Home::Files(directory.path().join("few")), Folding::On, first, say)?;
    let mut many = Loaded::new(plan, &Home::Files(directory.path().join("many")), Folding::On, second, say)?;
    let mut rates = [Vec::new(), Vec::new()];
    for round in 1..=rounds {
        for (bench, rates) in [&mut few, &mut many].into_iter().zip(&mut rates) {
            let count = bench.credentials.len();
            let name = format!("engine with {count} numbers, round {round}, 512 in flight");
            say(&name);
            let load = Load { in_flight: 512, run_for: plan.peak / 2, rate: None };
            let line = bench.line(name, load, |bench, load| {
                Ok(drive::authorise(&bench.rig.handle, &bench.credentials, load, &mut bench.requests))
            })?;
            rates.push(line.figures.rate);
            report.lines.push(line);
        }
    }
    let [first, second] = rates.map(|mut rates| {
        rates.sort_by(f64::total_cmp);
        rates[rates.len() / 2]
    });
    report.sizes_ratio = Some(second / first);
    few.rig.stop()?;
    many.rig.stop()
}
