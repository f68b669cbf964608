//! The wallet's server over HTTP.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use hyper::header::{AUTHORIZATION, HeaderName, HeaderValue};
use mayfly_card::MonthIndex;
use mayfly_dynamic::LAST_TSN_NONCE_BYTES;
use mayfly_enrol::Point;
use mayfly_keys::{OsRandom, Random};
use mayfly_outbound::{Client, ClientOptions, Limits, Reply, SendError, TargetRules};
use mayfly_wallet::{
    Asked, CardId, LastTsn, Package, SERVER_BYTES_MAX, Server, ServerError, Session, SignedAnswer,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::runtime::{Builder, Runtime};
use zeroize::Zeroizing;

use super::wire::{
    CardNow, CardPage, LoggedIn, Login, NewCard, NewWallet, Nothing, Problem, Refresh, Tokens, TsnAsked,
    TsnTold, Verification, Verified,
};
use crate::failure::{Failure, Outcome};

/// How long an exchange may take.
const LIMITS: Limits = Limits { connect: Duration::from_secs(10), total: Duration::from_secs(30) };
/// The longest body that is sent.
const BODY_BYTES_MAX: usize = 4096;
/// How many pages of a list are read.
const PAGES_MAX: usize = 20;
/// How much of what a server says is shown.
const WORDS_MAX: usize = 300;

/// A server, and who is logged in.
pub(crate) struct Http {
    runtime: Runtime,
    client: Client,
    base: String,
    token: Option<Zeroizing<String>>,
}

/// One exchange.
struct Call<'a, B> {
    path: &'a str,
    /// None is a GET.
    body: Option<&'a B>,
    /// Whether it is for somebody who is logged in.
    session: bool,
}

impl Http {
    /// The server at this address; `ca_file` has authorities whose certificates are believed besides the public ones.
    pub(crate) fn to(base: &str, ca_file: Option<&Path>) -> Outcome<Self> {
        let base = base.trim_end_matches('/');
        let wrong = |why: &str| Failure::Usage(format!("the server's address {why}"));
        if base.len() > SERVER_BYTES_MAX || base.contains(['?', '#']) {
            return Err(wrong("must be like https://issuer.example, and have no query"));
        }
        // What the cardholder names is his to choose: it may be in a network of his own. But keys and passwords leave this
        // machine over TLS only.
        let rules = TargetRules { plain_http: is_this_machine(base), private_addresses: true };
        let options = ClientOptions { rules, ca_file: ca_file.map(Path::to_owned) };
        let client = Client::new(&options).map_err(|error| Failure::Usage(error.to_string()))?;
        client.target(base).map_err(|error| wrong(&error.to_string()))?;
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::unreachable("no thread can wait for the server", error))?;
        Ok(Self { runtime, client, base: base.to_owned(), token: None })
    }

    /// For somebody who is logged in.
    pub(crate) fn with(self, session: &Session) -> Self {
        self.with_token(&session.token)
    }

    /// For whoever has this token.
    pub(crate) fn with_token(mut self, token: &str) -> Self {
        self.token = Some(Zeroizing::new(token.to_owned()));
        self
    }

    /// Where it is.
    pub(crate) fn base(&self) -> &str {
        &self.base
    }

    /// Logs in.
    pub(crate) fn log_in(&self, login: &Login<'_>) -> Result<Session, ServerError> {
        match self.post_openly("/v1/logins", login)? {
            LoggedIn::Session(tokens) => tokens.read().ok_or_else(unreadable),
            LoggedIn::Further => Err(ServerError::Said(
                "a password is not enough to log in, and this program knows no other step".into(),
            )),
        }
    }

    /// Gets a session's next tokens.
    pub(crate) fn refresh(&self, session: &Session) -> Result<Session, ServerError> {
        let body = Refresh { refresh: &session.refresh };
        let tokens: Tokens = self.post_openly("/v1/sessions/refresh", &body)?;
        tokens.read().ok_or_else(unreadable)
    }

    /// Ends the session.
    pub(crate) fn log_out(&self) -> Result<(), ServerError> {
        self.post("/v1/sessions/end", &Nothing {}).map(|Nothing {}| ())
    }

    /// The cardholder's cards.
    pub(crate) fn cards(&self) -> Result<Vec<CardNow>, ServerError> {
        let mut cards = Vec::new();
        let mut path = "/v1/me/cards".to_owned();
        for _ in 0..PAGES_MAX {
            let call = Call::<()> { path: &path, body: None, session: true };
            let CardPage { items, next_cursor } = self.call(call)?;
            cards.extend(items);
            match next_cursor {
                // It goes into a URL.
                Some(cursor)
                    if cursor.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte)) =>
                {
                    path = format!("/v1/me/cards?cursor={cursor}");
                }
                Some(_) => return Err(unreadable()),
                None => return Ok(cards),
            }
        }
        Err(ServerError::Said(format!("there are more than {PAGES_MAX} pages of cards")))
    }

    /// Ends a card's lock.
    pub(crate) fn unlock(&self, card: &CardId) -> Result<CardNow, ServerError> {
        self.post(&format!("/v1/me/cards/{card}/unlock"), &Nothing {})
    }

    /// As whoever is logged in.
    pub(crate) fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ServerError> {
        self.call(Call { path, body: Some(body), session: true })
    }

    /// As nobody in particular.
    pub(crate) fn post_openly<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ServerError> {
        self.call(Call { path, body: Some(body), session: false })
    }

    fn call<T: DeserializeOwned>(&self, call: Call<'_, impl Serialize>) -> Result<T, ServerError> {
        let Reply { status, retry_after, body, whole } = self.exchange(&call)?;
        let body = Zeroizing::new(body);
        if (200..300).contains(&status) && whole {
            return serde_json::from_slice(&body).map_err(|_| unreadable());
        }
        let problem: Problem = serde_json::from_slice(&body).unwrap_or_default();
        let seconds = retry_after.map_or(1, |wait| wait.as_secs());
        Err(match (status, problem.code.as_str()) {
            (200..300, _) => unreadable(),
            (401, _) if call.session => ServerError::LoggedOut,
            (403, "verification_refused") => ServerError::Refused,
            (429, _) | (503, "busy") => ServerError::Wait { seconds },
            // Whether it was done, nobody knows.
            (500.., "") => ServerError::Lost(format!("status {status}")),
            (502..=504, _) => ServerError::Lost(said(&problem)),
            (_, "") => {
                ServerError::Said(format!("status {status}, and it is not what this program understands"))
            }
            _ => ServerError::Said(said(&problem)),
        })
    }

    fn exchange(&self, call: &Call<'_, impl Serialize>) -> Result<Reply, ServerError> {
        let unsound = |why: &str| ServerError::Unreachable(why.to_owned());
        let url = format!("{}{}", self.base, call.path);
        let target = self.client.target(&url).map_err(|error| unsound(&error.to_string()))?;
        let mut headers: Vec<(HeaderName, HeaderValue)> = Vec::new();
        if call.session {
            let token = self.token.as_ref().ok_or(ServerError::LoggedOut)?;
            let bearer = Zeroizing::new(format!("Bearer {}", token.as_str()));
            let mut value = HeaderValue::from_str(&bearer).map_err(|_| ServerError::LoggedOut)?;
            value.set_sensitive(true);
            headers.push((AUTHORIZATION, value));
        }
        let Some(body) = call.body else {
            return self.runtime.block_on(self.client.get(&target, &headers, LIMITS)).map_err(sent);
        };
        let mut key = [0; 16];
        OsRandom.fill(&mut key).map_err(|error| unsound(&error.to_string()))?;
        let key: String = key.iter().map(|byte| format!("{byte:02x}")).collect();
        let key = HeaderValue::try_from(key).map_err(|_| unsound("no key could be made"))?;
        headers.push((HeaderName::from_static("idempotency-key"), key));
        // There are passwords and card numbers among them: wiped when it was sent. Growing would leave copies behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(BODY_BYTES_MAX));
        serde_json::to_writer(&mut *bytes, body).map_err(|_| unsound("the request can't be written"))?;
        let bytes = Bytes::from_owner(bytes);
        self.runtime.block_on(self.client.post(&target, &headers, bytes, LIMITS)).map_err(sent)
    }
}

impl Server for Http {
    fn enrol(&mut self, card: &CardId, point: &Point) -> Result<Package, ServerError> {
        let given: NewCard = self.post(&format!("/v1/me/cards/{card}/wallet"), &NewWallet::of(point))?;
        given.read().ok_or_else(unreadable)
    }

    fn verify(&mut self, asked: &Asked) -> Result<SignedAnswer, ServerError> {
        let body = Verification::of(asked);
        let answer: Verified = self.post_openly("/v1/verifications", &body)?;
        answer.read(MonthIndex::of_unix_ms(now_unix_s() * 1000)).ok_or_else(unreadable)
    }

    fn last_tsn(
        &mut self,
        card: &CardId,
        nonce: &[u8; LAST_TSN_NONCE_BYTES],
    ) -> Result<LastTsn, ServerError> {
        let told: TsnTold = self.post(&format!("/v1/me/cards/{card}/tsn"), &TsnAsked::of(nonce))?;
        told.read().ok_or_else(unreadable)
    }
}

/// The time, in seconds of Unix time.
pub(crate) fn now_unix_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn unreadable() -> ServerError {
    ServerError::Lost(
        "what came is not what this program understands; is it the server's address?".to_owned(),
    )
}

fn sent(error: SendError) -> ServerError {
    match error {
        SendError::Time | SendError::Broken => ServerError::Lost(error.to_string()),
        // There was no connection, so nothing was sent.
        _ => ServerError::Unreachable(error.to_string()),
    }
}

/// A problem in the server's words, which must not do anything to a terminal.
fn said(problem: &Problem) -> String {
    let Problem { title, detail, .. } = problem;
    let text = if detail.is_empty() { title.clone() } else { format!("{title}; {detail}") };
    text.chars().filter(|letter| !letter.is_control()).take(WORDS_MAX).collect()
}

/// Whether an address is plain HTTP to this machine itself, so that nothing leaves it.
fn is_this_machine(base: &str) -> bool {
    let Some(rest) = base.strip_prefix("http://") else { return false };
    let authority = rest.split('/').next().unwrap_or_default();
    let is_port = |port: &str| port.bytes().all(|digit| digit.is_ascii_digit());
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if is_port(port) => host,
        _ => authority,
    };
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host == "localhost" || address.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_leaves_this_machine_leaves_it_over_tls() {
        for base in ["https://issuer.example", "https://10.0.0.1:8443/", "https://issuer.example/wallet"] {
            assert!(Http::to(base, None).is_ok(), "{base}");
        }
        for base in ["http://localhost:8080", "http://127.0.0.1", "http://127.9.9.9:1/x", "http://[::1]:80/"]
        {
            assert!(is_this_machine(base) && Http::to(base, None).is_ok(), "{base}");
        }
        for base in [
            "http://issuer.example",
            "http://localhost.example",
            "http://10.0.0.1",
            "http://127.0.0.1@issuer.example",
            "http://127.0.0.1:80@issuer.example",
            "http://[::1].issuer.example",
            "http://localhost\\@issuer.example",
            "http://issuer.example/127.0.0.1",
            "https://issuer.example?x",
            "https://issuer.example/#x",
            "issuer.example",
            "",
        ] {
            let refused = Http::to(base, None).err().map(|failure| failure.code());
            assert_eq!(refused, Some(2), "{base}");
        }
    }

    #[test]
    fn what_a_server_says_does_nothing_to_a_terminal() {
        let problem =
            Problem { code: "x".into(), title: "no\u{1b}[2J\n".into(), detail: "x".repeat(WORDS_MAX) };
        let said = said(&problem);
        assert!(said.starts_with("no[2J; xxx") && said.chars().count() == WORDS_MAX, "{said}");
    }
}
