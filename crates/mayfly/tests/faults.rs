//! What goes wrong around a server: it says so clearly, stops or refuses to start, and loses nothing.

#![allow(clippy::unwrap_used, reason = "a test that can't go on should panic")]
#![allow(clippy::print_stdout, reason = "seeds and counts, for whoever reads the output")]

#[path = "faults/clients.rs"]
mod clients;
mod harness;
#[path = "faults/mount.rs"]
mod mount;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::sync::Arc;

use harness::{Admin, Answer, Card, Home, Kind, Message, Peer, Server};
use mayfly_testing::{Store, on_both};
use mount::Mount;
use rusqlite::{Connection, params};

/// What the tests pay each time, in cents.
const AMOUNT: u64 = 1000;
/// More purchases than fit into any of the small disks here.
const MANY: usize = 100_000;

/// A server with an account, and what was bought.
struct Shop {
    account: String,
    card: Arc<Card>,
    bought: Vec<(Message, Answer)>,
}

impl Shop {
    fn open(server: &Server) -> Self {
        let mut admin = server.admin();
        let issuer = admin.open_issuer("Faults", "456940");
        let account = admin.open_account(&issuer, 999_999_999_999);
        let card = Arc::new(admin.issue(&account, 1000).unwrap().unwrap());
        Self { account, card, bought: Vec::new() }
    }

    fn purchase(&self) -> Message {
        let stan = self.bought.len() as u32 + 1;
        let (card, rrn) = (Arc::clone(&self.card), format!("{stan:012}"));
        Message { kind: Kind::Purchase, card, amount: AMOUNT, stan, rrn, original: None }
    }

    /// Buys once. False if no answer came, or one that says that the server can't.
    fn buy(&mut self, peer: &mut Peer) -> bool {
        let message = self.purchase();
        match peer.ask(&message) {
            Ok(answer) if answer.code != "96" => {
                self.bought.push((message, answer));
                true
            }
            _ => false,
        }
    }

    /// Buys until nothing more is answered, with new numbers where they are needed.
    fn buy_until_it_fails(&mut self, server: &Server) {
        let (mut peer, mut admin) = (server.connect(), server.admin());
        for round in 1..=MANY {
            if round % 900 == 0 && !self.renew(&mut admin) || !self.buy(&mut peer) {
                return;
            }
        }
        panic!("{MANY} purchases fitted onto the disk");
    }

    fn renew(&mut self, admin: &mut Admin) -> bool {
        let Ok(Ok(card)) = admin.issue(&self.account, 1000) else { return false };
        self.card = Arc::new(card);
        true
    }

    /// All that was bought is known, and the account has paid for it. One more is there if the server wrote it
    /// and could not say so any more.
    fn check(&self, server: &Server) {
        self.check_at_least(server);
        let paid = self.bought.iter().filter(|(_, answer)| answer.approved()).count() as i64;
        let (_, held) = server.admin().money(&self.account);
        let amount = AMOUNT as i64;
        assert!(held == paid * amount || held == (paid + 1) * amount, "{held} held, {paid} purchases");
    }

    /// All that was bought is known: each message again, and it is answered the same.
    fn check_at_least(&self, server: &Server) {
        let mut peer = server.connect();
        for (message, answer) in &self.bought {
            peer.send(&message.wire(true)).unwrap();
            let (_, again) = peer.receive().unwrap();
            assert_eq!(again, *answer, "{message:?}");
        }
    }
}

/// A server that bought something and has stopped.
fn stopped_with_history(store: Store, purchases: usize) -> (Home, Shop) {
    let home = Home::new(store);
    let server = home.start();
    let mut shop = Shop::open(&server);
    let mut peer = server.connect();
    for _ in 0..purchases {
        assert!(shop.buy(&mut peer));
    }
    server.stop();
    (home, shop)
}

/// The fault is gone: the server starts, knows everything, and goes on.
fn goes_on(home: &Home, shop: &mut Shop) {
    let server = home.start();
    shop.check(&server);
    assert!(shop.buy(&mut server.connect()), "nothing can be bought any more");
    server.stop();
    home.verify();
}

on_both! {
    a_directory_that_cannot_be_written_is_refused
    a_second_server_in_the_same_directory_is_refused
    a_record_that_was_altered_is_found
    a_last_record_that_was_altered_is_found_at_the_start
    views_that_were_altered_are_found
    a_journal_of_a_newer_version_is_refused_and_left_alone
    a_journal_that_was_lost_is_not_begun_again
    a_root_key_that_was_lost_is_not_made_again
}

#[test]
fn a_full_disk_stops_the_server_and_loses_nothing() {
    let mount = match Mount::tmpfs("24m") {
        Ok(mount) => mount,
        Err(why) => {
            println!("variant: none; no file system can be mounted here ({why}): see the limit on files");
            return;
        }
    };
    println!("variant: a file system of 24 MiB");
    let home = Home::at(mount.path().join("data"));
    let server = home.start();
    let mut shop = Shop::open(&server);
    shop.buy_until_it_fails(&server);
    let (status, said) = server.ended();
    assert!(!status.success() && said.contains("disk is full"), "{status}\n{said}");
    mount.again("size=128m");
    goes_on(&home, &mut shop);
}

#[test]
fn a_file_that_must_not_grow_stops_the_server_and_loses_nothing() {
    let home = Home::new(Store::Sqlite);
    let mut limited = Command::new("sh");
    // The signal would end the process; ignored, the write fails.
    limited.args(["-c", "trap '' XFSZ; exec prlimit --fsize=12582912 \"$@\"", "sh"]);
    let serve = home.serve();
    limited.arg(serve.get_program()).args(serve.get_args());
    let server = home.start_by(limited);
    let mut shop = Shop::open(&server);
    shop.buy_until_it_fails(&server);
    let (status, said) = server.ended();
    let clear = said.contains("disk is full") || said.contains("could not be read or written");
    assert!(!status.success() && clear, "{status}\n{said}");
    goes_on(&home, &mut shop);
}

fn a_directory_that_cannot_be_written_is_refused(store: Store) {
    let (home, mut shop) = stopped_with_history(store, 3);
    fs::set_permissions(&home.dir, fs::Permissions::from_mode(0o500)).unwrap();
    let said = home.refused();
    fs::set_permissions(&home.dir, fs::Permissions::from_mode(0o700)).unwrap();
    assert!(said.contains("can't be written"), "{said}");
    goes_on(&home, &mut shop);
}

#[test]
fn a_file_system_that_is_mounted_read_only_is_refused() {
    let mount = match Mount::tmpfs("64m") {
        Ok(mount) => mount,
        Err(why) => {
            println!("variant: none; no file system can be mounted here ({why}): see the directory's mode");
            return;
        }
    };
    println!("variant: a file system that is mounted again read-only");
    let home = Home::at(mount.path().join("data"));
    let server = home.start();
    let mut shop = Shop::open(&server);
    assert!(shop.buy(&mut server.connect()));
    server.stop();
    mount.again("ro");
    let said = home.refused();
    assert!(said.contains("read-only") && said.contains("can't be written"), "{said}");
    mount.again("rw");
    goes_on(&home, &mut shop);
}

fn a_second_server_in_the_same_directory_is_refused(store: Store) {
    let home = Home::new(store);
    let server = home.start();
    let mut shop = Shop::open(&server);
    let mut peer = server.connect();
    assert!(shop.buy(&mut peer));
    let said = home.refused();
    assert!(said.contains("in use"), "{said}");
    // The first one is not disturbed, and is still found.
    assert!(shop.buy(&mut peer));
    assert_eq!(home.json(["status"])["ready"], true);
    server.stop();
    goes_on(&home, &mut shop);
}

fn a_record_that_was_altered_is_found(store: Store) {
    let (home, mut shop) = stopped_with_history(store, 30);
    let middle = altered(&home, 0.5);
    let said = home.cli(["journal", "verify"]);
    let text = String::from_utf8_lossy(&said.stderr).into_owned();
    assert_eq!(said.status.code(), Some(1), "{text}");
    assert!(text.contains(&format!("record {middle} ")), "{text}");
    // A start that has to replay it does not go past it.
    remove_views(&home);
    let said = home.refused();
    assert!(said.contains(&format!("record {middle} ")), "{said}");
    assert_eq!(altered(&home, 0.5), middle, "put right again");
    goes_on(&home, &mut shop);
}

fn a_last_record_that_was_altered_is_found_at_the_start(store: Store) {
    let (home, mut shop) = stopped_with_history(store, 5);
    let last = altered(&home, 1.0);
    let said = home.refused();
    assert!(said.contains(&format!("record {last} ")), "{said}");
    altered(&home, 1.0);
    goes_on(&home, &mut shop);
}

/// Turns one bit of a record's payload, and done twice back again; the record is chosen by how far down the
/// journal it stands. Gives its number.
fn altered(home: &Home, how_far: f64) -> i64 {
    let at = |last: i64| (last as f64 * how_far) as i64;
    if let Some(database) = home.database() {
        let key = at(database.psql("SELECT max(sequence) FROM mayfly_journal.journal").parse().unwrap());
        database.psql(&format!(
            "UPDATE mayfly_journal.journal SET payload = set_byte(
                payload, length(payload) / 2, get_byte(payload, length(payload) / 2) # 1) WHERE sequence = {key}"
        ));
        return key;
    }
    let database = Connection::open(home.file("journal.db")).unwrap();
    let key = at(database.query_row("SELECT max(key) FROM journal", (), |row| row.get(0)).unwrap());
    let payload = database.query_row("SELECT payload FROM journal WHERE key = ?", [key], |row| row.get(0));
    let mut payload: Vec<u8> = payload.unwrap();
    let at = payload.len() / 2;
    payload[at] ^= 1;
    database.execute("UPDATE journal SET payload = ? WHERE key = ?", params![payload, key]).unwrap();
    key
}

fn remove_views(home: &Home) {
    match home.database() {
        Some(database) => drop(database.psql("DROP SCHEMA mayfly_views CASCADE")),
        None => fs::remove_file(home.file("views.db")).unwrap(),
    }
}

fn views_that_were_altered_are_found(store: Store) {
    let (home, mut shop) = stopped_with_history(store, 3);
    let alter = "UPDATE accounts SET held = held - 1, balance = balance + 1";
    let cure = match home.database() {
        Some(database) => {
            database.psql(&format!("SET search_path = mayfly_views; {alter}"));
            "DROP SCHEMA mayfly_views CASCADE"
        }
        None => {
            Connection::open(home.file("views.db")).unwrap().execute(alter, ()).unwrap();
            "remove views.db"
        }
    };
    let verified = home.cli(["journal", "verify", "--views"]);
    let text = harness::said(&verified);
    assert_eq!(verified.status.code(), Some(1), "{text}");
    assert!(text.contains("acct_1: the views say") && text.contains(cure), "{text}");
    // As it was told.
    remove_views(&home);
    goes_on(&home, &mut shop);
}

/// All that is in the journal.
fn whole_journal(home: &Home) -> Vec<u8> {
    match home.database() {
        Some(database) => {
            let rows = "SELECT string_agg(one::text, ',' ORDER BY sequence) FROM mayfly_journal.journal one";
            let tables = "SELECT string_agg(schemaname || tablename, ',' ORDER BY 1) FROM pg_tables";
            (database.psql(rows) + &database.psql(tables)).into_bytes()
        }
        None => fs::read(home.file("journal.db")).unwrap(),
    }
}

fn a_journal_of_a_newer_version_is_refused_and_left_alone(store: Store) {
    let (home, mut shop) = stopped_with_history(store, 3);
    let set = |version: u32| -> u32 {
        if let Some(database) = home.database() {
            let before = database.psql("SELECT version FROM mayfly_journal.format").parse().unwrap();
            database.psql(&format!("UPDATE mayfly_journal.format SET version = {version}"));
            return before;
        }
        let database = Connection::open(home.file("journal.db")).unwrap();
        let before = database.query_row("PRAGMA user_version", (), |row| row.get(0)).unwrap();
        database.pragma_update(None, "user_version", version).unwrap();
        before
    };
    let ours = set(99);
    let before = whole_journal(&home);
    let said = home.refused();
    assert!(said.contains("newer version") && said.contains("99"), "{said}");
    let verify = home.cli(["journal", "verify"]);
    assert!(!verify.status.success(), "{}", harness::said(&verify));
    assert!(whole_journal(&home) == before, "the journal was changed");
    set(ours);
    goes_on(&home, &mut shop);
}

fn a_journal_that_was_lost_is_not_begun_again(store: Store) {
    let (home, mut shop) = stopped_with_history(store, 3);
    let (journal, aside) = (home.file("journal.db"), home.beside("journal.db"));
    match home.database() {
        Some(database) => drop(database.psql("ALTER SCHEMA mayfly_journal RENAME TO aside")),
        None => fs::rename(&journal, &aside).unwrap(),
    }
    let said = home.refused();
    assert!(said.contains("is missing, but its views are there"), "{said}");
    match home.database() {
        Some(database) => {
            // Nor is another installation made beside what is left.
            let (url, other) = (database.url(), home.beside("other"));
            let mut init = harness::mayfly();
            let init =
                init.arg("--data-dir").arg(&other).args(["init", "--database", &url]).output().unwrap();
            assert!(!init.status.success(), "{}", harness::said(&init));
            assert!(harness::said(&init).contains("its views are there"), "{}", harness::said(&init));
            // Fails if there is a journal.
            database.psql("ALTER SCHEMA aside RENAME TO mayfly_journal");
        }
        None => {
            assert!(!journal.exists(), "an empty journal was made");
            fs::rename(&aside, &journal).unwrap();
        }
    }
    goes_on(&home, &mut shop);
}

#[test]
fn a_database_that_cannot_be_written_is_refused() {
    let (home, mut shop) = stopped_with_history(Store::Postgres, 3);
    let database = home.database().unwrap();
    let name = database.psql("SELECT current_database()");
    database.psql(&format!("ALTER DATABASE {name} SET default_transaction_read_only = on"));
    let said = home.refused();
    assert!(said.contains("does not let us write") && said.contains("does not allow writes"), "{said}");
    let reset = format!("ALTER DATABASE {name} RESET default_transaction_read_only");
    database.psql(&format!("BEGIN READ WRITE; {reset}; COMMIT"));
    goes_on(&home, &mut shop);
}

fn a_root_key_that_was_lost_is_not_made_again(store: Store) {
    let (home, mut shop) = stopped_with_history(store, 3);
    let (key, aside) = (home.file("root.key"), home.beside("root.key"));
    fs::rename(&key, &aside).unwrap();
    let said = home.refused();
    assert!(said.contains("root.key"), "{said}");
    assert!(!key.exists(), "another key was made");
    fs::rename(&aside, &key).unwrap();
    goes_on(&home, &mut shop);
}
