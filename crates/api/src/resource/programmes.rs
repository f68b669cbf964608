//! Programmes: by which terms an issuer's numbers are issued.

use axum::Json;
use mayfly_card::{Ascii, MinorUnits};
use mayfly_core::{HolderDigits, ProgrammeId, state};
use mayfly_office::{OfficeError, TermsError, standard_layout, standard_terms};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use super::check_site::{self, CheckSite, NewCheckSite};
use super::{Created, NewState};
use crate::caller::{Issuer, Reader};
use crate::extract::{Id, Params, Posted};
use crate::page::{List, part};
use crate::problem::{Code, Problem};
use crate::routes::ApiRouter;
use crate::text::{CardNumber, IssuerRef, LayoutWidths, PrefixDigits, ProgrammeRef, Shown, Title};

/// A programme.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Programme {
    /// Its id.
    pub id: ProgrammeRef,
    /// Whose it is.
    pub issuer: IssuerRef,
    /// What it is called.
    pub name: Title,
    /// Its terms.
    pub terms: Terms,
    /// Whether it is closed: then no numbers are issued by its terms.
    pub closed: bool,
    /// The last four digits of its universal number, if it has one.
    #[schema(example = "0520", pattern = "^[0-9]{4}$", required)]
    pub universal_last_four: Option<String>,
}

/// The terms of a programme.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Terms {
    /// The digits at which its numbers begin.
    pub prefix: PrefixDigits,
    /// How the other digits are divided.
    pub layout: LayoutWidths,
    /// How long a number is good if nothing else is asked, in seconds.
    #[schema(example = 900)]
    pub lifetime_seconds: u64,
    /// How long a number may be good at the most, in seconds.
    #[schema(example = 86_400)]
    pub lifetime_seconds_max: u64,
    /// How many uses may be asked for at the most.
    #[schema(example = 1000)]
    pub uses_max: u32,
    /// How far ahead the printed expiration date may lie, in months.
    #[schema(example = 36)]
    pub expiry_months: u16,
    /// How long a number stays out of use after its last use, in months.
    #[schema(example = 13)]
    pub quarantine_months: u16,
    /// How many active numbers an account may have.
    #[schema(example = 100)]
    pub active_max: u32,
    /// The largest amount of one purchase, in minor units of the account's currency.
    #[schema(example = 999_999_999_999_u64)]
    pub amount_minor_max: u64,
    /// How much more than authorised may be completed, in hundredths of a percent.
    #[schema(example = 0)]
    pub tolerance_basis_points: u16,
    /// How long an authorisation waits for its completion before the hold is given back, in days.
    #[schema(example = 7)]
    pub hold_days: u16,
    /// Whether the first completion gives the rest of the hold back.
    pub single_completion: bool,
    /// What a failed control does to a number.
    pub failed_control: FailedControl,
    /// Of what its numbers have a part, in the holder digits of their layout.
    pub includes: Includes,
    /// Whether purchases may be simulated.
    pub sandbox: bool,
    /// The terms of the check site, if its numbers are cards; null if they are one-time numbers.
    #[schema(required)]
    pub check_site: Option<CheckSite>,
}

/// Of what a programme's numbers have a part.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Includes {
    /// Of nothing: all digits after the prefix are drawn.
    Nothing,
    /// The last digits of the cardholder's own number: the account's funding number must be known.
    OwnNumber,
    /// The same digits of the programme's universal number.
    UniversalNumber,
}

/// What a purchase that proved itself but was not allowed, or for which the money was missing, does to its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum FailedControl {
    /// It stays usable for at most two more tries.
    KeepUsable,
    /// It is used up at once.
    UseUp,
}

/// A programme that is to be opened.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewProgramme {
    /// Whose it is; needed from an operator, and of no use to an issuer, who opens his own.
    #[serde(default)]
    pub issuer: Option<IssuerRef>,
    /// What it is called; no two of an issuer have the same name.
    pub name: Title,
    /// Its terms; what is left out has its default.
    pub terms: NewTerms,
    /// A number that all of its cardholders share, and that authorises nothing by itself. Only a keyed index and its
    /// last four digits are kept.
    #[serde(default)]
    pub universal_number: Option<CardNumber>,
}

/// Terms that are asked for.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTerms {
    /// The digits at which its numbers begin. No other programme's may begin so.
    pub prefix: PrefixDigits,
    /// How the other digits are divided; if left out, such that a number has 16 digits.
    #[serde(default)]
    pub layout: Option<LayoutWidths>,
    /// How long a number is good if nothing else is asked, in seconds; 900 if left out.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 316_224_000, example = 900)]
    pub lifetime_seconds: Option<u64>,
    /// How long a number may be good at the most, in seconds; 86400 if left out, and 3660 days for cards.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 316_224_000, example = 86_400)]
    pub lifetime_seconds_max: Option<u64>,
    /// How many uses may be asked for at the most; 1000 if left out.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 1_000_000, example = 1000)]
    pub uses_max: Option<u32>,
    /// How far ahead the printed expiration date may lie, in months; 36 if left out.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 240, example = 36)]
    pub expiry_months: Option<u16>,
    /// How long a number stays out of use after its last use, in months; 13 if left out.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 120, example = 13)]
    pub quarantine_months: Option<u16>,
    /// How many active numbers an account may have; 100 if left out.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 100_000_000, example = 100)]
    pub active_max: Option<u32>,
    /// The largest amount of one purchase, in minor units of the account's currency; no bound if left out.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 999_999_999_999_u64, example = 100_000)]
    pub amount_minor_max: Option<u64>,
    /// How much more than authorised may be completed, in hundredths of a percent; 0 if left out.
    #[serde(default)]
    #[schema(minimum = 0, maximum = 10_000, example = 0)]
    pub tolerance_basis_points: Option<u16>,
    /// How long an authorisation waits for its completion before the hold is given back, in days; 7 if left out.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 90, example = 7)]
    pub hold_days: Option<u16>,
    /// Whether the first completion gives the rest of the hold back; no, if left out: several may come.
    #[serde(default)]
    pub single_completion: Option<bool>,
    /// What a failed control does to a number; it is kept usable if left out.
    #[serde(default)]
    pub failed_control: Option<FailedControl>,
    /// Of what its numbers have a part, in the holder digits of their layout, which must then be named; of nothing, if
    /// left out.
    #[serde(default)]
    pub includes: Option<Includes>,
    /// Whether purchases may be simulated; no, if left out. A programme stays what it was opened as.
    #[serde(default)]
    pub sandbox: Option<bool>,
    /// The terms of the check site, for a programme of cards that keep their number; left out for one-time numbers.
    #[serde(default)]
    pub check_site: Option<NewCheckSite>,
}

/// Which programmes are listed.
#[derive(Clone, Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Which {
    /// Only of this issuer; of use to operators.
    issuer: Option<IssuerRef>,
    /// How many items the page may have.
    #[param(minimum = 1, maximum = 100, default = 50)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// A page of them.
type Page = List<Programme>;

pub(crate) fn routes() -> ApiRouter {
    ApiRouter::new().routes(routes!(open, list)).routes(routes!(show)).routes(routes!(close))
}

/// Open a programme
#[utoipa::path(post, path = "/v1/programmes", operation_id = "open_programme", tag = "programmes",
    request_body = NewProgramme, responses((status = 201, description = "It is open.", body = Programme)))]
async fn open(issuer: Issuer, new: Posted<NewProgramme>) -> Result<Created<Programme>, Problem> {
    let Posted { body, once } = new;
    let (office, owner) = (issuer.office(), issuer.issuer(body.issuer.map(|it| it.0)).await?);
    let (terms, universal) = (body.terms.terms()?, body.universal_number.as_ref().map(|number| &number.0));
    let opened = office.open_programme(owner, body.name.0, terms, universal, once.for_office(office)).await?;
    let programme = shown(opened);
    let location = format!("/v1/programmes/{}", programme.id.0);
    Ok(Created::at(location, programme))
}

/// List programmes, the first first
#[utoipa::path(get, path = "/v1/programmes", operation_id = "list_programmes", tag = "programmes", params(Which),
    responses((status = 200, description = "A page of programmes.", body = Page)))]
async fn list(reader: Reader, which: Params<Which>) -> Result<Json<Page>, Problem> {
    let Params(Which { issuer, limit, cursor }) = which;
    let whose = reader.whose(issuer.map(|it| it.0)).await?;
    let found = reader.office().programmes(whose, part(limit, cursor.as_deref())?).await?;
    Ok(Json(List::of(found, shown)))
}

/// Show a programme
#[utoipa::path(get, path = "/v1/programmes/{id}", operation_id = "show_programme", tag = "programmes",
    params(("id" = ProgrammeRef, Path, description = "Which one.")),
    responses((status = 200, description = "The programme.", body = Programme)))]
async fn show(reader: Reader, Id(id): Id<ProgrammeId>) -> Result<Json<Programme>, Problem> {
    Ok(Json(shown((id, reader.programme(id).await?))))
}

/// Close a programme, or open it again
///
/// Closed, no numbers are issued by its terms. Those that were are good until they are over.
#[utoipa::path(post, path = "/v1/programmes/{id}/state", operation_id = "close_programme", tag = "programmes",
    params(("id" = ProgrammeRef, Path, description = "Which one.")), request_body = NewState,
    responses((status = 200, description = "The programme as it is now.", body = Programme)))]
async fn close(
    issuer: Issuer,
    Id(id): Id<ProgrammeId>,
    new: Posted<NewState>,
) -> Result<Json<Programme>, Problem> {
    let Posted { body: NewState { closed }, once } = new;
    let office = issuer.office();
    issuer.programme(id).await?;
    Ok(Json(shown((id, office.close_programme(id, closed, once.for_office(office)).await?))))
}

fn shown((id, programme): (ProgrammeId, state::Programme)) -> Programme {
    let terms = programme.terms;
    Programme {
        id: Shown(id),
        issuer: Shown(programme.issuer),
        name: Shown(programme.name),
        closed: programme.closed,
        universal_last_four: terms.universal.map(|universal| universal.last_four.to_string()),
        terms: Terms {
            prefix: Shown(terms.prefix),
            layout: Shown(terms.layout),
            lifetime_seconds: terms.lifetime_ms / 1000,
            lifetime_seconds_max: terms.lifetime_max_ms / 1000,
            uses_max: terms.uses_max,
            expiry_months: terms.expiry_months,
            quarantine_months: terms.quarantine_months,
            active_max: terms.active_max,
            amount_minor_max: terms.amount_max.value(),
            tolerance_basis_points: terms.tolerance_bp,
            hold_days: terms.hold_days,
            single_completion: terms.single_completion,
            failed_control: match terms.failed_control {
                mayfly_core::FailedControl::KeepUsable => FailedControl::KeepUsable,
                mayfly_core::FailedControl::UseUp => FailedControl::UseUp,
            },
            includes: match terms.holder {
                HolderDigits::Drawn => Includes::Nothing,
                HolderDigits::Own => Includes::OwnNumber,
                HolderDigits::Universal(_) => Includes::UniversalNumber,
            },
            sandbox: terms.sandbox,
            check_site: terms.scheme.dynamic().map(check_site::shown),
        },
    }
}

impl NewTerms {
    /// With the core's defaults; the core checks the bounds.
    fn terms(&self) -> Result<mayfly_core::Terms, Problem> {
        let layout = match &self.layout {
            Some(layout) => layout.0,
            None => standard_layout(&self.prefix.0)
                .map_err(|error| OfficeError::Terms(TermsError::Layout(error)))?,
        };
        let check_site = self.check_site.as_ref().map(NewCheckSite::terms).transpose()?;
        let standard = standard_terms(self.prefix.0, layout, check_site);
        let lifetime_max_ms = self.lifetime_seconds_max.map_or(Ok(standard.lifetime_max_ms), milliseconds)?;
        let lifetime_ms = standard.lifetime_ms.min(lifetime_max_ms);
        let out = || Problem::with(Code::OutOfBounds, "the largest amount must be at most 999999999999");
        let amount_max =
            self.amount_minor_max.map(|minor| MinorUnits::new(minor).ok_or_else(out)).transpose()?;
        Ok(mayfly_core::Terms {
            lifetime_ms: self.lifetime_seconds.map_or(Ok(lifetime_ms), milliseconds)?,
            lifetime_max_ms,
            uses_max: self.uses_max.unwrap_or(standard.uses_max),
            expiry_months: self.expiry_months.unwrap_or(standard.expiry_months),
            quarantine_months: self.quarantine_months.unwrap_or(standard.quarantine_months),
            active_max: self.active_max.unwrap_or(standard.active_max),
            amount_max: amount_max.unwrap_or(standard.amount_max),
            tolerance_bp: self.tolerance_basis_points.unwrap_or(standard.tolerance_bp),
            hold_days: self.hold_days.unwrap_or(standard.hold_days),
            single_completion: self.single_completion.unwrap_or(standard.single_completion),
            failed_control: match self.failed_control {
                None => standard.failed_control,
                Some(FailedControl::KeepUsable) => mayfly_core::FailedControl::KeepUsable,
                Some(FailedControl::UseUp) => mayfly_core::FailedControl::UseUp,
            },
            holder: match self.includes {
                None | Some(Includes::Nothing) => HolderDigits::Drawn,
                Some(Includes::OwnNumber) => HolderDigits::Own,
                // The office knows the digits.
                Some(Includes::UniversalNumber) => HolderDigits::Universal(Ascii::default()),
            },
            sandbox: self.sandbox.unwrap_or(standard.sandbox),
            ..standard
        })
    }
}

/// Of a lifetime in seconds.
pub(crate) fn milliseconds(seconds: u64) -> Result<u64, Problem> {
    let out = || Problem::with(Code::OutOfBounds, "a lifetime must be at most 3660 days");
    if seconds > 3660 * 86_400 { Err(out()) } else { Ok(seconds * 1000) }
}
