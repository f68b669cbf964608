//! Where a root key is, and what computes with it: memory, or a module that keeps it to itself.

use core::fmt;

use crate::mac::{Mac, MacKey};

/// Has one root key and computes CMACs under it. Everything else that is ever done with a root key follows from that.
///
/// There are two kinds: the root key in memory ([`KeyService::new`](crate::KeyService::new)), and a hardware module's
/// (PKCS#11), which never gives it away. Both give the same bytes. A module is asked when it is opened, and when a BIN is
/// set up; never for a request.
pub trait KeyModule: Send + Sync {
    /// AES-256-CMAC of the concatenated parts under the root key.
    ///
    /// # Errors
    ///
    /// [`ModuleError`] if the module can't be reached or refuses; memory never fails.
    fn root_mac(&self, parts: &[&[u8]]) -> Result<Mac, ModuleError>;
}

/// A root key in memory, prepared.
impl KeyModule for MacKey {
    fn root_mac(&self, parts: &[&[u8]]) -> Result<Mac, ModuleError> {
        Ok(self.mac(parts))
    }
}

/// Why a key module computed nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModuleError {
    /// One of its functions failed.
    Failed {
        /// The function's name, as the module's interface calls it.
        function: String,
        /// The module's own name for what happened.
        reason: String,
    },
    /// What it computed is no AES-CMAC.
    MacLength {
        /// How many bytes it gave.
        bytes: usize,
    },
}

impl fmt::Display for ModuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed { function, reason } => write!(
                f,
                "the key module failed in {function}: {reason}; check that it can be reached and start again"
            ),
            Self::MacLength { bytes } => write!(
                f,
                "the key module gave a MAC of {bytes} bytes instead of {}; check that it has the mechanism AES-CMAC",
                Mac::BYTES
            ),
        }
    }
}

impl std::error::Error for ModuleError {}
