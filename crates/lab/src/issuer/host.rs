//! The TCP server of an issuer host, and its control.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mayfly_card::MonthIndex;
use mayfly_iso8583::{De, Dialect, Frame, Message, MessageBuilder, Mti, MtiClass};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time;
use zeroize::Zeroizing;

use super::fault::{Chances, Fault};
use super::ledger::{Ledger, bare_answer};
use super::plan::{Plan, SignOn};

/// How much is read at once.
const READ_LEN: usize = 64 * 1024;
/// How many batches of answers wait for a peer before its questions are not read any further.
const BATCHES_MAX: usize = 1_024;

/// A ledger that outlives the hosts that serve it.
pub type SharedLedger = Arc<Mutex<Ledger>>;

/// A question or advice that came, and what becomes of it.
#[derive(Clone, Copy, Debug)]
pub struct Heard<'a> {
    /// What came, card number and all.
    pub question: &'a Message<'a>,
    /// What it meets.
    pub fault: Option<Fault>,
    /// The answer, as it would be without a fault of the way; none if nothing was decided.
    pub answer: Option<&'a MessageBuilder>,
}

type Watcher = Box<dyn Fn(Heard<'_>) + Send + Sync>;

/// Bytes on their way out, which may hold card numbers. None closes the connection.
type Batch = Option<Zeroizing<Vec<u8>>>;

/// An issuer host that listens. Dropped, it is gone at once, as if its process were killed; its ledger stays.
pub struct IssuerHost {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

struct Shared {
    dialect: &'static Dialect,
    ledger: SharedLedger,
    plan: Mutex<Plan>,
    open: Mutex<Open>,
    watcher: OnceLock<Watcher>,
}

#[derive(Default)]
struct Open {
    connections: BTreeMap<u64, Connection>,
    last: u64,
    /// Answers that wait until they are released, each with the connection that asked.
    held: Vec<(u64, Zeroizing<Vec<u8>>)>,
}

struct Connection {
    writer: mpsc::Sender<Batch>,
    signed_on: bool,
    tasks: Vec<JoinHandle<()>>,
}

impl Connection {
    /// Closes it at once, whatever is under way.
    fn cut(&self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Who panics with a lock in a laboratory has failed its test already.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl IssuerHost {
    /// Listens there; port 0 takes any that is free. Needs a runtime of tokio.
    ///
    /// # Errors
    ///
    /// If it can't listen there.
    pub async fn start(
        address: SocketAddr,
        dialect: &'static Dialect,
        ledger: SharedLedger,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            dialect,
            ledger,
            plan: Mutex::default(),
            open: Mutex::default(),
            watcher: OnceLock::new(),
        });
        let accepting = tokio::spawn(accept(shared.clone(), listener));
        Ok(Self { address, shared, accepting })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Looks at what it books in, or changes it. It books nothing in the meantime.
    pub fn ledger<T>(&self, look: impl FnOnce(&mut Ledger) -> T) -> T {
        look(&mut lock(&self.shared.ledger))
    }

    /// The next questions about cards meet these faults, in the order in which they come; none is no fault.
    pub fn script(&self, faults: impl IntoIterator<Item = Option<Fault>>) {
        lock(&self.shared.plan).script.extend(faults);
    }

    /// From now on every question that no script is left for meets this fault; none is no fault.
    pub fn always(&self, fault: Option<Fault>) {
        lock(&self.shared.plan).always = fault;
    }

    /// From now on questions meet faults by chance.
    pub fn chances(&self, chances: Option<Chances>) {
        lock(&self.shared.plan).chances = chances;
    }

    /// From now on each so many questions about cards meet this fault; none is no fault.
    pub fn every(&self, fault: Option<(NonZeroU32, Fault)>) {
        let mut plan = lock(&self.shared.plan);
        (plan.every, plan.since) = (fault, 0);
    }

    /// Tells everything that comes from now on to a watcher, before it is answered. There is one at the most: a second one is
    /// told nothing.
    pub fn watch(&self, watcher: impl Fn(Heard<'_>) + Send + Sync + 'static) {
        let _ = self.shared.watcher.set(Box::new(watcher));
    }

    /// How sign-ons are answered from now on.
    pub fn sign_on(&self, sign_on: SignOn) {
        lock(&self.shared.plan).sign_on = sign_on;
    }

    /// Whether echoes are left without an answer from now on.
    pub fn ignore_echoes(&self, ignores: bool) {
        lock(&self.shared.plan).ignores_echoes = ignores;
    }

    /// Whether messages are kept from now on, the latest 10,000, for [`IssuerHost::heard`].
    pub fn keep_messages(&self, keeps: bool) {
        lock(&self.shared.plan).keeps = keeps;
    }

    /// The messages that were kept.
    pub fn heard(&self) -> Vec<MessageBuilder> {
        lock(&self.shared.plan).heard.iter().cloned().collect()
    }

    /// How many messages with this MTI have come.
    pub fn count(&self, mti: Mti) -> u64 {
        lock(&self.shared.plan).counts.get(&mti).copied().unwrap_or(0)
    }

    /// How many questions about cards have come over connections that were not signed on.
    pub fn before_sign_on(&self) -> u64 {
        lock(&self.shared.plan).before_sign_on
    }

    /// How many answers wait to be released.
    pub fn held(&self) -> usize {
        lock(&self.shared.open).held.len()
    }

    /// Sends the answers that were held: over the connection that asked, or, if that is closed, over another.
    pub fn release(&self) {
        let mut open = lock(&self.shared.open);
        for (asked, wire) in std::mem::take(&mut open.held) {
            open.send(asked, wire);
        }
    }

    /// How many connections are open.
    pub fn connections(&self) -> usize {
        lock(&self.shared.open).connections.len()
    }

    /// How many connections are signed on.
    pub fn signed_on(&self) -> usize {
        lock(&self.shared.open).connections.values().filter(|connection| connection.signed_on).count()
    }

    /// Sends a message over every connection: an echo or a sign-off, say. False if it can't be written.
    pub fn say(&self, message: &MessageBuilder) -> bool {
        let mut wire = Zeroizing::new(Vec::new());
        let written = message.encode(self.shared.dialect, &mut wire).is_ok();
        if written {
            for connection in lock(&self.shared.open).connections.values() {
                // One that does not read its answers does not read this either.
                drop(connection.writer.try_send(Some(wire.clone())));
            }
        }
        written
    }

    /// Cuts all connections. New ones are accepted.
    pub fn cut_all(&self) {
        let mut open = lock(&self.shared.open);
        open.connections.values().for_each(Connection::cut);
        open.connections.clear();
    }

    /// Stops listening and cuts all connections, as if the process were killed. The ledger stays.
    pub async fn stop(mut self) -> SharedLedger {
        self.accepting.abort();
        // Aborted or not, it accepts nothing more, and its address is free.
        drop((&mut self.accepting).await);
        self.cut_all();
        self.shared.ledger.clone()
    }
}

impl Drop for IssuerHost {
    fn drop(&mut self) {
        self.accepting.abort();
        self.cut_all();
    }
}

impl Open {
    fn send(&self, to: u64, wire: Zeroizing<Vec<u8>>) {
        let other = || self.connections.values().find(|connection| connection.signed_on);
        if let Some(connection) = self.connections.get(&to).or_else(other) {
            // One that does not read its answers goes without.
            drop(connection.writer.try_send(Some(wire)));
        }
    }
}

async fn accept(shared: Arc<Shared>, listener: TcpListener) {
    // A socket that can't be accepted is the peer's loss.
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            open(&shared, stream);
        }
    }
}

fn open(shared: &Arc<Shared>, stream: TcpStream) {
    drop(stream.set_nodelay(true));
    let (reader, writer) = stream.into_split();
    let (batches, to_write) = mpsc::channel(BATCHES_MAX);
    let mut open = lock(&shared.open);
    open.last += 1;
    let id = open.last;
    // They enter nothing before this lock is given back.
    let tasks = vec![
        tokio::spawn(read(shared.clone(), id, reader, batches.clone())),
        tokio::spawn(write(shared.clone(), id, writer, to_write)),
    ];
    open.connections.insert(id, Connection { writer: batches, signed_on: false, tasks });
}

/// Writes answers until there is nothing more to come, or the connection is to be closed.
async fn write(shared: Arc<Shared>, id: u64, mut writer: OwnedWriteHalf, mut batches: mpsc::Receiver<Batch>) {
    while let Some(Some(batch)) = batches.recv().await {
        if writer.write_all(&batch).await.is_err() {
            break;
        }
    }
    // The other task may wait for more; without it the socket is closed.
    if let Some(connection) = lock(&shared.open).connections.remove(&id) {
        connection.cut();
    }
}

/// Answers questions until the peer is done.
async fn read(shared: Arc<Shared>, id: u64, mut reader: OwnedReadHalf, writer: mpsc::Sender<Batch>) {
    let header = shared.dialect.header();
    let mut came = Zeroizing::new(Vec::new());
    let mut chunk = Zeroizing::new(vec![0; READ_LEN]);
    let mut open = true;
    while open && let Ok(count @ 1..) = reader.read(&mut chunk).await {
        came.extend_from_slice(&chunk[..count]);
        let mut taken = 0;
        let mut answers = Zeroizing::new(Vec::with_capacity(count));
        while open {
            match header.next_frame(&came[taken..], header.message_len_max()) {
                Ok(Frame::Incomplete { .. }) => break,
                Ok(Frame::KeepAlive { consumed }) => taken += consumed,
                Ok(Frame::Message { range }) => {
                    let body = taken + range.start..taken + range.end;
                    taken = body.end;
                    // A question that is unreadable, or meets such a fault, costs the connection.
                    let message = Message::parse(shared.dialect, &came[body]);
                    open = message.is_ok_and(|message| shared.take(id, &message, &mut answers));
                }
                Err(_) => open = false,
            }
        }
        came.drain(..taken);
        if !answers.is_empty() && writer.send(Some(answers)).await.is_err() {
            break;
        }
    }
    // Whatever stands before it is written first.
    drop(writer.send(None).await);
}

impl Shared {
    /// Takes a message, and appends what is to be answered at once. False if the connection is to be closed.
    fn take(self: &Arc<Self>, id: u64, message: &Message<'_>, answers: &mut Vec<u8>) -> bool {
        let mut plan = lock(&self.plan);
        plan.hear(message.mti(), || MessageBuilder::from(message));
        if message.mti().is_response() {
            return true;
        }
        let (fault, answer) = self.decide(id, message, plan);
        if let Some(watcher) = self.watcher.get() {
            watcher(Heard { question: message, fault, answer: answer.as_ref() });
        }
        match answer {
            Some(answer) => self.reply(id, answer, fault, answers),
            None => fault != Some(Fault::CloseDeaf),
        }
    }

    /// What a question meets, and its answer.
    fn decide(
        &self,
        id: u64,
        message: &Message<'_>,
        mut plan: MutexGuard<'_, Plan>,
    ) -> (Option<Fault>, Option<MessageBuilder>) {
        if message.mti().class() == MtiClass::NetworkManagement {
            return (None, self.management(id, message, &plan));
        }
        if !lock(&self.open).connections.get(&id).is_some_and(|connection| connection.signed_on) {
            plan.before_sign_on += 1;
            return (None, bare_answer(message, "12"));
        }
        let fault = plan.next();
        drop(plan);
        let answer = match fault {
            Some(Fault::Deaf | Fault::CloseDeaf) => None,
            Some(Fault::Say(code)) => bare_answer(message, std::str::from_utf8(&code).unwrap_or("96")),
            _ => lock(&self.ledger).answer(message, today()),
        };
        (fault, answer)
    }

    fn reply(
        self: &Arc<Self>,
        id: u64,
        mut answer: MessageBuilder,
        fault: Option<Fault>,
        answers: &mut Vec<u8>,
    ) -> bool {
        match fault {
            Some(Fault::Close) => return false,
            Some(Fault::Silent) => return true,
            Some(Fault::Garbage) => {
                // As long as it says, and not even an MTI.
                answers.extend_from_slice(match self.dialect.header().header_len() {
                    2 => b"\x00\x14",
                    _ => b"0020",
                });
                answers.extend_from_slice(&[0xff; 20]);
                return true;
            }
            Some(Fault::OtherStan) => differ(&mut answer, De::STAN, 999_999),
            Some(Fault::OtherReference) => differ(&mut answer, De::RRN, 999_999_999_999),
            Some(Fault::OtherAmount) => differ(&mut answer, De::AMOUNT, 999_999_999_999),
            Some(Fault::OtherNumber) => drop(answer.set(De::PAN, "4000000000000002")),
            _ => {}
        }
        let mut wire = Zeroizing::new(Vec::new());
        self.write(&answer, &mut wire);
        match fault {
            Some(Fault::Delay(delay)) => {
                let shared = self.clone();
                tokio::spawn(async move {
                    time::sleep(delay).await;
                    lock(&shared.open).send(id, wire);
                });
            }
            Some(Fault::Hold) => lock(&self.open).held.push((id, wire)),
            Some(Fault::Twice) => {
                answers.extend_from_slice(&wire);
                answers.extend_from_slice(&wire);
            }
            _ => answers.extend_from_slice(&wire),
        }
        true
    }

    fn management(&self, id: u64, message: &Message<'_>, plan: &Plan) -> Option<MessageBuilder> {
        let signs = match (message.number(De::NETWORK_CODE), plan.sign_on) {
            (Some(1), SignOn::Accept) => Some(true),
            (Some(1), SignOn::Refuse) => return bare_answer(message, "91"),
            (Some(1), SignOn::Ignore) => return None,
            (Some(2), _) => Some(false),
            (Some(301), _) if plan.ignores_echoes => return None,
            (Some(301), _) => None,
            _ => return bare_answer(message, "12"),
        };
        if let (Some(on), Some(connection)) = (signs, lock(&self.open).connections.get_mut(&id)) {
            connection.signed_on = on;
        }
        bare_answer(message, "00")
    }

    fn write(&self, answer: &MessageBuilder, wire: &mut Vec<u8>) {
        // All of it came in by this dialect, or is digits of a response. What can't be written is not answered.
        let _ = answer.encode(self.dialect, wire);
    }
}

/// Another number than there is.
fn differ(answer: &mut MessageBuilder, element: De, modulus: u64) {
    let number: u64 = answer.text(element).and_then(|text| text.parse().ok()).unwrap_or(0);
    answer.set_number(element, (number + 1) % modulus);
}

fn today() -> MonthIndex {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    MonthIndex::of_unix_ms(since.as_millis() as u64)
}
