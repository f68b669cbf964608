//! The bounds of everything that a peer could make large or long.

use std::time::Duration;

use mayfly_core::LimitError;

/// The network's bounds. [`Options::check`] holds the bounds of the bounds; [`Options::default`] has the defaults.
///
/// Times are looked at in a beat of a quarter of the shortest of them, and of a second at the most: what is over is
/// noticed that much late.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// How many connections may be open, on all addresses together. One more is accepted and closed at once.
    /// Default 1,024; 1 to 65,536.
    pub connections_max: usize,
    /// How many messages of one connection may wait for their answers. When they are that many, nothing more is
    /// read from it. Default 1,024; 1 to 65,536.
    pub in_flight_max: usize,
    /// The longest message, in bytes and without its header. Whoever announces more is disconnected.
    /// Default 4,096; 64 to 32,767.
    pub message_bytes_max: usize,
    /// How many bytes of answers may wait for a peer that does not read them before nothing more is read from it.
    /// Default 262,144; 4,096 to 16,777,216.
    pub output_bytes_max: usize,
    /// How long nothing may come over a connection before it is closed, in milliseconds. A length of zero (a sign
    /// of life) counts as something. Default 300,000; 10 to 86,400,000.
    pub idle_ms_max: u64,
    /// How long the rest of a message may take once its first byte is there, in milliseconds.
    /// Default 30,000; 10 to 600,000.
    pub message_ms_max: u64,
    /// How long a peer may take no byte of the answers that wait for it, in milliseconds.
    /// Default 10,000; 10 to 600,000.
    pub write_ms_max: u64,
    /// How long the engine may take for an answer before the peer is told 96, or 91 while the journal does not
    /// confirm, in milliseconds. What the engine approves after that is taken back by itself, and a repeat is told 96.
    /// Default 25,000; 10 to 600,000.
    pub answer_ms_max: u64,
    /// How long a stop waits until everything in flight is answered and written, in milliseconds.
    /// Default 10,000; 10 to 600,000.
    pub stop_ms_max: u64,
    /// Whether card messages are answered 12 until the peer has signed on (0800 with DE 70 = 001). Default no.
    pub sign_on_required: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connections_max: 1_024,
            in_flight_max: 1_024,
            message_bytes_max: 4_096,
            output_bytes_max: 262_144,
            idle_ms_max: 300_000,
            message_ms_max: 30_000,
            write_ms_max: 10_000,
            answer_ms_max: 25_000,
            stop_ms_max: 10_000,
            sign_on_required: false,
        }
    }
}

impl Options {
    /// Whether every bound is within its own bounds.
    pub fn check(&self) -> Result<(), LimitError> {
        const TIME: &str = "10 ms to 10 minutes";
        let time = |ms: u64| (10..=600_000).contains(&ms);
        LimitError::of_first([
            ((1..=65_536).contains(&self.connections_max), "connections", "1 to 65536"),
            ((1..=65_536).contains(&self.in_flight_max), "messages in flight", "1 to 65536"),
            ((64..=32_767).contains(&self.message_bytes_max), "longest message", "64 to 32767 bytes"),
            ((4_096..=1 << 24).contains(&self.output_bytes_max), "waiting output", "4096 to 16777216 bytes"),
            ((10..=86_400_000).contains(&self.idle_ms_max), "idle time", "10 ms to 24 hours"),
            (time(self.message_ms_max), "time for the rest of a message", TIME),
            (time(self.write_ms_max), "time for reading answers", TIME),
            (time(self.answer_ms_max), "time for an answer", TIME),
            (time(self.stop_ms_max), "time for stopping", TIME),
        ])
    }

    /// How often a connection looks at its times: often enough for the shortest of them, and at least once a
    /// second.
    pub(crate) fn beat(&self) -> Duration {
        let shortest_ms =
            self.idle_ms_max.min(self.message_ms_max).min(self.write_ms_max).min(self.answer_ms_max);
        Duration::from_millis((shortest_ms / 4).clamp(5, 1_000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_within_their_bounds() {
        assert_eq!(Options::default().check(), Ok(()));
        assert_eq!(Options::default().beat(), Duration::from_secs(1));
    }

    #[test]
    fn every_bound_is_checked() {
        let defaults = Options::default();
        for (options, term) in [
            (Options { connections_max: 0, ..defaults }, "connections"),
            (Options { in_flight_max: 0, ..defaults }, "messages in flight"),
            (Options { message_bytes_max: 32_768, ..defaults }, "longest message"),
            (Options { output_bytes_max: 1, ..defaults }, "waiting output"),
            (Options { idle_ms_max: 0, ..defaults }, "idle time"),
            (Options { message_ms_max: 0, ..defaults }, "time for the rest of a message"),
            (Options { write_ms_max: 600_001, ..defaults }, "time for reading answers"),
            (Options { answer_ms_max: 0, ..defaults }, "time for an answer"),
            (Options { stop_ms_max: 0, ..defaults }, "time for stopping"),
        ] {
            assert_eq!(options.check().unwrap_err().term, term);
        }
    }
}
