use std::io::Write;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tracing::{debug, error, info, subscriber};

use super::*;

#[derive(Clone, Default)]
struct Output(Arc<Mutex<Vec<u8>>>);

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What is logged meanwhile, line by line.
fn logged(filter: &str, format: LogFormat, work: impl FnOnce()) -> Vec<String> {
    let output = Output::default();
    let buffer = LineBuffer::start(output.clone(), |_| Vec::new()).unwrap();
    let layers = tracing_subscriber::registry()
        .with(filter.parse::<Targets>().unwrap())
        .with(Lines::new(format, buffer.clone(), false));
    subscriber::with_default(layers, work);
    buffer.flush();
    let text = String::from_utf8(output.0.lock().unwrap().clone()).unwrap();
    text.lines().map(ToOwned::to_owned).collect()
}

fn some_events() {
    let absent: Option<&str> = None;
    let cause = io::Error::other("the \"disk\"\nis full");
    info!(
        repository = "a/b",
        status = 200_u16,
        duration_ms = 0.25,
        strange = f64::NAN,
        absent,
        cached = true,
        peer = %"[::1]:1",
        "answered"
    );
    error!(
        error = &cause as &dyn std::error::Error,
        "it failed:\n{}", "\u{1b}[31mred"
    );
    debug!("not to be seen");
    info!(target: "other", only = "a field");
}

#[test]
fn a_json_line_is_one_flat_object() {
    let lines = logged("info", LogFormat::Json, some_events);
    let parsed: Vec<Value> = lines
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let without_time = |index: usize| {
        let mut object = parsed[index].as_object().unwrap().clone();
        let time = object.remove("timestamp").unwrap();
        humantime::parse_rfc3339(time.as_str().unwrap()).unwrap();
        Value::Object(object).to_string()
    };
    assert_eq!(
        without_time(0),
        concat!(
            r#"{"cached":true,"duration_ms":0.25,"level":"INFO","message":"answered","#,
            r#""peer":"[::1]:1","repository":"a/b","status":200,"strange":"NaN","#,
            r#""target":"octoserve::adapters::telemetry::log::tests"}"#
        )
    );
    assert_eq!(
        without_time(1),
        concat!(
            r#"{"error":"the \"disk\"\nis full","level":"ERROR","#,
            r#""message":"it failed:\n\u001b[31mred","#,
            r#""target":"octoserve::adapters::telemetry::log::tests"}"#
        )
    );
    assert_eq!(
        without_time(2),
        r#"{"level":"INFO","only":"a field","target":"other"}"#
    );
    assert_eq!(lines.len(), 3);
    assert!(
        lines[0][43..].starts_with(concat!(
            r#""level":"INFO","message":"answered","#,
            r#""target":"octoserve::adapters::telemetry::log::tests","repository":"a/b","#,
        )),
        "{}",
        lines[0]
    );
}

#[test]
fn a_text_line_is_for_people_and_still_one_line() {
    let lines = logged("info", LogFormat::Text, some_events);
    let without_time: Vec<&str> = lines.iter().map(|line| &line[28..]).collect();
    assert_eq!(
        without_time,
        [
            "INFO  answered target=octoserve::adapters::telemetry::log::tests repository=a/b \
             status=200 duration_ms=0.25 strange=NaN cached=true peer=[::1]:1",
            "ERROR it failed:\\n\\u001b[31mred target=octoserve::adapters::telemetry::log::tests \
             error=\"the \\\"disk\\\"\\nis full\"",
            "INFO  target=other only=\"a field\"",
        ]
    );
}

#[test]
fn a_directive_sets_the_level_of_a_target() {
    let filter = "warn,octoserve::adapters::telemetry=debug";
    let lines = logged(filter, LogFormat::Text, some_events);
    assert_eq!(lines.len(), 3);
    assert!(lines[2].contains("not to be seen"), "{lines:?}");
}
