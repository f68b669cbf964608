//! What the journal says, read through the command line: the measure that everything else is held against.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use super::peer::Key;
use super::{Answer, Home, Message, Random, said};

/// How many transactions are compared with what the views show of them.
const SHOWN: usize = 5;

/// A message that was sent, and what came back if something did.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    pub(crate) message: Message,
    pub(crate) answer: Option<Answer>,
}

/// A transaction in the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    pub(crate) id: String,
    pub(crate) answer: Answer,
    /// In cents.
    pub(crate) amount: u64,
    /// The number's id, if it was one that can be used.
    pub(crate) number: String,
}

/// What stands in the journal up to a record.
#[derive(Default, PartialEq, Eq)]
pub(crate) struct History {
    last_entry: u64,
    messages: HashMap<Key, Written>,
    /// Transactions that the server took back by itself: their approval came too late.
    taken_back: HashSet<String>,
    /// Each number with its uses.
    issued: HashMap<String, u64>,
    /// Each number with how many purchases were approved.
    purchases: HashMap<String, u64>,
    /// Each account with what it has and what of it is held.
    accounts: HashMap<String, (i64, i64)>,
}

impl History {
    /// How many messages were seen.
    pub(crate) fn len(&self) -> usize {
        self.messages.len()
    }

    /// All messages that are there.
    pub(crate) fn messages(&self) -> impl Iterator<Item = (&Key, &Written)> {
        self.messages.iter()
    }

    /// What became of a message.
    pub(crate) fn message(&self, message: &Message) -> Option<&Written> {
        self.messages.get(&message.key())
    }

    /// Whether the server took it back by itself.
    pub(crate) fn was_taken_back(&self, written: &Written) -> bool {
        self.taken_back.contains(&written.id)
    }

    /// How many transactions it took back.
    pub(crate) fn taken_back(&self) -> usize {
        self.taken_back.len()
    }

    /// Each account with what it has and what of it is held, in cents.
    pub(crate) fn accounts(&self) -> &HashMap<String, (i64, i64)> {
        &self.accounts
    }

    /// Reads what has happened since it was last read.
    pub(crate) fn read_on(&mut self, home: &Home) {
        let from = (self.last_entry + 1).to_string();
        let output = home.cli(["--json", "journal", "read", "--from", from.as_str()]);
        assert!(output.status.success(), "{}", said(&output));
        for line in output.stdout.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let event: Value = serde_json::from_slice(line).unwrap();
            self.last_entry = event["entry"].as_u64().unwrap();
            match event["event"].as_str() {
                Some("transacted") => self.transacted(&event),
                Some("number-issued") => {
                    let number = text(&event, "number");
                    let twice = self.issued.insert(number.clone(), event["uses"].as_u64().unwrap());
                    assert!(twice.is_none(), "{number} was issued twice");
                }
                _ => {}
            }
        }
    }

    fn transacted(&mut self, event: &Value) {
        let approval = event["approval"].as_str().map(str::to_owned);
        let answer = Answer { code: text(event, "response"), approval };
        let message = text(event, "message");
        if !message.is_empty() {
            let stan = text(event, "stan").parse().unwrap();
            let key = (message.clone(), text(event, "rrn").trim_end().to_owned(), stan);
            let (id, number) = (text(event, "transaction"), text(event, "number"));
            let amount = event["amount"]["minor"].as_u64().unwrap();
            let written = Written { id, answer: answer.clone(), amount, number };
            if let Some(first) = self.messages.insert(key.clone(), written) {
                panic!("{key:?} is there twice: {first:?} and {event}");
            }
        }
        if event["kind"] == "reversal" && message.is_empty() {
            self.taken_back.insert(text(event, "target"));
        }
        if event["kind"] == "purchase" && answer.approved() {
            *self.purchases.entry(text(event, "number")).or_default() += 1;
        }
        self.booked(event);
    }

    fn booked(&mut self, event: &Value) {
        let mut sum = 0;
        for entry in event["entries"].as_array().unwrap() {
            let minor = entry["minor"].as_i64().unwrap();
            sum += minor;
            let account = self.accounts.entry(text(event, "account")).or_default();
            match entry["book"].as_str() {
                Some("cardholder") => account.0 += minor,
                Some("held") => account.1 += minor,
                _ => {}
            }
        }
        assert_eq!(sum, 0, "the entries of {event} don't add up");
    }

    /// Every number whose issue was acknowledged is there.
    pub(crate) fn has_issued(&self, numbers: &[String]) {
        let missing: Vec<_> = numbers.iter().filter(|number| !self.issued.contains_key(*number)).collect();
        assert!(missing.is_empty(), "numbers were issued and are lost: {missing:?}");
    }

    /// Every message that was answered is there once, with that answer. (Twice is found while reading.)
    pub(crate) fn has_answered(&self, sent: &[Sent]) {
        for Sent { message, answer } in sent {
            let Some(answer) = answer else { panic!("{message:?} was not asked again") };
            let written = self.messages.get(&message.key());
            assert_eq!(written.map(|written| &written.answer), Some(answer), "{message:?}");
        }
    }

    /// No number was approved more often than it has uses.
    pub(crate) fn no_number_was_overused(&self) {
        for (number, purchases) in &self.purchases {
            let uses = self.issued[number];
            assert!(*purchases <= uses, "{number} is good {uses} times and was approved {purchases} times");
        }
    }

    /// What the server told of the accounts is what the journal adds up to.
    pub(crate) fn books_balance(&self, accounts: &[String], told: &[(i64, i64)]) {
        let known: HashSet<_> = accounts.iter().collect();
        assert!(
            self.accounts.keys().all(|account| known.contains(account)),
            "somebody else's account was booked"
        );
        for (account, told) in accounts.iter().zip(told) {
            let written = self.accounts.get(account).copied().unwrap_or_default();
            assert_eq!(written, *told, "{account}: in the journal, and as the server told");
        }
    }

    /// Some transactions, as the views show them to an operator.
    pub(crate) fn views_show(&self, home: &Home, random: &mut Random) {
        let mut all: Vec<_> = self.messages.values().collect();
        all.sort_by(|one, other| one.id.cmp(&other.id));
        for _ in 0..SHOWN {
            let Some(Written { id, answer, .. }) = random.of(&all) else { return };
            let shown = home.json(["transaction", "show", id.as_str()]);
            let approval = shown["approval"].as_str().map(str::to_owned);
            assert_eq!(Answer { code: text(&shown, "response"), approval }, *answer, "{id} in the views");
        }
    }
}

fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_default().to_owned()
}
