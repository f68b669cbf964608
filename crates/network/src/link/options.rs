//! The bounds of the link to issuer hosts.

use std::time::Duration;

use mayfly_core::LimitError;

use crate::backoff::Backoff;

/// How many questions may be under way over all connections and in the queue together: far fewer than there are
/// STANs, so that a free one is always found soon.
const UNDER_WAY_MAX: usize = 500_000;

/// The bounds of an [`IssuerLink`](super::IssuerLink). [`LinkOptions::check`] holds the bounds of the bounds;
/// [`LinkOptions::default`] has the defaults.
///
/// The times of a connection are looked at in a beat of a quarter of the shortest of them, and of a second at the
/// most. How long an answer may take is kept exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkOptions {
    /// How many questions of one connection may wait for their answers. Default 1,024; 1 to 65,536.
    pub in_flight_max: usize,
    /// How many questions may wait until a connection has room for them. What is over that is refused.
    /// Default 4,096; 0 to 65,536.
    pub queue_max: usize,
    /// How many questions that were given up are remembered, so that an answer that comes nevertheless is known to
    /// be late, and whose. Default 65,536; 1 to 1,048,576.
    pub late_max: usize,
    /// The longest message, in bytes and without its header. A host that announces more is disconnected.
    /// Default 4,096; 64 to 32,767.
    pub message_bytes_max: usize,
    /// How many bytes may wait for a host that does not read them before a connection takes no more questions, and how
    /// many of answers to what it asks itself before nothing more is read from it. Default 262,144; 4,096 to 16,777,216.
    pub output_bytes_max: usize,
    /// How long a host may take for an answer, in milliseconds, the time in the queue included.
    /// Default 15,000; 10 to 600,000.
    pub answer_ms_max: u64,
    /// How long a connection may take to be opened, in milliseconds. Default 5,000; 10 to 600,000.
    pub connect_ms_max: u64,
    /// How long a host may take to answer a sign-on, a sign-off or an echo, in milliseconds.
    /// Default 10,000; 10 to 600,000.
    pub management_ms_max: u64,
    /// After how long without a byte from the host it is asked for an echo, in milliseconds.
    /// Default 30,000; 10 to 86,400,000.
    pub echo_after_ms: u64,
    /// How long the rest of a message may take once its first byte is there, in milliseconds.
    /// Default 30,000; 10 to 600,000.
    pub message_ms_max: u64,
    /// How long a host may take no byte of what waits for it, in milliseconds. Default 10,000; 10 to 600,000.
    pub write_ms_max: u64,
    /// The first wait before a connection is opened again, in milliseconds. It doubles with every failure in a row,
    /// and up to half of it is left to chance. Default 500; 1 to 600,000.
    pub retry_ms_first: u64,
    /// The longest of these waits, in milliseconds. Default 30,000; 1 to 3,600,000, and not less than the first.
    pub retry_ms_max: u64,
    /// How long a stop waits for the answers that are under way, and then for the sign-offs, in milliseconds.
    /// Default 10,000; 10 to 600,000.
    pub stop_ms_max: u64,
}

impl Default for LinkOptions {
    fn default() -> Self {
        Self {
            in_flight_max: 1_024,
            queue_max: 4_096,
            late_max: 65_536,
            message_bytes_max: 4_096,
            output_bytes_max: 262_144,
            answer_ms_max: 15_000,
            connect_ms_max: 5_000,
            management_ms_max: 10_000,
            echo_after_ms: 30_000,
            message_ms_max: 30_000,
            write_ms_max: 10_000,
            retry_ms_first: 500,
            retry_ms_max: 30_000,
            stop_ms_max: 10_000,
        }
    }
}

impl LinkOptions {
    /// Whether every bound is within its own bounds, for that many connections.
    pub fn check(&self, connections: usize) -> Result<(), LimitError> {
        const TIME: &str = "10 ms to 10 minutes";
        let time = |ms: u64| (10..=600_000).contains(&ms);
        let under_way = self.in_flight_max.saturating_mul(connections).saturating_add(self.queue_max);
        let retry = (self.retry_ms_first..=3_600_000).contains(&self.retry_ms_max);
        LimitError::of_first([
            ((1..=1_024).contains(&connections), "connections to issuer hosts", "1 to 1024"),
            ((1..=65_536).contains(&self.in_flight_max), "questions in flight", "1 to 65536"),
            ((0..=65_536).contains(&self.queue_max), "waiting questions", "0 to 65536"),
            (under_way <= UNDER_WAY_MAX, "questions of all connections and the queue", "at most 500000"),
            ((1..=1 << 20).contains(&self.late_max), "questions given up", "1 to 1048576"),
            ((64..=32_767).contains(&self.message_bytes_max), "longest message", "64 to 32767 bytes"),
            ((4_096..=1 << 24).contains(&self.output_bytes_max), "waiting output", "4096 to 16777216 bytes"),
            (time(self.answer_ms_max), "time for an answer", TIME),
            (time(self.connect_ms_max), "time for connecting", TIME),
            (time(self.management_ms_max), "time for an answer to network management", TIME),
            ((10..=86_400_000).contains(&self.echo_after_ms), "time until an echo", "10 ms to 24 hours"),
            (time(self.message_ms_max), "time for the rest of a message", TIME),
            (time(self.write_ms_max), "time for reading questions", TIME),
            ((1..=600_000).contains(&self.retry_ms_first), "first wait", "1 ms to 10 minutes"),
            (retry, "longest wait", "the first wait to 1 hour"),
            (time(self.stop_ms_max), "time for stopping", TIME),
        ])
    }

    /// How often a connection looks at its times.
    pub(crate) fn beat(&self) -> Duration {
        let times = [self.management_ms_max, self.echo_after_ms, self.message_ms_max, self.write_ms_max];
        let shortest_ms = times.into_iter().min().unwrap_or_default();
        Duration::from_millis((shortest_ms / 4).clamp(5, 1_000))
    }

    pub(crate) fn backoff(&self) -> Backoff {
        Backoff { first_ms: self.retry_ms_first, longest_ms: self.retry_ms_max }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_within_their_bounds() {
        assert_eq!(LinkOptions::default().check(1), Ok(()));
        assert_eq!(LinkOptions::default().check(64), Ok(()));
        assert_eq!(LinkOptions::default().beat(), Duration::from_secs(1));
    }

    #[test]
    fn every_bound_is_checked() {
        let defaults = LinkOptions::default();
        for (options, term) in [
            (LinkOptions { in_flight_max: 0, ..defaults }, "questions in flight"),
            (LinkOptions { queue_max: 65_537, ..defaults }, "waiting questions"),
            (LinkOptions { in_flight_max: 65_536, ..defaults }, "questions of all connections and the queue"),
            (LinkOptions { late_max: 0, ..defaults }, "questions given up"),
            (LinkOptions { message_bytes_max: 1, ..defaults }, "longest message"),
            (LinkOptions { output_bytes_max: 1, ..defaults }, "waiting output"),
            (LinkOptions { answer_ms_max: 9, ..defaults }, "time for an answer"),
            (LinkOptions { connect_ms_max: 0, ..defaults }, "time for connecting"),
            (LinkOptions { management_ms_max: 0, ..defaults }, "time for an answer to network management"),
            (LinkOptions { echo_after_ms: 0, ..defaults }, "time until an echo"),
            (LinkOptions { message_ms_max: 0, ..defaults }, "time for the rest of a message"),
            (LinkOptions { write_ms_max: 0, ..defaults }, "time for reading questions"),
            (LinkOptions { retry_ms_first: 0, ..defaults }, "first wait"),
            (LinkOptions { retry_ms_max: 499, ..defaults }, "longest wait"),
            (LinkOptions { stop_ms_max: 600_001, ..defaults }, "time for stopping"),
        ] {
            assert_eq!(options.check(8).unwrap_err().term, term);
        }
        assert_eq!(defaults.check(0).unwrap_err().term, "connections to issuer hosts");
    }
}
