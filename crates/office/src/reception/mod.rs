//! The reception: cardholders enrol, log in, stay logged in, and log out.
//!
//! Whoever can't be let in is told one thing only, whatever the reason: an unknown name, a wrong password, a blocked
//! cardholder and an issuer that does not exist all take the same work and get the same answer. Before any work is done
//! for a stranger there is a bound: on how many are served at a time, and on how often a name or an address may fail.

mod passwords;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use mayfly_core::{IssuerId, TimeMs};
use mayfly_engine::Clock;
use mayfly_identity::name::LoginName;
use mayfly_identity::password::{Password, PasswordHasher, PasswordRecord, Verified};
use mayfly_identity::throttle::{Throttle, ThrottlePolicy};
use mayfly_identity::token::{Token, TokenHash, TokenKind};
use mayfly_keys::OsRandom;
use mayfly_store::directory::{
    Attempt, By, Cardholder, Directory, DirectoryError, NewSession, NewTokens, Redeemed, Redemption,
    Refreshed, Session, ThrottleKey, ThrottleScope, Writing,
};

use tokio::sync::Semaphore;

use crate::OfficeError;
use passwords::{Full, Passwords};

const MINUTE_MS: TimeMs = 60_000;
const DAY_MS: TimeMs = 24 * 60 * MINUTE_MS;

/// How many serve, and how long sessions last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceptionOptions {
    /// How many passwords are checked at a time. Default 1, 1 to 64: each takes a processor for some 20 ms and 19 MiB.
    pub workers: usize,
    /// How many may wait for that; whoever comes then is turned away. Default 16.
    pub waiting_max: usize,
    /// How long a session's token lets in. Default 15 minutes.
    pub session_ms: TimeMs,
    /// How long a session can be refreshed after its last refresh. Default 8 hours.
    pub refresh_ms: TimeMs,
    /// How long a session lasts, however often it is refreshed. Default 30 days.
    pub session_max_ms: TimeMs,
}

impl Default for ReceptionOptions {
    fn default() -> Self {
        Self {
            workers: 1,
            waiting_max: 16,
            session_ms: 15 * MINUTE_MS,
            refresh_ms: 8 * 60 * MINUTE_MS,
            session_max_ms: 30 * DAY_MS,
        }
    }
}

/// Why somebody was not let in, or not enrolled.
#[derive(Debug, PartialEq, Eq)]
pub enum ReceptionError {
    /// Name, password, token or invitation are not good. Never more than that.
    NotLetIn,
    /// Too many come at once: try again in a moment.
    Crowded,
    /// This name or address has failed too often.
    Wait {
        /// For how long, in milliseconds.
        retry_after_ms: u64,
    },
    /// Another cardholder of the issuer has this log-in name.
    NameTaken,
    /// It could not be done at all.
    Office(OfficeError),
}

impl From<DirectoryError> for ReceptionError {
    fn from(error: DirectoryError) -> Self {
        match error {
            DirectoryError::LoginNameTaken => Self::NameTaken,
            error => Self::Office(OfficeError::Directory(error)),
        }
    }
}

impl From<OfficeError> for ReceptionError {
    fn from(error: OfficeError) -> Self {
        Self::Office(error)
    }
}

/// A session with its tokens: the only time that they are seen whole.
#[derive(Debug)]
pub struct SessionGiven {
    /// What is known of it.
    pub session: Session,
    /// Lets in.
    pub token: Token,
    /// Gets the next tokens.
    pub refresh: Token,
}

/// What a log-in says.
#[derive(Debug)]
pub struct LoginAttempt {
    /// At which issuer.
    pub issuer: IssuerId,
    /// The log-in name; none if what was typed can't be one, which is told no sooner than any other mistake.
    pub name: Option<LoginName>,
    /// The password.
    pub password: Password,
    /// From where.
    pub address: IpAddr,
}

/// Who takes an invitation, and what he chose.
#[derive(Debug)]
pub struct Enrolment {
    /// The invitation.
    pub invitation: TokenHash,
    /// The log-in name.
    pub name: LoginName,
    /// The password.
    pub password: Password,
    /// From where.
    pub address: IpAddr,
}

/// Serves cardholders who have not shown yet who they are.
pub struct Reception {
    directory: Arc<Directory>,
    passwords: Passwords,
    /// One for everybody who is served or waits: whoever comes then is turned away before anything is done for him.
    places: Semaphore,
    clock: Arc<dyn Clock>,
    options: ReceptionOptions,
}

impl fmt::Debug for Reception {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reception")
    }
}

/// Who does it, in the audit stream, before it is known who it is.
const STRANGER: &str = "stranger";
/// The same, for what a cardholder does for himself with a token of his.
const CARDHOLDER: &str = "cardholder";

impl Reception {
    /// On a directory.
    ///
    /// # Errors
    /// If the system gives no threads.
    pub fn start(
        directory: Arc<Directory>,
        hasher: PasswordHasher,
        clock: Arc<dyn Clock>,
        options: ReceptionOptions,
    ) -> std::io::Result<Self> {
        let passwords = Passwords::start(hasher, options.workers, options.waiting_max)?;
        let places = Semaphore::new(options.workers + options.waiting_max);
        Ok(Self { directory, passwords, places, clock, options })
    }

    /// Uses an invitation: from now on the cardholder logs in with the name and password that he chose.
    ///
    /// # Errors
    /// If the invitation is not open, the name is taken, or too many come.
    pub async fn enrol(&self, enrolment: Enrolment) -> Result<Cardholder, ReceptionError> {
        let _place = self.places.try_acquire().map_err(|_| ReceptionError::Crowded)?;
        let Enrolment { invitation, name, password, address } = enrolment;
        let place = address_key(&self.directory, address);
        let now_ms = self.clock.now_ms();
        let directory = self.directory.clone();
        let (open, wait) = blocking(move || {
            let wait = directory.throttle(ThrottleScope::Address, place)?;
            let wait = wait.retry_after_ms(&ThrottlePolicy::ADDRESS, now_ms);
            Ok::<_, DirectoryError>((directory.open_invitation(&invitation, now_ms)?, wait))
        })
        .await??;
        if wait > 0 {
            return Err(ReceptionError::Wait { retry_after_ms: wait });
        }
        if open.is_none() {
            self.failed(place).await?;
            return Err(ReceptionError::NotLetIn);
        }
        let record = self.hash(password).await?;
        let directory = self.directory.clone();
        let enrolled = self
            .write(CARDHOLDER, move |writing| {
                let redemption = Redemption { hash: &invitation, login: &name, password: &record };
                let Redeemed::Done(cardholder) = writing.redeem_invitation(&redemption, &mut OsRandom)?
                else {
                    return Err(ReceptionError::NotLetIn);
                };
                // Whoever guessed at the name before has nothing to do with the new password.
                let key = name_key(&directory, cardholder.issuer, Some(&name));
                writing.set_throttle(ThrottleScope::Name, key, Throttle::CLEAR)?;
                Ok(cardholder)
            })
            .await;
        // Names that are taken are found out by trying: that costs as much as any other failure.
        if matches!(enrolled, Err(ReceptionError::NameTaken)) {
            self.failed(place).await?;
        }
        enrolled
    }

    /// Logs a cardholder in with name and password.
    ///
    /// # Errors
    /// [`ReceptionError::NotLetIn`] whatever is wrong; or if too many come, or too many failed.
    pub async fn log_in(&self, attempt: LoginAttempt) -> Result<SessionGiven, ReceptionError> {
        let _place = self.places.try_acquire().map_err(|_| ReceptionError::Crowded)?;
        let LoginAttempt { issuer, name, password, address } = attempt;
        let keys = ThrottleKeys {
            address: address_key(&self.directory, address),
            name: name_key(&self.directory, issuer, name.as_ref()),
        };
        let wanted = name.clone();
        // Counted before the password is checked, and set right afterwards if it was right: whoever hangs up meanwhile, or
        // guesses many at the same time, has tried nevertheless.
        let record = self
            .write(STRANGER, move |writing| {
                keys.count(writing)?;
                let found = wanted.map(|name| writing.login_record(issuer, &name)).transpose()?;
                Ok(found.flatten().and_then(|(_, record)| record))
            })
            .await?;
        let checked = self.passwords.ask({
            let record = record.clone();
            move |hasher| match hasher.verify(&password, record.as_ref()) {
                Verified::No => None,
                Verified::Yes { rehash } => {
                    Some(rehash.then(|| hasher.hash(&password, &mut OsRandom).ok()).flatten())
                }
            }
        });
        let checked = checked.map_err(|Full| ReceptionError::Crowded)?.await;
        let checked = checked.map_err(|_| ReceptionError::Office(OfficeError::Stopped))?;
        let (Some(rehashed), Some(name), Some(record)) = (checked, name, record) else {
            return Err(ReceptionError::NotLetIn);
        };
        let ((token, refresh), tokens) = self.draw()?;
        let ends_ms = self.clock.now_ms().saturating_add(self.options.session_max_ms);
        let session = self
            .write(STRANGER, move |writing| {
                // The password may have been changed since it was read: then it was the wrong one.
                let Some((cardholder, Some(current))) = writing.login_record(issuer, &name)? else {
                    return Err(ReceptionError::NotLetIn);
                };
                if current != record {
                    return Err(ReceptionError::NotLetIn);
                }
                if let Some(renewed) = &rehashed {
                    writing.renew_password(issuer, cardholder, (&record, renewed))?;
                }
                let opened = writing.create_session(&NewSession { issuer, cardholder, tokens, ends_ms })?;
                let session = opened.ok_or(ReceptionError::NotLetIn)?;
                keys.forgive(writing)?;
                Ok(session)
            })
            .await?;
        Ok(SessionGiven { session, token, refresh })
    }

    /// The next tokens of a session, within a transaction that is under way; none if the token is not good. One that was
    /// used before ends its session, because somebody else has it: let the transaction be written even then.
    ///
    /// # Errors
    /// If there is no randomness, or nothing can be written.
    pub fn refresh(
        &self,
        writing: &Writing<'_>,
        refresh: &TokenHash,
    ) -> Result<Option<SessionGiven>, OfficeError> {
        let ((token, next), new) = self.draw()?;
        Ok(match writing.refresh_session(refresh, &new)? {
            Refreshed::Done(session) => Some(SessionGiven { session, token, refresh: next }),
            Refreshed::Reused | Refreshed::NotOpen => None,
        })
    }

    /// Ends a session.
    ///
    /// # Errors
    /// If nothing can be written.
    pub async fn log_out(&self, session: Session) -> Result<(), ReceptionError> {
        self.write(CARDHOLDER, move |writing| {
            writing.revoke_session(session.issuer, session.cardholder, session.id)?;
            Ok(())
        })
        .await
    }

    fn draw(&self) -> Result<((Token, Token), NewTokens), OfficeError> {
        let draw = |kind| Token::draw(kind, &mut OsRandom).map_err(OfficeError::Random);
        let (token, refresh) = (draw(TokenKind::Session)?, draw(TokenKind::Refresh)?);
        let now_ms = self.clock.now_ms();
        let new = NewTokens {
            hash: token.hash(),
            refresh: refresh.hash(),
            expires_ms: now_ms.saturating_add(self.options.session_ms),
            refresh_expires_ms: now_ms.saturating_add(self.options.refresh_ms),
        };
        Ok(((token, refresh), new))
    }

    async fn hash(&self, password: Password) -> Result<PasswordRecord, ReceptionError> {
        let hashed = self.passwords.ask(move |hasher| hasher.hash(&password, &mut OsRandom));
        let hashed =
            hashed.map_err(|Full| ReceptionError::Crowded)?.await.map_err(|_| OfficeError::Stopped)?;
        hashed.map_err(|error| OfficeError::Random(error).into())
    }

    async fn failed(&self, address: ThrottleKey) -> Result<(), ReceptionError> {
        self.write(STRANGER, move |writing| {
            let failed = writing.throttle(ThrottleScope::Address, address)?;
            let failed = failed.failed(&ThrottlePolicy::ADDRESS, writing.now_ms());
            Ok(writing.set_throttle(ThrottleScope::Address, address, failed)?)
        })
        .await
    }

    async fn write<T: Send + 'static>(
        &self,
        actor: &'static str,
        work: impl FnOnce(&Writing<'_>) -> Result<T, ReceptionError> + Send + 'static,
    ) -> Result<T, ReceptionError> {
        let (directory, now_ms) = (self.directory.clone(), self.clock.now_ms());
        blocking(move || directory.write(By { actor, now_ms }, work)).await?
    }
}

/// Who is throttled.
#[derive(Clone, Copy)]
struct ThrottleKeys {
    address: ThrottleKey,
    name: ThrottleKey,
}

impl ThrottleKeys {
    /// Counts an attempt, if one is allowed now.
    fn count(&self, writing: &Writing<'_>) -> Result<(), ReceptionError> {
        for (scope, key, policy) in [
            (ThrottleScope::Address, self.address, &ThrottlePolicy::ADDRESS),
            (ThrottleScope::Name, self.name, &ThrottlePolicy::NAME),
        ] {
            if let Attempt::Wait { retry_after_ms } = writing.attempt(scope, key, policy)? {
                return Err(ReceptionError::Wait { retry_after_ms });
            }
        }
        Ok(())
    }

    /// It was no failure.
    fn forgive(&self, writing: &Writing<'_>) -> Result<(), DirectoryError> {
        let address = writing.throttle(ThrottleScope::Address, self.address)?;
        writing.set_throttle(ThrottleScope::Address, self.address, address.uncounted())?;
        writing.set_throttle(ThrottleScope::Name, self.name, Throttle::CLEAR)
    }
}

/// By which the failures of a log-in name are counted.
fn name_key(directory: &Directory, issuer: IssuerId, name: Option<&LoginName>) -> ThrottleKey {
    let name = name.map_or("", LoginName::as_str);
    directory.throttle_key(ThrottleScope::Name, &[&issuer.0.to_be_bytes(), name.as_bytes()])
}

/// By which the failures of an address are counted.
pub fn address_key(directory: &Directory, address: IpAddr) -> ThrottleKey {
    directory.throttle_key(ThrottleScope::Address, &[&octets(address)])
}

/// Of a household or a company: the whole address by IPv4, the network by IPv6, where one host has as many addresses
/// as it likes.
fn octets(address: IpAddr) -> Vec<u8> {
    match address.to_canonical() {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets()[..8].to_vec(),
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, OfficeError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| OfficeError::Stopped)
}
