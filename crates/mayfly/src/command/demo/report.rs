//! What came of the demonstration, step by step, and what the books say in the end.

use std::collections::BTreeMap;

use mayfly_card::Currency;
use mayfly_core::{AccountId, Book, Books, Event};
use mayfly_store::JournalReader;
use serde::Serialize;

use super::bank::Bank;
use super::cards::{FUNDS, Holder};
use super::till::Exchange;
use crate::failure::{Failure, Outcome};
use crate::message_view::{MessageView, response_words};
use crate::output::{Output, Tone};
use crate::table::Table;

/// One step.
#[derive(Debug, Serialize)]
struct Step {
    title: &'static str,
    expected: &'static str,
    got: String,
    ok: bool,
    /// Exactly why, from the journal: what is never sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    /// What else was looked at.
    checks: Vec<Check>,
    request: MessageView,
    answer: MessageView,
    /// What the issuer's host was asked and told.
    host_heard: Vec<MessageView>,
    #[serde(skip)]
    stan: String,
}

#[derive(Debug, Serialize)]
struct Check {
    what: &'static str,
    ok: bool,
}

/// Everything that was played.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    steps: Vec<Step>,
    balances: Vec<Standing>,
    /// What was spent at the issuer's host, by both sides' books.
    at_host: Vec<AtHost>,
    /// The sum over all books: nothing, if the books are right.
    sum_minor: i64,
    ok: bool,
    #[serde(skip)]
    told: usize,
}

/// What was spent from an account whose money the issuer's host has.
#[derive(Debug, Serialize)]
struct AtHost {
    name: &'static str,
    /// The number that the host knows it by, masked.
    number: String,
    ours: Spent,
    host: Spent,
    agree: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
struct Spent {
    charged_minor: i64,
    held_minor: i64,
}

/// The balance of a book.
#[derive(Debug, Serialize)]
struct Standing {
    /// The account, or whom it is kept for.
    owner: String,
    book: &'static str,
    minor: i64,
    currency: &'static str,
}

impl Report {
    /// A step that was played.
    pub(crate) fn add(
        &mut self,
        title: &'static str,
        expected: &'static str,
        stan: String,
        exchange: &Exchange,
    ) {
        self.steps.push(Step {
            title,
            expected,
            got: exchange.code.clone(),
            ok: exchange.code == expected,
            reason: None,
            checks: Vec::new(),
            request: exchange.request.clone(),
            answer: exchange.answer.clone(),
            host_heard: Vec::new(),
            stan,
        });
    }

    /// What else must hold after the last step.
    pub(crate) fn require(&mut self, what: &'static str, ok: bool) {
        if let Some(step) = self.steps.last_mut() {
            step.ok &= ok;
            step.checks.push(Check { what, ok });
        }
    }

    /// What the issuer's host was asked or told in the last step.
    pub(crate) fn host_heard(&mut self, message: MessageView) {
        if let Some(step) = self.steps.last_mut() {
            step.host_heard.push(message);
        }
    }

    /// Holds what stands at the issuer's host against the journal.
    pub(crate) fn compare(&mut self, holder: &Holder, bank: &Bank) {
        let (cardholder, held) = self.stands(holder.account);
        // What is held is not in our balance any more.
        let ours = Spent { charged_minor: -cardholder - held, held_minor: held };
        let there = bank.balance(&holder.own);
        let host = Spent { charged_minor: FUNDS.cast_signed() - there.booked, held_minor: there.held };
        self.at_host.push(AtHost {
            name: holder.name,
            number: holder.own.to_string(),
            ours,
            host,
            agree: ours == host && bank.adds_up(),
        });
    }

    /// Tells the steps that have not been told yet.
    pub(crate) fn flush(&mut self, output: Output) -> Outcome {
        while let Some(step) = self.steps.get(self.told) {
            self.told += 1;
            if !output.is_json() {
                output.line(step.lines(self.told, output))?;
            }
        }
        Ok(())
    }

    /// Looks into the journal: why each step was answered as it was, and what stands in the books.
    /// `bank` says whose an account is.
    pub(crate) fn read_journal(
        &mut self,
        journal: &JournalReader,
        currency: Currency,
        bank: impl Fn(AccountId) -> &'static str,
    ) -> Outcome {
        let mut books: BTreeMap<Option<AccountId>, Books> = BTreeMap::new();
        for record in journal.records(mayfly_core::PartitionId::FIRST, 1) {
            let record = record.map_err(|error| Failure::Unreachable(error.to_string()))?;
            let read = record.each_event(|event| {
                let Event::Transacted(transacted) = event else { return };
                let stan = transacted.facts.stan.value();
                for step in &mut self.steps {
                    if !transacted.message.mti().is_empty() && step.stan.parse() == Ok(stan) {
                        step.reason = Some(transacted.reason.name());
                    }
                }
                books.entry(transacted.account).or_default().add(&transacted.effect.books());
            });
            read.map_err(|error| Failure::Refused(format!("record {}: {error}", record.sequence)))?;
        }
        let mut issuers: BTreeMap<&str, Books> = BTreeMap::new();
        for (account, of_account) in &books {
            let Books { cardholder, held, settlement, funding, suspense } = *of_account;
            let issuer = account.map_or("nobody", &bank);
            let rest = Books { cardholder: 0, held: 0, settlement, funding, suspense };
            if account.is_some() || rest != Books::default() {
                issuers.entry(issuer).or_default().add(&rest);
            }
            let Some(account) = account else { continue };
            for (book, minor) in [(Book::Cardholder, cardholder), (Book::Held, held)] {
                self.balances.push(Standing::new(account.to_string(), book, minor, currency));
            }
        }
        for (issuer, books) in issuers.into_iter().rev() {
            for (book, minor) in books.entries().into_iter().skip(2) {
                self.balances.push(Standing::new(issuer.into(), book, minor, currency));
            }
        }
        self.sum_minor = books.values().map(Books::sum).sum();
        Ok(())
    }

    /// What a cardholder has or owes, and what is held, by the journal.
    pub(crate) fn stands(&self, account: AccountId) -> (i64, i64) {
        let of = |book: Book| {
            let found = self
                .balances
                .iter()
                .find(|balance| balance.owner == account.to_string() && balance.book == book.name());
            found.map_or(0, |balance| balance.minor)
        };
        (of(Book::Cardholder), of(Book::Held))
    }

    /// Tells what came of it all. A failure if any step came out otherwise than it should.
    pub(crate) fn conclude(&mut self, output: Output, currency: Currency, accounts_agree: bool) -> Outcome {
        self.flush(output)?;
        let wrong = self.steps.iter().filter(|step| !step.ok).count();
        let host_agrees = self.at_host.iter().all(|account| account.agree);
        self.ok = wrong == 0 && self.sum_minor == 0 && accounts_agree && host_agrees;
        if output.is_json() {
            output.json(self)?;
        } else {
            output.line(self.summary(output))?;
            output.line(self.books(output, currency))?;
            output.line(self.both_books(output, currency))?;
        }
        let why = match wrong {
            _ if self.ok => return Ok(()),
            0 if self.sum_minor != 0 => "the books don't sum up to nothing".into(),
            0 if !accounts_agree => "the server's balances are not those of its journal".into(),
            0 => "the issuer host's ledger is not what our books say".into(),
            1 => "one step came out otherwise than it should".into(),
            wrong => format!("{wrong} steps came out otherwise than they should"),
        };
        Err(Failure::Refused(why))
    }

    fn summary(&self, output: Output) -> String {
        let mut table = Table::new([">step", "what", "expected", "got", "because", "ok"]);
        for (at, step) in self.steps.iter().enumerate() {
            table.row([
                (at + 1).to_string(),
                step.title.into(),
                response_words(step.expected),
                response_words(&step.got),
                step.reason.unwrap_or_default().into(),
                verdict(step.ok, output),
            ]);
        }
        let right = self.steps.iter().filter(|step| step.ok).count();
        let of = self.steps.len();
        format!(
            "{}\n{}{right} of {of} steps came out as they should\n",
            heading("summary", output),
            table.lines()
        )
    }

    fn books(&self, output: Output, currency: Currency) -> String {
        let mut table = Table::new(["whose", "book", ">balance"]);
        for balance in &self.balances {
            table.row([balance.owner.clone(), balance.book.into(), currency.show(balance.minor)]);
        }
        table.row(["sum".into(), verdict(self.sum_minor == 0, output), currency.show(self.sum_minor)]);
        format!("{}\n{}", heading("the books", output), table.lines())
    }
}

impl Report {
    /// What the issuer's host believes beside what we do.
    fn both_books(&self, output: Output, currency: Currency) -> String {
        let mut table = Table::new([
            "whose",
            "number at the host",
            ">charged here",
            ">charged there",
            ">held here",
            ">held there",
            "agree",
        ]);
        for AtHost { name, number, ours, host, agree } in &self.at_host {
            table.row([
                (*name).into(),
                number.clone(),
                currency.show(ours.charged_minor),
                currency.show(host.charged_minor),
                currency.show(ours.held_minor),
                currency.show(host.held_minor),
                verdict(*agree, output),
            ]);
        }
        format!(
            "{}\n{}",
            heading("the books here, and the ledger of the issuer's host", output),
            table.lines()
        )
    }
}

impl Standing {
    fn new(owner: String, book: Book, minor: i64, currency: Currency) -> Self {
        Self { owner, book: book.name(), minor, currency: currency.letters() }
    }
}

impl Step {
    fn lines(&self, number: usize, output: Output) -> String {
        let Self { title, expected, got, .. } = self;
        let heading = output.tone(Tone::Strong, &format!("{number:>2}. {title}"));
        let (expected, got) = (response_words(expected), response_words(got));
        let mut line = if expected == got { got } else { format!("{got} instead of {expected}") };
        for Check { what, ok } in &self.checks {
            line += &format!("; {}{what}", if *ok { "" } else { "NOT: " });
        }
        let verdict = verdict(self.ok, output);
        let mut text = format!(
            "{heading}: {line}  [{verdict}]\n{}{}",
            self.request.lines("      "),
            self.answer.lines("      ")
        );
        for message in &self.host_heard {
            text += "      the issuer's host hears:\n";
            text += &message.lines("          ");
        }
        text
    }
}

fn heading(text: &str, output: Output) -> String {
    output.tone(Tone::Strong, text)
}

fn verdict(ok: bool, output: Output) -> String {
    if ok { output.tone(Tone::Good, "ok") } else { output.tone(Tone::Bad, "WRONG") }
}
