//! A client of two gateways, of which one answers.

use std::net::SocketAddr;
use std::thread::sleep;
use std::time::Duration;

use super::{Answer, Message, Peer};

/// Connected to one of them, or to none just now.
pub(crate) struct Roamer {
    addresses: [SocketAddr; 2],
    at: usize,
    peer: Option<Peer>,
    /// How long it waits for an answer.
    pub(crate) patience: Duration,
}

impl Roamer {
    pub(crate) fn new(addresses: [SocketAddr; 2], patience: Duration) -> Self {
        Self { addresses, at: 0, peer: None, patience }
    }

    /// Sends a message where it is, and waits. None if it could not connect, or was not answered: then it goes to the other
    /// one next time.
    pub(crate) fn ask(&mut self, message: &Message, repeat: bool) -> Option<Answer> {
        let answer = self.exchange(message, repeat);
        if answer.is_none() {
            self.turn();
        }
        answer
    }

    /// Sends a message until it is decided, wherever that is; again as a repeat. `not_yet` is told what a try came to that decided
    /// nothing, and panics when there were enough of them.
    pub(crate) fn decided(
        &mut self,
        message: &Message,
        mut repeat: bool,
        mut not_yet: impl FnMut(Option<&Answer>),
    ) -> Answer {
        loop {
            let answer = self.ask(message, repeat);
            not_yet(match answer {
                Some(answer) if !answer.is_shed() => return answer,
                Some(ref shed) => {
                    self.turn();
                    sleep(Duration::from_millis(20));
                    Some(shed)
                }
                None => {
                    sleep(Duration::from_millis(5));
                    None
                }
            });
            repeat = true;
        }
    }

    /// Over to the other one.
    pub(crate) fn turn(&mut self) {
        (self.peer, self.at) = (None, 1 - self.at);
    }

    fn exchange(&mut self, message: &Message, repeat: bool) -> Option<Answer> {
        if self.peer.is_none() {
            self.peer = Some(Peer::connect(self.addresses[self.at]).ok()?);
        }
        let peer = self.peer.as_mut()?;
        peer.be_patient(self.patience);
        peer.send(&message.wire(repeat)).ok()?;
        let (key, answer) = peer.receive().ok()?;
        assert_eq!(key, message.key());
        Some(answer)
    }
}
