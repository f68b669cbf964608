//! What messages say of themselves that come from nowhere but here.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use mayfly_card::Stan;
use mayfly_core::{Facts, Hash64, TimeMs};

/// The number and the times of a message that is made here at `now_ms`; the rest is for its maker to say.
pub(crate) fn facts_of_here(identity: Hash64, now_ms: TimeMs) -> Facts {
    let (local_date, local_time) = date_and_time(now_ms);
    Facts {
        stan: trace_number(identity),
        transmitted: u32::from(local_date) * 1_000_000 + local_time,
        local_date,
        local_time,
        ..Facts::default()
    }
}

/// `MMDD` and `hhmmss`, as DE 13 and DE 12 have them.
fn date_and_time(now_ms: TimeMs) -> (u16, u32) {
    let time = i64::try_from(now_ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
    let time = time.unwrap_or(Timestamp::MAX).to_zoned(TimeZone::UTC);
    let date = time.month() as u16 * 100 + time.day() as u16;
    (date, time.hour() as u32 * 10_000 + time.minute() as u32 * 100 + time.second() as u32)
}

/// DE 11: six digits that differ from message to message, as far as six digits can.
fn trace_number(identity: Hash64) -> Stan {
    Stan::from_value((identity.0 % 999_999) as u32 + 1).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_told_in_utc() {
        // 2026-11-22T14:26:51.005Z
        assert_eq!(date_and_time(1_795_357_611_005), (1122, 142_651));
        assert_eq!(date_and_time(0), (101, 0));
        assert_eq!(date_and_time(TimeMs::MAX).0, 1230);
    }

    #[test]
    fn trace_numbers_have_six_digits_and_are_never_nothing() {
        for identity in [0, 999_998, 999_999, u64::MAX] {
            assert!((1..=999_999).contains(&trace_number(Hash64(identity)).value()));
        }
    }
}
