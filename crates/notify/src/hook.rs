//! The decision hook: questions come out of the engine, and what issuers say goes back in.
//!
//! The engine keeps the time: it gives a question up at its deadline, whatever becomes of it here. What comes later is
//! told to it nevertheless, so that it is on record.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mayfly_core::state::PENDING_MAX;
use mayfly_core::{Answer, Command, IssuerId, Kind, Presented, QuestionId, Resolution, TimeMs, Word};
use mayfly_engine::{Asker, Clock, Handle};
use mayfly_store::directory::{DecisionEndpoint, Directory, DirectoryError};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::decision::{DecisionCaller, Failed, Question, QuestionKind, Verdict};

/// How many questions of one issuer may be open at a time; one more is not put. So an endpoint that hangs is in
/// nobody else's way.
const QUESTIONS_PER_ISSUER_MAX: usize = 256;
/// To how many of one issuer's answers is listened after their time, so that they are on record.
const LATE_PER_ISSUER_MAX: usize = 32;

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
    /// There was one, and it came too late.
    Late,
}

impl HookOutcome {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Approved, Self::Declined, Self::Unusable, Self::Failed, Self::Late];

    /// Its name, for a label.
    pub fn name(self) -> &'static str {
        match self {
            Self::Approved => "approved",
            Self::Declined => "declined",
            Self::Unusable => "unusable",
            Self::Failed => "failed",
            Self::Late => "late",
        }
    }
}

/// Why a question was not decided by its issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookFailure {
    /// When.
    pub at_ms: TimeMs,
    /// Which question.
    pub question: QuestionId,
    /// Why, in words.
    pub why: String,
}

/// How asking goes: for whoever watches, and for the issuers who are asked.
#[derive(Debug, Default)]
pub struct HookMeter {
    counts: [AtomicU64; HookOutcome::ALL.len()],
    failures: Mutex<HashMap<IssuerId, HookFailure>>,
}

impl HookMeter {
    fn add(&self, outcome: HookOutcome) {
        self.counts[outcome as usize].fetch_add(1, Ordering::Relaxed);
    }

    fn failed(&self, issuer: IssuerId, failure: HookFailure) {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).insert(issuer, failure);
    }

    fn late(&self, parts: &HookParts, question: &mayfly_engine::Question) {
        self.add(HookOutcome::Late);
        let failure = HookFailure {
            at_ms: parts.clock.now_ms(),
            question: question.asked.question,
            why: "the answer came too late".to_owned(),
        };
        self.failed(question.asked.issuer, failure);
    }

    /// How often there was this outcome.
    pub fn of(&self, outcome: HookOutcome) -> u64 {
        self.counts[outcome as usize].load(Ordering::Relaxed)
    }

    /// What went wrong last with an issuer's endpoint since the server started, if anything did.
    pub fn last_failure(&self, issuer: IssuerId) -> Option<HookFailure> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).get(&issuer).cloned()
    }
}

/// The places of one issuer.
struct Rooms {
    /// For questions that are open.
    open: Arc<Semaphore>,
    /// For those that are listened to after their time.
    late: Arc<Semaphore>,
}

impl Default for Rooms {
    fn default() -> Self {
        let room = |places| Arc::new(Semaphore::new(places));
        Self { open: room(QUESTIONS_PER_ISSUER_MAX), late: room(LATE_PER_ISSUER_MAX) }
    }
}

/// Where the engine puts its questions.
#[derive(Debug)]
pub struct Hook {
    questions: Sender<mayfly_engine::Question>,
    meter: Arc<HookMeter>,
}

/// The questions that wait to be put.
#[derive(Debug)]
pub struct HookQueue {
    questions: Receiver<mayfly_engine::Question>,
    meter: Arc<HookMeter>,
}

/// A hook for the engine, and its questions, for [`HookQueue::run`].
pub fn hook() -> (Hook, HookQueue) {
    // As many as messages may wait in the engine.
    let (sender, receiver) = channel(PENDING_MAX);
    let meter = Arc::new(HookMeter::default());
    (Hook { questions: sender, meter: meter.clone() }, HookQueue { questions: receiver, meter })
}

impl Asker for Hook {
    fn ask(&self, question: mayfly_engine::Question) {
        // One that finds no room is given up by the engine at its deadline.
        if self.questions.try_send(question).is_err() {
            self.meter.add(HookOutcome::Failed);
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
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// How long an answer is waited for: longer than any decision, so that a late one is known, too.
    pub wait: Duration,
}

impl fmt::Debug for HookParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HookParts")
    }
}

impl HookQueue {
    /// How asking goes.
    pub fn meter(&self) -> Arc<HookMeter> {
        self.meter.clone()
    }

    /// Puts questions, each in a task of its own, until there is no engine any more.
    pub async fn run(mut self, parts: HookParts) {
        let parts = Arc::new(parts);
        let mut asking = JoinSet::new();
        let mut rooms: HashMap<IssuerId, Rooms> = HashMap::new();
        while let Some(question) = self.questions.recv().await {
            while asking.try_join_next().is_some() {}
            let rooms = rooms.entry(question.asked.issuer).or_default();
            let place = rooms.open.clone().try_acquire_owned().ok();
            let places = (place, rooms.late.clone());
            asking.spawn(one(parts.clone(), self.meter.clone(), question, places));
        }
    }
}

async fn one(
    parts: Arc<HookParts>,
    meter: Arc<HookMeter>,
    question: mayfly_engine::Question,
    (place, late): (Option<OwnedSemaphorePermit>, Arc<Semaphore>),
) {
    let (id, issuer) = (question.asked.question, question.asked.issuer);
    let verdict = match endpoint(&parts, issuer).await {
        Ok(Some(endpoint)) => match place {
            None => Some(Verdict::Failed(Failed::Busy)),
            Some(place) => match put(&parts, &endpoint, &question, (place, &late)).await {
                Some(verdict) => Some(verdict),
                // It is late, and there is no room to listen any longer.
                None => return meter.late(&parts, &question),
            },
        },
        Ok(None) => None,
        Err(error) => {
            tracing::error!(%error, %issuer, "where an issuer is asked could not be read");
            None
        }
    };
    let (outcome, word, failure) = read(verdict);
    if let Some(why) = &failure {
        tracing::warn!(%why, question = %id, %issuer, "an issuer's endpoint did not decide");
    }
    let told = tell(&parts.handle, Resolution { question: id, issuer, word }).await;
    if failure.is_none() && matches!(told, Some(Answer::Done)) {
        return meter.late(&parts, &question);
    }
    meter.add(outcome);
    if let Some(why) = failure {
        meter.failed(issuer, HookFailure { at_ms: parts.clock.now_ms(), question: id, why });
    }
}

/// What a verdict counts as, what the engine is told, and what was wrong, if something was. What can't be understood will
/// not be understood later: nobody waits for the deadline.
fn read(verdict: Option<Verdict>) -> (HookOutcome, Word, Option<String>) {
    match verdict {
        Some(Verdict::Approve) => (HookOutcome::Approved, Word::Approve, None),
        Some(Verdict::Decline) => (HookOutcome::Declined, Word::Decline, None),
        Some(Verdict::Unusable(why)) => (HookOutcome::Unusable, Word::Late, Some(why.to_string())),
        Some(Verdict::Failed(why)) => (HookOutcome::Failed, Word::Late, Some(why.to_string())),
        None => (HookOutcome::Failed, Word::Late, Some("where to ask could not be read".to_owned())),
    }
}

/// Puts a question, and gives its place to the next one at its deadline. Nothing if the answer is not waited for any
/// longer.
async fn put(
    parts: &HookParts,
    endpoint: &DecisionEndpoint,
    question: &mayfly_engine::Question,
    (place, late): (OwnedSemaphorePermit, &Semaphore),
) -> Option<Verdict> {
    let about = about(question);
    let asked = parts.caller.ask(&endpoint.url, endpoint.secret.expose(), &about, parts.wait);
    let mut asked = std::pin::pin!(asked);
    let open_for = Duration::from_millis(question.asked.deadline_ms.saturating_sub(parts.clock.now_ms()));
    if let Ok(asked) = timeout(open_for, &mut asked).await {
        return Some(asked.verdict);
    }
    drop(place);
    let _listening = late.try_acquire().ok()?;
    Some(asked.await.verdict)
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
async fn tell(handle: &Handle, resolution: Resolution) -> Option<Answer> {
    for _ in 0..AGAIN_MAX {
        if let Ok(told) = handle.ask(Command::Resolve(resolution)) {
            return told.await.ok();
        }
        sleep(AGAIN).await;
    }
    None
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
