//! A real engine with a journal in memory, the network in front of it, and a client that speaks raw bytes.

#![allow(dead_code, unreachable_pub)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::num::NonZeroU16;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use mayfly_card::{Currency, Layout, MinorUnits, Prefix};
use mayfly_core::state::Transaction;
use mayfly_core::{
    AccountId, Answer, Command, Controls, CreditLimit, Name, Operation, PageRequest, PartitionId, Partitions,
    ProgrammeId, Terms,
};
use mayfly_engine::{
    AppendError, Archive, ArchiveError, Catalogue, Desk, Ends, Engine, Entry, Head, Issued, Journal,
    MemoryNoteKeys, NobodyAsked, Order, Parts, Progress, Record, SystemClock,
};
use mayfly_iso8583::{De, Dialect, Frame, Message, MessageBuilder, Mti};
use mayfly_keys::{KeyService, OsRandom, RootKey};
use mayfly_network::{Endpoint, Meter, Network, Options, Stopped};
use tokio::runtime::Runtime;

pub const WAIT: Duration = Duration::from_secs(10);

/// A journal in memory, whose appends can be held up.
#[derive(Clone, Default)]
pub struct Tape {
    records: Arc<Mutex<Vec<Record>>>,
    held: Arc<(Mutex<bool>, Condvar)>,
    progress: Arc<Progress>,
    away: Arc<AtomicBool>,
}

impl Tape {
    /// From now on it can't be reached, or can again.
    pub fn be_away(&self, away: bool) {
        self.away.store(away, Ordering::Release);
    }

    pub fn hold(&self, hold: bool) {
        *self.held.0.lock().unwrap() = hold;
        self.held.1.notify_all();
    }

    pub fn events(&self) -> u32 {
        self.records.lock().unwrap().iter().map(|record| record.count).sum()
    }
}

impl Journal for Tape {
    fn append(&mut self, entry: &Entry) -> Result<(), AppendError> {
        drop(self.held.1.wait_while(self.held.0.lock().unwrap(), |held| *held).unwrap());
        if self.away.load(Ordering::Acquire) {
            return Err(AppendError::Unknown("away".into()));
        }
        let mut records = self.records.lock().unwrap();
        let record = &entry.records[0];
        record.check(&records.last().map_or(Head::START, Record::head)).unwrap();
        records.push(record.clone());
        // There are no views that could lag behind.
        self.progress.set_folded(entry.number, entry.at_ms(), std::iter::empty());
        Ok(())
    }
}

struct Nothing;

impl Archive for Nothing {
    fn page(&self, _: PartitionId, _: &PageRequest, _: u64) -> Result<Vec<Transaction>, ArchiveError> {
        Ok(Vec::new())
    }
}

pub fn catalogue() -> Arc<Catalogue> {
    Arc::new(Catalogue::new(KeyService::new(&RootKey::from_bytes(&[7; 32]))))
}

pub fn dialect(name: &str) -> &'static Dialect {
    Dialect::builtin(name).unwrap()
}

/// Everything, started.
pub struct Bench {
    pub tape: Tape,
    pub meter: Arc<Meter>,
    pub addresses: Vec<SocketAddr>,
    network: Option<Network>,
    engine: Option<Engine>,
    runtime: Runtime,
    desk: Desk,
    account: AccountId,
    programme: ProgrammeId,
}

impl Bench {
    pub fn start() -> Self {
        Self::with(Options::default(), mayfly_engine::Options::default())
    }

    pub fn with(options: Options, engine: mayfly_engine::Options) -> Self {
        let tape = Tape::default();
        let (catalogue, progress) = (catalogue(), tape.progress.clone());
        let engine = Engine::start(Parts {
            partitions: Partitions::new(NonZeroU16::MIN),
            ends: Ends::start(NonZeroU16::MIN),
            journal: Box::new(tape.clone()),
            archive: Arc::new(Nothing),
            catalogue: catalogue.clone(),
            asker: Arc::new(NobodyAsked),
            clock: Arc::new(SystemClock),
            progress,
            options: engine,
        })
        .unwrap();
        let handle = engine.handle();
        let operate = |operation| handle.ask_blocking(Command::Operate(Box::new(operation)));
        let name = |text| Name::parse(text).unwrap();
        let Answer::Issuer(issuer) = operate(Operation::OpenIssuer { name: name("Issuer") }) else {
            panic!()
        };
        let standard = Terms::standard(Prefix::parse("456940").unwrap(), Layout::DEFAULT);
        let terms = Terms { active_max: 1_000_000, ..standard };
        let opened = operate(Operation::OpenProgramme { issuer, name: name("Programme"), terms });
        let Answer::Programme(programme) = opened else { panic!() };
        let limit = CreditLimit::Credit(MinorUnits::new(1_000_000_000).unwrap());
        let currency = Currency::from_number(840).unwrap();
        let opened = operate(Operation::OpenAccount { issuer, currency, limit });
        let Answer::Account(account) = opened else { panic!() };
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let endpoints = ["ascii87", "binary87", "ebcdic87"]
            .map(|name| Endpoint { address: SocketAddr::from(([127, 0, 0, 1], 0)), dialect: dialect(name) });
        let network =
            runtime.block_on(Network::start(&endpoints, handle.clone(), catalogue.clone(), options)).unwrap();
        let desk = Desk::new(
            handle,
            catalogue,
            Box::new(OsRandom),
            Arc::new(SystemClock),
            Arc::new(MemoryNoteKeys::default()),
        );
        Self {
            tape,
            meter: network.meter(),
            addresses: network.addresses().to_vec(),
            network: Some(network),
            engine: Some(engine),
            runtime,
            desk,
            account,
            programme,
        }
    }

    /// A number for one purchase.
    pub fn issue(&self) -> Issued {
        let order = Order {
            account: self.account,
            programme: self.programme,
            uses: 1,
            lifetime_ms: None,
            controls: Controls::default(),
            own: None,
            number: None,
        };
        self.runtime.block_on(self.desk.issue(&order, None)).unwrap()
    }

    pub fn connect(&self) -> Client {
        Client::connect(self.addresses[0], dialect("ascii87"))
    }

    pub fn connect_all(&self) -> Vec<Client> {
        let names = ["ascii87", "binary87", "ebcdic87"];
        self.addresses.iter().zip(names).map(|(at, name)| Client::connect(*at, dialect(name))).collect()
    }

    pub fn connect_engine(&self) -> mayfly_engine::Handle {
        self.engine.as_ref().unwrap().handle()
    }

    pub fn stop(&mut self) -> Stopped {
        let network = self.network.take().unwrap();
        self.runtime.block_on(network.stop())
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.tape.hold(false);
        if let Some(network) = self.network.take() {
            self.runtime.block_on(network.stop());
        }
        if let Some(engine) = self.engine.take() {
            engine.stop().unwrap();
        }
    }
}

/// Waits until something is so.
pub fn eventually(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < WAIT, "never: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A peer.
pub struct Client {
    pub stream: TcpStream,
    pub dialect: &'static Dialect,
    came: Vec<u8>,
}

impl Client {
    pub fn connect(address: SocketAddr, dialect: &'static Dialect) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(WAIT)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, dialect, came: Vec::new() }
    }

    pub fn send(&mut self, message: &MessageBuilder) {
        self.send_all(std::slice::from_ref(message));
    }

    /// All of them with one write.
    pub fn send_all(&mut self, messages: &[MessageBuilder]) {
        let mut wire = Vec::new();
        for message in messages {
            message.encode(self.dialect, &mut wire).unwrap();
        }
        self.stream.write_all(&wire).unwrap();
    }

    /// A body of any bytes, with the header that belongs to it.
    pub fn send_body(&mut self, body: &[u8]) {
        let mut wire = (body.len() as u16).to_be_bytes().to_vec();
        wire.extend_from_slice(body);
        self.stream.write_all(&wire).unwrap();
    }

    /// The next answer's bytes; none at the end of the connection.
    pub fn receive_bytes(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Frame::Message { range } = self.dialect.header().next_frame(&self.came, 32_767).unwrap() {
                let body = self.came[range.clone()].to_vec();
                self.came.drain(..range.end);
                return Some(body);
            }
            let mut more = [0; 4096];
            match self.stream.read(&mut more) {
                Ok(0) => {
                    assert!(self.came.is_empty(), "half an answer");
                    return None;
                }
                Ok(count) => self.came.extend_from_slice(&more[..count]),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("no answer: {error}"),
            }
        }
    }

    pub fn receive(&mut self) -> MessageBuilder {
        let body = self.receive_bytes().expect("an answer");
        MessageBuilder::from(&Message::parse(self.dialect, &body).unwrap())
    }

    pub fn ask(&mut self, message: &MessageBuilder) -> MessageBuilder {
        self.send(message);
        self.receive()
    }

    pub fn is_closed(&mut self) -> bool {
        self.receive_bytes().is_none()
    }
}

/// DE 39.
pub fn code(answer: &MessageBuilder) -> &str {
    answer.text(De::RESPONSE_CODE).unwrap()
}

/// A purchase of 24.98 USD.
pub fn purchase(issued: &Issued, stan: u32) -> MessageBuilder {
    let mut message = MessageBuilder::new(Mti::AUTHORISATION_REQUEST);
    message
        .set(De::PAN, issued.pan.as_str())
        .set(De::PROCESSING_CODE, "000000")
        .set(De::AMOUNT, "2498")
        .set(De::TRANSMISSION_TIME, "1122135606")
        .set_number(De::STAN, u64::from(stan))
        .set(De::LOCAL_TIME, "145606")
        .set(De::LOCAL_DATE, "1122")
        .set(De::EXPIRATION_DATE, &issued.expiry.yymm())
        .set(De::MCC, "5411")
        .set(De::POS_ENTRY_MODE, "812")
        .set(De::ACQUIRER, "423935")
        .set(De::RRN, &format!("{stan:012}"))
        .set(De::TERMINAL, "TERM0001")
        .set(De::CARD_ACCEPTOR, "MERCHANT1")
        .set(De::CURRENCY, "840");
    message
}

pub fn echo_test(stan: u32) -> MessageBuilder {
    management(stan, "301")
}

pub fn management(stan: u32, code: &str) -> MessageBuilder {
    let mut message = MessageBuilder::new(Mti::NETWORK_REQUEST);
    message.set_number(De::STAN, u64::from(stan)).set(De::NETWORK_CODE, code);
    message
}
