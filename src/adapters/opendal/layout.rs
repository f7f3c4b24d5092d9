//! Where everything is in the bucket: the only place that makes keys.

use uuid::Uuid;

use crate::domain::digest::Digest;
use crate::domain::name::RepositoryName;
use crate::domain::record_key::{RecordKey, RecordSet};
use crate::domain::upload::UploadId;

/// Where the pointers to content are.
pub(super) const BLOBS: &str = "blobs/";

/// Where the content itself is.
pub(super) const DATA: &str = "data/";

/// Where the records of repositories are, in a directory for each.
pub(super) const MANIFESTS: &str = "manifests/";

/// Where the upload sessions are.
pub(super) const UPLOADS: &str = "uploads/";

/// The pointer to a blob's bytes.
pub(super) fn blob(digest: &Digest) -> String {
    format!("{BLOBS}{}/{}", digest.algorithm().as_str(), digest.to_hex())
}

/// The blob whose pointer has this key.
pub(super) fn digest(key: &str) -> Option<Digest> {
    let digest = key.strip_prefix(BLOBS)?.replacen('/', ":", 1);
    digest.parse().ok()
}

/// The repository whose records are in this directory.
pub(super) fn repository(directory: &str) -> Option<RepositoryName> {
    let name = directory.strip_prefix(MANIFESTS)?.strip_suffix('/')?;
    decode_name(name).parse().ok()
}

/// An object that holds content and whose key nobody has had before.
pub(super) fn fresh_part(session: Uuid) -> String {
    format!("{DATA}{session}/{}", Uuid::new_v4().simple())
}

/// The record of an upload session.
pub(super) fn upload(id: UploadId) -> String {
    format!("{UPLOADS}{id}")
}

/// A record.
pub(super) fn record(key: &RecordKey) -> String {
    let SetPrefix { path, leaf_to_key } = set(&key.set());
    path + &leaf_to_key(&key.leaf())
}

/// The keys of a set begin with a prefix, and go on with what stands for the
/// leaf, in the same order as the leaves.
pub(super) struct SetPrefix {
    /// The prefix; it ends with `/`.
    pub(super) path: String,
    /// What stands for a leaf.
    pub(super) leaf_to_key: fn(&str) -> String,
}

/// Where a set is.
pub(super) fn set(set: &RecordSet) -> SetPrefix {
    let in_repository = |name: &RepositoryName, part: &str| {
        let name = encode_name(name.as_str());
        format!("{MANIFESTS}{name}/{part}/")
    };
    let of_digest = |name: &RepositoryName, part: &str, digest: &Digest| {
        let (algorithm, hex) = (digest.algorithm().as_str(), digest.to_hex());
        format!("{}{algorithm}/{hex}/", in_repository(name, part))
    };
    let (path, leaf_to_key): (String, fn(&str) -> String) = match set {
        RecordSet::Jobs => ("jobs/".to_owned(), str::to_owned),
        RecordSet::Repositories => ("repositories/".to_owned(), encode_name),
        RecordSet::Tags(name) => (in_repository(name, "_tags"), str::to_owned),
        RecordSet::Tagged(name, digest) => (of_digest(name, "_tagged", digest), str::to_owned),
        RecordSet::Referrers(name, subject) => {
            (of_digest(name, "_referrers", subject), encode_digest)
        }
        RecordSet::Claims(name) => (in_repository(name, "_blobs"), encode_digest),
        RecordSet::Revisions(name) => (in_repository(name, "_revisions"), encode_digest),
    };
    SetPrefix { path, leaf_to_key }
}

/// The leaf that a key of a set stands for, as far as it is one.
pub(super) fn leaf(set: &RecordSet, key: &str) -> String {
    match set {
        RecordSet::Repositories => decode_name(key),
        RecordSet::Jobs | RecordSet::Tags(_) | RecordSet::Tagged(..) => key.to_owned(),
        RecordSet::Referrers(..) | RecordSet::Claims(_) | RecordSet::Revisions(_) => {
            key.replacen('/', ":", 1)
        }
    }
}

/// A key of the set that is not after any that stands for a leaf greater than
/// `after`: a list may begin there. `None` if it may as well begin at the
/// begin.
pub(super) fn list_from(set: &RecordSet, after: &str) -> Option<String> {
    let known: fn(char) -> bool = match set {
        RecordSet::Repositories => is_of_a_name,
        RecordSet::Jobs | RecordSet::Tags(_) | RecordSet::Tagged(..) => is_of_a_tag,
        RecordSet::Referrers(..) | RecordSet::Claims(_) | RecordSet::Revisions(_) => {
            return after
                .parse::<Digest>()
                .ok()
                .map(|digest| encode_digest(&digest.to_string()));
        }
    };
    // Up to the first character that no leaf has, so that nothing is said of
    // the order of that one.
    let end = after.find(|character| !known(character));
    let start = after.get(..end.unwrap_or(after.len()))?;
    match (set, start) {
        (_, "") => None,
        (RecordSet::Repositories, name) => Some(encode_name(name)),
        (_, tag) => Some(tag.to_owned()),
    }
}

const fn is_of_a_name(character: char) -> bool {
    matches!(character, 'a'..='z' | '0'..='9' | '.' | '_' | '-' | '/')
}

const fn is_of_a_tag(character: char) -> bool {
    matches!(character, 'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '_' | '-')
}

/// A repository's name as one component, in the same order as the names: `-`,
/// `.` and `/`, neighbours in this order, move down by one to make room.
fn encode_name(name: &str) -> String {
    let moved = |character| match character {
        '-' => '!',
        '.' => '-',
        '/' => '.',
        other => other,
    };
    name.chars().map(moved).collect()
}

fn decode_name(key: &str) -> String {
    let moved = |character| match character {
        '!' => '-',
        '-' => '.',
        '.' => '/',
        other => other,
    };
    key.chars().map(moved).collect()
}

fn encode_digest(digest: &str) -> String {
    digest.replacen(':', "/", 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::digest::Algorithm;

    const NAMES: [&str; 9] = [
        "a", "a--b", "a-b", "a.b", "a/b", "a/b.c-d", "a0", "a_b", "ab",
    ];

    #[test]
    fn names_keep_their_order_and_read_back() {
        let encoded: Vec<String> = NAMES.into_iter().map(encode_name).collect();
        assert!(encoded.is_sorted(), "{encoded:?}");
        for (name, encoded) in NAMES.into_iter().zip(encoded) {
            assert!(!encoded.contains('/'));
            assert_eq!(decode_name(&encoded), name);
        }
    }

    #[test]
    fn every_key_has_a_place_and_is_found_there() {
        let digests = Algorithm::ALL.map(|algorithm| Digest::of(algorithm, b""));
        let mut places = std::collections::BTreeSet::new();
        let mut keys = 0;
        for name in NAMES {
            let name: RepositoryName = name.parse().expect("a name");
            let mut all = vec![
                RecordKey::Repository(name.clone()),
                RecordKey::Tag(name.clone(), "v1".parse().expect("a tag")),
            ];
            for digest in digests {
                all.extend([
                    RecordKey::Claim(name.clone(), digest),
                    RecordKey::Revision(name.clone(), digest),
                    RecordKey::Tagged(name.clone(), digest, "v1".parse().expect("a tag")),
                ]);
                let referrers =
                    digests.map(|other| RecordKey::Referrer(name.clone(), digest, other));
                all.extend(referrers);
            }
            for key in all {
                let place = record(&key);
                let SetPrefix { path, .. } = set(&key.set());
                let found = place.strip_prefix(&path).expect("it is in its set");
                assert_eq!(leaf(&key.set(), found), key.leaf());
                places.insert(place);
                keys += 1;
            }
        }
        assert_eq!(places.len(), keys, "no two keys share a place");
    }

    #[test]
    fn a_list_begins_no_later_than_what_follows_the_cursor() {
        let repositories = RecordSet::Repositories;
        for (cursor, from) in [
            ("", None),
            ("a", Some("a")),
            ("a-b/c", Some("a!b.c")),
            ("a!", Some("a")),
            ("a\u{10ffff}", Some("a")),
            ("A", None),
        ] {
            assert_eq!(list_from(&repositories, cursor).as_deref(), from);
        }
        for cursor in NAMES {
            for name in NAMES.into_iter().filter(|name| *name > cursor) {
                let from = list_from(&repositories, cursor).expect("a begin");
                assert!(encode_name(name) > from);
            }
        }
    }
}
