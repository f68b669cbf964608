//! `mayfly lab issuer-host`

mod accounts;
mod faults;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::Args;
use mayfly_card::{Currency, Pan};
use mayfly_iso8583::{De, MessageBuilder};
use mayfly_lab::issuer::{Account, Chances, Fault, Heard, IssuerHost, Ledger, SharedLedger};
use serde::Serialize;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use super::rand_seed;
use crate::dialect::DialectChoice;
use crate::failure::{Failure, Outcome};
use crate::message_view::{name_of, response_words};
use crate::output::Output;
use crate::table::Table;

/// Stand in for an issuer's host: accounts of a file, over TCP, until Ctrl-C
///
/// It signs peers on, holds and takes money, reverses, answers repeats as it did at first, and fails when it is told to. Each
/// message that comes is a line, with the number masked. In the end it says what its accounts come to; exit code 1 if its ledger
/// is not what its own transactions come to.
///
/// A fault is one of: silent (books and does not answer), deaf (as if the question had never come), close (books and closes the
/// connection), close-deaf (closes it at once), other-stan, other-reference, other-amount, other-number (answers with another
/// one), garbage, twice, delay=MS, decline=CODE (books nothing).
#[derive(Debug, Args)]
pub(crate) struct Host {
    /// The accounts, one a line: number,expiry,currency,funds as in 4761739001010119,05/28,USD,1000.00. Only its owner may be
    /// able to read the file
    #[arg(long, value_name = "FILE")]
    accounts: PathBuf,
    /// Where it listens; port 0 takes any that is free
    #[arg(long, value_name = "IP:PORT", default_value = "127.0.0.1:8600")]
    listen: SocketAddr,
    #[command(flatten)]
    dialect: DialectChoice,
    /// Each N questions meet this fault, 20:silent for example
    #[arg(long, value_name = "N:FAULT", value_parser = faults::every)]
    every: Option<(NonZeroU32, Fault)>,
    /// All others meet this fault
    #[arg(long, value_name = "FAULT", value_parser = faults::fault)]
    always: Option<Fault>,
    /// N of a thousand of the others meet this fault; may be given several times
    #[arg(long, value_name = "N:FAULT", value_parser = faults::chance, conflicts_with = "always")]
    chance: Vec<(u16, Fault)>,
    /// Where chance begins; drawn if not said, and printed
    #[arg(long, value_name = "SEED", requires = "chance")]
    seed: Option<u64>,
}

/// That it listens.
#[derive(Serialize)]
struct Listening {
    listening: SocketAddr,
    dialect: String,
    accounts: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
}

/// A message that came.
#[derive(Serialize)]
struct Line {
    mti: String,
    meaning: String,
    stan: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    number: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    amount_minor: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    currency: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    merchant: Option<String>,
    /// DE 39, as it was answered or would have been.
    code: Option<String>,
    fault: Option<String>,
}

/// What it came to.
#[derive(Serialize)]
struct Sums {
    /// How many questions and advices were booked.
    transactions: usize,
    /// Whether the ledger is what its transactions come to.
    adds_up: bool,
    sums: Vec<Sum>,
}

/// What the accounts of a currency come to.
#[derive(Serialize)]
struct Sum {
    currency: &'static str,
    accounts: u64,
    /// What there was at the beginning.
    funds_minor: i64,
    charged_minor: i64,
    held_minor: i64,
}

impl Host {
    /// Runs it.
    pub(crate) fn run(self, output: Output) -> Outcome {
        let dialect = self.dialect.load()?;
        let accounts = accounts::read(&self.accounts)?;
        let seed = (!self.chance.is_empty()).then(|| self.seed.unwrap_or_else(rand_seed));
        if self.chance.iter().map(|(count, _)| u32::from(*count)).sum::<u32>() > 1_000 {
            return Err(Failure::Usage("all chances together are more than 1000 of a thousand".into()));
        }
        let mut ledger = Ledger::new();
        for (pan, account) in &accounts {
            ledger.open(pan, *account);
        }
        let ledger = SharedLedger::new(ledger.into());
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .map_err(|error| Failure::unreachable("no threads can be had", error))?;
        runtime.block_on(async {
            let unwatched = |error| Failure::unreachable("signals can't be waited for", error);
            let mut interrupted = signal(SignalKind::interrupt()).map_err(unwatched)?;
            let mut terminated = signal(SignalKind::terminate()).map_err(unwatched)?;
            let host = IssuerHost::start(self.listen, dialect, ledger).await.map_err(|error| {
                Failure::unreachable(format!("{} can't be listened at", self.listen), error)
            })?;
            host.every(self.every);
            host.always(self.always);
            host.chances(seed.map(|seed| Chances::new(seed, self.chance)));
            let (failed, mut failures) = mpsc::channel(1);
            host.watch(move |heard| {
                if let Err(failure) = line(heard).tell(output) {
                    // The first is enough to end.
                    drop(failed.try_send(failure));
                }
            });
            let listening = Listening {
                listening: host.address(),
                dialect: dialect.name().to_owned(),
                accounts: accounts.len(),
                seed,
            };
            output.either(&listening, || listening.words())?;
            tokio::select! {
                _ = interrupted.recv() => {}
                _ = terminated.recv() => {}
                Some(failure) = failures.recv() => return Err(failure),
            }
            host.cut_all();
            let sums = host.ledger(|ledger| sums(ledger, &accounts));
            output.either(&sums, || sums.words())?;
            match sums.adds_up {
                true => Ok(()),
                false => Err(Failure::Refused("the ledger is not what its transactions come to".into())),
            }
        })
    }
}

impl Listening {
    fn words(&self) -> String {
        let Self { listening, dialect, accounts, seed } = self;
        let seed = seed.map(|seed| format!(", seed {seed}")).unwrap_or_default();
        format!("listening at {listening} ({dialect}), {accounts} accounts{seed}; Ctrl-C ends it")
    }
}

/// What is shown of a message.
fn line(heard: Heard<'_>) -> Line {
    let Heard { question, fault, answer } = heard;
    let number = question.bytes(De::PAN).and_then(|digits| Pan::parse(digits).ok());
    let currency = question.text(De::CURRENCY).and_then(|text| Currency::parse_numeric(text).ok());
    let code = |answer: &MessageBuilder| answer.text(De::RESPONSE_CODE).map(str::to_owned);
    Line {
        mti: question.mti().to_string(),
        meaning: name_of(question),
        stan: question.text(De::STAN).unwrap_or_default().to_owned(),
        // Shown with the first six and the last four digits.
        number: number.map(|pan| pan.to_string()),
        amount_minor: question.number(De::AMOUNT),
        currency: currency.map(Currency::letters),
        merchant: question.text(De::CARD_ACCEPTOR).map(|text| text.trim_end().to_owned()),
        code: answer.and_then(code),
        fault: fault.map(faults::shown),
    }
}

impl Line {
    fn tell(&self, output: Output) -> Outcome {
        output.either(self, || self.words())
    }

    fn words(&self) -> String {
        let Self { mti, meaning, stan, number, amount_minor, currency, merchant, code, fault } = self;
        let mut words = vec![format!("{mti} {meaning}"), format!("STAN {stan}")];
        words.extend(number.clone());
        let currency = currency.and_then(Currency::parse_alphabetic);
        words.extend(currency.zip(*amount_minor).map(|(of, minor)| of.show(minor.cast_signed())));
        words.extend(merchant.clone());
        words.push(code.as_deref().map_or_else(|| "nothing is decided".to_owned(), response_words));
        words.extend(fault.as_ref().map(|fault| format!("[{fault}]")));
        words.join("  ")
    }
}

fn sums(ledger: &Ledger, accounts: &[(Pan, Account)]) -> Sums {
    let mut sums: BTreeMap<&'static str, Sum> = BTreeMap::new();
    for (pan, account) in accounts {
        let currency = account.currency.letters();
        let balance = ledger.balance(pan).unwrap_or_default();
        let nothing = Sum { currency, accounts: 0, funds_minor: 0, charged_minor: 0, held_minor: 0 };
        let sum = sums.entry(currency).or_insert(nothing);
        sum.accounts += 1;
        sum.funds_minor += account.funds.signed();
        sum.charged_minor += account.funds.signed() - balance.booked;
        sum.held_minor += balance.held;
    }
    let transactions = ledger.transactions().len();
    Sums { transactions, adds_up: ledger.adds_up(), sums: sums.into_values().collect() }
}

impl Sums {
    fn words(&self) -> String {
        let mut table = Table::new(["currency", ">accounts", ">began with", ">charged", ">held"]);
        for Sum { currency, accounts, funds_minor, charged_minor, held_minor } in &self.sums {
            let shown = |minor: i64| {
                Currency::parse_alphabetic(currency).map_or_else(String::new, |of| of.show(minor))
            };
            table.row([
                (*currency).to_owned(),
                accounts.to_string(),
                shown(*funds_minor),
                shown(*charged_minor),
                shown(*held_minor),
            ]);
        }
        format!("\n{}{} transactions were booked", table.lines(), self.transactions)
    }
}
