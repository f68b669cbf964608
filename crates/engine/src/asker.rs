//! Who is asked before a purchase is decided.

use mayfly_core::{Asked, TimeMs};

/// A question that is on the disk, and may leave.
#[derive(Clone, Debug)]
pub struct Question {
    /// What is asked.
    pub asked: Asked,
    /// When the message came.
    pub at_ms: TimeMs,
}

/// Puts questions to whoever has to answer them. His word comes back as a
/// [`Resolve`](mayfly_core::Command::Resolve); if none does, the engine gives the question up at its deadline.
pub trait Asker: Send + Sync {
    /// Takes a question on its way. Called by the committer: it must neither wait nor panic.
    fn ask(&self, question: Question);
}

/// Nobody is there: every question is given up at its deadline.
#[derive(Clone, Copy, Debug)]
pub struct NobodyAsked;

impl Asker for NobodyAsked {
    fn ask(&self, _: Question) {}
}
