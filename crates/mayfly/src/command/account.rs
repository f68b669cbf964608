//! `mayfly account …`

use clap::{Args, Subcommand};
use mayfly_card::{Channel, Currency};
use mayfly_core::{AccountId, IssuerId};
use mayfly_server::protocol::{Account, AccountLimit, AdminRequest};

use super::send::compose::{currency, example};
use crate::admin::{Admin, PageArgs, answered, more};
use crate::failure::{Failure, Outcome};
use crate::output::Output;
use crate::place::Place;
use crate::table::{Table, pairs};

/// Open, fund, limit and block cardholders' accounts
#[derive(Debug, Subcommand)]
pub(crate) enum AccountCommand {
    /// Open an account
    Open {
        /// With which issuer
        #[arg(long, value_name = "ID", value_parser = IssuerId::parse)]
        issuer: IssuerId,
        /// In which currency
        #[arg(long, value_name = "LETTERS", value_parser = currency)]
        currency: Currency,
        #[command(flatten)]
        limit: LimitArgs,
        /// The issuer's host has the money: it is asked before each purchase, and told what becomes of it
        #[arg(long, conflicts_with_all = ["prepaid", "credit"])]
        issuer_host: bool,
    },
    /// List the accounts
    List {
        /// Only of this issuer
        #[arg(long, value_name = "ID", value_parser = IssuerId::parse)]
        issuer: Option<IssuerId>,
        #[command(flatten)]
        page: PageArgs,
    },
    /// Show an account: balance, holds, limits
    Show {
        /// Its id, acct_1 for example
        #[arg(value_parser = AccountId::parse)]
        account: AccountId,
    },
    /// Set how an account is funded
    Limit {
        /// Its id
        #[arg(value_parser = AccountId::parse)]
        account: AccountId,
        #[command(flatten)]
        limit: LimitArgs,
    },
    /// Pay money in; out, if the amount is negative
    Fund {
        /// Its id
        #[arg(value_parser = AccountId::parse)]
        account: AccountId,
        /// How much in the account's currency, 100.00 for example
        #[arg(allow_hyphen_values = true)]
        amount: String,
    },
    /// Switch a channel off
    Block {
        /// Its id
        #[arg(value_parser = AccountId::parse)]
        account: AccountId,
        /// card-present or card-not-present
        #[arg(value_parser = channel)]
        channel: Channel,
    },
    /// Switch a channel on again
    Unblock {
        /// Its id
        #[arg(value_parser = AccountId::parse)]
        account: AccountId,
        /// card-present or card-not-present
        #[arg(value_parser = channel)]
        channel: Channel,
    },
}

/// How an account is funded.
#[derive(Debug, Args)]
pub(crate) struct LimitArgs {
    /// From what was paid in; this is the default
    #[arg(long, conflicts_with = "credit")]
    prepaid: bool,
    /// Up to this much may be owed
    #[arg(long, value_name = "AMOUNT")]
    credit: Option<String>,
}

impl LimitArgs {
    fn limit(&self, currency: Currency) -> Outcome<AccountLimit> {
        match &self.credit {
            None => Ok(AccountLimit::Prepaid),
            Some(text) => Ok(AccountLimit::Credit { minor: amount(currency, "--credit", text)? }),
        }
    }
}

/// A channel by its name.
pub(crate) fn channel(text: &str) -> Result<Channel, String> {
    Channel::ALL
        .into_iter()
        .find(|channel| channel.name() == text)
        .ok_or_else(|| "there are card-present and card-not-present".to_owned())
}

/// An amount in a currency, in minor units.
pub(crate) fn amount(currency: Currency, what: &str, text: &str) -> Outcome<u64> {
    currency.parse_amount(text).map(|amount| amount.value()).map_err(|_| {
        let (letters, example) = (currency.letters(), example(currency));
        Failure::Usage(format!("{what} {text} is no amount in {letters}: write {example}, for example"))
    })
}

/// An account as it stands.
pub(crate) fn look_up(admin: &mut Admin, account: AccountId) -> Outcome<Account> {
    answered!(admin.ask(AdminRequest::ShowAccount { account })?, Account)
}

impl AccountCommand {
    /// Runs it.
    pub(crate) fn run(self, place: &Place, output: Output) -> Outcome {
        let mut admin = Admin::connect(place)?;
        let request = match self {
            Self::List { issuer, page } => return list(&mut admin, issuer, &page, output),
            Self::Open { issuer, currency, limit, issuer_host } => {
                let limit = if issuer_host { AccountLimit::IssuerHost } else { limit.limit(currency)? };
                AdminRequest::OpenAccount { issuer, currency, limit }
            }
            Self::Show { account } => AdminRequest::ShowAccount { account },
            Self::Limit { account, limit } => {
                if !limit.prepaid && limit.credit.is_none() {
                    return Err(Failure::Usage("say which: --prepaid, or --credit AMOUNT".into()));
                }
                let currency = look_up(&mut admin, account)?.currency;
                AdminRequest::SetLimit { account, limit: limit.limit(currency)? }
            }
            Self::Fund { account, amount: text } => {
                let currency = look_up(&mut admin, account)?.currency;
                let (sign, digits) = text.strip_prefix('-').map_or((1, text.as_str()), |rest| (-1, rest));
                let minor = sign * amount(currency, "amount", digits)?.cast_signed();
                AdminRequest::Fund { account, minor }
            }
            Self::Block { account, channel } => {
                AdminRequest::BlockChannel { account, channel, blocked: true }
            }
            Self::Unblock { account, channel } => {
                AdminRequest::BlockChannel { account, channel, blocked: false }
            }
        };
        let account = answered!(admin.ask(request)?, Account)?;
        output.either(&account, || show(&account))
    }
}

fn list(admin: &mut Admin, issuer: Option<IssuerId>, page: &PageArgs, output: Output) -> Outcome {
    let found = answered!(admin.ask(AdminRequest::ListAccounts { issuer, page: page.page() })?, Accounts)?;
    output.either(&found, || {
        let mut table = Table::new([
            "account",
            "issuer",
            "funded",
            ">balance",
            ">held",
            ">available",
            ">numbers",
            "blocked",
        ]);
        for one in &found.items {
            table.row([
                one.id.to_string(),
                one.issuer.to_string(),
                funded(one),
                one.balance.to_string(),
                one.held.to_string(),
                one.available.to_string(),
                one.active_numbers.to_string(),
                blocked(one),
            ]);
        }
        let empty = "no accounts yet: mayfly account open --issuer ID --currency USD";
        table.lines_or(empty) + &more(found.next.as_ref())
    })
}

fn funded(account: &Account) -> String {
    match account.limit {
        AccountLimit::Prepaid => "prepaid".into(),
        AccountLimit::IssuerHost => "issuer host".into(),
        // A limit has at most twelve digits.
        AccountLimit::Credit { minor } => format!("credit {}", account.currency.show(minor.cast_signed())),
    }
}

fn blocked(account: &Account) -> String {
    account.blocked_channels.iter().map(|channel| channel.name()).collect::<Vec<_>>().join(", ")
}

fn show(account: &Account) -> String {
    let blocked = Some(blocked(account)).filter(|blocked| !blocked.is_empty());
    pairs(&[
        ("account", account.id.to_string()),
        ("issuer", account.issuer.to_string()),
        ("funded", funded(account)),
        ("balance", account.balance.to_string()),
        ("held", account.held.to_string()),
        ("available", account.available.to_string()),
        ("active numbers", account.active_numbers.to_string()),
        ("blocked channels", blocked.unwrap_or_else(|| "none".into())),
    ])
}
