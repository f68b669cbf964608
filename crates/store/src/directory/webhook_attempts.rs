//! What came of each attempt to deliver an event to a webhook: the latest ones.

use mayfly_core::{IssuerId, TimeMs};

use super::{AttemptId, Directory, DirectoryError, WebhookId, Writing, ms};
use crate::EventPlace;
use crate::StoreError;
use crate::query::{PAGE_MAX, Page};
use crate::sql::{Cells, values};

pub(super) const CREATE: &str = "
-- The latest attempts of each webhook. An attempt has a status, or an error, or both.
CREATE TABLE webhook_attempts (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    webhook INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    sequence INTEGER NOT NULL,
    event_index INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    status INTEGER,
    error TEXT,
    took_ms INTEGER NOT NULL
) STRICT;
CREATE INDEX webhook_attempts_by_webhook ON webhook_attempts (webhook, id);
CREATE INDEX webhook_attempts_by_time ON webhook_attempts (at_ms);";

const EXISTS: &str = "SELECT EXISTS (SELECT 1 FROM webhooks WHERE id = ?)";
const ADD: &str = "INSERT INTO webhook_attempts
    (id, webhook, at_ms, sequence, event_index, attempt, status, error, took_ms)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";
const CUT: &str = "DELETE FROM webhook_attempts WHERE webhook = ? AND id <=
    (SELECT id FROM webhook_attempts WHERE webhook = ? ORDER BY id DESC LIMIT 1 OFFSET ?)";
const LIST: &str = "SELECT webhook_attempts.id, at_ms, sequence, event_index, attempt, status, error, took_ms
    FROM webhook_attempts JOIN webhooks ON webhooks.id = webhook
    WHERE webhook = ? AND issuer = ? AND webhook_attempts.id <= ? ORDER BY webhook_attempts.id DESC LIMIT ?";
const PURGE: &str = "DELETE FROM webhook_attempts WHERE id IN
    (SELECT id FROM webhook_attempts WHERE at_ms <= ? ORDER BY at_ms LIMIT ?)";

/// What their ids are counted under.
const ATTEMPTS: &str = "webhook_attempts";

/// How many attempts of a webhook are kept.
pub const ATTEMPTS_KEPT: usize = 1000;
/// How long they are kept: 30 days.
pub const ATTEMPTS_KEPT_MS: u64 = 30 * 86_400_000;

/// What came of an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookAttempt {
    /// When it was begun.
    pub at_ms: TimeMs,
    /// Which event.
    pub event: EventPlace,
    /// The how-manieth attempt for this event since the webhook was changed or the server started; the first is 1.
    pub attempt: u32,
    /// The status that was answered, if any was.
    pub status: Option<u16>,
    /// What was wrong; none if it was delivered.
    pub error: Option<String>,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
}

impl Directory {
    /// The latest attempts of a webhook of `issuer`, the latest first, from `from` on; at most `limit`, and at most
    /// [`PAGE_MAX`]. Of another's there are none.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Store`] if the file can't be read.
    pub fn webhook_attempts(
        &self,
        issuer: IssuerId,
        webhook: WebhookId,
        from: Option<AttemptId>,
        limit: usize,
    ) -> Result<Page<(AttemptId, WebhookAttempt), AttemptId>, DirectoryError> {
        let limit = limit.min(PAGE_MAX);
        let from = from.map_or(i64::MAX, |from| ms(from.0));
        let values = values![ms(webhook.0), issuer.0 as i64, from, limit as i64 + 1];
        let mut rows: Vec<(AttemptId, WebhookAttempt)> = self.read(|sql| sql.all(LIST, values, read))?;
        let next = rows.get(limit).map(|(id, _)| *id);
        rows.truncate(limit);
        Ok(Page { rows, next })
    }
}

impl Writing<'_> {
    /// Keeps attempts, in the order in which they were made, and forgets those of the same webhook beyond
    /// [`ATTEMPTS_KEPT`]. Not in the audit stream.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Store`] if the file can't be written.
    pub fn keep_webhook_attempts(
        &self,
        webhook: WebhookId,
        attempts: &[WebhookAttempt],
    ) -> Result<(), DirectoryError> {
        let of = webhook.0 as i64;
        // Of a webhook that was deleted meanwhile nothing is kept.
        let exists = self.sql().one(EXISTS, values![of], |cells| cells.next::<bool>())?;
        if attempts.is_empty() || exists != Some(true) {
            return Ok(());
        }
        let first = self.draw_ids(ATTEMPTS, attempts.len())?;
        for (id, attempt) in (first..).zip(attempts) {
            let values = values![
                ms(id),
                of,
                ms(attempt.at_ms),
                ms(attempt.event.sequence),
                attempt.event.index,
                attempt.attempt,
                attempt.status,
                attempt.error.as_deref(),
                ms(attempt.took_ms),
            ];
            self.sql().run(ADD, values)?;
        }
        self.sql().run(CUT, values![of, of, ATTEMPTS_KEPT as i64])?;
        Ok(())
    }

    pub(super) fn purge_attempts(&self, limit: i64) -> Result<usize, DirectoryError> {
        let values = values![ms(self.now_ms().saturating_sub(ATTEMPTS_KEPT_MS)), limit];
        Ok(self.sql().run(PURGE, values)? as usize)
    }
}

fn read(cells: &mut Cells<'_>) -> Result<(AttemptId, WebhookAttempt), StoreError> {
    let id = AttemptId(cells.bits()?);
    let attempt = WebhookAttempt {
        at_ms: cells.bits()?,
        event: EventPlace { sequence: cells.bits()?, index: cells.next()? },
        attempt: cells.next()?,
        status: cells.next()?,
        error: cells.next()?,
        took_ms: cells.bits()?,
    };
    Ok((id, attempt))
}
