//! `mayfly demo`: a server, five cardholders, an issuer's host, and everything that can become of a number.

mod bank;
mod cards;
mod pcap;
mod phone;
mod report;
mod script;
mod till;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use clap::Args;
use mayfly_card::Currency;
use mayfly_core::AccountId;
use mayfly_iso8583::Dialect;
use mayfly_keys::OsRandom;
use mayfly_server::Server;
use mayfly_server::config::{CONFIG_FILE, Config};
use mayfly_server::protocol::AdminRequest;
use mayfly_store::JournalReader;

use crate::admin::{Admin, answered};
use crate::failure::{Failure, Outcome};
use crate::output::Output;
use bank::Bank;
use cards::{FUNDS, Holders, Play};
use phone::Branch;
use report::Report;
use script::{Cast, Stage};
use till::{Till, minor};

/// What is spoken.
const DIALECT: &str = "ascii87";
/// In which currency.
const CURRENCY: &str = "USD";
/// Any free ports.
const CONFIG: &str = "\
[iso8583]
listeners = [{ address = \"127.0.0.1:0\", dialect = \"ascii87\" }]

[admin]
http_address = \"127.0.0.1:0\"

[api]
address = \"127.0.0.1:0\"
";

/// Show what Mayfly does: start a server of its own, and buy, misuse, reverse and refund
///
/// First with one-time numbers, then with fixed numbers and a proof for each purchase, whose money an issuer's host has.
/// Everything happens in a temporary directory and over loopback TCP. Exit code 0 only if every step came out as
/// it should, and the books of both sides agree.
#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Keep the server running afterwards, and say how to use it
    #[arg(long)]
    stay: bool,
    /// Write the ISO 8583 traffic to this file, for tshark or Wireshark
    #[arg(long, value_name = "FILE")]
    pcap: Option<PathBuf>,
}

impl Demo {
    /// Runs it.
    pub(crate) fn run(&self, output: Output) -> Outcome {
        if let Some(path) = &self.pcap {
            // Better now than when everything has been played.
            std::fs::File::create(path).map_err(|error| {
                Failure::unreachable(format!("{} can't be written", path.display()), error)
            })?;
        }
        let dir = tempfile::Builder::new()
            .prefix("mayfly-demo-")
            .permissions(std::fs::Permissions::from_mode(0o700))
            .tempdir()
            .map_err(|error| Failure::unreachable("a temporary directory can't be made", error))?;
        let mut scene = Scene::set(dir.path())?;
        let played = self.play(&mut scene, output);
        scene.bank.forgets();
        let Scene { server, bank: _bank, .. } = scene;
        if self.stay && played.is_ok() {
            output.line(how_to_go_on(&server, output))?;
            server.wait();
        }
        let stopped = server.stop().map_err(|error| Failure::Unreachable(error.to_string()));
        played.and(stopped)
    }

    fn play(&self, scene: &mut Scene, output: Output) -> Outcome {
        let Scene { server, bank, cast, holders, currency } = scene;
        let currency = *currency;
        let addresses = server.addresses();
        let to = addresses.iso8583.first().ok_or_else(wrong)?.address.clone();
        let mut admin = Admin::connect_to(Path::new(&addresses.admin_socket))?;
        let branch = Branch::open(&mut admin, holders.issuer, addresses.api.as_deref().ok_or_else(wrong)?)?;
        let dora = branch.equip(&mut admin, &holders.dora)?;
        let evan = branch.equip(&mut admin, &holders.evan)?;
        cards::until_in_service(&mut admin)?;
        let till = Till::open(&to, dialect()?, self.pcap.is_some())?;
        let mut stage = Stage { admin, till, report: Report::default(), output };
        stage.play(cast)?;
        Play { stage: &mut stage, bank, holders, currency, dora, evan }.play()?;
        let Stage { mut admin, till, mut report, .. } = stage;
        till.finish(self.pcap.as_deref())?;
        let journal = JournalReader::open(&server.data_dir().as_path().into())
            .map_err(|error| Failure::Unreachable(error.to_string()))?;
        let is_at_host = |account| holders.all().iter().any(|holder| holder.account == account);
        let whose = |account| if is_at_host(account) { "City Bank" } else { "Demo Bank" };
        report.read_journal(&journal, currency, whose)?;
        for holder in holders.all() {
            report.compare(holder, bank);
        }
        let accounts = [cast.anna, cast.ben, cast.cleo, holders.dora.account, holders.evan.account];
        let agree = agree(&mut admin, &accounts, &report)?;
        report.conclude(output, currency, agree)?;
        match &self.pcap {
            Some(path) if !output.is_json() => output.line(how_to_read(path)),
            _ => Ok(()),
        }
    }
}

/// Where it is played, and who takes part.
struct Scene {
    server: Server,
    bank: Bank,
    cast: Cast,
    holders: Holders,
    currency: Currency,
}

impl Scene {
    /// A server in a directory of its own, with a link to an issuer's host. The issuer is there before the link: the server
    /// is started without it first.
    fn set(dir: &Path) -> Outcome<Self> {
        let currency = Currency::parse_alphabetic(CURRENCY).ok_or_else(wrong)?;
        let server = start(dir, "", true)?;
        let opened = Admin::connect_to(Path::new(&server.addresses().admin_socket)).and_then(|mut admin| {
            Ok((script::set_up(&mut admin, currency)?, cards::set_up(&mut admin, currency)?))
        });
        server.stop().map_err(|error| Failure::Unreachable(error.to_string()))?;
        let (cast, holders) = opened?;
        let at_bank = holders.all().map(|holder| (&holder.own, holder.expiry));
        let bank = Bank::open(at_bank, minor(FUNDS), currency, dialect()?)?;
        let host = format!(
            "\n[[issuer_hosts]]\nissuer = \"{}\"\naddresses = [\"{}\"]\ndialect = \"{DIALECT}\"\n\
             acquirer = \"990001\"\ninstitution = \"990002\"\nreconnect_ms_first = 50\n",
            holders.issuer,
            bank.address()
        );
        Ok(Self { server: start(dir, &host, false)?, bank, cast, holders, currency })
    }
}

/// Starts a server; a new one is made first.
fn start(dir: &Path, more: &str, new: bool) -> Outcome<Server> {
    let failed = |error: &dyn std::fmt::Display| Failure::Unreachable(error.to_string());
    std::fs::write(dir.join(CONFIG_FILE), format!("{CONFIG}{more}")).map_err(|error| failed(&error))?;
    let config = Config::read(&dir.join(CONFIG_FILE)).map_err(|error| failed(&error))?;
    if new {
        mayfly_server::init(&config, None, &mut OsRandom).map_err(|error| failed(&error))?;
    }
    Server::start(config.check().map_err(|error| failed(&error))?).map_err(|error| failed(&error))
}

fn dialect() -> Outcome<&'static Dialect> {
    Dialect::builtin(DIALECT).ok_or_else(wrong)
}

fn wrong() -> Failure {
    Failure::Refused("the demonstration's own values are wrong".into())
}

/// Whether the server's balances are those that follow from its journal.
fn agree(admin: &mut Admin, accounts: &[AccountId], report: &Report) -> Outcome<bool> {
    let mut agree = true;
    for account in accounts {
        let account = answered!(admin.ask(AdminRequest::ShowAccount { account: *account })?, Account)?;
        agree &= report.stands(account.id) == (account.balance.minor, account.held.minor);
    }
    Ok(agree)
}

fn how_to_read(capture: &Path) -> String {
    format!(
        "\nthe traffic is in {0}, card numbers and all; to read it:\n  \
         tshark -r {0} -d tcp.port==8583,iso8583 -o 'iso8583.len_endian:Big endian'",
        capture.display()
    )
}

fn how_to_go_on(server: &Server, output: Output) -> String {
    let dir = server.data_dir().display();
    if output.is_json() {
        return serde_json::json!({ "data_dir": dir.to_string(), "addresses": server.addresses() })
            .to_string();
    }
    format!(
        "The server goes on until you press Ctrl-C. In another terminal:\n\n  \
         export MAYFLY_DIR={dir}\n  \
         mayfly status\n  \
         mayfly account list\n  \
         mayfly number issue --account acct_2 --json > card.json\n  \
         mayfly send --card card.json --amount 24.98\n  \
         mayfly send --card card.json --amount 24.98\n  \
         mayfly transaction list --account acct_2\n  \
         mayfly journal read --follow"
    )
}
