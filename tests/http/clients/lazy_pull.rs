//! stargz-snapshotter and the SOCI snapshotter, which mount before they pull.

use http::header::{CONTENT_LENGTH, CONTENT_RANGE, RANGE};

use crate::content::Blob;
use crate::registry::over_each_store;

#[test]
fn stargz_tries_two_bytes_to_learn_whether_and_how_much_it_can_have() {
    over_each_store(async |registry| {
        let layer = Blob::of_size(300_000);
        registry.holding("a", &layer).await;
        let path = format!("/v2/a/blobs/{}?ns=registry.example", layer.digest());
        let probe = registry.get(&path).header(RANGE, "bytes=0-1").await;
        let probe = probe.expect(206);
        assert_eq!(probe.body, layer.content().slice(..2));
        // It takes the size of the layer from here or from HEAD.
        assert_eq!(probe.header(CONTENT_RANGE), Some("bytes 0-1/300000"));
        let head = registry.head(&path).await.expect(200);
        assert_eq!(head.header(CONTENT_LENGTH), Some("300000"));
    });
}

#[test]
fn stargz_reads_the_footer_of_a_layer_before_anything_else() {
    over_each_store(async |registry| {
        let layer = Blob::of_size(300_000);
        registry.holding("a", &layer).await;
        let call = registry.get(format!("/v2/a/blobs/{}", layer.digest()));
        let footer = call.header(RANGE, "bytes=299949-299999").await.expect(206);
        assert_eq!(footer.body, layer.content().slice(299_949..));
    });
}

#[test]
fn soci_fetches_many_single_ranges_side_by_side() {
    over_each_store(async |registry| {
        let layer = Blob::of_size(500_000);
        registry.holding("a", &layer).await;
        let path = format!("/v2/a/blobs/{}", layer.digest());
        registry.race(10, async |registry, number| {
            let (start, end) = (number * 50_000, (number + 1) * 50_000);
            let call = registry.get(&path);
            let call = call.header(RANGE, format!("bytes={start}-{}", end - 1));
            let part = call.await.expect(206);
            assert_eq!(part.body, layer.content().slice(start..end));
        });
    });
}
