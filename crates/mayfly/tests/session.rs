//! A day with the command line: a server of its own in a child process, and everything through its commands.

#![allow(clippy::unwrap_used, reason = "a test that can't go on should panic")]

mod common;

use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use common::{Ran, command, mayfly, mayfly_in, mayfly_with};
use mayfly_testing::{Store, TestDatabase, on_both};
use serde_json::Value;

/// A server in a directory, stopped when dropped.
struct Server {
    child: Child,
    dir: tempfile::TempDir,
    database: Option<TestDatabase>,
}

const CONFIG: &str = r#"
[iso8583]
listeners = [
    { address = "127.0.0.1:0", dialect = "ascii87" },
    { address = "127.0.0.1:0", dialect = "binary87" },
]

[admin]
http_address = "127.0.0.1:0"

[api]
address = "127.0.0.1:0"
"#;

impl Server {
    fn start(store: Store) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("data");
        let database = store.database();
        let (mut init, mut config) = (vec!["init", data.to_str().unwrap()], CONFIG.to_owned());
        let url = database.as_ref().map(TestDatabase::url);
        if let Some(url) = &url {
            init.extend(["--database", url]);
            config.push_str(&format!("\n[database]\nurl = \"{url}\"\n"));
        }
        mayfly(&init).ok();
        std::fs::write(data.join("mayfly.toml"), config).unwrap();
        Self { child: serve(&data), dir, database }
    }

    fn data(&self) -> std::path::PathBuf {
        self.dir.path().join("data")
    }

    #[track_caller]
    fn run(&self, words: &[&str]) -> Ran {
        mayfly_in(&self.data(), words)
    }

    #[track_caller]
    fn json(&self, words: &[&str]) -> Value {
        self.run(&[&["--json"], words].concat()).json()
    }

    /// Sends a message with a card from standard input.
    fn send(&self, card: &Value, words: &[&str]) -> Ran {
        let mut command = command(&[&["--json", "send", "--card", "-"], words].concat());
        command.env("MAYFLY_DIR", self.data());
        mayfly_with(card.to_string().as_bytes(), command)
    }

    /// SIGTERM, and what the process comes to.
    fn stop(&mut self) -> Option<i32> {
        let pid = self.child.id().to_string();
        assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It has ended already where the test got so far.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn serve(data: &Path) -> Child {
    let mut child = command(&["serve"])
        .env("MAYFLY_DIR", data)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while mayfly_in(data, &["status"]).code != 0 {
        assert!(child.try_wait().unwrap().is_none(), "the server ended");
        assert!(begun.elapsed() < Duration::from_secs(30), "the server is not ready");
        std::thread::sleep(Duration::from_millis(50));
    }
    child
}

/// An issuer, a programme and a prepaid account with 100.00.
fn furnish(server: &Server) {
    assert_eq!(server.json(&["issuer", "open", "Acme Bank"])["id"], "iss_1");
    let programme = ["programme", "open", "Shopping", "--issuer", "iss_1", "--prefix", "456940"];
    assert_eq!(server.json(&programme)["terms"]["lifetime_s"], 900);
    assert_eq!(server.json(&["account", "open", "--issuer", "iss_1", "--currency", "USD"])["id"], "acct_1");
    assert_eq!(server.json(&["account", "fund", "acct_1", "100"])["balance"]["minor"], 10_000);
}

on_both! {
    a_number_from_its_issue_to_its_refund
    a_repeat_is_the_same_answer_and_an_increment_is_more
    limits_blocks_and_cancellation
    the_journal_is_read_and_verified_beside_the_server_and_after_it
    an_altered_journal_is_found
    keys_for_the_api
    cards_of_the_check_site
}

fn a_number_from_its_issue_to_its_refund(store: Store) {
    let mut server = Server::start(store);
    furnish(&server);
    let card = server.json(&["number", "issue", "--account", "acct_1"]);
    let number = card["number"].as_str().unwrap();
    assert!(number.starts_with("456940") && number.len() == 16);

    let bought =
        server.send(&card, &["--amount", "24.98", "--rrn", "R1", "--stan", "1", "--expect", "00"]).json();
    assert_eq!(bought["response_code"], "00");
    assert!(!bought.to_string().contains(number));
    let again = server.send(&card, &["--amount", "24.98", "--expect", "00"]);
    assert_eq!(again.code, 1);
    assert!(again.stderr.contains("expected 00 approved, and got 05 declined"), "{again:?}");
    server.send(&card, &["--type", "completion", "--amount", "20", "--rrn", "R1", "--expect", "00"]).ok();
    server
        .send(
            &card,
            &[
                "--type",
                "reversal",
                "--amount",
                "24.98",
                "--rrn",
                "R1",
                "--original-stan",
                "1",
                "--expect",
                "00",
            ],
        )
        .ok();
    server.send(&card, &["--type", "refund", "--amount", "5", "--expect", "00"]).ok();

    let account = server.json(&["account", "show", "acct_1"]);
    assert_eq!((&account["balance"]["minor"], &account["held"]["minor"]), (&8_500.into(), &0.into()));
    let id = card["id"].as_str().unwrap();
    let shown = server.run(&["number", "show", id]).ok();
    assert!(shown.contains("456940******") && shown.contains("used") && !shown.contains(number), "{shown}");
    let list = server.json(&["transaction", "list", "--account", "acct_1"]);
    let kinds: Vec<&str> =
        list["items"].as_array().unwrap().iter().map(|one| one["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["refund", "reversal", "completion", "purchase", "funding"]);
    let last = list["items"][0]["id"].as_str().unwrap();
    let shown = server.run(&["transaction", "show", last]).ok();
    assert!(shown.contains("in the books") && shown.contains("5.00 USD"), "{shown}");
    assert_eq!(server.stop(), Some(0));
}

fn a_repeat_is_the_same_answer_and_an_increment_is_more(store: Store) {
    let server = Server::start(store);
    furnish(&server);
    let card = server.json(&["number", "issue", "--account", "acct_1"]);
    let held = || server.json(&["account", "show", "acct_1"])["held"]["minor"].as_i64().unwrap();
    let purchase = ["--amount", "10", "--rrn", "R2", "--stan", "2", "--at", "0601120000", "--expect", "00"];
    let first = server.send(&card, &purchase).json();
    let again = server.send(&card, &[&purchase[..], &["--repeat"]].concat()).json();
    assert_eq!(again["request"]["mti"], "0101");
    let approval = |sent: &Value| {
        let elements = sent["answer"]["elements"].as_array().unwrap();
        elements.iter().find(|element| element["de"] == 38).unwrap()["value"].clone()
    };
    assert_eq!(approval(&first), approval(&again));
    assert_eq!(held(), 1_000);
    let more = ["--type", "increment", "--rrn", "R2", "--expect", "00"];
    server.send(&card, &[&more[..], &["--amount", "5", "--original-stan", "2"]].concat()).ok();
    let code = approval(&first);
    server.send(&card, &[&more[..], &["--amount", "2", "--approval", code.as_str().unwrap()]].concat()).ok();
    assert_eq!(held(), 1_700);
    let part =
        ["--type", "reversal", "--amount", "10", "--remaining", "4", "--rrn", "R2", "--original-stan", "2"];
    server.send(&card, &[&part[..], &["--expect", "00"]].concat()).ok();
    assert_eq!(held(), 1_100);
    for kind in ["echo", "sign-on", "sign-off"] {
        server.run(&["send", "--type", kind, "--dialect", "binary87", "--expect", "00"]).ok();
    }
}

fn limits_blocks_and_cancellation(store: Store) {
    let server = Server::start(store);
    furnish(&server);
    server.run(&["issuer", "open", "Acme Bank"]).fails(1, "that name is taken");
    server.run(&["issuer", "show", "iss_9"]).fails(1, "there is no issuer iss_9");
    server.run(&["account", "fund", "acct_1", "-200"]).fails(1, "less than that");
    server.run(&["account", "fund", "acct_1", "1,00"]).fails(2, "write 24.98");
    server.run(&["number", "issue", "--account", "acct_1", "--lifetime", "9d"]).fails(1, "seconds");
    server.run(&["account", "limit", "acct_1"]).fails(2, "--prepaid, or --credit");
    let credit = server.json(&["account", "limit", "acct_1", "--credit", "50"]);
    assert_eq!(credit["available"]["minor"], 15_000);

    let issue = [
        "number",
        "issue",
        "--account",
        "acct_1",
        "--uses",
        "3",
        "--amount-max",
        "30",
        "--merchant",
        "SHOP-1",
    ];
    let card = server.json(&issue);
    let id = card["id"].as_str().unwrap();
    let buys = |amount, merchant, code| {
        server.send(&card, &["--amount", amount, "--merchant", merchant, "--expect", code]).ok()
    };
    buys("30.01", "SHOP-1", "61");
    buys("30", "SHOP-2", "05");
    buys("30", "SHOP-1", "00");
    let blocked = server.run(&["account", "block", "acct_1", "card-not-present"]).ok();
    assert!(blocked.contains("card-not-present"));
    buys("1", "SHOP-1", "57");
    server.run(&["account", "unblock", "acct_1", "card-not-present"]).ok();
    assert_eq!(server.json(&["number", "cancel", id])["state"], "cancelled");
    buys("1", "SHOP-1", "05");
    server.run(&["number", "cancel", id]).fails(1, id);
    assert_eq!(
        server.json(&["number", "list", "--account", "acct_1", "--state", "active"])["items"],
        Value::Array(vec![])
    );
    let table = server.run(&["number", "list", "--account", "acct_1"]).ok();
    assert!(table.starts_with("number") && table.contains("cancelled"), "{table}");
}

fn the_journal_is_read_and_verified_beside_the_server_and_after_it(store: Store) {
    let mut server = Server::start(store);
    furnish(&server);
    let card = server.json(&["number", "issue", "--account", "acct_1"]);
    server.send(&card, &["--amount", "9.99", "--dialect", "binary87", "--expect", "00"]).ok();
    let text = server.run(&["journal", "read"]).ok();
    for words in [
        "issuer iss_1 opened: Acme Bank",
        "funding of 100.00 USD",
        "purchase (0100) of 9.99 USD at MERCHANT-1: 00 approved",
    ] {
        assert!(text.contains(words), "`{words}` is not in:\n{text}");
    }
    let lines = server.run(&["--json", "journal", "read", "--from", "2", "--to", "3"]).ok();
    let events: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events.iter().map(|event| event["entry"].as_u64().unwrap()).collect::<Vec<_>>(), [2, 3]);
    let verified = server.json(&["journal", "verify"]);
    assert_eq!(verified["ok"], true);
    let status = server.json(&["status"]);
    assert_eq!(status["durable"], verified["entries"]);

    let second = server.run(&["serve"]);
    second.fails(3, "in use by another process");
    assert_eq!(server.stop(), Some(0));
    assert_eq!(server.json(&["journal", "verify", "--views"])["views"], "same");
    server.run(&["status"]).fails(3, "no server listens");

    // It all is there again, and the number is still used.
    server.child = serve(&server.data());
    server.send(&card, &["--amount", "9.99", "--expect", "05"]).ok();
    assert_eq!(server.stop(), Some(0));
}

fn an_altered_journal_is_found(store: Store) {
    let mut server = Server::start(store);
    furnish(&server);
    assert_eq!(server.stop(), Some(0));
    // The name of an issuer, which is the first thing in it.
    match &server.database {
        Some(database) => drop(database.psql(
            "UPDATE mayfly_journal.journal SET payload = set_byte(
                payload, position('Acme'::bytea IN payload) - 1, ascii('a')) WHERE sequence = 1",
        )),
        None => {
            let journal = rusqlite::Connection::open(server.data().join("journal.db")).unwrap();
            let read = "SELECT payload FROM journal WHERE sequence = 1";
            let mut payload: Vec<u8> = journal.query_row(read, (), |row| row.get(0)).unwrap();
            let at = payload.windows(4).position(|window| window == b"Acme").unwrap();
            payload[at] = b'a';
            journal.execute("UPDATE journal SET payload = ? WHERE sequence = 1", [payload]).unwrap();
        }
    }
    server.run(&["journal", "verify"]).fails(1, "record 1 of");
    assert!(
        server.run(&["journal", "read"]).ok().contains("acme Bank"),
        "it is not hidden what stands there"
    );
}

#[test]
fn init_and_serve_say_what_is_wrong() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let text = data.to_str().unwrap();
    mayfly_in(&data, &["serve"]).fails(3, "mayfly init");
    mayfly(&["init", text]).ok();
    mayfly(&["init", text]).fails(1, text);
    let printed = mayfly_in(&data, &["serve", "--print-config"]).ok();
    assert!(printed.contains("[iso8583]") && printed.contains("answer_timeout_ms = 25000"), "{printed}");
    std::fs::write(data.join("mayfly.toml"), "[iso8583]\nconections_max = 5\n").unwrap();
    let error = mayfly_in(&data, &["serve"]).fails(2, "connections_max");
    assert!(error.contains("line 2"), "{error}");
}

/// Keys for the HTTP API are made, listed, rotated and revoked, and shown once.
fn keys_for_the_api(store: Store) {
    let server = Server::start(store);
    let run = |words: &[&str]| server.run(&[&["--json"], words].concat());
    run(&["issuer", "open", "Acme"]).ok();
    // What is paid out is shown as such.
    run(&["account", "open", "--issuer", "iss_1", "--currency", "USD"]).ok();
    run(&["account", "fund", "acct_1", "10"]).ok();
    run(&["account", "fund", "acct_1", "--", "-4"]).ok();
    let listed = run(&["transaction", "list", "--account", "acct_1"]).json();
    assert_eq!(listed["items"][0]["amount"]["minor"], -400);
    assert_eq!(listed["items"][1]["amount"]["minor"], 1000);
    let made =
        run(&["key", "create", "Our shop", "--role", "issuer", "--issuer", "iss_1", "--days", "30"]).json();
    let secret = made["token"].as_str().unwrap().to_owned();
    assert!(secret.starts_with("mfk_") && secret.len() == 47, "{secret}");
    let rotated = run(&["key", "rotate", "key_1", "--issuer", "iss_1", "--overlap", "5"]).json();
    assert_ne!(rotated["token"], made["token"]);
    run(&["key", "revoke", "key_2", "--issuer", "iss_1"]).ok();
    let listed = run(&["key", "list", "--issuer", "iss_1"]).json();
    assert_eq!(listed["items"][0]["replaced_by"], "key_2");
    assert!(listed["items"][1]["revoked"].is_string());
    assert!(!listed.to_string().contains(&secret));
    // Another issuer's key, and one for nobody.
    assert_eq!(run(&["key", "revoke", "key_1"]).code, 1);
    assert_eq!(run(&["key", "create", "X", "--role", "auditor"]).code, 2);
    assert_eq!(run(&["key", "create", "X", "--role", "operator", "--issuer", "iss_1"]).code, 2);
    assert_eq!(run(&["key", "create", "X", "--role", "issuer", "--issuer", "iss_9"]).code, 1);
}

/// A programme of cards, a card whose own number is on no command line, and what an operator does with it.
fn cards_of_the_check_site(store: Store) {
    let mut server = Server::start(store);
    furnish(&server);
    let open = ["programme", "open", "Cards", "--issuer", "iss_1", "--prefix", "540001"];
    let terms =
        ["--check-site", "pseudo", "--processes", "0,2", "--etsn-lifetime", "10m", "--lock-after", "2"];
    let programme = server.json(&[&open[..], &terms].concat());
    let check_site = &programme["terms"]["check_site"];
    assert_eq!(check_site["processes"], serde_json::json!([0, 2]));
    assert_eq!((&check_site["months"], &check_site["etsn_lifetime_s"]), (&96.into(), &600.into()));
    assert_eq!(programme["terms"]["lifetime_max_s"], 3660 * 86_400);
    let shown = server.run(&["programme", "show", "prog_2"]).ok();
    assert!(shown.contains("pseudo numbers") && shown.contains("2 failed proofs"), "{shown}");
    for (wrong, saying) in [
        (&["--check-site", "pseudo", "--months", "11"][..], "months must be 12 to 120"),
        (&["--check-site", "pseudo", "--processes", "4"], "reserved"),
    ] {
        let words = ["programme", "open", "No", "--issuer", "iss_1", "--prefix", "540002"];
        server.run(&[&words[..], wrong].concat()).fails(1, saying);
    }
    let words = ["programme", "open", "No", "--issuer", "iss_1", "--prefix", "540002", "--months", "24"];
    server.run(&words).fails(2, "--check-site");

    let words =
        ["--json", "card", "enrol", "--account", "acct_1", "--programme", "prog_2", "--expiry", "12/29"];
    let enrol = |number: &str, more: &[&str]| {
        let mut command = command(&[&words[..], more].concat());
        command.env("MAYFLY_DIR", server.data());
        mayfly_with(number.as_bytes(), command)
    };
    let card = enrol("4569 4093 6011 0520\n", &[]).json();
    assert_eq!(
        (&card["kind"], &card["status"], &card["open_etsns"]),
        (&"pseudo".into(), &"active".into(), &0.into())
    );
    assert!(card["masked"].as_str().unwrap().starts_with("540001******"), "{card}");
    let id = card["id"].as_str().unwrap();
    let file = server.dir.path().join("number");
    std::fs::write(&file, "4569409360110520\n").unwrap();
    let other = enrol("", &["--number-file", file.to_str().unwrap(), "--process", "0"]).json();
    enrol("4569409360110521", &[]).fails(2, "check digit");
    enrol("4569409360110520", &["--process", "1"]).fails(1, "not enabled");
    enrol("4569409360110520", &["--process", "7"]).fails(2, "reserved");
    let listed = server.json(&["card", "list", "--account", "acct_1"]);
    let ids: Vec<&Value> = listed["items"].as_array().unwrap().iter().map(|card| &card["id"]).collect();
    assert_eq!(ids, [&other["id"], &card["id"]]);

    assert_eq!(server.json(&["card", "unlock", id])["status"], "active");
    assert_eq!(server.json(&["card", "close", id])["status"], "closed");
    server.run(&["card", "close", id]).fails(1, "no active number");
    server.run(&["card", "show", "num_99"]).fails(1, "no number");
    server.run(&["number", "issue", "--account", "acct_1", "--programme", "prog_2"]).fails(1, "enrol a card");

    // They are there after a restart.
    assert_eq!(server.stop(), Some(0));
    server.child = serve(&server.data());
    let shown = server.run(&["card", "show", other["id"].as_str().unwrap()]).ok();
    assert!(shown.contains("active") && !shown.contains("4569409360110520"), "{shown}");
    assert_eq!(server.json(&["card", "show", id])["status"], "closed");
    assert_eq!(server.stop(), Some(0));
}
