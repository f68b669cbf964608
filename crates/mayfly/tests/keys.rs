//! Root keys with the command line: the ceremony, each place where one can be, and the versions of the cards' keys.

#![allow(clippy::unwrap_used, reason = "a test that can't go on should panic")]

mod common;
mod harness;

use std::fs;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use common::{Ran, command, mayfly_with};
use harness::Gateway;
use mayfly_testing::{SoftHsm, Store, TestDatabase, on_both};
use serde_json::Value;

const CONFIG: &str = r#"
[iso8583]
listeners = [{ address = "127.0.0.1:0", dialect = "ascii87" }]

[admin]
http_address = "127.0.0.1:0"

[api]
address = "off"
"#;

const PASSPHRASE: &str = "nine quiet herons cross the marsh";
/// The components of the profile's reference root key: neither of them is it, and their exclusive or is.
const ONE: (&str, &str) = ("a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5", "3df80c");
const OTHER: (&str, &str) = ("a5a4a7a6a1a0a3a2adacafaea9a8abaab5b4b7b6b1b0b3b2bdbcbfbeb9b8bbba", "62c061");
const ROOT_CHECK: &str = "377822";

/// A data directory that has a configuration and nothing else, and what is around it.
struct Ground {
    around: tempfile::TempDir,
    module: Option<SoftHsm>,
    passphrase: Option<&'static str>,
    database: Option<TestDatabase>,
}

impl Ground {
    /// With these settings in the section `keys`.
    fn new(store: Store, keys: &str) -> Self {
        let around = tempfile::tempdir().unwrap();
        let ground = Self { around, module: None, passphrase: None, database: store.database() };
        fs::DirBuilder::new().mode(0o700).create(ground.data()).unwrap();
        ground.configure(keys);
        ground.write("passphrase", PASSPHRASE);
        ground
    }

    fn data(&self) -> PathBuf {
        self.beside("data")
    }

    fn beside(&self, name: &str) -> PathBuf {
        self.around.path().join(name)
    }

    /// A file that is its owner's alone.
    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.beside(name);
        let mut options = fs::OpenOptions::new();
        let mut file = options.write(true).create_new(true).mode(0o600).open(&path).unwrap();
        std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
        path
    }

    fn configure(&self, keys: &str) {
        let database = self
            .database
            .as_ref()
            .map_or(String::new(), |database| format!("\n[database]\nurl = \"{}\"\n", database.url()));
        fs::write(self.data().join("mayfly.toml"), format!("{CONFIG}{database}\n[keys]\n{keys}\n")).unwrap();
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = command(words);
        command.env("MAYFLY_DIR", self.data());
        if let Some(module) = &self.module {
            command.env(SoftHsm::VARIABLE, module.configuration());
        }
        if let Some(passphrase) = self.passphrase {
            command.env("MAYFLY_KEY_PASSPHRASE", passphrase);
        }
        command
    }

    #[track_caller]
    fn run(&self, words: &[&str]) -> Ran {
        mayfly_with(b"", self.command(words))
    }

    #[track_caller]
    fn json(&self, words: &[&str]) -> Value {
        self.run(&[&["--json"], words].concat()).json()
    }

    fn check_value(&self, words: &[&str]) -> String {
        self.json(words)["check_value"].as_str().unwrap().to_owned()
    }

    /// Does something in the directory, past the server.
    fn directory(&self, sql: &str) {
        match &self.database {
            Some(database) => drop(database.psql(&format!("SET search_path = mayfly_directory; {sql}"))),
            None => {
                let directory = rusqlite::Connection::open(self.data().join("directory.db")).unwrap();
                directory.execute(sql, ()).unwrap();
            }
        }
    }

    /// A server that is ready.
    fn serve(&self) -> Server {
        let log = fs::File::create(self.beside("server.log")).unwrap();
        let mut child = self.command(&["serve"]).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let begun = Instant::now();
        while self.run(&["status"]).code != 0 {
            let log = || fs::read_to_string(self.beside("server.log")).unwrap();
            assert!(child.try_wait().unwrap().is_none(), "the server ended: {}", log());
            assert!(begun.elapsed() < Duration::from_secs(60), "the server is not ready: {}", log());
            std::thread::sleep(Duration::from_millis(50));
        }
        Server { child }
    }

    fn furnish(&self) -> Value {
        self.json(&["issuer", "open", "Acme Bank"]);
        self.json(&["programme", "open", "Shopping", "--issuer", "iss_1", "--prefix", "456940"]);
        self.json(&["account", "open", "--issuer", "iss_1", "--currency", "USD"]);
        let issuer = self.json(&["account", "list"])["items"][0]["id"].as_str().unwrap().to_owned();
        self.json(&["account", "fund", &issuer, "100"]);
        self.json(&["number", "issue", "--account", &issuer, "--uses", "9"])
    }

    /// One of the purchases that the number is good for: whoever finds the number has the right keys.
    #[track_caller]
    fn buy(&self, card: &Value) {
        let words = ["--json", "send", "--card", "-", "--amount", "1", "--expect", "00"];
        mayfly_with(card.to_string().as_bytes(), self.command(&words)).ok();
    }
}

struct Server {
    child: Child,
}

impl Server {
    fn stop(mut self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        assert_eq!(self.child.wait().unwrap().code(), Some(0));
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It has ended already where the test got so far.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

on_both! {
    two_custodians_make_a_root_key_that_a_passphrase_wraps
    versions_are_rotated_and_retired_while_the_server_runs
}

/// The root key comes of two components, is protected by a passphrase, and a start checks it.
fn two_custodians_make_a_root_key_that_a_passphrase_wraps(store: Store) {
    let mut ground = Ground::new(store, "source = \"passphrase\"\npassphrase_file = \"../passphrase\"");
    let (one, other) = (ground.beside("one"), ground.beside("other"));
    // Not into a pipe, where others read along.
    let shown = ground.run(&["keys", "component"]);
    assert_eq!(shown.stdout, "");
    shown.fails(2, "--out");
    for component in [&one, &other] {
        let made = ground.run(&["keys", "component", "--out", text(component)]).ok();
        let line = fs::read_to_string(component).unwrap();
        let (digits, check) = line.trim().split_once(" check ").unwrap();
        assert!(made.contains(check) && !made.contains(digits), "{made}");
        assert_eq!((mode(component), digits.len()), (0o600, 79));
    }
    ground.run(&["keys", "component", "--out", text(&one)]).fails(1, "not overwritten");
    let key = ground.data().join("root.key");
    ground.run(&["keys", "combine", text(&one), text(&one)]).fails(1, "both components are the same");
    assert!(!key.exists());

    let check = ground.check_value(&["keys", "combine", text(&one), text(&other)]);
    assert_eq!(mode(&key), 0o600);
    assert!(fs::read_to_string(&key).unwrap().contains("wrapped argon2id"));
    ground.run(&["keys", "combine", text(&one), text(&other)]).fails(1, "never overwritten");
    assert_eq!(ground.check_value(&["keys", "check"]), check);
    let made = ground.json(&["init"]);
    assert_eq!(made["check_value"], check);
    assert!(made["root_key"].as_str().unwrap().ends_with("root.key, wrapped by a passphrase"));
    let server = ground.serve();
    let card = ground.furnish();
    ground.buy(&card);
    assert_eq!(ground.json(&["keys", "list"])["items"][0]["check_value"], check);
    server.stop();

    // Another passphrase, none, and a source that does not fit.
    let wrapped = "source = \"passphrase\"";
    ground.passphrase = Some("another one that is long enough");
    ground.run(&["keys", "check"]).fails(1, "does not open");
    ground.run(&["serve"]).fails(3, "does not open");
    ground.passphrase = None;
    ground.configure(wrapped);
    ground.run(&["serve"]).fails(3, "MAYFLY_KEY_PASSPHRASE");
    ground.configure("source = \"file\"");
    ground.run(&["serve"]).fails(3, "wrapped under a passphrase");
    ground.configure("source = \"passphrase\"\nwrapping_key_file = \"w\"");
    ground.run(&["serve"]).fails(2, "keys.wrapping_key_file");

    // The environment has it; and the number is found.
    ground.configure(wrapped);
    ground.passphrase = Some(PASSPHRASE);
    let server = ground.serve();
    ground.buy(&card);
    server.stop();
}

#[test]
fn components_are_typed_and_a_wrapping_key_wraps() {
    let keys = "source = \"wrapping-key\"\nwrapping_key_file = \"../wrapping.key\"";
    let ground = Ground::new(Store::Sqlite, keys);
    let typed = |lines: &[&str]| {
        mayfly_with((lines.join("\n") + "\n").as_bytes(), ground.command(&["--json", "keys", "combine"]))
    };
    let four = [ONE.0, ONE.1, OTHER.0, OTHER.1];
    typed(&four).fails(3, "wrapping.key");
    let wrapping = ground.json(&["keys", "wrapping-key"]);
    assert_eq!(mode(&ground.beside("wrapping.key")), 0o600);
    ground.run(&["keys", "wrapping-key"]).fails(1, "never overwritten");
    typed(&[ONE.0, OTHER.1, OTHER.0, OTHER.1]).fails(1, "check value 3df80c, not 62c061");
    typed(&[ONE.0, ONE.1]).fails(2, "standard input ended");
    typed(&[&ONE.0[1..], ONE.1]).fails(1, "63 digits");
    let made = typed(&four).json();
    assert_eq!(made["check_value"], ROOT_CHECK);
    assert_ne!(wrapping["check_value"], ROOT_CHECK);
    let file = fs::read_to_string(ground.data().join("root.key")).unwrap();
    assert!(file.contains("wrapped key-file"), "{file}");
    ground.json(&["init"]);
    let server = ground.serve();
    ground.furnish();
    server.stop();
    fs::rename(ground.beside("wrapping.key"), ground.beside("elsewhere")).unwrap();
    ground.run(&["serve"]).fails(3, "wrapping.key");
}

#[test]
fn a_key_of_custodians_is_never_kept_as_it_is() {
    let ground = Ground::new(Store::Sqlite, "");
    let components = format!("{}\n{}\n{}\n{}\n", ONE.0, ONE.1, OTHER.0, OTHER.1);
    let refused = mayfly_with(components.as_bytes(), ground.command(&["keys", "combine"]));
    refused.fails(1, "as it is");
    ground.run(&["keys", "generate"]).fails(1, "mayfly init");
    assert!(!ground.data().join("root.key").exists());
}

/// What the configuration says of a token.
fn token_settings(key: &str) -> String {
    let library = SoftHsm::library().display();
    format!(
        "source = \"pkcs11\"\npkcs11_module = \"{library}\"\npkcs11_token = \"mayfly\"\npkcs11_key = \"{key}\"\n\
         pkcs11_pin_file = \"../pin\""
    )
}

/// With a hardware module the key is brought into it, and is asked for at start and when a BIN is set up, never for a
/// purchase.
#[test]
fn a_token_has_the_root_key_and_is_asked_at_start_only() {
    let mut ground = Ground::new(Store::Sqlite, &token_settings("mayfly-root-1"));
    ground.module = Some(SoftHsm::with_token("mayfly"));
    ground.run(&["keys", "check"]).fails(2, "keys.pkcs11_pin_file");
    ground.write("pin", SoftHsm::PIN);
    ground.run(&["keys", "check"]).fails(3, "no AES key");
    let one = ground.write("one", &format!("{} check {}\n", ONE.0, ONE.1));
    let other = ground.write("other", &format!("{} check {}\n", OTHER.0, OTHER.1));
    let made = ground.check_value(&["keys", "combine", text(&one), text(&other)]);
    assert_eq!(made, ROOT_CHECK);
    assert_eq!(ground.check_value(&["keys", "check"]), ROOT_CHECK);
    ground.run(&["keys", "combine", text(&one), text(&other)]).fails(1, "already");
    ground.run(&["keys", "generate"]).fails(1, "already");
    let initialised = ground.json(&["init"]);
    assert_eq!(initialised["check_value"], ROOT_CHECK);
    assert!(initialised["root_key_file"].is_null() && !ground.data().join("root.key").exists());
    let server = ground.serve();
    let card = ground.furnish();
    ground.buy(&card);

    ground.module.as_ref().unwrap().take_away(true);
    ground.buy(&card);
    let programme =
        |prefix| ground.run(&["programme", "open", prefix, "--issuer", "iss_1", "--prefix", prefix]);
    let said = programme("556940").fails(3, "the key module failed");
    assert!(said.contains("nothing was opened"), "{said}");
    let programmes = ground.json(&["programme", "list"]);
    assert_eq!(programmes["items"].as_array().unwrap().len(), 1);
    // One whose BIN is set up needs nobody.
    let other_issuer = ground.json(&["issuer", "open", "Other"]);
    assert_eq!(other_issuer["id"], "iss_2");
    server.stop();
    ground.run(&["serve"]).fails(3, "the key module failed");

    ground.module.as_ref().unwrap().take_away(false);
    let server = ground.serve();
    ground.buy(&card);
    programme("556940").ok();
    server.stop();
    // The PIN is nowhere but where it was put.
    let log = fs::read_to_string(ground.beside("server.log")).unwrap();
    assert!(!log.contains(SoftHsm::PIN) && log.contains(ROOT_CHECK), "{log}");
}

#[test]
fn a_key_that_a_token_drew_is_a_root_key() {
    let mut ground = Ground::new(Store::Sqlite, &token_settings("drawn"));
    ground.module = Some(SoftHsm::with_token("mayfly"));
    ground.write("pin", SoftHsm::PIN);
    let check = ground.check_value(&["keys", "generate"]);
    assert_eq!(ground.check_value(&["keys", "check"]), check);
    assert_eq!(ground.check_value(&["init"]), check);
    let server = ground.serve();
    let card = ground.furnish();
    server.stop();
    let server = ground.serve();
    ground.buy(&card);
    server.stop();
}

fn standings(versions: &Value) -> Vec<(u64, String)> {
    let items = versions["items"].as_array().unwrap().iter();
    items
        .map(|item| (item["version"].as_u64().unwrap(), item["standing"].as_str().unwrap().to_owned()))
        .collect()
}

fn expected(standings: &[(u64, &str)]) -> Vec<(u64, String)> {
    standings.iter().map(|(version, standing)| (*version, (*standing).to_owned())).collect()
}

/// A new version comes while the server runs, an old one is retired, and what is retired is refused.
fn versions_are_rotated_and_retired_while_the_server_runs(store: Store) {
    let ground = Ground::new(store, "");
    let root = ground.check_value(&["init"]);
    let server = ground.serve();
    let card = ground.furnish();
    let listed = ground.json(&["keys", "list"]);
    assert_eq!(standings(&listed), expected(&[(1, "current")]));
    assert_eq!((&listed["items"][0]["check_value"], &listed["items"][0]["cards"]), (&root.into(), &0.into()));
    ground.run(&["keys", "rotate"]).fails(1, "keys.card_keys");
    ground.run(&["keys", "retire", "1"]).fails(1, "the current one");

    // Version 2 is another file; 3 is to be the root key again, which it must not be.
    let two = "{ version = 2, root_key_file = \"cards-2.key\" }";
    let three = "{ version = 3, root_key_file = \"root.key\" }";
    ground.configure(&format!("card_keys = [{two}, {three}]"));
    ground.run(&["keys", "rotate"]).fails(3, "key version 2");
    let second = ground.check_value(&["keys", "generate", "--card-version", "2"]);
    assert_eq!(ground.check_value(&["keys", "check", "--card-version", "2"]), second);
    assert_eq!(
        ground.check_value(&["keys", "check", "--card-version", "1"]),
        ground.check_value(&["keys", "check"])
    );
    let rotated = ground.json(&["keys", "rotate"]);
    assert_eq!(standings(&rotated), expected(&[(1, "accepted"), (2, "current")]));
    assert_eq!(rotated["items"][1]["check_value"], second.as_str());
    ground.buy(&card);
    ground.run(&["keys", "rotate"]).fails(1, "version 1 has the same key");

    // A card has version 1 still.
    let add = "INSERT INTO conversions (number, issuer, account, programme, key_version, card, created_ms)
        VALUES (5, 1, 1, 1, 1, CARD, 0)";
    ground.directory(&add.replace("CARD", if ground.database.is_some() { "''::bytea" } else { "x''" }));
    assert_eq!(ground.json(&["keys", "list"])["items"][0]["cards"], 1);
    ground.run(&["keys", "retire", "1"]).fails(1, "1 cards still have key version 1");
    let retired = ground.json(&["keys", "retire", "1", "--force"]);
    assert_eq!(standings(&retired), expected(&[(1, "retired"), (2, "current")]));
    let table = ground.run(&["keys", "list"]).ok();
    assert!(table.contains("retired 20") && table.contains(&second), "{table}");
    ground.run(&["keys", "retire", "1"]).fails(1, "is retired");
    ground.run(&["keys", "retire", "2"]).fails(1, "the current one");
    ground.run(&["keys", "retire", "9"]).fails(1, "no key version 9");
    // Not even under another number.
    ground.run(&["keys", "rotate"]).fails(1, "version 1 has the same key");
    // Nobody can open what no card's row is: it would end the next start.
    ground.directory("DELETE FROM conversions");
    // The root key goes on finding numbers: only cards' keys have versions.
    ground.buy(&card);
    server.stop();

    // Every version that counts is there at a start, and is the right one.
    ground.configure("");
    ground.run(&["serve"]).fails(3, "key version 2 of the cards counts");
    ground.configure("card_keys = [{ version = 2, root_key_file = \"root.key\" }]");
    ground.run(&["serve"]).fails(3, "key version 2 was made with the root key of check value");
    ground.configure("card_keys = [{ version = 2, root_key_file = \"nowhere.key\" }]");
    ground.run(&["serve"]).fails(3, "nowhere.key");
    ground.configure(&format!("card_keys = [{two}]"));
    let server = ground.serve();
    assert_eq!(standings(&ground.json(&["keys", "list"])), expected(&[(1, "retired"), (2, "current")]));
    ground.buy(&card);
    server.stop();
}

/// Whoever stands by finds out when it is started, and not when it is needed.
#[test]
fn a_standby_that_lacks_a_version_does_not_stand_by() {
    let database = TestDatabase::create();
    let mut first = Gateway::new(&database.url(), None);
    let mut second = Gateway::new(&database.url(), Some(&first));
    first.start();
    first.await_active();
    let keys = "[keys]\ncard_keys = [{ version = 2, root_key_file = \"cards-2.key\" }]\n";
    first.home.configure_more(keys);
    first.home.json(["keys", "generate", "--card-version", "2"]);
    first.home.json(["keys", "rotate"]);
    let said = second.home.refused();
    assert!(said.contains("key version 2 of the cards counts"), "{said}");
    second.home.configure_more(keys);
    fs::copy(first.home.file("cards-2.key"), second.home.file("cards-2.key")).unwrap();
    second.start();
    second.await_standby();
    // Where a version is that comes while it stands by, it reads when it takes over.
    let more = "[[keys.card_keys]]\nversion = 3\nroot_key_file = \"cards-3.key\"\n";
    for home in [&first.home, &second.home] {
        let config = fs::read_to_string(home.file("mayfly.toml")).unwrap();
        let listed = keys.replace("[keys]\ncard_keys = [{ ", "[[keys.card_keys]]\n").replace(" }]", "");
        let listed = listed.replace(", ", "\n");
        fs::write(home.file("mayfly.toml"), config.replace(keys, &listed) + more).unwrap();
    }
    first.home.json(["keys", "generate", "--card-version", "3"]);
    fs::copy(first.home.file("cards-3.key"), second.home.file("cards-3.key")).unwrap();
    first.home.json(["keys", "rotate"]);
    first.stop();
    second.await_active();
    let listed = second.home.json(["keys", "list"]);
    assert_eq!(standings(&listed), expected(&[(1, "accepted"), (2, "accepted"), (3, "current")]));
    second.stop();
}
