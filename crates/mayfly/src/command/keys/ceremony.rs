//! The ceremony: components, and what becomes of them. A component is one line: its digits, and behind the word `check` its
//! check value.

use std::fs::{self, OpenOptions};
use std::io::{self, IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use mayfly_keys::file::{self, KeyFileReason, WrappingKey};
use mayfly_keys::{CheckValue, Component, KeyVersion, OsRandom, RootKey};
use mayfly_server::KeySourceError;
use mayfly_server::config::{KeyFile, KeySource, Wrapped, read_secret};
use serde_json::json;
use zeroize::Zeroizing;

use super::typed;
use crate::failure::{Failure, Outcome};
use crate::output::Output;
use crate::place::Place;
use crate::table::pairs;

/// What stands between a component's digits and its check value.
const CHECK: &str = " check ";
/// The longest line that holds a component.
const LINE_BYTES_MAX: usize = 256;

/// Draws a component. It never goes where others read along: into a pipe, or a log.
pub(super) fn component(out: Option<&Path>, output: Output) -> Outcome {
    if out.is_none() && (output.is_json() || !io::stdout().is_terminal()) {
        let what =
            "a component is shown on a terminal only; add --out FILE for a file that only its owner can read";
        return Err(Failure::Usage(what.into()));
    }
    let component =
        Component::generate(&mut OsRandom).map_err(|error| Failure::Unreachable(error.to_string()))?;
    let (text, check_value) = (component.text(), component.check_value());
    let Some(path) = out else {
        let lines = [("component", text.as_str()), ("check value", &check_value.to_string())];
        for (name, value) in lines {
            output.line(format!("{name:<13}{value}"))?;
        }
        return output
            .line("Write both down and keep them where nobody else sees them: they are not shown again.");
    };
    let mut line = Zeroizing::new(String::with_capacity(LINE_BYTES_MAX));
    for part in [&text, CHECK, &check_value.to_string(), "\n"] {
        line.push_str(part);
    }
    write_new(path, line.as_bytes())?;
    let value = json!({ "file": path, "check_value": check_value.to_string() });
    output.either(&value, || {
        pairs(&[("component", path.display().to_string()), ("check value", check_value.to_string())])
    })
}

/// Makes a root key of two components.
pub(super) fn combine(
    place: &Place,
    version: Option<KeyVersion>,
    components: &[std::path::PathBuf],
    output: Output,
) -> Outcome {
    let source = source(place, version)?;
    let (one, other) = match components {
        [one, other] => (read(one)?, read(other)?),
        _ => (type_in("first")?, type_in("second")?),
    };
    let root = RootKey::from_components(&one, &other).map_err(|error| Failure::Refused(error.to_string()))?;
    let check_value = source.create(&root, &mut OsRandom).map_err(failed)?;
    show(&source, check_value, output)
}

/// Draws a root key.
pub(super) fn generate(place: &Place, version: Option<KeyVersion>, output: Output) -> Outcome {
    let source = source(place, version)?;
    if version.is_none() && matches!(source, KeySource::File(KeyFile { wrapped: Wrapped::Plain, .. })) {
        let what = "a root key that stands in a file as it is, is drawn by `mayfly init`; set keys.source for any other";
        return Err(Failure::Refused(what.into()));
    }
    let check_value = source.generate(&mut OsRandom).map_err(failed)?;
    show(&source, check_value, output)
}

/// Draws a wrapping key.
pub(super) fn wrapping_key(place: &Place, version: Option<KeyVersion>, output: Output) -> Outcome {
    let KeySource::File(KeyFile { wrapped: Wrapped::Key(path), .. }) = source(place, version)? else {
        let what =
            "no wrapping key is configured; set keys.source to wrapping-key, and keys.wrapping_key_file";
        return Err(Failure::Usage(what.into()));
    };
    let key =
        WrappingKey::generate(&mut OsRandom).map_err(|error| Failure::Unreachable(error.to_string()))?;
    file::create_wrapping_key(&path, &key).map_err(|error| failed(KeySourceError::File(error)))?;
    let check_value = key.check_value().to_string();
    output.either(&json!({ "wrapping_key_file": path, "check_value": check_value }), || {
        pairs(&[("wrapping key", path.display().to_string()), ("check value", check_value.clone())])
    })
}

/// Opens a root key, and shows its check value.
pub(super) fn check(place: &Place, version: Option<KeyVersion>, output: Output) -> Outcome {
    let source = source(place, version)?;
    let check_value = source.open().map_err(failed)?.check_value();
    show(&source, check_value, output)
}

fn show(source: &KeySource, check_value: CheckValue, output: Output) -> Outcome {
    let (root_key, check_value) = (source.to_string(), check_value.to_string());
    let value = json!({ "root_key": root_key, "root_key_file": source.file(), "check_value": check_value });
    output.either(&value, || pairs(&[("root key", root_key.clone()), ("check value", check_value.clone())]))
}

/// Where the configuration says that a root key is.
fn source(place: &Place, version: Option<KeyVersion>) -> Outcome<KeySource> {
    let mut keys = place.settings()?.keys;
    match version {
        None | Some(KeyVersion::FIRST) => Ok(keys.root),
        Some(version) => keys.cards.remove(&version).ok_or_else(|| {
            Failure::Usage(format!(
                "the configuration does not say where the root key of version {version} is; name it in keys.card_keys"
            ))
        }),
    }
}

/// The component in a file.
fn read(path: &Path) -> Outcome<Component> {
    let line = read_secret(path)
        .map_err(|fault| Failure::Unreachable(format!("a component {}", fault.of(path, "component"))))?;
    let wrong = |why: &str| Failure::Refused(format!("{}: {why}", path.display()));
    let (text, check) = line.split_once(CHECK).ok_or_else(|| wrong("there is no check value in it"))?;
    let check = CheckValue::parse(check.trim())
        .ok_or_else(|| wrong("its check value is not six hexadecimal digits"))?;
    Component::parse(text, check).map_err(|error| wrong(&error.to_string()))
}

/// The component that a custodian types. Whoever makes a slip at a terminal tries again.
fn type_in(which: &str) -> Outcome<Component> {
    loop {
        let text = typed::secret(&format!("{which} custodian's component (it is not shown): "))?;
        let check = typed::line(&format!("{which} custodian's check value: "))?;
        let component = match CheckValue::parse(check.trim()) {
            Some(check) => Component::parse(&text, check).map_err(|error| error.to_string()),
            None => Err("a check value has six hexadecimal digits".to_owned()),
        };
        match component {
            Ok(component) => return Ok(component),
            Err(why) if typed::is_terminal() => eprintln!("{why}; try again"),
            Err(why) => return Err(Failure::Refused(format!("the {which} component: {why}"))),
        }
    }
}

fn write_new(path: &Path, text: &[u8]) -> Outcome {
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(|error| {
            let what = format!("{} can't be written", path.display());
            match error.kind() {
                io::ErrorKind::AlreadyExists => {
                    Failure::Refused(format!("{} is there already and is not overwritten", path.display()))
                }
                _ => Failure::unreachable(what, error),
            }
        })?;
    file.write_all(text).and_then(|()| file.sync_all()).map_err(|error| {
        // It is this call's own, and half a component is worth nothing; the first error is the one to tell.
        drop(fs::remove_file(path));
        Failure::unreachable(format!("{} can't be written", path.display()), error)
    })
}

/// What was looked at and is not as it must be is refused; what could not be looked at, is away.
fn failed(error: KeySourceError) -> Failure {
    use mayfly_hsm::TokenError;
    let text = error.to_string();
    match error {
        KeySourceError::Secret { .. } | KeySourceError::Passphrase(_) => Failure::Usage(text),
        KeySourceError::Unwrapped { .. }
        | KeySourceError::Token(
            TokenError::KeyExists { .. }
            | TokenError::SeveralKeys { .. }
            | TokenError::Pin { .. }
            | TokenError::Unfit { .. }
            | TokenError::CheckValueDiffers { .. },
        ) => Failure::Refused(text),
        KeySourceError::File(error) => match error.reason {
            KeyFileReason::NotFound | KeyFileReason::NotRead(_) | KeyFileReason::NotWritten(_) => {
                Failure::Unreachable(text)
            }
            _ => Failure::Refused(text),
        },
        _ => Failure::Unreachable(text),
    }
}
