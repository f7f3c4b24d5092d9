use serde_json::{Value, json};

use super::*;
use crate::domain::digest::Algorithm;

fn digest(content: &str) -> Digest {
    Digest::of(Algorithm::Sha256, content.as_bytes())
}

fn entry(media_type: &str, content: &str) -> Value {
    json!({"mediaType": media_type, "digest": digest(content), "size": content.len()})
}

fn image() -> Value {
    json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": entry("application/vnd.oci.image.config.v1+json", "config"),
        "layers": [entry("application/vnd.oci.image.layer.v1.tar", "layer")],
    })
}

fn parse(document: &Value, content_type: Option<&str>) -> Result<Manifest, ManifestError> {
    let content_type = content_type.map(MediaType::from);
    Manifest::parse(document.to_string().as_bytes(), content_type.as_ref())
}

#[test]
fn an_image_refers_to_its_config_and_layers() {
    let manifest = parse(&image(), Some(OCI_MANIFEST)).expect("a valid manifest");
    let blob = |content| ManifestReference {
        role: Role::Blob,
        digest: digest(content),
    };
    assert_eq!(manifest.references, [blob("config"), blob("layer")]);
    assert_eq!(
        manifest.artifact_type.as_deref(),
        Some("application/vnd.oci.image.config.v1+json")
    );
}

#[test]
fn a_layer_mentioned_twice_is_referred_to_once() {
    let mut document = image();
    let layer = document["layers"][0].clone();
    document["layers"] = json!([layer, layer, layer]);
    assert_eq!(parse(&document, None).expect("valid").references.len(), 2);
}

#[test]
fn a_nondistributable_layer_is_not_asked_for() {
    let mut document = image();
    document["layers"] = json!([entry(
        "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
        "elsewhere"
    )]);
    let manifest = parse(&document, None).expect("valid");
    assert_eq!(manifest.references[1].role, Role::NondistributableBlob);
}

#[test]
fn an_index_refers_to_its_children() {
    for media_type in [OCI_INDEX, DOCKER_LIST] {
        let document = json!({
            "schemaVersion": 2,
            "mediaType": media_type,
            "manifests": [entry(OCI_MANIFEST, "child"), entry(OCI_INDEX, "nested")],
        });
        let manifest = parse(&document, Some(media_type)).expect("valid");
        assert!(manifest.references.iter().all(|r| r.role == Role::Child));
        assert_eq!(manifest.references.len(), 2);
        assert_eq!(manifest.artifact_type, None);
    }
}

#[test]
fn a_subject_and_annotations_are_read() {
    let mut document = image();
    document["subject"] = entry(OCI_MANIFEST, "subject");
    document["artifactType"] = json!("application/vnd.example");
    document["annotations"] = json!({"a": "b"});
    let manifest = parse(&document, None).expect("valid");
    assert_eq!(manifest.subject, Some(digest("subject")));
    assert_eq!(
        manifest.artifact_type.as_deref(),
        Some("application/vnd.example")
    );
    assert_eq!(
        manifest.annotations,
        Some([("a".into(), "b".into())].into())
    );
}

#[test]
fn empty_lists_null_fields_and_unknown_fields_are_accepted() {
    let mut document = image();
    document["layers"] = json!([]);
    document["subject"] = Value::Null;
    document["x-unknown"] = json!({"deep": [1, 2, 3]});
    assert!(parse(&document, None).is_ok());
    document["layers"] = Value::Null;
    assert!(parse(&document, None).is_ok());
    let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": []});
    assert!(parse(&index, None).is_ok());
}

#[test]
fn the_type_comes_from_body_header_or_fields() {
    let mut document = image();
    assert!(parse(&document, None).is_ok());
    assert!(parse(&document, Some("application/json")).is_ok());
    document
        .as_object_mut()
        .expect("an object")
        .remove("mediaType");
    let media_type = |header| parse(&document, header).map(|m| m.media_type.as_str().to_owned());
    assert_eq!(
        media_type(Some(DOCKER_MANIFEST)),
        Ok(DOCKER_MANIFEST.to_owned())
    );
    assert_eq!(media_type(None), Ok(OCI_MANIFEST.to_owned()));
}

#[test]
fn a_type_that_contradicts_the_body_is_refused() {
    let error = parse(&image(), Some(OCI_INDEX));
    assert!(matches!(error, Err(ManifestError::MediaTypesDiffer { .. })));
}

#[test]
fn a_document_that_two_clients_read_differently_is_refused() {
    let mut document = image();
    document["manifests"] = json!([]);
    assert_eq!(parse(&document, None), Err(ManifestError::Ambiguous));
    let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [], "layers": []});
    assert_eq!(parse(&index, None), Err(ManifestError::Ambiguous));
    let twice = br#"{"schemaVersion": 2, "schemaVersion": 2}"#;
    assert!(matches!(
        Manifest::parse(twice, None),
        Err(ManifestError::Unreadable(_))
    ));
}

#[test]
fn schema_1_is_refused_by_name() {
    let document = json!({"schemaVersion": 1, "name": "a", "tag": "b", "fsLayers": []});
    assert_eq!(parse(&document, None), Err(ManifestError::SchemaVersion1));
}

#[test]
fn what_is_no_manifest_is_refused() {
    for bytes in [
        &b""[..],
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"{\"schemaVersion\": 2} trailing",
    ] {
        let error = Manifest::parse(bytes, None);
        assert!(
            matches!(error, Err(ManifestError::Unreadable(_))),
            "{bytes:?}"
        );
    }
    let no_config = json!({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "layers": []});
    assert_eq!(parse(&no_config, None), Err(ManifestError::NoConfig));
    let unknown = json!({"schemaVersion": 2, "mediaType": "application/x"});
    assert!(matches!(
        parse(&unknown, None),
        Err(ManifestError::UnknownMediaType(_))
    ));
    assert_eq!(parse(&json!({}), None), Err(ManifestError::SchemaVersion));
    assert_eq!(
        parse(&json!({"schemaVersion": 2}), None),
        Err(ManifestError::NoMediaType)
    );
}

#[test]
fn a_list_is_not_taken_for_an_object() {
    let listed = |entry: &Value| json!([entry["mediaType"], entry["digest"], entry["size"]]);
    for pointer in ["/config", "/layers/0"] {
        let mut document = image();
        let entry = document.pointer_mut(pointer).unwrap();
        *entry = listed(entry);
        assert!(parse(&document, Some(OCI_MANIFEST)).is_err(), "{document}");
    }
    let mut document = image();
    document["subject"] = listed(&document["config"]);
    assert!(parse(&document, Some(OCI_MANIFEST)).is_err(), "{document}");
    let document = json!([
        2,
        OCI_MANIFEST,
        image()["config"],
        [],
        null,
        null,
        null,
        null
    ]);
    assert!(parse(&document, Some(OCI_MANIFEST)).is_err(), "{document}");
}

#[test]
fn bytes_that_are_no_text_are_refused_wherever_they_are() {
    let (before, after) = (r#"{"schemaVersion":2,"manifests":[],"x":""#, r#""}"#);
    let parse = |inside: &[u8]| {
        let document = [before.as_bytes(), inside, after.as_bytes()].concat();
        Manifest::parse(&document, Some(&OCI_INDEX.into()))
    };
    assert!(parse("ÿ".as_bytes()).is_ok());
    assert!(matches!(parse(b"\xff"), Err(ManifestError::Unreadable(_))));
}

#[test]
fn deep_nesting_is_refused_and_does_not_overflow() {
    let bytes = [b"[".repeat(100_000), b"]".repeat(100_000)].concat();
    assert!(Manifest::parse(&bytes, None).is_err());
    let inside = format!(
        r#"{{"schemaVersion":2,"x":{}{}}}"#,
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    assert!(Manifest::parse(inside.as_bytes(), None).is_err());
}

#[test]
fn a_digest_that_cannot_be_stored_is_refused() {
    let mut document = image();
    for digest in [
        "sha256:abc",
        "md5:d41d8cd98f00b204e9800998ecf8427e",
        "../../x",
    ] {
        document["layers"][0]["digest"] = json!(digest);
        assert!(matches!(
            parse(&document, None),
            Err(ManifestError::Unreadable(_))
        ));
    }
}
