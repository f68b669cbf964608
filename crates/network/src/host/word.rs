//! What an issuer host's answer means.

use mayfly_card::ApprovalCode;
use mayfly_core::{HostAnswer, ResponseCode, Word};
use mayfly_iso8583::{De, MessageBuilder};

/// Codes that approve something else than what was asked (ISO 8583:1987, table of DE 39, and what networks and chip cards
/// have added): with identification, in part, as VIP, with another track, no reason to decline, without cash, offline. A
/// merchant that was told one of these would not know what we have booked.
const OTHER_APPROVALS: [&str; 9] = ["08", "10", "11", "16", "32", "85", "87", "Y1", "Y3"];

/// What a host said. `00` is a yes; any other code of two digits or capitals is a no, which goes to the merchant as it is.
/// What is neither, and what approves something else than was asked, counts as no answer at all: it is reversed.
pub fn answer(answer: &MessageBuilder) -> Word {
    let code = answer.text(De::RESPONSE_CODE).filter(|code| !OTHER_APPROVALS.contains(code));
    let Some(response) = code.and_then(ResponseCode::from_code) else { return Word::Late };
    // Without one, or with blanks, we give ours.
    let approval = answer.text(De::APPROVAL_CODE).and_then(|code| ApprovalCode::parse(code).ok());
    let approval = approval.filter(|_| response == ResponseCode::Approved);
    Word::Host(HostAnswer { response, approval })
}

#[cfg(test)]
mod tests {
    use mayfly_iso8583::Mti;

    use super::*;

    fn said(code: &str, approval: &str) -> Word {
        let mut message = MessageBuilder::new(Mti::AUTHORISATION_RESPONSE);
        message.set(De::RESPONSE_CODE, code).set(De::APPROVAL_CODE, approval);
        answer(&message)
    }

    fn host(code: &str, approval: Option<&str>) -> Word {
        let response = ResponseCode::from_code(code).unwrap();
        Word::Host(HostAnswer { response, approval: approval.map(|code| ApprovalCode::parse(code).unwrap()) })
    }

    #[test]
    fn zero_zero_is_a_yes_with_its_approval_code() {
        assert_eq!(said("00", "A1B2C3"), host("00", Some("A1B2C3")));
        assert_eq!(said("00", "004711"), host("00", Some("004711")));
        assert_eq!(said("00", "      "), host("00", None));
    }

    #[test]
    fn every_other_code_is_a_no_and_passed_on_as_it_is() {
        let codes = (0..100).map(|code| format!("{code:02}")).chain(["N7", "Z1", "Q1"].map(str::to_owned));
        for code in codes.filter(|code| code != "00" && !OTHER_APPROVALS.contains(&&**code)) {
            assert_eq!(said(&code, "123456"), host(&code, None), "{code}");
            let Word::Host(answer) = said(&code, "") else { panic!("{code}") };
            assert!(!answer.approved());
            assert_eq!(answer.response.code(), code);
        }
    }

    #[test]
    fn what_approves_something_else_or_nothing_known_is_not_understood() {
        for code in OTHER_APPROVALS.into_iter().chain(["", "0", "  ", "a1", "0?", "000"]) {
            assert_eq!(said(code, "123456"), Word::Late, "{code:?}");
        }
        assert_eq!(answer(&MessageBuilder::new(Mti::AUTHORISATION_RESPONSE)), Word::Late);
    }
}
