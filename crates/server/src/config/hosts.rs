//! The issuer hosts: `[[issuer_hosts]]`, each with keys of its own.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use mayfly_card::AcquirerId;
use mayfly_core::{IssuerId, LimitError};
use mayfly_network::forward::ForwardOptions;
use mayfly_network::host::Identity;
use mayfly_network::link::{Host, LinkOptions};
use toml::Spanned;
use toml::de::DeValue;

use super::Value;
use super::keys::{self, Key, Kind, number, text};
use super::mistake::Wrong;
use super::read::{Reader, join, nearest};
use super::settings::{Check, dialect};
use crate::hosts::HostSettings;

/// The longest address of a host.
const ADDRESS_BYTES_MAX: usize = 256;

const SECTION: &str = "issuer_hosts";

static ISSUER: Key =
    text(SECTION, "issuer", ("", "an issuer's id, as in iss_1; it must be set"), "Whose host it is.");
static ADDRESSES: Key = Key {
    section: SECTION,
    name: "addresses",
    kind: Kind::Texts { max: 16 },
    meaning: "Where it listens: name or IP address, and port. All of them are used at the same time.",
};
static DIALECT: Key = text(
    SECTION,
    "dialect",
    ("ascii87", "the name of a built-in dialect (ascii87, binary87, ebcdic87) or the path of a dialect file"),
    "What it speaks.",
);
static ACQUIRER: Key = text(
    SECTION,
    "acquirer",
    ("", "1 to 11 digits; it must be set"),
    "Our own acquirer id (DE 32), under which the host knows second requests and advices.",
);
static INSTITUTION: Key = text(
    SECTION,
    "institution",
    ("", "up to 11 digits; empty for none"),
    "As whom the link signs on (DE 33).",
);
static CONNECTIONS: Key = number(
    SECTION,
    "connections",
    (2, 1, 64, "connections"),
    "How many connections are kept to each address.",
);
static IN_FLIGHT_MAX: Key = number(
    SECTION,
    "in_flight_max",
    (1024, 1, 65_536, "questions"),
    "How many questions of one connection may wait for their answers; more wait until there is room.",
);
static QUEUE_MAX: Key = number(
    SECTION,
    "queue_max",
    (4096, 0, 65_536, "questions"),
    "How many questions may wait for room; one more is declined at once.",
);
static ANSWER_MS_MAX: Key = number(
    SECTION,
    "answer_ms_max",
    (15_000, 10, 600_000, "milliseconds"),
    "How long the host may take to acknowledge what it is told. How long a purchase waits for it is set for the issuer \
     (mayfly issuer host), and never longer than this.",
);
static CONNECT_MS_MAX: Key = number(
    SECTION,
    "connect_ms_max",
    (5_000, 10, 600_000, "milliseconds"),
    "How long a connection may take to be opened.",
);
static ECHO_AFTER_MS: Key = number(
    SECTION,
    "echo_after_ms",
    (30_000, 10, 86_400_000, "milliseconds"),
    "After how long without a byte from the host it is asked for an echo.",
);
static ECHO_MS_MAX: Key = number(
    SECTION,
    "echo_ms_max",
    (10_000, 10, 600_000, "milliseconds"),
    "How long the host may take to answer a sign-on, a sign-off or an echo; then its connection is opened anew.",
);
static RECONNECT_MS_FIRST: Key = number(
    SECTION,
    "reconnect_ms_first",
    (500, 1, 600_000, "milliseconds"),
    "The first wait before a connection is opened again. It doubles with every failure in a row, and up to half of it is \
     left to chance.",
);
static RECONNECT_MS_MAX: Key = number(
    SECTION,
    "reconnect_ms_max",
    (30_000, 1, 3_600_000, "milliseconds"),
    "The longest of these waits; not less than the first.",
);
static ADVICES_AT_ONCE_MAX: Key = number(
    SECTION,
    "advices_at_once_max",
    (16, 1, 1024, "advices"),
    "How many reversals and other advices may wait for their acknowledgement at once.",
);
static ADVICE_REPEAT_MS_FIRST: Key = number(
    SECTION,
    "advice_repeat_ms_first",
    (1_000, 1, 600_000, "milliseconds"),
    "The first wait before an advice is repeated. It doubles with every repeat, and up to half of it is left to chance.",
);
static ADVICE_REPEAT_MS_MAX: Key = number(
    SECTION,
    "advice_repeat_ms_max",
    (300_000, 1, 86_400_000, "milliseconds"),
    "The longest of these waits; not less than the first.",
);

/// The keys of one host.
pub(super) static HOST_KEYS: [&Key; 17] = [
    &ISSUER,
    &ADDRESSES,
    &DIALECT,
    &ACQUIRER,
    &INSTITUTION,
    &CONNECTIONS,
    &IN_FLIGHT_MAX,
    &QUEUE_MAX,
    &ANSWER_MS_MAX,
    &CONNECT_MS_MAX,
    &ECHO_AFTER_MS,
    &ECHO_MS_MAX,
    &RECONNECT_MS_FIRST,
    &RECONNECT_MS_MAX,
    &ADVICES_AT_ONCE_MAX,
    &ADVICE_REPEAT_MS_FIRST,
    &ADVICE_REPEAT_MS_MAX,
];

/// A host as it stands in the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct HostText {
    values: BTreeMap<&'static str, Value>,
}

/// What can be wrong with a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostWrong {
    /// There are too many.
    Count {
        /// How many there may be.
        max: usize,
    },
    /// This key is missing.
    Lacks(&'static str),
    /// No id of an issuer.
    Issuer(String),
    /// Two hosts of one issuer.
    Twice(IssuerId),
    /// No address, or too many.
    AddressCount {
        /// How many there may be.
        max: usize,
    },
    /// No name with a port.
    Address(String),
    /// No institution's number.
    Institution(String),
    /// What does not fit together.
    Limit(LimitError),
}

impl fmt::Display for HostWrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count { max } => write!(f, "has too many hosts; set at most {max}"),
            Self::Lacks(key) => write!(f, "lacks {key}; set it"),
            Self::Issuer(found) => write!(f, "is \"{found}\"; set an issuer's id, as in iss_1"),
            Self::Twice(issuer) => {
                write!(f, "is {issuer} once more; name an issuer once, with all addresses of its host")
            }
            Self::AddressCount { max } => write!(f, "must have 1 to {max} addresses"),
            Self::Address(found) => {
                write!(f, "has \"{found}\"; set a name or an IP address, and a port, as in host.example:8583")
            }
            Self::Institution(found) => write!(f, "is \"{found}\"; set up to 11 digits"),
            Self::Limit(LimitError { term, bounds }) => {
                write!(f, "does not fit together: {term} must be {bounds}")
            }
        }
    }
}

impl HostText {
    fn text<'a>(&'a self, key: &'a Key) -> &'a str {
        match (self.values.get(key.name), &key.kind) {
            (Some(Value::Text(text)), _) => text,
            (_, Kind::Text { default, .. }) => default,
            _ => "",
        }
    }

    fn number(&self, key: &Key) -> u64 {
        match (self.values.get(key.name), &key.kind) {
            (Some(Value::Number(number)), _) => *number,
            (_, Kind::Number { default, .. }) => *default,
            _ => 0,
        }
    }

    fn count(&self, key: &Key) -> usize {
        // No bound in the table is beyond 32 bits.
        usize::try_from(self.number(key)).unwrap_or(usize::MAX)
    }

    fn addresses(&self) -> &[String] {
        match self.values.get(ADDRESSES.name) {
            Some(Value::Texts(texts)) => texts,
            _ => &[],
        }
    }
}

impl Reader<'_> {
    /// All hosts.
    pub(super) fn hosts(&mut self, path: &str, max: usize, value: &Spanned<DeValue<'_>>) -> Option<Value> {
        let DeValue::Array(array) = value.get_ref() else {
            let found = value.get_ref().type_str();
            let expected = "a list of tables, as in [[issuer_hosts]]";
            self.wrong(Some(value.span()), path, Wrong::Type { expected, found });
            return None;
        };
        if array.len() > max {
            self.wrong(Some(value.span()), path, Wrong::IssuerHost(HostWrong::Count { max }));
            return None;
        }
        let items = array.iter().enumerate();
        let hosts: Vec<_> =
            items.filter_map(|(at, item)| self.host(&format!("{path}[{at}]"), item)).collect();
        (hosts.len() == array.len()).then_some(Value::IssuerHosts(hosts))
    }

    fn host(&mut self, path: &str, item: &Spanned<DeValue<'_>>) -> Option<HostText> {
        let DeValue::Table(table) = item.get_ref() else {
            let (expected, found) =
                ("a table with issuer, addresses and acquirer", item.get_ref().type_str());
            self.wrong(Some(item.span()), path, Wrong::Type { expected, found });
            return None;
        };
        let mut host = HostText::default();
        let mut whole = true;
        for (name, value) in table {
            let Some(key) = HOST_KEYS.iter().find(|key| key.name == name.get_ref()) else {
                let known = HOST_KEYS.iter().map(|key| key.name.to_owned());
                let nearest = nearest(name.get_ref(), known);
                self.wrong(Some(name.span()), &join(path, name.get_ref()), Wrong::Unknown { nearest });
                whole = false;
                continue;
            };
            match self.value(key, value) {
                Some(value) => drop(host.values.insert(key.name, value)),
                None => whole = false,
            }
        }
        for key in [&ISSUER, &ADDRESSES, &ACQUIRER] {
            if whole && !host.values.contains_key(key.name) {
                self.wrong(Some(item.span()), path, Wrong::IssuerHost(HostWrong::Lacks(key.name)));
                whole = false;
            }
        }
        whole.then_some(host)
    }

    /// A list of texts.
    pub(super) fn texts(&mut self, path: &str, max: usize, value: &Spanned<DeValue<'_>>) -> Option<Value> {
        let texts: Option<Vec<String>> = value
            .get_ref()
            .as_array()
            .and_then(|array| array.iter().map(|item| item.get_ref().as_str().map(str::to_owned)).collect());
        let wrong = match texts {
            Some(texts) if (1..=max).contains(&texts.len()) => return Some(Value::Texts(texts)),
            Some(_) => Wrong::IssuerHost(HostWrong::AddressCount { max }),
            None => {
                let found = value.get_ref().type_str();
                Wrong::Type { expected: "a list of texts in quotation marks", found }
            }
        };
        self.wrong(Some(value.span()), path, wrong);
        None
    }
}

impl Check<'_> {
    /// The hosts, as they are used.
    pub(super) fn issuer_hosts(&mut self, base: &Path, stop_ms_max: u64) -> Vec<HostSettings> {
        let mut found: Vec<HostSettings> = Vec::new();
        for (at, host) in self.config.issuer_hosts(&keys::ISSUER_HOSTS).iter().enumerate() {
            let path = format!("{}[{at}]", keys::ISSUER_HOSTS.path());
            match settings(host, base, stop_ms_max) {
                Ok(host) if found.iter().any(|other| other.issuer == host.issuer) => {
                    let wrong = Wrong::IssuerHost(HostWrong::Twice(host.issuer));
                    self.wrong_at(&keys::ISSUER_HOSTS, join(&path, ISSUER.name), wrong);
                }
                Ok(host) => found.push(host),
                Err((key, wrong)) => {
                    let path = key.map_or(path.clone(), |key| join(&path, key));
                    self.wrong_at(&keys::ISSUER_HOSTS, path, wrong);
                }
            }
        }
        found
    }
}

fn settings(
    host: &HostText,
    base: &Path,
    stop_ms_max: u64,
) -> Result<HostSettings, (Option<&'static str>, Wrong)> {
    let wrong = |key: &'static Key, wrong| (Some(key.name), Wrong::IssuerHost(wrong));
    let text = host.text(&ISSUER);
    let issuer = IssuerId::parse(text).map_err(|_| wrong(&ISSUER, HostWrong::Issuer(text.to_owned())))?;
    let institution = |key: &'static Key| {
        let text = host.text(key);
        AcquirerId::parse(text).map_err(|_| wrong(key, HostWrong::Institution(text.to_owned())))
    };
    let acquirer = institution(&ACQUIRER)?;
    if acquirer.is_empty() {
        return Err(wrong(&ACQUIRER, HostWrong::Institution(String::new())));
    }
    let connections = host.count(&CONNECTIONS);
    let hosts = host.addresses().iter().map(|address| match address.rsplit_once(':') {
        Some((name, port))
            if !name.is_empty() && address.len() <= ADDRESS_BYTES_MAX && port.parse::<u16>().is_ok() =>
        {
            Ok(Host { address: address.clone(), connections })
        }
        _ => Err(wrong(&ADDRESSES, HostWrong::Address(address.clone()))),
    });
    let hosts = hosts.collect::<Result<Vec<_>, _>>()?;
    let link = LinkOptions {
        in_flight_max: host.count(&IN_FLIGHT_MAX),
        queue_max: host.count(&QUEUE_MAX),
        answer_ms_max: host.number(&ANSWER_MS_MAX),
        connect_ms_max: host.number(&CONNECT_MS_MAX),
        management_ms_max: host.number(&ECHO_MS_MAX),
        echo_after_ms: host.number(&ECHO_AFTER_MS),
        retry_ms_first: host.number(&RECONNECT_MS_FIRST),
        retry_ms_max: host.number(&RECONNECT_MS_MAX),
        stop_ms_max,
        ..LinkOptions::default()
    };
    let forward = ForwardOptions {
        at_once_max: host.count(&ADVICES_AT_ONCE_MAX),
        retry_ms_first: host.number(&ADVICE_REPEAT_MS_FIRST),
        retry_ms_max: host.number(&ADVICE_REPEAT_MS_MAX),
        ..ForwardOptions::default()
    };
    let all: usize = hosts.iter().map(|host| host.connections).sum();
    link.check(all)
        .and_then(|()| forward.check())
        .map_err(|error| (None, Wrong::IssuerHost(HostWrong::Limit(error))))?;
    Ok(HostSettings {
        issuer,
        hosts,
        dialect: dialect(host.text(&DIALECT), base).map_err(|wrong| (Some(DIALECT.name), wrong))?,
        identity: Identity { acquirer },
        institution: institution(&INSTITUTION)?,
        link,
        forward,
    })
}

/// What the printed configuration says of the keys of a host.
pub(super) fn explained() -> String {
    let mut all =
        String::from("For each host a table [[issuer_hosts]] at the end of this file, with these keys.");
    for key in HOST_KEYS {
        all.push_str(&format!("\n{}: {} {}", key.name, key.meaning, key.bounds()));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_explained_and_every_default_within_its_bounds() {
        for key in HOST_KEYS {
            assert!(key.meaning.ends_with('.'), "{}", key.path());
            if let Kind::Number { default, min, max, .. } = key.kind {
                assert!(min <= default && default <= max, "{}", key.path());
            }
        }
        // What is not set is what the link and the queue themselves take for right.
        let text = |text: &str| Value::Text(text.to_owned());
        let values = BTreeMap::from([
            ("issuer", text("iss_1")),
            ("addresses", Value::Texts(vec!["host.example:8583".to_owned()])),
            ("acquirer", text("990001")),
        ]);
        let settings = settings(&HostText { values }, Path::new("."), 10_000).unwrap();
        assert_eq!(settings.link, LinkOptions::default());
        assert_eq!(settings.forward, ForwardOptions::default());
    }
}
