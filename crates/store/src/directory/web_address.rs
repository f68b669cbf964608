//! Addresses of web pages: the issuer's console, and where a shop wants its customer back.

use std::fmt;

/// The address of a web page to which somebody's browser may be sent: `https`, or `http` on this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebAddress(String);

/// Why a text is no such address. Never any of the text itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebAddressError {
    /// Longer than [`WebAddress::CHARS_MAX`].
    Length,
    /// A character that has no place in an address, or would not be safe in a page.
    Character,
    /// Neither `https`, nor `http` on this machine.
    Scheme,
    /// No host, or one with a name and password before it.
    Host,
    /// It has a fragment: what a browser keeps to itself can't be told to a page.
    Fragment,
}

impl fmt::Display for WebAddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length => write!(f, "must have 1 to {} characters", WebAddress::CHARS_MAX),
            Self::Character => f.write_str("must be visible ASCII without quotes, brackets and backslashes"),
            Self::Scheme => f.write_str("must begin with https://, or with http:// on this machine"),
            Self::Host => f.write_str("must name a host, and no user"),
            Self::Fragment => f.write_str("must have no fragment (#)"),
        }
    }
}

impl std::error::Error for WebAddressError {}

impl WebAddress {
    /// The longest one, in characters.
    pub const CHARS_MAX: usize = 512;

    /// Parses one.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, WebAddressError> {
        if !(1..=Self::CHARS_MAX).contains(&text.len()) {
            return Err(WebAddressError::Length);
        }
        if text.bytes().any(|byte| !byte.is_ascii_graphic() || b"\"'<>\\^`{|}".contains(&byte)) {
            return Err(WebAddressError::Character);
        }
        if text.contains('#') {
            return Err(WebAddressError::Fragment);
        }
        let (rest, is_plain) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
            (Some(rest), _) => (rest, false),
            (None, Some(rest)) => (rest, true),
            (None, None) => return Err(WebAddressError::Scheme),
        };
        let authority = rest.split(['/', '?']).next().unwrap_or_default();
        let host = host(authority).ok_or(WebAddressError::Host)?;
        if is_plain && !is_this_machine(host) {
            return Err(WebAddressError::Scheme);
        }
        Ok(Self(text.to_owned()))
    }

    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same page, told one thing more: `name` and `value` are letters, digits and underscores.
    pub fn with_parameter(&self, name: &str, value: impl fmt::Display) -> String {
        let sign = if self.0.contains('?') { '&' } else { '?' };
        format!("{}{sign}{name}={value}", self.0)
    }
}

impl fmt::Display for WebAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The host of an authority without a user, if it is one.
fn host(authority: &str) -> Option<&str> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (address, port) = rest.split_once(']')?;
            address.parse::<std::net::Ipv6Addr>().ok()?;
            (address, port)
        }
        None => {
            let (host, port) = authority.split_at(authority.find(':').unwrap_or(authority.len()));
            let is_name = host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte));
            (Some(host).filter(|host| is_name && !host.is_empty())?, port)
        }
    };
    let is_port = port.is_empty() || port.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok());
    is_port.then_some(host)
}

fn is_this_machine(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_to_which_a_browser_may_be_sent() {
        for good in [
            "https://bank.example",
            "https://bank.example:8443/console?lang=en&x=%20",
            "https://[2001:db8::1]/x",
            "http://127.0.0.1:8480/console",
            "http://localhost/",
            "http://[::1]:80/",
        ] {
            assert_eq!(WebAddress::parse(good).map(|it| it.to_string()), Ok(good.to_owned()));
        }
        for (bad, why) in [
            ("", WebAddressError::Length),
            (&format!("https://bank.example/{}", "x".repeat(500)) as &str, WebAddressError::Length),
            ("https://bank.example/ x", WebAddressError::Character),
            ("https://bank.example/\"><script>", WebAddressError::Character),
            ("https://bänk.example/", WebAddressError::Character),
            ("https:\\\\bank.example", WebAddressError::Character),
            ("https://bank.example/#top", WebAddressError::Fragment),
            ("http://bank.example/", WebAddressError::Scheme),
            ("http://127.0.0.1.bank.example/", WebAddressError::Scheme),
            ("javascript:alert(1)", WebAddressError::Scheme),
            ("//bank.example/", WebAddressError::Scheme),
            ("https://", WebAddressError::Host),
            ("https:///x", WebAddressError::Host),
            ("https://ada@bank.example/", WebAddressError::Host),
            ("https://bank.example:x/", WebAddressError::Host),
            ("https://[::1", WebAddressError::Host),
        ] {
            assert_eq!(WebAddress::parse(bad), Err(why), "{bad}");
        }
    }

    #[test]
    fn a_page_is_told_one_thing_more() {
        let told = |text| WebAddress::parse(text).unwrap().with_parameter("payment", "pay_1");
        assert_eq!(told("https://bank.example/c"), "https://bank.example/c?payment=pay_1");
        assert_eq!(told("https://bank.example/c?x=1"), "https://bank.example/c?x=1&payment=pay_1");
    }
}
