//! A server as a child process, and the three ways to reach it: ISO 8583, the admin socket, the command line.
//!
//! Nothing here uses the server's own code but the message codec: what these tests know of it is what a user
//! knows. Every wait has a bound.

#![allow(dead_code, unused_imports, reason = "each test file uses a part of it")]
#![allow(clippy::print_stdout, reason = "seeds, for whoever reads the output")]

pub(crate) mod admin;
pub(crate) mod buying;
pub(crate) mod gateway;
pub(crate) mod history;
pub(crate) mod peer;
pub(crate) mod proxy;
pub(crate) mod random;
pub(crate) mod roamer;

use std::ffi::OsStr;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use mayfly_testing::{Store, TestDatabase};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

pub(crate) use admin::Admin;
pub(crate) use gateway::Gateway;
pub(crate) use history::{History, Sent};
pub(crate) use peer::{Answer, Card, Kind, Message, Peer};
pub(crate) use proxy::Proxy;
pub(crate) use random::Random;
pub(crate) use roamer::Roamer;

/// How long a server may take to be ready, to stop, or to refuse to start. It is met in a second or two; the
/// machine may be busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The binary under test.
pub(crate) fn mayfly() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mayfly"));
    for name in [
        "MAYFLY_DIR",
        "MAYFLY_CONFIG",
        "MAYFLY_SOCKET",
        "MAYFLY_DATABASE_PASSWORD",
        "MAYFLY_KEY_PASSPHRASE",
        "MAYFLY_PKCS11_PIN",
    ] {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
    command
}

/// Asks until there is an answer.
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A data directory, made by `mayfly init`, what is around it, and the database if the data are in one.
pub(crate) struct Home {
    around: TempDir,
    pub(crate) dir: PathBuf,
    database: Option<TestDatabase>,
}

impl Home {
    /// In the system's temporary directory, with the data in a store of this kind.
    pub(crate) fn new(store: Store) -> Self {
        Self::with(store, "")
    }

    /// With more in its configuration; `more` begins with keys of the section `iso8583`.
    pub(crate) fn with(store: Store, more: &str) -> Self {
        let around = TempDir::new().unwrap();
        let dir = around.path().join("data");
        Self::made(around, dir, store.database(), more)
    }

    /// In files, in a directory that is not there yet, on a file system of one's own.
    pub(crate) fn at(dir: PathBuf) -> Self {
        Self::made(TempDir::new().unwrap(), dir, None, "")
    }

    /// With the data in this database.
    pub(crate) fn on(database: TestDatabase) -> Self {
        Self::with_database(database, "")
    }

    /// The same, with more in its configuration; `more` begins with keys of the section `iso8583`.
    pub(crate) fn with_database(database: TestDatabase, more: &str) -> Self {
        let around = TempDir::new().unwrap();
        let dir = around.path().join("data");
        Self::made(around, dir, Some(database), more)
    }

    fn made(around: TempDir, dir: PathBuf, database: Option<TestDatabase>, more: &str) -> Self {
        let home = Self { around, dir, database };
        let url = home.database.as_ref().map(TestDatabase::url);
        home.init(url.as_deref(), false);
        let mut config = format!(
            "[iso8583]\nlisteners = [{{ address = \"127.0.0.1:0\", dialect = \"ascii87\" }}]\n{more}\n\
             [admin]\nhttp_address = \"127.0.0.1:0\"\n[api]\naddress = \"127.0.0.1:0\"\n"
        );
        if let Some(url) = url {
            config.push_str(&format!("[database]\nurl = \"{url}\"\n"));
        }
        home.configure(&config);
        home
    }

    /// A gateway's on somebody's database, which a first one has made an installation of, or this one does. It has a
    /// configuration of its own.
    pub(crate) fn of_gateway(url: &str, first: Option<&Self>, config: &str) -> Self {
        let around = TempDir::new().unwrap();
        let dir = around.path().join("data");
        let home = Self { around, dir, database: None };
        if let Some(first) = first {
            fs::DirBuilder::new().mode(0o700).create(&home.dir).unwrap();
            // With its mode.
            fs::copy(first.file("root.key"), home.file("root.key")).unwrap();
        }
        home.init(Some(url), first.is_some());
        home.configure(config);
        home
    }

    fn init(&self, url: Option<&str>, joins: bool) {
        let database = url.iter().flat_map(|url| ["--database", url]);
        let joins = joins.then_some("--join");
        let made = self.cli(["init"].into_iter().chain(database).chain(joins));
        assert!(made.status.success(), "init: {}", said(&made));
    }

    /// From now on its data are in the database to which this URL leads.
    pub(crate) fn lead_to(&mut self, url: &str) {
        let config = fs::read_to_string(self.file("mayfly.toml")).unwrap();
        let lines = config.lines().map(|line| match line.split_once(" = ") {
            Some(("url", _)) => format!("url = \"{url}\"\n"),
            _ => format!("{line}\n"),
        });
        self.configure(&lines.collect::<String>());
    }

    fn configure(&self, config: &str) {
        fs::write(self.dir.join("mayfly.toml"), config).unwrap();
    }

    /// Adds sections to its configuration.
    pub(crate) fn configure_more(&self, more: &str) {
        let config = fs::read_to_string(self.file("mayfly.toml")).unwrap();
        self.configure(&format!("{config}{more}"));
    }

    /// The database, if the data are in one.
    pub(crate) fn database(&self) -> Option<&TestDatabase> {
        self.database.as_ref()
    }

    /// A path beside the data directory.
    pub(crate) fn beside(&self, name: &str) -> PathBuf {
        self.around.path().join(name)
    }

    /// A file of the data directory.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// What a command says.
    pub(crate) fn cli<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Output {
        mayfly().arg("--data-dir").arg(&self.dir).args(args).output().unwrap()
    }

    /// What a command that must succeed says in JSON.
    pub(crate) fn json<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Value {
        let output = mayfly().arg("--json").arg("--data-dir").arg(&self.dir).args(args).output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// The command that starts the server.
    pub(crate) fn serve(&self) -> Command {
        let mut command = mayfly();
        command.arg("--data-dir").arg(&self.dir).arg("serve");
        command
    }

    /// A server that is ready.
    pub(crate) fn start(&self) -> Server {
        self.start_by(self.serve())
    }

    /// A server that is ready, started by a command of one's own.
    pub(crate) fn start_by(&self, mut command: Command) -> Server {
        let log = self.beside("server.log");
        let child = command.stdout(Stdio::null()).stderr(File::create(&log).unwrap()).spawn().unwrap();
        let mut server = Server { child, log, address: ([127, 0, 0, 1], 0).into(), socket: PathBuf::new() };
        server.find_again(self);
        server
    }

    /// What a server says that must not start, on standard error.
    pub(crate) fn refused(&self) -> String {
        self.refused_by(self.serve())
    }

    /// The same, started by a command of one's own.
    pub(crate) fn refused_by(&self, mut command: Command) -> String {
        let log = self.beside("refused.log");
        let mut child = command.stdout(Stdio::null()).stderr(File::create(&log).unwrap()).spawn().unwrap();
        let status = exit_of(&mut child);
        let said = fs::read_to_string(&log).unwrap();
        assert!(
            status.is_some_and(|status| status.code().is_some_and(|code| code != 0)),
            "{status:?}\n{said}"
        );
        said
    }

    /// Walks the journal's chain, and compares the views with what follows from it.
    pub(crate) fn verify(&self) -> Value {
        self.json(["journal", "verify", "--views"])
    }
}

/// All that a command wrote.
pub(crate) fn said(output: &Output) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    format!("{}\n{out}{err}", output.status)
}

/// How a child ended; killed, and none, if it did not in time.
fn exit_of(child: &mut Child) -> Option<ExitStatus> {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    None
}

/// A running server. It is killed when this is dropped.
pub(crate) struct Server {
    child: Child,
    log: PathBuf,
    pub(crate) address: SocketAddr,
    pub(crate) socket: PathBuf,
}

impl Server {
    /// Waits until it is ready, and looks where it listens: one that stepped down and serves again may do so elsewhere.
    pub(crate) fn find_again(&mut self, home: &Home) {
        let run = until("the server to be ready", || {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("the server did not start: {status}\n{}", self.log());
            }
            // One that was killed left its own behind.
            let run: Value = serde_json::from_slice(&fs::read(home.file("run.json")).ok()?).ok()?;
            (run["pid"] == self.child.id()).then_some(run)
        });
        let addresses = &run["addresses"];
        self.address = addresses["iso8583"][0]["address"].as_str().unwrap().parse().unwrap();
        self.socket = PathBuf::from(addresses["admin_socket"].as_str().unwrap());
    }

    /// A connection to its admin socket.
    pub(crate) fn admin(&self) -> Admin {
        Admin::connect(&self.socket).unwrap()
    }

    /// A connection from the network.
    pub(crate) fn connect(&self) -> Peer {
        Peer::connect(self.address).unwrap()
    }

    /// What it has written to its log.
    pub(crate) fn log(&self) -> String {
        read(&self.log)
    }

    /// Kills it, at whatever it does.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Asks it to stop, and waits until it has.
    pub(crate) fn stop(mut self) {
        kill_process(Pid::from_child(&self.child), Signal::TERM).unwrap();
        let status = exit_of(&mut self.child);
        assert!(status.is_some_and(|status| status.success()), "{status:?}\n{}", self.log());
    }

    /// Waits until it has ended by itself; gives how, and what it wrote.
    pub(crate) fn ended(mut self) -> (ExitStatus, String) {
        let status = exit_of(&mut self.child);
        (status.unwrap_or_else(|| panic!("it goes on\n{}", self.log())), self.log())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let log = self.log();
            let tail = log.lines().rev().take(30).collect::<Vec<_>>();
            eprintln!("the end of the server's log:");
            tail.iter().rev().for_each(|line| eprintln!("  {line}"));
        }
    }
}

fn read(path: &Path) -> String {
    fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}
