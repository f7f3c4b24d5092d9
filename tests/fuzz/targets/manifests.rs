//! A pushed document is a manifest or is refused, and what is read from it is
//! what it says. An input is a line with a content type, which may be empty,
//! and a document.
#![no_main]

use std::time::SystemTime;

use libfuzzer_sys::fuzz_target;
use octoserve::domain::digest::{Algorithm, Digest};
use octoserve::domain::manifest::{Manifest, Role};
use octoserve::domain::media_type::{
    DOCKER_LIST, DOCKER_MANIFEST, MediaType, OCI_INDEX, OCI_MANIFEST, is_nondistributable,
};
use octoserve::domain::name::RepositoryName;
use octoserve::domain::push::PushedManifest;
use octoserve::domain::record::{Nonce, ReferrerRecord, Revision, TagRecord, decode};
use octoserve::domain::record_key::RecordKey;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

fuzz_target!(|data: &[u8]| {
    let (header, document) = match data.iter().position(|byte| *byte == b'\n') {
        Some(end) => (&data[..end], &data[end + 1..]),
        None => (&data[..0], data),
    };
    let content_type = std::str::from_utf8(header)
        .ok()
        .and_then(MediaType::from_header);
    let parsed = Manifest::parse(document, content_type.as_ref());
    assert_eq!(
        parsed,
        Manifest::parse(document, content_type.as_ref()),
        "it changed its mind"
    );

    let value: Option<Value> = serde_json::from_slice(document).ok();
    let value = value.filter(Value::is_object);
    match (parsed, value) {
        (Ok(manifest), Some(value)) => {
            assert!(
                !has_a_field_twice(document),
                "two clients read two manifests from it"
            );
            says_what_the_document_says(&manifest, &value, content_type.as_ref());
            is_recorded_whole(&manifest, document);
        }
        // Numbers and escapes that stand for nothing are no concern of ours in
        // fields that are not read.
        (Ok(_), None) => assert!(
            std::str::from_utf8(document).is_ok() && has_fields(document),
            "what is no JSON object was accepted"
        ),
        (Err(error), _) => {
            let _ = error.to_string();
        }
    }
});

fn says_what_the_document_says(
    manifest: &Manifest,
    value: &Value,
    content_type: Option<&MediaType>,
) {
    let present = |field: &str| value.get(field).filter(|value| !value.is_null());
    assert_eq!(value["schemaVersion"], 2);
    let entries = |field: &str| {
        let list = present(field).and_then(Value::as_array);
        list.into_iter().flatten()
    };
    let (is_index, mentioned): (bool, Vec<&Value>) = match manifest.media_type.as_str() {
        OCI_INDEX | DOCKER_LIST => {
            assert!(
                present("config").is_none() && present("layers").is_none(),
                "it is ambiguous"
            );
            (true, entries("manifests").collect())
        }
        OCI_MANIFEST | DOCKER_MANIFEST => {
            assert!(present("manifests").is_none(), "it is ambiguous");
            let config = present("config").expect("an image has a config");
            (
                false,
                std::iter::once(config).chain(entries("layers")).collect(),
            )
        }
        other => panic!("{other} is no manifest's type"),
    };
    match present("mediaType").and_then(Value::as_str) {
        Some(body) if !body.is_empty() => assert_eq!(manifest.media_type.as_str(), body),
        _ => {
            let specific = content_type
                .map(MediaType::as_str)
                .filter(|header| header.starts_with("application/vnd."));
            assert!(specific.is_none_or(|header| header == manifest.media_type.as_str()));
        }
    }

    // Every digest that it mentions, once each, in the order of first mention.
    let mut digests: Vec<String> = Vec::new();
    for entry in &mentioned {
        let digest = entry["digest"].as_str().expect("every entry has a digest");
        assert!(entry["size"].is_u64(), "every entry has a size");
        if !digests.iter().any(|known| known == digest) {
            digests.push(digest.to_owned());
        }
    }
    let read: Vec<String> = manifest
        .references
        .iter()
        .map(|reference| reference.digest.to_string())
        .collect();
    assert_eq!(read, digests);
    for reference in &manifest.references {
        let digest = reference.digest.to_string();
        let mut named = mentioned.iter().filter(|entry| entry["digest"] == *digest);
        let elsewhere =
            named.all(|entry| entry["mediaType"].as_str().is_some_and(is_nondistributable));
        let role = match (is_index, elsewhere) {
            (true, _) => Role::Child,
            (false, true) => Role::NondistributableBlob,
            (false, false) => Role::Blob,
        };
        assert_eq!(reference.role, role, "{digest}");
    }
    let subject =
        present("subject").map(|subject| subject["digest"].as_str().expect("a digest").to_owned());
    assert_eq!(manifest.subject.map(|digest| digest.to_string()), subject);
}

/// The records of its push hold all that was read of it.
fn is_recorded_whole(manifest: &Manifest, document: &[u8]) {
    let repository: RepositoryName = "a/b".parse().expect("a name");
    let digest = Digest::of(Algorithm::Sha256, document);
    let pushed = PushedManifest {
        repository: &repository,
        digest,
        size: document.len() as u64,
        manifest,
    };
    let mut referrers = Vec::new();
    let writes = pushed.writes().expect("records encode");
    let referrer = pushed.referrer_write().expect("a record encodes");
    for write in writes.into_iter().chain(referrer) {
        match write.key {
            RecordKey::Revision(_, key) => {
                let revision: Revision = decode(&write.value).expect("a revision");
                assert_eq!(key, digest);
                assert_eq!(revision, pushed.revision());
                assert_eq!(revision.subject, manifest.subject);
                assert_eq!(
                    revision.blobs.len() + revision.manifests.len(),
                    manifest.references.len()
                );
            }
            RecordKey::Referrer(_, subject, key) => {
                let referrer: ReferrerRecord = decode(&write.value).expect("a referrer");
                assert_eq!(key, digest);
                assert_eq!(referrer.descriptor, pushed.descriptor());
                referrers.push(subject);
            }
            RecordKey::Repository(name) => assert_eq!(name, repository),
            other => panic!("a push by digest wrote {other:?}"),
        }
    }
    assert_eq!(referrers, Vec::from_iter(manifest.subject));
    let tag = "latest".parse().expect("a tag");
    let nonce = Nonce(uuid::Uuid::nil());
    let [_, write] = pushed
        .tag_writes(&tag, SystemTime::UNIX_EPOCH, nonce)
        .expect("records encode");
    let record: TagRecord = decode(&write.value).expect("a tag");
    assert_eq!(
        (record.digest, &record.media_type),
        (digest, &manifest.media_type)
    );
}

fn has_fields(document: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(document).is_ok() && !field_names(document).is_empty()
}

/// Whether a field that is read stands in the document twice.
fn has_a_field_twice(document: &[u8]) -> bool {
    const READ: [&str; 8] = [
        "schemaVersion",
        "mediaType",
        "config",
        "layers",
        "manifests",
        "subject",
        "artifactType",
        "annotations",
    ];
    let names = field_names(document);
    READ.iter()
        .any(|field| names.iter().filter(|name| name == field).count() > 1)
}

/// The names of an object's fields, each as often as it is there.
fn field_names(document: &[u8]) -> Vec<String> {
    struct Names;
    impl<'de> Visitor<'de> for Names {
        type Value = Vec<String>;

        fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            formatter.write_str("an object")
        }

        fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Vec<String>, M::Error> {
            let mut names = Vec::new();
            while let Some((name, IgnoredAny)) = map.next_entry::<String, IgnoredAny>()? {
                names.push(name);
            }
            Ok(names)
        }
    }
    let mut deserializer = serde_json::Deserializer::from_slice(document);
    deserializer.deserialize_map(Names).unwrap_or_default()
}
