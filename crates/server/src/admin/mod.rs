//! The admin socket: a thin layer that reads requests, has the office do them, and writes what came of it.

mod answer;
mod ask;
mod cards;
mod line;
mod socket;

use std::sync::Arc;

use crate::key_versions::{OPERATOR, VersionDesk};
use crate::protocol::{
    AdminError, AdminRequest, AdminResponse, CreateKey, ErrorCode, KeyVersion, List, NumberState,
    PAGE_DEFAULT, PAGE_MAX, Page, Status,
};
use crate::retention::Keeper;
use crate::text::Text;
use mayfly_engine::Clock;
use mayfly_office::{CardNow, Items, KeyGiven, KeyOrder, Keyring, Office, Part};

pub use socket::SocketError;
pub(crate) use socket::{AdminSocket, Desk, bind};

/// Does what is asked.
pub(crate) struct Clerk {
    office: Arc<Office>,
    keyring: Keyring,
    versions: Arc<VersionDesk>,
    retention: Arc<Keeper>,
    clock: Arc<dyn Clock>,
    status: Box<dyn Fn() -> Status + Send + Sync>,
}

impl Clerk {
    /// `status` says how the server is, but for what only the engine knows.
    pub(crate) fn new(
        office: Arc<Office>,
        keyring: Keyring,
        (versions, retention): (Arc<VersionDesk>, Arc<Keeper>),
        clock: Arc<dyn Clock>,
        status: impl Fn() -> Status + Send + Sync + 'static,
    ) -> Self {
        Self { office, keyring, versions, retention, clock, status: Box::new(status) }
    }

    pub(crate) async fn answer(&self, request: AdminRequest) -> Result<AdminResponse, AdminError> {
        use AdminRequest as Ask;
        use AdminResponse as Tell;
        let office = &*self.office;
        Ok(match request {
            Ask::OpenIssuer { name } => {
                let (id, issuer) = office.open_issuer(ask::name(name)?, None).await?;
                Tell::Issuer(answer::issuer(id, &issuer))
            }
            Ask::ShowIssuer { issuer: id } => Tell::Issuer(answer::issuer(id, &office.issuer(id).await?)),
            Ask::SetHost { issuer: id, wait_ms, stand_in_max_minor } => {
                office.set_host(id, Some(ask::host(wait_ms, stand_in_max_minor)?), None).await?;
                Tell::Issuer(answer::issuer(id, &office.issuer(id).await?))
            }
            Ask::ListIssuers { page } => {
                Tell::Issuers(list(office.issuers(part(&page)?).await?, |(id, it)| answer::issuer(id, &it)))
            }
            Ask::OpenProgramme(asked) => {
                let terms = ask::terms(&asked.terms)?;
                let (issuer, name) = (asked.issuer, ask::name(asked.name)?);
                let opened =
                    office.open_programme(issuer, name, terms, asked.universal.as_ref(), None).await?;
                Tell::Programme(answer::programme(opened.0, &opened.1))
            }
            Ask::ShowProgramme { programme: id } => {
                Tell::Programme(answer::programme(id, &office.programme(id).await?))
            }
            Ask::ListProgrammes { issuer, page } => {
                let found = office.programmes(issuer, part(&page)?).await?;
                Tell::Programmes(list(found, |(id, it)| answer::programme(id, &it)))
            }
            Ask::OpenAccount { issuer, currency, limit } => {
                let (id, account) = office.open_account(issuer, currency, ask::limit(limit)?, None).await?;
                Tell::Account(answer::account(id, &account))
            }
            Ask::ShowAccount { account: id } => {
                Tell::Account(answer::account(id, &office.account(id).await?))
            }
            Ask::ListAccounts { issuer, page } => {
                let found = office.accounts(issuer, part(&page)?).await?;
                Tell::Accounts(list(found, |(id, it)| answer::account(id, &it)))
            }
            Ask::SetLimit { account: id, limit } => {
                Tell::Account(answer::account(id, &office.set_limit(id, ask::limit(limit)?, None).await?))
            }
            Ask::Fund { account: id, minor } => {
                Tell::Account(answer::account(id, &office.fund(id, minor, None).await?))
            }
            Ask::BlockChannel { account: id, channel, blocked } => {
                Tell::Account(answer::account(id, &office.block_channel(id, channel, blocked, None).await?))
            }
            Ask::IssueNumber(asked) => {
                Tell::Issued(answer::issued(&office.issue_number(ask::order(*asked)?, None).await?)?)
            }
            Ask::ShowNumber { number } => self.number(office.number(number).await?).await?,
            Ask::CancelNumber { number } => self.number(office.cancel_number(number, None).await?).await?,
            Ask::ListNumbers { account: id, state, page } => {
                let account = office.account(id).await?;
                let wanted = state.map(NumberState::retirement);
                let found = office.numbers(id, wanted, part(&page)?).await?;
                let mut numbers = Vec::with_capacity(found.items.len());
                for now in found.items {
                    let programme = office.programme(now.row.programme).await?;
                    numbers.push(answer::number(now, account.currency, &programme));
                }
                Tell::Numbers(List { items: numbers, next: found.next.map(|id| id.show()) })
            }
            Ask::EnrolCard(asked) => {
                let order = cards::order(*asked, self.clock.now_ms())?;
                self.card(office.enrol_card(order, OPERATOR.to_owned(), None).await?).await?
            }
            Ask::ShowCard { card } => self.card(office.card(card).await?).await?,
            Ask::UnlockCard { card } => self.card(office.unlock_card(card, None).await?).await?,
            Ask::CloseCard { card } => self.card(office.close_card(card, None).await?).await?,
            Ask::ListCards { account, page } => {
                office.account(account).await?;
                let found = office.cards(&[account], part(&page)?).await?;
                let mut items = Vec::with_capacity(found.items.len());
                for card in &found.items {
                    let programme = office.programme(card.number.row.programme).await?;
                    items.push(cards::card(card, &programme));
                }
                Tell::Cards(List { items, next: found.next.map(|id| id.show()) })
            }
            Ask::ShowTransaction { transaction } => {
                Tell::Transaction(answer::transaction(office.transaction(transaction).await?))
            }
            Ask::ListTransactions { account: Some(account), number: None, page } => {
                let found = office.transactions_of_account(account, part(&page)?).await?;
                Tell::Transactions(list(found, answer::transaction))
            }
            Ask::ListTransactions { account: None, number: Some(number), page } => {
                let found = office.transactions_of_number(number, part(&page)?).await?;
                Tell::Transactions(list(found, answer::transaction))
            }
            Ask::ListTransactions { account: None, number: None, page } => {
                let found = office.transactions(part(&page)?).await?;
                Tell::Transactions(list(found, answer::transaction))
            }
            Ask::ListTransactions { .. } => {
                let what = "name an account or a number, not both; or neither, for all";
                return Err(AdminError::new(ErrorCode::Invalid, what));
            }
            Ask::CreateKey(asked) => Tell::KeyGiven(answer::key_given(self.create_key(*asked).await?)),
            Ask::ListKeys { issuer, page } => {
                if let Some(issuer) = issuer {
                    office.issuer(issuer).await?;
                }
                Tell::Keys(list(self.keyring.list(issuer, part(&page)?).await?, answer::key))
            }
            Ask::RotateKey { key, issuer, overlap_s } => {
                let overlap_ms = overlap_s.saturating_mul(1000);
                Tell::KeyGiven(answer::key_given(self.keyring.rotate(issuer, key, overlap_ms).await?))
            }
            Ask::RevokeKey { key, issuer } => Tell::Key(answer::key(self.keyring.revoke(issuer, key).await?)),
            Ask::ListKeyVersions {} => Tell::KeyVersions(self.versions(VersionDesk::list).await?),
            Ask::RotateKeyVersion {} => Tell::KeyVersions(self.versions(VersionDesk::rotate).await?),
            Ask::RetireKeyVersion { version, force } => {
                Tell::KeyVersions(self.versions(move |desk| desk.retire(version, force)).await?)
            }
            Ask::ShowRetention(asked) => {
                Tell::Retention(self.retention(move |keeper| keeper.show(asked)).await?)
            }
            Ask::RunRetention(asked) => {
                Tell::Retention(self.retention(move |keeper| keeper.order(asked)).await?)
            }
            Ask::RetentionRuns {} => Tell::RetentionRuns(self.retention.runs()),
            Ask::Status {} => Tell::Status(self.status().await?),
        })
    }

    async fn number(&self, now: mayfly_office::NumberNow) -> Result<AdminResponse, AdminError> {
        let account = self.office.account(now.row.account).await?;
        let programme = self.office.programme(now.row.programme).await?;
        Ok(AdminResponse::Number(answer::number(now, account.currency, &programme)))
    }

    async fn card(&self, card: CardNow) -> Result<AdminResponse, AdminError> {
        let programme = self.office.programme(card.number.row.programme).await?;
        Ok(AdminResponse::Card(cards::card(&card, &programme)))
    }

    async fn create_key(&self, asked: CreateKey) -> Result<KeyGiven, AdminError> {
        let CreateKey { role, issuer, merchant, label, lifetime_s } = asked;
        if let Some(issuer) = issuer {
            self.office.issuer(issuer).await?;
        }
        let lifetime_ms = lifetime_s.map(|seconds| seconds.saturating_mul(1000));
        Ok(self.keyring.create(KeyOrder { role, issuer, merchant, label, lifetime_ms }).await?)
    }

    /// It waits for the directory and for hardware modules, on a thread that may wait.
    async fn versions(
        &self,
        ask: impl FnOnce(&VersionDesk) -> Result<Vec<KeyVersion>, AdminError> + Send + 'static,
    ) -> Result<List<KeyVersion>, AdminError> {
        let desk = self.versions.clone();
        let asked = tokio::task::spawn_blocking(move || ask(&desk)).await;
        let items =
            asked.map_err(|_| AdminError::new(ErrorCode::Internal, "it broke off; see the log"))??;
        Ok(List { items, next: None })
    }

    /// It reads the store, on a thread that may wait.
    async fn retention<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&Keeper) -> Result<T, AdminError> + Send + 'static,
    ) -> Result<T, AdminError> {
        let keeper = self.retention.clone();
        let asked = tokio::task::spawn_blocking(move || ask(&keeper)).await;
        asked.map_err(|_| AdminError::new(ErrorCode::Internal, "it broke off; see the log"))?
    }

    async fn status(&self) -> Result<Status, AdminError> {
        let there = self.office.snapshot().await?;
        let mut status = (self.status)();
        status.counts.issuers = there.issuers;
        status.counts.programmes = there.programmes;
        status.counts.accounts = there.accounts;
        status.counts.active_numbers = there.active_numbers;
        status.counts.quarantined = there.quarantined;
        status.counts.transactions_in_memory = there.transactions_in_memory;
        status.counts.transactions = there.transactions;
        Ok(status)
    }
}

fn part<Id: Text>(page: &Page) -> Result<Part<Id>, AdminError> {
    let limit = page.limit.unwrap_or(PAGE_DEFAULT);
    if !(1..=PAGE_MAX).contains(&limit) {
        let what = format!("a page has 1 to {PAGE_MAX} items, not {limit}");
        return Err(AdminError::new(ErrorCode::Limit, what));
    }
    let from = page.cursor.as_deref().map(Id::read).transpose();
    let from = from.map_err(|why| AdminError::new(ErrorCode::Invalid, format!("cursor {why}")))?;
    Ok(Part { from, limit: limit as usize })
}

fn list<T, Id: Text, A>(found: Items<T, Id>, answer: impl Fn(T) -> A) -> List<A> {
    List { items: found.items.into_iter().map(answer).collect(), next: found.next.map(|id| id.show()) }
}
