//! What is secret at rest, and how a log-in name is found although it is.

use mayfly_core::IssuerId;
use mayfly_identity::name::LoginName;
use mayfly_keys::{DirectoryKeys, Opened, Random, SealPlace};

use super::DirectoryError;

/// The version of the directory's seal key. There is one.
pub(super) const KEY_VERSION: u32 = 1;

/// A sealed column. What is in it is bound to issuer, column and row.
#[derive(Clone, Copy)]
pub(super) struct Column(pub(super) &'static str);

impl Column {
    pub(super) fn seal(
        self,
        keys: &DirectoryKeys,
        (issuer, row): (IssuerId, u64),
        plaintext: &[u8],
        random: &mut dyn Random,
    ) -> Result<Vec<u8>, DirectoryError> {
        let (tenant, row) = (issuer.0.to_be_bytes(), row.to_be_bytes());
        Ok(keys.seals().seal(&self.place(&tenant, &row), plaintext, random)?)
    }

    pub(super) fn open(
        self,
        keys: &DirectoryKeys,
        (issuer, row): (IssuerId, u64),
        sealed: &[u8],
    ) -> Result<Opened, DirectoryError> {
        let (tenant, row) = (issuer.0.to_be_bytes(), row.to_be_bytes());
        let opened = keys.seals().open(&self.place(&tenant, &row), sealed);
        opened.map_err(|why| DirectoryError::Sealed { what: self.0, why })
    }

    /// What was sealed was parsed before: somebody sealed something else there, or another version knows more.
    pub(super) fn unreadable(self) -> DirectoryError {
        DirectoryError::Unreadable { what: self.0 }
    }

    fn place<'a>(self, tenant: &'a [u8], row: &'a [u8]) -> SealPlace<'a> {
        SealPlace { tenant, table: self.0, row, key_version: KEY_VERSION }
    }
}

/// By what a log-in name is found. The issuer is in it, so that nobody sees that two issuers have the same customer.
pub(super) fn login_hash(keys: &DirectoryKeys, issuer: IssuerId, login: &LoginName) -> [u8; 16] {
    keys.hash("login-name", &[&issuer.0.to_be_bytes(), login.as_str().as_bytes()])
}
