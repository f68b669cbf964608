//! The configuration file: what is printed is read again, and every mistake is found and named.
#![allow(clippy::unwrap_used, reason = "tests may unwrap")]

use std::path::Path;

use mayfly_server::config::{
    Config, ConfigError, KEYS, KeyFile, KeySettings, KeySource, Kind, PASSPHRASE_VARIABLE, PIN_VARIABLE,
    SecretFrom, TokenKey, Wrapped, Wrong, print_config,
};

const FILE: &str = "/etc/mayfly/mayfly.toml";

fn mistakes(text: &str) -> ConfigError {
    match Config::parse(text, Path::new(FILE)).and_then(|config| config.check()) {
        Err(error) => error,
        Ok(_) => panic!("no mistake was found in {text}"),
    }
}

/// The only mistake in a text.
fn mistake(text: &str) -> (usize, String, Wrong) {
    let error = mistakes(text);
    assert_eq!(error.mistakes.len(), 1, "{error}");
    let mistake = error.mistakes[0].clone();
    (mistake.line.unwrap_or(0), mistake.key, mistake.wrong)
}

#[test]
fn what_is_printed_is_read_again_and_is_every_default() {
    let printed = print_config();
    let read = Config::parse(&printed, Path::new(FILE)).unwrap();
    let standard = Config::standard(Path::new(FILE));
    assert_eq!(read.print(), printed);
    assert_eq!(format!("{:?}", read.check().unwrap()), format!("{:?}", standard.check().unwrap()));
    for key in KEYS {
        assert!(printed.contains(&format!("\n{} = ", key.name)), "{}", key.path());
    }
    assert!(printed.lines().all(|line| line.len() <= 100));
}

#[test]
fn what_was_set_is_printed_and_read_again() {
    let text = "data_dir = \"/srv/mayfly\"\n[iso8583]\nlisteners = [{ address = \"[::1]:0\", dialect = \"binary87\" }]\n\
                sign_on_required = true\n[engine]\nqueue_max = 0x1_000\n[admin]\nhttp_address = \"off\"\n";
    let config = Config::parse(text, Path::new(FILE)).unwrap();
    let settings = config.check().unwrap();
    assert_eq!(settings.engine.queue_max, 4096);
    assert_eq!(settings.http_address, None);
    assert_eq!(settings.socket, Path::new("/srv/mayfly/admin.sock"));
    assert_eq!(settings.endpoints[0].dialect.name(), "binary87");
    let again = Config::parse(&config.print(), Path::new(FILE)).unwrap().check().unwrap();
    assert_eq!(format!("{again:?}"), format!("{settings:?}"));
}

#[test]
fn paths_are_relative_to_the_file_and_to_the_data() {
    let settings = Config::parse("", Path::new(FILE)).unwrap().check().unwrap();
    assert_eq!(settings.data_dir, Path::new("/etc/mayfly"));
    assert_eq!(settings.keys.root.file(), Some(Path::new("/etc/mayfly/root.key")));
    let text = "data_dir = \"data\"\n[keys]\nroot_key_file = \"/run/secrets/root.key\"";
    let settings = Config::parse(text, Path::new(FILE)).unwrap().check().unwrap();
    assert_eq!(settings.socket, Path::new("/etc/mayfly/data/admin.sock"));
    assert_eq!(settings.keys.root.file(), Some(Path::new("/run/secrets/root.key")));
}

#[test]
fn the_engines_and_the_networks_defaults_are_the_ones_here() {
    let settings = Config::standard(Path::new(FILE)).check().unwrap();
    assert_eq!(settings.engine, mayfly_engine::Options::default());
    assert_eq!(settings.network, mayfly_network::Options::default());
}

/// Whatever the table allows, the network must allow too.
#[test]
fn the_bounds_of_the_network_are_within_its_own() {
    for end in ["min", "max"] {
        let mut text = String::from("[iso8583]\n");
        for key in KEYS.iter().filter(|key| key.section == "iso8583") {
            if let Kind::Number { min, max, .. } = key.kind {
                text += &format!("{} = {}\n", key.name, if end == "min" { min } else { max });
            }
        }
        let settings = Config::parse(&text, Path::new(FILE)).unwrap().check().unwrap();
        assert_eq!(settings.network.check(), Ok(()), "{end}");
    }
}

#[test]
fn unknown_keys_name_the_nearest() {
    let unknown = |nearest: Option<&str>| Wrong::Unknown { nearest: nearest.map(str::to_owned) };
    for (text, line, key, nearest) in [
        ("datadir = 1", 1, "datadir", Some("data_dir")),
        ("[engine]\n\nqueu_max = 1", 3, "engine.queu_max", Some("engine.queue_max")),
        ("[engin]\nqueue_max = 1", 1, "engin", Some("engine")),
        ("[engine]\ncache_mib = 1", 2, "engine.cache_mib", Some("views.cache_mib")),
        ("[engine]\ncolour = 1", 2, "engine.colour", None),
        ("listeners = []", 1, "listeners", Some("iso8583.listeners")),
    ] {
        assert_eq!(mistake(text), (line, key.to_owned(), unknown(nearest)), "{text}");
    }
    let text = mistakes("[engine]\nqueu_max = 1").to_string();
    assert_eq!(
        text,
        "/etc/mayfly/mayfly.toml, line 2: there is no key `engine.queu_max`; did you mean `engine.queue_max`?"
    );
}

#[test]
fn every_mistake_is_found_at_once() {
    let error =
        mistakes("datadir = 1\n[engine]\nqueue_max = 0\nbatch_max = \"many\"\n[stop]\ndrain_s = 1e3\n");
    let lines: Vec<_> = error.mistakes.iter().map(|mistake| mistake.line).collect();
    assert_eq!(lines, [Some(1), Some(3), Some(4), Some(6)]);
}

#[test]
fn types_and_bounds() {
    let range =
        |found: &str| Wrong::Range { found: found.to_owned(), min: 64, max: 4_194_304, unit: "commands" };
    for found in ["0", "63", "-1", "4194305", "99999999999999999999"] {
        let text = format!("[engine]\nqueue_max = {found}");
        assert_eq!(mistake(&text), (2, "engine.queue_max".into(), range(found)), "{text}");
    }
    for (text, expected, found) in [
        ("[engine]\nqueue_max = \"64\"", "a whole number", "string"),
        ("[engine]\nqueue_max = 64.0", "a whole number", "float"),
        ("[iso8583]\nsign_on_required = 1", "true or false", "integer"),
        ("[admin]\nsocket = 1", "a text in quotation marks", "integer"),
        ("[iso8583]\nlisteners = \"0.0.0.0:1\"", "a list of listeners", "string"),
        ("[iso8583]\nlisteners = [\"0.0.0.0:1\"]", "a table with address and dialect", "string"),
    ] {
        assert_eq!(mistake(text).2, Wrong::Type { expected, found }, "{text}");
    }
    assert!(
        mistakes("[stop]\ndrain_s = true")
            .to_string()
            .ends_with("`stop.drain_s` is a boolean; write a whole number")
    );
    assert!(matches!(mistake("engine = 5").2, Wrong::Unknown { .. }));
    assert!(matches!(mistake("[engine").2, Wrong::Syntax(_)));
    assert!(matches!(mistake("[log]\nformat = \"xml\"").2, Wrong::Choice { .. }));
    assert_eq!(
        mistake("[engine]\nqueue_max = 64\nbatch_max = 65"),
        (3, "engine.batch_max".into(), Wrong::BatchOverQueue)
    );
}

#[test]
fn addresses_and_listeners() {
    for address in ["0.0.0.0:8580", "192.0.2.1:80", "[::]:8580"] {
        let text = format!("[admin]\nhttp_address = \"{address}\"");
        assert_eq!(mistake(&text).2, Wrong::NotLoopback(address.into()));
    }
    for address in ["localhost:8580", "127.0.0.1", "8580", ""] {
        let text = format!("[admin]\nhttp_address = \"{address}\"");
        assert_eq!(mistake(&text).2, Wrong::Address(address.into()));
    }
    let listener = |inner: &str| mistake(&format!("[iso8583]\nlisteners = [{inner}]")).2;
    let good = r#"{ address = "127.0.0.1:1", dialect = "ascii87" }"#;
    assert_eq!(listener(""), Wrong::ListenerCount { max: 16 });
    assert_eq!(listener(&vec![good; 17].join(",")), Wrong::ListenerCount { max: 16 });
    assert_eq!(listener(&format!("{good},{good}")), Wrong::ListenerTwice("127.0.0.1:1".into()));
    assert_eq!(listener(r#"{ address = "127.0.0.1:1" }"#), Wrong::ListenerLacks("dialect"));
    assert_eq!(listener(r#"{ address = "here", dialect = "ascii87" }"#), Wrong::Address("here".into()));
    assert_eq!(
        listener(r#"{ address = "127.0.0.1:1", dialekt = "ascii87" }"#),
        Wrong::Unknown { nearest: Some("dialect".into()) }
    );
    assert_eq!(
        listener(r#"{ address = "127.0.0.1:1", dialect = "ascii78" }"#),
        Wrong::NoDialect("ascii78".into())
    );
}

#[test]
fn a_dialect_can_be_a_file_beside_the_configuration() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("mayfly.toml");
    let text = r#"iso8583.listeners = [{ address = "127.0.0.1:0", dialect = "acme.toml" }]"#;
    std::fs::write(&file, text).unwrap();
    let check = || Config::read(&file).and_then(|config| config.check());
    assert!(matches!(check().unwrap_err().mistakes[0].wrong, Wrong::NoDialect(_)));
    std::fs::write(directory.path().join("acme.toml"), "base = \"iso8583-1987\"\nhaeder = 1").unwrap();
    assert!(matches!(check().unwrap_err().mistakes[0].wrong, Wrong::Dialect(_)));
    let acme = "base = \"iso8583-1987\"\nheader = \"ascii4\"\nmti = \"ascii\"\nbitmap = \"hex\"\n\
                numeric = \"ascii\"\ntext = \"ascii\"\nbinary = \"hex\"\nlength = \"ascii\"\n";
    std::fs::write(directory.path().join("acme.toml"), acme).unwrap();
    assert_eq!(check().unwrap().endpoints[0].dialect.name(), "acme");
}

#[test]
fn paths_levels_and_files() {
    let long = format!("[admin]\nsocket = \"/{}\"", "x".repeat(100));
    assert_eq!(mistake(&long).2, Wrong::SocketPathLong { bytes: 101 });
    assert_eq!(mistake("data_dir = \"\"").2, Wrong::Empty);
    for (level, part) in [("inof", "inof"), ("", ""), ("info,", ""), ("info,mayfly_network=loud", "loud")] {
        assert_eq!(mistake(&format!("[log]\nlevel = \"{level}\"")).2, Wrong::Level(part.into()));
    }
    let error = Config::read(Path::new("/nonexistent/mayfly.toml")).unwrap_err();
    assert!(error.to_string().contains("mayfly init"), "{error}");
}

fn key_settings(text: &str) -> KeySettings {
    Config::parse(text, Path::new(FILE)).unwrap().check().unwrap().keys
}

#[test]
fn a_root_key_has_one_of_four_sources() {
    let file =
        |name: &str, wrapped| KeySource::File(KeyFile { file: Path::new("/etc/mayfly").join(name), wrapped });
    let secret = |what, variable, setting: &str, file: Option<&str>| SecretFrom {
        what,
        variable,
        setting: setting.to_owned(),
        file: file.map(|file| Path::new("/etc/mayfly").join(file)),
    };
    let passphrase = |file| secret("passphrase", Some(PASSPHRASE_VARIABLE), "keys.passphrase_file", file);
    assert_eq!(key_settings("").root, file("root.key", Wrapped::Plain));
    let text = "[keys]\nsource = \"passphrase\"\nroot_key_file = \"r\"";
    assert_eq!(key_settings(text).root, file("r", Wrapped::Passphrase(passphrase(None))));
    let text = "[keys]\nsource = \"passphrase\"\npassphrase_file = \"/run/p\"";
    assert_eq!(key_settings(text).root, file("root.key", Wrapped::Passphrase(passphrase(Some("/run/p")))));
    let text = "[keys]\nsource = \"wrapping-key\"\nwrapping_key_file = \"w\"";
    assert_eq!(key_settings(text).root, file("root.key", Wrapped::Key("/etc/mayfly/w".into())));
    let token = "[keys]\nsource = \"pkcs11\"\npkcs11_module = \"/usr/lib/m.so\"\npkcs11_token = \"t\"\npkcs11_key = \"k\"";
    let of_token = |key: &str| {
        KeySource::Token(TokenKey {
            module: "/usr/lib/m.so".into(),
            token: "t".into(),
            key: key.into(),
            pin: secret("PIN", Some(PIN_VARIABLE), "keys.pkcs11_pin_file", None),
        })
    };
    assert_eq!(key_settings(token).root, of_token("k"));

    // What a version of the cards' keys does not say is as for the root key, but for what names the key itself.
    let text = format!(
        "{token}\n[[keys.card_keys]]\nversion = 2\npkcs11_key = \"k2\"\n[[keys.card_keys]]\nversion = 7\n\
         source = \"passphrase\"\nroot_key_file = \"seven\"\npassphrase_file = \"p7\"\n"
    );
    let settings = key_settings(&text);
    let numbers: Vec<u16> = settings.cards.keys().map(|version| version.number()).collect();
    let sources: Vec<&KeySource> = settings.cards.values().collect();
    let own = secret("passphrase", None, "keys.card_keys[1].passphrase_file", Some("p7"));
    assert_eq!(numbers, [2, 7]);
    assert_eq!(sources, [&of_token("k2"), &file("seven", Wrapped::Passphrase(own))]);
    let config = Config::parse(&text, Path::new(FILE)).unwrap();
    assert_eq!(key_settings(&config.print()), settings);
}

#[test]
fn what_a_source_of_keys_lacks_or_does_not_need_is_named() {
    let lacks = |source: &str| Wrong::KeyLacks { source: source.to_owned() };
    for (text, line, key, wrong) in [
        ("[keys]\nroot_key_file = \"\"", 2, "keys.root_key_file", lacks("file")),
        ("[keys]\nsource = \"wrapping-key\"", 0, "keys.wrapping_key_file", lacks("wrapping-key")),
        (
            "[keys]\nsource = \"pkcs11\"\npkcs11_module = \"m\"\npkcs11_key = \"k\"",
            0,
            "keys.pkcs11_token",
            lacks("pkcs11"),
        ),
        (
            "[keys]\n\npassphrase_file = \"p\"",
            3,
            "keys.passphrase_file",
            Wrong::NoSuchSource { source: "passphrase" },
        ),
        (
            "[keys]\npkcs11_pin_file = \"p\"",
            2,
            "keys.pkcs11_pin_file",
            Wrong::NoSuchSource { source: "pkcs11" },
        ),
        ("[keys]\ncard_keys = [{ version = 2 }]", 2, "keys.card_keys[0].root_key_file", lacks("file")),
        (
            "[keys]\ncard_keys = [{ version = 2, source = \"pkcs11\", pkcs11_module = \"m\", pkcs11_token = \"t\" }]",
            2,
            "keys.card_keys[0].pkcs11_key",
            lacks("pkcs11"),
        ),
        (
            "[keys]\ncard_keys = [{ root_key_file = \"r\" }]",
            2,
            "keys.card_keys[0]",
            Wrong::CardKeyLacksVersion,
        ),
        (
            "[[keys.card_keys]]\nversion = 2\nroot_key_file = \"a\"\n[[keys.card_keys]]\nversion = 2\nroot_key_file = \"b\"",
            4,
            "keys.card_keys[1]",
            Wrong::CardKeyTwice { version: 2 },
        ),
        (
            "[keys]\ncard_keys = [{ version = 2, root_key_fiel = \"r\" }]",
            2,
            "keys.card_keys[0].root_key_fiel",
            Wrong::Unknown { nearest: Some("root_key_file".to_owned()) },
        ),
        (
            "[keys]\ncard_keys = 5",
            2,
            "keys.card_keys",
            Wrong::Type { expected: "a list of versions", found: "integer" },
        ),
    ] {
        assert_eq!(mistake(text), (line, key.to_owned(), wrong), "{text}");
    }
    for version in ["0", "1", "1000", "-2"] {
        let text = format!("[keys]\ncard_keys = [{{ version = {version}, root_key_file = \"r\" }}]");
        assert!(matches!(mistake(&text).2, Wrong::Range { min: 2, max: 999, .. }), "{text}");
    }
    let text = "[keys]\ncard_keys = [{ version = 2, source = \"paper\" }]";
    assert!(matches!(mistake(text).2, Wrong::Choice { .. }));
    // All that is missing at once.
    assert_eq!(mistakes("[keys]\nsource = \"pkcs11\"").mistakes.len(), 3);
}
