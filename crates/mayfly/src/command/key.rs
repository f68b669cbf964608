//! `mayfly key …`

use clap::Subcommand;
use mayfly_core::{IssuerId, Name};
use mayfly_server::protocol::{AdminRequest, ApiKey, CreateKey};
use mayfly_store::directory::{KeyId, MerchantEntryId, Role};

use crate::admin::{Admin, PageArgs, answered, more};
use crate::failure::Outcome;
use crate::output::Output;
use crate::place::Place;
use crate::table::{Table, pairs};

/// Make, rotate and revoke keys for the HTTP API
#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Make a key; it is shown this once
    Create {
        /// What it is for: up to 40 characters
        #[arg(value_parser = Name::parse)]
        label: Name,
        /// What its holder may do: operator, issuer, merchant, gateway or auditor
        #[arg(long, value_parser = role)]
        role: Role,
        /// On whose things; every role but operator needs it
        #[arg(long, value_parser = IssuerId::parse, required_if_eq_any = NEEDS_ISSUER)]
        issuer: Option<IssuerId>,
        /// For which merchant's payments; the role merchant needs it, and only that
        #[arg(long, value_parser = MerchantEntryId::parse, required_if_eq("role", "merchant"))]
        merchant: Option<MerchantEntryId>,
        /// How long it is good, in days; for good if not said
        #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=3650))]
        days: Option<u32>,
    },
    /// List the keys of an issuer, or of the operators
    List {
        /// Of which issuer; of the operators if not said
        #[arg(long, value_parser = IssuerId::parse)]
        issuer: Option<IssuerId>,
        #[command(flatten)]
        page: PageArgs,
    },
    /// Let a new key come in the place of another one, which stays valid for a while
    Rotate {
        /// Its id, key_1 for example
        #[arg(value_parser = KeyId::parse)]
        key: KeyId,
        /// Of which issuer; of the operators if not said
        #[arg(long, value_parser = IssuerId::parse)]
        issuer: Option<IssuerId>,
        /// How long the old one stays valid, in minutes
        #[arg(long, value_name = "MINUTES", default_value_t = 60, value_parser = clap::value_parser!(u32).range(0..=43_200))]
        overlap: u32,
    },
    /// Make a key invalid, at once and for good
    Revoke {
        /// Its id, key_1 for example
        #[arg(value_parser = KeyId::parse)]
        key: KeyId,
        /// Of which issuer; of the operators if not said
        #[arg(long, value_parser = IssuerId::parse)]
        issuer: Option<IssuerId>,
    },
}

/// The roles that are for one issuer's things.
const NEEDS_ISSUER: [(&str, &str); 4] =
    [("role", "issuer"), ("role", "merchant"), ("role", "gateway"), ("role", "auditor")];

fn role(text: &str) -> Result<Role, String> {
    Role::parse(text)
        .ok_or_else(|| "the roles are operator, issuer, merchant, gateway and auditor".to_owned())
}

impl KeyCommand {
    /// Runs it.
    pub(crate) fn run(self, place: &Place, output: Output) -> Outcome {
        let mut admin = Admin::connect(place)?;
        let request = match self {
            Self::List { issuer, page } => {
                let request = AdminRequest::ListKeys { issuer, page: page.page() };
                let keys = answered!(admin.ask(request)?, Keys)?;
                return output.either(&keys, || {
                    let mut table = Table::new(["key", "role", "label", "begins with", "state"]);
                    for key in &keys.items {
                        let (id, role) = (key.id.to_string(), key.role.to_string());
                        table.row([id, role, key.label.to_string(), key.hint.clone(), state(key)]);
                    }
                    let none = match issuer {
                        Some(_) => "no keys yet: mayfly key create LABEL --role ROLE --issuer ISSUER",
                        None => {
                            "no keys of operators; for those of an issuer: mayfly key list --issuer ISSUER"
                        }
                    };
                    table.lines_or(none) + &more(keys.next.as_ref())
                });
            }
            Self::Revoke { key, issuer } => {
                let key = answered!(admin.ask(AdminRequest::RevokeKey { key, issuer })?, Key)?;
                return output.either(&key, || pairs(&shown(&key)));
            }
            Self::Create { label, role, issuer, merchant, days } => {
                let lifetime_s = days.map(|days| u64::from(days) * 86_400);
                let new = CreateKey { role, issuer, merchant, label, lifetime_s };
                AdminRequest::CreateKey(Box::new(new))
            }
            Self::Rotate { key, issuer, overlap } => {
                AdminRequest::RotateKey { key, issuer, overlap_s: u64::from(overlap) * 60 }
            }
        };
        let given = answered!(admin.ask(request)?, KeyGiven)?;
        output.either(&given, || {
            let mut lines = shown(&given.key);
            lines.push(("Bearer", given.token.expose().to_owned()));
            pairs(&lines) + "\nThe key is shown this once: keep it where only its holder can read it.\n"
        })
    }
}

fn shown(key: &ApiKey) -> Vec<(&'static str, String)> {
    let mut lines = vec![("key", key.id.to_string()), ("role", key.role.to_string())];
    lines.extend(key.issuer.map(|issuer| ("issuer", issuer.to_string())));
    lines.extend(key.merchant.map(|merchant| ("merchant", merchant.to_string())));
    lines.push(("label", key.label.to_string()));
    lines.push(("state", state(key)));
    lines
}

fn state(key: &ApiKey) -> String {
    match (key.revoked, key.replaced_by, key.expires) {
        (Some(at), _, _) => format!("revoked {at}"),
        (None, Some(by), Some(until)) => format!("replaced by {by}, good until {until}"),
        (None, None, Some(until)) => format!("good until {until}"),
        (None, by, None) => by.map_or_else(|| "good".to_owned(), |by| format!("replaced by {by}")),
    }
}
