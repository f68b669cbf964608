//! Issuer hosts that have the money of accounts: the link to each, who puts questions to them, and who tells them what they
//! have to hear until they have acknowledged it.
//!
//! What a host has to hear stands in the journal. [`keeper`] takes it over into the directory, in order, and settles it
//! there; [`teller`] says what leaves when. So a kill between any two steps loses nothing, and only the gateway that is
//! active does any of it.

mod keeper;
mod teller;

use std::collections::HashMap;
use std::sync::Arc;

use mayfly_core::{IssuerId, TimeMs, Whom};
use mayfly_engine::{Asker, Catalogue, Clock, Handle, Question};
use mayfly_keys::OsRandom;
use mayfly_network::forward::{self, ForwardMeter, ForwardOptions};
use mayfly_network::host::{HostAsker, HostMeter, HostParts, HostQueue, Identity};
use mayfly_network::link::{Host, IssuerLink, LinkMeter, LinkOptions, LinkStartError, Setting};
use mayfly_notify::Hook;
use mayfly_office::{Office, OfficeError};
use mayfly_store::directory::Directory;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::protocol::{IssuerHostStatus, Time};
use keeper::Keeper;
use teller::{Book, Teller};

/// An issuer's host, as it is configured.
#[derive(Clone, Debug)]
pub struct HostSettings {
    /// Whose.
    pub issuer: IssuerId,
    /// Where it listens.
    pub hosts: Vec<Host>,
    /// What it speaks.
    pub dialect: &'static mayfly_iso8583::Dialect,
    /// As whom we ask.
    pub identity: Identity,
    /// As whom we sign on.
    pub institution: mayfly_card::AcquirerId,
    /// The link's bounds.
    pub link: LinkOptions,
    /// The bounds of telling.
    pub forward: ForwardOptions,
}

/// Why issuer hosts can't be used.
#[derive(Debug)]
pub enum HostsError {
    /// There is no such issuer.
    NoIssuer(IssuerId),
    /// A link can't be started.
    Link(IssuerId, LinkStartError),
    /// What they have to be told can't be read.
    Directory(String),
    /// The engine can't be asked.
    Office(OfficeError),
}

impl std::fmt::Display for HostsError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NoIssuer(issuer) => write!(
                f,
                "issuer_hosts names {issuer}, and there is no such issuer: correct it, or leave it out until the issuer is \
                 opened (mayfly issuer open)"
            ),
            Self::Link(issuer, error) => {
                write!(f, "the link to the host of {issuer} can't be started: {error}")
            }
            Self::Directory(error) => write!(f, "what issuer hosts have to be told can't be read: {error}"),
            Self::Office(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for HostsError {}

/// Puts each question to whoever has to answer it.
pub(crate) struct Askers {
    pub(crate) hook: Hook,
    pub(crate) hosts: HostAsker,
}

impl Asker for Askers {
    fn ask(&self, question: Question) {
        match question.asked.whom {
            Whom::Hook => self.hook.ask(question),
            Whom::Host => self.hosts.ask(question),
        }
    }
}

/// What hosts are worked with.
pub(crate) struct HostGround {
    pub(crate) handle: Handle,
    pub(crate) office: Arc<Office>,
    pub(crate) directory: Arc<Directory>,
    pub(crate) catalogue: Arc<Catalogue>,
    pub(crate) clock: Arc<dyn Clock>,
}

/// All issuer hosts while the server runs.
pub(crate) struct Hosts {
    view: Arc<HostsView>,
    tellers: Vec<JoinHandle<()>>,
    stop: Option<oneshot::Sender<()>>,
    keeping: Option<JoinHandle<()>>,
}

/// For whoever watches.
pub(crate) struct HostsView {
    pub(crate) asked: Arc<HostMeter>,
    pub(crate) hosts: Vec<HostView>,
}

/// One of them.
pub(crate) struct HostView {
    pub(crate) issuer: IssuerId,
    pub(crate) connections: usize,
    pub(crate) link: IssuerLink,
    pub(crate) counts: Arc<LinkMeter>,
    pub(crate) told: Arc<ForwardMeter>,
    book: Arc<Book>,
}

impl HostView {
    /// How many advices it has not acknowledged, as far as they are in memory.
    pub(crate) fn owed(&self) -> usize {
        self.book.owed().len()
    }

    /// Since when it has not acknowledged the oldest.
    pub(crate) fn owed_since_ms(&self) -> Option<TimeMs> {
        self.book.owed().oldest_ms()
    }
}

impl HostsView {
    /// How it is with each of them.
    pub(crate) fn status(&self) -> Vec<IssuerHostStatus> {
        let status = |host: &HostView| IssuerHostStatus {
            issuer: host.issuer,
            connections: host.connections,
            in_service: host.link.in_service(),
            under_way: host.link.under_way(),
            owed: host.owed(),
            owed_since: host.owed_since_ms().map(Time),
        };
        self.hosts.iter().map(status).collect()
    }
}

impl Hosts {
    /// Starts the link to each host, and begins to ask and to tell. Hosts that are away are no reason not to start.
    pub(crate) async fn start(
        settings: &[HostSettings],
        questions: HostQueue,
        ground: HostGround,
    ) -> Result<Self, HostsError> {
        let HostGround { handle, office, directory, catalogue, clock } = ground;
        let (mut links, mut late, mut hosts) = (HashMap::new(), Vec::new(), Vec::new());
        for host in settings {
            match office.issuer(host.issuer).await {
                Ok(_) => {}
                Err(OfficeError::Refused(_)) => return Err(HostsError::NoIssuer(host.issuer)),
                Err(error) => return Err(HostsError::Office(error)),
            }
            let (link, answers) = IssuerLink::start(Setting {
                hosts: host.hosts.clone(),
                dialect: host.dialect,
                institution: host.institution,
                options: host.link,
                clock: clock.clone(),
                random: Box::new(OsRandom),
            })
            .map_err(|error| HostsError::Link(host.issuer, error))?;
            links.insert(host.issuer, (link.clone(), host.identity));
            late.push((host.issuer, answers));
            hosts.push(HostView {
                issuer: host.issuer,
                connections: host.hosts.iter().map(|host| host.connections).sum(),
                counts: link.meter(),
                link,
                told: Arc::default(),
                book: Arc::default(),
            });
        }
        let view = Arc::new(HostsView { asked: questions.meter(), hosts });
        let parts = HostParts { handle, catalogue: catalogue.clone(), clock: clock.clone(), links };
        // It ends when the engine does.
        drop(tokio::spawn(questions.run(parts, late)));
        if settings.is_empty() {
            return Ok(Self { view, tellers: Vec::new(), stop: None, keeping: None });
        }
        let books = view.hosts.iter().map(|host| (host.issuer, host.book.clone())).collect();
        let (keeper, settled) = Keeper::open(office, directory, clock, books).await?;
        let mut tellers = Vec::new();
        for (host, settings) in view.hosts.iter().zip(settings) {
            let (book, catalogue) = (host.book.clone(), catalogue.clone());
            let teller = Teller::new(host.issuer, book, settled.clone(), catalogue, settings.identity);
            let (link, told) = (host.link.clone(), host.told.clone());
            let telling = forward::run(link, teller, settings.forward, Box::new(OsRandom), told);
            tellers.push(tokio::spawn(telling));
        }
        let (stop, stopped) = oneshot::channel();
        let keeping = tokio::spawn(keeper.run(stopped));
        Ok(Self { view, tellers, stop: Some(stop), keeping: Some(keeping) })
    }

    /// For whoever watches.
    pub(crate) fn view(&self) -> &Arc<HostsView> {
        &self.view
    }

    /// Stops: waits for answers that are under way, signs off, and writes down what is settled. What is not will be told
    /// by the next process.
    pub(crate) async fn stop(self) {
        let links = self.view.hosts.iter().map(|host| {
            let link = host.link.clone();
            tokio::spawn(async move { link.stop().await })
        });
        for stopping in links.collect::<Vec<_>>() {
            // Whatever is left unanswered was told so.
            drop(stopping.await);
        }
        for telling in self.tellers {
            telling.abort();
            // It was aborted: that is what it says.
            drop(telling.await);
        }
        if let Some(stop) = self.stop {
            // It may have ended already.
            let _ = stop.send(());
        }
        if let Some(keeping) = self.keeping
            && let Err(error) = keeping.await
        {
            tracing::error!(%error, "whoever keeps what issuer hosts have to be told broke off");
        }
    }
}
