//! Where something is sent: a URL that was looked at.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use hyper::Uri;
use hyper::http::uri::PathAndQuery;

use crate::is_public;

/// The longest URL, in bytes.
pub const TARGET_BYTES_MAX: usize = 2048;
/// The longest name of a host, and of one of its parts, in characters (RFC 1035).
const HOST_CHARS_MAX: usize = 253;
const LABEL_CHARS_MAX: usize = 63;

/// Which targets are allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TargetRules {
    /// Plain HTTP, too.
    pub plain_http: bool,
    /// Addresses of private networks and of this machine, too.
    pub private_addresses: bool,
}

/// Where something is sent. Path and query are shown nowhere: there can be a secret in them.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    pub(crate) origin: Origin,
    pub(crate) path: PathAndQuery,
}

/// What a connection is made to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Origin {
    pub(crate) tls: bool,
    pub(crate) host: Host,
    pub(crate) port: u16,
}

/// A host, by name or by address.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Host {
    Name(String),
    Address(IpAddr),
}

/// Why a text is no target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetError {
    /// It has more than [`TARGET_BYTES_MAX`] bytes.
    TooLong,
    /// It is no absolute URL in ASCII.
    NotAUrl,
    /// It begins with something else than `https://`, or `http://` where that is allowed.
    Scheme {
        /// Whether plain HTTP is allowed.
        plain_http: bool,
    },
    /// It has a user name or a password.
    UserInfo,
    /// It has a fragment.
    Fragment,
    /// The host is neither a name nor an address.
    Host,
    /// The port is none.
    Port,
    /// The host is an address that is not on the public internet.
    PrivateAddress,
}

impl fmt::Display for TargetError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "must have at most {TARGET_BYTES_MAX} characters"),
            Self::NotAUrl => {
                f.write_str("must be a whole URL in ASCII: https://shop.example/hook for example")
            }
            Self::Scheme { plain_http: false } => f.write_str("must begin with https://"),
            Self::Scheme { plain_http: true } => f.write_str("must begin with https:// or http://"),
            Self::UserInfo => f.write_str("must have no user name and no password"),
            Self::Fragment => f.write_str("must have no fragment (#)"),
            Self::Host => f.write_str("must name a host, by name or by address"),
            Self::Port => f.write_str("must have a port from 1 to 65535, or none"),
            Self::PrivateAddress => {
                f.write_str("must be on the public internet: its host is an address of a private network")
            }
        }
    }
}

impl std::error::Error for TargetError {}

impl Target {
    /// From a URL.
    ///
    /// # Errors
    ///
    /// [`TargetError`]: what it must be. A name that leads to a private network is found when it is connected to.
    pub fn parse(url: &str, rules: TargetRules) -> Result<Self, TargetError> {
        if url.len() > TARGET_BYTES_MAX {
            return Err(TargetError::TooLong);
        }
        if url.contains('#') {
            return Err(TargetError::Fragment);
        }
        // A backslash is a slash to some, and none to others.
        if !url.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\') {
            return Err(TargetError::NotAUrl);
        }
        let uri: Uri = url.parse().map_err(|_| TargetError::NotAUrl)?;
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") if rules.plain_http => false,
            Some(_) => return Err(TargetError::Scheme { plain_http: rules.plain_http }),
            None => return Err(TargetError::NotAUrl),
        };
        let authority = uri.authority().ok_or(TargetError::NotAUrl)?;
        if authority.as_str().contains('@') {
            return Err(TargetError::UserInfo);
        }
        let host = Host::parse(authority.host())?;
        if let Host::Address(address) = host
            && !rules.private_addresses
            && !is_public(address)
        {
            return Err(TargetError::PrivateAddress);
        }
        let port = match authority.as_str()[authority.host().len()..].strip_prefix(':') {
            None => {
                if tls {
                    443
                } else {
                    80
                }
            }
            Some(text) => text.parse().ok().filter(|port| *port > 0).ok_or(TargetError::Port)?,
        };
        let path = match uri.path_and_query() {
            Some(path) if path.as_str().starts_with('/') => path.clone(),
            // A query without a path stands behind the root.
            Some(query) => {
                PathAndQuery::try_from(format!("/{}", query.as_str())).map_err(|_| TargetError::NotAUrl)?
            }
            None => PathAndQuery::from_static("/"),
        };
        Ok(Self { origin: Origin { tls, host, port }, path })
    }
}

impl Host {
    fn parse(text: &str) -> Result<Self, TargetError> {
        if let Some(inner) = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')) {
            let address: Ipv6Addr = inner.parse().map_err(|_| TargetError::Host)?;
            return Ok(Self::Address(address.into()));
        }
        if let Ok(address) = text.parse() {
            return Ok(Self::Address(IpAddr::V4(address)));
        }
        let name = text.strip_suffix('.').unwrap_or(text);
        let is_label = |label: &str| {
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
            (1..=LABEL_CHARS_MAX).contains(&label.len()) && label.bytes().all(allowed)
        };
        // What ends with a number is an address in a form that only some understand: 127.1, 0x7f.1, 2130706433.
        let last = name.rsplit('.').next().unwrap_or_default();
        let is_number = last.bytes().all(|byte| byte.is_ascii_digit())
            || last.strip_prefix("0x").is_some_and(|rest| rest.bytes().all(|byte| byte.is_ascii_hexdigit()));
        if name.len() > HOST_CHARS_MAX || !name.split('.').all(is_label) || is_number {
            return Err(TargetError::Host);
        }
        Ok(Self::Name(name.to_ascii_lowercase()))
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V4(address)) => address.fmt(f),
            Self::Address(IpAddr::V6(address)) => write!(f, "[{address}]"),
        }
    }
}

impl Origin {
    /// What stands in the `Host` header.
    pub(crate) fn authority(&self) -> String {
        match (self.tls, self.port) {
            (true, 443) | (false, 80) => self.host.to_string(),
            (_, port) => format!("{}:{port}", self.host),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.origin.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}", self.origin.authority())
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({self})")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const ALL: TargetRules = TargetRules { plain_http: true, private_addresses: true };

    #[test]
    fn what_is_allowed_is_taken_apart() {
        for (url, shown, path) in [
            ("https://shop.example", "https://shop.example", "/"),
            ("https://SHOP.example.:8443/a/b?c=d", "https://shop.example:8443", "/a/b?c=d"),
            ("https://shop.example:443?c", "https://shop.example", "/?c"),
            ("https://1.1.1.1/", "https://1.1.1.1", "/"),
            ("https://[2606:4700::1111]:1/", "https://[2606:4700::1111]:1", "/"),
        ] {
            let target = Target::parse(url, TargetRules::default()).unwrap();
            assert_eq!((target.to_string().as_str(), target.path.as_str()), (shown, path), "{url}");
        }
        assert_eq!(Target::parse("http://127.0.0.1:80/x", ALL).unwrap().to_string(), "http://127.0.0.1");
    }

    #[test]
    fn what_is_not_allowed_is_named() {
        use TargetError::{Fragment, Host, NotAUrl, Port, PrivateAddress, Scheme, TooLong, UserInfo};
        let plain_http = false;
        for (url, error) in [
            ("http://shop.example/", Scheme { plain_http }),
            ("ftp://shop.example/", Scheme { plain_http }),
            ("shop.example", NotAUrl),
            ("/hook", NotAUrl),
            ("", NotAUrl),
            ("https:///x", NotAUrl),
            ("https://sh\u{f6}p.example/", NotAUrl),
            ("https://shop.example/a b", NotAUrl),
            ("https://shop.example\\@127.0.0.1/", NotAUrl),
            ("https://user:word@shop.example/", UserInfo),
            ("https://user@shop.example/", UserInfo),
            ("https://shop.example/#x", Fragment),
            ("https://shop.example:0/", Port),
            ("https://shop..example/", Host),
            ("https://2130706433/", Host),
            ("https://127.1/", Host),
            ("https://0x7f.1/", Host),
            ("https://0x7f000001/", Host),
            ("https://127.0.0.1/", PrivateAddress),
            ("https://[::1]/", PrivateAddress),
            ("https://[::ffff:10.0.0.1]/", PrivateAddress),
            ("https://169.254.169.254/latest", PrivateAddress),
        ] {
            assert_eq!(Target::parse(url, TargetRules::default()), Err(error), "{url}");
        }
        let long = format!("https://shop.example/{}", "x".repeat(2048));
        assert_eq!(Target::parse(&long, ALL), Err(TooLong));
    }

    #[test]
    fn path_and_query_are_shown_nowhere() {
        let target = Target::parse("https://shop.example/token-1?key=token-2", ALL).unwrap();
        assert_eq!(format!("{target} {target:?}"), "https://shop.example Target(https://shop.example)");
    }

    proptest! {
        #[test]
        fn whatever_comes_is_answered(text in "(https://)?[ -~]{0,40}") {
            if let Ok(target) = Target::parse(&text, ALL) {
                let again = format!("{target}{}", target.path);
                prop_assert_eq!(Target::parse(&again, ALL), Ok(target));
            }
        }
    }
}
