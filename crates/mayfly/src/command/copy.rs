//! `mayfly copy`: moves an installation between files and a database.

use std::fs;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use clap::Args;
use mayfly_server::KEY_CHECK_FILE;
use mayfly_server::config::{CONFIG_FILE, Config, DatabaseAsked};
use mayfly_store::{Copied, CopyOptions, Copying, Home, StoreError};

use crate::command::init::absolute;
use crate::command::journal::verify::{ends_json, ends_lines};
use crate::failure::{Failure, Outcome};
use crate::output::Output;
use crate::table::pairs;

/// Copy an installation from files to a database, from a database to files, or to another place of the same kind
///
/// Stop the server first, or say --online: then it is a backup, as of now. The journal is copied record by record and verified by its hashes, what stands beside it row by
/// row; the views follow from the journal, and the next start builds them. Nothing that is there is ever overwritten, and
/// what is copied stays where it was.
#[derive(Debug, Args)]
pub(crate) struct Copy {
    /// The data directory of the installation, whose configuration says where its data are; or a database, as in
    /// postgres://user@host:5432/database
    #[arg(long, value_name = "DIR|URL")]
    from: String,
    /// The directory in whose files its data are to be, or a database
    #[arg(long, value_name = "DIR|URL")]
    to: String,
    /// The installation is in service meanwhile: the copy is a backup
    #[arg(long)]
    online: bool,
    /// Leave out what came later than this time, as in 2026-11-22T14:26:51Z
    #[arg(long, value_name = "TIME")]
    until: Option<jiff::Timestamp>,
    /// The file that holds the password of a database's user
    #[arg(long, value_name = "FILE")]
    database_password_file: Option<PathBuf>,
    /// The certificate authorities, in PEM, that a database's certificate is checked by
    #[arg(long, value_name = "FILE")]
    database_ca_file: Option<PathBuf>,
}

impl Copy {
    /// Runs it.
    pub(crate) fn run(&self, output: Output) -> Outcome {
        let from =
            if is_url(&self.from) { self.database(&self.from)? } else { home_of(Path::new(&self.from))? };
        let to =
            if is_url(&self.to) { self.database(&self.to)? } else { Home::Files(PathBuf::from(&self.to)) };
        let root_check = match &from {
            Home::Files(directory) => read_check(directory)?,
            Home::Database(_) => mayfly_store::root_check(&from)
                .map_err(failed)?
                .ok_or_else(|| Failure::Refused(format!("there is no installation in {}", from.journal())))?,
        };
        if let Home::Files(directory) = &to {
            make(directory, &root_check)?;
        }
        let spinner = output.spinner("copying");
        let until_ms = self.until.map(|until| u64::try_from(until.as_millisecond()).unwrap_or(0));
        let options = CopyOptions { online: self.online, until_ms };
        let tell = |step| spinner.set_message(told(step));
        let copied = mayfly_store::copy(&from, &to, &root_check, options, tell);
        spinner.finish_and_clear();
        let copied = copied.map_err(failed)?;
        if let Home::Files(directory) = &to {
            write_check(directory, &root_check)?;
        }
        self.show(&to, &copied, output)
    }

    /// A database that is named by its URL, as it would be in a configuration.
    fn database(&self, url: &str) -> Outcome<Home> {
        let [password_file, ca_file] = [&self.database_password_file, &self.database_ca_file]
            .map(|file| file.as_deref().map(absolute).transpose());
        let asked = DatabaseAsked { url: url.to_owned(), password_file: password_file?, ca_file: ca_file? };
        let settings = Config::standard(Path::new(CONFIG_FILE))
            .with_database(&asked)
            .and_then(|config| config.check())
            .map_err(|error| Failure::Usage(error.to_string()))?;
        Ok(settings.home)
    }

    fn show(&self, to: &Home, copied: &Copied, output: Output) -> Outcome {
        let mut value = ends_json(&copied.journal);
        value["to"] = to.journal().to_string().into();
        value["rows"] = copied.rows.into();
        output.either(&value, || {
            let mut lines =
                vec![("journal", to.journal().to_string()), ("directory rows", copied.rows.to_string())];
            lines.extend(ends_lines(&copied.journal));
            lines.push(("chain", "whole, and the same".into()));
            let advice = match to {
                Home::Database(_) => {
                    format!("Set url = \"{}\" under [database] in the configuration", self.to)
                }
                Home::Files(_) => {
                    "Take url out of [database] in the configuration, and set data_dir".to_owned()
                }
            };
            format!("{}\n{advice}, then start the server: it builds the views first.", pairs(&lines))
        })
    }
}

fn is_url(text: &str) -> bool {
    text.starts_with("postgres://") || text.starts_with("postgresql://")
}

/// Where the configuration of a data directory says that its data are.
fn home_of(directory: &Path) -> Outcome<Home> {
    let file = directory.join(CONFIG_FILE);
    if !file.exists() {
        return Ok(Home::Files(directory.to_owned()));
    }
    let settings = Config::read(&file).and_then(|config| config.check());
    settings.map(|settings| settings.home).map_err(|error| Failure::Usage(error.to_string()))
}

/// The check value of the root key that a directory's data were made with.
fn read_check(directory: &Path) -> Outcome<String> {
    let file = directory.join(KEY_CHECK_FILE);
    let read = fs::read_to_string(&file).map_err(|error| {
        Failure::Unreachable(format!("{} can't be read ({error}): is that a data directory?", file.display()))
    })?;
    Ok(read.trim().to_owned())
}

/// A directory for another root key's data is left alone.
fn make(directory: &Path, root_check: &str) -> Outcome {
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(directory)
        .map_err(|error| Failure::unreachable(format!("{} can't be made", directory.display()), error))?;
    match fs::read_to_string(directory.join(KEY_CHECK_FILE)) {
        Ok(found) if found.trim() != root_check => Err(Failure::Refused(format!(
            "{} is for another root key: {} in it says so",
            directory.display(),
            KEY_CHECK_FILE
        ))),
        _ => Ok(()),
    }
}

fn write_check(directory: &Path, root_check: &str) -> Outcome {
    let file = directory.join(KEY_CHECK_FILE);
    if file.exists() {
        return Ok(());
    }
    fs::write(&file, format!("{root_check}\n"))
        .map_err(|error| Failure::unreachable(format!("{} can't be written", file.display()), error))
}

fn told(step: Copying) -> String {
    match step {
        Copying::Directory(rows) => format!("copying the directory: {rows} rows"),
        Copying::Journal { entries, of } => format!("copying the journal: entry {entries} of {of}"),
        Copying::Verifying(entry) => format!("verifying the copy: entry {entry}"),
    }
}

/// What is damaged, or there already, was looked at; everything else can't be reached.
fn failed(error: StoreError) -> Failure {
    match &error {
        StoreError::Record { .. }
        | StoreError::Gap { .. }
        | StoreError::Damaged { .. }
        | StoreError::Archived { .. }
        | StoreError::BeforeJournal { .. }
        | StoreError::Occupied { .. }
        | StoreError::Served { .. }
        | StoreError::Locked { .. } => Failure::Refused(error.to_string()),
        _ => Failure::Unreachable(error.to_string()),
    }
}
