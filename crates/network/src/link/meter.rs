//! What a link to issuer hosts counts of itself.

use mayfly_iso8583::Mti;

use super::LinkError;
use super::ended::Ended;
use crate::meter::{Counter, Latency, Traffic};

/// Counters and a histogram, for as long as the link lives.
#[derive(Debug, Default)]
pub struct LinkMeter {
    /// Connections that were opened.
    pub opened: Counter,
    /// Connections that could not be opened.
    pub not_opened: Counter,
    /// How often a connection was signed on, by itself or, after the host had signed off, by the host.
    pub signed_on: Counter,
    /// Echoes that were asked for.
    pub echoes: Counter,
    /// Bytes that came in.
    pub bytes_in: Counter,
    /// Bytes that went out.
    pub bytes_out: Counter,
    /// Questions that were answered in time.
    pub answered: Counter,
    /// Questions that were handed over to a connection and not answered in time.
    pub timed_out: Counter,
    /// Questions that were handed over to a connection that was closed before their answers came.
    pub lost: Counter,
    /// Questions that were refused because no connection was signed on.
    pub not_signed_on: Counter,
    /// Questions that were refused because as many were under way as may be.
    pub busy: Counter,
    /// Questions that were refused because the same was under way.
    pub duplicate: Counter,
    /// Answers to questions that had been given up.
    pub late: Counter,
    /// Late answers that nobody took.
    pub late_dropped: Counter,
    /// Answers to nothing that was asked. They are not delivered.
    pub unmatched: Counter,
    /// Answers with the key of a question and another number, processing, amount or currency. They are not delivered.
    pub contradicting: Counter,
    /// Messages that could not be read.
    pub malformed: Counter,
    /// Questions of the host, network management included.
    pub asked_by_host: Counter,
    /// From when a question was handed in to when its answer was there.
    pub latency: Latency,
    closed: [Counter; Ended::ALL.len()],
    asked: [Counter; Traffic::ALL.len()],
}

impl LinkMeter {
    /// How many connections are open.
    pub fn open(&self) -> u64 {
        let closed: u64 = self.closed.iter().map(Counter::value).sum();
        self.opened.value().saturating_sub(closed)
    }

    /// How many connections were closed for that reason.
    pub fn closed(&self, why: Ended) -> &Counter {
        &self.closed[why as usize]
    }

    /// How many questions of a kind were taken.
    pub fn asked(&self, traffic: Traffic) -> &Counter {
        &self.asked[traffic as usize]
    }

    pub(crate) fn asks(&self, mti: Mti) {
        self.asked(Traffic::of(mti)).one();
    }

    /// Whoever asked is told that there is no answer.
    pub(crate) fn fails(&self, error: LinkError) {
        match error {
            LinkError::Timeout { .. } => self.timed_out.one(),
            LinkError::Lost => self.lost.one(),
            LinkError::NotSignedOn => self.not_signed_on.one(),
            LinkError::Busy => self.busy.one(),
            LinkError::Duplicate => self.duplicate.one(),
            // His own doing, or the end.
            LinkError::NoAnswer(_)
            | LinkError::Missing(_)
            | LinkError::Malformed(_)
            | LinkError::Encode(_)
            | LinkError::Stopping => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_those_of_the_list() {
        for (at, why) in Ended::ALL.into_iter().enumerate() {
            assert_eq!(why as usize, at);
        }
    }
}
