//! The binary `mayfly`: the command line, the server's process, and the demonstration.
//!
//! Whatever changes something goes through the admin socket of a running server; only `journal` reads a file of
//! its, and only reads. Results go to standard output through [`output`], what went wrong to standard error as
//! one sentence.

mod admin;
mod cli;
mod command;
mod dialect;
mod duration;
mod failure;
mod message_view;
mod output;
mod peer;
mod place;
mod secret;
mod table;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
