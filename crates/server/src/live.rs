//! What the parts of a running server share.

use std::sync::{Arc, OnceLock};

use mayfly_engine::Handle;

use crate::health::Health;
use crate::protocol::Time;
use mayfly_office::Office;

/// What is there from the first moment.
pub(crate) struct Shared {
    pub(crate) health: Health,
    pub(crate) started: Time,
    /// What is there as soon as the server serves.
    pub(crate) live: OnceLock<Live>,
}

/// What is there as soon as the server serves.
pub(crate) struct Live {
    pub(crate) handle: Handle,
    pub(crate) office: Arc<Office>,
    pub(crate) network: Arc<mayfly_network::Meter>,
    pub(crate) notifier: Arc<mayfly_notify::Notifier>,
    pub(crate) asked: Arc<mayfly_notify::HookMeter>,
    pub(crate) hosts: Arc<crate::hosts::HostsView>,
    pub(crate) holds: Arc<crate::holds::HoldsMeter>,
    pub(crate) retention: Arc<crate::retention::Keeper>,
}
