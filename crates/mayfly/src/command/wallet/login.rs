//! Logging in, which makes the wallet the first time; logging out; another passphrase.

use std::path::PathBuf;

use clap::Args;
use mayfly_card::Pan;
use mayfly_core::IssuerId;
use mayfly_wallet::{ServerError, Wallet};
use serde_json::json;
use zeroize::Zeroizing;

use super::file::{Opened, exists};
use super::wire::Login;
use super::{At, named, new_passphrase, of_server};
use crate::failure::{Failure, Outcome};
use crate::output::Output;
use crate::secret::{SecretFrom, ask_openly};

/// Log in at the issuer's server; the first time, this makes the wallet
#[derive(Debug, Args)]
pub(crate) struct LogIn {
    /// The server's address, a URL that begins with https; a wallet that is there knows it
    #[arg(value_name = "URL")]
    server: Option<String>,
    /// At which issuer
    #[arg(long, value_name = "ID", env = "MAYFLY_WALLET_ISSUER", value_parser = IssuerId::parse)]
    issuer: Option<IssuerId>,
    /// Or: the universal number that stands on your card says at which
    #[arg(long, value_name = "DIGITS", conflicts_with = "issuer", value_parser = universal)]
    universal_number: Option<Pan>,
    /// Your log-in name; asked for if not given
    #[arg(long, value_name = "NAME", env = "MAYFLY_WALLET_LOGIN_NAME")]
    login_name: Option<String>,
    /// The file that holds your password; MAYFLY_WALLET_PASSWORD in the environment goes before it, and without both
    /// it is asked for
    #[arg(long, value_name = "FILE", env = "MAYFLY_WALLET_PASSWORD_FILE")]
    password_file: Option<PathBuf>,
}

impl LogIn {
    /// Runs it.
    pub(crate) fn run(&self, at: &At, output: Output) -> Outcome {
        if self.issuer.is_none() && self.universal_number.is_none() {
            return Err(Failure::Usage(
                "say at which issuer: --issuer ID, or --universal-number DIGITS".into(),
            ));
        }
        let path = at.path()?;
        if self.server.is_none() && !exists(&path)? {
            return Err(Failure::Usage(
                "there is no wallet yet; to make one, name the server: https://issuer.example".into(),
            ));
        }
        // Whoever has to type does that before anybody else has to wait for the wallet.
        let (name, password) = self.credentials()?;
        let mut opened = if exists(&path)? { self.known(at)? } else { self.made(at)? };
        let http = at.server(opened.wallet.server())?;
        let issuer = self.issuer.map(|issuer| issuer.to_string());
        let session = http.log_in(&Login {
            issuer: issuer.as_deref(),
            universal_number: self.universal_number.as_ref().map(Pan::as_str),
            login_name: &name,
            password: &password,
        });
        let session = session.map_err(of_server)?;
        opened.wallet.set_session(Some(session));
        opened.save()?;
        let shown =
            json!({ "wallet": named(&path), "server": http.base(), "cards": opened.wallet.cards().len() });
        output.either(&shown, || format!("logged in at {}; the wallet is {}", http.base(), named(&path)))
    }

    fn known(&self, at: &At) -> Outcome<Opened> {
        let opened = at.open()?;
        let server = self.server.as_deref().map(|server| server.trim_end_matches('/'));
        match server {
            Some(server) if server != opened.wallet.server() => Err(Failure::Refused(format!(
                "the wallet is for the server {}; take another --wallet for another server",
                opened.wallet.server()
            ))),
            _ => Ok(opened),
        }
    }

    fn made(&self, at: &At) -> Outcome<Opened> {
        let http = at.server(self.server.as_deref().unwrap_or_default())?;
        let passphrase = new_passphrase(&at.secret().load_new()?)?;
        Opened::create(&at.path()?, &passphrase, Wallet::new(http.base()))
    }

    fn credentials(&self) -> Outcome<(String, Zeroizing<String>)> {
        let name = match &self.login_name {
            Some(name) => name.clone(),
            None => ask_openly("log-in name", "give --login-name")?,
        };
        let password = SecretFrom {
            what: "your password",
            variable: "MAYFLY_WALLET_PASSWORD",
            option: "--password-file",
            file: self.password_file.as_deref(),
        };
        Ok((name, password.load()?))
    }
}

fn universal(text: &str) -> Result<Pan, String> {
    Pan::parse(text.replace(' ', "")).map_err(|error| error.to_string())
}

/// Ends the session.
pub(crate) fn log_out(at: &At, output: Output) -> Outcome {
    let mut opened = at.open()?;
    let ended = match opened.wallet.session() {
        // A session that is over needs no end.
        Some(session) => at.server(opened.wallet.server())?.with(session).log_out(),
        None => Ok(()),
    };
    opened.wallet.set_session(None);
    opened.save()?;
    match ended {
        Ok(()) | Err(ServerError::LoggedOut) => {
            output.either(&json!({ "logged_in": false }), || "logged out".into())
        }
        Err(error) => Err(of_server(error)),
    }
}

/// Seal the wallet under another passphrase
///
/// Copies of the file that were made before still open with the old one.
#[derive(Debug, Args)]
pub(crate) struct ChangePassphrase {
    /// The file that holds the new passphrase; MAYFLY_WALLET_NEW_PASSPHRASE in the environment goes before it, and
    /// without both it is asked for
    #[arg(long, value_name = "FILE")]
    new_passphrase_file: Option<PathBuf>,
}

impl ChangePassphrase {
    /// Runs it.
    pub(crate) fn run(&self, at: &At, output: Output) -> Outcome {
        let path = at.path()?;
        let old = at.passphrase()?;
        // Whether it opens is known before a new one is thought of; and nobody has to wait while that is typed.
        drop(Opened::open(&path, &old)?);
        let new = SecretFrom {
            what: "the new passphrase",
            variable: "MAYFLY_WALLET_NEW_PASSPHRASE",
            option: "--new-passphrase-file",
            file: self.new_passphrase_file.as_deref(),
        };
        let new = new_passphrase(&new.load_new()?)?;
        let mut opened = Opened::open(&path, &old)?;
        opened.change_passphrase(&new)?;
        output.either(&json!({ "changed": true }), || "the wallet opens with the new passphrase now".into())
    }
}
