//! From a request to the message that answers it.

use std::sync::LazyLock;

use mayfly_card::ApprovalCode;
use mayfly_core::ResponseCode;
use mayfly_iso8583::{De, Dialect, Message, MessageBuilder, Mti, MtiClass};
use zeroize::Zeroize;

use crate::buffer::make_room;

/// What every answer takes over from its request, as far as the request has it (ISO 8583:1987, 0110 and 0210).
const ECHOED: &[De] = &[
    De::PAN,
    De::PROCESSING_CODE,
    De::AMOUNT,
    De::TRANSMISSION_TIME,
    De::STAN,
    De::LOCAL_TIME,
    De::LOCAL_DATE,
    De::ACQUIRER,
    De::RRN,
    De::TERMINAL,
    De::CARD_ACCEPTOR,
    De::CURRENCY,
];

/// What answers to reversals take over too (0410 and 0430).
const ECHOED_BY_REVERSALS: &[De] = &[De::ORIGINAL_DATA, De::REPLACEMENT_AMOUNTS];

/// What answers to network management take over (0810).
const ECHOED_BY_MANAGEMENT: &[De] = &[
    De::TRANSMISSION_TIME,
    De::STAN,
    De::LOCAL_TIME,
    De::LOCAL_DATE,
    De::ACQUIRER,
    De::FORWARDER,
    De::NETWORK_CODE,
];

/// Room for what a usual answer takes over: it comes to 150 bytes.
const USUAL_LEN: usize = 192;

/// The answer to a request; none if it is not one.
pub fn respond(
    request: &Message<'_>,
    code: ResponseCode,
    approval: Option<ApprovalCode>,
) -> Option<MessageBuilder> {
    let mut echo = Echo::default();
    echo.take_over(request);
    echo.answer(code, approval)
}

/// What the answer to a request will take over from it: all that is kept of a request while the engine has it.
/// It holds the card number, so it is wiped when the answer is made.
#[derive(Default)]
pub(crate) struct Echo {
    mti: Option<Mti>,
    secondary_bitmap: bool,
    /// Again and again: the element's number, the length of its content, the content.
    contents: Vec<u8>,
}

impl Echo {
    /// Keeps what the answer to this request needs.
    pub(crate) fn take_over(&mut self, request: &Message<'_>) {
        self.mti = request.mti().response();
        self.secondary_bitmap = request.has_secondary_bitmap();
        if self.contents.capacity() == 0 {
            self.contents.reserve(USUAL_LEN);
        }
        let (elements, more): (_, &[De]) = match request.mti().class() {
            MtiClass::NetworkManagement => (ECHOED_BY_MANAGEMENT, &[]),
            MtiClass::Reversal => (ECHOED, ECHOED_BY_REVERSALS),
            _ => (ECHOED, &[]),
        };
        for element in elements.iter().chain(more) {
            // A content of more than 255 characters would be a strange dialect's; it is not taken over.
            if let Some(content) = request.bytes(*element)
                && let Ok(length) = u8::try_from(content.len())
            {
                self.push(*element, length, content);
            }
        }
    }

    fn push(&mut self, element: De, length: u8, content: &[u8]) {
        let contents = make_room(&mut self.contents, 2 + content.len());
        contents.extend_from_slice(&[element.number(), length]);
        contents.extend_from_slice(content);
    }

    /// The answer; none if the request has none.
    pub(crate) fn answer(
        &self,
        code: ResponseCode,
        approval: Option<ApprovalCode>,
    ) -> Option<MessageBuilder> {
        let mut answer = if self.secondary_bitmap { with_secondary_bitmap() } else { None }
            .unwrap_or_else(|| MessageBuilder::new(Mti::NETWORK_RESPONSE));
        answer.set_mti(self.mti?);
        let mut rest = self.contents.as_slice();
        while let [number, length, contents @ ..] = rest {
            let (content, after) = contents.split_at_checked(usize::from(*length))?;
            if let (Some(element), Ok(text)) = (De::new(*number), std::str::from_utf8(content)) {
                answer.set(element, text);
            }
            rest = after;
        }
        if let Some(approval) = approval.filter(|_| code == ResponseCode::Approved) {
            answer.set(De::APPROVAL_CODE, std::str::from_utf8(&approval.characters()).unwrap_or_default());
        }
        answer.set(De::RESPONSE_CODE, code.code());
        Some(answer)
    }

    /// Forgets everything and keeps the space.
    pub(crate) fn wipe(&mut self) {
        self.mti = None;
        self.contents.zeroize();
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.wipe();
    }
}

/// An answer that has a secondary bitmap although nothing is in it: some implementations read as many bitmaps as
/// they have written. Only the answer to a message makes one, so there is such a message.
fn with_secondary_bitmap() -> Option<MessageBuilder> {
    static EMPTY: LazyLock<Option<MessageBuilder>> = LazyLock::new(|| {
        let dialect = Dialect::builtin("ascii87")?;
        let request = Message::parse(dialect, b"080080000000000000000000000000000000").ok()?;
        MessageBuilder::answer(&request)
    });
    EMPTY.clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ascii() -> &'static Dialect {
        Dialect::builtin("ascii87").unwrap()
    }

    fn wire(request: &MessageBuilder) -> Vec<u8> {
        let mut wire = Vec::new();
        request.encode_body(ascii(), &mut wire).unwrap();
        wire
    }

    fn answered(request: &MessageBuilder, code: ResponseCode, approval: Option<u32>) -> MessageBuilder {
        let wire = wire(request);
        let request = Message::parse(ascii(), &wire).unwrap();
        respond(&request, code, approval.and_then(ApprovalCode::from_value)).unwrap()
    }

    fn purchase() -> MessageBuilder {
        let mut request = MessageBuilder::new(Mti::AUTHORISATION_REQUEST.with_repeat());
        for (element, content) in [
            (De::PAN, "4761739001010119"),
            (De::PROCESSING_CODE, "000000"),
            (De::AMOUNT, "000000002498"),
            (De::STAN, "000017"),
            (De::EXPIRATION_DATE, "2912"),
            (De::RRN, "000000000001"),
            (De::CARD_ACCEPTOR, "M 1"),
            (De::ADDITIONAL_DATA, "9203123"),
            (De::CURRENCY, "840"),
        ] {
            request.set(element, content);
        }
        request
    }

    #[test]
    fn an_answer_takes_over_what_it_should() {
        let answer = answered(&purchase(), ResponseCode::Approved, Some(42));
        assert_eq!(answer.mti(), Mti::AUTHORISATION_RESPONSE);
        let numbers: Vec<_> = answer.elements().map(De::number).collect();
        assert_eq!(numbers, [2, 3, 4, 11, 37, 38, 39, 42, 49]);
        assert_eq!(answer.text(De::APPROVAL_CODE), Some("000042"));
        assert_eq!(answer.text(De::CARD_ACCEPTOR), Some("M 1            "));
    }

    #[test]
    fn only_an_approval_has_an_approval_code() {
        let answer = answered(&purchase(), ResponseCode::Declined, Some(42));
        assert_eq!(answer.text(De::RESPONSE_CODE), Some("05"));
        assert!(!answer.has(De::APPROVAL_CODE));
    }

    #[test]
    fn a_secondary_bitmap_is_answered_with_one() {
        let mut request = purchase();
        request.set(De::PRIVATE, "0104Anna");
        let answer = answered(&request, ResponseCode::Approved, None);
        assert_eq!(answer.mti(), Mti::AUTHORISATION_RESPONSE);
        assert!(!answer.has(De::PRIVATE));
        let wire = wire(&answer);
        assert!(Message::parse(ascii(), &wire).unwrap().has_secondary_bitmap());
    }

    #[test]
    fn reversals_and_network_management_take_over_their_own() {
        let mut reversal = purchase();
        let original = "0".repeat(42);
        reversal.set_mti(Mti::REVERSAL_ADVICE).set(De::ORIGINAL_DATA, &original);
        let answer = answered(&reversal, ResponseCode::Approved, None);
        assert_eq!(answer.mti(), Mti::REVERSAL_ADVICE_RESPONSE);
        assert_eq!(answer.text(De::ORIGINAL_DATA), Some(&*original));
        let mut echo = MessageBuilder::new(Mti::NETWORK_REQUEST);
        echo.set(De::STAN, "1").set(De::NETWORK_CODE, "301").set(De::CURRENCY, "840");
        let answer = answered(&echo, ResponseCode::Approved, None);
        let numbers: Vec<_> = answer.elements().map(De::number).collect();
        assert_eq!(numbers, [11, 39, 70]);
    }

    #[test]
    fn an_answer_has_no_answer() {
        let mut answer = purchase();
        answer.set_mti(Mti::AUTHORISATION_RESPONSE);
        let wire = wire(&answer);
        let answer = Message::parse(ascii(), &wire).unwrap();
        assert!(respond(&answer, ResponseCode::Approved, None).is_none());
    }
}
