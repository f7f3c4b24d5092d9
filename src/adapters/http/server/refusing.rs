//! Answers what was to be a request and cannot be read as one.
//!
//! hyper answers it with a bare status. The application says more: what is wrong
//! in the form of its errors, and under which identifier the log has it.

use std::convert::Infallible;
use std::error::Error;
use std::future::poll_fn;
use std::io::{self, Write};
use std::pin::pin;
use std::rc::Rc;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tokio::io::AsyncWriteExt;
use tower_service::Service;

use super::ConnectionInfo;
use super::content::RequestContent;
use super::malformed::Malformed;
use super::progress::Progress;
use super::service::InFlight;
use super::stream::WatchedStream;

/// Has the application answer, and closes the connection.
pub(super) async fn refuse<S, B>(
    mut stream: WatchedStream,
    malformed: Malformed,
    connection: ConnectionInfo,
    progress: &Rc<Progress>,
    mut application: S,
) -> io::Result<()>
where
    S: Service<Request<RequestContent>, Response = Response<B>, Error = Infallible>,
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    stream.take_over();
    let in_flight = InFlight::of_unreadable(progress);
    let mut request = Request::new(RequestContent::none());
    request.extensions_mut().insert(connection);
    request.extensions_mut().insert(malformed);
    let Ok(()) = poll_fn(|context| application.poll_ready(context)).await;
    let Ok(response) = application.call(request).await;
    let bytes = written_out(response).await?;
    stream.write_all(&bytes).await?;
    stream.flush().await?;
    // From here on it is the peer who is waited for.
    drop(in_flight);
    stream.shutdown().await
}

/// A response as it is on the wire, with its body, which is short.
async fn written_out<B>(response: Response<B>) -> io::Result<Vec<u8>>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let (head, body) = response.into_parts();
    let mut bytes = Vec::new();
    let reason = head.status.canonical_reason().unwrap_or_default();
    write!(bytes, "HTTP/1.1 {} {reason}\r\n", head.status.as_u16())?;
    for (name, value) in &head.headers {
        write!(bytes, "{name}: ")?;
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    let date = httpdate::fmt_http_date(std::time::SystemTime::now());
    write!(bytes, "connection: close\r\ndate: {date}\r\n\r\n")?;
    let mut body = pin!(body);
    while let Some(frame) = poll_fn(|context| body.as_mut().poll_frame(context)).await {
        let frame = frame.map_err(io::Error::other)?;
        if let Ok(data) = frame.into_data() {
            bytes.extend_from_slice(&data);
        }
    }
    Ok(bytes)
}
