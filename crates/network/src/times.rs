//! Times as messages carry them.

use jiff::{Timestamp, tz::TimeZone};

/// DE 7, MMDDhhmmss in UTC.
pub(crate) fn transmission_time(at_ms: u64) -> String {
    let at = i64::try_from(at_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    at.unwrap_or(Timestamp::MAX).to_zoned(TimeZone::UTC).strftime("%m%d%H%M%S").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transmission_times_are_utc() {
        assert_eq!(transmission_time(1_700_000_000_000), "1114221320");
        assert_eq!(transmission_time(u64::MAX).len(), 10);
    }
}
