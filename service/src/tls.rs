//! TLS to the servers: files with certificates, and what is verified.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

use crate::config::Vars;

/// The files of one server's TLS settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// Certificates of the authorities that sign the server's certificate; `None`: the system's.
    pub ca: Option<PathBuf>,
    /// Our certificate, with those between it and its authority, and its key.
    pub client: Option<(PathBuf, PathBuf)>,
}

/// How much of the server's certificate is verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verify {
    /// Nothing: the connection is encrypted, but the server may be anybody.
    Nothing,
    /// It is signed by a known authority and not expired.
    Authority,
    /// Its authority, and that it is for the host that was connected to.
    Full,
}

impl TlsFiles {
    /// Reads the variables that hold the paths: the authorities, our certificate, our key.
    pub fn from_vars(vars: &mut Vars, [ca, certificate, key]: [&str; 3]) -> Self {
        let mut path = |name: &str, hint: &str| vars.read_optional::<PathBuf>(name, hint);
        let ca = path(ca, "path of a PEM file with certificates of authorities");
        let pair = (
            path(certificate, "path of a PEM file with our certificate"),
            path(key, "path of a PEM file with our key"),
        );
        let client = match pair {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            (Some(_), None) => {
                vars.problem(
                    key,
                    format_args!("not set although {certificate} is (expected the key of that certificate)"),
                );
                None
            }
            (None, Some(_)) => {
                vars.problem(
                    certificate,
                    format_args!("not set although {key} is (expected the certificate of that key)"),
                );
                None
            }
        };
        Self { ca, client }
    }

    /// The PEM text of the authorities, if they are our own.
    ///
    /// # Errors
    /// If the file cannot be read or holds no certificate.
    pub fn ca_pem(&self) -> anyhow::Result<Option<Vec<u8>>> {
        let Some(path) = &self.ca else { return Ok(None) };
        certificates(path)?;
        Ok(Some(read(path)?))
    }

    /// The PEM texts of our certificate and its key, if there are any.
    ///
    /// # Errors
    /// If a file cannot be read or does not hold what it should.
    pub fn client_pem(&self) -> anyhow::Result<Option<(Vec<u8>, Vec<u8>)>> {
        let Some((certificate, key)) = &self.client else { return Ok(None) };
        certificates(certificate)?;
        private_key(key)?;
        Ok(Some((read(certificate)?, read(key)?)))
    }

    /// The client's side of TLS for these files.
    ///
    /// # Errors
    /// If a file cannot be read or does not hold what it should, or key and certificate do not belong together.
    pub fn client_config(&self, verify: Verify) -> anyhow::Result<ClientConfig> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let builder =
            ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
        let verifier: Arc<dyn ServerCertVerifier> = match verify {
            Verify::Nothing => Arc::new(Lenient { provider, chain: None }),
            Verify::Authority => {
                let chain = WebPkiServerVerifier::builder_with_provider(Arc::new(self.roots()?), Arc::clone(&provider))
                    .build()?;
                Arc::new(Lenient { provider, chain: Some(chain) })
            }
            Verify::Full => WebPkiServerVerifier::builder_with_provider(Arc::new(self.roots()?), provider).build()?,
        };
        // The builder calls every verifier that is not its own dangerous; each of these does what its setting says.
        let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
        let Some((certificate, key)) = &self.client else { return Ok(builder.with_no_client_auth()) };
        builder.with_client_auth_cert(certificates(certificate)?, private_key(key)?).with_context(|| {
            format!("the key {} does not fit the certificate {}", key.display(), certificate.display())
        })
    }

    fn roots(&self) -> anyhow::Result<RootCertStore> {
        let mut roots = RootCertStore::empty();
        if let Some(path) = &self.ca {
            for certificate in certificates(path)? {
                roots
                    .add(certificate)
                    .with_context(|| format!("a certificate in {} cannot be used", path.display()))?;
            }
            return Ok(roots);
        }
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        ensure!(!roots.is_empty(), "this system has no certificates of authorities: name a file with them");
        Ok(roots)
    }
}

fn read(path: &PathBuf) -> anyhow::Result<Vec<u8>> {
    std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

fn certificates(path: &PathBuf) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let parsed: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&read(path)?).collect();
    let found = parsed.with_context(|| format!("{} is not a PEM file", path.display()))?;
    ensure!(!found.is_empty(), "{} holds no certificate (expected PEM)", path.display());
    Ok(found)
}

fn private_key(path: &PathBuf) -> anyhow::Result<PrivateKeyDer<'static>> {
    let key = PrivateKeyDer::from_pem_slice(&read(path)?);
    key.map_err(|_| anyhow::anyhow!("{} holds no private key (expected PEM without a passphrase)", path.display()))
}

/// Verifies less than the host name: the chain, or nothing.
struct Lenient {
    provider: Arc<CryptoProvider>,
    chain: Option<Arc<WebPkiServerVerifier>>,
}

impl fmt::Debug for Lenient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lenient").field("chain", &self.chain.is_some()).finish_non_exhaustive()
    }
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Some(chain) = &self.chain else { return Ok(ServerCertVerified::assertion()) };
        match chain.verify_server_cert(certificate, between, name, ocsp, now) {
            // The chain is verified before the name.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
