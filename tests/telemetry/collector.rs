//! A collector: takes spans by OTLP over gRPC and over HTTP, and remembers them.

use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::routing::post;
use http::{HeaderMap, StatusCode};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tonic::codec::CompressionEncoding;
use tonic::metadata::MetadataMap;
use tonic::service::Routes;
use tonic::{Request, Response, Status};

/// How long spans may take to come.
const PATIENCE: Duration = Duration::from_secs(20);

/// A span, and what the process that sent it says of itself.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) span: Span,
    pub(crate) resource: Vec<KeyValue>,
    /// The header `x-key`, if the request had one.
    pub(crate) key: Option<String>,
}

impl Received {
    /// An attribute, as a text.
    pub(crate) fn attribute(&self, name: &str) -> Option<String> {
        attribute(&self.span.attributes, name)
    }

    pub(crate) fn resource(&self, name: &str) -> Option<String> {
        attribute(&self.resource, name)
    }
}

fn attribute(attributes: &[KeyValue], name: &str) -> Option<String> {
    let found = attributes.iter().find(|attribute| attribute.key == name)?;
    match &found.value {
        Some(AnyValue {
            value: Some(value), ..
        }) => Some(match value {
            Value::StringValue(text) => text.clone(),
            Value::IntValue(number) => number.to_string(),
            Value::DoubleValue(number) => number.to_string(),
            Value::BoolValue(flag) => flag.to_string(),
            other => format!("{other:?}"),
        }),
        _ => None,
    }
}

#[derive(Default)]
struct Taken {
    refuses: AtomicBool,
    spans: Mutex<Vec<Received>>,
    came: Condvar,
}

impl Taken {
    fn take(&self, request: ExportTraceServiceRequest, key: Option<String>) {
        let mut spans = self.spans.lock().unwrap_or_else(PoisonError::into_inner);
        for of_resource in request.resource_spans {
            let resource = of_resource
                .resource
                .map_or_else(Vec::new, |resource| resource.attributes);
            for span in of_resource
                .scope_spans
                .into_iter()
                .flat_map(|scope| scope.spans)
            {
                spans.push(Received {
                    span,
                    resource: resource.clone(),
                    key: key.clone(),
                });
            }
        }
        self.came.notify_all();
    }
}

/// A collector that runs until the test ends.
pub(crate) struct Collector {
    address: SocketAddr,
    taken: Arc<Taken>,
}

impl Collector {
    pub(crate) fn start() -> Self {
        let taken = Arc::new(Taken::default());
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = listener.local_addr().expect("its address");
        listener.set_nonblocking(true).expect("a socket");
        let service = TraceServiceServer::new(Grpc(Arc::clone(&taken)))
            .accept_compressed(CompressionEncoding::Gzip);
        let router: Router = Routes::new(service).into_axum_router();
        let router = router.merge(
            Router::new()
                .route("/v1/traces", post(http))
                .with_state(Arc::clone(&taken)),
        );
        thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                let listener = TcpListener::from_std(listener).expect("a socket");
                serve(listener, router).await;
            });
        });
        Self { address, taken }
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lets it refuse spans, or take them again.
    pub(crate) fn refuse(&self, refuses: bool) {
        self.taken.refuses.store(refuses, Ordering::Relaxed);
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The spans, once there are so many that this is content.
    pub(crate) fn wait_for(&self, enough: impl Fn(&[Received]) -> bool) -> Vec<Received> {
        let spans = self.taken.spans.lock();
        let spans = spans.unwrap_or_else(PoisonError::into_inner);
        let (spans, waited) = self
            .taken
            .came
            .wait_timeout_while(spans, PATIENCE, |spans| !enough(spans))
            .unwrap_or_else(PoisonError::into_inner);
        let names: Vec<&str> = spans.iter().map(|span| &*span.span.name).collect();
        assert!(!waited.timed_out(), "only these spans came: {names:#?}");
        spans.clone()
    }

    /// The spans that have come.
    pub(crate) fn spans(&self) -> Vec<Received> {
        self.wait_for(|_| true)
    }
}

/// Serves HTTP/1 and cleartext HTTP/2.
async fn serve(listener: TcpListener, router: Router) {
    use hyper_util::rt::{TokioExecutor, TokioIo};
    use hyper_util::server::conn::auto;
    use hyper_util::service::TowerToHyperService;
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let service = TowerToHyperService::new(router.clone());
        tokio::spawn(async move {
            let builder = auto::Builder::new(TokioExecutor::new());
            // A sender that goes away is none of our business.
            let _ = builder
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

struct Grpc(Arc<Taken>);

#[tonic::async_trait]
impl TraceService for Grpc {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let key = |metadata: &MetadataMap| {
            let value = metadata.get("x-key")?;
            value.to_str().ok().map(ToOwned::to_owned)
        };
        let key = key(request.metadata());
        self.0.take(request.into_inner(), key);
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

async fn http(State(taken): State<Arc<Taken>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let text = |name: &str| {
        let value = headers.get(name)?;
        value.to_str().ok().map(ToOwned::to_owned)
    };
    if taken.refuses.load(Ordering::Relaxed) {
        return StatusCode::FORBIDDEN;
    }
    assert_eq!(
        text("content-type").as_deref(),
        Some("application/x-protobuf")
    );
    let body = match text("content-encoding").as_deref() {
        Some("gzip") => {
            let mut plain = Vec::new();
            flate2::read::GzDecoder::new(&*body)
                .read_to_end(&mut plain)
                .expect("gzip");
            plain
        }
        _ => body.to_vec(),
    };
    let request = ExportTraceServiceRequest::decode(&*body).expect("a request of OTLP");
    taken.take(request, text("x-key"));
    StatusCode::OK
}
