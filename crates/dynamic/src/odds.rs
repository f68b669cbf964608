//! How hard all of this is to guess: the bounds that measurements are held against.
//!
//! Every figure assumes a guesser who knows the number and when the window of dates begins, and nothing of the key. A date is worth
//! some five to seven bits; what makes it strong is that nearly always no ETSN is open, and that a card locks after few
//! misses.

use crate::field::FieldMac;
use crate::reference::Months;

/// The chance that one of `guesses` different dates is that of one of `open` ETSNs, whose dates differ, among `months`:
/// `1 - C(M - n, t) / C(M, t)`.
pub fn expiry_forgery(months: Months, open: u8, guesses: u8) -> f64 {
    let (months, open) = (f64::from(months.count()), f64::from(open));
    // Each guess that missed leaves one month fewer, of which as many are hits.
    let missed = (0..guesses).fold(1.0, |missed, guess| {
        let left = months - f64::from(guess);
        if left <= open { 0.0 } else { missed * (left - open) / left }
    });
    1.0 - missed
}

/// How many bits a date is worth: `log2 M`.
pub fn expiry_bits(months: Months) -> f64 {
    f64::from(months.count()).log2()
}

/// How many ETSNs of a card are open on average: purchases a day, times the days that an ETSN is open.
pub fn open_on_average(purchases_per_day: f64, lifetime_days: f64) -> f64 {
    purchases_per_day * lifetime_days
}

/// How many of `cards` are hit by `guesses` at each: `cards * guesses * open / M`, where nothing but chance decides
/// whether an ETSN is open. It is an upper bound: the first hit of a card is counted, and so is each other one.
pub fn expected_hits(cards: f64, guesses: f64, open_on_average: f64, months: Months) -> f64 {
    cards * guesses * open_on_average / f64::from(months.count())
}

/// The chance that one guess of the MAC field is right: `2^-40`.
pub fn field_forgery() -> f64 {
    (-8.0 * FieldMac::BYTES as f64).exp2()
}

/// The chance that one guess of a MAC of so many decimal digits is right: `10^-d`.
pub fn digits_forgery(digits: u8) -> f64 {
    10f64.powi(-i32::from(digits))
}

/// How far a count is from what is expected of so many independent attempts, in standard deviations. Where no deviation is
/// possible, any is infinite.
pub fn deviations(attempts: u64, hits: u64, chance: f64) -> f64 {
    let (attempts, hits) = (attempts as f64, hits as f64);
    let off = (hits - attempts * chance).abs();
    if off == 0.0 { 0.0 } else { off / (attempts * chance * (1.0 - chance)).sqrt() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn months(count: u8) -> Months {
        Months::new(count).unwrap()
    }

    /// The table of the security page, in percent: one guess with n open, and three guesses with one open.
    #[test]
    fn the_table() {
        let table = [
            (24, [4.17, 8.33, 12.5, 20.8, 33.3, 12.5]),
            (48, [2.08, 4.17, 6.25, 10.4, 16.7, 6.25]),
            (60, [1.67, 3.33, 5.00, 8.33, 13.3, 5.00]),
            (96, [1.04, 2.08, 3.13, 5.21, 8.33, 3.13]),
            (120, [0.83, 1.67, 2.50, 4.17, 6.67, 2.50]),
        ];
        for (count, row) in table {
            let columns = [(1, 1), (2, 1), (3, 1), (5, 1), (8, 1), (1, 3)];
            for ((open, guesses), percent) in columns.into_iter().zip(row) {
                let chance = expiry_forgery(months(count), open, guesses) * 100.0;
                // Three digits.
                let rounding = if percent < 10.0 { 0.005 } else { 0.05 };
                assert!((chance - percent).abs() <= rounding + 1e-9, "{count} months, {open} open: {chance}");
            }
        }
    }

    #[test]
    fn the_examples() {
        // A purchase in ten days, open for a day: one try in 600 hits, 50 of 10,000 stolen numbers with three tries each.
        let open = open_on_average(0.1, 1.0);
        assert!((expected_hits(1.0, 1.0, open, months(60)) - 1.0 / 600.0).abs() < 1e-12);
        assert!((expected_hits(10_000.0, 3.0, open, months(60)) - 50.0).abs() < 1e-9);
        assert!((field_forgery() - 9.094_947_017_729_282e-13).abs() < 1e-25);
        assert!((digits_forgery(4) - 1e-4).abs() < 1e-16);
        assert!((expiry_bits(months(24)) - 4.584_962_500_721_156).abs() < 1e-12);
        assert!((expiry_bits(months(120)) - 6.906_890_595_608_519).abs() < 1e-12);
    }

    /// 200 of a million, as likely as 2 in 10,000: the standard deviation is 14.14.
    #[test]
    fn deviations_are_counted() {
        assert!(deviations(1_000_000, 200, 2e-4) < 1e-9);
        assert!((deviations(1_000_000, 271, 2e-4) - 5.02).abs() < 0.01);
        assert!((deviations(1_000_000, 129, 2e-4) - 5.02).abs() < 0.01);
        assert_eq!(deviations(10, 0, 0.0), 0.0);
        assert_eq!(deviations(10, 1, 0.0), f64::INFINITY);
    }

    /// The same by counting: how many of all choices of guesses have none of the open months.
    fn by_counting(count: u8, open: u8, guesses: u8) -> f64 {
        let choose = |of: u8, taken: u8| {
            (0..taken).fold(1.0, |all, at| all * (f64::from(of) - f64::from(at)).max(0.0) / f64::from(at + 1))
        };
        1.0 - choose(count - open, guesses) / choose(count, guesses)
    }

    proptest! {
        #[test]
        fn forgery_is_the_share_of_choices_that_hit(count in 12u8..121, open in 0u8..9, guesses in 0u8..13) {
            let chance = expiry_forgery(months(count), open, guesses);
            prop_assert!((chance - by_counting(count, open, guesses)).abs() < 1e-9);
            prop_assert!((0.0..=1.0).contains(&chance));
            // For one open ETSN each guess adds as much.
            let one = expiry_forgery(months(count), 1, guesses);
            prop_assert!((one - f64::from(guesses) / f64::from(count)).abs() < 1e-9);
        }
    }
}
