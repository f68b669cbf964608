//! The description of the API: OpenAPI 3.1, made of the handlers' types. What is the same for all of them (keys,
//! request ids, problems) is put in here, by the table of routes.

use std::collections::BTreeMap;

use utoipa::openapi::extensions::ExtensionsBuilder;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Operation, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{
    ComponentsBuilder, Content, Header, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, Ref, RefOr,
    Required, Response, ResponseBuilder,
};
use utoipa::{PartialSchema, ToSchema};

use crate::frame::{REQUEST_ID, REQUEST_ID_CHARS_MAX};
use crate::idempotency::{IDEMPOTENCY_KEY, KEY_CHARS_MAX};
use crate::problem::{Code, PROBLEM_JSON, ProblemDocument};
use crate::routes::{self, Access, ROUTES, Route};

/// What the scheme of the API's keys is called.
const API_KEY: &str = "api_key";
/// What that of cardholders' sessions is called.
const SESSION: &str = "session";

const INTRODUCTION: &str = "What card issuers, their auditors, their cardholders and their developers use a Mayfly server by.

Amounts are whole minor units with their currency. Times are RFC 3339 in UTC. Ids are opaque; an id that is not for the \
key's holder to see is answered like one that does not exist. Every POST needs an `Idempotency-Key`: sent again with \
the same key and body within 24 hours it is done once, and with another body it is refused (409). Enrolments, log-ins and wallets' requests need none. Lists come in pages: \
send `next_cursor` of a page as `cursor` to get the next one. What is refused is answered with a problem document (RFC \
9457), whose `code` never changes.";

/// The description of the API, as it is served at `/v1/openapi.json`.
pub fn openapi() -> OpenApi {
    routes::described().1
}

/// What the handlers add themselves to.
pub(crate) fn base() -> OpenApi {
    let tags = [
        ("issuers", "Who runs programmes of one-time numbers."),
        ("programmes", "By which terms numbers are issued."),
        ("accounts", "A cardholder's money: prepaid or credit."),
        ("cards", "Cards of the check site: they keep their number, and each purchase proves itself."),
        ("wallets", "What a cardholder's wallet asks before a purchase."),
        ("numbers", "What a cardholder types into a shop."),
        ("authorisations", "What was bought, declined, reversed and refunded, and what is held for it."),
        ("events", "The journal: everything that has happened, in order."),
        ("keys", "Keys for this API."),
        ("cardholders", "Who an issuer's cardholders are, and how they are invited."),
        ("decision hook", "Where an issuer is asked before its accounts pay."),
        ("merchants", "Who may take payments of an issuer's cardholders."),
        ("payments", "What merchants order, and what has become of it."),
        ("webhooks", "Where an issuer is told of what happens, as it happens."),
        ("sessions", "Cardholders enrol, log in, stay logged in and log out."),
        ("simulate", "Purchases that nobody makes, for an issuer's developer."),
        ("me", "What a cardholder who has logged in does for himself."),
        ("server", "The server itself."),
    ];
    let license = LicenseBuilder::new().name("Apache-2.0").identifier(Some("Apache-2.0")).build();
    let info = InfoBuilder::new()
        .title("Mayfly")
        .version("1")
        .description(Some(INTRODUCTION))
        .license(Some(license))
        .build();
    OpenApiBuilder::new()
        .info(info)
        .tags(Some(tags.map(|(name, what)| TagBuilder::new().name(name).description(Some(what)).build())))
        .components(Some(components()))
        .build()
}

fn components() -> utoipa::openapi::Components {
    let key = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("mfk_ and 43 characters")
        .description(Some("A key that an operator or an issuer made at `POST /v1/keys`."))
        .build();
    let mut schemas = vec![(ProblemDocument::name().into_owned(), ProblemDocument::schema())];
    ProblemDocument::schemas(&mut schemas);
    let session = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .bearer_format("mfs_ and 43 characters")
        .description(Some("The token of a cardholder's session, from `POST /v1/logins`."))
        .build();
    let mut components = ComponentsBuilder::new()
        .security_scheme(API_KEY, SecurityScheme::Http(key))
        .security_scheme(SESSION, SecurityScheme::Http(session));
    for (name, schema) in schemas {
        components = components.schema(name, schema);
    }
    for (status, codes) in problems() {
        components = components.response(problem_name(status), problem(&codes));
    }
    components.build()
}

/// All codes by their status.
fn problems() -> BTreeMap<u16, Vec<Code>> {
    let mut problems: BTreeMap<u16, Vec<Code>> = BTreeMap::new();
    for code in Code::ALL {
        problems.entry(code.status().as_u16()).or_default().push(*code);
    }
    problems
}

fn problem_name(status: u16) -> String {
    format!("Problem{status}")
}

fn problem(codes: &[Code]) -> Response {
    let each = codes.iter().map(|code| format!("* `{}`: {}; {}", code.name(), code.title(), code.advice()));
    let description = each.collect::<Vec<_>>().join("\n");
    let example = crate::problem::Problem::new(codes[0]).document("01jdaz8q3v5m");
    let mut content = Content::new(Some(Ref::from_schema_name(ProblemDocument::name())));
    content.example = serde_json::to_value(example).ok();
    let mut response = ResponseBuilder::new().description(description).content(PROBLEM_JSON, content).build();
    response.headers.insert(REQUEST_ID.to_owned(), request_id_header());
    response
}

/// Adds to every operation what all have in common.
pub(crate) fn complete(description: &mut OpenApi) {
    for route in ROUTES {
        let Some(item) = description.paths.paths.get_mut(route.path) else { continue };
        let operation = if route.method == "POST" { &mut item.post } else { &mut item.get };
        if let Some(operation) = operation {
            complete_operation(route, operation);
        }
    }
}

fn complete_operation(route: &Route, operation: &mut Operation) {
    let is_post = route.method == "POST";
    let parameters = operation.parameters.get_or_insert_default();
    let has_no_key = matches!(route.access, Access::Stranger { once: false } | Access::Wallet);
    if is_post && !has_no_key {
        let what = "By which a repeat is known: a new one for each thing that is to be done.";
        let pattern = format!("^[!-~]{{1,{KEY_CHARS_MAX}}}$");
        parameters.push(header_parameter(
            IDEMPOTENCY_KEY,
            what,
            Some(&pattern),
            "8e1f7c52-order-17",
            Required::True,
        ));
    }
    let what = format!(
        "Taken over as the id of the request, in the answer and in the server's log, if it is 1 to \
         {REQUEST_ID_CHARS_MAX} letters, digits, dots, lines and underscores; else there is a new one."
    );
    parameters.push(header_parameter(REQUEST_ID, &what, None, "checkout-4711", Required::False));

    let responses = &mut operation.responses.responses;
    for response in responses.values_mut() {
        if let RefOr::T(response) = response {
            response.headers.insert(REQUEST_ID.to_owned(), request_id_header());
        }
    }
    let found_at = format!("{}/{{id}}", route.path);
    let is_found = ROUTES.iter().any(|other| other.method == "GET" && other.path == found_at);
    if is_found && let Some(RefOr::T(created)) = responses.get_mut("201") {
        created.headers.insert("location".to_owned(), header("Where it is found.", "/v1/accounts/acct_1"));
    }
    let mut statuses = vec![400, 500, 503];
    match route.access {
        Access::Anybody => {}
        Access::Stranger { .. } => statuses.extend([401, 422, 429]),
        Access::Wallet => statuses.extend([403, 422, 429]),
        Access::Session => {
            statuses.extend([401, 404, 422]);
            operation.security = Some(vec![SecurityRequirement::new(SESSION, [""; 0])]);
        }
        Access::Keys(roles) => {
            statuses.extend([401, 403, 404, 422]);
            operation.security = Some(vec![SecurityRequirement::new(API_KEY, [""; 0])]);
            let names: Vec<_> = roles.iter().map(|role| role.as_str()).collect();
            operation.extensions = Some(ExtensionsBuilder::new().add("x-roles", names).build());
        }
    }
    if is_post {
        statuses.extend([409, 413, 415]);
    }
    for status in statuses {
        let reference = Ref::from_response_name(problem_name(status));
        responses.insert(status.to_string(), RefOr::Ref(reference));
    }
}

fn header_parameter(
    name: &str,
    what: &str,
    pattern: Option<&str>,
    example: &str,
    required: Required,
) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Header)
        .required(required)
        .description(Some(what))
        .schema(Some(text(pattern, example)))
        .build()
}

fn request_id_header() -> Header {
    header("By which the server's log knows this request.", "01jdaz8q3v5m")
}

fn header(what: &str, example: &str) -> Header {
    HeaderBuilder::new().schema(text(None, example)).description(Some(what)).build()
}

fn text(pattern: Option<&str>, example: &str) -> RefOr<Schema> {
    ObjectBuilder::new().schema_type(Type::String).pattern(pattern).examples([example]).into()
}
