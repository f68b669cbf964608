//! The bank that has the money: the laboratory's issuer host, over TCP, in this process.

use std::net::{Ipv4Addr, SocketAddr};

use mayfly_card::{Currency, Expiry, MinorUnits, Pan};
use mayfly_iso8583::{Dialect, MessageBuilder, MtiClass};
use mayfly_lab::issuer::{Account, Balance, Fault, IssuerHost, Ledger, SharedLedger};
use tokio::runtime::{Builder, Runtime};

use crate::failure::{Failure, Outcome};

/// An issuer host that listens.
pub(crate) struct Bank {
    host: IssuerHost,
    /// How many questions and advices about cards were looked at.
    seen: usize,
    _runtime: Runtime,
}

impl Bank {
    /// Opens these cards' accounts with so much in each, and listens on any free port.
    pub(crate) fn open<'a>(
        cards: impl IntoIterator<Item = (&'a Pan, Expiry)>,
        funds: MinorUnits,
        currency: Currency,
        dialect: &'static Dialect,
    ) -> Outcome<Self> {
        let failed = |error| Failure::unreachable("the issuer's host can't be started", error);
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().map_err(failed)?;
        let mut ledger = Ledger::new();
        for (pan, expiry) in cards {
            ledger.open(pan, Account { expiry, currency, funds, blocked: false });
        }
        let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let starting = IssuerHost::start(any, dialect, SharedLedger::new(ledger.into()));
        let host = runtime.block_on(starting).map_err(failed)?;
        host.keep_messages(true);
        Ok(Self { host, seen: 0, _runtime: runtime })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.host.address()
    }

    /// What it does with the next question.
    pub(crate) fn next(&self, fault: Fault) {
        self.host.script([Some(fault)]);
    }

    /// What it was asked and told about cards since this was called last.
    pub(crate) fn heard(&mut self) -> Vec<MessageBuilder> {
        let about_cards = |message: &MessageBuilder| {
            !message.mti().is_response() && message.mti().class() != MtiClass::NetworkManagement
        };
        let heard: Vec<_> = self.host.heard().into_iter().filter(about_cards).skip(self.seen).collect();
        self.seen += heard.len();
        heard
    }

    /// What a card's account has.
    pub(crate) fn balance(&self, pan: &Pan) -> Balance {
        self.host.ledger(|ledger| ledger.balance(pan)).unwrap_or_default()
    }

    /// Whether its ledger is what its own transactions come to.
    pub(crate) fn adds_up(&self) -> bool {
        self.host.ledger(|ledger| ledger.adds_up())
    }

    /// Keeps no message from now on: there are card numbers in them.
    pub(crate) fn forgets(&self) {
        self.host.keep_messages(false);
    }
}
