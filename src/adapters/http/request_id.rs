//! What a request is called in the log and in its response.

use std::sync::atomic::{AtomicU64, Ordering};

use http::{HeaderMap, HeaderName, HeaderValue};
use uuid::Uuid;

/// The header that carries it, in requests and in responses.
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A request's identifier: the one a proxy in front has given it, or a fresh
/// one. It is printable and short, whoever made it.
#[derive(Clone, Debug)]
pub(super) struct RequestId(HeaderValue);

impl RequestId {
    pub(super) fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }

    pub(super) fn set(&self, headers: &mut HeaderMap) {
        headers.insert(X_REQUEST_ID, self.0.clone());
    }
}

/// Makes identifiers: a random part for the process, and a number.
pub(super) struct RequestIds {
    process: String,
    next: AtomicU64,
}

impl RequestIds {
    pub(super) fn new() -> Self {
        let mut process = Uuid::new_v4().simple().to_string();
        process.truncate(12);
        Self {
            process,
            next: AtomicU64::new(1),
        }
    }

    /// The identifier of the request with these headers.
    pub(super) fn identify(&self, headers: &HeaderMap) -> RequestId {
        let given = headers.get(X_REQUEST_ID).filter(|value| is_plain(value));
        match given {
            Some(value) => RequestId(value.clone()),
            None => {
                let number = self.next.fetch_add(1, Ordering::Relaxed);
                let text = format!("{}-{number:x}", self.process);
                RequestId(HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static("-")))
            }
        }
    }
}

fn is_plain(value: &HeaderValue) -> bool {
    (1..=64).contains(&value.len())
        && value
            .as_bytes()
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.:/+=".contains(byte))
}
