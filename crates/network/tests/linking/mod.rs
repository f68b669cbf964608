//! Issuer hosts, links to them, and questions.

#![allow(dead_code, unreachable_pub)]

pub mod owed;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use mayfly_card::{AcquirerId, Currency, Expiry, MinorUnits, Pan};
use mayfly_engine::SystemClock;
use mayfly_iso8583::{De, Dialect, MessageBuilder};
use mayfly_keys::OsRandom;
use mayfly_lab::issuer::{Account, IssuerHost, Ledger, SharedLedger};
use mayfly_lab::{Acceptor, Card, Register};
use mayfly_network::link::{Host, IssuerLink, LateAnswers, LinkError, LinkOptions, Setting};
use tokio::task::JoinHandle;

/// 2023-11-14 22:13:20 UTC.
pub const AT_MS: u64 = 1_700_000_000_000;

/// What the account has at the beginning.
pub const FUNDS: u64 = 100_000_000;

/// Quick to notice what is wrong with a connection, patient with answers.
pub const OPTIONS: LinkOptions = LinkOptions {
    in_flight_max: 1_024,
    queue_max: 4_096,
    late_max: 1_024,
    message_bytes_max: 4_096,
    output_bytes_max: 262_144,
    answer_ms_max: 20_000,
    connect_ms_max: 5_000,
    management_ms_max: 5_000,
    echo_after_ms: 60_000,
    message_ms_max: 5_000,
    write_ms_max: 5_000,
    retry_ms_first: 10,
    retry_ms_max: 100,
    stop_ms_max: 5_000,
};

pub fn dialect(name: &str) -> &'static Dialect {
    Dialect::builtin(name).unwrap()
}

pub fn card() -> Card {
    Card {
        pan: Pan::parse("4761739001010119").unwrap(),
        expiry: Expiry::parse_yymm("4912").unwrap(),
        cvc2: None,
    }
}

pub fn ledger() -> SharedLedger {
    let mut ledger = Ledger::new();
    ledger.open(
        &card().pan,
        Account {
            expiry: card().expiry,
            currency: Currency::from_number(840).unwrap(),
            funds: MinorUnits::new(FUNDS).unwrap(),
            blocked: false,
        },
    );
    Arc::new(Mutex::new(ledger))
}

pub async fn host() -> IssuerHost {
    host_at(SocketAddr::from(([127, 0, 0, 1], 0)), ledger()).await
}

pub async fn host_at(address: SocketAddr, ledger: SharedLedger) -> IssuerHost {
    IssuerHost::start(address, dialect("ascii87"), ledger).await.unwrap()
}

/// A link with one connection to each of these, in service.
pub async fn link(hosts: &[&IssuerHost], options: LinkOptions) -> (IssuerLink, LateAnswers) {
    let to: Vec<_> = hosts.iter().map(|host| (host.address(), 1)).collect();
    let link = start(&to, dialect("ascii87"), options);
    eventually("all are signed on", || link.0.in_service() == hosts.len()).await;
    link
}

pub fn start(
    hosts: &[(SocketAddr, usize)],
    dialect: &'static Dialect,
    options: LinkOptions,
) -> (IssuerLink, LateAnswers) {
    let host = |(address, connections): &(SocketAddr, usize)| Host {
        address: address.to_string(),
        connections: *connections,
    };
    IssuerLink::start(Setting {
        hosts: hosts.iter().map(host).collect(),
        dialect,
        institution: AcquirerId::parse("400009").unwrap(),
        options,
        clock: Arc::new(SystemClock),
        random: Box::new(OsRandom),
    })
    .unwrap()
}

pub fn register() -> Register {
    Register::new(Acceptor::web_shop("SHOP").unwrap())
}

/// A sale, without a STAN: the link gives it one.
pub fn sale(register: &mut Register, minor: u64) -> MessageBuilder {
    let mut question = register.sale(AT_MS, &card(), MinorUnits::new(minor).unwrap());
    question.remove(De::STAN);
    question
}

/// Asks, and does not wait for the answer.
pub fn ask(link: &IssuerLink, question: MessageBuilder) -> JoinHandle<Result<MessageBuilder, LinkError>> {
    let link = link.clone();
    tokio::spawn(async move { link.send(question).await })
}

pub fn code(answer: &MessageBuilder) -> &str {
    answer.text(De::RESPONSE_CODE).unwrap()
}

/// Waits until something is so.
pub async fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(20), "never: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
