//! `mayfly transaction …`

use clap::{Args, Subcommand};
use mayfly_core::{AccountId, NumberId, TransactionId};
use mayfly_server::protocol::{AdminRequest, List, MerchantFacts, Transaction};

use crate::admin::{Admin, PageArgs, answered, more};
use crate::failure::Outcome;
use crate::message_view::response_words;
use crate::output::Output;
use crate::place::Place;
use crate::table::{Table, pairs};

/// Look at what was bought, declined, reversed and refunded
#[derive(Debug, Subcommand)]
pub(crate) enum TransactionCommand {
    /// List transactions, the latest first
    List {
        #[command(flatten)]
        whose: Whose,
        #[command(flatten)]
        page: PageArgs,
    },
    /// Show a transaction: what was answered, exactly why, and what it changed
    Show {
        /// Its id, txn_1 for example
        #[arg(value_parser = TransactionId::parse)]
        transaction: TransactionId,
    },
}

/// Of which account, or with which number.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Whose {
    /// Of this account
    #[arg(long, value_name = "ID", value_parser = AccountId::parse)]
    account: Option<AccountId>,
    /// With this number
    #[arg(long, value_name = "ID", value_parser = NumberId::parse)]
    number: Option<NumberId>,
}

impl TransactionCommand {
    /// Runs it.
    pub(crate) fn run(self, place: &Place, output: Output) -> Outcome {
        let mut admin = Admin::connect(place)?;
        match self {
            Self::List { whose: Whose { account, number }, page } => {
                let request = AdminRequest::ListTransactions { account, number, page: page.page() };
                let found = answered!(admin.ask(request)?, Transactions)?;
                output.either(&found, || list(&found))
            }
            Self::Show { transaction } => {
                let request = AdminRequest::ShowTransaction { transaction };
                let found = answered!(admin.ask(request)?, Transaction)?;
                output.either(&found, || show(&found))
            }
        }
    }
}

fn list(found: &List<Transaction>) -> String {
    let mut table = Table::new(["transaction", "time", "kind", ">amount", "merchant", "answer", "reason"]);
    for one in &found.items {
        table.row([
            one.id.to_string(),
            one.time.to_string(),
            one.kind.name().into(),
            one.amount.to_string(),
            one.merchant.as_ref().map(|merchant| merchant.id.to_string()).unwrap_or_default(),
            one.response.clone(),
            one.reason.clone(),
        ]);
    }
    table.lines_or("no transactions yet") + &more(found.next.as_ref())
}

fn show(transaction: &Transaction) -> String {
    let mut lines = vec![
        ("transaction", transaction.id.to_string()),
        ("time", transaction.time.to_string()),
        ("kind", transaction.kind.name().to_owned()),
        ("amount", transaction.amount.to_string()),
        ("answer", response_words(&transaction.response)),
        ("reason", transaction.reason.clone()),
    ];
    let message = Some(transaction.message.clone()).filter(|message| !message.is_empty());
    let optional = [
        ("message", message),
        ("approval code", transaction.approval.clone()),
        ("number", transaction.number.map(|id| id.to_string())),
        ("account", transaction.account.map(|id| id.to_string())),
        ("belongs to", transaction.target.map(|id| id.to_string())),
    ];
    lines.extend(optional.into_iter().filter_map(|(name, value)| Some((name, value?))));
    if let Some(merchant) = &transaction.merchant {
        lines.extend(of_merchant(merchant));
    }
    let shown = |minor| transaction.amount.currency.show(minor);
    if let Some(standing) = &transaction.standing {
        lines.extend([
            ("authorised", shown(standing.authorised)),
            ("still held", shown(standing.held)),
            ("captured", shown(standing.captured)),
            ("refunded", shown(standing.refunded)),
        ]);
    }
    let mut text = pairs(&lines);
    if !transaction.entries.is_empty() {
        let mut table = Table::new(["book", ">amount"]);
        for entry in &transaction.entries {
            table.row([entry.book.clone(), shown(entry.minor)]);
        }
        text += "\nin the books\n";
        text += &table.lines();
    }
    text
}

fn of_merchant(merchant: &MerchantFacts) -> Vec<(&'static str, String)> {
    let lines = [
        ("merchant", Some(merchant.id.to_string())),
        ("category", merchant.mcc.map(|mcc| mcc.to_string())),
        ("country", merchant.country.map(|country| country.to_string())),
        ("terminal", Some(merchant.terminal.to_string())),
        ("acquirer", Some(merchant.acquirer.to_string())),
        ("STAN", Some(merchant.stan.to_string())),
        ("RRN", Some(merchant.rrn.to_string())),
        ("entry mode", Some(format!("{:03}", merchant.entry_mode.value()))),
    ];
    lines
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.filter(|value| !value.is_empty())?)))
        .collect()
}
