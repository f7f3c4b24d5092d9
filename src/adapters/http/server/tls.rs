//! The certificate that TLS is served with, and its successors.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use thiserror::Error;
use tokio_rustls::rustls;
use tracing::{info, warn};

use self::rustls::ServerConfig;
use self::rustls::crypto::{self, CryptoProvider};
use self::rustls::pki_types::pem::{self, PemObject};
use self::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use self::rustls::server::{ClientHello, ResolvesServerCert};
use self::rustls::sign::CertifiedKey;

/// How often the files are looked at.
const INTERVAL: Duration = Duration::from_secs(2);

/// Why a certificate cannot be served.
#[derive(Debug, Error)]
pub enum CertificateError {
    /// A file is not there, or is no PEM of its kind.
    #[error("cannot read {what} from {path}: {source}")]
    File {
        /// What the file is to hold.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: pem::Error,
    },
    /// The certificate and the key do not belong together, or cannot be used.
    #[error("cannot use the certificate in {path} with its key: {source}")]
    Pair {
        /// The certificate's file.
        path: PathBuf,
        /// Why not.
        source: rustls::Error,
    },
}

/// A certificate and its key, in files that may be replaced at any time.
#[derive(Clone)]
pub struct Certificate {
    certificate: PathBuf,
    key: PathBuf,
    provider: Arc<CryptoProvider>,
    current: Arc<Current>,
    loaded: Version,
}

/// What tells a file from its successor.
type Version = [Option<(SystemTime, u64, u64)>; 2];

/// The pair that the next handshake uses.
#[derive(Debug)]
struct Current(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let current = self.0.read().unwrap_or_else(PoisonError::into_inner);
        Some(Arc::clone(&current))
    }
}

impl Certificate {
    /// Loads a certificate, followed by those that signed it, and its key.
    ///
    /// # Errors
    /// When either cannot be read, or they do not belong together.
    pub fn load(certificate: &Path, key: &Path) -> Result<Self, CertificateError> {
        let provider = Arc::new(crypto::ring::default_provider());
        let loaded = version(certificate, key);
        let pair = load_pair(certificate, key, &provider)?;
        Ok(Self {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            provider,
            current: Arc::new(Current(RwLock::new(Arc::new(pair)))),
            loaded,
        })
    }

    /// What TLS is served with.
    pub(super) fn server_config(&self) -> Result<Arc<ServerConfig>, rustls::Error> {
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&self.current) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }

    /// Loads the files again whenever they change, for ever. Until a new pair is
    /// whole and fits, handshakes use the old one.
    pub(super) async fn follow_files(self) {
        let mut certificate = self;
        loop {
            tokio::time::sleep(INTERVAL).await;
            // The files may lie on a network.
            let looked = tokio::task::spawn_blocking(move || {
                certificate.look();
                certificate
            });
            certificate = match looked.await {
                Ok(certificate) => certificate,
                Err(error) => {
                    warn!(%error, "the certificate is not followed any longer");
                    return;
                }
            };
        }
    }

    fn look(&mut self) {
        let version = version(&self.certificate, &self.key);
        if version == self.loaded {
            return;
        }
        // Not to be tried, and complained of, again before it changes again.
        self.loaded = version;
        let path = self.certificate.display();
        match load_pair(&self.certificate, &self.key, &self.provider) {
            Ok(pair) => {
                let mut current = self
                    .current
                    .0
                    .write()
                    .unwrap_or_else(PoisonError::into_inner);
                *current = Arc::new(pair);
                info!("loaded a new certificate from {path}");
            }
            Err(error) => warn!("kept the old certificate: {error}"),
        }
    }
}

fn load_pair(
    certificate: &Path,
    key: &Path,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, CertificateError> {
    let failed = |what, path: &Path| {
        let path = path.to_owned();
        move |source| CertificateError::File { what, path, source }
    };
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .and_then(|chain| {
            if chain.is_empty() {
                Err(pem::Error::NoItemsFound)
            } else {
                Ok(chain)
            }
        })
        .map_err(failed("a certificate", certificate))?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(failed("a private key", key))?;
    CertifiedKey::from_der(chain, key, provider).map_err(|source| CertificateError::Pair {
        path: certificate.to_owned(),
        source,
    })
}

fn version(certificate: &Path, key: &Path) -> Version {
    use std::os::unix::fs::MetadataExt;
    [certificate, key].map(|path| {
        let metadata = fs::metadata(path).ok()?;
        Some((metadata.modified().ok()?, metadata.len(), metadata.ino()))
    })
}
