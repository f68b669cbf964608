//! `mayfly number …`

use clap::{Args, Subcommand, ValueEnum};
use mayfly_card::{Channel, Country, Currency, Expiry, Mcc, MerchantId};
use mayfly_core::{AccountId, NumberId, ProgrammeId};
use mayfly_server::protocol::{
    AdminRequest, IssueNumber, Issued, Merchant, Number, NumberControls, NumberState,
};

use super::account::{amount, channel, look_up};
use super::programme::seconds;
use super::send::compose::currency;
use crate::admin::{Admin, PageArgs, answered, more};
use crate::duration::parse_ms;
use crate::failure::Outcome;
use crate::output::Output;
use crate::place::Place;
use crate::table::{Table, pairs};

/// Issue, look at and cancel one-time numbers
#[derive(Debug, Subcommand)]
pub(crate) enum NumberCommand {
    /// Issue a number: the only time that it is shown whole
    Issue(Box<Issue>),
    /// Show a number, masked
    Show {
        /// Its id, num_1 for example
        #[arg(value_parser = NumberId::parse)]
        number: NumberId,
    },
    /// Cancel a number that is not wanted any more
    Cancel {
        /// Its id
        #[arg(value_parser = NumberId::parse)]
        number: NumberId,
    },
    /// List an account's numbers, masked, the latest first
    List {
        /// Whose numbers
        #[arg(long, value_name = "ID", value_parser = AccountId::parse)]
        account: AccountId,
        /// Only those in this state
        #[arg(long, value_enum)]
        state: Option<StateArg>,
        #[command(flatten)]
        page: PageArgs,
    },
}

/// The number that is wanted.
#[derive(Debug, Args)]
pub(crate) struct Issue {
    /// Whose purchases it will make
    #[arg(long, value_name = "ID", value_parser = AccountId::parse)]
    account: AccountId,
    /// By whose terms; needed where the issuer has several programmes
    #[arg(long, value_name = "ID", value_parser = ProgrammeId::parse)]
    programme: Option<ProgrammeId>,
    /// How often it may be used [default: 1]
    #[arg(long, value_name = "COUNT")]
    uses: Option<u32>,
    /// How long it is good; the programme's default if not given
    #[arg(long, value_name = "TIME", value_parser = parse_ms)]
    lifetime: Option<u64>,
    /// The largest amount of one purchase, in the account's currency
    #[arg(long, value_name = "AMOUNT")]
    amount_max: Option<String>,
    /// The largest sum of all purchases, in the account's currency
    #[arg(long, value_name = "AMOUNT")]
    total_max: Option<String>,
    /// Purchases in this currency only
    #[arg(long, value_name = "LETTERS", value_parser = currency)]
    currency: Option<Currency>,
    /// For this merchant only (DE 42)
    #[arg(long, value_name = "ID", value_parser = MerchantId::parse)]
    merchant: Option<MerchantId>,
    /// For the first merchant only whose purchase is approved
    #[arg(long, conflicts_with = "merchant")]
    first_merchant: bool,
    /// In this channel only: card-present or card-not-present
    #[arg(long, value_parser = channel)]
    channel: Option<Channel>,
    /// Only these merchant categories
    #[arg(long, value_name = "DIGITS", value_delimiter = ',', value_parser = Mcc::parse)]
    mcc: Vec<Mcc>,
    /// None of these merchant categories
    #[arg(long, value_name = "DIGITS", value_delimiter = ',', value_parser = Mcc::parse)]
    not_mcc: Vec<Mcc>,
    /// Only in these countries, by their numbers
    #[arg(long, value_name = "DIGITS", value_delimiter = ',', value_parser = Country::parse)]
    country: Vec<Country>,
}

/// What becomes of a number.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum StateArg {
    /// It can be used
    Active,
    /// All its uses were used
    Used,
    /// Its lifetime is over
    Expired,
    /// Somebody cancelled it
    Cancelled,
    /// Too many failed tries
    Blocked,
}

impl From<StateArg> for NumberState {
    fn from(state: StateArg) -> Self {
        match state {
            StateArg::Active => Self::Active,
            StateArg::Used => Self::Used,
            StateArg::Expired => Self::Expired,
            StateArg::Cancelled => Self::Cancelled,
            StateArg::Blocked => Self::Blocked,
        }
    }
}

impl NumberCommand {
    /// Runs it.
    pub(crate) fn run(self, place: &Place, output: Output) -> Outcome {
        let mut admin = Admin::connect(place)?;
        let request = match self {
            Self::Issue(issue) => {
                let request = issue.request(&mut admin)?;
                let issued = answered!(admin.ask(AdminRequest::IssueNumber(Box::new(request)))?, Issued)?;
                return output.either(&issued, || hand_out(&issued));
            }
            Self::List { account, state, page } => {
                let state = state.map(NumberState::from);
                let request = AdminRequest::ListNumbers { account, state, page: page.page() };
                let found = answered!(admin.ask(request)?, Numbers)?;
                return output.either(&found, || {
                    let mut table =
                        Table::new(["number", "masked", "state", ">uses left", ">spent", "expires"]);
                    for one in &found.items {
                        table.row([
                            one.id.to_string(),
                            one.masked.clone(),
                            one.state.name().into(),
                            one.uses_left.to_string(),
                            one.spent.to_string(),
                            one.expires.to_string(),
                        ]);
                    }
                    let empty = format!("no such numbers: mayfly number issue --account {account}");
                    table.lines_or(&empty) + &more(found.next.as_ref())
                });
            }
            Self::Show { number } => AdminRequest::ShowNumber { number },
            Self::Cancel { number } => AdminRequest::CancelNumber { number },
        };
        let number = answered!(admin.ask(request)?, Number)?;
        output.either(&number, || show(&number))
    }
}

impl Issue {
    fn request(self, admin: &mut Admin) -> Outcome<IssueNumber> {
        let mut controls = NumberControls {
            amount_max_minor: None,
            total_max_minor: None,
            currency: self.currency,
            merchant: match self.merchant {
                Some(merchant) => Merchant::Fixed(merchant),
                None if self.first_merchant => Merchant::FirstUse,
                None => Merchant::Any,
            },
            mcc_allowed: self.mcc,
            mcc_refused: self.not_mcc,
            countries: self.country,
            channel: self.channel,
        };
        if self.amount_max.is_some() || self.total_max.is_some() {
            let currency = look_up(admin, self.account)?.currency;
            let minor =
                |option, text: Option<&String>| text.map(|text| amount(currency, option, text)).transpose();
            controls.amount_max_minor = minor("--amount-max", self.amount_max.as_ref())?;
            controls.total_max_minor = minor("--total-max", self.total_max.as_ref())?;
        }
        Ok(IssueNumber {
            account: self.account,
            programme: self.programme,
            uses: self.uses,
            lifetime_s: seconds("--lifetime", self.lifetime)?,
            controls,
        })
    }
}

/// The number whole: for the one who ordered it, this once.
fn hand_out(issued: &Issued) -> String {
    let digits = issued.number.as_str();
    let groups: Vec<&str> =
        (0..digits.len()).step_by(4).filter_map(|at| digits.get(at..digits.len().min(at + 4))).collect();
    let expiry = issued.expiry.expose();
    let expiry = match Expiry::parse_mmyy(expiry) {
        Ok(_) => format!("{}/{}", &expiry[..2], &expiry[2..]),
        Err(_) => expiry.to_owned(),
    };
    pairs(&[
        ("number", groups.join(" ")),
        ("expiration date", expiry),
        ("CVC2", issued.cvc2.expose().to_owned()),
        ("good until", issued.expires.to_string()),
        ("id", issued.id.to_string()),
    ])
}

fn show(number: &Number) -> String {
    let mut lines = vec![
        ("number", number.id.to_string()),
        ("masked", number.masked.clone()),
        ("account", number.account.to_string()),
        ("programme", number.programme.to_string()),
        ("state", number.state.name().to_owned()),
        ("uses left", number.uses_left.to_string()),
        ("spent", number.spent.to_string()),
        ("expires", number.expires.to_string()),
    ];
    let optional = [
        ("issued", number.issued.map(|time| time.to_string())),
        ("retired", number.retired.map(|time| time.to_string())),
        ("bound to merchant", number.bound_to.map(|merchant| merchant.to_string())),
    ];
    lines.extend(optional.into_iter().filter_map(|(name, value)| Some((name, value?))));
    lines.extend(controls(number));
    pairs(&lines)
}

fn controls(number: &Number) -> Vec<(&'static str, String)> {
    let NumberControls {
        amount_max_minor,
        total_max_minor,
        currency,
        merchant,
        mcc_allowed,
        mcc_refused,
        countries,
        channel,
    } = &number.controls;
    let shown = |minor: &u64| number.spent.currency.show(minor.cast_signed());
    fn list<T: ToString>(items: &[T]) -> Option<String> {
        (!items.is_empty()).then(|| items.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
    }
    let merchant = match merchant {
        Merchant::Any => None,
        Merchant::FirstUse => Some("the first that is approved".to_owned()),
        Merchant::Fixed(id) => Some(id.to_string()),
    };
    [
        ("largest amount", amount_max_minor.as_ref().map(shown)),
        ("largest sum", total_max_minor.as_ref().map(shown)),
        ("currency", currency.map(|currency| currency.letters().to_owned())),
        ("merchant", merchant),
        ("categories", list(mcc_allowed)),
        ("refused categories", list(mcc_refused)),
        ("countries", list(countries)),
        ("channel", channel.map(|channel| channel.name().to_owned())),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name, value?)))
    .collect()
}
