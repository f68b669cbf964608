//! A server, an issuer host, and an acquirer between them.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use mayfly_card::{Currency, Expiry, MinorUnits};
use mayfly_iso8583::{De, Dialect, MessageBuilder, Mti};
use mayfly_lab::issuer::{Account, IssuerHost, Ledger, SharedLedger};
use mayfly_lab::{Acceptor, Acquirer, Card, Register};
use mayfly_testing::Store;
use serde_json::json;
use tokio::runtime::Runtime;

use super::harness::{Home, PATIENCE, Server};
use super::prepare::{Prepared, own, prepare};

/// What the cardholder has at the beginning, in cents.
pub(crate) const FUNDS: u64 = 100_000_000;

pub(crate) struct Rig {
    pub(crate) runtime: Runtime,
    pub(crate) home: Home,
    pub(crate) server: Option<Server>,
    host: Option<IssuerHost>,
    ledger: SharedLedger,
    address: SocketAddr,
    prepared: Prepared,
    register: Register,
    acquirer: Option<Acquirer>,
    used: usize,
}

fn ascii() -> &'static Dialect {
    Dialect::builtin("ascii87").unwrap()
}

pub(crate) fn minor(minor: u64) -> MinorUnits {
    MinorUnits::new(minor).unwrap()
}

pub(crate) fn now_ms() -> u64 {
    std::time::UNIX_EPOCH.elapsed().unwrap().as_millis() as u64
}

pub(crate) fn code(answer: &MessageBuilder) -> &str {
    answer.text(De::RESPONSE_CODE).unwrap()
}

impl Rig {
    /// With so many purchases that can be made.
    pub(crate) fn start(purchases: usize) -> Self {
        let home = Home::with(Store::Sqlite, "");
        let prepared = prepare(&home, purchases);
        let runtime = Runtime::new().unwrap();
        let mut ledger = Ledger::new();
        let (pan, expiry) = own();
        let currency = Currency::parse_alphabetic("USD").unwrap();
        ledger.open(
            &pan,
            Account { expiry: Expiry::from(expiry), currency, funds: minor(FUNDS), blocked: false },
        );
        let ledger = SharedLedger::new(ledger.into());
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let host = runtime.block_on(IssuerHost::start(any, ascii(), ledger.clone())).unwrap();
        let address = host.address();
        home.configure_more(&format!(
            "[log]\nlevel = \"trace\"\n[[issuer_hosts]]\nissuer = \"iss_1\"\naddresses = [\"{address}\"]\n\
             acquirer = \"990001\"\ninstitution = \"990002\"\nreconnect_ms_first = 20\nreconnect_ms_max = 100\n\
             advice_repeat_ms_first = 50\nadvice_repeat_ms_max = 200\nanswer_ms_max = 500\n",
        ));
        let register = Register::new(Acceptor::web_shop("BOOKSHOP").unwrap());
        let mut rig = Self {
            runtime,
            home,
            server: None,
            host: Some(host),
            ledger,
            address,
            prepared,
            register,
            acquirer: None,
            used: 0,
        };
        rig.serve();
        rig.terms(1_000, 0);
        rig
    }

    /// Starts the server, and waits until its link is signed on if there is a host.
    pub(crate) fn serve(&mut self) {
        let server = self.home.start();
        self.acquirer = Some(Acquirer::connect(server.address, ascii()).unwrap().with_timeout(PATIENCE));
        self.server = Some(server);
        self.signed_on();
    }

    fn signed_on(&self) {
        if self.host.is_some() {
            self.until("the link is signed on", |rig| rig.host().signed_on() == 2);
            self.until("the server knows", |rig| {
                rig.home.json(["status"])["issuer_hosts"][0]["in_service"] == json!(2)
            });
        }
    }

    /// Looks until it is so.
    #[track_caller]
    pub(crate) fn until(&self, what: &str, is_so: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_so(self) {
            assert!(Instant::now() < deadline, "waited for: {what}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn host(&self) -> &IssuerHost {
        self.host.as_ref().unwrap()
    }

    pub(crate) fn stop_host(&mut self) {
        self.runtime.block_on(self.host.take().unwrap().stop());
        self.until("the link is down", |rig| {
            rig.home.json(["status"])["issuer_hosts"][0]["in_service"] == json!(0)
        });
    }

    /// Kills it; nobody waits until that is known.
    pub(crate) fn cut_host(&mut self) {
        self.runtime.block_on(self.host.take().unwrap().stop());
    }

    /// Where merchants connect.
    pub(crate) fn address(&self) -> SocketAddr {
        self.server.as_ref().unwrap().address
    }

    /// Starts it again, on the same ledger.
    pub(crate) fn start_host(&mut self) {
        let starting = IssuerHost::start(self.address, ascii(), self.ledger.clone());
        self.host = Some(self.runtime.block_on(starting).unwrap());
        if self.server.is_some() {
            self.signed_on();
        }
    }

    pub(crate) fn kill(&mut self) {
        self.checks_log();
        self.server.take().unwrap().kill();
    }

    /// By which terms the host is asked.
    pub(crate) fn terms(&self, wait_ms: u32, stand_in_max: u64) {
        let (wait, most) = (wait_ms.to_string(), stand_in_max.to_string());
        let set = ["issuer", "host", "iss_1", "--wait-ms", &wait, "--stand-in-max", &most];
        assert_eq!(self.home.json(set)["host_wait_ms"], json!(wait_ms));
    }

    pub(crate) fn card(&mut self) -> Card {
        let card = self.prepared.cards[self.used].clone();
        self.used += 1;
        card
    }

    pub(crate) fn authorisation(&mut self, amount: u64) -> MessageBuilder {
        let card = self.card();
        self.register.authorisation(now_ms(), &card, minor(amount))
    }

    pub(crate) fn sale(&mut self, amount: u64) -> MessageBuilder {
        let card = self.card();
        self.register.sale(now_ms(), &card, minor(amount))
    }

    pub(crate) fn completion(&mut self, of: &MessageBuilder, amount: u64) -> MessageBuilder {
        self.register.completion(now_ms(), of, minor(amount))
    }

    pub(crate) fn refund(&mut self, of: &MessageBuilder, amount: u64) -> MessageBuilder {
        self.register.refund(now_ms(), of, minor(amount))
    }

    pub(crate) fn reversal(&mut self, of: &MessageBuilder, stays: Option<u64>) -> MessageBuilder {
        self.register.reversal(now_ms(), of, stays.map(minor))
    }

    pub(crate) fn repeat(&self, message: &MessageBuilder) -> MessageBuilder {
        self.register.repeat(message)
    }

    /// What the merchant is answered. The card's own number is not in it.
    pub(crate) fn ask(&mut self, message: &MessageBuilder) -> MessageBuilder {
        let answer = self.acquirer.as_mut().unwrap().send(message).unwrap();
        let pan = own().0;
        for element in answer.elements() {
            assert!(!answer.text(element).is_some_and(|text| text.contains(pan.as_str())), "{element}");
        }
        answer
    }

    /// Sends it and does not wait.
    pub(crate) fn post(&mut self, message: &MessageBuilder) {
        self.acquirer.as_mut().unwrap().post(message).unwrap();
    }

    /// How many reversals the host has heard.
    pub(crate) fn reversals(&self) -> u64 {
        self.host().count(Mti::REVERSAL_ADVICE) + self.host().count(Mti::REVERSAL_ADVICE.with_repeat())
    }

    /// Waits until both sides have the same books, to the cent, and nothing is owed.
    #[track_caller]
    pub(crate) fn agrees(&self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let account = self.prepared.account.to_string();
            let ours = self.server.as_ref().unwrap().admin().money(&account);
            let theirs = self.host().ledger(|ledger| {
                assert!(ledger.adds_up());
                ledger.balance(&own().0).unwrap()
            });
            let owed = self.home.json(["status"])["issuer_hosts"][0]["owed"].as_u64().unwrap();
            let (expected, funds) = ((theirs.booked, theirs.held), i64::try_from(FUNDS).unwrap());
            // What is held is not in our balance any more.
            if owed == 0 && (ours.0 + ours.1 + funds, ours.1) == expected {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "ours {ours:?}, theirs {theirs:?}, {owed} owed: {:?}",
                self.host().ledger(|ledger| ledger.transactions().to_vec())
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The card's own number is nowhere in the log.
    fn checks_log(&self) {
        let log = self.server.as_ref().unwrap().log();
        assert!(!log.contains(own().0.as_str()), "the card's own number is in the log");
        assert!(log.len() > 1_000, "it is written at the finest level");
    }

    pub(crate) fn stop(mut self) {
        self.checks_log();
        drop(self.acquirer.take());
        self.server.take().unwrap().stop();
        self.home.verify();
    }
}
