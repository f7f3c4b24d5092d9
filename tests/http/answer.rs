//! What comes back, and what must hold of anything that comes back.

use std::fmt::Write as _;

use bytes::Bytes;
use http::header::{
    ALLOW, CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderName, LINK, LOCATION, TRANSFER_ENCODING,
};
use http::{HeaderMap, Method, StatusCode, Uri};
use octoserve::domain::digest::Digest;
use serde_json::Value;

/// A response whose body has been read.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    method: Method,
    /// The request, for messages of failed tests.
    request: String,
}

/// Every code that an error body may hold.
const CODES: [&str; 14] = [
    "BLOB_UNKNOWN",
    "BLOB_UPLOAD_INVALID",
    "BLOB_UPLOAD_UNKNOWN",
    "DIGEST_INVALID",
    "MANIFEST_BLOB_UNKNOWN",
    "MANIFEST_INVALID",
    "MANIFEST_UNKNOWN",
    "NAME_INVALID",
    "NAME_UNKNOWN",
    "PAGINATION_NUMBER_INVALID",
    "SIZE_INVALID",
    "UNAVAILABLE",
    "UNKNOWN",
    "UNSUPPORTED",
];

/// What tells the insides of a server: its paths, its system calls, its source.
const INTERNALS: [&str; 8] = [
    "os error",
    "No such file",
    "panicked",
    "src/",
    ".rs",
    "staging",
    "uploads/",
    "/tmp",
];

impl Answer {
    /// Takes a response in, and holds it to what every response must be.
    pub(crate) fn new(
        method: Method,
        uri: &Uri,
        status: StatusCode,
        headers: HeaderMap,
        body: Bytes,
    ) -> Self {
        let answer = Self {
            status,
            headers,
            body,
            request: format!("{method} {uri}"),
            method,
        };
        answer.check_framing();
        answer.check_identity();
        if status.is_client_error() || status.is_server_error() {
            answer.check_error();
        }
        if answer.method == Method::GET && status == StatusCode::OK {
            answer.check_digest();
        }
        answer
    }

    /// Fails unless the status is this one.
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(
            self.status.as_u16(),
            status,
            "{}\n{}",
            self.request,
            self.wire()
        );
        self
    }

    /// Fails unless it is an error of this status and code; a HEAD tells only
    /// the status.
    #[track_caller]
    pub(crate) fn expect_error(self, status: u16, code: &str) -> Self {
        let answer = self.expect(status);
        if answer.method != Method::HEAD {
            assert_eq!(answer.code(), code, "{}\n{}", answer.request, answer.wire());
        }
        answer
    }

    /// The value of a header that the answer has at most once.
    #[track_caller]
    pub(crate) fn header(&self, name: impl Into<HeaderName>) -> Option<&str> {
        let name = name.into();
        let mut values = self.headers.get_all(&name).iter();
        let value = values.next()?;
        assert!(values.next().is_none(), "{name} twice in {}", self.wire());
        Some(value.to_str().expect("a header of text"))
    }

    /// The value of a header that is not one of the well-known ones.
    #[track_caller]
    pub(crate) fn named(&self, name: &'static str) -> Option<&str> {
        self.header(HeaderName::from_static(name))
    }

    /// Every value of a header, in their order.
    pub(crate) fn all(&self, name: &'static str) -> Vec<&str> {
        let values = self.headers.get_all(name).iter();
        values
            .map(|value| value.to_str().expect("a header of text"))
            .collect()
    }

    #[track_caller]
    pub(crate) fn location(&self) -> String {
        self.header(LOCATION).expect("a Location").to_owned()
    }

    #[track_caller]
    pub(crate) fn etag(&self) -> String {
        self.header(ETAG).expect("an ETag").to_owned()
    }

    /// The path of the next page, if there is one.
    pub(crate) fn next_page(&self) -> Option<String> {
        let link = self.header(LINK)?;
        let link = link.strip_prefix('<').expect("a target in angle brackets");
        let (target, parameters) = link.split_once('>').expect("a target in angle brackets");
        assert_eq!(parameters, "; rel=\"next\"");
        assert!(target.starts_with("/v2/"), "relative: {target}");
        Some(target.to_owned())
    }

    /// The body as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    /// The code of the only error in the body.
    #[track_caller]
    pub(crate) fn code(&self) -> String {
        let errors = self.errors();
        assert!(
            errors.windows(2).all(|pair| pair[0].0 == pair[1].0),
            "one code: {errors:?}"
        );
        errors[0].0.clone()
    }

    /// Code and detail of each error in the body.
    #[track_caller]
    pub(crate) fn errors(&self) -> Vec<(String, Value)> {
        let body = self.json();
        let errors = body["errors"].as_array().expect("a list of errors");
        assert!(!errors.is_empty(), "at least one error");
        let code = |error: &Value| error["code"].as_str().expect("a code").to_owned();
        errors
            .iter()
            .map(|error| (code(error), error["detail"].clone()))
            .collect()
    }

    /// What went over the wire, in a form that is the same in every run.
    pub(crate) fn wire(&self) -> String {
        let mut lines: Vec<String> = self
            .headers
            .iter()
            .map(|(name, value)| match name.as_str() {
                "x-request-id" => format!("{name}: [request id]"),
                _ => format!("{name}: {}", value.to_str().unwrap_or("[not text]")),
            })
            .collect();
        lines.sort();
        let mut wire = format!("{}\n{}", self.status, lines.join("\n"));
        match std::str::from_utf8(&self.body) {
            Ok("") => {}
            Ok(text) if text.len() <= 4096 => {
                let _ = write!(wire, "\n\n{text}");
            }
            _ => {
                let _ = write!(wire, "\n\n[{} bytes]", self.body.len());
            }
        }
        wire
    }

    /// Lengths that are said are true, and what has no body has none.
    fn check_framing(&self) {
        let without_body = self.method == Method::HEAD
            || self.status == StatusCode::NO_CONTENT
            || self.status == StatusCode::NOT_MODIFIED;
        if without_body {
            assert!(self.body.is_empty(), "{}\n{}", self.request, self.wire());
        } else {
            let length = self.header(CONTENT_LENGTH).expect("every length is known");
            assert_eq!(length, self.body.len().to_string(), "{}", self.request);
        }
        if matches!(
            self.status,
            StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED
        ) {
            // RFC 9110, 8.6: a 204 has no length, and a 304 that of the 200.
            assert_eq!(
                self.header(CONTENT_LENGTH),
                None,
                "{}\n{}",
                self.request,
                self.wire()
            );
        }
        assert_eq!(self.header(TRANSFER_ENCODING), None, "{}", self.request);
    }

    fn check_identity(&self) {
        let request_id = self.named("x-request-id");
        assert!(
            request_id.is_some_and(|id| !id.is_empty()),
            "{} has no request id\n{}",
            self.request,
            self.wire()
        );
    }

    /// An error says what it is in the form of the specification, and nothing
    /// of the server's insides.
    fn check_error(&self) {
        let wire = self.wire();
        let content_type = self.header(CONTENT_TYPE);
        assert_eq!(content_type, Some("application/json"), "{wire}");
        if self.status == StatusCode::METHOD_NOT_ALLOWED {
            assert!(self.header(ALLOW).is_some(), "{wire}");
        }
        if self.method == Method::HEAD {
            return;
        }
        for error in self.json()["errors"].as_array().expect("a list of errors") {
            let code = error["code"].as_str().expect("a code");
            assert!(CODES.contains(&code), "{code} in {wire}");
            let message = error["message"].as_str().expect("a message");
            assert!(!message.is_empty(), "{wire}");
            for internal in INTERNALS {
                assert!(!message.contains(internal), "{internal} in {wire}");
            }
        }
    }

    /// Whole content is the content of the digest that it is sent with.
    fn check_digest(&self) {
        if let Some(text) = self.named("docker-content-digest") {
            let digest: Digest = text.parse().expect("a digest");
            let actual = Digest::of(digest.algorithm(), &self.body);
            assert_eq!(actual, digest, "{}", self.request);
        }
    }
}
