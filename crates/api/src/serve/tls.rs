//! Certificate and key.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// The files of certificate and key, in PEM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate, and those that lead to a root that clients know.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Why certificate or key can't be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TlsError {
    /// A file can't be read.
    Unreadable {
        /// Which one.
        file: PathBuf,
        /// Why.
        why: String,
    },
    /// There is nothing of the kind in the file.
    Nothing {
        /// Which one.
        file: PathBuf,
        /// What should be there.
        expected: &'static str,
    },
    /// They can't be used, or not together.
    Unusable {
        /// Why.
        why: String,
    },
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { file, why } => {
                write!(f, "{}: {why}; name a PEM file that the server may read", file.display())
            }
            Self::Nothing { file, expected } => {
                write!(f, "{} has no {expected}; name a PEM file that has one", file.display())
            }
            Self::Unusable { why } => {
                write!(f, "certificate and key can't be used: {why}; name a certificate and its own key")
            }
        }
    }
}

impl std::error::Error for TlsError {}

impl TlsFiles {
    /// Reads them.
    pub(super) fn acceptor(&self) -> Result<TlsAcceptor, TlsError> {
        let unusable = |error: tokio_rustls::rustls::Error| TlsError::Unusable { why: error.to_string() };
        let chain = chain(&self.certificate)?;
        let key = PrivateKeyDer::from_pem_file(&self.key)
            .map_err(|error| wrong(&self.key, "private key", &error))?;
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(unusable)?
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .map_err(unusable)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

fn chain(file: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let expected = "certificate";
    let certificates = CertificateDer::pem_file_iter(file).map_err(|error| wrong(file, expected, &error))?;
    let chain: Vec<_> =
        certificates.collect::<Result<_, _>>().map_err(|error| wrong(file, expected, &error))?;
    if chain.is_empty() {
        return Err(TlsError::Nothing { file: file.to_owned(), expected });
    }
    Ok(chain)
}

fn wrong(file: &Path, expected: &'static str, error: &pem::Error) -> TlsError {
    let file = file.to_owned();
    match error {
        pem::Error::NoItemsFound => TlsError::Nothing { file, expected },
        pem::Error::Io(error) => TlsError::Unreadable { file, why: error.kind().to_string() },
        // What is in the file is not repeated: it could be of the key.
        _ => TlsError::Unreadable { file, why: "not PEM".to_owned() },
    }
}
