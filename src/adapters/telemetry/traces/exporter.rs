//! How spans get to a collector: OTLP over gRPC, or over HTTP.

use std::error::Error;
use std::fs;
use std::io;

use http::HeaderMap;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use opentelemetry::KeyValue;
use opentelemetry_http::hyper::HyperClient;
use opentelemetry_otlp::tonic_types::metadata::MetadataMap;
use opentelemetry_otlp::tonic_types::transport::{Certificate, ClientTlsConfig};
use opentelemetry_otlp::{
    Compression as OtlpCompression, Protocol as OtlpProtocol, SpanExporter, WithExportConfig,
    WithHttpConfig, WithTonicConfig,
};
use opentelemetry_sdk::Resource;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::adapters::settings::{Compression, Protocol, TraceSettings};

/// What all spans say of the process that they come from.
pub(super) fn resource(settings: &TraceSettings) -> Resource {
    let attributes = settings.resource_attributes.iter();
    Resource::builder()
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_attributes(attributes.map(|(name, value)| KeyValue::new(name.clone(), value.clone())))
        .with_service_name(settings.service_name.clone())
        .build()
}

/// Makes what sends spans. It connects when there are some; call this where
/// tasks can be spawned.
pub(super) fn exporter(settings: &TraceSettings) -> Result<SpanExporter, Box<dyn Error>> {
    match settings.protocol {
        Protocol::Grpc => grpc(settings),
        Protocol::Http => http(settings),
    }
}

fn grpc(settings: &TraceSettings) -> Result<SpanExporter, Box<dyn Error>> {
    let headers = HeaderMap::from_iter(settings.headers.iter().cloned());
    let mut exporter = SpanExporter::builder()
        .with_tonic()
        .with_endpoint(&settings.endpoint)
        .with_timeout(settings.timeout)
        .with_metadata(MetadataMap::from_headers(headers));
    if settings.compression == Compression::Gzip {
        exporter = exporter.with_compression(OtlpCompression::Gzip);
    }
    if is_https(settings) {
        let tls = ClientTlsConfig::new();
        exporter = exporter.with_tls_config(match certificate(settings)? {
            Some(pem) => tls.ca_certificate(Certificate::from_pem(pem)),
            None => tls.with_native_roots(),
        });
    }
    Ok(exporter.build()?)
}

fn http(settings: &TraceSettings) -> Result<SpanExporter, Box<dyn Error>> {
    let connector = connector(settings)?;
    let headers = settings
        .headers
        .iter()
        .filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned())));
    let mut exporter = SpanExporter::builder()
        .with_http()
        .with_protocol(OtlpProtocol::HttpBinary)
        .with_endpoint(&settings.endpoint)
        .with_timeout(settings.timeout)
        .with_headers(headers.collect())
        .with_http_client(HyperClient::new(connector, settings.timeout, None));
    if settings.compression == Compression::Gzip {
        exporter = exporter.with_compression(OtlpCompression::Gzip);
    }
    Ok(exporter.build()?)
}

fn connector(settings: &TraceSettings) -> Result<HttpsConnector<HttpConnector>, Box<dyn Error>> {
    let mut roots = RootCertStore::empty();
    match certificate(settings)? {
        Some(pem) => {
            for certificate in CertificateDer::pem_slice_iter(&pem) {
                roots.add(certificate?)?;
            }
        }
        None if is_https(settings) => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
        None => {}
    }
    let config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(HttpsConnectorBuilder::new()
        .with_tls_config(config)
        .https_or_http()
        .enable_http1()
        .build())
}

fn is_https(settings: &TraceSettings) -> bool {
    settings.endpoint.starts_with("https:")
}

/// Who signed the collector's certificate, if the operator says.
fn certificate(settings: &TraceSettings) -> io::Result<Option<Vec<u8>>> {
    let Some(path) = &settings.certificate else {
        return Ok(None);
    };
    fs::read(path).map(Some).map_err(|error| {
        let path = path.display();
        io::Error::new(
            error.kind(),
            format!("cannot read the collector's certificate {path}: {error}"),
        )
    })
}
