//! `mayfly issuer …`

use clap::Subcommand;
use mayfly_core::{HostTerms, IssuerId, Name};
use mayfly_server::protocol::{AdminRequest, Issuer};

use crate::admin::{Admin, PageArgs, answered, more};
use crate::failure::Outcome;
use crate::output::Output;
use crate::place::Place;
use crate::table::{Table, pairs};

/// Open and look at issuers
#[derive(Debug, Subcommand)]
pub(crate) enum IssuerCommand {
    /// Open an issuer
    Open {
        /// What it is called: up to 40 characters; no two have the same name
        #[arg(value_parser = Name::parse)]
        name: Name,
    },
    /// List the issuers
    List {
        #[command(flatten)]
        page: PageArgs,
    },
    /// Set by which terms an issuer's host is asked before accounts pay whose money it has; where it is stands in the
    /// configuration
    Host {
        /// Its id, iss_1 for example
        #[arg(value_parser = IssuerId::parse)]
        issuer: IssuerId,
        /// How long its answer is waited for, in milliseconds: 100 to 20000
        #[arg(long, value_name = "MS", default_value_t = HostTerms::default().wait_ms)]
        wait_ms: u32,
        /// Up to this amount we approve in its place when it can't be asked or does not answer, in minor units of the
        /// account's currency (cents, where it has them); 0 for none
        #[arg(long, value_name = "MINOR", default_value_t = 0)]
        stand_in_max: u64,
    },
    /// Show an issuer
    Show {
        /// Its id, iss_1 for example
        #[arg(value_parser = IssuerId::parse)]
        issuer: IssuerId,
    },
}

impl IssuerCommand {
    /// Runs it.
    pub(crate) fn run(self, place: &Place, output: Output) -> Outcome {
        let mut admin = Admin::connect(place)?;
        let request = match self {
            Self::List { page } => {
                let issuers =
                    answered!(admin.ask(AdminRequest::ListIssuers { page: page.page() })?, Issuers)?;
                return output.either(&issuers, || {
                    let mut table = Table::new(["issuer", "name"]);
                    issuers
                        .items
                        .iter()
                        .for_each(|one| table.row([one.id.to_string(), one.name.to_string()]));
                    table.lines_or("no issuers yet: mayfly issuer open NAME") + &more(issuers.next.as_ref())
                });
            }
            Self::Open { name } => AdminRequest::OpenIssuer { name },
            Self::Host { issuer, wait_ms, stand_in_max } => {
                AdminRequest::SetHost { issuer, wait_ms, stand_in_max_minor: stand_in_max }
            }
            Self::Show { issuer } => AdminRequest::ShowIssuer { issuer },
        };
        let issuer: Issuer = answered!(admin.ask(request)?, Issuer)?;
        output.either(&issuer, || {
            let stand_in = match issuer.stand_in_max_minor {
                0 => "never".to_owned(),
                minor => format!("up to {minor} minor units"),
            };
            pairs(&[
                ("issuer", issuer.id.to_string()),
                ("name", issuer.name.to_string()),
                ("host answers within", format!("{} ms", issuer.host_wait_ms)),
                ("we stand in for it", stand_in),
            ])
        })
    }
}
