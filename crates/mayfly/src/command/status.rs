//! `mayfly status`

use mayfly_server::protocol::{AdminRequest, IssuerHostStatus, Status};

use crate::admin::{Admin, answered};
use crate::duration::show_ms;
use crate::failure::{Failure, Outcome};
use crate::output::Output;
use crate::place::Place;
use crate::table::pairs;

/// Runs it. A server that runs and takes no work is shown, and is exit code 1.
pub(crate) fn run(place: &Place, output: Output) -> Outcome {
    let status = answered!(Admin::connect(place)?.ask(AdminRequest::Status {})?, Status)?;
    output.either(&status, || show(&status))?;
    if status.ready {
        Ok(())
    } else {
        let reason = status.reason.unwrap_or_else(|| "its log says why".into());
        Err(Failure::Refused(format!("the server takes no work: {reason}")))
    }
}

fn show(status: &Status) -> String {
    let counts = &status.counts;
    let listening: Vec<String> = status
        .addresses
        .iso8583
        .iter()
        .map(|listening| format!("{} ({})", listening.address, listening.dialect))
        .collect();
    let lag = match status.lag_entries {
        0 => "nothing".to_owned(),
        entries => format!("{entries} entries, {} ms", status.lag_ms),
    };
    let mut lines = vec![
        ("state", if status.ready { "ready".to_owned() } else { "takes no work".to_owned() }),
        ("version", status.version.clone()),
        ("process", status.pid.to_string()),
        ("running for", show_ms(status.uptime_s.saturating_mul(1000))),
        ("started", status.started.to_string()),
        ("ISO 8583", listening.join(", ")),
        ("admin socket", status.addresses.admin_socket.clone()),
    ];
    lines.extend(status.addresses.api.iter().map(|address| ("HTTP API", address.clone())));
    lines.extend(status.addresses.admin_http.iter().map(|address| ("metrics and health", address.clone())));
    lines.extend([
        ("journal", format!("{} records", status.durable)),
        ("views lag by", lag),
        ("waiting", status.waiting.to_string()),
        ("issuers", counts.issuers.to_string()),
        ("programmes", counts.programmes.to_string()),
        ("accounts", counts.accounts.to_string()),
        ("active numbers", counts.active_numbers.to_string()),
        ("quarantined", counts.quarantined.to_string()),
        ("transactions", counts.transactions.to_string()),
    ]);
    lines.extend(status.issuer_hosts.iter().map(|host| {
        let since = host.owed_since.map(|since| format!(" since {since}")).unwrap_or_default();
        let IssuerHostStatus { issuer, connections, in_service, owed, .. } = host;
        let owed = format!("{owed} advices owed{since}");
        ("issuer host", format!("{issuer}: {in_service} of {connections} connections signed on, {owed}"))
    }));
    pairs(&lines)
}
