//! containerd, nerdctl, CRI, and docker with containerd's image store.

use http::header::{
    ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, RANGE,
};
use http_body_util::BodyExt;

use crate::content::{Blob, Image};
use crate::registry::over_each_store;

#[test]
fn containerd_pushes_a_layer_in_one_put_to_the_location_it_was_given() {
    over_each_store(async |registry| {
        let layer = Blob::of_size(200_000);
        let path = format!("/v2/a/blobs/{}", layer.digest());
        registry.head(&path).header(ACCEPT, "*/*").await.expect(404);
        let begun = registry
            .post("/v2/a/blobs/uploads/")
            .body("")
            .await
            .expect(202);
        // Where the host differs from the request's it drops its credentials,
        // so there is none.
        let location = begun.location();
        assert!(location.starts_with("/v2/"), "{location}");
        let call = registry.put(format!("{location}?digest={}", layer.digest()));
        let call = call.header(CONTENT_TYPE, "application/octet-stream");
        let pushed = call.body(layer.content()).await.expect(201);
        let told = pushed.named("docker-content-digest");
        assert_eq!(told, Some(&*layer.digest().to_string()));
    });
}

#[test]
fn containerd_says_which_registry_it_means_on_every_request_to_a_mirror() {
    over_each_store(async |registry| {
        let ns = "ns=registry.example%3A5000";
        let (config, layer) = (Blob::text("{}"), Blob::text("layer"));
        registry.holding("b", &layer).await;
        for blob in [&config, &layer] {
            let path = format!("/v2/a/blobs/{}?{ns}", blob.digest());
            registry.head(&path).await.expect(404);
            let begin = format!("/v2/a/blobs/uploads/?{ns}");
            let begun = registry.post(begin).body("").await.expect(202);
            let put = format!("{}?digest={}&{ns}", begun.location(), blob.digest());
            registry.put(put).body(blob.content()).await.expect(201);
            registry.head(&path).await.expect(200);
            registry.get(&path).await.expect(200);
        }
        let mount = format!("/v2/a/blobs/uploads/?{ns}&mount={}&from=b", layer.digest());
        registry.post(mount).body("").await.expect(201);
        let session = registry.begin("a").await;
        registry
            .patch(format!("{session}?{ns}"))
            .body("x")
            .await
            .expect(202);
        registry.get(format!("{session}?{ns}")).await.expect(204);
        registry.delete(format!("{session}?{ns}")).await.expect(204);
        let image = Image::with_config(&config).layer(&layer).build();
        let by_tag = format!("/v2/a/manifests/v1?{ns}");
        let call = registry.put(&by_tag).body(image.content());
        call.header(CONTENT_TYPE, image.media_type())
            .await
            .expect(201);
        let by_digest = format!("/v2/a/manifests/{}?{ns}", image.digest());
        for path in [&by_tag, &by_digest] {
            registry.head(path).await.expect(200);
            let pulled = registry.get(path).await.expect(200);
            assert_eq!(pulled.body, image.content());
        }
        registry
            .get(format!("/v2/a/tags/list?{ns}"))
            .await
            .expect(200);
        let referrers = format!("/v2/a/referrers/{}?{ns}", image.digest());
        registry.get(referrers).await.expect(200);
        registry.delete(by_digest).await.expect(202);
    });
}

#[test]
fn containerd_learns_from_head_what_a_tag_means() {
    over_each_store(async |registry| {
        let image = registry.push_image("a", "v1").await;
        let accept = "application/vnd.docker.distribution.manifest.v2+json, \
                      application/vnd.oci.image.index.v1+json, */*";
        let head = registry.head("/v2/a/manifests/v1").header(ACCEPT, accept);
        let head = head.await.expect(200);
        // Without these it would pull the manifest to learn them.
        let told = head.named("docker-content-digest");
        assert_eq!(told, Some(&*image.digest().to_string()));
        let length = head.header(CONTENT_LENGTH).map(str::parse);
        assert_eq!(length, Some(Ok(image.content().len())));
    });
}

#[test]
fn containerd_looks_for_a_digest_among_manifests_and_then_among_blobs() {
    over_each_store(async |registry| {
        let layer = Blob::text("layer");
        registry.holding("a", &layer).await;
        for method in [http::Method::HEAD, http::Method::GET] {
            let path = format!("/v2/a/manifests/{}", layer.digest());
            registry.call(method.clone(), path).await.expect(404);
            let path = format!("/v2/a/blobs/{}", layer.digest());
            registry.call(method, path).await.expect(200);
        }
    });
}

#[test]
fn containerd_fetches_a_layer_in_chunks_that_each_have_a_range() {
    over_each_store(async |registry| {
        let layer = Blob::of_size(1_000_000);
        registry.holding("a", &layer).await;
        let path = format!("/v2/a/blobs/{}", layer.digest());
        let mut fetched = vec![0; layer.size()];
        // To the end from each offset on, also from the first; it closes what it
        // has read enough of.
        for offset in (0..layer.size()).step_by(256_000) {
            let call = registry
                .get(&path)
                .header(RANGE, format!("bytes={offset}-"));
            let response = call.unread().await;
            assert_eq!(response.status(), 206, "200 means that ranges are ignored");
            let place = format!("bytes {offset}-999999/1000000");
            assert_eq!(response.headers()[CONTENT_RANGE], place);
            let (mut position, mut body) = (offset, response.into_body());
            let end = (offset + 256_000).min(layer.size());
            while position < end {
                let frame = body.frame().await.expect("a frame").expect("good bytes");
                let data = frame.into_data().expect("data");
                let wanted = data.len().min(end - position);
                fetched[position..position + wanted].copy_from_slice(&data[..wanted]);
                position += wanted;
            }
        }
        assert_eq!(fetched, layer.content());
    });
}

#[test]
fn containerd_would_decode_what_it_is_sent_encoded() {
    over_each_store(async |registry| {
        let image = registry.push_image("a", "v1").await;
        let layer = Blob::text(&"compressible".repeat(1000));
        registry.holding("a", &layer).await;
        for (path, content) in [
            ("/v2/a/manifests/v1".to_owned(), image.content()),
            (format!("/v2/a/blobs/{}", layer.digest()), layer.content()),
        ] {
            let call = registry.get(path);
            let call = call.header(ACCEPT_ENCODING, "zstd;q=1.0, gzip;q=0.8, deflate;q=0.5");
            let pulled = call.await.expect(200);
            assert_eq!(pulled.header(CONTENT_ENCODING), None);
            assert_eq!(pulled.body, content);
        }
    });
}
