//! The keys of a database: which one is meant, its password, and every mistake that can be made with them.
#![allow(clippy::unwrap_used, reason = "tests may unwrap")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use mayfly_keys::OsRandom;
use mayfly_server::config::{Config, ConfigError, DatabaseAsked, SecretFault, Wrong};
use mayfly_server::{InitError, init, join};
use mayfly_store::{DatabaseError, Home};

const FILE: &str = "/etc/mayfly/mayfly.toml";
const URL: &str = "postgres://mayfly@127.0.0.1:5432/mayfly";

fn check(text: &str) -> Result<Home, ConfigError> {
    Config::parse(text, Path::new(FILE)).and_then(|config| config.check()).map(|settings| settings.home)
}

/// The only mistake in a text: its line, its key, what is wrong, and what is said of it.
fn mistake(text: &str) -> (usize, String, Wrong, String) {
    let error = check(text).unwrap_err();
    assert_eq!(error.mistakes.len(), 1, "{error}");
    let mistake = error.mistakes[0].clone();
    (mistake.line.unwrap_or(0), mistake.key, mistake.wrong, error.to_string())
}

fn name(home: &Home) -> &str {
    match home {
        Home::Database(database) => database.name(),
        Home::Files(path) => path.to_str().unwrap(),
    }
}

#[test]
fn without_a_url_everything_is_in_files() {
    assert_eq!(name(&check("").unwrap()), "/etc/mayfly");
    assert_eq!(name(&check("[database]\nurl = \"\"").unwrap()), "/etc/mayfly");
    assert_eq!(name(&check("data_dir = \"/srv/mayfly\"").unwrap()), "/srv/mayfly");
}

#[test]
fn a_url_names_a_database() {
    for (url, expected) in [
        (URL, URL),
        ("postgresql://u@a/d?sslmode=disable", "postgres://u@a:5432/d"),
        ("postgres://u@a:5433,b:5434/d?sslmode=require", "postgres://u@a:5433,b:5434/d"),
        ("postgres://u@a,b:5434/d?target_session_attrs=read-write", "postgres://u@a:5432,b:5434/d"),
    ] {
        assert_eq!(name(&check(&format!("[database]\nurl = \"{url}\"")).unwrap()), expected, "{url}");
    }
}

#[test]
fn what_is_no_url_of_a_database_is_a_mistake() {
    for (url, expected) in [
        ("postgres://127.0.0.1/mayfly", Some(DatabaseError::Lacks("user"))),
        ("postgres://mayfly@127.0.0.1", Some(DatabaseError::Lacks("database"))),
        ("postgres://mayfly@/mayfly", Some(DatabaseError::Lacks("host"))),
        ("postgres://mayfly@:5432/mayfly", Some(DatabaseError::Lacks("host"))),
        ("postgres://mayfly@127.0.0.1,:5433/mayfly", Some(DatabaseError::Lacks("host"))),
        ("mysql://mayfly@127.0.0.1/mayfly", None),
        ("postgres://mayfly@127.0.0.1:port/mayfly", None),
        ("postgres://mayfly@127.0.0.1/mayfly?sslmode=perhaps", None),
        ("/var/lib/mayfly.db", None),
    ] {
        let (line, key, wrong, said) = mistake(&format!("[database]\nurl = \"{url}\""));
        assert_eq!((line, key.as_str()), (2, "database.url"), "{url}");
        assert!(said.contains("it must look like postgres://user@host:5432/database"), "{said}");
        match expected {
            Some(expected) => assert_eq!(wrong, Wrong::Database(expected), "{url}"),
            None => assert!(matches!(wrong, Wrong::Database(_)), "{url}: {wrong:?}"),
        }
    }
}

#[test]
fn a_password_in_the_url_is_refused_and_said_by_nobody() {
    for url in [
        "postgres://mayfly:hunter22@127.0.0.1/mayfly",
        "postgres://mayfly@127.0.0.1/mayfly?password=hunter22",
        "postgres://mayfly:hunter22@127.0.0.1:port/mayfly",
        "host=127.0.0.1 user=mayfly dbname=mayfly password=hunter22",
    ] {
        // Already where it is read: so a configuration that could be printed never has it.
        let error = Config::parse(&format!("[database]\nurl = \"{url}\""), Path::new(FILE)).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter22"), "{error}");
        let asked = DatabaseAsked { url: url.to_owned(), password_file: None, ca_file: None };
        let error = Config::standard(Path::new(FILE)).with_database(&asked).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter22"), "{error}");
    }
    let (_, _, wrong, said) = mistake("[database]\nurl = \"postgres://mayfly:hunter22@127.0.0.1/mayfly\"");
    assert_eq!(wrong, Wrong::Database(DatabaseError::Password));
    assert!(said.ends_with("put it into a file of its own, and set database.password_file"), "{said}");
}

#[test]
fn a_password_is_one_line_of_a_file_that_is_its_owners_alone() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("password");
    let text = format!("[database]\nurl = \"{URL}\"\npassword_file = \"{}\"", file.display());
    let fault = || {
        let (line, key, wrong, said) = mistake(&text);
        assert_eq!((line, key.as_str()), (3, "database.password_file"));
        assert!(said.contains(file.to_str().unwrap()) && !said.contains("hunter22"), "{said}");
        match wrong {
            Wrong::PasswordFile { path, fault } if path == file => fault,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(fault(), SecretFault::Unreadable(std::io::ErrorKind::NotFound));
    fs::create_dir(&file).unwrap();
    assert_eq!(fault(), SecretFault::NotAFile);
    fs::remove_dir(&file).unwrap();

    let write = |text: &[u8], mode: u32| {
        fs::write(&file, text).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
    };
    for mode in [0o640, 0o604, 0o644, 0o610] {
        write(b"hunter22\n", mode);
        assert_eq!(fault(), SecretFault::OpenToOthers { mode });
    }
    assert!(mistake(&text).3.contains("chmod 600"));
    for empty in [&b""[..], b"\n", b"\r\n"] {
        write(empty, 0o600);
        assert_eq!(fault(), SecretFault::Empty, "{empty:?}");
    }
    for long in [&b"hunter22\nhunter22\n"[..], b"hunter22\0", b"hunter22\xff", &[b'x'; 1025]] {
        write(long, 0o600);
        assert_eq!(fault(), SecretFault::NotOneLine);
    }
    for good in [&b"hunter22"[..], b"hunter22\n", b"hunter22\r\n", " ä ".as_bytes(), &[b'x'; 1024]] {
        write(good, 0o400);
        assert_eq!(name(&check(&text).unwrap()), URL);
    }
}

#[test]
fn a_password_is_neither_printed_nor_debugged() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("password");
    fs::write(&file, "hunter22\n").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let asked = DatabaseAsked {
        url: URL.to_owned(),
        password_file: Some(file.to_str().unwrap().to_owned()),
        ca_file: None,
    };
    let config = Config::standard(Path::new(FILE)).with_database(&asked).unwrap();
    let settings = config.check().unwrap();
    let printed = config.print();
    assert!(printed.contains(URL) && printed.contains(file.to_str().unwrap()), "{printed}");
    assert!(!format!("{printed} {config:?} {settings:?}").contains("hunter22"));
    assert_eq!(
        name(&Config::parse(&printed, Path::new(FILE)).unwrap().check().unwrap().home),
        name(&settings.home)
    );
}

#[test]
fn certificate_authorities_must_be_some() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("ca.pem");
    let text = format!("[database]\nurl = \"{URL}\"\nca_file = \"{}\"", file.display());
    for content in [None, Some(""), Some("not PEM")] {
        if let Some(content) = content {
            fs::write(&file, content).unwrap();
        }
        let (line, key, wrong, said) = mistake(&text);
        assert_eq!((line, key.as_str()), (3, "database.ca_file"));
        assert!(matches!(wrong, Wrong::CaFile { path, .. } if path == file), "{said}");
    }
}

#[test]
fn what_is_about_a_database_needs_one() {
    for key in ["password_file", "ca_file"] {
        let (line, path, wrong, _) = mistake(&format!("[database]\n{key} = \"x\""));
        assert_eq!((line, path, wrong), (2, format!("database.{key}"), Wrong::NoDatabase));
    }
    // Limits may stand there: they are printed with every configuration.
    assert!(check("[database]\nstatement_time_max_ms = 600000\nconnect_time_max_ms = 60000").is_ok());
    for (key, found) in [("statement_time_max_ms", 99), ("connect_time_max_ms", 60_001)] {
        let (_, _, wrong, _) = mistake(&format!("[database]\n{key} = {found}"));
        assert!(matches!(wrong, Wrong::Range { unit: "milliseconds", .. }), "{wrong:?}");
    }
}

#[test]
fn only_a_database_can_be_joined() {
    let directory = tempfile::tempdir().unwrap();
    let config = Config::standard(&directory.path().join("mayfly.toml"));
    assert!(matches!(join(&config), Err(InitError::NoDatabase)));
    init(&config, None, &mut OsRandom).unwrap();
    let asked = DatabaseAsked { url: URL.to_owned(), password_file: None, ca_file: None };
    let error = join(&config.with_database(&asked).unwrap()).unwrap_err();
    assert!(matches!(error, InitError::Exists(path) if path.ends_with("root.check")));
}

#[test]
fn one_who_joins_must_have_the_root_key() {
    let directory = tempfile::tempdir().unwrap();
    let asked = DatabaseAsked { url: URL.to_owned(), password_file: None, ca_file: None };
    let config = Config::standard(&directory.path().join("data/mayfly.toml")).with_database(&asked).unwrap();
    assert!(matches!(join(&config), Err(InitError::Key(_))));
    assert!(!directory.path().join("data").exists());
}
