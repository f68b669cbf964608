//! PostgreSQL: where it is, how it is connected to, and what its errors mean.

mod bulk;
mod error;
mod link;
pub(crate) mod schema;
mod tls;

use std::fmt;
use std::path::Path;
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode, TargetSessionAttrs};

use crate::Location;
use crate::format::Durability;
pub(crate) use bulk::{Column, Rows};
pub(crate) use link::Link;
use tls::Tls;

/// A database of PostgreSQL, as an operator names it.
#[derive(Clone)]
pub struct Database {
    config: Config,
    name: String,
    tls: Tls,
    statement_time_max: Duration,
    connect_time_max: Duration,
}

/// Where the database is, and how long is waited for it.
#[derive(Clone, Copy, Debug)]
pub struct DatabaseOptions<'a> {
    /// `postgres://user@host:port,host:port/database?sslmode=require`. Without a password.
    pub url: &'a str,
    /// The user's password.
    pub password: Option<&'a str>,
    /// Whose certificates are believed; without a file those that Mozilla believes.
    pub ca_file: Option<&'a Path>,
    /// How long a statement may take.
    pub statement_time_max: Duration,
    /// How long it may take to connect, to all hosts together.
    pub connect_time_max: Duration,
}

/// Why a database can't be meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DatabaseError {
    /// It is no URL of a database: what is wrong with it.
    Url(String),
    /// A password stands in it.
    Password,
    /// It names no host, user or database.
    Lacks(&'static str),
    /// The file of certificate authorities can't be used.
    CaFile(String),
}

impl fmt::Display for DatabaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Url(why) => {
                write!(f, "it must look like postgres://user@host:5432/database?sslmode=require ({why})")
            }
            Self::Password => f.write_str("a password must not stand in it: put it into a file of its own"),
            Self::Lacks(what) => {
                write!(f, "it names no {what}: it must look like postgres://user@host:5432/database")
            }
            Self::CaFile(why) => write!(f, "the file of certificate authorities can't be used: {why}"),
        }
    }
}

impl std::error::Error for DatabaseError {}

impl Database {
    /// Reads what an operator has written. Nothing is connected to.
    ///
    /// Several hosts are tried in their order, and the first one that can be written to is taken. A host that is not this
    /// machine is spoken to over TLS only, unless the URL says `sslmode=disable`.
    ///
    /// # Errors
    /// If no database can be meant by it.
    pub fn new(options: &DatabaseOptions<'_>) -> Result<Self, DatabaseError> {
        let read: Result<Config, _> = options.url.parse();
        let mut config = read.map_err(|error| {
            let source = std::error::Error::source(&error).map(|source| format!(": {source}"));
            DatabaseError::Url(format!("{error}{}", source.unwrap_or_default()))
        })?;
        if config.get_password().is_some() {
            return Err(DatabaseError::Password);
        }
        let user = config.get_user().ok_or(DatabaseError::Lacks("user"))?.to_owned();
        let database = config.get_dbname().ok_or(DatabaseError::Lacks("database"))?.to_owned();
        // One without a name is read as such, and would be looked up.
        let nameless = |host: &Host| matches!(host, Host::Tcp(name) if name.is_empty());
        if config.get_hosts().is_empty() || config.get_hosts().iter().any(nameless) {
            return Err(DatabaseError::Lacks("host"));
        }
        let hosts = hosts(&config);
        if config.get_ssl_mode() == SslMode::Prefer && !config.get_hosts().iter().all(is_local) {
            config.ssl_mode(SslMode::Require);
        }
        if let Some(password) = options.password {
            config.password(password);
        }
        config
            .application_name("mayfly")
            .target_session_attrs(TargetSessionAttrs::ReadWrite)
            .keepalives_idle(Duration::from_secs(10))
            .keepalives_interval(Duration::from_secs(5))
            .keepalives_retries(3)
            .tcp_user_timeout(options.statement_time_max * 2);
        Ok(Self {
            config,
            name: format!("postgres://{user}@{hosts}/{database}"),
            tls: Tls::new(options.ca_file).map_err(|error| DatabaseError::CaFile(error.to_string()))?,
            statement_time_max: options.statement_time_max,
            connect_time_max: options.connect_time_max,
        })
    }

    /// Who connects to what, without anything secret: for people.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// One of its schemas.
    pub(crate) fn location(&self, schema: &'static str) -> Location {
        Location::Schema { database: self.name.as_str().into(), name: schema }
    }

    pub(crate) fn statement_time_max(&self) -> Duration {
        self.statement_time_max
    }

    fn tls(&self) -> Tls {
        self.tls.clone()
    }

    /// How to connect to a schema on each of the hosts, with the host's name. The driver would try one after the other itself,
    /// but never comes to the next one if one takes the connection and then says nothing.
    fn configs(&self, schema: &str, durability: Durability) -> Vec<(String, Config)> {
        let config = self.config(schema, durability);
        (0..config.get_hosts().len()).map(|at| (host(&config, at), of_host(&config, at))).collect()
    }

    /// How long one of the hosts may take.
    fn host_time_max(&self) -> Duration {
        self.connect_time_max / self.config.get_hosts().len().max(1) as u32
    }

    fn config(&self, schema: &str, durability: Durability) -> Config {
        let mut config = self.config.clone();
        let statement_ms = self.statement_time_max.as_millis();
        // Nobody may hold a lock while nobody hears from him.
        let mut options = format!(
            "-c search_path={schema} -c statement_timeout={statement_ms} -c lock_timeout={statement_ms} \
             -c idle_in_transaction_session_timeout={} -c timezone=UTC -c default_transaction_isolation=read\\ committed",
            statement_ms * 4
        );
        if durability == Durability::Later {
            options.push_str(" -c synchronous_commit=off");
        }
        if let Some(own) = config.get_options() {
            options = format!("{own} {options}");
        }
        config.options(&options);
        config
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Database({})", self.name)
    }
}

fn hosts(config: &Config) -> String {
    (0..config.get_hosts().len()).map(|at| host(config, at)).collect::<Vec<_>>().join(",")
}

fn host(config: &Config, at: usize) -> String {
    let port = port(config, at);
    match &config.get_hosts()[at] {
        Host::Tcp(name) => format!("{name}:{port}"),
        Host::Unix(path) => format!("{}:{port}", path.display()),
    }
}

fn port(config: &Config, at: usize) -> u16 {
    let ports = config.get_ports();
    ports.get(at).or(ports.first()).copied().unwrap_or(5432)
}

/// The same, with one of its hosts only.
fn of_host(config: &Config, at: usize) -> Config {
    let mut one = Config::new();
    one.user(config.get_user().unwrap_or_default())
        .dbname(config.get_dbname().unwrap_or_default())
        .options(config.get_options().unwrap_or_default())
        .application_name(config.get_application_name().unwrap_or_default())
        .ssl_mode(config.get_ssl_mode())
        .ssl_negotiation(config.get_ssl_negotiation())
        .channel_binding(config.get_channel_binding())
        .target_session_attrs(config.get_target_session_attrs())
        .keepalives(config.get_keepalives())
        .keepalives_idle(config.get_keepalives_idle())
        .port(port(config, at));
    if let Some(password) = config.get_password() {
        one.password(password);
    }
    match &config.get_hosts()[at] {
        Host::Tcp(name) => one.host(name),
        Host::Unix(path) => one.host_path(path),
    };
    if let Some(address) = config.get_hostaddrs().get(at) {
        one.hostaddr(*address);
    }
    if let Some(interval) = config.get_keepalives_interval() {
        one.keepalives_interval(interval);
    }
    if let Some(retries) = config.get_keepalives_retries() {
        one.keepalives_retries(retries);
    }
    if let Some(timeout) = config.get_tcp_user_timeout() {
        one.tcp_user_timeout(*timeout);
    }
    one
}

fn is_local(host: &Host) -> bool {
    match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => {
            name == "localhost" || name.parse().is_ok_and(|address: std::net::IpAddr| address.is_loopback())
        }
    }
}
