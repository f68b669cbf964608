//! `mayfly issuer …`

use clap::Subcommand;
use mayfly_core::{IssuerId, Name};
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
            Self::Show { issuer } => AdminRequest::ShowIssuer { issuer },
        };
        let issuer: Issuer = answered!(admin.ask(request)?, Issuer)?;
        output.either(&issuer, || {
            pairs(&[("issuer", issuer.id.to_string()), ("name", issuer.name.to_string())])
        })
    }
}
