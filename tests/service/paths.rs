//! Paths that mean to lead elsewhere.

use crate::process::Octoserve;

#[test]
fn no_path_leads_out_of_the_registry() {
    let server = Octoserve::start(&[]);
    std::fs::write(server.directory().join("secret"), "secret").unwrap();
    let digest = format!("sha256:{}", "a".repeat(64));
    let long = "a/".repeat(4000);
    for path in [
        "/../secret",
        "/v2/../../secret",
        "/v2/%2e%2e/secret",
        "/v2/../tags/list",
        "/v2/a/../b/tags/list",
        "/v2/a%2Fb/tags/list",
        "/v2/a%2f..%2fb/tags/list",
        "/v2/a//b/tags/list",
        "/v2//tags/list",
        "/v2/%00/tags/list",
        "/v2/a%00b/tags/list",
        "/v2/a/manifests/..",
        "/v2/a/manifests/.",
        "/v2/a/manifests/..%2f..%2fsecret",
        "/v2/a/manifests/%2e%2e%2f%2e%2e%2fsecret",
        "/v2/a/manifests/b%00",
        "/v2/a/manifests/sha256:..",
        "/v2/a/blobs/sha256:../../../secret",
        "/v2/a/blobs/sha256:..%2f..%2f..%2fsecret",
        "/v2/a/blobs/..%2f..%2fsecret",
        "/v2/a/blobs/uploads/../../../secret",
        "/v2/a/blobs/uploads/..%2f..%2fsecret",
        "/v2/_tags/tags/list",
        "/v2/a/_tags/tags/list",
        "/v2/.a/tags/list",
        "/v2/a./tags/list",
        "/v2/A/tags/list",
        "/v2/\\..\\secret/tags/list",
        &format!("/v2/a/referrers/{digest}%00"),
        &format!("/v2/a/../b/blobs/{digest}"),
        &format!("/v2/{long}b/tags/list"),
        &format!("/v2/{}/tags/list", "a".repeat(256)),
        &format!("/v2/a/manifests/{}", "a".repeat(129)),
        &format!("/v2/a/tags/list?last={}", "a".repeat(5000)),
        "/v2/a/tags/list?n=-1",
        "/v2/a/tags/list?n=99999999999999999999999",
        "/v2/_catalog?n=99999999999999999999999",
        "/v2/_catalog?last=../../secret",
        "/.git/config",
        "/",
        "//",
        "/v2",
        "/v1/",
    ] {
        for method in ["GET", "PUT", "DELETE", "PATCH", "POST"] {
            let mut client = server.connect();
            let answer = client.ask(format!(
                "{method} {path} HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n"
            ));
            let is_list = path.starts_with("/v2/_catalog") || path == "/v2";
            let fine = if is_list { 200..500 } else { 400..500 };
            assert!(fine.contains(&answer.status), "{method} {path}: {answer:?}");
            answer.id();
            assert!(!answer.body.starts_with(b"secret"), "{method} {path}");
            if answer.status >= 400 {
                answer.refusal();
            }
        }
    }
    let names = crate::process::names_in(server.directory());
    assert_eq!(names, ["data", "secret", "stderr"]);
    assert_eq!(
        crate::process::names_in(&server.data().join("manifests")),
        [""; 0]
    );
    assert_eq!(
        crate::process::names_in(&server.data().join("repositories")),
        [""; 0]
    );
    assert_eq!(
        crate::process::names_in(&server.data().join("uploads")),
        [""; 0]
    );
}

#[test]
fn headers_that_a_client_chooses_do_not_come_back_as_headers() {
    let server = Octoserve::start(&[]);
    let mut client = server.connect();
    for request in [
        "GET /v2/a%0d%0aset-cookie:%20x/tags/list",
        "GET /v2/a/tags/list?last=%0d%0aset-cookie:%20x&n=1",
        "GET /v2/_catalog?last=%0d%0aset-cookie:%20x&n=1",
        "POST /v2/a/blobs/uploads/?mount=sha256:a%0d%0aset-cookie:%20x&from=b",
        "POST /v2/a/blobs/uploads/?digest-algorithm=%0d%0aset-cookie:%20x",
    ] {
        let answer = client.ask(format!(
            "{request} HTTP/1.1\r\nhost: a\r\ncontent-length: 0\r\n\r\n"
        ));
        assert_eq!(answer.header("set-cookie"), None, "{request}: {answer:?}");
    }
}
