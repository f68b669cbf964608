//! The start: one part after the other, each with what it needs.

use std::fs;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use mayfly_api::{Api, ApiOptions, ApiParts, RunningApi, TlsFiles};
use mayfly_core::{PartitionId, Partitions};
use mayfly_engine::cards::CardDesk;
use mayfly_engine::{Catalogue, Clock, Desk, Ends, Engine, Handle, Parts, Progress, SystemClock};
use mayfly_identity::password::PasswordHasher;
use mayfly_keys::{CardKeys, CheckValue, KeyService, OsRandom, SecretKey};
use mayfly_network::Network;
use mayfly_network::host::{HostQueue, host_asker};
use mayfly_notify::{
    DECISIONS_MAX, DecisionCaller, Delivery, DeliveryOptions, DeliveryParts, HookMeter, HookParts, HookQueue,
    Notifier, WAIT_DEFAULT,
};
use mayfly_outbound::Client;
use mayfly_store::{
    DirectoryLock, FoldOptions, Folder, Home, LeaseKeeper, OpenOptions, Opened, Opening, Retention,
    StoreError, StoredJournal, ViewsArchive,
};
use tokio::net::UnixListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::{Server, StartError, WATCH, standby};
use crate::admin::{self, AdminSocket, Clerk};
use crate::config::Settings;
use crate::directory::{self, Run};
use crate::files;
use crate::health::{Health, Phase};
use crate::holds::{self, HoldsMeter};
use crate::hosts::{Askers, HostGround, Hosts};
use crate::http::AdminPages;
use crate::init::KEY_CHECK_FILE;
use crate::key_versions::{KeyServices, OPERATOR, VersionDesk};
use crate::live::{Live, Shared};
use crate::protocol::{Addresses, Counts, Listening, Status, Time};
use crate::retention::{Keeper, Keeping};
use crate::upkeep;
use mayfly_office::{Keyring, Office, Reception, Views};
use mayfly_store::directory::{By, Directory};

/// How often a long opening says in the log how far it is.
const TELL: Duration = Duration::from_secs(1);

/// Says in `found`, however it ends, whether the installation and its root key were found.
pub(super) fn start(settings: Settings, found: &mut bool) -> Result<Server, StartError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    directory::check(&settings.data_dir).map_err(StartError::Directory)?;
    files::allow(&settings);
    let client = Arc::new(Client::new(&settings.outbound).map_err(StartError::Outbound)?);
    let root = key_service(&settings)?;
    *found = true;
    let (directory_keys, pepper) = (root.directory_keys(), root.password_pepper());
    // Looked at first, so that a second server is told so, and not that its address is taken.
    let lock = DirectoryLock::acquire(&settings.data_dir).map_err(StartError::Store)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("mayfly")
        .build()
        .map_err(|error| StartError::System { what: "threads could not be started", error })?;
    let shared = Arc::new(Shared {
        health: Health::starting(settings.engine.views_lag_max_ms, clock.clone()),
        started: Time(clock.now_ms()),
        live: OnceLock::new(),
    });
    let pages = match settings.http_address {
        Some(address) => {
            let pages = runtime.block_on(AdminPages::start(address, shared.clone()));
            Some(pages.map_err(|error| StartError::Pages { address, error })?)
        }
        None => None,
    };
    let services = KeyServices::open(&settings, root)?;
    let retention = Retention::open(&settings.home, settings.retention.clone()).map_err(StartError::Store)?;
    // A server that was killed has left one.
    Run::remove(&settings.data_dir);
    let (Opened { partitions, ends, journal, lock, .. }, keeper) = match &settings.home {
        Home::Files(_) => {
            // Opening takes it again.
            drop(lock);
            (open(&settings, &shared.health)?, None)
        }
        // The directory still has the socket, and one server.
        Home::Database(database) => {
            let (opened, keeper) = standby::become_active(database, &settings, &shared, &runtime)?;
            (Opened { lock: Some(lock), ..opened }, Some(keeper))
        }
    };
    let listener = {
        let _entered = runtime.enter();
        admin::bind(&settings.socket).map_err(StartError::Socket)?
    };
    let directory = Directory::open(&settings.home, directory_keys).map_err(StartError::Records)?;
    let root = services.root().clone();
    let cards = services.card_keys(&settings, &directory, clock.now_ms(), partitions.register())?;
    let cards = Arc::new(cards);
    let catalogue = Catalogue::new(root).with_cards(cards.clone()).among(partitions.count());
    for programme in partitions.register().programmes() {
        catalogue.prepare(&programme.terms.prefix).map_err(StartError::Keys)?;
    }
    load_cards(&directory, &catalogue, &partitions, clock.now_ms())?;
    let ground = Ground {
        settings: &settings,
        catalogue: Arc::new(catalogue),
        cards,
        clock,
        shared: shared.clone(),
        directory: Arc::new(directory),
        client,
    };
    let ((hook, hook_queue), (hosts, host_queue)) = (mayfly_notify::hook(), host_asker());
    let core = Core::start(&ground, (partitions, ends, journal), Askers { hook, hosts })?;
    let retention = match &keeper {
        // That of the first partition stands for all of them.
        Some(keeper) => retention.under(PartitionId::FIRST, keeper.standing().clone()),
        None => retention,
    };
    let retention = Keeping::start(retention, ground.clock.clone())
        .map_err(|error| StartError::System { what: "threads could not be started", error })?;
    // Opened before the runtime is entered: whoever waits for a database must not be within one.
    let views = Views::open(&settings.home, core.engine.handle(), core.folder.waker());
    let front = views.map_err(StartError::Store).and_then(|views| {
        let reading = (views, retention.keeper().clone());
        let questions = (hook_queue, host_queue);
        runtime.block_on(front(&ground, (&core, reading, questions), listener, pages.as_ref(), pepper))
    });
    match front {
        Ok(Front { network, hosts, api, delivery, socket, addresses, background }) => {
            shared.health.enter(Phase::Serving);
            let (socket_path, http) = (&addresses.admin_socket, addresses.admin_http.as_deref());
            tracing::info!(admin_socket = socket_path, admin_http = http.unwrap_or("off"), "serving");
            let Core { engine, folder, failed, .. } = core;
            Ok(Server {
                runtime,
                shared,
                settings,
                addresses,
                failed,
                background,
                network,
                hosts,
                api,
                delivery,
                socket,
                pages,
                retention,
                engine,
                folder,
                lock,
                keeper,
            })
        }
        Err(error) => {
            drop(fs::remove_file(&settings.socket));
            drop(retention);
            core.stop();
            // Another gateway may fare better.
            drop(keeper.map(LeaseKeeper::release));
            Err(error)
        }
    }
}

/// Opens the root key, and looks whether it is the one that the data were made with.
fn key_service(settings: &Settings) -> Result<KeyService, StartError> {
    let service = settings.keys.root.open().map_err(StartError::Key)?;
    let check_value = service.check_value();
    check_key(settings, check_value)?;
    tracing::info!(%check_value, "the root key was opened");
    Ok(service)
}

fn check_key(settings: &Settings, found: CheckValue) -> Result<(), StartError> {
    let root_key = || settings.keys.root.to_string();
    if let Home::Database(_) = &settings.home {
        // Another gateway may have made it: what stands in this directory says nothing of it.
        let expected = mayfly_store::root_check(&settings.home).map_err(StartError::Store)?;
        let Some(expected) = expected else {
            let location = settings.home.journal();
            return Err(StartError::Store(StoreError::Missing { location, views: false }));
        };
        if expected != found.to_string() {
            return Err(StartError::OtherKey { root_key: root_key(), expected, found });
        }
    }
    match fs::read_to_string(settings.data_dir.join(KEY_CHECK_FILE)) {
        Ok(expected) if expected.trim() == found.to_string() => Ok(()),
        Ok(expected) => Err(StartError::OtherKey {
            root_key: root_key(),
            expected: expected.trim().chars().take(6).collect(),
            found,
        }),
        Err(error) => {
            tracing::warn!(%error, "{KEY_CHECK_FILE} can't be read: whether the root key is the right one is not known");
            Ok(())
        }
    }
}

/// How the store is opened.
pub(super) fn open_options(settings: &Settings) -> OpenOptions {
    OpenOptions {
        fold: FoldOptions { cache_bytes: settings.views_cache_bytes, ..FoldOptions::default() },
        remember_ms: settings.engine.remember_ms,
        create: false,
        archive: Some(settings.retention.archive_dir.clone()),
        ..OpenOptions::default()
    }
}

/// Opens the store, saying what takes so long.
pub(super) fn open(settings: &Settings, health: &Health) -> Result<Opened, StartError> {
    let options = open_options(settings);
    let begun = Instant::now();
    let mut told = begun;
    let opened = mayfly_store::open(&settings.home, &options, |step| {
        let what = match step {
            Opening::Checking => "the views are being checked".to_owned(),
            Opening::Loading => "the state is being loaded".to_owned(),
            Opening::Replaying => "the latest entries are being replayed".to_owned(),
            Opening::Folding { number, last } => {
                let percent = number * 100 / last.max(1);
                format!("the views are being built: entry {number} of {last}, {percent} %")
            }
        };
        if told.elapsed() >= TELL {
            tracing::info!("{what}");
            told = Instant::now();
        }
        health.enter(Phase::Starting(what));
    })
    .map_err(StartError::Store)?;
    let (entries, took_ms) = (opened.ends.number, begun.elapsed().as_millis() as u64);
    tracing::info!(entries, partitions = opened.partitions.count(), took_ms, "the journal was opened");
    Ok(opened)
}

/// Puts the check site's cards where messages find them, before any comes.
fn load_cards(
    directory: &Directory,
    catalogue: &Catalogue,
    partitions: &Partitions,
    now_ms: u64,
) -> Result<(), StartError> {
    let Some(book) = catalogue.cards() else { return Ok(()) };
    let (begun, by) = (Instant::now(), By { actor: OPERATOR, now_ms });
    let (cards, removed) =
        mayfly_office::load_cards(directory, book, partitions, by).map_err(StartError::Records)?;
    if removed > 0 {
        tracing::warn!(removed, "cards whose number is nobody's were removed from the conversion table");
    }
    tracing::info!(cards, took_ms = begun.elapsed().as_millis() as u64, "the check site's cards were loaded");
    Ok(())
}

/// What everything stands on.
struct Ground<'a> {
    settings: &'a Settings,
    catalogue: Arc<Catalogue>,
    cards: Arc<CardKeys>,
    clock: Arc<dyn Clock>,
    shared: Arc<Shared>,
    directory: Arc<Directory>,
    client: Arc<Client>,
}

/// What decides and writes.
struct Core {
    engine: Engine,
    folder: Folder,
    failed: watch::Receiver<Option<String>>,
    failure: Arc<watch::Sender<Option<String>>>,
}

impl Core {
    fn start(
        ground: &Ground<'_>,
        (partitions, ends, journal): (Partitions, Ends, StoredJournal),
        askers: Askers,
    ) -> Result<Self, StartError> {
        let Ground { settings, catalogue, clock, shared, .. } = ground;
        let progress = Arc::new(Progress::default());
        shared.health.watch(&progress);
        let (failure, failed) = watch::channel(None);
        let failure = Arc::new(failure);
        let fold = FoldOptions { cache_bytes: settings.views_cache_bytes, ..FoldOptions::default() };
        let (of_folder, health) = (failure.clone(), shared.clone());
        let on_error = move |error: &mayfly_store::StoreError| {
            fail(&health.health, &of_folder, &format!("the views can't be folded: {error}"));
        };
        let folder =
            Folder::start(&settings.home, fold, progress.clone(), on_error).map_err(StartError::Store)?;
        let archive =
            ViewsArchive::open(&settings.home, progress.clone(), &folder).map_err(StartError::Store)?;
        let parts = Parts {
            partitions,
            ends,
            journal: Box::new(journal),
            archive: Arc::new(archive),
            catalogue: catalogue.clone(),
            asker: Arc::new(askers),
            clock: clock.clone(),
            progress: progress.clone(),
            options: settings.engine,
        };
        let engine = Engine::start(parts)
            .map_err(|error| StartError::System { what: "threads could not be started", error })?;
        Ok(Self { engine, folder, failed, failure })
    }

    /// Of a start that did not come to its end: what went wrong is told already.
    fn stop(self) {
        drop(self.engine.stop());
        drop(self.folder.stop());
    }
}

/// The server can't go on.
pub(super) fn fail(health: &Health, failure: &watch::Sender<Option<String>>, why: &str) {
    tracing::error!("{why}");
    health.enter(Phase::Failed(why.to_owned()));
    failure.send_if_modified(|first| {
        let is_first = first.is_none();
        first.get_or_insert_with(|| why.to_owned());
        is_first
    });
}

/// What others connect to.
struct Front {
    network: Network,
    hosts: Hosts,
    api: Option<RunningApi>,
    delivery: Delivery,
    socket: AdminSocket,
    addresses: Addresses,
    background: Vec<JoinHandle<()>>,
}

async fn front(
    ground: &Ground<'_>,
    (core, (views, retention), (questions, for_hosts)): (&Core, (Views, Arc<Keeper>), (HookQueue, HostQueue)),
    listener: UnixListener,
    pages: Option<&AdminPages>,
    pepper: SecretKey<32>,
) -> Result<Front, StartError> {
    let Ground { settings, catalogue, cards: keys, clock, shared, directory, .. } = ground;
    let handle = core.engine.handle();
    let random = Box::new(OsRandom);
    let desk = Desk::new(handle.clone(), catalogue.clone(), random, clock.clone(), directory.clone());
    let cards = CardDesk::new(handle.clone(), catalogue.clone(), Box::new(OsRandom), clock.clone());
    let office = Arc::new(Office::new(
        handle.clone(),
        (desk, cards),
        catalogue.clone(),
        views,
        directory.clone(),
        clock.clone(),
    ));
    let asked = questions.meter();
    // Whoever waits for a decision does not stand behind those who are told what happened.
    let caller = Arc::new(Client::new(&settings.outbound).map_err(StartError::Outbound)?);
    let parts = HookParts {
        handle: handle.clone(),
        directory: directory.clone(),
        caller: DecisionCaller::new(caller, DECISIONS_MAX),
        clock: clock.clone(),
        wait: WAIT_DEFAULT,
    };
    // It ends when the engine does.
    drop(tokio::spawn(questions.run(parts)));
    let with = HostGround {
        handle: handle.clone(),
        office: office.clone(),
        directory: directory.clone(),
        catalogue: catalogue.clone(),
        clock: clock.clone(),
    };
    // Before anybody can send what they are asked about.
    let hosts = Hosts::start(&settings.issuer_hosts, for_hosts, with).await.map_err(StartError::Hosts)?;
    let network = Network::start(&settings.endpoints, handle.clone(), catalogue.clone(), settings.network)
        .await
        .map_err(StartError::Network)?;
    let delivery = delivery(ground, &office);
    let api = api(ground, &office, (delivery.notifier(), &asked), pepper).await?;
    let addresses = addresses(settings, &network, api.as_ref(), pages);
    let run = Run {
        pid: std::process::id(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started: shared.started,
        addresses: addresses.clone(),
    };
    run.write(&settings.data_dir)
        .map_err(|error| StartError::System { what: "run.json could not be written", error })?;
    let holds = Arc::new(HoldsMeter::default());
    let live = Live {
        handle: handle.clone(),
        office: office.clone(),
        network: network.meter(),
        notifier: delivery.notifier().clone(),
        asked,
        hosts: hosts.view().clone(),
        holds: holds.clone(),
        retention: retention.clone(),
    };
    // Set once, here.
    drop(shared.live.set(live));
    let status = status(run, handle.clone(), shared.clone(), clock.clone());
    let keyring = Keyring::new(directory.clone(), clock.clone());
    let versions = VersionDesk::new(keys.clone(), directory.clone(), clock.clone(), (*settings).clone());
    let desks = (Arc::new(versions), retention);
    let clerk = Clerk::new(office.clone(), keyring, desks, clock.clone(), status);
    let clerk = Arc::new(admin::Desk::Open(clerk));
    let socket = AdminSocket::start(listener, &settings.socket, clerk, settings.admin_connections_max);
    let mut background = vec![
        tokio::spawn(watch_over(handle, shared.clone(), core.failure.clone())),
        tokio::spawn(holds::run(office, holds)),
        tokio::spawn(upkeep::run(directory.clone(), clock.clone())),
    ];
    if let Some(standing) = shared.health.standing() {
        let watched = standby::watch_over(standing.clone(), shared.clone(), core.failure.clone());
        background.push(tokio::spawn(watched));
    }
    Ok(Front { network, hosts, api, delivery, socket, addresses, background })
}

/// Begins to tell webhooks what happens.
fn delivery(ground: &Ground<'_>, office: &Arc<Office>) -> Delivery {
    Delivery::start(DeliveryParts {
        office: office.clone(),
        directory: ground.directory.clone(),
        client: ground.client.clone(),
        clock: ground.clock.clone(),
        options: DeliveryOptions::default(),
    })
}

/// Serves the HTTP API, if it is to be served.
async fn api(
    ground: &Ground<'_>,
    office: &Arc<Office>,
    (notifier, asked): (&Arc<Notifier>, &Arc<HookMeter>),
    pepper: SecretKey<32>,
) -> Result<Option<RunningApi>, StartError> {
    let Some(settings) = &ground.settings.api else { return Ok(None) };
    let options = ApiOptions {
        tls: settings.tls.clone().map(|(certificate, key)| TlsFiles { certificate, key }),
        plain_http_anywhere: settings.plain_http,
        proxies: settings.proxies.clone(),
        connections_max: settings.connections_max,
        request_time_max: settings.request_time_max,
        stop_time_max: ground.settings.drain,
        ..ApiOptions::at(settings.address)
    };
    let hasher = PasswordHasher::new(pepper);
    let (directory, clock) = (ground.directory.clone(), ground.clock.clone());
    let reception = Reception::start(directory.clone(), hasher, clock.clone(), settings.reception)
        .map_err(|error| StartError::System { what: "threads could not be started", error })?;
    let (office, notifier, asked) = (office.clone(), notifier.clone(), asked.clone());
    let parts = ApiParts { office, directory, reception: Arc::new(reception), notifier, asked, clock };
    Api::start(options, parts).await.map(Some).map_err(StartError::Api)
}

fn addresses(
    settings: &Settings,
    network: &Network,
    api: Option<&RunningApi>,
    pages: Option<&AdminPages>,
) -> Addresses {
    let dialects = settings.endpoints.iter().map(|endpoint| endpoint.dialect.name());
    let listening = |(address, dialect): (&std::net::SocketAddr, &str)| Listening {
        address: address.to_string(),
        dialect: dialect.to_owned(),
    };
    Addresses {
        iso8583: network.addresses().iter().zip(dialects).map(listening).collect(),
        api: api.map(|api| {
            let tls = settings.api.as_ref().is_some_and(|settings| settings.tls.is_some());
            format!("{}://{}", if tls { "https" } else { "http" }, api.address())
        }),
        admin_http: pages.map(|pages| pages.address().to_string()),
        admin_socket: absolute(&settings.socket),
    }
}

fn absolute(path: &Path) -> String {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).display().to_string()
}

/// How the server is, but for what only the engine's writer knows.
fn status(run: Run, handle: Handle, shared: Arc<Shared>, clock: Arc<dyn Clock>) -> impl Fn() -> Status {
    move || {
        let lag = shared.health.lag();
        let folded = handle.progress().folded();
        let counts = handle.meter().counts();
        let reason = shared.health.not_ready();
        Status {
            version: run.version.clone(),
            pid: run.pid,
            started: run.started,
            uptime_s: clock.now_ms().saturating_sub(run.started.0) / 1000,
            ready: reason.is_none(),
            reason,
            durable: handle.progress().durable(),
            folded,
            lag_entries: lag.entries,
            lag_ms: lag.ms,
            waiting: handle.waiting(),
            counts: Counts {
                entries: counts.entries,
                records: counts.records,
                events: counts.events,
                answers: counts.answers,
                ..Counts::default()
            },
            addresses: run.addresses.clone(),
            issuer_hosts: shared.live.get().map(|live| live.hosts.status()).unwrap_or_default(),
        }
    }
}

/// Sees whether the engine still takes work.
async fn watch_over(handle: Handle, shared: Arc<Shared>, failure: Arc<watch::Sender<Option<String>>>) {
    while !handle.is_stopping() {
        tokio::time::sleep(WATCH).await;
    }
    fail(&shared.health, &failure, "the engine stopped by itself: the journal can't be written");
}
