//! One request to a server that may or may not be well.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_rustls::rustls;

use self::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use self::rustls::crypto::{self, CryptoProvider};
use self::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use self::rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme};
use crate::adapters::settings::ServerSettings;

/// How long a server that is well takes to answer, at most.
const PATIENCE: Duration = Duration::from_secs(3);

/// Where to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    tls: bool,
    host: String,
    port: u16,
    path: String,
}

impl Probe {
    /// `/readyz` of a server with these settings, by loopback if it listens on
    /// every address.
    #[must_use]
    pub fn of(settings: &ServerSettings) -> Self {
        Self {
            tls: settings.tls.is_some(),
            host: match settings.address.as_str() {
                "0.0.0.0" => "127.0.0.1".to_owned(),
                "::" => "::1".to_owned(),
                address => address.to_owned(),
            },
            port: settings.port,
            path: "/readyz".to_owned(),
        }
    }

    /// A URL such as `https://localhost:5000/readyz`; without a path it asks
    /// for `/readyz`.
    #[must_use]
    pub fn parse(url: &str) -> Option<Self> {
        let (tls, rest) = match url.split_once("://")? {
            ("http", rest) => (false, rest),
            ("https", rest) => (true, rest),
            _ => return None,
        };
        let (authority, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, "/readyz"),
        };
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
            _ => (authority, if tls { 443 } else { 80 }),
        };
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let clean = |text: &str| !text.bytes().any(|byte| byte <= b' ' || byte == b'@');
        (!host.is_empty() && clean(host) && clean(path)).then(|| Self {
            tls,
            host: host.to_owned(),
            port,
            path: path.to_owned(),
        })
    }

    fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Display for Probe {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(formatter, "{scheme}://{}{}", self.authority(), self.path)
    }
}

/// Asks, and returns whether the answer was 200, and what it was in words.
///
/// # Errors
/// When there is no answer.
pub fn probe(probe: &Probe) -> io::Result<(bool, String)> {
    let deadline = Instant::now() + PATIENCE;
    let mut stream = connect(probe, deadline)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let answer = if probe.tls {
        let name = ServerName::try_from(probe.host.clone()).map_err(io::Error::other)?;
        let mut session =
            ClientConnection::new(client_config()?, name).map_err(io::Error::other)?;
        exchange(probe, &mut rustls::Stream::new(&mut session, &mut stream))?
    } else {
        exchange(probe, &mut stream)?
    };
    let status_line = answer.lines().next().unwrap_or_default();
    match status_line.split(' ').nth(1) {
        Some("200") => Ok((true, "ready".to_owned())),
        Some(status) if status_line.starts_with("HTTP/1.") => {
            Ok((false, format!("not ready: it answers {status}")))
        }
        _ => Ok((false, "not ready: it does not answer in HTTP".to_owned())),
    }
}

fn connect(probe: &Probe, deadline: Instant) -> io::Result<TcpStream> {
    let mut refusal = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in (probe.host.as_str(), probe.port).to_socket_addrs()? {
        let left = deadline.saturating_duration_since(Instant::now());
        match TcpStream::connect_timeout(&address, left.max(Duration::from_millis(1))) {
            Ok(stream) => return Ok(stream),
            Err(error) => refusal = error,
        }
    }
    Err(refusal)
}

fn exchange(probe: &Probe, stream: &mut (impl Read + Write)) -> io::Result<String> {
    let (path, authority) = (&probe.path, probe.authority());
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: {authority}\r\nuser-agent: octoserve-healthcheck\r\n\
         connection: close\r\n\r\n"
    )?;
    stream.flush()?;
    // The status line is what counts; the rest need not come.
    let mut answer = Vec::new();
    let mut piece = [0; 512];
    while !answer.contains(&b'\n') && answer.len() < 4096 {
        match stream.read(&mut piece)? {
            0 => break,
            read => answer.extend(piece.iter().take(read)),
        }
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

fn client_config() -> io::Result<Arc<ClientConfig>> {
    let provider = Arc::new(crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        .with_no_client_auth();
    Ok(Arc::new(config))
}

/// Trusts every certificate: the probe asks this machine whether it is well, and
/// tells it nothing.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::Probe;

    fn shown(url: &str) -> Option<String> {
        Probe::parse(url).map(|probe| probe.to_string())
    }

    #[test]
    fn a_url_names_scheme_host_port_and_path() {
        let full = shown("https://[::1]:5443/livez?x=1");
        assert_eq!(full.as_deref(), Some("https://[::1]:5443/livez?x=1"));
        let short = shown("http://example.org");
        assert_eq!(short.as_deref(), Some("http://example.org:80/readyz"));
    }

    #[test]
    fn what_is_no_url_of_http_is_refused() {
        for url in [
            "localhost:5000",
            "ftp://localhost/",
            "http://",
            "http://localhost:port/",
            "http://localhost/a b",
            "http://user@localhost/",
            "http://localhost/\r\nx: y",
        ] {
            assert_eq!(shown(url), None, "{url:?}");
        }
    }
}
