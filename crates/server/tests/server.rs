//! Starting, watching and stopping, on real directories.
#![allow(clippy::unwrap_used, reason = "tests may unwrap")]

mod common;

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::{Duration, Instant};

use common::{Installation, Running, config, page, purchase, receive, send, settings};
use mayfly_core::PartitionId;
use mayfly_engine::{AppendError, Entry, Journal, Record};
use mayfly_keys::{OsRandom, RootKey, file};
use mayfly_server::config::CONFIG_FILE;
use mayfly_server::directory::{DirectoryError, Run};
use mayfly_server::protocol::{AdminRequest, NumberControls, Text};
use mayfly_server::{Cause, InitError, KEY_CHECK_FILE, Phase, Server, SocketError, StartError, init};
use mayfly_store::{JOURNAL_FILE, StoreError, StoredJournal};
use mayfly_testing::{Store, on_both};

on_both! {
    what_runs_can_be_found_and_is_ready
    metrics_count_and_name_nobody
    a_second_server_is_told_who_has_the_directory
    a_taken_address_is_named_and_nothing_is_left_behind
    keys_and_directories_that_will_not_do
    a_stop_answers_what_is_under_way
    a_server_that_cant_write_its_journal_stops_and_says_so
}

fn start_error(data: &Installation) -> StartError {
    Server::start(data.settings("")).map(drop).unwrap_err()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o7777
}

#[test]
fn init_makes_everything_once() {
    let above = tempfile::tempdir().unwrap();
    let data_dir = above.path().join("data");
    let made = init(&config(&data_dir, ""), None, &mut OsRandom).unwrap();
    assert_eq!(mode(&data_dir), 0o700);
    for (name, expected) in [("root.key", 0o600), (KEY_CHECK_FILE, 0o600), (CONFIG_FILE, 0o600)] {
        assert_eq!(mode(&data_dir.join(name)), expected, "{name}");
    }
    assert_eq!(made.config_file, Some(data_dir.join(CONFIG_FILE)));
    assert_eq!(file::read(made.root_key.file().unwrap()).unwrap().check_value(), made.check_value);
    mayfly_server::config::Settings::of_directory(&data_dir).unwrap();

    let key = fs::read(data_dir.join("root.key")).unwrap();
    let again = init(&config(&data_dir, ""), None, &mut OsRandom).unwrap_err();
    assert!(matches!(again, InitError::Exists(path) if path == data_dir.join("root.key")));
    for name in [JOURNAL_FILE, KEY_CHECK_FILE] {
        fs::rename(data_dir.join("root.key"), above.path().join("away")).unwrap();
        let other = data_dir.join(name);
        let error = init(&config(&data_dir, ""), None, &mut OsRandom).unwrap_err();
        assert!(matches!(error, InitError::Exists(_)), "{name}: {error}");
        assert!(!data_dir.join("root.key").exists() && other.exists());
        fs::rename(above.path().join("away"), data_dir.join("root.key")).unwrap();
    }
    assert_eq!(fs::read(data_dir.join("root.key")).unwrap(), key);
}

fn what_runs_can_be_found_and_is_ready(store: Store) {
    let mut running = Running::start(store);
    let directory = running.directory.path().to_owned();
    assert_eq!(mode(&running.socket()), 0o600);
    let run = Run::read(&directory).unwrap();
    assert_eq!(run.pid, std::process::id());
    assert_eq!(&run.addresses, running.server.as_ref().unwrap().addresses());
    assert_eq!(mode(&directory.join("run.json")), 0o600);
    assert_eq!(running.page("/health"), ("HTTP/1.1 200 OK".into(), "alive\n".into()));
    assert_eq!(running.page("/ready"), ("HTTP/1.1 200 OK".into(), "ready\n".into()));
    assert!(running.page("/").0.contains("404"));
    let status = running.status();
    assert!(status.ready && status.version == env!("CARGO_PKG_VERSION"));
    assert_eq!(status.addresses, run.addresses);
    let http = run.addresses.admin_http.unwrap();
    let directory = running.stop();
    assert!(Run::read(directory.path()).is_none());
    assert!(!directory.path().join("admin.sock").exists());
    assert!(std::net::TcpStream::connect(http).is_err());
}

fn metrics_count_and_name_nobody(store: Store) {
    let mut running = Running::start(store);
    running.furnished();
    let issued = running.issue(NumberControls::default(), None);
    let mut network = running.network();
    assert_eq!(send(&mut network, &purchase(&issued, "0100", 1, 100)), "00");
    running.number(&issued);
    let (head, text) = running.page("/metrics");
    assert_eq!(head, "HTTP/1.1 200 OK");
    for line in [
        "mayfly_ready 1.0",
        "mayfly_messages_total{mti=\"0100\"} 1",
        "mayfly_responses_total{code=\"00\"} 1",
        "mayfly_message_latency_seconds_count 1",
        "mayfly_message_latency_seconds_bucket{le=\"+Inf\"} 1",
        "mayfly_accounts 1.0",
        "mayfly_active_numbers 1.0",
        "mayfly_quarantined_numbers 0.0",
        "mayfly_transactions_in_memory 2.0",
        "mayfly_views_lag_entries 0.0",
        "mayfly_queue_commands 0.0",
        "mayfly_connections 1.0",
        "mayfly_holds_released_total 0",
        "# EOF",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
    }
    for name in
        ["mayfly_journal_append_seconds_total", "mayfly_resident_memory_bytes", "mayfly_views_lag_seconds"]
    {
        assert!(text.lines().any(|line| line.starts_with(name)), "{name}");
    }
    for secret in [issued.number.as_str(), "456940", issued.id.show().as_str(), "acct_1", "M-0001"] {
        assert!(!text.contains(secret), "{secret}");
    }
    running.stop();
}

fn a_second_server_is_told_who_has_the_directory(store: Store) {
    let running = Running::start(store);
    let error = start_error(&running.directory);
    let StartError::Store(StoreError::Locked { pid, .. }) = &error else { panic!("{error}") };
    assert_eq!(*pid, Some(std::process::id()));
    assert_eq!(running.server.as_ref().unwrap().phase(), Phase::Serving);
    assert!(Run::read(running.directory.path()).is_some(), "the first one's is left alone");
    running.stop();
}

fn a_taken_address_is_named_and_nothing_is_left_behind(store: Store) {
    let first = Running::start(store);
    let other = Installation::new(store);
    let address = first.server.as_ref().unwrap().addresses().iso8583[0].address.clone();
    let text = format!(
        "[iso8583]\nlisteners = [{{ address = \"{address}\", dialect = \"ascii87\" }}]\n[admin]\nhttp_address = \"off\"\n[api]\naddress = \"off\"\n{}",
        other.database_section()
    );
    let file = other.path().join(CONFIG_FILE);
    let taken = mayfly_server::config::Config::parse(&text, &file).unwrap().check().unwrap();
    let error = Server::start(taken).map(drop).unwrap_err();
    assert!(matches!(error, StartError::Network(_)) && error.to_string().contains(&address), "{error}");
    // Threads, lock and socket are free again.
    Running::on(other, "").stop();
    first.stop();
}

fn keys_and_directories_that_will_not_do(store: Store) {
    let data = Installation::new(store);
    let key = data.path().join("root.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
    let error = start_error(&data);
    assert!(matches!(error, StartError::Key(_)) && error.to_string().contains("chmod 600"), "{error}");

    fs::rename(&key, data.path().join("away")).unwrap();
    let error = start_error(&data);
    assert!(matches!(error, StartError::Key(_)) && error.to_string().contains("root.key"), "{error}");

    file::create(&key, &RootKey::generate(&mut OsRandom).unwrap()).unwrap();
    let error = start_error(&data);
    assert!(matches!(error, StartError::OtherKey { .. }), "{error}");
    fs::rename(data.path().join("away"), &key).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();

    // The bits are looked at: these tests may run as the superuser, whom they do not stop.
    for (mode, read_only) in [(0o500, true), (0o755, false)] {
        fs::set_permissions(data.path(), fs::Permissions::from_mode(mode)).unwrap();
        match start_error(&data) {
            StartError::Directory(DirectoryError::ReadOnly(_)) => assert!(read_only),
            StartError::Directory(DirectoryError::OpenToOthers { .. }) => assert!(!read_only),
            other => panic!("{other}"),
        }
    }
    fs::set_permissions(data.path(), fs::Permissions::from_mode(0o700)).unwrap();

    let none = data.path().join("none");
    let error = Server::start(settings(&none, "")).map(drop).unwrap_err();
    assert!(matches!(error, StartError::Directory(DirectoryError::Missing(_))), "{error}");
    assert!(error.to_string().contains("mayfly init"), "{error}");

    match &data.database {
        Some(database) => drop(database.psql("DROP SCHEMA mayfly_journal CASCADE")),
        None => fs::remove_file(data.path().join(JOURNAL_FILE)).unwrap(),
    }
    let error = start_error(&data);
    assert!(matches!(error, StartError::Store(StoreError::Missing { .. })), "{error}");
}

#[test]
fn a_socket_is_replaced_only_if_nobody_listens() {
    let data = Installation::new(Store::Sqlite);
    let path = data.path().join("admin.sock");
    fs::write(&path, "a file").unwrap();
    assert!(matches!(start_error(&data), StartError::Socket(SocketError::NotASocket(_))));
    fs::remove_file(&path).unwrap();
    let listener = UnixListener::bind(&path).unwrap();
    assert!(matches!(start_error(&data), StartError::Socket(SocketError::InUse(_))));
    drop(listener);
    assert!(path.exists(), "as a server that was killed leaves it");
    Running::on(data, "").stop();
}

fn a_stop_answers_what_is_under_way(store: Store) {
    let mut running = Running::start(store);
    running.furnished();
    let issued: Vec<_> = (0..50).map(|_| running.issue(NumberControls::default(), None)).collect();
    let mut network = running.network();
    let mut all = Vec::new();
    for (issued, stan) in issued.iter().zip(1..) {
        all.extend(purchase(issued, "0100", stan, 100));
    }
    network.write_all(&all).unwrap();
    assert_eq!(receive(&mut network), "00");
    let begun = Instant::now();
    let directory = running.stop();
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    let answers: Vec<_> = (1..50).map(|_| receive(&mut network)).collect();
    assert!(answers.iter().all(|code| code == "00"), "{answers:?}");
    let mut running = Running::on(directory, "");
    assert_eq!(running.account().held.minor, 5_000);
    running.stop();
}

/// Somebody else writes the journal: the worst that can happen short of a broken disk, and found the same way.
fn a_server_that_cant_write_its_journal_stops_and_says_so(store: Store) {
    let mut running = Running::start(store);
    running.furnished();
    let mut other = StoredJournal::open(&running.directory.settings("").home).unwrap();
    let ends = other.ends().unwrap();
    let head = ends.head(PartitionId::FIRST);
    let record = Record::seal(&head, PartitionId::FIRST, head.at_ms, 0, Vec::new());
    other.append(&Entry { number: ends.number + 1, records: vec![record] }).unwrap();

    let refused = running.refused(AdminRequest::Fund { account: Text::read("acct_1").unwrap(), minor: 1 });
    assert_eq!(refused.code.name(), "storage");
    let server = running.server.take().unwrap();
    let why = match server.wait() {
        Cause::Failed(why) => why,
        // Gateways share a database: whoever writes there is the active one now, and this one begins anew as a standby.
        cause => {
            assert!(matches!((store, cause), (Store::Postgres, Cause::Superseded)), "no signal was sent");
            return server.stop().unwrap();
        }
    };
    assert_eq!(store, Store::Sqlite);
    assert!(why.contains("journal"), "{why}");
    let (head, body) = page(server.addresses().admin_http.as_ref().unwrap(), "/ready");
    assert!(head.contains("503") && body.contains("journal"), "{head} {body}");
    let error = server.stop().unwrap_err();
    assert_eq!(error.journal, Some(AppendError::Refused));
    assert!(error.to_string().contains("another process"), "{error}");
}
