//! HTTPS: certificate and key, which are read again when they change.

use std::{
    fs,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use tokio_rustls::TlsAcceptor;

/// How often it is looked whether the files changed.
const LOOK: Duration = Duration::from_secs(10);

/// Certificate and key of a server.
pub struct Tls {
    certificate: PathBuf,
    key: PathBuf,
    now: Mutex<Now>,
}

struct Now {
    config: Arc<ServerConfig>,
    looked: Instant,
    changed: [Option<SystemTime>; 2],
}

impl Tls {
    /// Of these files.
    ///
    /// # Errors
    ///
    /// What is wrong with them, in a sentence.
    pub fn new(certificate: PathBuf, key: PathBuf) -> Result<Self, String> {
        let changed = [changed(&certificate), changed(&key)];
        let config = load(&certificate, &key)?;
        let now = Mutex::new(Now { config, looked: Instant::now(), changed });
        Ok(Self { certificate, key, now })
    }

    /// What takes the next connection. Where files that changed cannot be read, it is what was read before.
    pub fn acceptor(&self) -> TlsAcceptor {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        if now.looked.elapsed() >= LOOK {
            now.looked = Instant::now();
            let changed = [changed(&self.certificate), changed(&self.key)];
            if changed != now.changed {
                now.changed = changed;
                match load(&self.certificate, &self.key) {
                    Ok(config) => now.config = config,
                    Err(why) => log::warn!("the certificate of before is served on: {why}"),
                }
            }
        }
        TlsAcceptor::from(now.config.clone())
    }
}

fn changed(file: &PathBuf) -> Option<SystemTime> {
    fs::metadata(file).and_then(|metadata| metadata.modified()).ok()
}

fn load(certificate: &PathBuf, key: &PathBuf) -> Result<Arc<ServerConfig>, String> {
    let unreadable = |file: &PathBuf, error: &dyn std::fmt::Display| {
        format!("{} cannot be read as PEM: {error}", file.display())
    };
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| unreadable(certificate, &error))?;
    if chain.is_empty() {
        return Err(format!("there is no certificate in {}", certificate.display()));
    }
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| unreadable(key, &error))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, private))
        .map_err(|error| {
            format!("{} and {} cannot be used: {error}", certificate.display(), key.display())
        })?;
    Ok(Arc::new(config))
}
