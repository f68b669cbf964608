//! One of several gateways that share a database: a process that may be killed, stopped, and stand still.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::{Admin, Home, exit_of, until};

/// So long one of its admin pages is waited for.
const PATIENCE: Duration = Duration::from_millis(500);

/// A gateway's directory, and its process if it runs. Its addresses stay the same.
pub(crate) struct Gateway {
    pub(crate) home: Home,
    /// Where it takes card messages while it is the active one.
    pub(crate) card: SocketAddr,
    pages: SocketAddr,
    child: Option<Child>,
    /// How long its log was when it was started last.
    logged: usize,
}

/// An address that nobody listens on now.
fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

impl Gateway {
    /// The first one makes the installation, the second joins it.
    pub(crate) fn new(url: &str, first: Option<&Self>) -> Self {
        Self::with(url, first, "", "")
    }

    /// With more in its configuration, of the sections `database` and `iso8583`.
    pub(crate) fn with(url: &str, first: Option<&Self>, database: &str, iso8583: &str) -> Self {
        let (card, pages) = (free(), free());
        let config = format!(
            "[database]\nurl = \"{url}\"\n{database}\n\
             [iso8583]\nlisteners = [{{ address = \"{card}\", dialect = \"ascii87\" }}]\n{iso8583}\n\
             [admin]\nhttp_address = \"{pages}\"\n[api]\naddress = \"127.0.0.1:0\"\n"
        );
        let home = Home::of_gateway(url, first.map(|first| &first.home), &config);
        Self { home, card, pages, child: None, logged: 0 }
    }

    pub(crate) fn start(&mut self) {
        self.logged = self.log().len();
        let log = File::options().append(true).create(true).open(self.home.beside("server.log")).unwrap();
        self.child = Some(self.home.serve().stdout(Stdio::null()).stderr(log).spawn().unwrap());
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(self.child.as_ref().unwrap()), signal).unwrap();
    }

    /// Asks it to stop; it must end well.
    pub(crate) fn stop(&mut self) {
        self.signal(Signal::TERM);
        let status = exit_of(&mut self.child.take().unwrap());
        assert!(status.is_some_and(|status| status.success()), "{status:?}\n{}", self.log());
    }

    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// What a service manager does: starts it again if it ended because its database could not be reached when it was started.
    /// Later than that it waits, and never ends by itself.
    pub(crate) fn look_after(&mut self) {
        let Some(status) = self.child.as_mut().and_then(|child| child.try_wait().unwrap()) else { return };
        let log = self.log();
        let said = &log[self.logged..];
        let was_away = (said.contains("can't be reached") || said.contains("does not let us write"))
            && !said.contains("the root key was opened");
        assert!(status.code() == Some(3) && was_away, "a gateway has ended by itself: {status}\n{said}");
        self.start();
    }

    /// One of its admin pages; nothing if it does not answer.
    pub(crate) fn page(&self, path: &str) -> String {
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

    pub(crate) fn is_active(&self) -> bool {
        self.page("/ready").contains("ready\n") && self.page("/metrics").contains("mayfly_active 1")
    }

    pub(crate) fn await_active(&self) {
        until("the gateway to be active", || self.is_active().then_some(()));
    }

    pub(crate) fn is_standby(&self) -> bool {
        self.page("/ready").contains("standby: the active gateway is")
    }

    pub(crate) fn await_standby(&self) {
        until("the gateway to stand by", || self.is_standby().then_some(()));
        assert!(self.page("/health").contains("alive"));
        assert!(self.page("/metrics").contains("mayfly_active 0"));
        assert!(TcpStream::connect(self.card).is_err(), "a standby takes card messages");
    }

    pub(crate) fn admin(&self) -> Admin {
        Admin::connect(&self.home.file("admin.sock")).unwrap()
    }

    /// All that it has written to its log, by whichever process.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.home.beside("server.log")).unwrap_or_default()
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
            let log = self.log();
            // Who connected when is of no interest.
            let said = log.lines().filter(|line| !line.contains(" connection{"));
            let tail = said.rev().take(60).collect::<Vec<_>>();
            eprintln!("the end of the log of {}:", self.home.dir.display());
            tail.iter().rev().for_each(|line| eprintln!("  {line}"));
        }
    }
}
