//! A server in a directory of its own, and what asks it.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::unwrap_used,
    reason = "shared by tests, each of which asks in its own way"
)]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mayfly_iso8583::{De, Dialect, Message, MessageBuilder, Mti};
use mayfly_keys::OsRandom;
use mayfly_server::client::{Client, ClientError};
use mayfly_server::config::{Config, Settings};
use mayfly_server::protocol::{
    Account, AccountLimit, AdminError, AdminRequest, AdminResponse, IssueNumber, Issued, Number,
    NumberControls, OpenProgramme, Status, TermsAsked, Text,
};
use mayfly_server::{Server, init};
use mayfly_testing::{Store, TestDatabase};
use tempfile::TempDir;

/// Listens where there is room.
pub const PORTS: &str = "[iso8583]\nlisteners = [{ address = \"127.0.0.1:0\", dialect = \"ascii87\" }]\n\
                         [admin]\nhttp_address = \"127.0.0.1:0\"\n[api]\naddress = \"127.0.0.1:0\"\n";

pub fn config(directory: &Path, more: &str) -> Config {
    let file = directory.join("mayfly.toml");
    Config::parse(&format!("{PORTS}{more}"), &file).unwrap()
}

pub fn settings(directory: &Path, more: &str) -> Settings {
    config(directory, more).check().unwrap()
}

/// An installation: a data directory, and a database if the data are in one.
pub struct Installation {
    directory: TempDir,
    pub database: Option<TestDatabase>,
}

impl Installation {
    pub fn new(store: Store) -> Self {
        let made = Self { directory: tempfile::tempdir().unwrap(), database: store.database() };
        init(&made.config(""), None, &mut OsRandom).unwrap();
        made
    }

    /// The data directory.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    pub fn settings(&self, more: &str) -> Settings {
        self.config(more).check().unwrap()
    }

    fn config(&self, more: &str) -> Config {
        config(self.path(), &format!("{more}{}", self.database_section()))
    }

    /// What a configuration says of the database.
    pub fn database_section(&self) -> String {
        let of = |made: &TestDatabase| format!("\n[database]\nurl = \"{}\"\n", made.url());
        self.database.as_ref().map(of).unwrap_or_default()
    }
}

pub struct Running {
    pub server: Option<Server>,
    pub client: Client,
    pub directory: Installation,
}

impl Running {
    pub fn start(store: Store) -> Self {
        Self::on(Installation::new(store), "")
    }

    pub fn on(directory: Installation, more: &str) -> Self {
        let server = Server::start(directory.settings(more)).unwrap();
        let client = Client::connect(&directory.path().join("admin.sock")).unwrap();
        Self { server: Some(server), client, directory }
    }

    pub fn stop(mut self) -> Installation {
        self.server.take().unwrap().stop().unwrap();
        self.directory
    }

    pub fn ask(&mut self, request: AdminRequest) -> AdminResponse {
        match self.client.ask(request) {
            Ok(response) => response,
            Err(error) => panic!("{error}"),
        }
    }

    pub fn refused(&mut self, request: AdminRequest) -> AdminError {
        match self.client.ask(request) {
            Err(ClientError::Refused(error)) => error,
            other => panic!("{other:?}"),
        }
    }

    /// An issuer, a programme with the standard terms, a prepaid account with 100.00 USD.
    pub fn furnished(&mut self) -> Account {
        self.ask(AdminRequest::OpenIssuer { name: Text::read("Acme").unwrap() });
        let open = OpenProgramme {
            issuer: Text::read("iss_1").unwrap(),
            name: Text::read("Everyday").unwrap(),
            terms: TermsAsked::standard(Text::read("456940").unwrap()),
            universal: None,
        };
        self.ask(AdminRequest::OpenProgramme(Box::new(open)));
        self.ask(AdminRequest::OpenAccount {
            issuer: Text::read("iss_1").unwrap(),
            currency: Text::read("USD").unwrap(),
            limit: AccountLimit::Prepaid,
        });
        let account = Text::read("acct_1").unwrap();
        match self.ask(AdminRequest::Fund { account, minor: 10_000 }) {
            AdminResponse::Account(account) => account,
            other => panic!("{other:?}"),
        }
    }

    pub fn issue(&mut self, controls: NumberControls, lifetime_s: Option<u64>) -> Issued {
        let account = Text::read("acct_1").unwrap();
        let order = IssueNumber { account, programme: None, uses: None, lifetime_s, controls };
        match self.ask(AdminRequest::IssueNumber(Box::new(order))) {
            AdminResponse::Issued(issued) => issued,
            other => panic!("{other:?}"),
        }
    }

    pub fn number(&mut self, issued: &Issued) -> Number {
        match self.ask(AdminRequest::ShowNumber { number: issued.id }) {
            AdminResponse::Number(number) => number,
            other => panic!("{other:?}"),
        }
    }

    pub fn account(&mut self) -> Account {
        match self.ask(AdminRequest::ShowAccount { account: Text::read("acct_1").unwrap() }) {
            AdminResponse::Account(account) => account,
            other => panic!("{other:?}"),
        }
    }

    pub fn status(&mut self) -> Status {
        match self.ask(AdminRequest::Status {}) {
            AdminResponse::Status(status) => status,
            other => panic!("{other:?}"),
        }
    }

    pub fn socket(&self) -> PathBuf {
        self.directory.path().join("admin.sock")
    }

    /// Status line and body of an admin page.
    pub fn page(&self, path: &str) -> (String, String) {
        let addresses = self.server.as_ref().unwrap().addresses();
        page(addresses.admin_http.as_ref().unwrap(), path)
    }

    /// A connection to the first listener.
    pub fn network(&self) -> TcpStream {
        let addresses = self.server.as_ref().unwrap().addresses();
        let stream = TcpStream::connect(&addresses.iso8583[0].address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream
    }
}

pub fn page(address: &str, path: &str) -> (String, String) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.lines().next().unwrap().to_owned(), body.to_owned())
}

/// A card message of the dialect ascii87, as bytes: an amount of minor units in USD at a merchant.
pub fn purchase(issued: &Issued, mti: &str, stan: u32, minor: u64) -> Vec<u8> {
    let expiry = issued.expiry.expose();
    let mut message = MessageBuilder::new(Mti::parse(mti).unwrap());
    message
        .set(De::PAN, issued.number.as_str())
        .set(De::PROCESSING_CODE, "000000")
        .set_number(De::AMOUNT, minor)
        .set_number(De::STAN, stan.into())
        .set(De::EXPIRATION_DATE, &format!("{}{}", &expiry[2..], &expiry[..2]))
        .set(De::MCC, "5411")
        .set(De::POS_ENTRY_MODE, "812")
        .set(De::ACQUIRER, "12345678901")
        .set(De::RRN, &format!("{stan:012}"))
        .set(De::TERMINAL, "T0000001")
        .set(De::CARD_ACCEPTOR, "M-0001")
        .set(De::CURRENCY, "840")
        .set_sub_elements(De::ADDITIONAL_DATA, &[(92, issued.cvc2.expose())])
        .unwrap();
    let mut bytes = Vec::new();
    message.encode(Dialect::builtin("ascii87").unwrap(), &mut bytes).unwrap();
    bytes
}

/// Sends a message, and returns the answer's response code.
pub fn send(stream: &mut TcpStream, message: &[u8]) -> String {
    stream.write_all(message).unwrap();
    receive(stream)
}

pub fn receive(stream: &mut TcpStream) -> String {
    let mut header = [0; 2];
    stream.read_exact(&mut header).unwrap();
    let mut bytes = vec![0; usize::from(u16::from_be_bytes(header))];
    stream.read_exact(&mut bytes).unwrap();
    let message = Message::parse(Dialect::builtin("ascii87").unwrap(), &bytes).unwrap();
    message.text(De::RESPONSE_CODE).unwrap().to_string()
}
