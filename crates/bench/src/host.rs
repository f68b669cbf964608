//! An issuer host that answers at once, and the link to it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use mayfly_card::{AcquirerId, Currency, MinorUnits};
use mayfly_engine::SystemClock;
use mayfly_iso8583::Dialect;
use mayfly_keys::OsRandom;
use mayfly_lab::issuer::{Account, IssuerHost, Ledger};
use mayfly_network::host::{HostMeter, HostOutcome, HostParts, HostQueue, Identity};
use mayfly_network::link::{self, IssuerLink, LinkOptions, Setting};
use tokio::runtime::{Builder, Runtime};

use crate::cards::Deck;
use crate::rig::{BenchError, Rig};

/// How many connections the link has.
const CONNECTIONS: usize = 4;
/// How long the link may take to sign on.
const SIGN_ON: Duration = Duration::from_secs(10);

/// A host with an account for each card of a deck.
pub(crate) struct Host {
    runtime: Runtime,
    link: IssuerLink,
    host: IssuerHost,
    meter: Arc<HostMeter>,
}

fn failed(error: impl std::fmt::Display) -> BenchError {
    BenchError(error.to_string())
}

impl Host {
    /// Starts it, and puts the engine's questions to it.
    pub(crate) fn start(rig: &Rig, deck: &Deck, questions: HostQueue) -> Result<Self, BenchError> {
        let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
        let dialect = Dialect::builtin("ascii87").ok_or_else(|| failed("no such dialect"))?;
        let currency = Currency::parse_alphabetic("USD").ok_or_else(|| failed("no such currency"))?;
        let mut ledger = Ledger::new();
        let account = Account { expiry: deck.expiry, currency, funds: MinorUnits::MAX, blocked: false };
        for pan in deck.own() {
            ledger.open(pan, account);
        }
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let host = runtime.block_on(IssuerHost::start(any, dialect, Arc::new(Mutex::new(ledger))))?;
        let acquirer = AcquirerId::parse("990001").map_err(failed)?;
        let setting = Setting {
            hosts: vec![link::Host { address: host.address().to_string(), connections: CONNECTIONS }],
            dialect,
            institution: acquirer,
            options: LinkOptions::default(),
            clock: Arc::new(SystemClock),
            random: Box::new(OsRandom),
        };
        let (link, late) = {
            let _inside = runtime.enter();
            IssuerLink::start(setting).map_err(failed)?
        };
        let begun = Instant::now();
        while link.in_service() < CONNECTIONS {
            if begun.elapsed() > SIGN_ON {
                return Err(failed("the link to the host did not sign on"));
            }
            thread::sleep(Duration::from_millis(5));
        }
        let meter = questions.meter();
        let parts = HostParts {
            handle: rig.handle.clone(),
            catalogue: rig.catalogue.clone(),
            clock: Arc::new(SystemClock),
            links: HashMap::from([(deck.issuer, (link.clone(), Identity { acquirer }))]),
        };
        runtime.spawn(questions.run(parts, vec![(deck.issuer, late)]));
        Ok(Self { runtime, link, host, meter })
    }

    /// Stops it. Says what became of the questions.
    pub(crate) fn stop(self) -> String {
        let Self { runtime, link, host, meter } = self;
        let (unanswered, ledger) = runtime.block_on(async move { (link.stop().await, host.stop().await) });
        let booked = ledger.lock().map_or(0, |ledger| ledger.transactions().len());
        let each = HostOutcome::ALL.map(|outcome| format!("{} {}", meter.of(outcome), outcome.name()));
        format!(
            "the issuer host booked {booked}; second requests: {}; {unanswered} without an answer at the end",
            each.join(", ")
        )
    }
}
