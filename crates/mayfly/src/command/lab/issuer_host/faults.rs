//! Faults on demand, as they are written on the command line.

use std::num::NonZeroU32;
use std::time::Duration;

use mayfly_lab::issuer::Fault;

/// The longest delay, in milliseconds.
const DELAY_MS_MAX: u64 = 600_000;

/// The faults that are one word.
const WORDS: [(&str, Fault); 10] = [
    ("silent", Fault::Silent),
    ("deaf", Fault::Deaf),
    ("close", Fault::Close),
    ("close-deaf", Fault::CloseDeaf),
    ("other-stan", Fault::OtherStan),
    ("other-reference", Fault::OtherReference),
    ("other-amount", Fault::OtherAmount),
    ("other-number", Fault::OtherNumber),
    ("garbage", Fault::Garbage),
    ("twice", Fault::Twice),
];

/// A fault: a word, `delay=MS` or `decline=CODE`.
pub(super) fn fault(text: &str) -> Result<Fault, String> {
    if let Some((_, fault)) = WORDS.iter().find(|(word, _)| *word == text) {
        return Ok(*fault);
    }
    match text.split_once('=') {
        Some(("delay", ms)) => {
            let ms = ms.parse().ok().filter(|ms| (1..=DELAY_MS_MAX).contains(ms));
            let ms = ms.ok_or_else(|| format!("a delay is 1 to {DELAY_MS_MAX} milliseconds"))?;
            Ok(Fault::Delay(Duration::from_millis(ms)))
        }
        Some(("decline", code)) => {
            let code = <[u8; 2]>::try_from(code.as_bytes()).ok();
            let code = code.filter(|code| code.iter().all(u8::is_ascii_alphanumeric) && code != b"00");
            code.map(Fault::Say).ok_or_else(|| "a code is two letters or digits, and not 00".into())
        }
        _ => {
            let words = WORDS.map(|(word, _)| word).join(", ");
            Err(format!("a fault is delay=MS, decline=CODE, or one of {words}"))
        }
    }
}

/// Each so many questions meet a fault: `20:silent`.
pub(super) fn every(text: &str) -> Result<(NonZeroU32, Fault), String> {
    let (count, of) = split(text)?;
    let count = count.parse().map_err(|_| "the first number says at each how many: 20:silent".to_owned())?;
    Ok((count, fault(of)?))
}

/// So many of a thousand questions meet a fault: `20:silent`.
pub(super) fn chance(text: &str) -> Result<(u16, Fault), String> {
    let (count, of) = split(text)?;
    let count = count.parse().ok().filter(|count| (1..=1_000).contains(count));
    let count = count.ok_or_else(|| "chances are 1 to 1000 of a thousand: 20:silent".to_owned())?;
    Ok((count, fault(of)?))
}

fn split(text: &str) -> Result<(&str, &str), String> {
    text.split_once(':').ok_or_else(|| "write a number, a colon and the fault: 20:silent".to_owned())
}

/// A fault as it is written.
pub(super) fn shown(fault: Fault) -> String {
    match fault {
        Fault::Delay(delay) => format!("delay={}", delay.as_millis()),
        Fault::Say(code) => format!("decline={}", String::from_utf8_lossy(&code)),
        fault => {
            let word = WORDS.iter().find(|(_, known)| *known == fault);
            word.map_or("held", |(word, _)| word).to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_read_as_they_are_shown() {
        for text in ["silent", "deaf", "close-deaf", "twice", "other-stan", "delay=500", "decline=N7"] {
            assert_eq!(fault(text).map(shown).as_deref(), Ok(text));
        }
        for wrong in ["", "loud", "delay", "delay=0", "delay=600001", "decline=00", "decline=5", "decline=é"]
        {
            assert!(fault(wrong).is_err(), "{wrong}");
        }
        assert_eq!(every("3:silent"), Ok((NonZeroU32::new(3).unwrap(), Fault::Silent)));
        assert_eq!(chance("1000:decline=51"), Ok((1_000, Fault::Say(*b"51"))));
        for wrong in ["silent", "0:silent", "x:silent", "3:loud", ":silent"] {
            assert!(every(wrong).is_err() && chance(wrong).is_err(), "{wrong}");
        }
        assert!(chance("1001:silent").is_err());
    }
}
