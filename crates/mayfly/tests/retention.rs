//! A journal of long ago is archived and cut while traffic flows, and everything is as it was.
//!
//! A server's clock can't be set. So what a server wrote is written again, at times of two months ago, through the store's
//! own interface; then a server is started on it.

#![allow(clippy::unwrap_used, reason = "a test that can't go on should panic")]
#![allow(clippy::print_stdout, reason = "the harness says its seed")]

#[path = "retention/ageing.rs"]
mod ageing;
mod harness;

use std::fs;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use ageing::DAY_MS;
use harness::{Admin, Card, Home, Kind, Message, Peer, Server, until};
use mayfly_testing::{Store, on_both};
use serde_json::{Value, json};

/// How many single-use numbers are bought with, and cards of many uses with which traffic flows.
const PURCHASES: u32 = 60;
const CARDS: usize = 4;

on_both! {
    old_records_are_archived_while_traffic_flows
    retention_is_refused_where_it_would_do_harm
}

fn message(kind: Kind, card: &Arc<Card>, stan: u32, amount: u64) -> Message {
    Message { kind, card: card.clone(), amount, stan, rrn: format!("R{stan:011}"), original: None }
}

fn approved(peer: &mut Peer, message: &Message) {
    let answer = peer.ask(message).unwrap();
    assert!(answer.approved(), "{message:?}: {answer:?}");
}

fn issue(admin: &mut Admin, account: &str, uses: u32) -> Arc<Card> {
    Arc::new(admin.issue(account, uses).unwrap().unwrap())
}

/// Of a metric, without labels.
fn metric(home: &Home, name: &str) -> f64 {
    let run: Value = serde_json::from_slice(&fs::read(home.file("run.json")).unwrap()).unwrap();
    let address = run["addresses"]["admin_http"].as_str().unwrap().to_owned();
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    stream.write_all(b"GET /metrics HTTP/1.0\r\nHost: x\r\n\r\n").unwrap();
    let page = std::io::read_to_string(stream).unwrap();
    let line = page.lines().find(|line| line.split(' ').next() == Some(name));
    line.unwrap_or_else(|| panic!("{name} is not in {page}")).split(' ').nth(1).unwrap().parse().unwrap()
}

fn old_records_are_archived_while_traffic_flows(store: Store) {
    let home = Home::new(store);
    let server = home.start();
    let mut admin = server.admin();
    let issuer = admin.open_issuer("Retention", "456940");
    let account = admin.open_account(&issuer, 999_999_999);
    let cards: Vec<_> = (0..CARDS).map(|_| issue(&mut admin, &account, 100)).collect();
    let mut peer = server.connect();
    let mut stan = 0;
    // Bought and captured at once: over. The numbers are used up, and in quarantine.
    let mut used = Vec::new();
    for _ in 0..PURCHASES {
        let card = issue(&mut admin, &account, 1);
        stan += 1;
        approved(&mut peer, &message(Kind::Financial, &card, stan, 1000));
        used.push(card);
    }
    // Held: not over.
    let held = issue(&mut admin, &account, 1);
    stan += 1;
    approved(&mut peer, &message(Kind::Purchase, &held, stan, 700));
    let money = admin.money(&account);
    assert_eq!(money, (-i64::from(PURCHASES) * 1000 - 700, 700));
    server.stop();
    let aged = ageing::age(&home, home.database(), 60, || DAY_MS / 24);
    let (old, records, aged_ms) = (aged.times_ms.len() as u64, aged.records, aged.times_ms[0]);
    assert!(old > 100, "{old}");

    home.configure_more("[retention]\njournal_days = 30\nviews_days = 30\n");
    let server = home.start();
    let mut admin = server.admin();
    assert_eq!(admin.money(&account), money);
    // By its own time the journal is not old yet: nothing was written since then.
    let shown = home.json(["retention", "show"]);
    assert_eq!((shown["first_entry"].as_u64(), shown["entries"].as_u64()), (Some(1), Some(0)));
    assert!(shown["oldest"].is_string(), "{shown}");

    let (over, bought) = (AtomicBool::new(false), AtomicU64::new(0));
    let ran = std::thread::scope(|scope| {
        for (at, card) in cards.iter().enumerate() {
            let (over, bought, mut peer) = (&over, &bought, server.connect());
            scope.spawn(move || {
                for round in 0..90 {
                    if over.load(Ordering::Acquire) {
                        break;
                    }
                    approved(
                        &mut peer,
                        &message(Kind::Financial, card, 100_000 + at as u32 * 1000 + round, 5),
                    );
                    bought.fetch_add(1, Ordering::AcqRel);
                    std::thread::sleep(std::time::Duration::from_millis(20));
                }
            });
        }
        until("traffic", || (bought.load(Ordering::Acquire) > 8).then_some(()));
        until("what is old to be folded", || {
            let shown = home.json(["retention", "show"]);
            (shown["entries"].as_u64() == Some(old)).then_some(())
        });
        let ran = home.json(["retention", "run"]);
        let during = bought.load(Ordering::Acquire);
        until("more traffic", || (bought.load(Ordering::Acquire) > during + 4).then_some(()));
        over.store(true, Ordering::Release);
        ran
    });
    let last = &ran["last"];
    assert_eq!((last["records"].as_u64(), last["error"].is_null()), (Some(records), true), "{ran}");
    // One for each day.
    assert!(last["files"].as_u64().unwrap() >= old / 24, "{ran}");
    // All but what is held.
    assert_eq!(last["transactions"].as_u64(), Some(u64::from(PURCHASES)), "{ran}");
    // In quarantine, each of them.
    assert_eq!(last["numbers"].as_u64(), Some(0), "{ran}");
    let spent = bought.load(Ordering::Acquire) as i64 * 5;
    let now = (money.0 - spent, money.1);
    assert_eq!(admin.money(&account), now);
    for card in used.iter().chain([&held]) {
        let shown = admin.must(json!({ "show-number": { "number": card.id } }));
        assert_eq!(shown["state"], "used", "{shown}");
    }
    let oldest_ms = metric(&home, "mayfly_journal_oldest_timestamp_seconds") * 1e3;
    assert!(oldest_ms > (aged_ms + 60 * DAY_MS) as f64 - 1.0, "{oldest_ms} {aged_ms}");
    assert_eq!(metric(&home, "mayfly_archived_records_total"), records as f64);
    assert!(metric(&home, "mayfly_archive_last_timestamp_seconds") > 1e9);
    assert_eq!(metric(&home, "mayfly_retention_failures_total"), 0.0);
    assert_eq!(metric(&home, "mayfly_retention_held_entries"), 0.0);
    // One that memory still has is refunded; what that changes of the purchase is in no table any more, all the rest is.
    let refund = |server: &Server, stan: u32, of: usize| {
        let mut refund = message(Kind::Refund, &used[of], stan, 1000);
        refund.rrn = format!("R{:011}", of + 1);
        server.connect().ask(&refund).unwrap().code
    };
    assert_eq!(refund(&server, 900_001, 0), "00");
    let now = (now.0 + 1000, now.1);
    assert_eq!(admin.money(&account), now);

    // Journal and archive are one chain, beside the server and after it.
    let verified = home.json(["journal", "verify"]);
    assert_eq!(
        (verified["first"].as_u64(), verified["archived"].as_u64()),
        (Some(1), Some(old)),
        "{verified}"
    );
    let alone = home.json(["journal", "verify", "--no-archive"]);
    assert_eq!(alone["first"].as_u64(), Some(old + 1));
    assert_eq!(alone["head"], verified["head"]);
    let first = home.cli(["journal", "read", "--to", "1"]);
    assert!(String::from_utf8_lossy(&first.stdout).contains("Retention"), "{first:?}");
    server.stop();
    home.verify();
    // What is neither in memory nor in the views can't be taken back.
    let server = home.start();
    assert_eq!(refund(&server, 900_002, 1), "12");
    assert_eq!(server.admin().money(&account), now);
    server.stop();
    home.verify();

    // The archive by itself, where there is no installation.
    let archive = home.file("archive");
    let elsewhere = home.beside("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    let mut files: Vec<_> = fs::read_dir(&archive).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    for file in &files {
        fs::copy(file, elsewhere.join(file.file_name().unwrap())).unwrap();
    }
    let mayfly = |words: &[&str]| {
        let mut command = harness::mayfly();
        let output = command.args(["--json", "--data-dir", "/nonexistent"]).args(words).output().unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap(),
        )
    };
    let whole = elsewhere.to_str().unwrap();
    let (code, said) = mayfly(&["journal", "verify", "--archive", whole]);
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((code, said["entries"].as_u64()), (Some(0), Some(old)), "{said}");
    let (code, said) = mayfly(&["journal", "list", "--archive", whole]);
    assert_eq!(code, Some(0), "{said}");
    let (code, said) = mayfly(&["journal", "read", "--archive", whole, "--from", "2", "--to", "2"]);
    assert!(code == Some(0) && said.contains("programme"), "{said}");
    let second = elsewhere.join(files[1].file_name().unwrap());
    let bytes = fs::read(&second).unwrap();
    fs::remove_file(&second).unwrap();
    let (code, said) = mayfly(&["journal", "verify", "--archive", whole]);
    assert!(code == Some(1) && said.contains("does not follow"), "{said}");
    let mut altered = bytes;
    let at = altered.len() - 5;
    altered[at] ^= 1;
    fs::write(&second, altered).unwrap();
    let (code, said) = mayfly(&["journal", "verify", "--archive", whole]);
    assert!(code == Some(1) && said.contains("altered"), "{said}");

    // What can't be read is named with the file that it is in: a record that says it has more events than it has.
    let whole = fs::read(&files[1]).unwrap();
    let partitions = usize::from(u16::from_be_bytes([whole[16], whole[17]]));
    // Behind the header and the record's own partition and time.
    let count = 16 + 2 + 24 + 96 * partitions + 32 + 2 + 2 + 8;
    let mut altered = whole.clone();
    altered[count + 3] += 1;
    fs::write(&files[1], altered).unwrap();
    let said = home.cli(["journal", "read"]);
    let why = String::from_utf8_lossy(&said.stderr);
    assert!(why.contains("not as many events") && why.contains(files[1].to_str().unwrap()), "{why}");
    assert_eq!(said.status.code(), Some(1));
    fs::write(&files[1], whole).unwrap();

    // Views can be thrown away, as long as the archive is there.
    match home.database() {
        Some(database) => drop(database.psql("DROP SCHEMA mayfly_views CASCADE")),
        None => ["", "-wal", "-shm"]
            .iter()
            .for_each(|suffix| drop(fs::remove_file(home.file(&format!("views.db{suffix}"))))),
    }
    let aside = home.beside("aside");
    fs::rename(&files[1], &aside).unwrap();
    let said = home.refused();
    assert!(said.contains(files[1].to_str().unwrap()) && said.contains("missing"), "{said}");
    let said = home.cli(["journal", "verify"]);
    assert!(
        said.status.code() == Some(1) && String::from_utf8_lossy(&said.stderr).contains("missing"),
        "{said:?}"
    );
    let listed = home.json(["journal", "list"]);
    assert_eq!(
        (listed["items"][0]["missing"].as_bool(), listed["items"][1]["missing"].as_bool()),
        (Some(false), Some(true))
    );
    fs::rename(&aside, &files[1]).unwrap();
    let server = home.start();
    assert_eq!(server.admin().money(&account), now);
    // It heeds signals from when it serves, which is a moment later.
    until("the server to serve", || server.log().contains("serving admin_socket").then_some(()));
    home.json(["status"]);
    server.stop();
    home.verify();
}

/// What an operator asks for is bounded by what is needed; so is the configuration.
fn retention_is_refused_where_it_would_do_harm(store: Store) {
    let home = Home::new(store);
    let server = home.start();
    let mut admin = server.admin();
    let issuer = admin.open_issuer("Retention", "456940");
    admin.open_account(&issuer, 100);
    for words in [&["retention", "show"], &["retention", "run"]] {
        let said = home.cli(words.iter().copied().chain(["--journal-before", "2200-01-01T00:00:00Z"]));
        assert_eq!(said.status.code(), Some(1), "{said:?}");
        assert!(String::from_utf8_lossy(&said.stderr).contains("is still needed"), "{said:?}");
    }
    // Nothing is as old as that.
    let ran = home.json([
        "retention",
        "run",
        "--journal-before",
        "2000-01-01T00:00:00Z",
        "--views-before",
        "2000-01-01T00:00:00Z",
    ]);
    assert_eq!(ran["last"]["records"].as_u64(), Some(0), "{ran}");
    let shown = home.json(["retention", "show"]);
    assert!(shown["journal_before"].is_null() && shown["views_before"].is_null(), "{shown}");
    assert!(!home.file("archive").exists());
    server.stop();
    let configured = fs::read_to_string(home.file("mayfly.toml")).unwrap();
    for (more, says) in [
        ("journal_days = 1", "set it to 2 or more"),
        ("views_days = 100", "retention.journal_days or more"),
        ("journal_days = 100\nviews_days = 99", "retention.journal_days or more"),
        ("journal_days = 2\nviews_days = 2", "engine.remember_h"),
        ("archive_dir = \"\"", "is empty"),
    ] {
        fs::write(home.file("mayfly.toml"), format!("{configured}[retention]\n{more}\n")).unwrap();
        let said = home.refused();
        assert!(said.contains(says), "{more}: {said}");
    }
    // A place that can't be written is found out at the start, too.
    fs::write(home.beside("file"), "").unwrap();
    let more =
        format!("[retention]\njournal_days = 2\narchive_dir = {:?}\n", home.beside("file").join("archive"));
    fs::write(home.file("mayfly.toml"), configured + &more).unwrap();
    let said = home.refused();
    assert!(said.contains("archive"), "{said}");
}
