//! Webhooks: where an issuer hears of what happened, and how far it was told.

use std::fmt;

use mayfly_core::{IssuerId, TimeMs};
use mayfly_keys::{DirectoryKeys, Opened, Random};

use super::audit::Entry;
use super::sealed::Column;
use super::{Directory, DirectoryError, WebhookId, Writing, ms};
use crate::EventPlace;
use crate::StoreError;
use crate::sql::{Cells, Sql, values};

pub(super) const CREATE: &str = "
-- `url` and the secrets are sealed: a URL is often a secret by itself. `kinds` has commas between them, and is empty for
-- all. Everything before `place` was delivered, or was not to be; it is set by whoever delivers, unless `place_version`
-- says that the issuer set it meanwhile. `version` counts the issuer's changes. An id does not come twice.
CREATE TABLE webhooks (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    issuer INTEGER NOT NULL,
    url BLOB NOT NULL,
    description TEXT NOT NULL,
    kinds TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('active', 'paused')),
    secret BLOB NOT NULL,
    previous_secret BLOB,
    previous_until_ms INTEGER,
    place_sequence INTEGER NOT NULL,
    place_index INTEGER NOT NULL,
    place_version INTEGER NOT NULL DEFAULT 1,
    version INTEGER NOT NULL DEFAULT 1,
    failures INTEGER NOT NULL DEFAULT 0,
    failing_since_ms INTEGER,
    last_error TEXT,
    delivered_ms INTEGER,
    created_ms INTEGER NOT NULL,
    CHECK ((previous_secret IS NULL) = (previous_until_ms IS NULL))
) STRICT;
CREATE INDEX webhooks_by_issuer ON webhooks (issuer, id);";

macro_rules! columns {
    () => {
        "id, issuer, url, description, kinds, state, previous_until_ms, place_sequence, place_index, place_version, \
         version, failures, failing_since_ms, last_error, delivered_ms, created_ms"
    };
}

const COUNT: &str = "SELECT count(*) FROM webhooks WHERE issuer = ?";
const CREATE_WEBHOOK: &str = "INSERT INTO webhooks
    (id, issuer, url, description, kinds, state, secret, place_sequence, place_index, created_ms)
    VALUES (?, ?, ?, ?, ?, 'active', ?, ?, ?, ?)";
const FIND: &str = concat!("SELECT ", columns!(), " FROM webhooks WHERE id = ? AND issuer = ?");
const LIST: &str = concat!("SELECT ", columns!(), " FROM webhooks WHERE issuer = ? ORDER BY id");
const ACTIVE: &str = "SELECT id, version FROM webhooks WHERE state = 'active'";
const LAST: &str = "SELECT id, place_sequence FROM webhooks ORDER BY place_sequence, id LIMIT 1";
const ORDER: &str = concat!("SELECT ", columns!(), ", secret, previous_secret FROM webhooks WHERE id = ?");
const FIND_SECRET: &str = "SELECT secret FROM webhooks WHERE id = ?";
const CHANGE: &str =
    "UPDATE webhooks SET url = ?, description = ?, kinds = ?, state = ?, version = version + 1,
    failures = 0, failing_since_ms = NULL, last_error = NULL WHERE id = ?";
const PAUSE: &str = "UPDATE webhooks SET state = 'paused', version = version + 1, last_error = ? WHERE id = ? AND version = ?";
const DELETE: &str = "DELETE FROM webhooks WHERE id = ?";
const DELETE_ATTEMPTS: &str = "DELETE FROM webhook_attempts WHERE webhook = ?";
const ROTATE: &str = "UPDATE webhooks SET secret = ?, previous_secret = ?, previous_until_ms = ?,
    version = version + 1 WHERE id = ?";
const SET_PLACE: &str =
    "UPDATE webhooks SET place_sequence = ?, place_index = ?, place_version = place_version + 1,
    version = version + 1, failures = 0, failing_since_ms = NULL, last_error = NULL WHERE id = ?";
const NOTE: &str =
    "UPDATE webhooks SET place_sequence = ?, place_index = ?, failures = ?, failing_since_ms = ?,
    last_error = ?, delivered_ms = coalesce(?, delivered_ms) WHERE id = ? AND place_version = ?";

const URL: Column = Column("webhooks.url");
const SECRET: Column = Column("webhooks.secret");
const PREVIOUS_SECRET: Column = Column("webhooks.previous_secret");

/// What their ids are counted under.
const WEBHOOKS: &str = "webhooks";

/// The one that is furthest behind, paused or not, and the sequence of the record that it is at.
pub(super) fn last(sql: &Sql) -> Result<Option<(WebhookId, u64)>, StoreError> {
    sql.one(LAST, &[], |cells| Ok((WebhookId(cells.bits()?), cells.bits()?)))
}

/// How many webhooks an issuer may have.
pub const WEBHOOKS_MAX: usize = 16;

/// Whether a webhook is told anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WebhookState {
    /// It is.
    Active,
    /// It is not, until it is active again; then it is told everything from where it was.
    Paused,
}

impl WebhookState {
    fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Paused => "paused",
        }
    }

    fn parse(text: &str) -> Result<Self, ()> {
        [Self::Active, Self::Paused].into_iter().find(|state| state.as_str() == text).ok_or(())
    }
}

/// A webhook, without its secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct Webhook {
    /// Its id.
    pub id: WebhookId,
    /// Who is told.
    pub issuer: IssuerId,
    /// Where to. It can be a secret by itself.
    pub url: String,
    /// What people call it; may be empty.
    pub description: String,
    /// The kinds of event that are wanted; all if there is none.
    pub kinds: Vec<String>,
    /// Whether it is told anything.
    pub state: WebhookState,
    /// Until when the secret before this one signs, too; none if there is none.
    pub overlap_until_ms: Option<TimeMs>,
    /// Everything before it was delivered, or was not to be.
    pub place: EventPlace,
    /// How often the issuer set the place.
    pub place_version: u64,
    /// How often the issuer changed anything.
    pub version: u64,
    /// How many attempts failed since one did not.
    pub failures: u32,
    /// When the first of those was.
    pub failing_since_ms: Option<TimeMs>,
    /// What was wrong with the last of them.
    pub last_error: Option<String>,
    /// When something was delivered last.
    pub delivered_ms: Option<TimeMs>,
    /// When it was made.
    pub created_ms: TimeMs,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook").field("id", &self.id).field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

/// A webhook with what signs.
#[derive(Debug)]
pub struct WebhookOrder {
    /// The webhook.
    pub webhook: Webhook,
    /// Its secret.
    pub secret: Opened,
    /// The one before it, while that signs, too.
    pub previous: Option<Opened>,
}

/// A webhook to be made.
pub struct NewWebhook<'a> {
    /// Who will be told.
    pub issuer: IssuerId,
    /// Where to.
    pub url: &'a str,
    /// What people call it; may be empty.
    pub description: &'a str,
    /// The kinds of event that are wanted; all if there is none.
    pub kinds: &'a [String],
    /// What signs.
    pub secret: &'a [u8],
    /// From where on it will be told.
    pub place: EventPlace,
}

/// What is to be changed; what is none stays.
#[derive(Clone, Default)]
pub struct WebhookChange {
    /// Where to.
    pub url: Option<String>,
    /// What people call it.
    pub description: Option<String>,
    /// The kinds of event that are wanted; all if there is none.
    pub kinds: Option<Vec<String>>,
    /// Whether it is told anything.
    pub state: Option<WebhookState>,
}

/// How far a webhook was told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookProgress {
    /// Which one.
    pub webhook: WebhookId,
    /// As of which setting of the place: if the issuer set it again meanwhile, this counts for nothing.
    pub place_version: u64,
    /// Everything before it was delivered, or was not to be.
    pub place: EventPlace,
    /// How many attempts failed since one did not.
    pub failures: u32,
    /// When the first of those was.
    pub failing_since_ms: Option<TimeMs>,
    /// What was wrong with the last of them.
    pub last_error: Option<String>,
    /// When something was delivered last; none if nothing was since it was said before.
    pub delivered_ms: Option<TimeMs>,
}

impl Directory {
    /// A webhook of `issuer`. Another's is none.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Store`] if the file can't be read, [`DirectoryError::Sealed`] if what is in it does not open.
    pub fn webhook(&self, issuer: IssuerId, id: WebhookId) -> Result<Option<Webhook>, DirectoryError> {
        let found = self.read(|sql| find(sql, issuer, id))?;
        found.map(|row| row.open(&self.keys)).transpose()
    }

    /// The webhooks of `issuer`, at most [`WEBHOOKS_MAX`].
    ///
    /// # Errors
    ///
    /// As [`webhook`](Self::webhook).
    pub fn webhooks(&self, issuer: IssuerId) -> Result<Vec<Webhook>, DirectoryError> {
        let rows = self.read(|sql| sql.all(LIST, values![issuer.0 as i64], SealedWebhook::read))?;
        rows.into_iter().map(|row| row.open(&self.keys)).collect()
    }

    /// All webhooks of all issuers that are to be told something, each with its version.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Store`] if the file can't be read.
    pub fn active_webhooks(&self) -> Result<Vec<(WebhookId, u64)>, DirectoryError> {
        self.read(|sql| sql.all(ACTIVE, &[], |cells| Ok((WebhookId(cells.bits()?), cells.bits()?))))
    }

    /// A webhook with what signs at `now_ms`, whosever it is: for who delivers.
    ///
    /// # Errors
    ///
    /// As [`webhook`](Self::webhook).
    pub fn webhook_order(
        &self,
        id: WebhookId,
        now_ms: TimeMs,
    ) -> Result<Option<WebhookOrder>, DirectoryError> {
        let found = self.read(|sql| {
            sql.one(ORDER, values![ms(id.0)], |cells| {
                let sealed = SealedWebhook::read(cells)?;
                Ok((sealed, cells.next::<Vec<u8>>()?, cells.next::<Option<Vec<u8>>>()?))
            })
        })?;
        let Some((row, secret, previous)) = found else { return Ok(None) };
        let webhook = row.open(&self.keys)?;
        let place = (webhook.issuer, id.0);
        let secret = SECRET.open(&self.keys, place, &secret)?;
        let signs = webhook.overlap_until_ms.is_some_and(|until_ms| now_ms < until_ms);
        let previous = previous.filter(|_| signs);
        let previous = previous.map(|sealed| PREVIOUS_SECRET.open(&self.keys, place, &sealed)).transpose()?;
        Ok(Some(WebhookOrder { webhook, secret, previous }))
    }
}

impl Writing<'_> {
    /// Makes a webhook.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::TooManyWebhooks`] if the issuer has [`WEBHOOKS_MAX`]; [`DirectoryError::Seal`] or
    /// [`DirectoryError::Store`] if it could not be written.
    pub fn create_webhook(
        &self,
        new: &NewWebhook<'_>,
        random: &mut dyn Random,
    ) -> Result<Webhook, DirectoryError> {
        let issuer = new.issuer;
        let count = self.sql().one(COUNT, values![issuer.0 as i64], |cells| cells.bits())?;
        if count.unwrap_or(0) >= WEBHOOKS_MAX as u64 {
            return Err(DirectoryError::TooManyWebhooks);
        }
        let id = WebhookId(self.draw_ids(WEBHOOKS, 1)?);
        let url = URL.seal(self.secrets(), (issuer, id.0), new.url.as_bytes(), random)?;
        let secret = SECRET.seal(self.secrets(), (issuer, id.0), new.secret, random)?;
        let (sequence, index) = (ms(new.place.sequence), new.place.index);
        let (kinds, created_ms) = (new.kinds.join(","), ms(self.now_ms()));
        let values = values![
            id.0 as i64,
            issuer.0 as i64,
            url,
            new.description,
            kinds,
            secret,
            sequence,
            index,
            created_ms
        ];
        self.sql().run(CREATE_WEBHOOK, values)?;
        self.audit_webhook("webhook.created", issuer, id, serde_json::json!({ "kinds": new.kinds }))?;
        self.webhook(issuer, id)?.ok_or(DirectoryError::Unreadable { what: "webhooks" })
    }

    /// A webhook of `issuer` as it is within this transaction. Another's is none.
    ///
    /// # Errors
    ///
    /// As [`Directory::webhook`].
    pub fn webhook(&self, issuer: IssuerId, id: WebhookId) -> Result<Option<Webhook>, DirectoryError> {
        let found = find(self.sql(), issuer, id)?;
        found.map(|row| row.open(self.secrets())).transpose()
    }

    /// Changes a webhook of `issuer`. None if there is no such webhook.
    ///
    /// # Errors
    ///
    /// As [`create_webhook`](Self::create_webhook).
    pub fn change_webhook(
        &self,
        issuer: IssuerId,
        id: WebhookId,
        change: &WebhookChange,
        random: &mut dyn Random,
    ) -> Result<Option<Webhook>, DirectoryError> {
        let Some(webhook) = self.webhook(issuer, id)? else { return Ok(None) };
        let url = change.url.as_ref().unwrap_or(&webhook.url);
        let sealed = URL.seal(self.secrets(), (issuer, id.0), url.as_bytes(), random)?;
        let description = change.description.as_ref().unwrap_or(&webhook.description);
        let kinds = change.kinds.as_ref().unwrap_or(&webhook.kinds);
        let state = change.state.unwrap_or(webhook.state);
        let values = values![sealed, description, kinds.join(","), state.as_str(), id.0 as i64];
        self.sql().run(CHANGE, values)?;
        let detail = serde_json::json!({
            "url_changed": change.url.is_some(), "kinds": kinds, "state": state.as_str()
        });
        self.audit_webhook("webhook.changed", issuer, id, detail)?;
        self.webhook(issuer, id)
    }

    /// Pauses a webhook because its receiver said that it is gone, unless the issuer changed it since.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Store`] if it could not be written.
    pub fn pause_gone_webhook(&self, webhook: &Webhook, why: &str) -> Result<(), DirectoryError> {
        let (id, issuer) = (webhook.id, webhook.issuer);
        let values = values![why, id.0 as i64, webhook.version as i64];
        if self.sql().run(PAUSE, values)? == 0 {
            return Ok(());
        }
        self.audit_webhook("webhook.paused", issuer, id, serde_json::json!({ "why": why }))
    }

    /// Deletes a webhook of `issuer`, with its attempts. False if there is no such webhook.
    ///
    /// # Errors
    ///
    /// As [`Directory::webhook`].
    pub fn delete_webhook(&self, issuer: IssuerId, id: WebhookId) -> Result<bool, DirectoryError> {
        if self.webhook(issuer, id)?.is_none() {
            return Ok(false);
        }
        self.sql().run(DELETE_ATTEMPTS, values![id.0 as i64])?;
        self.sql().run(DELETE, values![id.0 as i64])?;
        self.audit_webhook("webhook.deleted", issuer, id, serde_json::json!({}))?;
        Ok(true)
    }

    /// Lets another secret sign for a webhook of `issuer`; the old one signs, too, for a while. None if there is no such
    /// webhook.
    ///
    /// # Errors
    ///
    /// As [`create_webhook`](Self::create_webhook).
    pub fn rotate_webhook_secret(
        &self,
        issuer: IssuerId,
        id: WebhookId,
        (secret, overlap_ms): (&[u8], u64),
        random: &mut dyn Random,
    ) -> Result<Option<Webhook>, DirectoryError> {
        if self.webhook(issuer, id)?.is_none() {
            return Ok(None);
        }
        let place = (issuer, id.0);
        let old = self.sql().one(FIND_SECRET, values![id.0 as i64], |cells| cells.next::<Vec<u8>>())?;
        let old = old.ok_or(DirectoryError::Unreadable { what: "webhooks" })?;
        let old = SECRET.open(self.secrets(), place, &old)?;
        let until_ms = (overlap_ms > 0).then(|| ms(self.now_ms().saturating_add(overlap_ms)));
        let previous = match until_ms {
            Some(_) => Some(PREVIOUS_SECRET.seal(self.secrets(), place, old.expose(), random)?),
            None => None,
        };
        let sealed = SECRET.seal(self.secrets(), place, secret, random)?;
        let values = values![sealed, previous, until_ms, id.0 as i64];
        self.sql().run(ROTATE, values)?;
        let detail = serde_json::json!({ "overlap_ms": overlap_ms });
        self.audit_webhook("webhook.secret_rotated", issuer, id, detail)?;
        self.webhook(issuer, id)
    }

    /// Sets from where on a webhook of `issuer` is told. None if there is no such webhook.
    ///
    /// # Errors
    ///
    /// As [`create_webhook`](Self::create_webhook).
    pub fn set_webhook_place(
        &self,
        issuer: IssuerId,
        id: WebhookId,
        place: EventPlace,
    ) -> Result<Option<Webhook>, DirectoryError> {
        let Some(before) = self.webhook(issuer, id)? else { return Ok(None) };
        let values = values![ms(place.sequence), place.index, id.0 as i64];
        self.sql().run(SET_PLACE, values)?;
        let detail = serde_json::json!({ "from": place.to_string(), "was": before.place.to_string() });
        self.audit_webhook("webhook.replayed", issuer, id, detail)?;
        self.webhook(issuer, id)
    }

    /// Notes how far webhooks were told. Not in the audit stream: nobody decided it.
    ///
    /// # Errors
    ///
    /// [`DirectoryError::Store`] if it could not be written.
    pub fn note_webhooks(&self, progress: &[WebhookProgress]) -> Result<(), DirectoryError> {
        for progress in progress {
            let values = values![
                ms(progress.place.sequence),
                progress.place.index,
                progress.failures,
                progress.failing_since_ms.map(ms),
                progress.last_error.as_deref(),
                progress.delivered_ms.map(ms),
                progress.webhook.0 as i64,
                progress.place_version as i64,
            ];
            self.sql().run(NOTE, values)?;
        }
        Ok(())
    }

    fn audit_webhook(
        &self,
        action: &str,
        issuer: IssuerId,
        id: WebhookId,
        detail: serde_json::Value,
    ) -> Result<(), DirectoryError> {
        self.touch_webhooks();
        self.audit(Entry { action, subject: &id.to_string(), issuer: Some(issuer), detail }).map(|_| ())
    }
}

fn find(sql: &Sql, issuer: IssuerId, id: WebhookId) -> Result<Option<SealedWebhook>, StoreError> {
    sql.one(FIND, values![ms(id.0), issuer.0 as i64], SealedWebhook::read)
}

/// A row as it stands in the table: its URL is still to be opened.
struct SealedWebhook {
    url: Vec<u8>,
    webhook: Webhook,
}

impl SealedWebhook {
    fn read(cells: &mut Cells<'_>) -> Result<Self, StoreError> {
        let (id, issuer) = (WebhookId(cells.bits()?), IssuerId(cells.bits()?));
        let url = cells.next()?;
        let description = cells.next()?;
        let kinds: String = cells.next()?;
        let webhook = Webhook {
            id,
            issuer,
            url: String::new(),
            description,
            kinds: kinds.split(',').filter(|kind| !kind.is_empty()).map(str::to_owned).collect(),
            state: cells.text(WebhookState::parse)?,
            overlap_until_ms: cells.bits_or_none()?,
            place: EventPlace { sequence: cells.bits()?, index: cells.next()? },
            place_version: cells.bits()?,
            version: cells.bits()?,
            failures: cells.next()?,
            failing_since_ms: cells.bits_or_none()?,
            last_error: cells.next()?,
            delivered_ms: cells.bits_or_none()?,
            created_ms: cells.bits()?,
        };
        Ok(Self { url, webhook })
    }

    fn open(self, keys: &DirectoryKeys) -> Result<Webhook, DirectoryError> {
        let Self { url, webhook } = self;
        let opened = URL.open(keys, (webhook.issuer, webhook.id.0), &url)?;
        let url = std::str::from_utf8(opened.expose()).map_err(|_| URL.unreadable())?.to_owned();
        Ok(Webhook { url, ..webhook })
    }
}
