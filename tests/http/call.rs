//! A request, put together step by step and sent by awaiting it.

use std::future::IntoFuture;
use std::pin::Pin;

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use http::header::{CONTENT_LENGTH, HeaderName};
use http::{HeaderValue, Method, Request, Response, Uri};
use http_body_util::BodyExt;
use tower::ServiceExt;

use crate::answer::Answer;

/// A request to a router.
pub(crate) struct Call {
    router: Router,
    request: Request<Body>,
}

impl Call {
    pub(crate) fn new(router: &Router, method: Method, uri: &str) -> Self {
        let mut request = Request::new(Body::empty());
        *request.method_mut() = method;
        *request.uri_mut() = uri.parse::<Uri>().expect("a URI");
        Self {
            router: router.clone(),
            request,
        }
    }

    /// Adds a header; one that is there already stays.
    pub(crate) fn header(mut self, name: impl Into<HeaderName>, value: impl AsRef<[u8]>) -> Self {
        let value = HeaderValue::from_bytes(value.as_ref()).expect("a header's value");
        self.request.headers_mut().append(name.into(), value);
        self
    }

    /// Adds a header that is not one of the well-known ones.
    pub(crate) fn named(self, name: &'static str, value: impl AsRef<[u8]>) -> Self {
        self.header(HeaderName::from_static(name), value)
    }

    /// Gives the request a body of known length.
    pub(crate) fn body(self, content: impl Into<Bytes>) -> Self {
        let content = content.into();
        let length = content.len();
        self.announcing(length).stream(Body::from(content))
    }

    /// Gives the request a body in pieces, and no length: chunked encoding.
    pub(crate) fn pieces<B: Into<Bytes>>(self, pieces: impl IntoIterator<Item = B>) -> Self {
        let pieces: Vec<Result<Bytes, std::io::Error>> =
            pieces.into_iter().map(|piece| Ok(piece.into())).collect();
        self.stream(Body::from_stream(stream::iter(pieces)))
    }

    /// Gives the request this body, and no length.
    pub(crate) fn stream(mut self, body: Body) -> Self {
        *self.request.body_mut() = body;
        self
    }

    /// Announces a length, whatever the body's is.
    pub(crate) fn announcing(self, length: usize) -> Self {
        self.header(CONTENT_LENGTH, length.to_string())
    }

    /// Has the request come by a connection of this kind.
    pub(crate) fn extension<T: Clone + Send + Sync + 'static>(mut self, value: T) -> Self {
        self.request.extensions_mut().insert(value);
        self
    }

    /// Sends the request, and leaves the body of the response unread.
    pub(crate) async fn unread(self) -> Response<Body> {
        let Ok(response) = self.router.oneshot(self.request).await;
        response
    }
}

impl IntoFuture for Call {
    type Output = Answer;
    type IntoFuture = Pin<Box<dyn Future<Output = Answer>>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let method = self.request.method().clone();
            let uri = self.request.uri().clone();
            let (parts, body) = self.unread().await.into_parts();
            let body = body.collect().await;
            let body = body.unwrap_or_else(|error| panic!("{method} {uri}: {error}"));
            let content = body.to_bytes();
            Answer::new(method, &uri, parts.status, parts.headers, content)
        })
    }
}
