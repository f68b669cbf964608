//! Gives holds back that have waited too long for their completion.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mayfly_core::{AccountId, TimeMs};
use tokio::time::sleep;

use mayfly_office::{Office, OfficeError};

/// How often it is looked for holds that are over.
const EVERY: Duration = Duration::from_secs(60);
/// How many accounts' holds are read in one round; the next round goes on behind them.
const ACCOUNTS_MAX: usize = 10_000;
/// How many holds are given back in one round.
const RELEASES_MAX: usize = 10_000;
/// No hold that comes now is over before that: the shortest that a programme may have.
const SHORTEST_MS: TimeMs = 24 * 3_600_000;
/// When a hold that could not be given back is tried again.
const AGAIN_MS: TimeMs = 3_600_000;

/// What was done about holds.
#[derive(Debug, Default)]
pub(crate) struct HoldsMeter {
    released: AtomicU64,
}

impl HoldsMeter {
    /// How many were given back.
    pub(crate) fn released(&self) -> u64 {
        self.released.load(Ordering::Relaxed)
    }
}

/// Runs until it is aborted: each of its steps is whole.
pub(crate) async fn run(office: Arc<Office>, meter: Arc<HoldsMeter>) {
    let mut rounds = Rounds::new(office, meter);
    loop {
        sleep(EVERY).await;
        if let Err(error) = rounds.round().await {
            // Nothing is lost: the next round looks again.
            tracing::warn!(%error, "holds that are over could not all be given back");
        }
    }
}

/// When to look at whose holds. A hold that comes later is not over before [`SHORTEST_MS`], so an account whose
/// holds were read is left alone until the first of them is over, or that time has passed.
pub(crate) struct Rounds {
    office: Arc<Office>,
    meter: Arc<HoldsMeter>,
    next_look: HashMap<AccountId, TimeMs>,
    from: AccountId,
}

impl Rounds {
    pub(crate) fn new(office: Arc<Office>, meter: Arc<HoldsMeter>) -> Self {
        Self { office, meter, next_look: HashMap::new(), from: AccountId(1) }
    }

    /// Goes once through the accounts on which something is held, or as far as the bounds allow.
    pub(crate) async fn round(&mut self) -> Result<(), OfficeError> {
        let now_ms = self.office.now_ms();
        let (mut accounts, mut released, mut missed) = (0, 0, 0);
        'accounts: loop {
            let (held, next) = self.office.accounts_with_holds(self.from).await?;
            for account in held {
                if self.next_look.get(&account).is_some_and(|next_ms| *next_ms > now_ms) {
                    continue;
                }
                if accounts >= ACCOUNTS_MAX || released + missed >= RELEASES_MAX {
                    self.from = account;
                    break 'accounts;
                }
                accounts += 1;
                let done = self.account(account, now_ms).await?;
                released += done.released;
                missed += done.missed;
            }
            self.from = next.unwrap_or(AccountId(1));
            if next.is_none() {
                // Whose time has come and who was not looked at has no holds any more.
                self.next_look.retain(|_, next_ms| *next_ms > now_ms);
                break;
            }
        }
        if released > 0 {
            tracing::info!(released, "holds that were over were given back");
        }
        if missed > 0 {
            tracing::warn!(missed, "holds that are over could not be given back yet");
        }
        Ok(())
    }

    async fn account(&mut self, account: AccountId, now_ms: TimeMs) -> Result<Done, OfficeError> {
        let mut done = Done::default();
        let mut next_ms = now_ms + SHORTEST_MS;
        for hold in self.office.holds(account).await? {
            if hold.due_ms > now_ms {
                next_ms = next_ms.min(hold.due_ms);
            } else if self.office.release_hold(hold.transaction, None).await? {
                done.released += 1;
                self.meter.released.fetch_add(1, Ordering::Relaxed);
            } else {
                done.missed += 1;
                next_ms = next_ms.min(now_ms + AGAIN_MS);
            }
        }
        self.next_look.insert(account, next_ms);
        Ok(done)
    }
}

#[derive(Default)]
struct Done {
    released: usize,
    missed: usize,
}

#[cfg(test)]
mod tests {
    use mayfly_card::{Currency, Expiry, Layout, MinorUnits, Pan, Prefix};
    use mayfly_core::{
        Answer, Command, Controls, CreditLimit, Cvc2Check, Facts, Hash64, MessageKind, Name, Presented,
        Processing, ProgrammeId, Request, Terms,
    };
    use mayfly_engine::cards::CardDesk;
    use mayfly_engine::{
        Catalogue, Clock, Desk, Engine, Handle, ManualClock, MemoryNoteKeys, NobodyAsked, Options, Parts,
        Progress,
    };
    use mayfly_keys::{KeyService, OsRandom, RootKey};
    use mayfly_store::directory::Directory;
    use mayfly_store::{FoldOptions, Folder, OpenOptions, ViewsArchive};

    use super::*;
    use mayfly_office::{NumberOrder, Views};

    const DAY_MS: TimeMs = 24 * 3_600_000;
    const BEGUN_MS: TimeMs = 1_800_000_000_000;

    /// An engine on a directory of its own, whose clock is set by hand.
    struct Desktop {
        engine: Option<Engine>,
        folder: Option<Folder>,
        office: Arc<Office>,
        catalogue: Arc<Catalogue>,
        clock: Arc<ManualClock>,
        _directory: tempfile::TempDir,
    }

    impl Desktop {
        fn start() -> Self {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path();
            let opened = mayfly_store::open(&path.into(), &OpenOptions::default(), |_| ()).unwrap();
            let clock = Arc::new(ManualClock::at(BEGUN_MS));
            let shared: Arc<dyn Clock> = clock.clone();
            let service = KeyService::new(&RootKey::from_bytes(&[7; 32]));
            let records = Arc::new(Directory::open(&path.into(), service.directory_keys()).unwrap());
            let catalogue = Arc::new(Catalogue::new(service));
            let progress = Arc::new(Progress::default());
            let folder =
                Folder::start(&path.into(), FoldOptions::default(), progress.clone(), |_| ()).unwrap();
            let archive = ViewsArchive::open(&path.into(), progress.clone(), &folder).unwrap();
            let engine = Engine::start(Parts {
                partitions: opened.partitions,
                ends: opened.ends,
                journal: Box::new(opened.journal),
                archive: Arc::new(archive),
                catalogue: catalogue.clone(),
                asker: Arc::new(NobodyAsked),
                clock: shared.clone(),
                progress,
                options: Options::default(),
            })
            .unwrap();
            let handle = engine.handle();
            let views = Views::open(&path.into(), handle.clone(), folder.waker()).unwrap();
            let desk = Desk::new(
                handle.clone(),
                catalogue.clone(),
                Box::new(OsRandom),
                shared.clone(),
                Arc::new(MemoryNoteKeys::default()),
            );
            let cards = CardDesk::new(handle.clone(), catalogue.clone(), Box::new(OsRandom), shared.clone());
            let office =
                Arc::new(Office::new(handle, (desk, cards), catalogue.clone(), views, records, shared));
            let (engine, folder) = (Some(engine), Some(folder));
            Self { engine, folder, office, catalogue, clock, _directory: directory }
        }

        fn handle(&self) -> Handle {
            self.engine.as_ref().unwrap().handle()
        }

        async fn furnish(&self) -> AccountId {
            let (issuer, _) = self.office.open_issuer(Name::parse("Acme").unwrap(), None).await.unwrap();
            let terms =
                Terms { hold_days: 1, ..Terms::standard(Prefix::parse("456940").unwrap(), Layout::DEFAULT) };
            let name = Name::parse("Everyday").unwrap();
            self.office.open_programme(issuer, name, terms, None, None).await.unwrap();
            let usd = Currency::parse_alphabetic("USD").unwrap();
            let limit = CreditLimit::Credit(MinorUnits::new(10_000).unwrap());
            self.office.open_account(issuer, usd, limit, None).await.unwrap().0
        }

        /// Authorises so much on a new number.
        async fn hold(&self, account: AccountId, minor: u64, stan: u64) {
            let controls = Controls::default();
            let order = NumberOrder { account, programme: None, uses: 1, lifetime_ms: None, controls };
            let issued = self.office.issue_number(order, None).await.unwrap();
            let request = self.request(&issued.pan, issued.expiry, minor, stan);
            let answer = self.handle().ask(Command::Message(Box::new(request))).unwrap().await.unwrap();
            assert!(
                matches!(answer, Answer::Message(answer) if answer.response.code() == "00"),
                "{answer:?}"
            );
        }

        fn request(&self, pan: &Pan, expiry: Expiry, minor: u64, stan: u64) -> Request {
            Request {
                message: MessageKind::Authorisation,
                processing: Processing::Purchase,
                reference: Hash64(stan),
                identity: Hash64(stan),
                content: Hash64(stan),
                original: None,
                number: Presented::Number {
                    index: self.catalogue.index(pan),
                    programme: Some(ProgrammeId(1)),
                    last_four: pan.last_four(),
                },
                expiry: Some(expiry),
                cvc2: Cvc2Check::Absent,
                proof: mayfly_core::scheme::dynamic::Proof::NoKey,
                amount: MinorUnits::new(minor).unwrap(),
                replacement: None,
                currency: Currency::parse_alphabetic("USD").unwrap(),
                declined_elsewhere: false,
                repeat: false,
                facts: Facts::default(),
                paged: None,
                partition: mayfly_core::PartitionId::FIRST,
            }
        }
    }

    impl Drop for Desktop {
        fn drop(&mut self) {
            drop(self.engine.take().map(Engine::stop));
            drop(self.folder.take().map(Folder::stop));
        }
    }

    #[tokio::test]
    async fn holds_are_given_back_when_their_time_is_over_and_not_before() {
        let desktop = Desktop::start();
        let account = desktop.furnish().await;
        desktop.hold(account, 100, 1).await;
        desktop.clock.set(BEGUN_MS + 1_000);
        desktop.hold(account, 250, 2).await;
        let meter = Arc::new(HoldsMeter::default());
        let mut rounds = Rounds::new(desktop.office.clone(), meter.clone());
        for (at_ms, released, held) in [
            (1_000, 0, 350),
            (DAY_MS - 1, 0, 350),
            (DAY_MS, 1, 250),
            (DAY_MS + 999, 1, 250),
            (DAY_MS + 1_000, 2, 0),
        ] {
            desktop.clock.set(BEGUN_MS + at_ms);
            // What is read here is what is folded: a round that comes a little early finds it in the next one.
            desktop.office.transactions(mayfly_office::Part { from: None, limit: 1 }).await.unwrap();
            rounds.round().await.unwrap();
            assert_eq!(
                (meter.released(), desktop.office.account(account).await.unwrap().held),
                (released, held)
            );
        }
        // An account that is looked at again later is found again, and one without holds is forgotten.
        rounds.round().await.unwrap();
        desktop.clock.set(BEGUN_MS + 3 * DAY_MS);
        rounds.round().await.unwrap();
        assert!(rounds.next_look.is_empty());
    }
}
