//! What an issuer host does next, and what it has seen: what its control sets and asks.

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroU32;

use mayfly_iso8583::{MessageBuilder, Mti};

use super::fault::{Chances, Fault};

/// How sign-ons are answered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SignOn {
    /// 00.
    #[default]
    Accept,
    /// 91.
    Refuse,
    /// Not at all.
    Ignore,
}

/// How many messages are kept.
const HEARD_MAX: usize = 10_000;

#[derive(Default)]
pub(super) struct Plan {
    pub(super) script: VecDeque<Option<Fault>>,
    /// Each so many questions, and how many have come since.
    pub(super) every: Option<(NonZeroU32, Fault)>,
    pub(super) since: u32,
    pub(super) always: Option<Fault>,
    pub(super) chances: Option<Chances>,
    pub(super) sign_on: SignOn,
    pub(super) ignores_echoes: bool,
    pub(super) keeps: bool,
    pub(super) heard: VecDeque<MessageBuilder>,
    pub(super) counts: BTreeMap<Mti, u64>,
    pub(super) before_sign_on: u64,
}

impl Plan {
    /// What the next question about a card meets: what the script says, then what happens every so often, then
    /// what always happens, then chance.
    pub(super) fn next(&mut self) -> Option<Fault> {
        if let Some(scripted) = self.script.pop_front() {
            return scripted;
        }
        self.periodic().or(self.always).or_else(|| self.chances.as_mut()?.next())
    }

    fn periodic(&mut self) -> Option<Fault> {
        let (count, fault) = self.every?;
        self.since += 1;
        if self.since < count.get() {
            return None;
        }
        self.since = 0;
        Some(fault)
    }

    pub(super) fn hear(&mut self, mti: Mti, message: impl FnOnce() -> MessageBuilder) {
        *self.counts.entry(mti).or_default() += 1;
        if self.keeps {
            if self.heard.len() >= HEARD_MAX {
                self.heard.pop_front();
            }
            self.heard.push_back(message());
        }
    }
}
