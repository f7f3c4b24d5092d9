//! Why a request is not to be served.

use http::StatusCode;
use thiserror::Error;

/// What is wrong with the form of a request. A request that has this as an
/// extension is to be refused: its connection is closed after the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Malformed {
    /// It is no HTTP: nothing is known of it, not even its method.
    #[error("its head does not read as HTTP/1.1")]
    Syntax,
    /// Both `Content-Length` and `Transfer-Encoding`: whoever is in between may
    /// have taken the other one, and see other requests than we do.
    #[error("it has both Content-Length and Transfer-Encoding")]
    TwoLengths,
    /// No `Host`, or more than one.
    #[error("it does not have exactly one Host header")]
    Host,
    /// A line of the head ends with a line feed alone: whoever is in between may
    /// not have taken that for its end.
    #[error("a line of its head does not end with CR LF")]
    BareLineFeed,
    /// The request line is too long.
    #[error("its URI is too long")]
    LongRequestLine,
    /// The head is too large.
    #[error("its headers are too large")]
    LargeHead,
}

impl Malformed {
    /// What it is if hyper, having found it unreadable, would answer this.
    pub(super) const fn of_unreadable(status: StatusCode) -> Self {
        match status {
            StatusCode::URI_TOO_LONG => Self::LongRequestLine,
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => Self::LargeHead,
            _ => Self::Syntax,
        }
    }
}
