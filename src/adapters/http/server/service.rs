//! Every request of a connection, on its way to the application and back.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::{CONNECTION, HeaderValue};
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::ConnectionInfo;
use super::content::RequestContent;
use super::progress::Progress;
use super::streams::{PIECE, StreamProgress};

/// The application, for one connection.
pub(super) struct Requests<S> {
    application: S,
    progress: Rc<Progress>,
    connection: ConnectionInfo,
    streams: bool,
}

impl<S> Requests<S> {
    /// For an HTTP/1 connection.
    pub(super) const fn new(
        application: S,
        progress: Rc<Progress>,
        connection: ConnectionInfo,
    ) -> Self {
        Self {
            application,
            progress,
            connection,
            streams: false,
        }
    }

    /// For an HTTP/2 connection, whose requests are streams.
    pub(super) const fn of_streams(
        application: S,
        progress: Rc<Progress>,
        connection: ConnectionInfo,
    ) -> Self {
        Self {
            application,
            progress,
            connection,
            streams: true,
        }
    }
}

impl<S, B> hyper::service::Service<Request<Incoming>> for Requests<S>
where
    S: Service<Request<RequestContent>, Response = Response<B>, Error = Infallible> + Clone,
{
    type Response = Response<AnswerBody<B>>;
    type Error = Infallible;
    type Future = Answer<S, S::Future>;

    fn call(&self, mut request: Request<Incoming>) -> Self::Future {
        let malformed = self.progress.begin_request();
        let in_flight = InFlight(Rc::clone(&self.progress));
        let stream = self.streams.then(|| {
            let stream = Rc::<StreamProgress>::default();
            self.progress.new_stream.replace(Some(Rc::clone(&stream)));
            stream
        });
        if let Some(malformed) = malformed {
            request.extensions_mut().insert(malformed);
        }
        request.extensions_mut().insert(self.connection.clone());
        Answer {
            step: Step::Waiting {
                application: self.application.clone(),
                request: Some(request.map(RequestContent::new)),
            },
            companions: Some((in_flight, stream)),
        }
    }
}

/// A request counts as being answered for as long as this lives.
pub(super) struct InFlight(Rc<Progress>);

impl InFlight {
    /// What was taken for a request, and is answered like one.
    pub(super) fn of_unreadable(progress: &Rc<Progress>) -> Self {
        progress.begin_request();
        Self(Rc::clone(progress))
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.end_request();
    }
}

type Companions = (InFlight, Option<Rc<StreamProgress>>);

pin_project! {
    /// An answer in the making.
    pub(super) struct Answer<S, F> {
        #[pin]
        step: Step<S, F>,
        companions: Option<Companions>,
    }
}

pin_project! {
    #[project = StepProjection]
    enum Step<S, F> {
        Waiting { application: S, request: Option<Request<RequestContent>> },
        Running { #[pin] future: F },
    }
}

impl<S, B> Future for Answer<S, S::Future>
where
    S: Service<Request<RequestContent>, Response = Response<B>, Error = Infallible>,
{
    type Output = Result<Response<AnswerBody<B>>, Infallible>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            let future = match this.step.as_mut().project() {
                StepProjection::Waiting {
                    application,
                    request,
                } => {
                    let Ok(()) = ready!(application.poll_ready(context));
                    match request.take() {
                        Some(request) => application.call(request),
                        None => return Poll::Pending,
                    }
                }
                StepProjection::Running { future } => {
                    let Ok(mut response) = ready!(future.poll(context));
                    let companions = this.companions.take();
                    if let Some((InFlight(progress), None)) = &companions
                        && progress.is_last_answer()
                    {
                        let close = HeaderValue::from_static("close");
                        response.headers_mut().insert(CONNECTION, close);
                    }
                    return Poll::Ready(Ok(response.map(|body| AnswerBody {
                        body,
                        rest: None,
                        companions,
                    })));
                }
            };
            this.step.set(Step::Running { future });
        }
    }
}

pin_project! {
    /// The body of an answer.
    pub(super) struct AnswerBody<B> {
        #[pin]
        body: B,
        // What is left of a frame that is too large for a stream.
        rest: Option<Bytes>,
        companions: Option<Companions>,
    }
}

impl<B: Body<Data = Bytes>> Body for AnswerBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let this = self.project();
        let stream = this
            .companions
            .as_ref()
            .and_then(|(_, stream)| stream.as_ref());
        if let Some(stream) = stream {
            stream.taken();
        }
        let frame = match this.rest.take() {
            Some(rest) => Some(Ok(Frame::data(rest))),
            None => ready!(this.body.poll_frame(context)),
        };
        let Some(stream) = stream else {
            return Poll::Ready(frame);
        };
        stream.given();
        Poll::Ready(frame.map(|frame| Ok(piece(frame?, this.rest))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let left = self.rest.as_ref().map_or(0, |rest| rest.len() as u64);
        let mut hint = self.body.size_hint();
        hint.set_lower(hint.lower() + left);
        if let Some(upper) = hint.upper() {
            hint.set_upper(upper + left);
        }
        hint
    }
}

/// As much of a frame as a stream is given at once.
fn piece(frame: Frame<Bytes>, rest: &mut Option<Bytes>) -> Frame<Bytes> {
    match frame.into_data() {
        Ok(mut data) => {
            if data.len() > PIECE {
                *rest = Some(data.split_off(PIECE));
            }
            Frame::data(data)
        }
        Err(trailers) => trailers,
    }
}
