//! The check site's terms of a programme: as options, and as they are shown.

use clap::{Args, ValueEnum};
use mayfly_card::MerchantId;
use mayfly_server::protocol::{CardKind, CheckSite, MacField};

use super::programme::seconds;
use crate::duration::{parse_ms, show_ms};
use crate::failure::{Failure, Outcome};

/// The check site's terms. What is not given has its default, which `programme show` tells.
#[derive(Debug, Args)]
pub(crate) struct CheckSiteArgs {
    /// Its numbers are cards of the check site, which each purchase proves itself for: merchants get pseudo numbers, or the
    /// cards' own
    #[arg(long, value_enum, value_name = "NUMBERS", help_heading = "Cards of the check site")]
    check_site: Option<NumbersArg>,
    /// By which processes a card's key may be made, of 0, 1, 2 and 3 [default: 2]
    #[arg(
        long,
        value_name = "DIGITS",
        value_delimiter = ',',
        requires = "check_site",
        help_heading = "Cards of the check site"
    )]
    processes: Vec<u8>,
    /// Among how many months pseudo expiration dates lie [default: 96]
    #[arg(long, value_name = "COUNT", requires = "check_site", help_heading = "Cards of the check site")]
    months: Option<u8>,
    /// How many months ahead merchants' forms accept a date [default: 120]
    #[arg(long, value_name = "COUNT", requires = "check_site", help_heading = "Cards of the check site")]
    furthest_months: Option<u16>,
    /// How long a wallet's purchase is expected if nothing else is asked [default: 15m]
    #[arg(long, value_name = "TIME", value_parser = parse_ms, requires = "check_site", help_heading = "Cards of the check site")]
    etsn_lifetime: Option<u64>,
    /// How long it may be expected at the most [default: 24h]
    #[arg(long, value_name = "TIME", value_parser = parse_ms, requires = "check_site", help_heading = "Cards of the check site")]
    etsn_lifetime_max: Option<u64>,
    /// How many purchases of a card may be open at a time [default: 3]
    #[arg(long, value_name = "COUNT", requires = "check_site", help_heading = "Cards of the check site")]
    open_max: Option<u8>,
    /// How many failed proofs within 24 hours lock a card [default: 3]
    #[arg(long, value_name = "COUNT", requires = "check_site", help_heading = "Cards of the check site")]
    lock_after: Option<u8>,
    /// Which versions of the wallet count: the oldest and the newest [default: 1-1]
    #[arg(long, value_name = "FROM-TO", value_parser = versions, requires = "check_site", help_heading = "Cards of the check site")]
    wallet_versions: Option<(u8, u8)>,
    /// The wallet need not say what a purchase may come to
    #[arg(long, requires = "check_site", help_heading = "Cards of the check site")]
    amount_optional: bool,
    /// The wallet must say at which merchant
    #[arg(long, requires = "check_site", help_heading = "Cards of the check site")]
    merchant_required: bool,
    /// What MAC fields say of their origin: server, method and key; or none [default: 0/0/0]
    #[arg(long, value_name = "ACS/METHOD/KEY", value_parser = mac_field, requires = "check_site", help_heading = "Cards of the check site")]
    mac_field: Option<MacField>,
    /// Merchants whose messages have a MAC field: a date alone is declined there
    #[arg(long, value_name = "ID", value_delimiter = ',', value_parser = MerchantId::parse, requires = "check_site", help_heading = "Cards of the check site")]
    field_merchant: Vec<MerchantId>,
}

/// What merchants get for a card's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum NumbersArg {
    /// One in its place
    Pseudo,
    /// Its own
    Own,
}

fn versions(text: &str) -> Result<(u8, u8), String> {
    let wrong = || "write the oldest and the newest version, as in 1-2".to_owned();
    let (oldest, newest) = text.split_once('-').unwrap_or((text, text));
    Ok((oldest.parse().map_err(|_| wrong())?, newest.parse().map_err(|_| wrong())?))
}

fn mac_field(text: &str) -> Result<MacField, String> {
    if text == "none" {
        return Ok(MacField::None);
    }
    let parts: Option<Vec<u8>> = text.split('/').map(|part| part.parse().ok()).collect();
    match parts.as_deref() {
        Some(&[acs, method, key]) => Ok(MacField::Origin { acs, method, key }),
        _ => Err("write server, method and key, as in 0/0/0; or none".to_owned()),
    }
}

impl CheckSiteArgs {
    pub(super) fn asked(self) -> Outcome<Option<CheckSite>> {
        let Some(numbers) = self.check_site else { return Ok(None) };
        let (etsn_lifetime_s, etsn_lifetime_max_s) = (
            seconds("--etsn-lifetime", self.etsn_lifetime)?,
            seconds("--etsn-lifetime-max", self.etsn_lifetime_max)?,
        );
        if numbers == NumbersArg::Own && !self.processes.is_empty() {
            let why =
                "--processes is for pseudo numbers: where cards have their own, there is one process only";
            return Err(Failure::Usage(why.to_owned()));
        }
        Ok(Some(CheckSite {
            numbers: match numbers {
                NumbersArg::Pseudo => CardKind::Pseudo,
                NumbersArg::Own => CardKind::Own,
            },
            processes: Some(self.processes).filter(|some| !some.is_empty()),
            months: self.months,
            furthest_months: self.furthest_months,
            etsn_lifetime_s,
            etsn_lifetime_max_s,
            open_max: self.open_max,
            lock_after: self.lock_after,
            versions: self.wallet_versions,
            amount_required: self.amount_optional.then_some(false),
            merchant_required: self.merchant_required.then_some(true),
            mac_field: self.mac_field,
            field_merchants: self.field_merchant,
        }))
    }
}

/// The lines of `programme show`.
pub(super) fn lines(terms: &CheckSite) -> Vec<(&'static str, String)> {
    let count = |value: Option<u8>| value.map(|value| value.to_string()).unwrap_or_default();
    let time = |seconds: Option<u64>| {
        seconds.map(|seconds| show_ms(seconds.saturating_mul(1000))).unwrap_or_default()
    };
    let list = |items: Vec<String>| if items.is_empty() { "none".to_owned() } else { items.join(", ") };
    let yes = |value: Option<bool>| if value == Some(true) { "yes" } else { "no" }.to_owned();
    let processes = terms.processes.iter().flatten().map(ToString::to_string).collect();
    vec![
        ("check site", format!("{} numbers", terms.numbers.name())),
        ("key processes", list(processes)),
        ("months", count(terms.months)),
        ("furthest months", terms.furthest_months.map(|months| months.to_string()).unwrap_or_default()),
        ("ETSN lifetime", time(terms.etsn_lifetime_s)),
        ("longest ETSN lifetime", time(terms.etsn_lifetime_max_s)),
        ("open purchases", count(terms.open_max)),
        ("lock after", terms.lock_after.map(|misses| format!("{misses} failed proofs")).unwrap_or_default()),
        ("wallet versions", terms.versions.map(|(from, to)| format!("{from}-{to}")).unwrap_or_default()),
        ("amount required", yes(terms.amount_required)),
        ("merchant required", yes(terms.merchant_required)),
        (
            "MAC field",
            match terms.mac_field {
                Some(MacField::Origin { acs, method, key }) => format!("{acs}/{method}/{key}"),
                _ => "none".into(),
            },
        ),
        ("merchants with a MAC field", list(terms.field_merchants.iter().map(ToString::to_string).collect())),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_and_origins_are_read() {
        assert_eq!((versions("1-2"), versions("3")), (Ok((1, 2)), Ok((3, 3))));
        assert!(versions("1-").is_err() && versions("x").is_err() && versions("256").is_err());
        assert_eq!(mac_field("none"), Ok(MacField::None));
        assert_eq!(mac_field("1/2/3"), Ok(MacField::Origin { acs: 1, method: 2, key: 3 }));
        assert!(mac_field("1/2").is_err() && mac_field("").is_err() && mac_field("1/2/3/4").is_err());
    }
}
