//! What all requests share.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use mayfly_engine::Clock;
use mayfly_notify::{HookMeter, Notifier};
use mayfly_office::payments::Gateway;
use mayfly_office::{Office, Reception};

use crate::directory::DirectoryDesk;
use crate::frame::RequestIds;

pub(crate) struct Shared {
    pub(crate) office: Arc<Office>,
    pub(crate) gateway: Arc<Gateway>,
    pub(crate) directory: DirectoryDesk,
    /// The same for those of whom nothing is known: they don't take the places of those who have shown a key.
    pub(crate) strangers: DirectoryDesk,
    /// From which addresses the word of where a request came from is taken.
    pub(crate) proxies: Vec<IpAddr>,
    pub(crate) reception: Arc<Reception>,
    pub(crate) notifier: Arc<Notifier>,
    pub(crate) asked: Arc<HookMeter>,
    /// Held by whoever sets or removes a decision hook: its two halves are one after the other for everybody.
    pub(crate) hooks: tokio::sync::Mutex<()>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) request_time_max: Duration,
    pub(crate) request_ids: RequestIds,
    /// The API's description, as it is sent.
    pub(crate) openapi: String,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shared")
    }
}
