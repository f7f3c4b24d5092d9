//! Collectors in a tight loop, with a grace period of a second, while clients
//! push, pull, retag and delete: afterwards every tag pulls whole, and the bytes
//! on the disk are those that manifests refer to.
//!
//! It runs for a few seconds, or as long as `OCTOSERVE_LOAD_SECONDS` says.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use octoserve::domain::digest::Digest;
use serde_json::Value;

use crate::client::{Answer, Client};
use crate::content::digest_of;
use crate::process::{Octoserve, run};

const CLIENTS: u64 = 32;
const REPOSITORIES: u64 = 4;
const TAGS: u64 = 6;
const BLOBS: u64 = 60;
const MEDIA_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";

const SETTINGS: [(&str, &str); 4] = [
    ("OCTOSERVE_COLLECT_GRACE", "1s"),
    ("OCTOSERVE_COLLECT_INTERVAL", "50ms"),
    ("OCTOSERVE_COLLECT_MAX_OPERATIONS_PER_SECOND", "0"),
    ("OCTOSERVE_LOG_LEVEL", "warn,octoserve=info"),
];

#[derive(Default)]
struct Counts {
    pushed: AtomicU64,
    repeated: AtomicU64,
    pulled: AtomicU64,
    deleted: AtomicU64,
}

/// A client with a connection and its own chance.
struct Actor<'a> {
    client: Client,
    state: u64,
    counts: &'a Counts,
}

impl Actor<'_> {
    fn below(&mut self, end: u64) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state >> 16) % end
    }

    fn ask(&mut self, method: &str, path: &str, headers: &str, body: &[u8]) -> Answer {
        self.client.send(format!(
            "{method} {path} HTTP/1.1\r\nhost: a\r\n{headers}content-length: {}\r\n\r\n",
            body.len()
        ));
        self.client.send(body);
        match method {
            "HEAD" => self.client.head(),
            _ => self.client.answer(),
        }
    }

    fn act(&mut self) {
        let repository = format!("load/{}", self.below(REPOSITORIES));
        let tag = format!("t{}", self.below(TAGS));
        match self.below(10) {
            0..=4 => self.push(&repository, &tag),
            5..=6 => self.pull(&repository, &tag),
            7 => self.retag(&repository, &tag),
            8 => self.delete(&format!("/v2/{repository}/manifests/{tag}")),
            _ => {
                let path = format!("/v2/{repository}/manifests/{tag}");
                let answer = self.ask("HEAD", &path, "", b"");
                if let Some(digest) = answer.header("docker-content-digest") {
                    self.delete(&format!("/v2/{repository}/manifests/{digest}"));
                }
            }
        }
    }

    /// Pushes as clients do: again from the start if something is missing.
    fn push(&mut self, repository: &str, tag: &str) {
        const ATTEMPTS: usize = 20;
        let blobs = [self.below(BLOBS), self.below(BLOBS), self.below(BLOBS)];
        let blobs = blobs.map(blob);
        let manifest = manifest(&blobs);
        for _ in 0..ATTEMPTS {
            for content in &blobs {
                self.push_blob(repository, content);
            }
            let path = format!("/v2/{repository}/manifests/{tag}");
            let headers = format!("content-type: {MEDIA_TYPE}\r\n");
            let answer = self.ask("PUT", &path, &headers, manifest.as_bytes());
            if is_accepted(&answer) {
                self.counts.pushed.fetch_add(1, Ordering::Relaxed);
                return;
            }
            self.counts.repeated.fetch_add(1, Ordering::Relaxed);
        }
        panic!("a push did not succeed in {ATTEMPTS} attempts");
    }

    fn push_blob(&mut self, repository: &str, content: &[u8]) {
        let digest = digest_of(content);
        let path = format!("/v2/{repository}/blobs/{digest}");
        if self.ask("HEAD", &path, "", b"").status == 200 {
            return;
        }
        let uploads = format!("/v2/{repository}/blobs/uploads/");
        let path = format!("{uploads}?digest={digest}");
        let answer = self.ask("POST", &path, "", content);
        assert_eq!(answer.status, 201, "{answer:?}");
    }

    /// Pulls a tag. What is deleted meanwhile may be missing, but not for as
    /// long as the tag is there.
    fn pull(&mut self, repository: &str, tag: &str) {
        for _ in 0..50 {
            match self.missing(repository, tag) {
                None => {
                    self.counts.pulled.fetch_add(1, Ordering::Relaxed);
                    return;
                }
                Some(_) => thread::sleep(Duration::from_millis(20)),
            }
        }
        panic!("{:?}", self.missing(repository, tag));
    }

    /// What is missing of a tag that is there.
    fn missing(&mut self, repository: &str, tag: &str) -> Option<String> {
        let path = format!("/v2/{repository}/manifests/{tag}");
        let answer = self.ask("GET", &path, "", b"");
        if answer.status == 404 {
            return None;
        }
        assert_eq!(answer.status, 200, "{answer:?}");
        for digest in referenced(&answer.body) {
            let path = format!("/v2/{repository}/blobs/{digest}");
            let answer = self.ask("GET", &path, "", b"");
            if answer.status != 200 || digest_of(&answer.body) != digest {
                return Some(format!(
                    "{repository}:{tag} lacks {digest}: {}",
                    answer.status
                ));
            }
        }
        None
    }

    fn retag(&mut self, repository: &str, to: &str) {
        let from = self.below(TAGS);
        let path = format!("/v2/{repository}/manifests/t{from}");
        let found = self.ask("GET", &path, "", b"");
        if found.status != 200 {
            return;
        }
        let path = format!("/v2/{repository}/manifests/{to}");
        let headers = format!("content-type: {MEDIA_TYPE}\r\n");
        let answer = self.ask("PUT", &path, &headers, &found.body);
        // Deleted and collected meanwhile, it is refused.
        is_accepted(&answer);
    }

    fn delete(&mut self, path: &str) {
        let answer = self.ask("DELETE", path, "", b"");
        assert!([202, 404].contains(&answer.status), "{answer:?}");
        self.counts.deleted.fetch_add(1, Ordering::Relaxed);
    }
}

/// Whether a manifest was accepted. It may be refused for one reason only.
fn is_accepted(answer: &Answer) -> bool {
    if answer.status == 201 {
        return true;
    }
    let (code, _) = answer.refusal();
    assert_eq!(code, "MANIFEST_BLOB_UNKNOWN", "{answer:?}");
    false
}

fn blob(number: u64) -> Vec<u8> {
    let length = 1000 + usize::try_from(number * 397 % 9000).unwrap();
    let text = format!("blob {number} ");
    text.bytes().cycle().take(length).collect()
}

fn manifest(blobs: &[Vec<u8>]) -> String {
    let entries: Vec<String> = blobs
        .iter()
        .map(|content| {
            let (digest, size) = (digest_of(content), content.len());
            format!(r#"{{"mediaType":"text/plain","digest":"{digest}","size":{size}}}"#)
        })
        .collect();
    let (config, layers) = entries.split_first().unwrap();
    let layers = layers.join(",");
    format!(
        r#"{{"schemaVersion":2,"mediaType":"{MEDIA_TYPE}","config":{config},"layers":[{layers}]}}"#
    )
}

/// The digests that a manifest refers to.
fn referenced(manifest: &[u8]) -> Vec<Digest> {
    let manifest: Value = serde_json::from_slice(manifest).unwrap();
    let layers = manifest["layers"].as_array().unwrap().iter();
    let entries = layers.chain([&manifest["config"]]);
    let digests = entries.map(|entry| entry["digest"].as_str().unwrap().parse().unwrap());
    digests.collect()
}

/// The names of the files below a directory.
fn files(directory: &Path, found: &mut Vec<std::path::PathBuf>) {
    let Ok(entries) = fs::read_dir(directory) else {
        return;
    };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push(path);
        }
    }
}

fn stored(data: &Path) -> BTreeSet<Digest> {
    let mut found = Vec::new();
    files(&data.join("blobs"), &mut found);
    let digests = found.iter().map(|path| {
        let name = path.file_name().unwrap().to_str().unwrap();
        format!("sha256:{name}").parse().unwrap()
    });
    digests.collect()
}

/// What the records of manifests say that they are and refer to.
fn needed(data: &Path) -> BTreeSet<Digest> {
    let mut found = Vec::new();
    files(&data.join("manifests"), &mut found);
    let mut digests = BTreeSet::new();
    for path in found {
        let text = path.to_str().unwrap();
        if !text.contains("/_revisions/") {
            continue;
        }
        let name = path.file_name().unwrap().to_str().unwrap();
        digests.insert(format!("sha256:{name}").parse().unwrap());
        let revision: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let blobs = revision["blobs"].as_array().unwrap().iter();
        digests.extend(blobs.map(|blob| blob.as_str().unwrap().parse::<Digest>().unwrap()));
    }
    digests
}

#[test]
#[expect(clippy::print_stdout, reason = "what was done is told")]
fn no_collector_takes_what_a_tag_needs_or_leaves_what_nothing_needs() {
    let seconds = std::env::var("OCTOSERVE_LOAD_SECONDS").ok();
    let seconds = seconds.map_or(8, |seconds| seconds.parse().unwrap());
    let server = Octoserve::start(&SETTINGS);
    let data = server.data();
    let path = data.to_str().unwrap();
    let collect = || {
        let mut variables = SETTINGS.to_vec();
        variables.push(("OCTOSERVE_STORAGE_PATH", path));
        run(&["collect", "--output", "json"], &variables)
    };
    let counts = Counts::default();
    let is_over = AtomicBool::new(false);
    let mut removed = 0;
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|number| {
                let mut actor = Actor {
                    client: server.connect(),
                    state: 0x9e37_79b9_7f4a_7c15 ^ (number << 32 | 7),
                    counts: &counts,
                };
                let is_over = &is_over;
                scope.spawn(move || {
                    while !is_over.load(Ordering::Relaxed) {
                        actor.act();
                    }
                })
            })
            .collect();
        let end = Instant::now() + Duration::from_secs(seconds);
        while Instant::now() < end && !clients.iter().any(thread::ScopedJoinHandle::is_finished) {
            let output = collect();
            // While the server is at it, this one is told so.
            if output.status.success() {
                let told: Value = serde_json::from_slice(&output.stdout).unwrap();
                removed += told["removed_blobs"].as_u64().unwrap();
            }
        }
        is_over.store(true, Ordering::Relaxed);
    });

    let mut actor = Actor {
        client: server.connect(),
        state: 1,
        counts: &counts,
    };
    for repository in 0..REPOSITORIES {
        for tag in 0..TAGS {
            let missing = actor.missing(&format!("load/{repository}"), &format!("t{tag}"));
            assert_eq!(missing, None);
        }
    }
    // The grace is real time, and the server collects on.
    let deadline = Instant::now() + Duration::from_secs(20);
    while stored(&data) != needed(&data) {
        assert!(
            Instant::now() < deadline,
            "left: {:?}, lost: {:?}",
            stored(&data).difference(&needed(&data)),
            needed(&data).difference(&stored(&data)),
        );
        thread::sleep(Duration::from_millis(200));
    }
    let of_server: u64 = server
        .log()
        .iter()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter_map(|line| line["removed_blobs"].as_u64())
        .sum();
    let number = |count: &AtomicU64| count.load(Ordering::Relaxed);
    let summary = format!(
        "{} pushes, {} repeated, {} pulls, {} deletes, {removed} and {of_server} blobs removed",
        number(&counts.pushed),
        number(&counts.repeated),
        number(&counts.pulled),
        number(&counts.deleted),
    );
    assert!(
        number(&counts.pushed) > 20 && removed + of_server > 0,
        "{summary}"
    );
    println!("{summary}");
}
