//! The decision hook: questions come out of the engine, and what issuers say goes back in.
//!
//! The engine keeps the time: it gives a question up at its deadline, whatever becomes of it here. What comes later is
//! told to it nevertheless, so that it is on record.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mayfly_core::state::PENDING_MAX;
use mayfly_core::{Command, IssuerId, Kind, Presented, Resolution, Word};
use mayfly_engine::{Asker, Handle};
use mayfly_store::directory::{DecisionEndpoint, Directory, DirectoryError};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::decision::{DecisionCaller, Failed, Question, QuestionKind, Verdict};

/// How many questions of one issuer may be open at a time; one more is not put. So an endpoint that hangs is in
/// nobody else's way.
const QUESTIONS_PER_ISSUER_MAX: usize = 1024;

/// How soon a word is told again that the engine had no room for, and how often.
const AGAIN: Duration = Duration::from_millis(20);
const AGAIN_MAX: usize = 100;

/// What came of a question, for who watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HookOutcome {
    /// Yes.
    Approved,
    /// No.
    Declined,
    /// There was an answer that says neither.
    Unusable,
    /// There was no answer, or nobody to ask.
    Failed,
}

impl HookOutcome {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Approved, Self::Declined, Self::Unusable, Self::Failed];

    /// Its name, for a label.
    pub fn name(self) -> &'static str {
        match self {
            Self::Approved => "approved",
            Self::Declined => "declined",
            Self::Unusable => "unusable",
            Self::Failed => "failed",
        }
    }
}

/// How often there was each outcome.
#[derive(Debug, Default)]
pub struct HookCounts([AtomicU64; HookOutcome::ALL.len()]);

impl HookCounts {
    fn add(&self, outcome: HookOutcome) {
        self.0[outcome as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// How often there was this one.
    pub fn of(&self, outcome: HookOutcome) -> u64 {
        self.0[outcome as usize].load(Ordering::Relaxed)
    }
}

/// Where the engine puts its questions.
#[derive(Debug)]
pub struct Hook {
    questions: Sender<mayfly_engine::Question>,
    counts: Arc<HookCounts>,
}

/// The questions that wait to be put.
#[derive(Debug)]
pub struct HookQueue {
    questions: Receiver<mayfly_engine::Question>,
    counts: Arc<HookCounts>,
}

/// A hook for the engine, and its questions, for [`HookQueue::run`].
pub fn hook() -> (Hook, HookQueue) {
    // As many as messages may wait in the engine.
    let (sender, receiver) = channel(PENDING_MAX);
    let counts = Arc::new(HookCounts::default());
    (Hook { questions: sender, counts: counts.clone() }, HookQueue { questions: receiver, counts })
}

impl Asker for Hook {
    fn ask(&self, question: mayfly_engine::Question) {
        // One that finds no room is given up by the engine at its deadline.
        if self.questions.try_send(question).is_err() {
            self.counts.add(HookOutcome::Failed);
        }
    }
}

/// What putting questions needs.
pub struct HookParts {
    /// Where words go.
    pub handle: Handle,
    /// Where endpoints are looked up.
    pub directory: Arc<Directory>,
    /// By whom they are asked.
    pub caller: DecisionCaller,
    /// How long an answer is waited for: longer than any decision, so that a late one is known, too.
    pub wait: Duration,
}

impl fmt::Debug for HookParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HookParts")
    }
}

impl HookQueue {
    /// What came of the questions so far, and will.
    pub fn counts(&self) -> Arc<HookCounts> {
        self.counts.clone()
    }

    /// Puts questions, each in a task of its own, until there is no engine any more.
    pub async fn run(mut self, parts: HookParts) {
        let parts = Arc::new(parts);
        let mut asking = JoinSet::new();
        let mut rooms: HashMap<IssuerId, Arc<Semaphore>> = HashMap::new();
        while let Some(question) = self.questions.recv().await {
            while asking.try_join_next().is_some() {}
            let room = rooms
                .entry(question.asked.issuer)
                .or_insert_with(|| Arc::new(Semaphore::new(QUESTIONS_PER_ISSUER_MAX)));
            let place = room.clone().try_acquire_owned().ok();
            asking.spawn(one(parts.clone(), self.counts.clone(), question, place));
        }
    }
}

async fn one(
    parts: Arc<HookParts>,
    counts: Arc<HookCounts>,
    question: mayfly_engine::Question,
    place: Option<OwnedSemaphorePermit>,
) {
    let (id, issuer) = (question.asked.question, question.asked.issuer);
    let verdict = match endpoint(&parts, issuer).await {
        Ok(Some(_)) if place.is_none() => Some(Verdict::Failed(Failed::Busy)),
        Ok(Some(endpoint)) => {
            let secret = endpoint.secret.expose();
            Some(parts.caller.ask(&endpoint.url, secret, &about(&question), parts.wait).await.verdict)
        }
        Ok(None) => None,
        Err(error) => {
            tracing::error!(%error, %issuer, "where an issuer is asked could not be read");
            None
        }
    };
    let (outcome, word) = match &verdict {
        Some(Verdict::Approve) => (HookOutcome::Approved, Word::Approve),
        Some(Verdict::Decline) => (HookOutcome::Declined, Word::Decline),
        // What can't be understood will not be understood later: nobody waits for the deadline.
        Some(Verdict::Unusable(why)) => {
            tracing::warn!(%why, question = %id, %issuer, "an issuer's endpoint did not decide");
            (HookOutcome::Unusable, Word::Late)
        }
        Some(Verdict::Failed(why)) => {
            tracing::warn!(%why, question = %id, %issuer, "an issuer's endpoint could not be asked");
            (HookOutcome::Failed, Word::Late)
        }
        None => (HookOutcome::Failed, Word::Late),
    };
    counts.add(outcome);
    tell(&parts.handle, Resolution { question: id, issuer, word }).await;
}

async fn endpoint(
    parts: &HookParts,
    issuer: IssuerId,
) -> Result<Option<Arc<DecisionEndpoint>>, DirectoryError> {
    let directory = parts.directory.clone();
    // It is in memory, as a rule; but it may have to be read.
    match tokio::task::spawn_blocking(move || directory.decision_endpoint(issuer)).await {
        Ok(found) => found,
        Err(_) => Ok(None),
    }
}

/// Tells the engine, which may have no room for a moment. If it never has, it gives the question up by itself.
async fn tell(handle: &Handle, resolution: Resolution) {
    for _ in 0..AGAIN_MAX {
        if handle.ask(Command::Resolve(resolution)).is_ok() {
            return;
        }
        sleep(AGAIN).await;
    }
}

/// As an issuer is asked.
fn about(question: &mayfly_engine::Question) -> Question {
    let asked = &question.asked;
    let (request, facts) = (&asked.request, &asked.request.facts);
    let last_four = match request.number {
        Presented::Number { last_four, .. } => Some(last_four.to_string()),
        Presented::Invalid => None,
    };
    Question {
        id: asked.question.to_string(),
        at_ms: question.at_ms,
        deadline_ms: asked.deadline_ms,
        account: asked.account,
        number: asked.number.map(|number| number.id),
        last_four,
        programme: asked.programme,
        amount: request.amount,
        currency: request.currency,
        merchant: Some(facts.merchant).filter(|merchant| !merchant.is_empty()),
        mcc: facts.mcc,
        country: facts.country,
        channel: facts.entry_mode.channel(),
        entry_mode: format!("{:03}", facts.entry_mode.value()),
        kind: if asked.kind == Kind::Increment { QuestionKind::Increment } else { QuestionKind::Purchase },
        acquirer: facts.acquirer.to_string(),
        rrn: facts.rrn.to_string(),
    }
}
