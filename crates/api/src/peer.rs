//! From where a request came.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::{HeaderMap, request};

use crate::shared::Shared;

/// What a proxy says of where a request came from, the nearest last.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// The address that a request came from: that of the other end of the connection, unless that is a proxy that is
/// believed. What a client says of itself would be worth nothing against somebody who guesses passwords.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Peer(pub(crate) IpAddr);

impl FromRequestParts<Arc<Shared>> for Peer {
    type Rejection = Infallible;

    async fn from_request_parts(
        parts: &mut request::Parts,
        shared: &Arc<Shared>,
    ) -> Result<Self, Infallible> {
        // Every connection brings it along.
        let connected = parts.extensions.get().copied().unwrap_or(Self(IpAddr::V4(Ipv4Addr::UNSPECIFIED)));
        Ok(Self(origin(connected.0, &parts.headers, &shared.proxies)))
    }
}

/// The last address in the row that is no proxy of ours: what stands before it, its sender may have made up.
fn origin(connected: IpAddr, headers: &HeaderMap, proxies: &[IpAddr]) -> IpAddr {
    let ours = |address: IpAddr| proxies.contains(&address.to_canonical());
    if !ours(connected) {
        return connected;
    }
    let row = headers.get_all(FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok());
    let row: Vec<&str> = row.flat_map(|value| value.split(',')).map(str::trim).collect();
    let mut nearest = connected;
    for text in row.into_iter().rev() {
        let Ok(address) = text.parse::<IpAddr>() else { break };
        nearest = address;
        if !ours(address) {
            break;
        }
    }
    nearest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_proxies_are_believed() {
        let proxies = ["127.0.0.1".parse().unwrap(), "10.0.0.1".parse().unwrap()];
        let of = |connected: &str, row: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in row {
                headers.append(FORWARDED_FOR, value.parse().unwrap());
            }
            origin(connected.parse().unwrap(), &headers, &proxies).to_string()
        };
        assert_eq!(of("192.0.2.7", &["198.51.100.1"]), "192.0.2.7");
        assert_eq!(of("127.0.0.1", &[]), "127.0.0.1");
        assert_eq!(of("127.0.0.1", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(of("::ffff:127.0.0.1", &["198.51.100.1"]), "198.51.100.1");
        // The first was made up by whoever sent it.
        assert_eq!(of("127.0.0.1", &["203.0.113.9, 198.51.100.1, 10.0.0.1"]), "198.51.100.1");
        assert_eq!(of("127.0.0.1", &["203.0.113.9", "198.51.100.1"]), "198.51.100.1");
        assert_eq!(of("127.0.0.1", &["198.51.100.1, nonsense"]), "127.0.0.1");
    }
}
