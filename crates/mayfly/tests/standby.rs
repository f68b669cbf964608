//! Two gateways on one database, and purchases that go on while the active one is stopped, killed, or stands still: whatever
//! was acknowledged is there, and nothing was done twice.

#![allow(clippy::unwrap_used, reason = "a test that can't go on should panic")]
#![allow(clippy::print_stdout, reason = "seeds, for whoever reads the output")]

mod harness;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{JoinHandle, sleep};
use std::time::{Duration, Instant};

use harness::{Admin, Card, Kind, Message, Peer, mayfly, said, until};
use mayfly_testing::TestDatabase;
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// How long a lease is good, and what a standby may take after that.
const TAKEN_OVER_WITHIN: Duration = Duration::from_secs(5 + 2);
/// What the client itself needs to notice, and the machine to do it.
const CLIENT: Duration = Duration::from_secs(2);
/// So long a client waits for an answer before it asks the other gateway.
const PATIENCE: Duration = Duration::from_millis(500);
const USES: u32 = 1000;
const AMOUNT: u64 = 100;

/// A gateway's directory, and its process if it runs.
struct Gateway {
    dir: PathBuf,
    card: SocketAddr,
    pages: SocketAddr,
    child: Option<Child>,
}

/// An address that nobody listens on now.
fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

fn ran(output: &Output) {
    assert!(output.status.success(), "{}", said(output));
}

impl Gateway {
    /// The first one makes the installation, the second joins it.
    fn new(around: &Path, name: &str, database: &TestDatabase, first: Option<&Self>) -> Self {
        let dir = around.join(name);
        let url = database.url();
        let mut init = mayfly();
        init.arg("--data-dir").arg(&dir).args(["init", "--database", &url]);
        if let Some(first) = first {
            fs::DirBuilder::new().mode(0o700).create(&dir).unwrap();
            let key = fs::read(first.dir.join("root.key")).unwrap();
            let mut options = fs::OpenOptions::new();
            let mut file =
                options.write(true).create_new(true).mode(0o600).open(dir.join("root.key")).unwrap();
            file.write_all(&key).unwrap();
            init.arg("--join");
        }
        ran(&init.output().unwrap());
        let (card, pages) = (free(), free());
        let config = format!(
            "[database]\nurl = \"{url}\"\n\
             [iso8583]\nlisteners = [{{ address = \"{card}\", dialect = \"ascii87\" }}]\n\
             [admin]\nhttp_address = \"{pages}\"\n[api]\naddress = \"127.0.0.1:0\"\n"
        );
        fs::write(dir.join("mayfly.toml"), config).unwrap();
        Self { dir, card, pages, child: None }
    }

    fn start(&mut self) {
        let log = File::options().append(true).create(true).open(self.dir.join("server.log")).unwrap();
        let mut serve = mayfly();
        serve.arg("--data-dir").arg(&self.dir).arg("serve");
        self.child = Some(serve.stdout(Stdio::null()).stderr(log).spawn().unwrap());
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(self.child.as_ref().unwrap()), signal).unwrap();
    }

    /// Asks it to stop; it must end well.
    fn stop(&mut self) {
        self.signal(Signal::TERM);
        let status = self.child.take().unwrap().wait().unwrap();
        assert!(status.success(), "{status}");
    }

    fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// One of its admin pages; nothing if it does not answer.
    fn page(&self, path: &str) -> String {
        let read = || -> std::io::Result<String> {
            let mut stream = TcpStream::connect_timeout(&self.pages, PATIENCE)?;
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: x\r\n\r\n").as_bytes())?;
            let mut page = String::new();
            stream.read_to_string(&mut page)?;
            Ok(page)
        };
        read().unwrap_or_default()
    }

    fn is_active(&self) -> bool {
        self.page("/ready").contains("ready\n") && self.page("/metrics").contains("mayfly_active 1")
    }

    fn await_active(&self) {
        until("the gateway to be active", || self.is_active().then_some(()));
    }

    fn await_standby(&self) {
        until("the gateway to stand by", || {
            self.page("/ready").contains("standby: the active gateway is").then_some(())
        });
        assert!(self.page("/health").contains("alive"));
        assert!(self.page("/metrics").contains("mayfly_active 0"));
        assert!(TcpStream::connect(self.card).is_err(), "a standby takes card messages");
    }

    fn admin(&self) -> Admin {
        Admin::connect(&self.dir.join("admin.sock")).unwrap()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = kill_process(Pid::from_child(&child), Signal::CONT);
            let _ = child.kill();
            let _ = child.wait();
        }
        if std::thread::panicking() {
            let log = fs::read_to_string(self.dir.join("server.log")).unwrap_or_default();
            let tail = log.lines().rev().take(40).collect::<Vec<_>>();
            eprintln!("the end of the log of {}:", self.dir.display());
            tail.iter().rev().for_each(|line| eprintln!("  {line}"));
        }
    }
}

/// A client that buys and buys, and asks whichever gateway answers until each purchase is decided.
struct Client {
    addresses: [SocketAddr; 2],
    at: usize,
    peer: Option<Peer>,
    /// When it heard the last answer that decided something, and the longest time between two of them.
    heard: Instant,
    longest: Duration,
}

impl Client {
    /// Sends it until it is decided; again as a repeat.
    fn buy(&mut self, message: &Message, over: &AtomicBool) {
        let mut repeat = false;
        loop {
            match self.ask(message, repeat) {
                Some(answer) if answer == "00" => {
                    self.longest = self.longest.max(self.heard.elapsed());
                    self.heard = Instant::now();
                    return;
                }
                Some(answer) if answer != "91" && answer != "96" => panic!("{message:?}: {answer}"),
                shed => {
                    // Over to the other one, if this one is silent, gone, or does not know.
                    (self.peer, self.at) = (None, 1 - self.at);
                    repeat = true;
                    sleep(Duration::from_millis(if shed.is_some() { 20 } else { 5 }));
                }
            }
            assert!(!over.load(Ordering::Acquire) || self.heard.elapsed() < 3 * TAKEN_OVER_WITHIN);
        }
    }

    fn ask(&mut self, message: &Message, repeat: bool) -> Option<String> {
        if self.peer.is_none() {
            let mut peer = Peer::connect(self.addresses[self.at]).ok()?;
            peer.be_patient(PATIENCE);
            self.peer = Some(peer);
        }
        let peer = self.peer.as_mut()?;
        peer.send(&message.wire(repeat)).ok()?;
        let (key, answer) = peer.receive().ok()?;
        assert_eq!(key, message.key());
        Some(answer.code)
    }
}

/// Clients that go on until they are told to end.
struct Load {
    over: Arc<AtomicBool>,
    clients: Vec<JoinHandle<(u64, Duration)>>,
}

impl Load {
    /// Each client has a card; cards are good for a thousand purchases. `round` makes references differ.
    fn begin(gateways: &[&Gateway; 2], cards: &[Arc<Card>], round: u64) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let addresses = gateways.map(|gateway| gateway.card);
        let clients = cards.iter().enumerate().map(|(lane, card)| {
            let (over, card) = (over.clone(), card.clone());
            std::thread::spawn(move || {
                let mut client =
                    Client { addresses, at: 0, peer: None, heard: Instant::now(), longest: Duration::ZERO };
                let mut bought = 0;
                while !over.load(Ordering::Acquire) && bought < u64::from(USES) {
                    bought += 1;
                    let rrn = format!("{:012}", round * 1_000_000_000 + lane as u64 * 10_000_000 + bought);
                    let message = Message {
                        kind: Kind::Financial,
                        card: card.clone(),
                        amount: AMOUNT,
                        stan: bought as u32,
                        rrn,
                        original: None,
                    };
                    client.buy(&message, &over);
                    sleep(Duration::from_millis(10));
                }
                (bought, client.longest)
            })
        });
        Self { clients: clients.collect(), over }
    }

    /// How many purchases were approved, and for how long none was at the most.
    fn end(self) -> (u64, Duration) {
        self.over.store(true, Ordering::Release);
        let done = self.clients.into_iter().map(|client| client.join().unwrap());
        done.fold((0, Duration::ZERO), |(bought, longest), one| (bought + one.0, longest.max(one.1)))
    }
}

struct World {
    account: String,
    bought: u64,
    round: u64,
}

impl World {
    /// Purchases flow while something happens to the active gateway. Says for how long there was no answer.
    fn while_buying(
        &mut self,
        [active, other]: [&mut Gateway; 2],
        happens: impl FnOnce(&mut Gateway, &mut Gateway),
    ) -> Duration {
        self.round += 1;
        let mut admin = active.admin();
        let cards: Vec<_> =
            (0..3).map(|_| Arc::new(admin.issue(&self.account, USES).unwrap().unwrap())).collect();
        let load = Load::begin(&[active, other], &cards, self.round);
        sleep(Duration::from_secs(1));
        happens(active, other);
        sleep(Duration::from_secs(1));
        let (bought, longest) = load.end();
        self.bought += bought;
        longest
    }

    /// All that was bought, once.
    fn check(&self, active: &Gateway) {
        let spent = (self.bought * AMOUNT) as i64;
        assert_eq!(active.admin().money(&self.account), (-spent, 0), "{} purchases", self.bought);
    }
}

#[test]
fn whatever_becomes_of_the_active_gateway_another_one_goes_on() {
    let (database, around) = (TestDatabase::create(), TempDir::new().unwrap());
    let mut first = Gateway::new(around.path(), "first", &database, None);
    let mut second = Gateway::new(around.path(), "second", &database, Some(&first));
    first.start();
    first.await_active();
    second.start();
    second.await_standby();
    let mut admin = first.admin();
    let issuer = admin.open_issuer("Bank", "456940");
    let account = admin.open_account(&issuer, 1_000_000_000);
    let mut world = World { account, bought: 0, round: 0 };

    // Stopped: it hands over at once.
    let silence = world.while_buying([&mut first, &mut second], |active, other| {
        active.stop();
        other.await_active();
    });
    println!("stopped: {silence:?} without an answer, {} purchases", world.bought);
    assert!(silence < Duration::from_secs(5), "{silence:?}");
    world.check(&second);

    // Killed: the other one takes over when the lease is over.
    first.start();
    first.await_standby();
    let silence = world.while_buying([&mut second, &mut first], |active, other| {
        active.kill();
        other.await_active();
    });
    println!("killed: {silence:?} without an answer, {} purchases", world.bought);
    assert!(silence < TAKEN_OVER_WITHIN + CLIENT, "{silence:?}");
    world.check(&first);

    // Standing still, and going on when it is not the active one any more.
    second.start();
    second.await_standby();
    let silence = world.while_buying([&mut first, &mut second], |active, other| {
        active.signal(Signal::STOP);
        other.await_active();
        sleep(Duration::from_secs(1));
        active.signal(Signal::CONT);
        active.await_standby();
    });
    println!("stood still: {silence:?} without an answer, {} purchases", world.bought);
    assert!(silence < TAKEN_OVER_WITHIN + CLIENT, "{silence:?}");
    world.check(&second);

    // The one that stood still is as good as any.
    let silence = world.while_buying([&mut second, &mut first], |active, other| {
        active.stop();
        other.await_active();
    });
    println!("stopped again: {silence:?} without an answer, {} purchases", world.bought);
    world.check(&first);
    first.stop();
    let mut verify = mayfly();
    verify.arg("--data-dir").arg(&first.dir).args(["journal", "verify", "--views"]);
    ran(&verify.output().unwrap());
}
