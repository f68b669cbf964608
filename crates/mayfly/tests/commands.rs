//! What needs no server: help, completions, manual pages, wrong command lines, decoding.

#![allow(clippy::unwrap_used, reason = "a test that can't go on should panic")]

mod common;

use common::{command, mayfly, mayfly_in, mayfly_with};

/// Every command there is.
const COMMANDS: &[&[&str]] = &[
    &[],
    &["demo"],
    &["serve"],
    &["init"],
    &["issuer"],
    &["issuer", "open"],
    &["issuer", "list"],
    &["issuer", "show"],
    &["programme", "open"],
    &["programme", "list"],
    &["programme", "show"],
    &["account", "open"],
    &["account", "list"],
    &["account", "show"],
    &["account", "limit"],
    &["account", "fund"],
    &["account", "block"],
    &["account", "unblock"],
    &["number", "issue"],
    &["number", "show"],
    &["number", "cancel"],
    &["number", "list"],
    &["card", "enrol"],
    &["card", "list"],
    &["card", "show"],
    &["card", "unlock"],
    &["card", "close"],
    &["transaction", "list"],
    &["transaction", "show"],
    &["wallet"],
    &["wallet", "login"],
    &["wallet", "logout"],
    &["wallet", "list"],
    &["wallet", "enrol"],
    &["wallet", "pay"],
    &["wallet", "again"],
    &["wallet", "restore"],
    &["wallet", "unlock"],
    &["wallet", "forget"],
    &["wallet", "change-passphrase"],
    &["send"],
    &["inspect"],
    &["journal", "read"],
    &["journal", "verify"],
    &["journal", "list"],
    &["retention", "show"],
    &["retention", "run"],
    &["status"],
    &["completions"],
    &["man"],
];

const ECHO: &str = "080080200000000000000400000000000000000017301";

#[test]
fn every_command_has_help() {
    for words in COMMANDS {
        let help = mayfly(&[words, &["--help"][..]].concat()).ok();
        let usage = format!("Usage: {}", [&["mayfly"], *words].concat().join(" "));
        assert!(help.contains(&usage), "{help}");
        assert!(help.lines().all(|line| line.len() <= 100), "{help}");
    }
    let help = mayfly(&["--help"]).ok();
    assert!(help.contains("Exit codes:") && help.contains("2  the command line"), "{help}");
    assert!(mayfly(&["--version"]).ok().starts_with("mayfly "));
}

#[test]
fn wrong_command_lines_are_exit_code_2_and_say_why() {
    for (words, saying) in [
        (&["frobnicate"][..], "unrecognized subcommand"),
        (&["issuer", "show", "acct_1"], "an id of this kind looks like iss_1a"),
        (
            &["number", "issue", "--account", "acct_1", "--lifetime", "soon"],
            "write 500ms, 90s, 15m, 24h or 7d",
        ),
        (&["account", "block", "acct_1", "both"], "card-present and card-not-present"),
        (&["account", "open", "--issuer", "iss_1", "--currency", "DOLLARS"], "write USD"),
        (&["transaction", "list"], "required"),
        (&["send", "--amount", "1"], "a card number is needed"),
        (&["send", "--number", "4761739001010119", "--amount", "1,50"], "write 24.98"),
        (&["send", "--type", "echo", "--dialect", "nonsense"], "ascii87, binary87, ebcdic87"),
        (&["send", "--type", "echo", "--de", "1=00"], "2 to 128"),
        (&["send", "--type", "echo", "--de", "49=dollars"], "DE 49 has a character"),
        (&["send", "--type", "echo", "--to", "nowhere"], "write HOST:PORT"),
        (&["completions", "tcsh"], "possible values"),
    ] {
        mayfly(words).fails(2, saying);
    }
}

#[test]
fn what_cannot_be_reached_is_exit_code_3() {
    let dir = tempfile::tempdir().unwrap();
    mayfly_in(dir.path(), &["status"]).fails(3, "no server listens on");
    mayfly_in(dir.path(), &["issuer", "list"]).fails(3, "mayfly serve");
    mayfly_in(dir.path(), &["send", "--type", "echo"]).fails(3, "--to HOST:PORT");
    mayfly(&["send", "--type", "echo", "--to", "127.0.0.1:1"]).fails(3, "nobody listens at 127.0.0.1:1");
    mayfly_in(dir.path(), &["journal", "verify"]).fails(3, "journal.db");
    mayfly(&["inspect", "--file", "/nonexistent"]).fails(3, "/nonexistent can't be read");
    let error = mayfly_in(dir.path(), &["--json", "status"]).fails(3, "no server");
    let error: serde_json::Value = serde_json::from_str(&error).unwrap();
    assert_eq!(error["error"]["exit_code"], 3);
}

#[test]
fn a_wrong_configuration_is_exit_code_2() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("mayfly.toml");
    std::fs::write(&file, "[iso8583]\nconnections_max = 0\n").unwrap();
    let error = mayfly_in(dir.path(), &["status"]).fails(2, "connections_max");
    assert!(error.contains('2') && error.contains("65536"), "line and bounds: {error}");
}

#[test]
fn a_database_is_named_once_and_without_a_password() {
    const URL: &str = "postgres://mayfly@127.0.0.1:1/mayfly";
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    mayfly_in(&data, &["init", "--join"]).fails(2, "only an installation in a database can be joined");
    mayfly_in(&data, &["init", "--database", "mysql://u@h/d"]).fails(2, "database.url");
    mayfly_in(&data, &["init", "--database-ca-file", "ca.pem"]).fails(2, "--database <URL>");
    let with_password = "postgres://mayfly:hunter22@127.0.0.1:1/mayfly";
    let said = mayfly_in(&data, &["init", "--database", with_password]).fails(2, "has a password in it");
    assert!(!said.contains("hunter22"), "{said}");
    mayfly_in(&data, &["init", "--database", URL, "--join"]).fails(3, "root.key");
    assert!(!data.exists());

    // What stands in a configuration is not overwritten by what is said.
    std::fs::create_dir(&data).unwrap();
    std::fs::write(data.join("mayfly.toml"), "").unwrap();
    mayfly_in(&data, &["init", "--database", URL]).fails(1, "is there already and is not overwritten");

    // The password of the environment goes before the file, which is then not even looked at.
    let config = format!("[database]\nurl = \"{URL}\"\npassword_file = \"password\"\n");
    std::fs::write(data.join("mayfly.toml"), config).unwrap();
    mayfly_in(&data, &["status"]).fails(2, "password, which can't be read");
    let ran = command(&["status"])
        .env("MAYFLY_DIR", &data)
        .env("MAYFLY_DATABASE_PASSWORD", "hunter22")
        .output()
        .unwrap();
    assert_eq!(ran.status.code(), Some(3), "{ran:?}");
    let printed = command(&["serve", "--print-config"])
        .env("MAYFLY_DIR", &data)
        .env("MAYFLY_DATABASE_PASSWORD", "hunter22")
        .output()
        .unwrap();
    let printed = String::from_utf8(printed.stdout).unwrap();
    assert!(printed.contains(URL) && !printed.contains("hunter22"), "{printed}");
}

#[test]
fn completions_and_manual_pages_are_written() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        assert!(mayfly(&["completions", shell]).ok().contains("mayfly"), "{shell}");
    }
    let dir = tempfile::tempdir().unwrap();
    let pages = dir.path().join("man");
    mayfly(&["man", pages.to_str().unwrap()]).ok();
    for words in COMMANDS {
        let name = [&["mayfly"], *words].concat().join("-") + ".1";
        let page =
            std::fs::read_to_string(pages.join(&name)).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(page.contains(".TH"), "{name}");
    }
    assert!(mayfly(&["man"]).ok().contains(".TH mayfly 1"));
}

#[test]
fn messages_are_decoded_from_everywhere() {
    let hex: String = ECHO.bytes().map(|byte| format!("{byte:02x}")).collect();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("message");
    std::fs::write(&file, [b"\0\x2d", ECHO.as_bytes()].concat()).unwrap();
    let from_stdin = mayfly_with(ECHO.as_bytes(), command(&["inspect"]));
    for ran in [
        mayfly(&["inspect", ECHO]),
        mayfly(&["inspect", &hex]),
        mayfly(&["inspect", "--file", file.to_str().unwrap()]),
        from_stdin,
    ] {
        let text = ran.ok();
        assert!(text.starts_with("0800 echo request\n"), "{text}");
        assert!(text.contains("DE 11   System trace audit number            000017\n"), "{text}");
    }
    let view = mayfly(&["--json", "inspect", ECHO]).json();
    assert_eq!(view["elements"][0]["de"], 11);
}

#[test]
fn numbers_are_masked_unless_asked_for() {
    let message = "01004000000000000000164761739001010119";
    let masked = mayfly(&["inspect", message]).ok();
    assert!(masked.contains("476173******0119") && !masked.contains("4761739001010119"), "{masked}");
    assert!(mayfly(&["inspect", "--show-numbers", message]).ok().contains("4761739001010119"));
    // Neither is it in what is said about a number that has not even the form of one.
    let error = mayfly(&["send", "--number", "4761739001010118", "--amount", "1"]).fails(2, "no card number");
    assert!(!error.contains("4761739001010118"), "{error}");
}

#[test]
fn a_malformed_message_names_the_element() {
    let wrong = ECHO.replacen("000017", "0000x7", 1);
    let error = mayfly(&["inspect", &wrong]).fails(1, "DE 11 has a character that is not \"n\"");
    assert!(error.contains("DE 70"), "what could be read is shown: {error}");
    mayfly(&["inspect", &ECHO[..30]]).fails(1, "cut off");
    mayfly_with(b" \n", command(&["inspect"])).fails(2, "nothing to inspect");
}

/// A49: what guesses come to is as it was computed, and the exit code says so. (That it says so if they don't is shown where
/// the laboratory's site can be made weak.)
#[test]
fn forgery_is_measured_and_the_exit_code_tells() {
    let words =
        ["--json", "lab", "forge", "--cards", "400", "--months", "24,60", "--open", "0,1,3", "--seed", "1"];
    let told = mayfly(&words).json();
    let lines = told["lines"].as_array().unwrap();
    assert!(lines.len() > 20 && lines.iter().all(|line| line["holds"] == true), "{told}");
    let fell = |line: &&serde_json::Value| line["fell"].as_u64() > Some(0);
    assert!(lines.iter().filter(fell).all(|line| line["open"].as_u64() > Some(0)), "{told}");
    assert!(lines.iter().any(|line| fell(&line) && line["open"] == 3), "{told}");
    // The same seed, the same attacks.
    assert_eq!(mayfly(&words).json(), told);
    mayfly(&["lab", "forge", "--months", "11"]).fails(2, "12 to 120");
}
