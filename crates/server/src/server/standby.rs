//! Several gateways on one database: one of them is active, the others stand by and follow.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mayfly_core::PartitionId;
use mayfly_store::{Database, Follower, Lease, LeaseKeeper, Opened, Standing, StoreError, lease_owner};
use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::signals::{self, Signalled};
use super::{StartError, parts};
use crate::admin::{self, AdminSocket};
use crate::config::Settings;
use crate::health::Phase;
use crate::live::Shared;

/// How often a standby reads what is new, and looks whether the lease is free.
const FOLLOW_EVERY: Duration = Duration::from_millis(50);
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// How often an active gateway looks whether it still is.
const WATCH: Duration = Duration::from_millis(50);

/// Waits until this gateway is the active one, and gives what the engine begins with. It follows meanwhile, and listens to
/// signals from then on; whoever need not wait can be ended as any process can.
///
/// # Errors
/// If the store can't be used, or somebody wants the process to end before it is active.
pub(super) fn become_active(
    database: &Arc<Database>,
    settings: &Settings,
    shared: &Arc<Shared>,
    runtime: &Runtime,
) -> Result<(Opened, LeaseKeeper), StartError> {
    // It stands for all partitions: this gateway has them all, or none.
    let lease = Lease::open(database, PartitionId::FIRST, lease_owner(), settings.lease)
        .map_err(StartError::Store)?;
    // Whoever finds it free has nobody to follow: what has to be folded or built again is his to do.
    let (opened, keeper) = match lease.take().map_err(StartError::Store)? {
        Some(standing) => {
            let keeper = keep(lease, &standing, shared)?;
            (parts::open(settings, &shared.health)?, keeper)
        }
        None => {
            let socket = closed_desk(settings, shared, runtime)?;
            let done = stand_by(lease, settings, shared, &signals::listen()?);
            runtime.block_on(socket.stop(settings.drain));
            done?
        }
    };
    if !opened.journal.begins_at(&opened.ends).map_err(StartError::Store)? {
        let location = settings.home.journal();
        let why = "the end of the journal was lost with its server".to_owned();
        return Err(StartError::Store(StoreError::Lost { location, why }));
    }
    let journal = opened.journal.under(PartitionId::FIRST, keeper.standing().clone());
    tracing::info!(
        fence = keeper.standing().fence(),
        entries = opened.ends.number,
        "this gateway is the active one"
    );
    Ok((Opened { journal, ..opened }, keeper))
}

/// Tells whoever asks on the admin socket that this one stands by.
fn closed_desk(
    settings: &Settings,
    shared: &Arc<Shared>,
    runtime: &Runtime,
) -> Result<AdminSocket, StartError> {
    let _entered = runtime.enter();
    let listener = admin::bind(&settings.socket).map_err(StartError::Socket)?;
    let desk = Arc::new(admin::Desk::Closed(shared.clone()));
    Ok(AdminSocket::start(listener, &settings.socket, desk, settings.admin_connections_max))
}

fn keep(lease: Lease, standing: &Arc<Standing>, shared: &Shared) -> Result<LeaseKeeper, StartError> {
    let keeper = LeaseKeeper::start(lease, standing.clone()).map_err(StartError::Store)?;
    shared.health.hold(standing);
    Ok(keeper)
}

fn stand_by(
    lease: Lease,
    settings: &Settings,
    shared: &Shared,
    signalled: &Signalled,
) -> Result<(Opened, LeaseKeeper), StartError> {
    tracing::info!(owner = lease.owner(), "standing by");
    let options = parts::open_options(settings);
    let mut follower = Follower::open(&settings.home, &options).map_err(StartError::Store)?;
    let mut away = Away::default();
    let mut looked: Option<Instant> = None;
    let standing = loop {
        if let Some(signal) = *signalled.borrow() {
            return Err(StartError::Unwanted(signal));
        }
        away.over(follower.follow())?;
        if looked.is_none_or(|looked| looked.elapsed() >= LOOK_EVERY) {
            looked = Some(Instant::now());
            if let Some(standing) = away.over(look(&lease, shared))?.flatten() {
                break standing;
            }
        }
        std::thread::sleep(FOLLOW_EVERY);
    };
    let begun = Instant::now();
    shared.health.enter(Phase::Starting("it takes over".to_owned()));
    let keeper = keep(lease, &standing, shared)?;
    loop {
        match follower.take_over() {
            Ok(opened) => {
                tracing::info!(took_ms = begun.elapsed().as_millis() as u64, "taken over");
                return Ok((opened, keeper));
            }
            Err((same, error)) if error.is_passing() && !standing.is_lost() => {
                follower = *same;
                away.over::<()>(Err(error))?;
                std::thread::sleep(FOLLOW_EVERY);
            }
            Err((_, error)) => return Err(StartError::Store(error)),
        }
    }
}

/// Takes the lease if it is free, and says who has it if it is not.
fn look(lease: &Lease, shared: &Shared) -> Result<Option<Arc<Standing>>, StoreError> {
    let holder = lease.holder()?;
    let Some(holder) = holder.filter(|holder| holder.left > Duration::ZERO) else { return lease.take() };
    shared.health.enter(Phase::Standby(holder.to_string()));
    Ok(None)
}

/// Errors that pass are told once.
#[derive(Default)]
struct Away(bool);

impl Away {
    fn over<T>(&mut self, tried: Result<T, StoreError>) -> Result<Option<T>, StartError> {
        match tried {
            Ok(done) => {
                self.0 = false;
                Ok(Some(done))
            }
            Err(error) if error.is_passing() => {
                if !std::mem::replace(&mut self.0, true) {
                    tracing::warn!(%error, "the standby waits for its database");
                }
                Ok(None)
            }
            Err(error) => Err(StartError::Store(error)),
        }
    }
}

/// Sees whether another gateway has taken over.
pub(super) async fn watch_over(
    standing: Arc<Standing>,
    shared: Arc<Shared>,
    failure: Arc<watch::Sender<Option<String>>>,
) {
    while !standing.is_lost() {
        tokio::time::sleep(WATCH).await;
    }
    parts::fail(&shared.health, &failure, "another gateway has taken over");
}
