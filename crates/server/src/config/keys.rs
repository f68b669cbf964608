//! Every key of the configuration file: its default, bounds and unit. The reader, the checks and the printed
//! file all follow from this one table.

/// One key.
#[derive(Debug)]
pub struct Key {
    /// The table that it stands in; empty for the file's top.
    pub section: &'static str,
    /// Its name in there.
    pub name: &'static str,
    /// What it may hold.
    pub kind: Kind,
    /// What it is for: one or two sentences.
    pub meaning: &'static str,
}

/// What a key may hold.
#[derive(Debug)]
pub enum Kind {
    /// Yes or no.
    Flag {
        /// If nothing is set.
        default: bool,
    },
    /// A whole number.
    Number {
        /// If nothing is set.
        default: u64,
        /// The least.
        min: u64,
        /// The most.
        max: u64,
        /// What is counted or measured.
        unit: &'static str,
    },
    /// A text.
    Text {
        /// If nothing is set.
        default: &'static str,
        /// What it must look like.
        form: &'static str,
    },
    /// The URL of a database, without a password; empty for none.
    DatabaseUrl,
    /// One of a few words.
    Choice {
        /// If nothing is set.
        default: &'static str,
        /// The words.
        of: &'static [&'static str],
    },
    /// A list of texts, 1 to so many.
    Texts {
        /// How many there may be.
        max: usize,
    },
    /// The list of issuer hosts, none to so many.
    IssuerHosts {
        /// How many there may be.
        max: usize,
    },
    /// The list of ISO 8583 listeners, 1 to so many.
    Listeners {
        /// If nothing is set: address and dialect.
        default: (&'static str, &'static str),
        /// How many there may be.
        max: usize,
    },
    /// The list of further versions of the cards' keys; none if nothing is set.
    CardKeys,
}

impl Key {
    /// Its name with that of its section.
    pub fn path(&self) -> String {
        if self.section.is_empty() { self.name.to_owned() } else { format!("{}.{}", self.section, self.name) }
    }

    /// Default, bounds and unit in words.
    pub fn bounds(&self) -> String {
        match &self.kind {
            Kind::Number { default, min, max, unit } => format!("Default {default}; {min} to {max} {unit}."),
            Kind::Flag { default } => format!("Default {default}; true or false."),
            Kind::Text { default, form } => format!("Default \"{default}\"; {form}."),
            Kind::DatabaseUrl => {
                "Default \"\"; postgres://user@host:port,host2:port/database, or empty for files.".to_owned()
            }
            Kind::Choice { default, of } => format!("Default \"{default}\"; one of {}.", of.join(", ")),
            Kind::Listeners { max, .. } => format!("Default: the one below; 1 to {max} listeners."),
            Kind::Texts { max } => format!("1 to {max} texts; it must be set."),
            Kind::IssuerHosts { max } => format!("Default: none; up to {max} hosts."),
            Kind::CardKeys => {
                let [min, max] = CARD_KEY_VERSIONS;
                format!(
                    "Default []; each has a version, {min} to {max}, and any of {}.",
                    SOURCE_KEYS.map(|key| key.name).join(", ")
                )
            }
        }
    }
}

pub(super) const fn number(
    section: &'static str,
    name: &'static str,
    (default, min, max, unit): (u64, u64, u64, &'static str),
    meaning: &'static str,
) -> Key {
    Key { section, name, kind: Kind::Number { default, min, max, unit }, meaning }
}

pub(super) const fn text(
    section: &'static str,
    name: &'static str,
    (default, form): (&'static str, &'static str),
    meaning: &'static str,
) -> Key {
    Key { section, name, kind: Kind::Text { default, form }, meaning }
}

macro_rules! keys {
    ($($name:ident = $key:expr;)*) => {
        $(pub(crate) static $name: Key = $key;)*

        /// All of them, section by section.
        pub static KEYS: &[&Key] = &[$(&$name,)*];
    };
}

keys! {
    DATA_DIR = text("", "data_dir", (".", "a directory; if relative, to that of this file"),
        "Where journal, views, root key and admin socket are.");
    ISSUER_HOSTS = Key { section: "", name: "issuer_hosts", kind: Kind::IssuerHosts { max: 64 },
        meaning: "Where the hosts are that have the money of accounts: for each issuer one, which is asked before its accounts \
            pay." };

    DATABASE_URL = Key { section: "database", name: "url", kind: Kind::DatabaseUrl,
        meaning: "The PostgreSQL database that keeps journal, views and directory; several hosts are tried in their order for \
            the one that can be written to. Empty: files of SQLite in data_dir. A host that is not this machine is spoken to \
            over TLS unless ?sslmode=disable is added. Never with a password." };
    DATABASE_PASSWORD_FILE = text("database", "password_file",
        ("", "a path; if relative, to data_dir; empty for none"),
        "The password of the database's user, on one line. Its file must be readable by its owner alone. The environment \
         variable MAYFLY_DATABASE_PASSWORD goes before it.");
    DATABASE_CA_FILE = text("database", "ca_file", ("", "a path; if relative, to data_dir; empty for the public ones"),
        "Certificate authorities, as PEM, that are believed when the server connects to the database.");
    DATABASE_STATEMENT_TIME_MAX_MS = number("database", "statement_time_max_ms", (5000, 100, 600_000, "milliseconds"),
        "A statement that is not done after so long is given up.");
    DATABASE_CONNECT_TIME_MAX_MS = number("database", "connect_time_max_ms", (5000, 100, 60_000, "milliseconds"),
        "How long it may take to connect to the database, all of its hosts together.");
    DATABASE_LEASE_MS = number("database", "lease_ms", (5000, 1000, 60_000, "milliseconds"),
        "For how long the active one of several gateways is the active one after it last said so. A standby takes over when \
         that is over: sooner if it is short, but then a database that is slow for a moment is enough.");

    LISTENERS = Key { section: "iso8583", name: "listeners",
        kind: Kind::Listeners { default: ("127.0.0.1:8583", "ascii87"), max: 16 },
        meaning: "Where the network connects, and what it speaks there: the name of a built-in dialect (ascii87, \
            binary87, ebcdic87) or the path of a dialect file. Port 0 takes any free one; run.json says which." };
    CONNECTIONS_MAX = number("iso8583", "connections_max", (1024, 1, 65_536, "connections"),
        "How many connections may be open on all listeners together; one more is closed at once.");
    IN_FLIGHT_MAX = number("iso8583", "in_flight_max", (1024, 1, 65_536, "messages"),
        "How many messages of one connection may wait for their answers; until one leaves, no more are read.");
    MESSAGE_BYTES_MAX = number("iso8583", "message_bytes_max", (4096, 64, 32_767, "bytes"),
        "The longest message, without its header; whoever announces a longer one is disconnected.");
    OUTPUT_BYTES_MAX = number("iso8583", "output_bytes_max", (262_144, 4096, 16_777_216, "bytes"),
        "How many bytes of answers may wait for a peer that does not read them before no more are read from it.");
    IDLE_TIMEOUT_S = number("iso8583", "idle_timeout_s", (300, 1, 86_400, "seconds"),
        "A connection on which nothing comes for so long is closed; a length of zero is a sign of life.");
    READ_TIMEOUT_S = number("iso8583", "read_timeout_s", (30, 1, 600, "seconds"),
        "A message that has begun must be complete after so long, or the connection is closed.");
    WRITE_TIMEOUT_S = number("iso8583", "write_timeout_s", (10, 1, 600, "seconds"),
        "A peer that takes no byte of its answers for so long is disconnected.");
    ANSWER_TIMEOUT_MS = number("iso8583", "answer_timeout_ms", (25_000, 10, 600_000, "milliseconds"),
        "A message that is not decided after so long is answered 96, or 91 while the journal does not confirm. What is \
         approved later is taken back by itself, and a repeat is told 96.");
    SIGN_ON_REQUIRED = Key { section: "iso8583", name: "sign_on_required", kind: Kind::Flag { default: false },
        meaning: "Whether card messages are answered 12 until the peer has signed on (0800 with DE 70 = 001)." };

    HTTP_ADDRESS = text("admin", "http_address",
        ("127.0.0.1:8580", "a loopback address with a port (0 takes any free one), or off"),
        "Where metrics, health and readiness are served, to this machine only.");
    SOCKET = text("admin", "socket", ("admin.sock", "a path of at most 100 bytes; if relative, to data_dir"),
        "Where the command line reaches the server. Only the user that runs it can.");
    ADMIN_CONNECTIONS_MAX = number("admin", "connections_max", (32, 1, 1024, "connections"),
        "How many connections the admin socket takes; one more has to wait.");

    API_ADDRESS = text("api", "address", ("127.0.0.1:8480", "an address with a port (0 takes any free one), or off"),
        "Where the HTTP API is served. Without a certificate only to this machine.");
    API_CERTIFICATE = text("api", "certificate", ("", "a path; if relative, to data_dir; empty for plain HTTP"),
        "The certificate for TLS, with its chain, as PEM.");
    API_CERTIFICATE_KEY = text("api", "certificate_key", ("", "a path; if relative, to data_dir; empty for plain HTTP"),
        "The private key of the certificate, as PEM.");
    API_PLAIN_HTTP = Key { section: "api", name: "plain_http", kind: Kind::Flag { default: false },
        meaning: "Whether plain HTTP is served to other machines, too: only behind something that speaks TLS." };
    API_PROXIES = text("api", "proxies", ("", "IP addresses with commas between them; empty for none"),
        "What speaks TLS before this server: it is believed where a request came from (X-Forwarded-For), by which failed \
         log-ins are counted.");
    API_CONNECTIONS_MAX = number("api", "connections_max", (1024, 1, 65_536, "connections"),
        "How many connections may be open; one more has to wait.");
    API_REQUEST_TIME_MAX_S = number("api", "request_time_max_s", (10, 1, 300, "seconds"),
        "A request that is not answered after so long is answered 503.");

    API_LOGIN_WORKERS = number("api", "login_workers", (1, 1, 64, "threads"),
        "How many passwords are checked at a time; each takes a processor for some 20 ms and 19 MiB. Whoever comes \
         while as many as 16 wait is answered 429.");
    API_SESSION_MIN = number("api", "session_min", (15, 1, 1440, "minutes"),
        "How long a cardholder's session token lets in before it must be refreshed.");
    API_REFRESH_H = number("api", "refresh_h", (8, 1, 720, "hours"),
        "How long after its last refresh a session can be refreshed.");
    API_SESSION_DAYS_MAX = number("api", "session_days_max", (30, 1, 365, "days"),
        "How long a session lasts, however often it is refreshed.");

    OUTBOUND_PRIVATE_ADDRESSES = Key { section: "outbound", name: "private_addresses", kind: Kind::Flag { default: false },
        meaning: "Whether webhooks may lead to addresses of private networks and of this machine: then whoever has an \
            issuer's key can reach what the server can." };
    OUTBOUND_PLAIN_HTTP = Key { section: "outbound", name: "plain_http", kind: Kind::Flag { default: false },
        meaning: "Whether webhooks may be plain HTTP, for everybody on the way to read." };
    OUTBOUND_CA_FILE = text("outbound", "ca_file", ("", "a path; if relative, to data_dir; empty for none"),
        "Certificate authorities, as PEM, that are believed besides the public ones when the server connects to a webhook.");

    QUEUE_MAX = number("engine", "queue_max", (65_536, 64, 4_194_304, "commands"),
        "How many commands may wait to be decided; one more is answered 96.");
    BATCH_MAX = number("engine", "batch_max", (4096, 1, 65_536, "commands"),
        "How many commands one journal record may hold; at most queue_max.");
    VIEWS_LAG_MAX_S = number("engine", "views_lag_max_s", (60, 1, 3600, "seconds"),
        "How far the views may lag behind the journal before new work is refused.");
    REMEMBER_H = number("engine", "remember_h", (48, 1, 720, "hours"),
        "How long a transaction that nothing happens to stays in memory; later it is looked up in the views.");
    TRANSACTIONS_MAX = number("engine", "transactions_max", (20_000_000, 10_000, 1_000_000_000, "transactions"),
        "How many transactions stay in memory (about 300 bytes each); beyond it the oldest leave early.");

    VIEWS_CACHE_MIB = number("views", "cache_mib", (128, 1, 65_536, "MiB"),
        "How much of the views the database keeps in memory; best is 50 bytes for each active number.");

    RETENTION_JOURNAL_DAYS = number("retention", "journal_days", (0, 0, 36_500, "days"),
        "How long records stay in the journal before they are archived to files and dropped: at least 2, or 0 for ever.");
    RETENTION_VIEWS_DAYS = number("retention", "views_days", (0, 0, 36_500, "days"),
        "How long the views keep transactions after they were over, and numbers after they retired: at least journal_days, \
         or 0 for ever. What is dropped can't be refunded or reversed automatically.");
    RETENTION_ARCHIVE_DIR = text("retention", "archive_dir", ("archive", "a directory; if relative, to data_dir"),
        "Where the archive of the journal is. It must be kept as long as the journal: views are built again from both.");

    KEY_SOURCE = Key { section: "keys", name: "source",
        kind: Kind::Choice { default: "file", of: &["file", "passphrase", "wrapping-key", "pkcs11"] },
        meaning: "Where the root key is: in a file as it is; in a file, wrapped by a passphrase or by the key of another \
            file; or in a hardware module that never gives it away." };
    ROOT_KEY_FILE = text("keys", "root_key_file", ("root.key", "a path; if relative, to data_dir"),
        "The root key, unless a module has it. Its file must be readable by its owner alone. Without it no number can be found again: \
         keep a copy elsewhere.");
    PASSPHRASE_FILE = text("keys", "passphrase_file", ("", "a path; if relative, to data_dir; empty for none"),
        "The passphrase of a wrapped root key, on one line. Its file must be readable by its owner alone. The environment \
         variable MAYFLY_KEY_PASSPHRASE goes before it.");
    WRAPPING_KEY_FILE = text("keys", "wrapping_key_file", ("", "a path; if relative, to data_dir; empty for none"),
        "The key that a root key is wrapped by. Its file must be readable by its owner alone, and lie where copies of the \
         root key's do not.");
    PKCS11_MODULE = text("keys", "pkcs11_module", ("", "a path; if relative, to data_dir; empty for none"),
        "The library (PKCS#11) that speaks to the hardware module.");
    PKCS11_TOKEN = text("keys", "pkcs11_token", ("", "a text; empty for none"), "The label of the token in the module.");
    PKCS11_KEY = text("keys", "pkcs11_key", ("", "a text; empty for none"), "The label of the root key in the token.");
    PKCS11_PIN_FILE = text("keys", "pkcs11_pin_file", ("", "a path; if relative, to data_dir; empty for none"),
        "The PIN of the token's user, on one line. Its file must be readable by its owner alone. The environment \
         variable MAYFLY_PKCS11_PIN goes before it.");
    CARD_KEYS = Key { section: "keys", name: "card_keys", kind: Kind::CardKeys,
        meaning: "The root keys of further versions of the cards' keys; version 1 is the root key itself. Each names its \
            own root_key_file or pkcs11_key; what else it does not name is as above." };

    LOG_FORMAT = Key { section: "log", name: "format", kind: Kind::Choice { default: "text", of: &["text", "json"] },
        meaning: "How the log is written, on standard error: lines for people, or one JSON object a line." };
    LOG_LEVEL = text("log", "level",
        ("info", "off, error, warn, info, debug or trace; for one part more, as in info,mayfly_network=debug"),
        "How much is logged.");

    DRAIN_S = number("stop", "drain_s", (10, 1, 600, "seconds"),
        "How long a stop waits for answers that are under way; then connections are closed.");
}

/// What says where a root key is: that of the installation, or of a version of the cards' keys.
pub(crate) static SOURCE_KEYS: [&Key; 8] = [
    &KEY_SOURCE,
    &ROOT_KEY_FILE,
    &PASSPHRASE_FILE,
    &WRAPPING_KEY_FILE,
    &PKCS11_MODULE,
    &PKCS11_TOKEN,
    &PKCS11_KEY,
    &PKCS11_PIN_FILE,
];

/// The first and the last version that is not the root key's own.
pub(crate) const CARD_KEY_VERSIONS: [u64; 2] = [2, mayfly_keys::KeyVersions::COUNT_MAX as u64];

/// The keys of one listener.
pub(crate) const LISTENER_KEYS: [&str; 2] = ["address", "dialect"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_within_its_bounds_and_every_number_has_a_unit() {
        for key in KEYS {
            match &key.kind {
                Kind::Number { default, min, max, unit } => {
                    assert!(min <= default && default <= max && !unit.is_empty(), "{}", key.path());
                }
                Kind::Choice { default, of } => assert!(of.contains(default), "{}", key.path()),
                Kind::Text { form, .. } => assert!(!form.is_empty(), "{}", key.path()),
                Kind::Listeners { max, .. } => assert!(*max > 0),
                Kind::Texts { max } | Kind::IssuerHosts { max } => assert!(*max > 0),
                Kind::Flag { .. } | Kind::DatabaseUrl | Kind::CardKeys => {}
            }
            assert!(key.meaning.ends_with('.'), "{}", key.path());
        }
    }

    #[test]
    fn no_key_stands_twice_and_sections_are_together() {
        let mut paths: Vec<_> = KEYS.iter().map(|key| key.path()).collect();
        paths.sort();
        assert!(paths.windows(2).all(|pair| pair[0] != pair[1]));
        let mut sections: Vec<_> = KEYS.iter().map(|key| key.section).collect();
        sections.dedup();
        let count = sections.len();
        sections.sort_unstable();
        sections.dedup();
        assert_eq!(sections.len(), count);
    }
}
