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
    Attempt, By, Cardholder, CardholderStatus, Directory, DirectoryError, NewSession, NewTokens, Redeemed,
    Redemption, Refreshed, Session, ThrottleKey, ThrottleScope, Writing,
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
        let place = self.directory.throttle_key(ThrottleScope::Address, &[&octets(address)]);
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
        self.write(CARDHOLDER, move |writing| {
            let redemption = Redemption { hash: &invitation, login: &name, password: &record };
            match writing.redeem_invitation(&redemption, &mut OsRandom)? {
                Redeemed::Done(cardholder) => Ok(cardholder),
                Redeemed::NotOpen => Err(ReceptionError::NotLetIn),
            }
        })
        .await
    }

    /// Logs a cardholder in with name and password.
    ///
    /// # Errors
    /// [`ReceptionError::NotLetIn`] whatever is wrong; or if too many come, or too many failed.
    pub async fn log_in(&self, attempt: LoginAttempt) -> Result<SessionGiven, ReceptionError> {
        let _place = self.places.try_acquire().map_err(|_| ReceptionError::Crowded)?;
        let LoginAttempt { issuer, name, password, address } = attempt;
        let keys = ThrottleKeys {
            address: self.directory.throttle_key(ThrottleScope::Address, &[&octets(address)]),
            name: self.directory.throttle_key(
                ThrottleScope::Name,
                &[&issuer.0.to_be_bytes(), name.as_ref().map_or("", LoginName::as_str).as_bytes()],
            ),
        };
        // A look that costs no write: whoever has to wait is told so without a password being checked.
        let (directory, now_ms) = (self.directory.clone(), self.clock.now_ms());
        let found = blocking(move || {
            if let Some(retry_after_ms) = keys.wait(&directory, now_ms)? {
                return Ok(Err(ReceptionError::Wait { retry_after_ms }));
            }
            let found = name.map(|name| directory.login(issuer, &name)).transpose()?.flatten();
            Ok::<_, DirectoryError>(Ok(found))
        })
        .await???;
        let record = found.as_ref().and_then(|login| login.password.clone());
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
        let (tokens, new) = self.draw()?;
        let ends_ms = self.clock.now_ms().saturating_add(self.options.session_max_ms);
        let cardholder = found.map(|login| login.cardholder);
        let outcome = self
            .write(STRANGER, move |writing| {
                let rehashed = match keys.judge(writing, &cardholder, checked)? {
                    Ok(rehashed) => rehashed,
                    // What was counted is to stay counted: this is no error of the transaction.
                    Err(refused) => return Ok(Err(refused)),
                };
                let Some(cardholder) = cardholder else { return Ok(Err(ReceptionError::NotLetIn)) };
                if let (Some(checked), Some(renewed)) = (&record, &rehashed) {
                    writing.renew_password(issuer, cardholder.id, (checked, renewed))?;
                }
                let new = NewSession { issuer, cardholder: cardholder.id, tokens: new, ends_ms };
                Ok(writing.create_session(&new)?.ok_or(ReceptionError::NotLetIn))
            })
            .await?;
        let (token, refresh) = tokens;
        outcome.map(|session| SessionGiven { session, token, refresh })
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

    /// Whose session it is that a token lets into.
    ///
    /// # Errors
    /// If the directory can't be read.
    pub async fn session(&self, token: TokenHash) -> Result<Option<Session>, OfficeError> {
        let (directory, now_ms) = (self.directory.clone(), self.clock.now_ms());
        Ok(blocking(move || directory.find_session(&token, now_ms)).await??)
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
    /// How long to wait, if so.
    fn wait(&self, directory: &Directory, now_ms: TimeMs) -> Result<Option<u64>, DirectoryError> {
        let address = directory.throttle(ThrottleScope::Address, self.address)?;
        let name = directory.throttle(ThrottleScope::Name, self.name)?;
        let wait = address
            .retry_after_ms(&ThrottlePolicy::ADDRESS, now_ms)
            .max(name.retry_after_ms(&ThrottlePolicy::NAME, now_ms));
        Ok((wait > 0).then_some(wait))
    }

    /// Counts the attempt, whose password was checked already. Many may have been checked at the same time: each is
    /// counted here, one after the other, and one that may not be made by now does not let in, right or wrong.
    fn judge(
        &self,
        writing: &Writing<'_>,
        cardholder: &Option<Cardholder>,
        checked: Option<Option<PasswordRecord>>,
    ) -> Result<Result<Option<PasswordRecord>, ReceptionError>, DirectoryError> {
        let of_address = writing.attempt(ThrottleScope::Address, self.address, &ThrottlePolicy::ADDRESS)?;
        let of_name = writing.attempt(ThrottleScope::Name, self.name, &ThrottlePolicy::NAME)?;
        let (Attempt::Counted(address), Attempt::Counted(_)) = (of_address, of_name) else {
            let retry_after_ms = match (of_address, of_name) {
                (Attempt::Wait { retry_after_ms }, _) | (_, Attempt::Wait { retry_after_ms }) => {
                    retry_after_ms
                }
                _ => 0,
            };
            return Ok(Err(ReceptionError::Wait { retry_after_ms }));
        };
        let is_active = cardholder.as_ref().is_some_and(|found| found.status == CardholderStatus::Active);
        let Some(rehashed) = checked.filter(|_| is_active) else {
            return Ok(Err(ReceptionError::NotLetIn));
        };
        writing.set_throttle(ThrottleScope::Address, self.address, address.uncounted())?;
        writing.set_throttle(ThrottleScope::Name, self.name, Throttle::CLEAR)?;
        Ok(Ok(rehashed))
    }
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
