//! What an answer means for a delivery.

use std::time::Duration;

use mayfly_outbound::{Reply, SendError, TargetError};

/// What came of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Judged {
    /// It was taken.
    Delivered,
    /// The receiver is gone for good.
    Gone,
    /// It was not taken: it is tried again, not before so long if the receiver said so.
    Refused { why: String, wait: Option<Duration> },
    /// There was no answer.
    Unanswered { why: String },
}

/// By the answer, or by what came instead of it.
pub(crate) fn judge(sent: &Result<Reply, Fault>) -> Judged {
    match sent {
        Ok(reply) => match reply.status {
            200..=299 => Judged::Delivered,
            410 => Judged::Gone,
            status @ 300..=399 => {
                Judged::Refused { why: format!("answered {status}; redirects are not followed"), wait: None }
            }
            status => Judged::Refused { why: format!("answered {status}, not 2xx"), wait: reply.retry_after },
        },
        Err(fault) => Judged::Unanswered { why: fault.to_string() },
    }
}

/// Why there was no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The URL is none that may be used; it was, when it was set.
    Target(TargetError),
    Send(SendError),
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Target(error) => write!(f, "the URL {error}"),
            Self::Send(error) => error.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_two_hundreds_are_a_delivery() {
        let retry_after = Some(Duration::from_secs(9));
        let judged = |status| judge(&Ok(Reply { status, retry_after, body: Vec::new(), whole: true }));
        for status in [200, 202, 204, 299] {
            assert_eq!(judged(status), Judged::Delivered);
        }
        assert_eq!(judged(410), Judged::Gone);
        assert!(matches!(judged(302), Judged::Refused { wait: None, .. }));
        for status in [100, 400, 401, 404, 409, 429, 500, 503] {
            assert!(
                matches!(judged(status), Judged::Refused { wait, .. } if wait == retry_after),
                "{status}"
            );
        }
        let fault = judge(&Err(Fault::Send(SendError::Time)));
        assert_eq!(fault, Judged::Unanswered { why: "no answer came in time".to_owned() });
    }
}
