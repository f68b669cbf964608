//! `mayfly programme …`

use clap::{Args, Subcommand, ValueEnum};
use mayfly_card::{Layout, Pan, Prefix};
use mayfly_core::{IssuerId, Name, ProgrammeId};
use mayfly_server::protocol::{AdminRequest, FailedControl, Includes, OpenProgramme, Programme, TermsAsked};

use super::check_site::{self, CheckSiteArgs};
use crate::admin::{Admin, PageArgs, answered, more};
use crate::duration::{parse_ms, show_ms};
use crate::failure::{Failure, Outcome};
use crate::output::Output;
use crate::place::Place;
use crate::table::{Table, pairs};

/// Open and look at programmes: number ranges with their terms
#[derive(Debug, Subcommand)]
pub(crate) enum ProgrammeCommand {
    /// Open a programme
    Open(Box<Open>),
    /// List the programmes
    List {
        /// Only of this issuer
        #[arg(long, value_name = "ID", value_parser = IssuerId::parse)]
        issuer: Option<IssuerId>,
        #[command(flatten)]
        page: PageArgs,
    },
    /// Show a programme with its terms
    Show {
        /// Its id, prog_1 for example
        #[arg(value_parser = ProgrammeId::parse)]
        programme: ProgrammeId,
    },
}

/// The terms of a new programme. What is not given has its default, which `programme show` tells.
#[derive(Debug, Args)]
pub(crate) struct Open {
    /// Whose programme it is
    #[arg(long, value_name = "ID", value_parser = IssuerId::parse)]
    issuer: IssuerId,
    /// What it is called
    #[arg(value_parser = Name::parse)]
    name: Name,
    /// The digits at which its numbers begin, 456940 for example
    #[arg(long, value_name = "DIGITS", value_parser = Prefix::parse)]
    prefix: Prefix,
    /// The digits of network, issuer, holder, transaction and MAC, 1+5+0+9+0 for example
    #[arg(long, value_parser = Layout::parse)]
    layout: Option<Layout>,
    /// How long a number is good if nothing else is asked [default: 15m]
    #[arg(long, value_name = "TIME", value_parser = parse_ms)]
    lifetime: Option<u64>,
    /// How long a number may be good at the most [default: 24h; 3660d for cards]
    #[arg(long, value_name = "TIME", value_parser = parse_ms)]
    lifetime_max: Option<u64>,
    /// How many uses may be asked for at the most [default: 1000]
    #[arg(long, value_name = "COUNT")]
    uses_max: Option<u32>,
    /// How far ahead the printed expiration date may lie [default: 36]
    #[arg(long, value_name = "MONTHS")]
    expiry_months: Option<u16>,
    /// How long a number stays out of use after its last use [default: 13]
    #[arg(long, value_name = "MONTHS")]
    quarantine_months: Option<u16>,
    /// How many active numbers an account may have [default: 100]
    #[arg(long, value_name = "COUNT")]
    active_max: Option<u32>,
    /// The largest amount of one purchase, in minor units (cents)
    #[arg(long, value_name = "MINOR")]
    amount_max: Option<u64>,
    /// How much more than authorised may be completed [default: 0]
    #[arg(long, value_name = "PERCENT")]
    tolerance: Option<f64>,
    /// How long an authorisation waits for its completion [default: 7]
    #[arg(long, value_name = "DAYS")]
    hold_days: Option<u16>,
    /// The first completion gives the rest of the hold back
    #[arg(long)]
    single_completion: bool,
    /// What a purchase over a limit or without funds does to its number [default: keep-usable]
    #[arg(long, value_enum, value_name = "WHAT")]
    failed_control: Option<FailedControlArg>,
    /// Of what its numbers have a part, in the holder digits of their layout [default: nothing]
    #[arg(long, value_enum, value_name = "WHAT")]
    includes: Option<IncludesArg>,
    /// Purchases may be simulated
    #[arg(long)]
    sandbox: bool,
    /// A number that everybody of the programme shares, and that alone authorises nothing
    #[arg(long, value_name = "NUMBER", value_parser = universal)]
    universal: Option<Pan>,
    #[command(flatten)]
    check_site: CheckSiteArgs,
}

/// What a failed control does to a number.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum FailedControlArg {
    /// It stays usable for two more tries
    KeepUsable,
    /// It is used up at once
    UseUp,
}

/// Of what a programme's numbers have a part.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum IncludesArg {
    /// All digits after the prefix are drawn
    Nothing,
    /// The last digits of the cardholder's own number
    OwnNumber,
    /// The same digits of the universal number
    UniversalNumber,
}

fn universal(text: &str) -> Result<Pan, String> {
    Pan::parse(text.as_bytes()).map_err(|error| error.to_string())
}

impl ProgrammeCommand {
    /// Runs it.
    pub(crate) fn run(self, place: &Place, output: Output) -> Outcome {
        let request = match self {
            Self::List { issuer, page } => {
                let request = AdminRequest::ListProgrammes { issuer, page: page.page() };
                let found = answered!(Admin::connect(place)?.ask(request)?, Programmes)?;
                return output.either(&found, || {
                    let mut table =
                        Table::new(["programme", "issuer", "name", "prefix", "lifetime", "universal"]);
                    for one in &found.items {
                        table.row([
                            one.id.to_string(),
                            one.issuer.to_string(),
                            one.name.to_string(),
                            one.terms.prefix.to_string(),
                            time(one.terms.lifetime_s),
                            one.universal.clone().unwrap_or_default(),
                        ]);
                    }
                    let empty = "no programmes yet: mayfly programme open NAME --issuer ID --prefix DIGITS";
                    table.lines_or(empty) + &more(found.next.as_ref())
                });
            }
            Self::Open(open) => AdminRequest::OpenProgramme(Box::new(open.request()?)),
            Self::Show { programme } => AdminRequest::ShowProgramme { programme },
        };
        let programme = answered!(Admin::connect(place)?.ask(request)?, Programme)?;
        output.either(&programme, || show(&programme))
    }
}

impl Open {
    fn request(self) -> Outcome<OpenProgramme> {
        let terms = TermsAsked {
            prefix: self.prefix,
            layout: self.layout,
            lifetime_s: seconds("--lifetime", self.lifetime)?,
            lifetime_max_s: seconds("--lifetime-max", self.lifetime_max)?,
            uses_max: self.uses_max,
            expiry_months: self.expiry_months,
            quarantine_months: self.quarantine_months,
            active_max: self.active_max,
            amount_max_minor: self.amount_max,
            tolerance_percent: self.tolerance,
            hold_days: self.hold_days,
            single_completion: self.single_completion.then_some(true),
            failed_control: self.failed_control.map(|asked| match asked {
                FailedControlArg::KeepUsable => FailedControl::KeepUsable,
                FailedControlArg::UseUp => FailedControl::UseUp,
            }),
            includes: self.includes.map(|asked| match asked {
                IncludesArg::Nothing => Includes::Nothing,
                IncludesArg::OwnNumber => Includes::OwnNumber,
                IncludesArg::UniversalNumber => Includes::UniversalNumber,
            }),
            sandbox: self.sandbox.then_some(true),
            check_site: self.check_site.asked()?.map(Box::new),
        };
        Ok(OpenProgramme { issuer: self.issuer, name: self.name, terms, universal: self.universal })
    }
}

/// Whole seconds of a length of time.
pub(crate) fn seconds(option: &str, ms: Option<u64>) -> Outcome<Option<u64>> {
    match ms {
        Some(ms) if ms % 1000 != 0 => Err(Failure::Usage(format!("{option} is a whole number of seconds"))),
        ms => Ok(ms.map(|ms| ms / 1000)),
    }
}

fn time(seconds: Option<u64>) -> String {
    seconds.map(|seconds| show_ms(seconds.saturating_mul(1000))).unwrap_or_default()
}

fn show(programme: &Programme) -> String {
    let Programme { id, issuer, name, terms, universal } = programme;
    let count = |value: Option<u32>| value.map(|value| value.to_string()).unwrap_or_default();
    let months = |value: Option<u16>| value.map(|value| format!("{value} months")).unwrap_or_default();
    let mut lines = vec![
        ("programme", id.to_string()),
        ("issuer", issuer.to_string()),
        ("name", name.to_string()),
        ("prefix", terms.prefix.to_string()),
        ("layout", terms.layout.as_ref().map(ToString::to_string).unwrap_or_default()),
        ("universal number", universal.clone().unwrap_or_else(|| "none".into())),
        ("lifetime", time(terms.lifetime_s)),
        ("longest lifetime", time(terms.lifetime_max_s)),
        ("most uses", count(terms.uses_max)),
        ("expiration date", months(terms.expiry_months)),
        ("quarantine", months(terms.quarantine_months)),
        ("active numbers", count(terms.active_max)),
        (
            "largest amount",
            terms.amount_max_minor.map(|minor| format!("{minor} minor units")).unwrap_or_default(),
        ),
        ("tolerance", terms.tolerance_percent.map(|percent| format!("{percent} %")).unwrap_or_default()),
        ("hold", terms.hold_days.map(|days| format!("{days} days")).unwrap_or_default()),
        ("single completion", if terms.single_completion == Some(true) { "yes".into() } else { "no".into() }),
        (
            "failed control",
            match terms.failed_control {
                Some(FailedControl::UseUp) => "use-up".into(),
                _ => "keep-usable".into(),
            },
        ),
        (
            "numbers include",
            match terms.includes {
                Some(Includes::OwnNumber) => "own-number".into(),
                Some(Includes::UniversalNumber) => "universal-number".into(),
                _ => "nothing".into(),
            },
        ),
        ("sandbox", if terms.sandbox == Some(true) { "yes".into() } else { "no".into() }),
    ];
    lines.extend(terms.check_site.as_deref().into_iter().flat_map(check_site::lines));
    pairs(&lines)
}
