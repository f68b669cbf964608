//! Settings: a configuration that was checked, with addresses, paths and dialects instead of texts.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use mayfly_iso8583::Dialect;
use mayfly_network::Endpoint;
use mayfly_office::ReceptionOptions;
use mayfly_outbound::{ClientOptions, TargetRules};
use mayfly_store::{CUT_AGE_MIN_MS, Home, RetentionOptions};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;

use super::keys::{self, Key};
use super::mistake::{ConfigError, Mistake, Wrong};
use super::{CONFIG_FILE, Config, KeySettings, SOCKET_BYTES_MAX};
use crate::hosts::HostSettings;

/// The longest dialect file, in bytes.
const DIALECT_BYTES_MAX: u64 = 256 * 1024;

/// What a server runs with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the root key's check value, the admin socket and run.json are; and what is stored, if it is in files.
    pub data_dir: PathBuf,
    /// Where journal, views and directory are: in files there, or in a database.
    pub home: Home,
    /// For how long this gateway is the active one, if others share its database, after it last said so.
    pub lease: Duration,
    /// The configuration file, whether or not there is one.
    pub file: PathBuf,
    /// Where the network connects, and what is spoken there.
    pub endpoints: Vec<Endpoint>,
    /// The hosts that have the money of accounts.
    pub issuer_hosts: Vec<HostSettings>,
    /// The network's bounds.
    pub network: mayfly_network::Options,
    /// Where metrics, health and readiness are served; none if switched off.
    pub http_address: Option<SocketAddr>,
    /// The admin socket.
    pub socket: PathBuf,
    /// How many connections the admin socket takes.
    pub admin_connections_max: usize,
    /// The HTTP API; none if switched off.
    pub api: Option<ApiSettings>,
    /// Where the server may connect to, and whom it believes.
    pub outbound: ClientOptions,
    /// The engine's bounds.
    pub engine: mayfly_engine::Options,
    /// How much of the views is kept in memory, in bytes.
    pub views_cache_bytes: usize,
    /// What is kept for how long.
    pub retention: RetentionOptions,
    /// Where root keys are.
    pub keys: KeySettings,
    /// How the log is written.
    pub log_format: LogFormat,
    /// How much is logged.
    pub log_filter: LogFilter,
    /// How long a stop waits for answers under way.
    pub drain: Duration,
}

/// Where and how the HTTP API is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiSettings {
    /// Where.
    pub address: SocketAddr,
    /// Certificate and private key for TLS; plain HTTP if none.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// Whether plain HTTP is served to other machines, too.
    pub plain_http: bool,
    /// From which addresses the word of where a request came from is taken.
    pub proxies: Vec<IpAddr>,
    /// How many connections may be open.
    pub connections_max: usize,
    /// How long a request may take.
    pub request_time_max: Duration,
    /// How cardholders are let in.
    pub reception: ReceptionOptions,
}

/// How the log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for people.
    Text,
    /// One JSON object a line.
    Json,
}

/// How much is logged, by part.
#[derive(Clone, Debug, PartialEq)]
pub struct LogFilter(pub(crate) Targets);

impl LogFilter {
    /// From `info` or `info,mayfly_network=debug`; the error is the part that is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        let level = |text: &str| text.trim().parse::<LevelFilter>().map_err(|_| text.trim().to_owned());
        let mut targets = Targets::new();
        for part in text.split(',') {
            targets = match part.split_once('=') {
                Some((target, text)) => targets.with_target(target.trim(), level(text)?),
                // A number is a level to the parser, and so is an empty text.
                None if part.trim().is_empty() => return Err(part.to_owned()),
                None => targets.with_default(level(part)?),
            };
        }
        Ok(Self(targets))
    }
}

impl Settings {
    /// Of a data directory: by its configuration file if it has one, else all defaults.
    ///
    /// # Errors
    /// Every mistake in the file.
    pub fn of_directory(directory: &Path) -> Result<Self, ConfigError> {
        let file = directory.join(CONFIG_FILE);
        if file.exists() { Config::read(&file)?.check() } else { Config::standard(&file).check() }
    }

    /// By a configuration file.
    ///
    /// # Errors
    /// Every mistake in the file.
    pub fn of_file(file: &Path) -> Result<Self, ConfigError> {
        Config::read(file)?.check()
    }
}

pub(super) fn check(config: &Config) -> Result<Settings, ConfigError> {
    let mut check = Check { config, mistakes: Vec::new() };
    let settings = check.settings();
    match settings {
        Some(settings) if check.mistakes.is_empty() => Ok(settings),
        _ => Err(ConfigError { file: config.file.clone(), mistakes: check.mistakes }),
    }
}

pub(super) struct Check<'a> {
    pub(super) config: &'a Config,
    mistakes: Vec<Mistake>,
}

impl Check<'_> {
    /// None if there is nothing to go on with; what is wrong is among the mistakes.
    fn settings(&mut self) -> Option<Settings> {
        let base = match self.config.file.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        let data_dir = self.path(&keys::DATA_DIR, &base);
        let home = self.home(&data_dir);
        let endpoints = self.endpoints(&base);
        let issuer_hosts = self.issuer_hosts(&base, self.config.number(&keys::DRAIN_S) * 1000);
        let http_address = self.http_address();
        let socket = self.path(&keys::SOCKET, &data_dir);
        let bytes = socket.as_os_str().len();
        if bytes > SOCKET_BYTES_MAX {
            self.wrong(&keys::SOCKET, Wrong::SocketPathLong { bytes });
        }
        let log_filter = LogFilter::parse(self.config.text(&keys::LOG_LEVEL))
            .map_err(|part| self.wrong(&keys::LOG_LEVEL, Wrong::Level(part)));
        let engine = self.engine();
        let retention = self.retention(&data_dir, engine.remember_ms);
        let api = self.api(&data_dir);
        let root_keys = self.keys(&data_dir);
        let outbound = self.outbound(&data_dir);
        Some(Settings {
            file: self.config.file.clone(),
            endpoints,
            issuer_hosts,
            network: self.network(),
            http_address,
            socket,
            admin_connections_max: self.count(&keys::ADMIN_CONNECTIONS_MAX),
            engine,
            api,
            outbound,
            views_cache_bytes: self.count(&keys::VIEWS_CACHE_MIB) << 20,
            retention,
            keys: root_keys?,
            log_format: match self.config.text(&keys::LOG_FORMAT) {
                "json" => LogFormat::Json,
                _ => LogFormat::Text,
            },
            log_filter: log_filter.ok()?,
            drain: self.seconds(&keys::DRAIN_S),
            home: home?,
            lease: Duration::from_millis(self.config.number(&keys::DATABASE_LEASE_MS)),
            data_dir,
        })
    }

    fn network(&self) -> mayfly_network::Options {
        let ms = |key: &Key| self.config.number(key) * 1000;
        mayfly_network::Options {
            connections_max: self.count(&keys::CONNECTIONS_MAX),
            in_flight_max: self.count(&keys::IN_FLIGHT_MAX),
            message_bytes_max: self.count(&keys::MESSAGE_BYTES_MAX),
            output_bytes_max: self.count(&keys::OUTPUT_BYTES_MAX),
            idle_ms_max: ms(&keys::IDLE_TIMEOUT_S),
            message_ms_max: ms(&keys::READ_TIMEOUT_S),
            write_ms_max: ms(&keys::WRITE_TIMEOUT_S),
            answer_ms_max: self.config.number(&keys::ANSWER_TIMEOUT_MS),
            stop_ms_max: ms(&keys::DRAIN_S),
            sign_on_required: self.config.flag(&keys::SIGN_ON_REQUIRED),
        }
    }

    fn engine(&mut self) -> mayfly_engine::Options {
        let options = mayfly_engine::Options {
            queue_max: self.count(&keys::QUEUE_MAX),
            batch_max: self.count(&keys::BATCH_MAX),
            views_lag_max_ms: self.config.number(&keys::VIEWS_LAG_MAX_S) * 1000,
            remember_ms: self.config.number(&keys::REMEMBER_H) * 3_600_000,
            transactions_max: self.count(&keys::TRANSACTIONS_MAX),
        };
        if options.batch_max > options.queue_max {
            self.wrong(&keys::BATCH_MAX, Wrong::BatchOverQueue);
        }
        options
    }

    fn retention(&mut self, base: &Path, remember_ms: u64) -> RetentionOptions {
        let days = |key: &Key| Some(self.config.number(key)).filter(|days| *days > 0);
        let (journal, views) = (days(&keys::RETENTION_JOURNAL_DAYS), days(&keys::RETENTION_VIEWS_DAYS));
        let ms = |days: Option<u64>| days.map(|days| days * 86_400_000);
        let (journal_ms, views_ms) = (ms(journal), ms(views));
        if journal_ms.is_some_and(|journal_ms| journal_ms < CUT_AGE_MIN_MS) {
            self.wrong(&keys::RETENTION_JOURNAL_DAYS, Wrong::JournalShort);
        }
        if views_ms.is_some_and(|views_ms| journal_ms.is_none_or(|journal_ms| views_ms < journal_ms)) {
            self.wrong(&keys::RETENTION_VIEWS_DAYS, Wrong::ViewsBeforeJournal);
        } else if views_ms.is_some_and(|views_ms| views_ms <= remember_ms) {
            self.wrong(&keys::RETENTION_VIEWS_DAYS, Wrong::ViewsBeforeEngine);
        }
        let archive_dir = self.path(&keys::RETENTION_ARCHIVE_DIR, base);
        RetentionOptions { journal_ms, views_ms, remember_ms, ..RetentionOptions::forever(archive_dir) }
    }

    fn api(&mut self, base: &Path) -> Option<ApiSettings> {
        let text = self.config.text(&keys::API_ADDRESS);
        if text == "off" {
            return None;
        }
        let Ok(address) = text.parse::<SocketAddr>() else {
            self.wrong(&keys::API_ADDRESS, Wrong::Address(text.to_owned()));
            return None;
        };
        let file = |key: &Key| self.file(key, base);
        let tls = match (file(&keys::API_CERTIFICATE), file(&keys::API_CERTIFICATE_KEY)) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            (certificate, _) => {
                let lacks =
                    if certificate.is_none() { &keys::API_CERTIFICATE } else { &keys::API_CERTIFICATE_KEY };
                self.wrong(lacks, Wrong::HalfTls);
                None
            }
        };
        let plain_http = self.config.flag(&keys::API_PLAIN_HTTP);
        if tls.is_none() && !plain_http && !address.ip().is_loopback() {
            self.wrong(&keys::API_ADDRESS, Wrong::PlainHttp(text.to_owned()));
        }
        Some(ApiSettings {
            address,
            tls,
            plain_http,
            proxies: self.proxies(),
            connections_max: self.count(&keys::API_CONNECTIONS_MAX),
            request_time_max: self.seconds(&keys::API_REQUEST_TIME_MAX_S),
            reception: ReceptionOptions {
                workers: self.count(&keys::API_LOGIN_WORKERS),
                session_ms: self.config.number(&keys::API_SESSION_MIN) * 60_000,
                refresh_ms: self.config.number(&keys::API_REFRESH_H) * 3_600_000,
                session_max_ms: self.config.number(&keys::API_SESSION_DAYS_MAX) * 86_400_000,
                ..ReceptionOptions::default()
            },
        })
    }

    fn outbound(&self, base: &Path) -> ClientOptions {
        ClientOptions {
            rules: TargetRules {
                plain_http: self.config.flag(&keys::OUTBOUND_PLAIN_HTTP),
                private_addresses: self.config.flag(&keys::OUTBOUND_PRIVATE_ADDRESSES),
            },
            ca_file: self.file(&keys::OUTBOUND_CA_FILE, base),
        }
    }

    fn proxies(&mut self) -> Vec<IpAddr> {
        let texts = self.config.text(&keys::API_PROXIES).split(',').map(str::trim);
        let parsed: Result<Vec<IpAddr>, String> = texts
            .filter(|text| !text.is_empty())
            .map(|text| text.parse().map_err(|_| text.to_owned()))
            .collect();
        parsed.unwrap_or_else(|text| {
            self.wrong(&keys::API_PROXIES, Wrong::IpAddress(text));
            Vec::new()
        })
    }

    fn http_address(&mut self) -> Option<SocketAddr> {
        let text = self.config.text(&keys::HTTP_ADDRESS);
        if text == "off" {
            return None;
        }
        match text.parse::<SocketAddr>() {
            Ok(address) if address.ip().is_loopback() => Some(address),
            Ok(_) => {
                self.wrong(&keys::HTTP_ADDRESS, Wrong::NotLoopback(text.to_owned()));
                None
            }
            Err(_) => {
                self.wrong(&keys::HTTP_ADDRESS, Wrong::Address(text.to_owned()));
                None
            }
        }
    }

    fn endpoints(&mut self, base: &Path) -> Vec<Endpoint> {
        let mut endpoints: Vec<Endpoint> = Vec::new();
        for (at, text) in self.config.listeners(&keys::LISTENERS).into_iter().enumerate() {
            let path = format!("{}[{at}]", keys::LISTENERS.path());
            let address = match text.address.parse::<SocketAddr>() {
                Ok(address) => Some(address),
                Err(_) => {
                    self.wrong_at(&keys::LISTENERS, format!("{path}.address"), Wrong::Address(text.address));
                    None
                }
            };
            let dialect = match dialect(&text.dialect, base) {
                Ok(dialect) => Some(dialect),
                Err(wrong) => {
                    self.wrong_at(&keys::LISTENERS, format!("{path}.dialect"), wrong);
                    None
                }
            };
            let (Some(address), Some(dialect)) = (address, dialect) else { continue };
            if address.port() != 0 && endpoints.iter().any(|other| other.address == address) {
                self.wrong(&keys::LISTENERS, Wrong::ListenerTwice(address.to_string()));
            }
            endpoints.push(Endpoint { address, dialect });
        }
        endpoints
    }

    fn path(&mut self, key: &Key, base: &Path) -> PathBuf {
        let text = self.config.text(key);
        if text.is_empty() {
            self.wrong(key, Wrong::Empty);
        }
        if text == "." { base.to_owned() } else { base.join(text) }
    }

    /// A file that can be left out.
    pub(super) fn file(&self, key: &Key, base: &Path) -> Option<PathBuf> {
        Some(self.config.text(key)).filter(|text| !text.is_empty()).map(|text| base.join(text))
    }

    fn count(&self, key: &Key) -> usize {
        // No bound in the table is beyond 32 bits.
        usize::try_from(self.config.number(key)).unwrap_or(usize::MAX)
    }

    fn seconds(&self, key: &Key) -> Duration {
        Duration::from_secs(self.config.number(key))
    }

    pub(super) fn wrong(&mut self, key: &Key, wrong: Wrong) {
        self.wrong_at(key, key.path(), wrong);
    }

    pub(super) fn wrong_at(&mut self, key: &Key, path: String, wrong: Wrong) {
        self.mistakes.push(Mistake { line: self.config.line(key), key: path, wrong });
    }
}

/// A built-in dialect, or that of a file.
pub(super) fn dialect(name: &str, base: &Path) -> Result<&'static Dialect, Wrong> {
    if let Some(dialect) = mayfly_iso8583::Dialect::builtin(name) {
        return Ok(dialect);
    }
    let path = base.join(name);
    let no_dialect = || Wrong::NoDialect(name.to_owned());
    let metadata = std::fs::metadata(&path).map_err(|_| no_dialect())?;
    if !metadata.is_file() || metadata.len() > DIALECT_BYTES_MAX {
        return Err(no_dialect());
    }
    let text = std::fs::read_to_string(&path).map_err(|_| no_dialect())?;
    // A few, read once at start and needed until the end: they are never given back.
    let title = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or(name);
    Dialect::parse(title, &text)
        .map(|dialect| &*Box::leak(Box::new(dialect)))
        .map_err(|error| Wrong::Dialect(error.to_string()))
}
