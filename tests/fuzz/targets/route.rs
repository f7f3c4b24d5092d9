//! A request line becomes a route or a refusal, and a route says exactly what
//! the line said. An input reads `<METHOD> <path>[?<query>]`.
#![no_main]

use std::fmt::Write;

use http::Method;
use libfuzzer_sys::{Corpus, fuzz_target};
use octoserve::adapters::http::{Route, RouteError};
use octoserve::domain::digest::Digest;
use octoserve::domain::name::{Reference, RepositoryName};
use octoserve::domain::page::PageRequest;
use octoserve_fuzz::grammar;

fuzz_target!(|data: &[u8]| -> Corpus {
    let Ok(text) = std::str::from_utf8(data) else {
        return Corpus::Reject;
    };
    let Some((method, target)) = text.split_once(' ') else {
        return Corpus::Reject;
    };
    let Ok(method) = Method::from_bytes(method.as_bytes()) else {
        return Corpus::Reject;
    };
    let (path, query) = match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    };
    match Route::parse(&method, path, query) {
        Ok(route) => says_what_the_line_says(&route, &method, path),
        Err(error) => is_a_fair_refusal(&error, &method, path, query),
    }
    Corpus::Keep
});

fn says_what_the_line_says(route: &Route, method: &Method, path: &str) {
    let Line { resource, query } = line_of(route);
    let canonical = match (route.repository(), resource) {
        (Some(name), resource) => {
            assert!(grammar::is_repository(name.as_str()), "{name}");
            // The name stands in the path as it is: nothing was decoded.
            let prefix = format!("/v2/{name}/");
            let rest = path.strip_prefix(&prefix).expect("the name is in the path");
            let decoded = percent_decoded(rest);
            let trailing = decoded == resource || format!("{decoded}/") == resource;
            assert!(trailing, "{path:?} was read as {route:?}");
            format!("{prefix}{resource}")
        }
        (None, resource) => {
            assert!(path == resource || format!("{path}/") == resource);
            resource
        }
    };
    let again = Route::parse(method, &canonical, Some(&query));
    assert_eq!(again.as_ref(), Ok(route), "{canonical}?{query}");

    let templates = [
        "/v2/",
        "/v2/_catalog",
        "/v2/{name}/blobs/{digest}",
        "/v2/{name}/blobs/uploads/",
        "/v2/{name}/blobs/uploads/{session}",
        "/v2/{name}/manifests/{reference}",
        "/v2/{name}/referrers/{digest}",
        "/v2/{name}/tags/list",
    ];
    assert!(templates.contains(&route.template()));
}

fn is_a_fair_refusal(error: &RouteError, method: &Method, path: &str, query: Option<&str>) {
    assert!(error.to_string().len() < 300, "it quotes the client");
    if let RouteError::MethodNotAllowed { allow } = error {
        let allowed: Vec<&str> = allow.split(", ").collect();
        assert!(!allowed.contains(&method.as_str()));
        for method in allowed {
            let method = Method::from_bytes(method.as_bytes()).expect("a method");
            let result = Route::parse(&method, path, query);
            let refused = matches!(result, Err(RouteError::MethodNotAllowed { .. }));
            assert!(!refused, "{allow} does not hold for {path:?}");
        }
    }
}

/// A route as the request line that asks for it, without the repository.
struct Line {
    resource: String,
    query: String,
}

fn line_of(route: &Route) -> Line {
    let line = |resource: String| Line {
        resource,
        query: String::new(),
    };
    match route {
        Route::Ping => line("/v2/".to_owned()),
        Route::ListRepositories(page) => paged("/v2/_catalog".to_owned(), page),
        Route::PullBlob(_, digest) | Route::CheckBlob(_, digest) | Route::DeleteBlob(_, digest) => {
            line(format!("blobs/{}", checked(digest)))
        }
        Route::PullManifest(_, reference)
        | Route::CheckManifest(_, reference)
        | Route::DeleteManifest(_, reference) => line(manifest(reference)),
        Route::PushManifest(_, reference, tags) => {
            let mut line = line(manifest(reference));
            assert!(tags.len() <= 100);
            assert!(tags.is_empty() || matches!(reference, Reference::Digest(_)));
            for (position, tag) in tags.iter().enumerate() {
                assert!(grammar::is_tag(tag.as_str()));
                assert!(!tags[..position].contains(tag), "{tag} twice");
                parameter(&mut line.query, "tag", tag.as_str());
            }
            line
        }
        Route::BeginUpload(_, algorithm) => {
            let mut line = line("blobs/uploads/".to_owned());
            parameter(&mut line.query, "digest-algorithm", algorithm.as_str());
            line
        }
        Route::PushBlob(_, digest) => {
            let mut line = line("blobs/uploads/".to_owned());
            parameter(&mut line.query, "digest", &checked(digest));
            line
        }
        Route::MountBlob(_, digest, from) => {
            let mut line = line("blobs/uploads/".to_owned());
            parameter(&mut line.query, "mount", &checked(digest));
            if let Some(from) = from {
                assert!(grammar::is_repository(from.as_str()));
                parameter(&mut line.query, "from", RepositoryName::as_str(from));
            }
            line
        }
        Route::AppendChunk(_, id) | Route::UploadStatus(_, id) | Route::CancelUpload(_, id) => {
            assert!(grammar::is_upload_id(&id.to_string()));
            line(format!("blobs/uploads/{id}"))
        }
        Route::FinishUpload(_, id, digest) => {
            assert!(grammar::is_upload_id(&id.to_string()));
            let mut line = line(format!("blobs/uploads/{id}"));
            parameter(&mut line.query, "digest", &checked(digest));
            line
        }
        Route::ListTags(_, page) => paged("tags/list".to_owned(), page),
        Route::ListReferrers(_, subject, request) => {
            let page = PageRequest {
                limit: request.limit,
                after: request.after.clone(),
            };
            let mut line = paged(format!("referrers/{}", checked(subject)), &page);
            if let Some(artifact_type) = &request.artifact_type {
                assert!(!artifact_type.is_empty());
                parameter(&mut line.query, "artifactType", artifact_type);
            }
            line
        }
    }
}

fn paged(resource: String, page: &PageRequest) -> Line {
    let mut query = String::new();
    if let Some(limit) = page.limit {
        parameter(&mut query, "n", &limit.to_string());
    }
    if let Some(after) = &page.after {
        assert!(!after.is_empty());
        parameter(&mut query, "last", after);
    }
    assert!(page.size() <= 10_000);
    Line { resource, query }
}

fn manifest(reference: &Reference) -> String {
    match reference {
        Reference::Tag(tag) => assert!(grammar::is_tag(tag.as_str())),
        Reference::Digest(digest) => assert!(grammar::is_digest(&digest.to_string())),
    }
    format!("manifests/{reference}")
}

fn checked(digest: &Digest) -> String {
    let text = digest.to_string();
    assert!(grammar::is_digest(&text));
    text
}

/// Appends a parameter with every byte of its value escaped.
fn parameter(query: &mut String, name: &str, value: &str) {
    if !query.is_empty() {
        query.push('&');
    }
    query.push_str(name);
    query.push('=');
    for byte in value.bytes() {
        write!(query, "%{byte:02X}").expect("a string takes all");
    }
}

/// Decodes every `%` with two hexadecimal digits after it.
fn percent_decoded(text: &str) -> String {
    let mut decoded = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let escaped = (byte == b'%')
            .then(|| after.get(..2))
            .flatten()
            .filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        match escaped {
            Some(escaped) => {
                decoded.push(escaped);
                rest = &after[2..];
            }
            None => {
                decoded.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&decoded).into_owned()
}
