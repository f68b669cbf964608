//! `mayfly wallet …`: the cardholder's own software.

mod cards;
mod file;
pub(crate) mod http;
mod login;
mod pay;
pub(crate) mod wire;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use mayfly_keys::Passphrase;
use mayfly_wallet::{CardId, ServerError, WalletError};

use crate::failure::{Failure, Outcome};
use crate::output::Output;
use crate::secret::SecretFrom;
use file::{Opened, exists};
use http::{Http, now_unix_s};

/// How long before its end a session is refreshed, in seconds: what follows takes less.
const REFRESH_BEFORE_S: u64 = 60;

/// Pay with a fixed card number and a proof for one purchase: the cardholder's own software
///
/// It keeps cards with their keys in a file that only a passphrase opens. Before a purchase it asks the issuer's check site,
/// and says what to put into the merchant's form. Passphrases and passwords are typed, or come from a file or the
/// environment, never from the command line.
#[derive(Debug, Args)]
pub(crate) struct Wallet {
    #[command(flatten)]
    at: At,
    #[command(subcommand)]
    command: WalletCommand,
}

/// Where the wallet is, and what opens it.
#[derive(Debug, Args)]
#[command(next_help_heading = "Where the wallet is")]
pub(crate) struct At {
    /// The wallet's file; ~/.local/share/mayfly/wallet if not given
    #[arg(long, global = true, value_name = "FILE", env = "MAYFLY_WALLET")]
    wallet: Option<PathBuf>,
    /// The file that holds its passphrase; MAYFLY_WALLET_PASSPHRASE in the environment goes before it, and without
    /// both it is asked for
    #[arg(long, global = true, value_name = "FILE", env = "MAYFLY_WALLET_PASSPHRASE_FILE")]
    passphrase_file: Option<PathBuf>,
    /// Certificate authorities that are believed besides the public ones, in PEM
    #[arg(long, global = true, value_name = "FILE", env = "MAYFLY_WALLET_CA_FILE")]
    ca_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum WalletCommand {
    Login(login::LogIn),
    /// End the session; the cards stay in the wallet
    Logout,
    List(cards::List),
    Enrol(cards::Enrol),
    Pay(pay::Pay),
    /// Show again what to put into the merchant's form for the last purchase that was asked for
    Again(cards::OneCard),
    /// After the wallet was restored from a copy: learn how far the card has counted since
    Restore(cards::OneCard),
    /// End a card's lock
    Unlock(cards::OneCard),
    Forget(cards::Forget),
    ChangePassphrase(login::ChangePassphrase),
}

impl Wallet {
    /// Runs it.
    pub(crate) fn run(self, output: Output) -> Outcome {
        let at = &self.at;
        match self.command {
            WalletCommand::Login(command) => command.run(at, output),
            WalletCommand::Logout => login::log_out(at, output),
            WalletCommand::List(command) => command.run(at, output),
            WalletCommand::Enrol(command) => command.run(at, output),
            WalletCommand::Pay(command) => command.run(at, output),
            WalletCommand::Again(which) => pay::again(at, &which, output),
            WalletCommand::Restore(which) => cards::restore(at, &which, output),
            WalletCommand::Unlock(which) => cards::unlock(at, &which, output),
            WalletCommand::Forget(command) => command.run(at, output),
            WalletCommand::ChangePassphrase(command) => command.run(at, output),
        }
    }
}

impl At {
    /// The wallet's file.
    fn path(&self) -> Outcome<PathBuf> {
        if let Some(path) = &self.wallet {
            return Ok(path.clone());
        }
        let of = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let data = of("XDG_DATA_HOME").or_else(|| of("HOME").map(|home| home.join(".local/share")));
        data.map(|data| data.join("mayfly/wallet"))
            .ok_or_else(|| Failure::Usage("say where the wallet is: --wallet FILE".into()))
    }

    fn secret(&self) -> SecretFrom<'_> {
        SecretFrom {
            what: "the wallet's passphrase",
            variable: "MAYFLY_WALLET_PASSPHRASE",
            option: "--passphrase-file",
            file: self.passphrase_file.as_deref(),
        }
    }

    /// Opens the wallet. Whoever has to type does that before anybody else has to wait.
    fn open(&self) -> Outcome<Opened> {
        let path = self.path()?;
        if !exists(&path)? {
            return Err(file::none(&path));
        }
        Opened::open(&path, &self.passphrase()?)
    }

    /// The passphrase of a wallet that is there. What can't be one does not open it, and that is all there is to say.
    fn passphrase(&self) -> Outcome<Passphrase> {
        Passphrase::new(&self.secret().load()?)
            .map_err(|_| Failure::Refused("the wallet does not open with this passphrase; try again".into()))
    }

    /// Its server, for what nobody needs to be logged in for.
    fn server(&self, base: &str) -> Outcome<Http> {
        Http::to(base, self.ca_file.as_deref())
    }

    /// Its server, for the cardholder who is logged in; refreshes his session if that is about to end.
    fn session(&self, opened: &mut Opened) -> Outcome<Http> {
        let http = self.server(opened.wallet.server())?;
        let logged_out = || of_server(ServerError::LoggedOut);
        let session = opened.wallet.session().ok_or_else(logged_out)?;
        let now_unix_s = now_unix_s();
        if now_unix_s + REFRESH_BEFORE_S < session.expires_unix_s {
            return Ok(http.with(session));
        }
        if now_unix_s >= session.refresh_expires_unix_s {
            return Err(logged_out());
        }
        let refreshed = http.refresh(session).map_err(|error| match error {
            // It was used, or the session was ended: both come to the same.
            ServerError::Said(_) => logged_out(),
            other => of_server(other),
        })?;
        let http = http.with(&refreshed);
        opened.wallet.set_session(Some(refreshed));
        opened.save()?;
        Ok(http)
    }
}

/// A new passphrase.
fn new_passphrase(typed: &str) -> Outcome<Passphrase> {
    Passphrase::new(typed).map_err(|error| Failure::Usage(error.to_string()))
}

/// Which card is meant: the one that is named, or the only one.
fn chosen(opened: &Opened, named: Option<&CardId>) -> Outcome<CardId> {
    match (named, opened.wallet.cards()) {
        (Some(id), _) => Ok(id.clone()),
        (None, [card]) => Ok(card.id().clone()),
        (None, []) => {
            Err(Failure::Refused("there is no card in the wallet; enrol one: mayfly wallet enrol".into()))
        }
        (None, cards) => {
            let ids: Vec<_> = cards.iter().map(|card| card.id().as_str()).collect();
            Err(Failure::Usage(format!("say which card: {}", ids.join(", "))))
        }
    }
}

/// Why the wallet did not go on.
fn failed(error: WalletError<Failure>) -> Failure {
    let text = error.to_string();
    match error {
        WalletError::Store(failure) => failure,
        WalletError::Server(error) => of_server(error),
        WalletError::Order(_) => Failure::Usage(text),
        WalletError::Random(_) => Failure::Unreachable(text),
        _ => Failure::Refused(text),
    }
}

/// Why the server did not do it.
fn of_server(error: ServerError) -> Failure {
    let text = error.to_string();
    match error {
        ServerError::Lost(_) | ServerError::Unreachable(_) | ServerError::Wait { .. } => {
            Failure::Unreachable(text)
        }
        ServerError::LoggedOut => Failure::Refused(format!("{text}: mayfly wallet login")),
        ServerError::Refused => Failure::Refused(format!(
            "{text}; look with `mayfly wallet list`, and see `mayfly wallet restore`"
        )),
        ServerError::Said(_) => Failure::Refused(text),
    }
}

/// What people read of a file's place.
fn named(path: &Path) -> String {
    path.display().to_string()
}
