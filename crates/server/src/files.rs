//! How many files this process may have open: each connection is one.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::Settings;

/// What the server itself has open, and its connections to issuers' endpoints, at the most.
const OWN: u64 = 1_024;

/// Raises the limit to what the system allows, and says so in the log if that is less than what the settings let in.
pub(crate) fn allow(settings: &Settings) {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
    {
        tracing::warn!(%error, "the limit of open files could not be raised");
    }
    // None is no limit.
    let allowed = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let listeners = settings.endpoints.len() as u64 * settings.network.connections_max as u64;
    let api = settings.api.as_ref().map_or(0, |api| api.connections_max as u64);
    let needed = OWN + listeners + api + settings.admin_connections_max as u64;
    if allowed < needed {
        tracing::warn!(
            allowed,
            needed,
            "fewer files may be open than the settings let connections in: raise the limit (ulimit -n, LimitNOFILE), or \
             lower iso8583.connections_max and api.connections_max"
        );
    }
}
