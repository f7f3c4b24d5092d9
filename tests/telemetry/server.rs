//! The program under test.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

use crate::exchange::{Answer, ask};

/// How long a line may take to come.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server that runs until the test ends.
pub(crate) struct Server {
    process: Child,
    lines: Receiver<Value>,
    logged: Vec<Value>,
    pub(crate) address: SocketAddr,
    /// Where its metrics are, if it serves any.
    metrics: Option<SocketAddr>,
    data: TempDir,
}

impl Server {
    /// Starts it with these variables and no others.
    pub(crate) fn start(variables: &[(&str, &str)]) -> Self {
        let data = tempfile::tempdir().expect("a directory");
        let mut process = Command::new(env!("CARGO_BIN_EXE_octoserve"))
            .current_dir(data.path())
            .env_clear()
            .env("OCTOSERVE_SERVER_ADDRESS", "127.0.0.1")
            .env("OCTOSERVE_SERVER_PORT", "0")
            .env("OCTOSERVE_TELEMETRY_METRICS_ADDRESS", "127.0.0.1")
            .env("OTEL_BSP_SCHEDULE_DELAY", "20")
            .envs(variables.iter().copied())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program");
        let output = BufReader::new(process.stdout.take().expect("its output"));
        let (sender, lines) = channel();
        thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let line = serde_json::from_str(&line).expect("a line of JSON");
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let mut server = Self {
            process,
            lines,
            logged: Vec::new(),
            address: SocketAddr::from(([0; 4], 0)),
            metrics: None,
            data,
        };
        server.address = server.address_in("serving");
        let has_metrics = variables
            .iter()
            .any(|(name, _)| *name == "OCTOSERVE_TELEMETRY_METRICS_PORT");
        server.metrics = has_metrics.then(|| server.address_in("serving metrics"));
        server
    }

    fn address_in(&mut self, message: &str) -> SocketAddr {
        let line = self.wait_for_line(|line| line["message"] == message);
        let address = line["addresses"].as_str().expect("addresses");
        address.parse().expect("one address")
    }

    /// A line of the log that is like this, once it comes.
    pub(crate) fn wait_for_line(&mut self, is_it: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(found) = self.logged.iter().find(|line| is_it(line)) {
                return found.clone();
            }
            let left = deadline.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok(line) => self.logged.push(line),
                Err(_) => panic!("no such line among {:#?}", self.logged),
            }
        }
    }

    pub(crate) fn ask(
        &self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        ask(self.address, method, target, headers, body)
    }

    pub(crate) fn get(&self, target: &str) -> Answer {
        self.ask("GET", target, &[], b"")
    }

    /// Pushes an image of one layer and pulls it, as docker does; every request
    /// has these headers.
    pub(crate) fn push_and_pull(&self, repository: &str, tag: &str, headers: &[(&str, &str)]) {
        let layer = b"not much of a layer".as_slice();
        let config = b"{}".as_slice();
        for content in [layer, config] {
            let blob = format!("/v2/{repository}/blobs/{}", digest(content));
            let checked = self.ask("HEAD", &blob, headers, b"");
            assert_eq!(checked.status, 404);
            let begun = self.ask(
                "POST",
                &format!("/v2/{repository}/blobs/uploads/"),
                headers,
                b"",
            );
            assert_eq!(begun.status, 202);
            let sent = self.ask("PATCH", begun.header("location"), headers, content);
            assert_eq!(sent.status, 202, "{}", sent.text());
            let location = format!("{}?digest={}", sent.header("location"), digest(content));
            let finished = self.ask("PUT", &location, headers, b"");
            assert_eq!(finished.status, 201, "{}", finished.text());
        }
        let descriptor = |media_type: &str, content: &[u8]| {
            serde_json::json!({
                "mediaType": format!("application/vnd.oci.image.{media_type}"),
                "digest": digest(content),
                "size": content.len(),
            })
        };
        let media_type = "application/vnd.oci.image.manifest.v1+json";
        let manifest = serde_json::json!({
            "schemaVersion": 2,
            "mediaType": media_type,
            "config": descriptor("config.v1+json", config),
            "layers": [descriptor("layer.v1.tar", layer)],
        });
        let target = format!("/v2/{repository}/manifests/{tag}");
        let with_type = [headers, &[("content-type", media_type)]].concat();
        let pushed = self.ask("PUT", &target, &with_type, manifest.to_string().as_bytes());
        assert_eq!(pushed.status, 201, "{}", pushed.text());
        let pulled = self.ask("GET", &target, headers, b"");
        assert_eq!(pulled.text(), manifest.to_string());
        for content in [layer, config] {
            let blob = format!("/v2/{repository}/blobs/{}", digest(content));
            assert_eq!(self.ask("GET", &blob, headers, b"").body, content);
        }
    }

    /// The metrics now, by what stands before the value.
    pub(crate) fn metrics(&self) -> BTreeMap<String, f64> {
        let text = self.metrics_text();
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        samples
            .map(|line| {
                let (name, value) = line.rsplit_once(' ').expect("a sample");
                (name.to_owned(), value.parse().expect("a number"))
            })
            .collect()
    }

    /// The metrics as they are served.
    pub(crate) fn metrics_text(&self) -> String {
        let address = self.metrics.expect("a server with metrics");
        let answer = ask(address, "GET", "/metrics", &[], b"");
        assert_eq!(answer.status, 200);
        assert_eq!(
            answer.header("content-type"),
            "application/openmetrics-text; version=1.0.0; charset=utf-8"
        );
        answer.text().to_owned()
    }

    /// Where metrics are served.
    pub(crate) fn metrics_address(&self) -> SocketAddr {
        self.metrics.expect("a server with metrics")
    }

    /// Puts a directory where the tag `v1` of a repository is, so that it cannot
    /// be read.
    pub(crate) fn break_tags(&self, repository: &str) {
        let manifests = self.data.path().join("data/manifests");
        let tag = manifests.join(repository).join("_tags/v1");
        std::fs::remove_file(&tag).expect("a tag");
        std::fs::create_dir(&tag).expect("a directory");
    }

    /// Asks it to stop, waits until it has, and returns how long that took and
    /// all that it has logged.
    pub(crate) fn stop(mut self) -> (Duration, Vec<Value>) {
        let asked = Instant::now();
        let id = i32::try_from(self.process.id()).expect("a process id");
        kill(Pid::from_raw(id), Signal::SIGTERM).expect("to be told");
        let status = self.process.wait().expect("an end");
        assert!(status.success(), "{status}");
        let took = asked.elapsed();
        self.logged.extend(self.lines.iter());
        (took, std::mem::take(&mut self.logged))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

pub(crate) fn digest(content: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(content)))
}
