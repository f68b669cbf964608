//! Where and how the API is served.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::tls::{TlsError, TlsFiles};

/// Where and how the API is served.
#[derive(Clone, Debug)]
pub struct ApiOptions {
    /// The address.
    pub address: SocketAddr,
    /// Certificate and key; plain HTTP without.
    pub tls: Option<TlsFiles>,
    /// Whether plain HTTP may be served to other machines, because something before this server speaks TLS.
    pub plain_http_anywhere: bool,
    /// The addresses of what speaks TLS before this server: they are believed where a request came from
    /// (`X-Forwarded-For`). Default none.
    pub proxies: Vec<IpAddr>,
    /// How many connections may be open. Whoever comes then waits. Default 1024.
    pub connections_max: usize,
    /// How long a request may take, from its last header to its answer. Default 10 s.
    pub request_time_max: Duration,
    /// How long a client may take to agree on TLS, and to send a request's headers; also how long a connection may
    /// wait for its next request. Default 30 s.
    pub header_time_max: Duration,
    /// How long a connection may stand still while something is to be read or written. Default 75 s.
    pub silence_time_max: Duration,
    /// How long a stop waits for what was begun. Default 15 s.
    pub stop_time_max: Duration,
}

impl ApiOptions {
    /// The defaults, at an address.
    pub fn at(address: SocketAddr) -> Self {
        Self {
            address,
            tls: None,
            plain_http_anywhere: false,
            proxies: Vec::new(),
            connections_max: 1024,
            request_time_max: Duration::from_secs(10),
            header_time_max: Duration::from_secs(30),
            silence_time_max: Duration::from_secs(75),
            stop_time_max: Duration::from_secs(15),
        }
    }

    /// Whether they fit each other.
    pub(super) fn check(&self) -> Result<(), ApiStartError> {
        if self.tls.is_none() && !self.address.ip().is_loopback() && !self.plain_http_anywhere {
            return Err(ApiStartError::PlainHttp { address: self.address });
        }
        Ok(())
    }
}

/// Why the API could not be served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ApiStartError {
    /// Keys and card numbers would go over the network readably.
    PlainHttp {
        /// The address.
        address: SocketAddr,
    },
    /// The address could not be listened at.
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        why: io::ErrorKind,
    },
    /// Certificate or key can't be used.
    Tls(TlsError),
}

impl fmt::Display for ApiStartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PlainHttp { address } => write!(
                f,
                "the API would be served at {address} without TLS, for everybody on the way to read; configure a \
                 certificate and its key, choose a loopback address, or allow plain HTTP if something before this \
                 server speaks TLS"
            ),
            Self::Bind { address, why: io::ErrorKind::AddrInUse } => write!(
                f,
                "the API can't be served at {address}: something else listens there; stop it, or set another `api.address`"
            ),
            Self::Bind { address, why } => {
                write!(f, "the API can't be served at {address}: {why}; choose another address")
            }
            Self::Tls(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ApiStartError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_stays_on_the_machine_unless_told_otherwise() {
        for (address, fits) in
            [("127.0.0.1:0", true), ("[::1]:0", true), ("0.0.0.0:0", false), ("192.0.2.1:80", false)]
        {
            let options = ApiOptions::at(address.parse().unwrap());
            assert_eq!(options.check().is_ok(), fits, "{address}");
            assert!(ApiOptions { plain_http_anywhere: true, ..options }.check().is_ok());
        }
    }
}
