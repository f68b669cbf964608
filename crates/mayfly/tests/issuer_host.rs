//! The laboratory's issuer host as a command: what it answers, what it prints, and what it says in the end.

#![allow(clippy::unwrap_used, reason = "a test that can't go on should panic")]

mod common;

use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use common::{command, mayfly};
use mayfly_card::{Expiry, MinorUnits, Pan};
use mayfly_iso8583::{De, Dialect, MessageBuilder};
use mayfly_lab::{Acceptor, Acquirer, Card, Register};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

const NUMBER: &str = "4761739001010119";
/// 2023-11-14 22:13:20 UTC; a host has its own clock.
const AT_MS: u64 = 1_700_000_000_000;

/// A file with one account, for its owner only.
fn accounts(dir: &Path) -> PathBuf {
    let path = dir.join("accounts.csv");
    std::fs::write(&path, format!("number,expiry,currency,funds\n{NUMBER},12/49,USD,1000.00\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    path
}

/// The command, while it runs.
struct Host {
    child: Child,
    out: BufReader<std::process::ChildStdout>,
    first: String,
}

impl Host {
    fn start(words: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let accounts = accounts(dir.path());
        let mut command = command(&["lab", "issuer-host", "--listen", "127.0.0.1:0", "--accounts"]);
        command.arg(accounts).args(words);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut first = String::new();
        out.read_line(&mut first).unwrap();
        Self { child, out, first }
    }

    /// Ends it as Ctrl-C does; what it has printed since.
    fn end(mut self) -> String {
        kill_process(Pid::from_child(&self.child), Signal::INT).unwrap();
        let mut text = String::new();
        self.out.read_to_string(&mut text).unwrap();
        let mut said = String::new();
        self.child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        assert!(self.child.wait().unwrap().success(), "{text}{said}");
        assert_eq!(said, "");
        assert!(!text.contains(NUMBER) && !self.first.contains(NUMBER), "{text}");
        text
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // One that has ended is gone already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A peer that has signed on.
struct Peer {
    register: Register,
    acquirer: Acquirer,
}

impl Peer {
    fn of(address: &str) -> Self {
        let dialect = Dialect::builtin("ascii87").unwrap();
        let mut register = Register::new(Acceptor::web_shop("BOOKSHOP").unwrap());
        let mut acquirer = Acquirer::connect(address, dialect).unwrap().with_timeout(Duration::from_secs(10));
        let sign_on = register.sign_on(AT_MS);
        assert_eq!(code(&acquirer.send(&sign_on).unwrap()), "00");
        Self { register, acquirer }
    }

    fn question(&mut self, minor: u64) -> MessageBuilder {
        let expiry = Expiry::parse_mmyy("1249").unwrap();
        let card = Card { pan: Pan::parse(NUMBER).unwrap(), expiry, cvc2: None };
        self.register.authorisation(AT_MS, &card, MinorUnits::new(minor).unwrap())
    }

    fn buy(&mut self, minor: u64) -> String {
        let question = self.question(minor);
        code(&self.acquirer.send(&question).unwrap()).to_owned()
    }
}

fn code(answer: &MessageBuilder) -> &str {
    answer.text(De::RESPONSE_CODE).unwrap()
}

#[test]
fn it_answers_prints_and_sums_up() {
    let host = Host::start(&[]);
    let address = host.first.split_whitespace().nth(2).unwrap().to_owned();
    assert!(host.first.contains("(ascii87), 1 accounts"), "{}", host.first);
    let mut peer = Peer::of(&address);
    let question = peer.question(2_498);
    assert_eq!(code(&peer.acquirer.send(&question).unwrap()), "00");
    let repeat = peer.register.repeat(&question);
    assert_eq!(code(&peer.acquirer.send(&repeat).unwrap()), "00");
    assert_eq!(peer.buy(100_000), "51");
    let text = host.end();
    for words in [
        "0800 sign-on request  STAN 000001  00 approved",
        "0100 authorisation request  STAN 000002  476173******0119  24.98 USD  BOOKSHOP  00 approved",
        "0101 authorisation request, repeated",
        "1000.00 USD  BOOKSHOP  51 not enough funds",
        "1 transactions were booked",
    ] {
        assert!(text.contains(words), "`{words}` is not in:\n{text}");
    }
    let sums: Vec<_> =
        text.lines().find(|line| line.starts_with("USD")).unwrap().split_whitespace().collect();
    assert_eq!(sums, ["USD", "1", "1000.00", "USD", "0.00", "USD", "24.98", "USD"]);
}

#[test]
fn it_fails_on_demand() {
    let host = Host::start(&["--json", "--every", "3:silent", "--chance", "1000:decline=N7", "--seed", "7"]);
    let listening: Value = serde_json::from_str(&host.first).unwrap();
    assert_eq!((&listening["accounts"], &listening["seed"]), (&json!(1), &json!(7)));
    let mut peer = Peer::of(listening["listening"].as_str().unwrap());
    assert_eq!([peer.buy(100), peer.buy(200)], ["N7", "N7"]);
    let unanswered = peer.question(300);
    peer.acquirer.post(&unanswered).unwrap();
    assert_eq!(peer.buy(400), "N7");
    let text = host.end();
    let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told: Vec<_> = lines[1..5]
        .iter()
        .map(|line| (line["amount_minor"].as_u64().unwrap(), line["fault"].as_str().unwrap()))
        .collect();
    assert_eq!(told, [(100, "decline=N7"), (200, "decline=N7"), (300, "silent"), (400, "decline=N7")]);
    assert_eq!(lines[1]["number"], "476173******0119");
    let sum = json!({
        "currency": "USD", "accounts": 1, "funds_minor": 100_000, "charged_minor": 0, "held_minor": 300,
    });
    // What was not answered is booked all the same.
    assert_eq!(lines[5], json!({ "transactions": 1, "adds_up": true, "sums": [sum] }));
}

#[test]
fn what_can_not_be_done_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let path = accounts(dir.path());
    let file = path.to_str().unwrap();
    let with = |more: &[&str]| mayfly(&[&["lab", "issuer-host", "--accounts", file], more].concat());
    with(&["--always", "loud"]).fails(2, "a fault is");
    with(&["--always", "silent", "--chance", "10:twice"]).fails(2, "cannot be used with");
    with(&["--chance", "600:silent", "--chance", "600:twice"]).fails(2, "more than 1000");
    with(&["--listen", "192.0.2.1:1"]).fails(3, "192.0.2.1:1 can't be listened at");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    with(&[]).fails(1, "chmod 600");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::write(&path, format!("{NUMBER},12/29,USD,{NUMBER}.1\n")).unwrap();
    let said = with(&[]).fails(2, "line 1: the funds are no amount");
    assert!(!said.contains(NUMBER), "{said}");
    mayfly(&["lab", "issuer-host", "--accounts", "/nonexistent"]).fails(3, "/nonexistent");
}
