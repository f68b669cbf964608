//! What `mayfly serve` is made of: configuration, start and stop, the admin socket and the admin pages.
//!
//! [`init`] makes an installation. [`Server::start`] starts everything on it: store, engine, network, admin
//! socket and admin pages; [`Server::stop`] ends it without losing anything that was acknowledged. Operators ask
//! through the [`protocol`], with the [`client`]; what they can ask is done by the office (`mayfly-office`).
//!
//! Nothing here decides about money, and nothing here shows a card number but to the one who ordered it.

mod admin;
pub mod client;
pub mod config;
pub mod directory;
mod files;
mod health;
mod holds;
mod hosts;
mod http;
mod init;
mod key_source;
mod key_versions;
mod live;
pub mod log;
pub mod protocol;
mod retention;
mod server;
mod text;
mod upkeep;

pub use admin::SocketError;
pub use health::Phase;
pub use hosts::{HostSettings, HostsError};
pub use init::{InitError, Initialised, KEY_CHECK_FILE, init, join};
pub use key_source::KeySourceError;
pub use server::{Cause, ServeError, Server, StartError, StopError, serve};
