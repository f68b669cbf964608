//! The question whether a purchase may be, put to the issuer's own endpoint before funds are touched.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use mayfly_card::{Channel, Country, Currency, Mcc, MerchantId, MinorUnits};
use mayfly_core::{AccountId, NumberId, ProgrammeId, TimeMs};
use mayfly_office::events::rfc_3339;
use mayfly_outbound::{Client, Limits, Reply, SendError, TargetError};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::Semaphore;

use crate::secret::{Secret, headers};

/// How many questions may be open at a time unless told otherwise; one more fails at once.
pub const DECISIONS_MAX: usize = 1024;
/// How long an answer is waited for unless told otherwise: longer than any decision waits, so that late answers are known.
pub const WAIT_DEFAULT: Duration = Duration::from_secs(30);

/// A purchase about which an issuer is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Question {
    /// The question's id, by which a repeat is known: `ask_…`.
    pub id: String,
    /// When it was asked.
    pub at_ms: TimeMs,
    /// From when on an answer counts for nothing.
    pub deadline_ms: TimeMs,
    /// Whose money it is.
    pub account: AccountId,
    /// With which number.
    pub number: NumberId,
    /// Its last four digits.
    pub last_four: String,
    /// By which programme it was issued.
    pub programme: ProgrammeId,
    /// How much; of an increment, by how much more.
    pub amount: MinorUnits,
    /// Of what.
    pub currency: Currency,
    /// The merchant (DE 42).
    pub merchant: Option<MerchantId>,
    /// Its category (DE 18).
    pub mcc: Option<Mcc>,
    /// The acquirer's country (DE 19).
    pub country: Option<Country>,
    /// Whether a card was read.
    pub channel: Channel,
    /// How the number was entered (DE 22).
    pub entry_mode: String,
    /// What is asked for.
    pub kind: QuestionKind,
    /// The acquirer (DE 32).
    pub acquirer: String,
    /// The retrieval reference number (DE 37).
    pub rrn: String,
}

/// What an issuer is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuestionKind {
    /// A purchase.
    Purchase,
    /// More on a purchase that was approved.
    Increment,
}

impl QuestionKind {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Purchase => "purchase",
            Self::Increment => "increment",
        }
    }
}

impl Question {
    /// As it is posted.
    fn body(&self) -> Bytes {
        let body = json!({
            "type": "authorisation.requested",
            "id": self.id,
            "timestamp": rfc_3339(self.at_ms),
            "data": {
                "deadline": rfc_3339(self.deadline_ms),
                "kind": self.kind.name(),
                "account": self.account.to_string(),
                "number": self.number.to_string(),
                "last_four": self.last_four,
                "programme": self.programme.to_string(),
                "amount": { "minor": self.amount.value(), "currency": self.currency.letters() },
                "merchant": self.merchant.as_ref().map(MerchantId::as_str),
                "mcc": self.mcc.map(|mcc| mcc.to_string()),
                "country": self.country.map(|country| country.to_string()),
                "channel": self.channel.name().replace('-', "_"),
                "entry_mode": self.entry_mode,
                "acquirer": self.acquirer,
                "rrn": self.rrn,
            },
        });
        Bytes::from(body.to_string())
    }
}

/// What came of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// What the issuer said, or why that is not known.
    pub verdict: Verdict,
    /// How long it took.
    pub took: Duration,
}

/// What an issuer said, or why that is not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may be.
    Approve,
    /// It may not.
    Decline,
    /// There was an answer that says neither.
    Unusable(Unusable),
    /// There was no answer.
    Failed(Failed),
}

/// Why an answer says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// It has another status than 200.
    Status(u16),
    /// It is longer than any answer.
    TooLong,
    /// It is no JSON object with a `decision`.
    NotADecision,
}

/// Why there was no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failed {
    /// Too many questions are open.
    Busy,
    /// The endpoint's URL is none that may be used.
    Target(TargetError),
    /// The endpoint's secret is none.
    Secret,
    /// Nothing came back.
    Send(SendError),
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "answered {status}, not 200"),
            Self::TooLong => f.write_str("the answer is too long"),
            Self::NotADecision => {
                f.write_str("the answer is neither {\"decision\":\"approve\"} nor {\"decision\":\"decline\"}")
            }
        }
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy => f.write_str("too many questions are open"),
            Self::Target(error) => write!(f, "the URL {error}"),
            Self::Secret => f.write_str("the secret can't be used; set a new one"),
            Self::Send(error) => error.fmt(f),
        }
    }
}

/// The answer, as far as it is looked at: there may be more in it.
#[derive(Deserialize)]
struct Answer {
    decision: Decision,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Decision {
    Approve,
    Decline,
}

/// Puts questions.
#[derive(Debug)]
pub struct DecisionCaller {
    client: Arc<Client>,
    room: Semaphore,
}

impl DecisionCaller {
    /// By a client of its own, so that nobody else's receivers are in the way; at most `open_max` at a time.
    pub fn new(client: Arc<Client>, open_max: usize) -> Self {
        Self { client, room: Semaphore::new(open_max) }
    }

    /// How many more questions could be put now.
    pub fn room(&self) -> usize {
        self.room.available_permits()
    }

    /// Puts a question to a URL, signed with `secret`, and waits for the answer, at most for `wait`. Whether the answer
    /// came in time for the purchase is not looked at here.
    pub async fn ask(&self, url: &str, secret: &[u8], question: &Question, wait: Duration) -> Asked {
        let begun = Instant::now();
        let verdict = match self.post(url, secret, question, wait).await {
            Ok(reply) => read(&reply),
            Err(failed) => Verdict::Failed(failed),
        };
        Asked { verdict, took: begun.elapsed() }
    }

    async fn post(
        &self,
        url: &str,
        secret: &[u8],
        question: &Question,
        wait: Duration,
    ) -> Result<Reply, Failed> {
        let _place = self.room.try_acquire().map_err(|_| Failed::Busy)?;
        let target = self.client.target(url).map_err(Failed::Target)?;
        let secret = Secret::from_bytes(secret).map_err(|_| Failed::Secret)?;
        let body = question.body();
        let headers = headers(std::iter::once(&secret), &question.id, question.at_ms / 1000, &body);
        let limits = Limits { connect: wait, total: wait };
        self.client.post(&target, &headers, body, limits).await.map_err(Failed::Send)
    }
}

fn read(reply: &Reply) -> Verdict {
    if reply.status != 200 {
        return Verdict::Unusable(Unusable::Status(reply.status));
    }
    if !reply.whole {
        return Verdict::Unusable(Unusable::TooLong);
    }
    match serde_json::from_slice(&reply.body) {
        Ok(Answer { decision: Decision::Approve }) => Verdict::Approve,
        Ok(Answer { decision: Decision::Decline }) => Verdict::Decline,
        Err(_) => Verdict::Unusable(Unusable::NotADecision),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_says_one_of_two_things_or_nothing() {
        let read = |status, body: &str, whole| {
            read(&Reply { status, retry_after: None, body: body.as_bytes().to_vec(), whole })
        };
        assert_eq!(read(200, r#"{"decision":"approve"}"#, true), Verdict::Approve);
        assert_eq!(read(200, r#" {"why":"risk","decision":"decline"}"#, true), Verdict::Decline);
        assert_eq!(read(201, r#"{"decision":"approve"}"#, true), Verdict::Unusable(Unusable::Status(201)));
        assert_eq!(read(500, "", true), Verdict::Unusable(Unusable::Status(500)));
        assert_eq!(read(200, r#"{"decision":"approve"}"#, false), Verdict::Unusable(Unusable::TooLong));
        for body in [
            "",
            "approve",
            "\"approve\"",
            "{}",
            r#"{"decision":"Approve"}"#,
            r#"{"decision":"maybe"}"#,
            r#"{"decision":true}"#,
            r#"{"decision":"approve"} {"decision":"decline"}"#,
            r#"{"decision":"approve","decision":"decline"}"#,
        ] {
            assert_eq!(read(200, body, true), Verdict::Unusable(Unusable::NotADecision), "{body}");
        }
    }
}
