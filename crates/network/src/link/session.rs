//! What a connection to an issuer host is up to: sign-on, echo, sign-off. Pure: it is told what happened and when, and
//! says what is to be done.

use std::time::{Duration, Instant};

use mayfly_card::Stan;
use mayfly_iso8583::{De, Message, MtiClass};

use super::LinkOptions;
use super::ended::Ended;
use crate::management::Management;

/// One connection, from when it is open to when it is to be closed.
pub(crate) struct Session {
    stage: Stage,
    /// The message of network management that waits for its answer. There is one at a time.
    asked: Option<Asked>,
    /// When anything came in last.
    heard: Instant,
    management_max: Duration,
    echo_after: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    SigningOn,
    InService,
    /// The host has signed off, and may sign on again.
    HostAway,
    SigningOff,
}

struct Asked {
    what: Management,
    stan: Stan,
    since: Instant,
}

/// What is to be done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// Ask this of the host, and tell the session under which STAN.
    Ask(Management),
    /// Close the connection.
    Close(Ended),
}

/// What an answer to network management means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// It is as it should be.
    Fine,
    /// It answers nothing that was asked.
    Unmatched,
    /// The connection is to be closed.
    Close(Ended),
}

impl Session {
    /// A connection that was just opened.
    pub(crate) fn open(options: &LinkOptions, now: Instant) -> Self {
        Self {
            stage: Stage::SigningOn,
            asked: None,
            heard: now,
            management_max: Duration::from_millis(options.management_ms_max),
            echo_after: Duration::from_millis(options.echo_after_ms),
        }
    }

    /// Whether questions may be sent.
    pub(crate) fn is_in_service(&self) -> bool {
        self.stage == Stage::InService
    }

    /// Whatever came in, the host is alive.
    pub(crate) fn heard(&mut self, now: Instant) {
        self.heard = now;
    }

    /// What is to be done now. To be asked after everything that happened, and in a beat.
    pub(crate) fn due(&self, now: Instant) -> Option<Due> {
        if let Some(asked) = &self.asked {
            let over = now.saturating_duration_since(asked.since) > self.management_max;
            return over.then_some(Due::Close(match asked.what {
                Management::SignOn => Ended::NoSignOn,
                Management::SignOff => Ended::Stopping,
                _ => Ended::Silent,
            }));
        }
        match self.stage {
            Stage::SigningOn => Some(Due::Ask(Management::SignOn)),
            Stage::SigningOff => Some(Due::Ask(Management::SignOff)),
            Stage::InService | Stage::HostAway => {
                let idle = now.saturating_duration_since(self.heard) > self.echo_after;
                idle.then_some(Due::Ask(Management::Echo))
            }
        }
    }

    /// What was due has been asked.
    pub(crate) fn asked(&mut self, what: Management, stan: Stan, now: Instant) {
        self.asked = Some(Asked { what, stan, since: now });
    }

    /// An answer to network management came in.
    pub(crate) fn answered(&mut self, answer: &Message<'_>) -> Heard {
        let stan = answer.text(De::STAN).and_then(|text| Stan::parse(text).ok());
        let Some(asked) = self.asked.take_if(|asked| stan == Some(asked.stan)) else {
            return Heard::Unmatched;
        };
        let accepted = answer.bytes(De::RESPONSE_CODE) == Some(b"00");
        match (asked.what, accepted) {
            (Management::SignOn, true) if self.stage == Stage::SigningOn => {
                self.stage = Stage::InService;
                Heard::Fine
            }
            (Management::SignOn, false) => Heard::Close(Ended::SignOnRefused),
            (Management::SignOff, _) => Heard::Close(Ended::Stopping),
            (_, false) => Heard::Close(Ended::EchoRefused),
            _ => Heard::Fine,
        }
    }

    /// The host itself asked something. It is answered in any case; this is what it changes.
    pub(crate) fn asks(&mut self, question: &Message<'_>) {
        if question.mti().class() != MtiClass::NetworkManagement {
            return;
        }
        self.stage = match (self.stage, Management::of(question)) {
            (Stage::InService, Management::SignOff) => Stage::HostAway,
            (Stage::HostAway, Management::SignOn) => Stage::InService,
            (stage, _) => stage,
        };
    }

    /// Signs off. Nothing is to be signed off from before the sign-on was answered.
    pub(crate) fn stop(&mut self) -> Option<Ended> {
        if self.stage == Stage::SigningOn {
            return Some(Ended::Stopping);
        }
        // An echo that is under way is not waited for; its answer is nobody's.
        if self.stage != Stage::SigningOff {
            self.asked = None;
        }
        self.stage = Stage::SigningOff;
        None
    }
}

#[cfg(test)]
mod tests {
    use mayfly_iso8583::{MessageBuilder, Mti};
    use proptest::prelude::*;

    use super::super::key::tests::read;
    use super::*;

    const LIMIT: Duration = Duration::from_millis(100);
    const IDLE: Duration = Duration::from_millis(1_000);

    fn session(now: Instant) -> Session {
        let options = LinkOptions { management_ms_max: 100, echo_after_ms: 1_000, ..LinkOptions::default() };
        Session::open(&options, now)
    }

    fn stan(value: u32) -> Stan {
        Stan::from_value(value).unwrap()
    }

    fn answer(session: &mut Session, stan: u32, code: &str) -> Heard {
        let mut answer = MessageBuilder::new(Mti::NETWORK_RESPONSE);
        answer.set_number(De::STAN, stan.into()).set(De::RESPONSE_CODE, code);
        read(&answer, |message| session.answered(message))
    }

    fn host_asks(session: &mut Session, code: &str) {
        let mut question = MessageBuilder::new(Mti::NETWORK_REQUEST);
        question.set(De::STAN, "1").set(De::NETWORK_CODE, code);
        read(&question, |message| session.asks(message));
    }

    fn signed_on(now: Instant) -> Session {
        let mut session = session(now);
        assert_eq!(session.due(now), Some(Due::Ask(Management::SignOn)));
        session.asked(Management::SignOn, stan(1), now);
        assert!(!session.is_in_service());
        assert_eq!(answer(&mut session, 1, "00"), Heard::Fine);
        assert!(session.is_in_service());
        session
    }

    #[test]
    fn only_an_accepted_sign_on_puts_it_in_service() {
        let now = Instant::now();
        let mut refused = session(now);
        refused.asked(Management::SignOn, stan(1), now);
        assert_eq!(answer(&mut refused, 2, "00"), Heard::Unmatched);
        assert_eq!(answer(&mut refused, 1, "91"), Heard::Close(Ended::SignOnRefused));
        let mut ignored = session(now);
        ignored.asked(Management::SignOn, stan(1), now);
        assert_eq!(ignored.due(now + LIMIT), None);
        assert_eq!(ignored.due(now + LIMIT * 2), Some(Due::Close(Ended::NoSignOn)));
        signed_on(now);
    }

    #[test]
    fn a_silent_host_is_asked_for_an_echo_and_then_left() {
        let now = Instant::now();
        let mut session = signed_on(now);
        assert_eq!(session.due(now + IDLE), None);
        let later = now + IDLE + LIMIT;
        assert_eq!(session.due(later), Some(Due::Ask(Management::Echo)));
        session.asked(Management::Echo, stan(2), later);
        assert_eq!(session.due(later + LIMIT), None);
        assert_eq!(session.due(later + LIMIT * 2), Some(Due::Close(Ended::Silent)));
        assert_eq!(answer(&mut session, 2, "00"), Heard::Fine);
        session.heard(later);
        assert_eq!(session.due(later + LIMIT * 2), None);
        assert!(session.is_in_service());
    }

    #[test]
    fn a_host_signs_off_and_on_again() {
        let now = Instant::now();
        let mut session = signed_on(now);
        host_asks(&mut session, "301");
        assert!(session.is_in_service());
        host_asks(&mut session, "002");
        assert!(!session.is_in_service());
        host_asks(&mut session, "001");
        assert!(session.is_in_service());
    }

    #[test]
    fn a_host_can_not_put_itself_in_service_before_it_has_accepted() {
        let now = Instant::now();
        let mut session = session(now);
        host_asks(&mut session, "001");
        assert!(!session.is_in_service());
    }

    #[test]
    fn it_signs_off_once_at_the_end() {
        let now = Instant::now();
        assert_eq!(session(now).stop(), Some(Ended::Stopping));
        let mut session = signed_on(now);
        session.asked(Management::Echo, stan(2), now);
        assert_eq!(session.stop(), None);
        assert!(!session.is_in_service());
        assert_eq!(session.due(now), Some(Due::Ask(Management::SignOff)));
        session.asked(Management::SignOff, stan(3), now);
        assert_eq!(session.stop(), None);
        assert_eq!(session.due(now), None);
        assert_eq!(answer(&mut session, 2, "00"), Heard::Unmatched);
        assert_eq!(answer(&mut session, 3, "00"), Heard::Close(Ended::Stopping));
    }

    proptest! {
        /// Whatever comes, questions are sent only after an accepted sign-on, and never after a stop.
        #[test]
        fn in_service_only_between_sign_on_and_stop(
            steps in prop::collection::vec((0..5_u8, 1..4_u32, any::<bool>()), 0..60),
        ) {
            let mut now = Instant::now();
            let mut session = session(now);
            let (mut accepted, mut stopped, mut next) = (false, false, 1);
            for (what, number, yes) in steps {
                now += LIMIT / 3;
                match what {
                    0 => match session.due(now) {
                        Some(Due::Ask(what)) => {
                            session.asked(what, stan(next), now);
                            next = next % 3 + 1;
                        }
                        Some(Due::Close(_)) => return Ok(()),
                        None => {}
                    },
                    1 => {
                        let sign_on = session.asked.as_ref().is_some_and(|asked| asked.what == Management::SignOn);
                        match answer(&mut session, number, if yes { "00" } else { "91" }) {
                            Heard::Fine => accepted |= sign_on && yes,
                            Heard::Unmatched => {}
                            Heard::Close(_) => return Ok(()),
                        }
                    }
                    2 => host_asks(&mut session, if yes { "001" } else { "002" }),
                    3 => session.heard(now),
                    _ if number == 1 && yes => {
                        stopped = true;
                        if session.stop().is_some() {
                            return Ok(());
                        }
                    }
                    _ => {}
                }
                prop_assert!(!session.is_in_service() || accepted && !stopped);
            }
        }
    }
}
