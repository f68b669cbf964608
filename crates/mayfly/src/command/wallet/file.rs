//! The wallet's file: who has it, what is in it, and how a new state takes its place.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use mayfly_keys::{OsRandom, Passphrase, PassphraseCost};
use mayfly_wallet::{FILE_BYTES_MAX, Store, Vault, Wallet};
use zeroize::Zeroizing;

use crate::failure::{Failure, Outcome};

/// For how long another command may have the wallet before this one gives up. The longest has it for as long as a server
/// takes to answer three times.
const LOCK_WAIT: Duration = Duration::from_secs(120);
const LOCK_POLL: Duration = Duration::from_millis(20);
/// What group and others may do.
const OTHERS: u32 = 0o077;

/// A wallet that this process alone has, until this is dropped.
#[derive(Debug)]
pub(crate) struct Opened {
    /// What is in it.
    pub(crate) wallet: Wallet,
    /// What keeps it.
    pub(crate) keeper: Keeper,
}

/// Writes the wallet's file. It has the lock beside it.
#[derive(Debug)]
pub(crate) struct Keeper {
    path: PathBuf,
    vault: Vault,
    _lock: Lock,
}

/// The right to the file, among processes: so that two never count from the same number.
#[derive(Debug)]
struct Lock {
    _file: File,
}

impl Opened {
    /// Opens the file, or waits for whoever has it.
    pub(crate) fn open(path: &Path, passphrase: &Passphrase) -> Outcome<Self> {
        let path = followed(path);
        // No lock is left where there is nothing.
        if !exists(&path)? {
            return Err(none(&path));
        }
        let lock = Lock::acquire(&path)?;
        let text = read(&path)?;
        let (vault, wallet) = Vault::open(&text, passphrase)
            .map_err(|reason| Failure::Refused(format!("{} {reason}", path.display())))?;
        Ok(Self { wallet, keeper: Keeper { path, vault, _lock: lock } })
    }

    /// A new one. Nothing is written yet; nothing that is there is ever overwritten.
    pub(crate) fn create(path: &Path, passphrase: &Passphrase, wallet: Wallet) -> Outcome<Self> {
        let path = followed(path);
        let name = path.display();
        let failed = |error| Failure::unreachable(format!("the directory of {name} can't be made"), error);
        DirBuilder::new().recursive(true).mode(0o700).create(directory_of(&path)).map_err(failed)?;
        let lock = Lock::acquire(&path)?;
        if exists(&path)? {
            return Err(Failure::Refused(format!("{name} is there already; it is never overwritten")));
        }
        let vault = Vault::new(passphrase, PassphraseCost::DEFAULT, &mut OsRandom)
            .map_err(|error| Failure::Unreachable(error.to_string()))?;
        Ok(Self { wallet, keeper: Keeper { path, vault, _lock: lock } })
    }

    /// Seals it under another passphrase from now on.
    pub(crate) fn change_passphrase(&mut self, passphrase: &Passphrase) -> Outcome {
        self.keeper.vault = Vault::new(passphrase, PassphraseCost::DEFAULT, &mut OsRandom)
            .map_err(|error| Failure::Unreachable(error.to_string()))?;
        self.save()
    }

    /// Keeps it as it is now.
    pub(crate) fn save(&mut self) -> Outcome {
        self.keeper.save(&self.wallet)
    }
}

/// Whether there is something at the path.
pub(crate) fn exists(path: &Path) -> Outcome<bool> {
    path.try_exists()
        .map_err(|error| Failure::unreachable(format!("{} can't be looked at", path.display()), error))
}

impl Store for Keeper {
    type Error = Failure;

    /// Writes it beside, waits until that is on the disk, and lets it take the old one's place, in one step.
    fn save(&mut self, wallet: &Wallet) -> Outcome {
        let text = self
            .vault
            .seal(wallet, &mut OsRandom)
            .map_err(|failure| Failure::Unreachable(failure.to_string()))?;
        let beside = suffixed(&self.path, ".new");
        write(&beside, &self.path, text.as_bytes()).map_err(|error| {
            // Half a wallet is of no use; the first error is the one to tell.
            let _ = fs::remove_file(&beside);
            let name = self.path.display();
            Failure::unreachable(
                format!("the wallet {name} can't be written, and nothing goes on without that"),
                error,
            )
        })
    }
}

fn write(beside: &Path, path: &Path, text: &[u8]) -> io::Result<()> {
    match fs::remove_file(beside) {
        // Left by a process that died: whoever has the lock has this, too.
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(beside)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(beside, path)?;
    File::open(directory_of(path))?.sync_all()
}

fn read(path: &Path) -> Outcome<Zeroizing<Vec<u8>>> {
    let name = path.display();
    let failed = |error| Failure::unreachable(format!("the wallet {name} can't be read"), error);
    // Looked at before opening, too: opening a pipe would wait for somebody to write into it.
    if !fs::metadata(path).map_err(failed)?.is_file() {
        return Err(Failure::Usage(format!("{name} is not a regular file; check the path")));
    }
    let file = File::open(path).map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o7777;
    if mode & OTHERS != 0 {
        return Err(Failure::Refused(format!(
            "{name} has mode {mode:04o}, so that its group or others can use it; run `chmod 600 {name}`, and \
             enrol the cards anew if somebody else may have read it"
        )));
    }
    let mut text = Zeroizing::new(Vec::new());
    file.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut text).map_err(failed)?;
    if text.len() > FILE_BYTES_MAX {
        return Err(Failure::Refused(format!("{name} is longer than any wallet; check the path")));
    }
    Ok(text)
}

/// There is no wallet.
pub(crate) fn none(path: &Path) -> Failure {
    Failure::Usage(format!("there is no wallet {}; make one with `mayfly wallet login`", path.display()))
}

impl Lock {
    fn acquire(path: &Path) -> Outcome<Self> {
        let place = suffixed(path, ".lock");
        let failed = |error| Failure::unreachable(format!("{} can't be written", place.display()), error);
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&place)
            .map_err(failed)?;
        let until = Instant::now() + LOCK_WAIT;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self { _file: file }),
                Err(TryLockError::WouldBlock) if Instant::now() < until => thread::sleep(LOCK_POLL),
                Err(TryLockError::WouldBlock) => {
                    let (name, seconds) = (path.display(), LOCK_WAIT.as_secs());
                    return Err(Failure::Unreachable(format!(
                        "another command has had the wallet {name} for {seconds} seconds; try again when it is done"
                    )));
                }
                Err(TryLockError::Error(error)) => return Err(failed(error)),
            }
        }
    }
}

/// Where a link leads: the file and its lock stand there, whatever it is called by.
fn followed(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

fn suffixed(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn passphrase(text: &str) -> Passphrase {
        Passphrase::new(text).unwrap()
    }

    fn made(directory: &Path) -> PathBuf {
        let path = directory.join("of/mine/wallet");
        let right = passphrase("four words are enough");
        Opened::create(&path, &right, Wallet::new("https://a.example")).unwrap().save().unwrap();
        path
    }

    #[test]
    fn a_new_file_is_its_owners_alone_and_nothing_is_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let path = made(directory.path());
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        let right = passphrase("four words are enough");
        let failure = Opened::create(&path, &right, Wallet::new("https://b.example")).unwrap_err();
        assert!(failure.to_string().contains("never overwritten"), "{failure}");
        assert_eq!(Opened::open(&path, &right).unwrap().wallet.server(), "https://a.example");
    }

    #[test]
    fn what_can_not_be_opened_says_why() {
        let directory = tempfile::tempdir().unwrap();
        let path = made(directory.path());
        let right = passphrase("four words are enough");
        let said =
            |path: &Path, passphrase: &Passphrase| Opened::open(path, passphrase).unwrap_err().to_string();
        assert!(
            said(&path, &passphrase("four words are not it")).contains("does not open with this passphrase")
        );
        assert!(said(&path.with_extension("none"), &right).contains("mayfly wallet login"));
        assert!(said(&directory.path().join("nowhere/wallet"), &right).contains("mayfly wallet login"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(said(&path, &right).contains("chmod 600"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let whole = fs::read(&path).unwrap();
        fs::write(&path, &whole[..whole.len() / 2]).unwrap();
        assert!(said(&path, &right).contains("damaged"));
        fs::write(&path, vec![b'x'; FILE_BYTES_MAX + 1]).unwrap();
        assert!(said(&path, &right).contains("longer than any wallet"));
    }

    #[test]
    fn a_write_that_fails_leaves_the_old_one() {
        let directory = tempfile::tempdir().unwrap();
        let path = made(directory.path());
        let right = passphrase("four words are enough");
        // What a process left that died is no obstacle; a directory in its place is.
        fs::write(suffixed(&path, ".new"), "half").unwrap();
        let mut opened = Opened::open(&path, &right).unwrap();
        opened.save().unwrap();
        assert!(!suffixed(&path, ".new").exists());
        fs::create_dir(suffixed(&path, ".new")).unwrap();
        let before = fs::read(&path).unwrap();
        assert!(opened.save().unwrap_err().to_string().contains("can't be written"));
        assert_eq!(fs::read(&path).unwrap(), before);
    }

    #[test]
    fn a_link_leads_to_the_same_wallet_and_the_same_lock() {
        let directory = tempfile::tempdir().unwrap();
        let path = made(directory.path());
        let link = directory.path().join("link");
        symlink(&path, &link).unwrap();
        let right = passphrase("four words are enough");
        let opened = Opened::open(&link, &right).unwrap();
        let lock = File::open(suffixed(&path, ".lock")).unwrap();
        assert!(matches!(lock.try_lock(), Err(TryLockError::WouldBlock)));
        drop(opened);
        lock.try_lock().unwrap();
        drop(lock);
        Opened::open(&link, &right).unwrap().save().unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    }

    #[test]
    fn a_new_passphrase_takes_the_old_ones_place() {
        let directory = tempfile::tempdir().unwrap();
        let path = made(directory.path());
        let (old, new) = (passphrase("four words are enough"), passphrase("four others are, too"));
        Opened::open(&path, &old).unwrap().change_passphrase(&new).unwrap();
        assert!(Opened::open(&path, &old).is_err());
        assert_eq!(Opened::open(&path, &new).unwrap().wallet.server(), "https://a.example");
    }
}
