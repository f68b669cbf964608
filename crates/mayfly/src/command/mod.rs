//! One module for each group of commands.

pub(crate) mod account;
pub(crate) mod bench;
pub(crate) mod card;
pub(crate) mod check_site;
pub(crate) mod copy;
pub(crate) mod demo;
pub(crate) mod init;
pub(crate) mod inspect;
pub(crate) mod issuer;
pub(crate) mod journal;
pub(crate) mod key;
pub(crate) mod keys;
pub(crate) mod lab;
pub(crate) mod number;
pub(crate) mod programme;
pub(crate) mod retention;
pub(crate) mod send;
pub(crate) mod serve;
pub(crate) mod shell;
pub(crate) mod status;
pub(crate) mod transaction;
pub(crate) mod wallet;
