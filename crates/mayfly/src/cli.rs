//! The command line: every command and option, and what runs it.

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::command::{
    account, bench, card, copy, demo, init, inspect, issuer, journal, key, keys, lab, number, programme,
    retention, send, serve, shell, status, transaction, wallet,
};
use crate::failure::Outcome;
use crate::output::Output;
use crate::place::Place;

const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  refused, or what was checked did not hold
  2  the command line or the configuration is wrong
  3  the server, the peer or the files can't be reached, or can't work now";

/// Card numbers that live for one purchase
///
/// Mayfly runs between a payment network, which it answers over ISO 8583, and a card issuer. `mayfly demo` shows
/// it at work; `mayfly init` and `mayfly serve` run it.
#[derive(Debug, Parser)]
#[command(name = "mayfly", version, after_help = EXIT_CODES, max_term_width = 100, propagate_version = true)]
pub(crate) struct Cli {
    /// Print JSON, for scripts
    #[arg(long, global = true)]
    json: bool,
    #[command(flatten)]
    place: Place,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Demo(demo::Demo),
    Init(init::Init),
    Serve(serve::Serve),
    #[command(subcommand)]
    Issuer(issuer::IssuerCommand),
    #[command(subcommand)]
    Programme(programme::ProgrammeCommand),
    #[command(subcommand)]
    Account(account::AccountCommand),
    #[command(subcommand)]
    Number(number::NumberCommand),
    #[command(subcommand)]
    Card(card::CardCommand),
    #[command(subcommand)]
    Transaction(transaction::TransactionCommand),
    Send(Box<send::Send>),
    Inspect(inspect::Inspect),
    Wallet(Box<wallet::Wallet>),
    #[command(subcommand)]
    Key(key::KeyCommand),
    #[command(subcommand)]
    Keys(keys::KeysCommand),
    #[command(subcommand)]
    Journal(journal::JournalCommand),
    #[command(subcommand)]
    Retention(retention::RetentionCommand),
    /// Show how the server is; exit code 1 if it takes no work
    Status,
    Copy(copy::Copy),
    Bench(Box<bench::Bench>),
    #[command(subcommand)]
    Lab(lab::LabCommand),
    Completions(shell::Completions),
    Man(shell::Man),
}

/// Parses the command line, runs the command, and gives the exit code.
pub(crate) fn run() -> ExitCode {
    // What clap itself finds wrong is exit code 2, and help is 0.
    let Cli { json, place, command } = Cli::parse();
    match command.run(&place, Output::new(json)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(json),
    }
}

impl Command {
    fn run(self, place: &Place, output: Output) -> Outcome {
        match self {
            Self::Demo(demo) => demo.run(output),
            Self::Init(init) => init.run(place, output),
            Self::Serve(serve) => serve.run(place, output),
            Self::Issuer(command) => command.run(place, output),
            Self::Programme(command) => command.run(place, output),
            Self::Account(command) => command.run(place, output),
            Self::Number(command) => command.run(place, output),
            Self::Card(command) => command.run(place, output),
            Self::Transaction(command) => command.run(place, output),
            Self::Send(send) => send.run(place, output),
            Self::Inspect(inspect) => inspect.run(output),
            Self::Wallet(wallet) => wallet.run(output),
            Self::Key(command) => command.run(place, output),
            Self::Keys(command) => command.run(place, output),
            Self::Journal(command) => command.run(place, output),
            Self::Retention(command) => command.run(place, output),
            Self::Status => status::run(place, output),
            Self::Copy(copy) => copy.run(output),
            Self::Bench(bench) => bench.run(output),
            Self::Lab(command) => command.run(output),
            Self::Completions(completions) => completions.run(Cli::command(), output),
            Self::Man(man) => man.run(Cli::command(), output),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_sound() {
        Cli::command().debug_assert();
    }
}
