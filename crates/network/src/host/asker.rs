//! Asks issuer hosts, and tells the engine what they said.
//!
//! The engine keeps the time: it gives a question up at its deadline, and whatever comes of it here then changes nothing
//! any more, so that there is one reversal and not two.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mayfly_core::state::PENDING_MAX;
use mayfly_core::{Answer, Asked, Command, IssuerId, Resolution, Word};
use mayfly_engine::cards::Own;
use mayfly_engine::{Asker, Catalogue, Clock, Handle, Question};
use mayfly_iso8583::{MessageBuilder, Mti};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::task::JoinSet;
use tokio::time::sleep;

use super::given_up::{GivenUp, second_reversal};
use super::{Identity, answer, second_request};
use crate::link::{IssuerLink, Late, LateAnswers};

/// How many questions of one host are remembered that were given up.
const GIVEN_UP_MAX: usize = 16_384;
/// How soon the engine is told again what it had no room for.
const AGAIN: Duration = Duration::from_millis(20);

/// What came of a question, for who watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostOutcome {
    /// The host said yes.
    Approved,
    /// It said no.
    Declined,
    /// It said something that is neither.
    Unusable,
    /// It did not answer in time.
    Silent,
    /// It could not be asked.
    NotAsked,
    /// It said yes when nobody waited any more.
    ApprovedLate,
}

impl HostOutcome {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Approved, Self::Declined, Self::Unusable, Self::Silent, Self::NotAsked, Self::ApprovedLate];

    /// Its name, for a label.
    pub fn name(self) -> &'static str {
        match self {
            Self::Approved => "approved",
            Self::Declined => "declined",
            Self::Unusable => "unusable",
            Self::Silent => "silent",
            Self::NotAsked => "not-asked",
            Self::ApprovedLate => "approved-late",
        }
    }
}

/// How asking issuer hosts goes.
#[derive(Debug, Default)]
pub struct HostMeter([AtomicU64; HostOutcome::ALL.len()]);

impl HostMeter {
    fn add(&self, outcome: HostOutcome) {
        self.0[outcome as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// How often there was this outcome.
    pub fn of(&self, outcome: HostOutcome) -> u64 {
        self.0[outcome as usize].load(Ordering::Relaxed)
    }
}

/// Where the engine puts questions for issuer hosts.
#[derive(Debug)]
pub struct HostAsker {
    questions: Sender<Question>,
    meter: Arc<HostMeter>,
}

/// The questions that wait to be put.
#[derive(Debug)]
pub struct HostQueue {
    questions: Receiver<Question>,
    meter: Arc<HostMeter>,
}

/// An asker for the engine, and its questions, for [`HostQueue::run`].
pub fn host_asker() -> (HostAsker, HostQueue) {
    // As many as messages may wait in the engine.
    let (sender, receiver) = channel(PENDING_MAX);
    let meter = Arc::new(HostMeter::default());
    (HostAsker { questions: sender, meter: meter.clone() }, HostQueue { questions: receiver, meter })
}

impl Asker for HostAsker {
    fn ask(&self, question: Question) {
        // One that finds no room is given up by the engine at its deadline.
        if self.questions.try_send(question).is_err() {
            self.meter.add(HostOutcome::NotAsked);
        }
    }
}

/// What asking needs.
pub struct HostParts {
    /// Where words go.
    pub handle: Handle,
    /// Where cards' own numbers are.
    pub catalogue: Arc<Catalogue>,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// The link to each issuer's host, and as whom we speak there.
    pub links: HashMap<IssuerId, (IssuerLink, Identity)>,
}

impl fmt::Debug for HostParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HostParts")
    }
}

struct Shared {
    parts: HostParts,
    meter: Arc<HostMeter>,
    given_up: HashMap<IssuerId, Mutex<GivenUp>>,
}

impl HostQueue {
    /// How asking goes.
    pub fn meter(&self) -> Arc<HostMeter> {
        self.meter.clone()
    }

    /// Puts questions, each in a task of its own, until there is no engine any more. `late` are the late answers of each
    /// issuer's link.
    pub async fn run(mut self, parts: HostParts, late: Vec<(IssuerId, LateAnswers)>) {
        let room = |issuer: &IssuerId| (*issuer, Mutex::new(GivenUp::new(GIVEN_UP_MAX)));
        let given_up = parts.links.keys().map(room).collect();
        let shared = Arc::new(Shared { parts, meter: self.meter.clone(), given_up });
        // They end when this does.
        let mut listening = JoinSet::new();
        for (issuer, answers) in late {
            listening.spawn(listen(shared.clone(), issuer, answers));
        }
        let mut asking = JoinSet::new();
        while let Some(question) = self.questions.recv().await {
            while asking.try_join_next().is_some() {}
            asking.spawn(one(shared.clone(), question));
        }
    }
}

impl Shared {
    fn given_up(&self, issuer: IssuerId) -> Option<MutexGuard<'_, GivenUp>> {
        // Nobody panics while he holds this lock.
        self.given_up.get(&issuer).map(|given_up| given_up.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn own(&self, asked: &Asked) -> Option<Own> {
        self.parts.catalogue.cards()?.own(asked.number?.index)
    }

    /// A host may have booked what nobody waits for any more.
    async fn approved_late(&self, asked: &Asked) {
        self.meter.add(HostOutcome::ApprovedLate);
        tracing::warn!(question = %asked.question, issuer = %asked.issuer, "an issuer host approved too late");
        if let Some(advice) = second_reversal(asked) {
            drop(tell(&self.parts.handle, || Command::Advise(Box::new(advice.clone()))).await);
        }
    }
}

/// Puts one question.
async fn one(shared: Arc<Shared>, question: Question) {
    let Question { asked, at_ms } = question;
    let left_ms = asked.deadline_ms.saturating_sub(shared.parts.clock.now_ms());
    let link = shared.parts.links.get(&asked.issuer);
    let said = match (link, shared.own(&asked)) {
        _ if left_ms == 0 => Err("its time was over before it could be asked".to_owned()),
        (None, _) => Err("no host is configured for the issuer".to_owned()),
        (_, None) => Err("the number is none of a card whose own number is known".to_owned()),
        (Some((link, identity)), Some(own)) => {
            let message = second_request(&asked, at_ms, &own, identity);
            match link.send_within(message, Duration::from_millis(left_ms)).await {
                Ok(said) => Ok(answer(&said)),
                Err(error) if error.may_have_arrived() => {
                    tracing::warn!(%error, question = %asked.question, issuer = %asked.issuer,
                        "an issuer host did not answer");
                    shared.meter.add(HostOutcome::Silent);
                    return resolve(&shared, asked, Word::Late).await;
                }
                Err(error) => Err(error.to_string()),
            }
        }
    };
    let (outcome, word) = match said {
        Ok(word @ Word::Host(said)) if said.approved() => (HostOutcome::Approved, word),
        Ok(word @ Word::Host(_)) => (HostOutcome::Declined, word),
        Ok(word) => (HostOutcome::Unusable, word),
        Err(why) => {
            tracing::warn!(why, question = %asked.question, issuer = %asked.issuer,
                "an issuer host could not be asked");
            (HostOutcome::NotAsked, Word::NotAsked)
        }
    };
    shared.meter.add(outcome);
    resolve(&shared, asked, word).await;
}

/// Tells the engine what came of a question.
async fn resolve(shared: &Shared, asked: Asked, word: Word) {
    let resolution = Resolution { question: asked.question, issuer: asked.issuer, word };
    if word == Word::Late
        && let Some(mut given_up) = shared.given_up(asked.issuer)
    {
        // Before the engine knows, so that no late answer finds nothing.
        given_up.add(Box::new(asked.clone()));
    }
    let told = tell(&shared.parts.handle, || Command::Resolve(resolution)).await;
    // The engine has given it up in the meantime.
    if matches!(told, Some(Answer::Done)) && may_have_booked(word) && word != Word::Late {
        shared.approved_late(&asked).await;
    }
}

/// Whether the host may have done what it was asked.
fn may_have_booked(word: Word) -> bool {
    match word {
        Word::Host(said) => said.approved(),
        Word::Late => true,
        _ => false,
    }
}

/// Hears late answers, until the link has stopped.
async fn listen(shared: Arc<Shared>, issuer: IssuerId, mut late: LateAnswers) {
    while let Some(Late { answer: said }) = late.next().await {
        if is_of_question(&said) && may_have_booked(answer(&said)) {
            let asked = shared.given_up(issuer).and_then(|mut given_up| given_up.take(&said));
            match asked {
                Some(asked) => shared.approved_late(&asked).await,
                None => {
                    tracing::warn!(%issuer, "a late approval belongs to nothing that is remembered");
                }
            }
        }
    }
}

/// What answers an advice is of no interest when it is late: that is repeated.
fn is_of_question(answer: &MessageBuilder) -> bool {
    matches!(answer.mti(), Mti::AUTHORISATION_RESPONSE | Mti::FINANCIAL_RESPONSE)
}

/// Tells the engine, which may have no room for a moment. None when it stops.
async fn tell(handle: &Handle, command: impl Fn() -> Command) -> Option<Answer> {
    while !handle.is_stopping() {
        if let Ok(told) = handle.ask(command()) {
            return told.await.ok();
        }
        sleep(AGAIN).await;
    }
    None
}
