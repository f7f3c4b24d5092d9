use super::*;

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const SESSION: &str = "00000000-0000-4000-8000-000000000001";

fn parse(method: Method, path: &str) -> Result<Route, RouteError> {
    match path.split_once('?') {
        Some((path, query)) => Route::parse(&method, path, Some(query)),
        None => Route::parse(&method, path, None),
    }
}

fn name(text: &str) -> RepositoryName {
    text.parse().expect("a name")
}

fn digest() -> Digest {
    DIGEST.parse().expect("a digest")
}

fn tag(text: &str) -> Tag {
    text.parse().expect("a tag")
}

#[test]
fn every_endpoint_of_the_specification_is_a_route() {
    let session: UploadId = SESSION.parse().expect("a session");
    let whole = PageRequest::default();
    for (method, path, route) in [
        (Method::GET, "/v2/".to_owned(), Route::Ping),
        (Method::HEAD, "/v2".to_owned(), Route::Ping),
        (
            Method::GET,
            format!("/v2/a/b/blobs/{DIGEST}"),
            Route::PullBlob(name("a/b"), digest()),
        ),
        (
            Method::HEAD,
            format!("/v2/a/blobs/{DIGEST}"),
            Route::CheckBlob(name("a"), digest()),
        ),
        (
            Method::DELETE,
            format!("/v2/a/blobs/{DIGEST}"),
            Route::DeleteBlob(name("a"), digest()),
        ),
        (
            Method::GET,
            "/v2/a/manifests/v1".to_owned(),
            Route::PullManifest(name("a"), Reference::Tag(tag("v1"))),
        ),
        (
            Method::HEAD,
            format!("/v2/a/manifests/{}", DIGEST.replace(':', "%3A")),
            Route::CheckManifest(name("a"), Reference::Digest(digest())),
        ),
        (
            Method::PUT,
            format!("/v2/a/manifests/{DIGEST}?tag=1&tag=2&tag=1"),
            Route::PushManifest(
                name("a"),
                Reference::Digest(digest()),
                vec![tag("1"), tag("2")],
            ),
        ),
        (
            Method::DELETE,
            "/v2/a/manifests/v1".to_owned(),
            Route::DeleteManifest(name("a"), Reference::Tag(tag("v1"))),
        ),
        (
            Method::POST,
            "/v2/a/blobs/uploads/".to_owned(),
            Route::BeginUpload(name("a"), Algorithm::Sha256),
        ),
        (
            Method::POST,
            "/v2/a/blobs/uploads?digest-algorithm=sha512".to_owned(),
            Route::BeginUpload(name("a"), Algorithm::Sha512),
        ),
        (
            Method::POST,
            format!("/v2/a/blobs/uploads/?digest={DIGEST}"),
            Route::PushBlob(name("a"), digest()),
        ),
        (
            Method::POST,
            format!("/v2/a/blobs/uploads/?mount={DIGEST}&from=b/c"),
            Route::MountBlob(name("a"), digest(), Some(name("b/c"))),
        ),
        (
            Method::POST,
            format!("/v2/a/blobs/uploads/?mount={DIGEST}"),
            Route::MountBlob(name("a"), digest(), None),
        ),
        (
            Method::PATCH,
            format!("/v2/a/blobs/uploads/{SESSION}"),
            Route::AppendChunk(name("a"), session),
        ),
        (
            Method::PUT,
            format!("/v2/a/blobs/uploads/{SESSION}?digest={DIGEST}"),
            Route::FinishUpload(name("a"), session, digest()),
        ),
        (
            Method::GET,
            format!("/v2/a/blobs/uploads/{SESSION}?ns=example.com"),
            Route::UploadStatus(name("a"), session),
        ),
        (
            Method::DELETE,
            format!("/v2/a/blobs/uploads/{SESSION}"),
            Route::CancelUpload(name("a"), session),
        ),
        (
            Method::GET,
            "/v2/a/tags/list".to_owned(),
            Route::ListTags(name("a"), whole.clone()),
        ),
        (
            Method::GET,
            format!("/v2/a/referrers/{DIGEST}?artifactType=a/b+json"),
            Route::ListReferrers(
                name("a"),
                digest(),
                ReferrersRequest {
                    artifact_type: Some("a/b+json".to_owned()),
                    ..ReferrersRequest::default()
                },
            ),
        ),
        (
            Method::GET,
            "/v2/_catalog".to_owned(),
            Route::ListRepositories(whole),
        ),
    ] {
        assert_eq!(parse(method, &path), Ok(route), "{path}");
    }
}

#[test]
fn components_called_like_endpoints_belong_to_the_name() {
    for repository in [
        "blobs",
        "uploads",
        "blobs/uploads",
        "manifests/a",
        "tags/list",
        "a/referrers",
    ] {
        assert_eq!(
            parse(Method::GET, &format!("/v2/{repository}/manifests/v1")),
            Ok(Route::PullManifest(
                name(repository),
                Reference::Tag(tag("v1"))
            ))
        );
        assert_eq!(
            parse(Method::POST, &format!("/v2/{repository}/blobs/uploads/")),
            Ok(Route::BeginUpload(name(repository), Algorithm::Sha256))
        );
        assert!(parse(Method::GET, &format!("/v2/{repository}/tags/list")).is_ok());
    }
}

#[test]
fn a_method_that_a_resource_lacks_is_answered_with_those_it_has() {
    for (path, allow) in [
        ("/v2/", "GET, HEAD"),
        ("/v2/_catalog", "GET, HEAD"),
        ("/v2/a/tags/list", "GET, HEAD"),
        ("/v2/a/blobs/uploads/", "POST"),
        (&*format!("/v2/a/blobs/{DIGEST}"), "GET, HEAD, DELETE"),
        ("/v2/a/manifests/v1", "GET, HEAD, PUT, DELETE"),
        (&*format!("/v2/a/referrers/{DIGEST}"), "GET, HEAD"),
        (
            &*format!("/v2/a/blobs/uploads/{SESSION}"),
            "GET, HEAD, PATCH, PUT, DELETE",
        ),
    ] {
        let error = RouteError::MethodNotAllowed { allow };
        assert_eq!(parse(Method::TRACE, path), Err(error), "{path}");
    }
}

#[test]
fn names_that_could_leave_the_tree_are_refused() {
    for repository in ["..", "a/../b", "a%2Fb", "a//b", "A", "", ".", "a/"] {
        let error = parse(Method::GET, &format!("/v2/{repository}/manifests/v1"));
        let refused = matches!(error, Err(RouteError::NameInvalid(_) | RouteError::Unknown));
        assert!(refused, "{repository}: {error:?}");
    }
    let reference = parse(Method::GET, "/v2/a/manifests/..%2F..%2Fx");
    assert!(matches!(reference, Err(RouteError::TagUnknown(_))));
}

#[test]
fn a_tag_that_cannot_be_is_unknown_to_a_pull_and_invalid_to_a_push() {
    assert!(matches!(
        parse(Method::GET, "/v2/a/manifests/.x"),
        Err(RouteError::TagUnknown(_))
    ));
    assert!(matches!(
        parse(Method::PUT, "/v2/a/manifests/.x"),
        Err(RouteError::TagInvalid(_))
    ));
    let beside = parse(Method::PUT, "/v2/a/manifests/v1?tag=v2");
    assert_eq!(beside, Err(RouteError::TagsBesideTag));
}

#[test]
fn a_push_sets_a_hundred_tags_and_no_more() {
    let push = |count: usize| {
        let tags: Vec<String> = (0..count).map(|number| format!("tag=t{number}")).collect();
        parse(
            Method::PUT,
            &format!("/v2/a/manifests/{DIGEST}?{}", tags.join("&")),
        )
    };
    assert!(push(100).is_ok());
    assert_eq!(push(101), Err(RouteError::TooManyTags(100)));
}

#[test]
fn paths_without_a_resource_are_unknown() {
    for path in [
        "/",
        "/v1/",
        "/v2/a",
        "/v2/a/b",
        "/v2/a/tags/other",
        "/v2/uploads/x",
        "/v3",
        "",
    ] {
        assert_eq!(parse(Method::GET, path), Err(RouteError::Unknown), "{path}");
    }
}

#[test]
fn an_upload_is_finished_as_a_digest() {
    let path = format!("/v2/a/blobs/uploads/{SESSION}");
    assert_eq!(parse(Method::PUT, &path), Err(RouteError::DigestMissing));
    let invalid = parse(Method::PUT, &format!("{path}?digest=sha256:x"));
    assert!(matches!(invalid, Err(RouteError::DigestInvalid(_))));
    let unknown = parse(Method::PATCH, "/v2/a/blobs/uploads/not-a-uuid");
    assert!(matches!(unknown, Err(RouteError::UploadUnknown(_))));
}
