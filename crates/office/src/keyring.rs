//! Keys for the HTTP API: made, listed, rotated and revoked.

use std::fmt;
use std::sync::Arc;

use mayfly_core::{IssuerId, Name, TimeMs};
use mayfly_engine::Clock;
use mayfly_identity::token::{Token, TokenKind};
use mayfly_keys::OsRandom;
use mayfly_store::directory::{
    ApiKey, By, Directory, DirectoryError, KeyId, MerchantEntryId, NewKey, NewSecret, Role, Writing,
};

use crate::{Items, OfficeError, Part};

/// A key that is to be made.
#[derive(Clone, Debug)]
pub struct KeyOrder {
    /// What its holder may do.
    pub role: Role,
    /// On whose things; none for an operator's key, and only for that.
    pub issuer: Option<IssuerId>,
    /// For whose payments: needed for a merchant's own key, and only for that.
    pub merchant: Option<MerchantEntryId>,
    /// What people call it.
    pub label: Name,
    /// How long it is good, in milliseconds; for good if none.
    pub lifetime_ms: Option<TimeMs>,
}

/// A key that was made: the only time that it is seen whole.
#[derive(Debug)]
pub struct KeyGiven {
    /// What is known of it.
    pub key: ApiKey,
    /// The key itself.
    pub token: Token,
}

/// Makes a key in a transaction that is under way.
///
/// # Errors
/// If role and issuer don't fit, there is no randomness, or nothing can be written.
pub fn make_key(writing: &Writing<'_>, order: &KeyOrder) -> Result<KeyGiven, OfficeError> {
    let token = Token::draw(TokenKind::ApiKey, &mut OsRandom).map_err(OfficeError::Random)?;
    let key = writing.create_key(&NewKey {
        role: order.role,
        issuer: order.issuer,
        merchant: order.merchant,
        label: order.label,
        hint: token.hint(),
        hash: token.hash(),
        expires_ms: order.lifetime_ms.map(|lifetime_ms| writing.now_ms().saturating_add(lifetime_ms)),
    })?;
    Ok(KeyGiven { key, token })
}

/// Lets a new key come in the place of another one, in a transaction that is under way. It is good as long as the old
/// one was to be, but for the overlap.
///
/// # Errors
/// If there is no such key, it is over, there is no randomness, or nothing can be written.
pub fn rotate_key(
    writing: &Writing<'_>,
    issuer: Option<IssuerId>,
    id: KeyId,
    (lifetime_ms, overlap_ms): (Option<TimeMs>, TimeMs),
) -> Result<KeyGiven, OfficeError> {
    let token = Token::draw(TokenKind::ApiKey, &mut OsRandom).map_err(OfficeError::Random)?;
    let expires_ms = lifetime_ms.map(|lifetime_ms| writing.now_ms().saturating_add(lifetime_ms));
    let new = NewSecret::of(&token, expires_ms, overlap_ms);
    let key = writing.rotate_key(issuer, id, &new)?.ok_or(OfficeError::NoKey(id))?;
    Ok(KeyGiven { key, token })
}

/// The keys, for whoever has the server's own command line.
#[derive(Clone)]
pub struct Keyring {
    directory: Arc<Directory>,
    clock: Arc<dyn Clock>,
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Keyring")
    }
}

/// Who has the command line, in the audit stream.
const OPERATOR: &str = "operator";

impl Keyring {
    /// On a directory.
    pub fn new(directory: Arc<Directory>, clock: Arc<dyn Clock>) -> Self {
        Self { directory, clock }
    }

    /// Makes a key.
    ///
    /// # Errors
    /// As [`make_key`].
    pub async fn create(&self, order: KeyOrder) -> Result<KeyGiven, OfficeError> {
        self.write(move |writing| make_key(writing, &order)).await
    }

    /// Lets a new key come in the place of another one, which stays valid for a while.
    ///
    /// # Errors
    /// As [`rotate_key`].
    pub async fn rotate(
        &self,
        issuer: Option<IssuerId>,
        id: KeyId,
        overlap_ms: TimeMs,
    ) -> Result<KeyGiven, OfficeError> {
        self.write(move |writing| rotate_key(writing, issuer, id, (None, overlap_ms))).await
    }

    /// Makes a key invalid at once and for good.
    ///
    /// # Errors
    /// If there is no such key, or nothing can be written.
    pub async fn revoke(&self, issuer: Option<IssuerId>, id: KeyId) -> Result<ApiKey, OfficeError> {
        self.write(move |writing| writing.revoke_key(issuer, id)?.ok_or(OfficeError::NoKey(id))).await
    }

    /// The keys of an issuer, or of the operators, in the order in which they were made.
    ///
    /// # Errors
    /// If the directory can't be read.
    pub async fn list(
        &self,
        issuer: Option<IssuerId>,
        part: Part<KeyId>,
    ) -> Result<Items<ApiKey, KeyId>, OfficeError> {
        let directory = self.directory.clone();
        // The directory begins after a key, a part with it.
        let after = part.from.map(|from| KeyId(from.0.saturating_sub(1)));
        let page = tokio::task::spawn_blocking(move || directory.keys(issuer, after, part.limit + 1));
        let rows = page.await.map_err(|_| OfficeError::Stopped)??.rows;
        Ok(Items::cut(rows, part.limit, |key| key.id))
    }

    async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Writing<'_>) -> Result<T, OfficeError> + Send + 'static,
    ) -> Result<T, OfficeError> {
        let (directory, now_ms) = (self.directory.clone(), self.clock.now_ms());
        let done =
            tokio::task::spawn_blocking(move || directory.write(By { actor: OPERATOR, now_ms }, work)).await;
        done.map_err(|_| OfficeError::Stopped)?
    }
}

impl From<DirectoryError> for OfficeError {
    fn from(error: DirectoryError) -> Self {
        Self::Directory(error)
    }
}
