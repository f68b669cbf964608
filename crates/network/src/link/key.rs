//! What an answer must have in common with its question.

use std::hash::{BuildHasher, RandomState};

use mayfly_card::{AcquirerId, Rrn, Stan, TerminalId};
use mayfly_iso8583::{De, Message, Mti};

use super::LinkError;

/// What pairs an answer with its question: the MTI of the answer, and DE 11, 7, 32, 37 and 41.
///
/// Less would pair what does not belong together: STANs come again every day, and after every million questions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    answer: Mti,
    pub(crate) stan: Stan,
    transmitted: u64,
    acquirer: AcquirerId,
    rrn: Rrn,
    terminal: TerminalId,
}

impl Key {
    /// The key of the answer that this question will get.
    pub(crate) fn of_question(message: &Message<'_>) -> Result<Self, LinkError> {
        let answer = message.mti().response().ok_or(LinkError::NoAnswer(message.mti()))?;
        Self::read(answer, message)
    }

    /// The key of an answer; none if it is none, or lacks what every answer has.
    pub(crate) fn of_answer(message: &Message<'_>) -> Option<Self> {
        let answers = message.mti().is_response() && message.has(De::RESPONSE_CODE);
        answers.then(|| Self::read(message.mti(), message).ok())?
    }

    fn read(answer: Mti, message: &Message<'_>) -> Result<Self, LinkError> {
        let text = |element| message.text(element).unwrap_or_default();
        let stan = message.text(De::STAN).ok_or(LinkError::Missing(De::STAN))?;
        let transmitted = message.text(De::TRANSMISSION_TIME);
        transmitted.ok_or(LinkError::Missing(De::TRANSMISSION_TIME))?;
        let malformed = LinkError::Malformed;
        Ok(Self {
            answer,
            stan: Stan::parse(stan).map_err(|_| malformed(De::STAN))?,
            transmitted: message.number(De::TRANSMISSION_TIME).ok_or(malformed(De::TRANSMISSION_TIME))?,
            acquirer: AcquirerId::parse(text(De::ACQUIRER)).map_err(|_| malformed(De::ACQUIRER))?,
            rrn: Rrn::parse(text(De::RRN)).map_err(|_| malformed(De::RRN))?,
            terminal: TerminalId::parse(text(De::TERMINAL)).map_err(|_| malformed(De::TERMINAL))?,
        })
    }
}

/// What an answer says once more of its question, and must say the same: number, processing, amount, currency.
const REPEATED: [De; 4] = [De::PAN, De::PROCESSING_CODE, De::AMOUNT, De::CURRENCY];

/// These elements of a question, as keyed hashes: no card number is kept for it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Content([Option<u64>; REPEATED.len()]);

impl Content {
    pub(crate) fn of(message: &Message<'_>, hasher: &RandomState) -> Self {
        Self(REPEATED.map(|element| message.bytes(element).map(|content| hasher.hash_one(content))))
    }

    /// Whether nothing that both have differs.
    pub(crate) fn agrees(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).all(|pair| match pair {
            (Some(one), Some(other)) => one == other,
            _ => true,
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use mayfly_iso8583::{Dialect, MessageBuilder};

    use super::*;

    pub(crate) fn question(stan: u32) -> MessageBuilder {
        let mut message = MessageBuilder::new(Mti::AUTHORISATION_REQUEST);
        message
            .set(De::PAN, "4761739001010119")
            .set(De::AMOUNT, "000000002498")
            .set(De::TRANSMISSION_TIME, "1122135606")
            .set_number(De::STAN, stan.into())
            .set(De::ACQUIRER, "423935")
            .set(De::RRN, "000000000017")
            .set(De::TERMINAL, "T1");
        message
    }

    pub(crate) fn read<T>(message: &MessageBuilder, read: impl FnOnce(&Message<'_>) -> T) -> T {
        let dialect = Dialect::builtin("ascii87").unwrap();
        let mut wire = Vec::new();
        message.encode_body(dialect, &mut wire).unwrap();
        read(&Message::parse(dialect, &wire).unwrap())
    }

    pub(crate) fn key(stan: u32) -> Key {
        read(&question(stan), Key::of_question).unwrap()
    }

    #[test]
    fn every_part_of_the_key_counts() {
        let mut answer = question(5);
        answer.set_mti(Mti::AUTHORISATION_RESPONSE);
        assert_eq!(read(&answer, Key::of_answer), None, "it does not say what it answers");
        answer.set(De::RESPONSE_CODE, "00");
        assert_eq!(read(&answer, Key::of_answer), Some(key(5)));
        for (element, other) in [
            (De::STAN, "6"),
            (De::TRANSMISSION_TIME, "1122135607"),
            (De::ACQUIRER, "423936"),
            (De::RRN, "000000000018"),
            (De::TERMINAL, "T2"),
        ] {
            let mut other_answer = answer.clone();
            other_answer.set(element, other);
            assert_ne!(read(&other_answer, Key::of_answer), Some(key(5)), "{element}");
            other_answer.remove(element);
            assert_ne!(read(&other_answer, Key::of_answer), Some(key(5)), "{element}");
        }
        answer.set_mti(Mti::FINANCIAL_RESPONSE);
        assert_ne!(read(&answer, Key::of_answer), Some(key(5)));
        assert_eq!(read(&question(5), Key::of_answer), None, "a question is no answer");
    }

    #[test]
    fn a_repeat_has_the_key_of_its_first() {
        let mut repeat = question(5);
        repeat.set_mti(repeat.mti().with_repeat());
        assert_eq!(read(&repeat, Key::of_question), Ok(key(5)));
    }

    #[test]
    fn what_can_not_be_paired_is_refused() {
        let mut without = question(5);
        without.remove(De::TRANSMISSION_TIME);
        assert_eq!(read(&without, Key::of_question), Err(LinkError::Missing(De::TRANSMISSION_TIME)));
        without.remove(De::STAN);
        assert_eq!(read(&without, Key::of_question), Err(LinkError::Missing(De::STAN)));
        without.set_mti(Mti::AUTHORISATION_RESPONSE);
        let no_answer = LinkError::NoAnswer(Mti::AUTHORISATION_RESPONSE);
        assert_eq!(read(&without, Key::of_question), Err(no_answer));
    }

    #[test]
    fn an_answer_must_not_contradict() {
        let hasher = RandomState::new();
        let of = |message: &MessageBuilder| read(message, |message| Content::of(message, &hasher));
        let asked = of(&question(5));
        for (element, other) in [(De::PAN, "4761739001010127"), (De::AMOUNT, "2499")] {
            let mut answer = question(5);
            assert!(asked.agrees(&of(&answer)));
            answer.set(element, other);
            assert!(!asked.agrees(&of(&answer)), "{element}");
            answer.remove(element);
            assert!(asked.agrees(&of(&answer)), "what is not said contradicts nothing");
        }
    }
}
