//! Collecting beside a running server, by hand and on its schedule.

use std::process::Output;

use serde_json::Value;

use crate::content::{digest_of, push_blob};
use crate::process::{Octoserve, run};

fn collect(server: &Octoserve, arguments: &[&str]) -> Output {
    let data = server.data();
    let arguments: Vec<&str> = ["collect"].iter().chain(arguments).copied().collect();
    run(
        &arguments,
        &[("OCTOSERVE_STORAGE_PATH", data.to_str().unwrap())],
    )
}

/// What it printed; it went well.
fn printed(output: Output) -> String {
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    String::from_utf8(output.stdout).unwrap()
}

/// What it complained of; it failed.
fn complaint(output: Output) -> String {
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    String::from_utf8(output.stderr).unwrap()
}

fn status(server: &Octoserve, path: &str) -> u16 {
    let request = format!("HEAD {path} HTTP/1.1\r\nhost: a\r\n\r\n");
    let mut client = server.connect();
    client.send(request);
    client.head().status
}

/// Pushes a manifest of one blob to `v1`, and returns the blob's path.
fn push_image(server: &Octoserve, repository: &str, content: &[u8]) -> String {
    let path = push_blob(server, repository, content);
    let (digest, size) = (digest_of(content), content.len());
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let manifest = format!(
        r#"{{"schemaVersion":2,"mediaType":"{media_type}","config":{{"mediaType":"text/plain","digest":"{digest}","size":{size}}},"layers":[]}}"#
    );
    let answer = server.connect().ask(format!(
        "PUT /v2/{repository}/manifests/v1 HTTP/1.1\r\nhost: a\r\ncontent-type: {media_type}\r\n\
         content-length: {}\r\n\r\n{manifest}",
        manifest.len()
    ));
    assert_eq!(answer.status, 201, "{answer:?}");
    path
}

#[test]
fn what_nothing_refers_to_goes_and_what_is_tagged_stays_whole() {
    let server = Octoserve::start(&[("OCTOSERVE_STORAGE_CACHE_MAX_AGE", "0s")]);
    let needed = push_image(&server, "a", b"a config");
    let lonely = push_blob(&server, "a", &[7; 3000]);

    let told = printed(collect(&server, &["--dry-run", "--grace", "0s"]));
    assert!(told.contains("would remove 1 blob with 2.9 KiB"), "{told}");
    assert_eq!(status(&server, &lonely), 200, "a dry run removes nothing");

    let told = printed(collect(&server, &["--grace", "0s", "--force"]));
    assert!(told.contains("removed 1 blob with 2.9 KiB"), "{told}");
    assert!(told.contains("removed 1 claim"), "{told}");
    assert_eq!(status(&server, &lonely), 404);
    assert_eq!(status(&server, &needed), 200);
    assert_eq!(status(&server, "/v2/a/manifests/v1"), 200);

    push_blob(&server, "a", &[7; 3000]);
    assert_eq!(status(&server, &lonely), 200, "it can be pushed again");
}

#[test]
fn what_was_pushed_lately_is_safe() {
    let server = Octoserve::start(&[]);
    let lonely = push_blob(&server, "a", b"somebody is about to need this");
    let told = printed(collect(&server, &[]));
    assert!(told.contains("removed 0 blobs"), "{told}");
    assert_eq!(status(&server, &lonely), 200);
}

#[test]
fn a_program_reads_json() {
    let server = Octoserve::start(&[]);
    push_blob(&server, "a", b"content");
    let arguments = ["--output", "json", "--grace", "0s", "--force"];
    let told = printed(collect(&server, &arguments));
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told["removed_blobs"], 1);
    assert_eq!(told["removed_bytes"], 7);
    assert_eq!(told["dry_run"], false);
}

#[test]
fn a_shorter_grace_is_taken_only_by_force() {
    let server = Octoserve::start(&[]);
    let said = complaint(collect(&server, &["--grace", "1h"]));
    for part in ["grace", "1h", "1day", "--force"] {
        assert!(said.contains(part), "{said}");
    }
}

#[test]
fn a_store_in_memory_is_nobody_elses_to_collect() {
    let output = run(&["collect"], &[("OCTOSERVE_STORAGE_TYPE", "memory")]);
    assert!(complaint(output).contains("memory"));
}

#[test]
fn a_record_that_does_not_parse_is_named_and_nothing_is_removed() {
    let server = Octoserve::start(&[]);
    let lonely = push_blob(&server, "a", b"content");
    push_image(&server, "a/b", b"a config");
    let revisions = server.data().join("manifests/a/b/_revisions/sha256");
    let revision = std::fs::read_dir(revisions).unwrap().next().unwrap();
    std::fs::write(revision.unwrap().path(), "rotten").unwrap();
    let said = complaint(collect(&server, &["--grace", "0s", "--force"]));
    assert!(said.contains("the revision record"), "{said}");
    assert!(said.contains("of a/b"), "{said}");
    assert_eq!(status(&server, &lonely), 200);
}

#[test]
fn a_server_collects_by_itself() {
    let variables = [
        ("OCTOSERVE_COLLECT_INTERVAL", "200ms"),
        ("OCTOSERVE_COLLECT_GRACE", "1ms"),
        ("OCTOSERVE_STORAGE_CACHE_MAX_AGE", "0s"),
    ];
    let server = Octoserve::start(&variables);
    let lonely = push_blob(&server, "a", b"content");
    server.line(|line| line.contains("\"removed_blobs\":1"));
    assert_eq!(status(&server, &lonely), 404);
}
