//! Whatever bytes a store holds under a key, reading them as a record is an
//! answer and never a panic; and what reads is written back to mean the same.
#![no_main]

use std::fmt::Debug;

use libfuzzer_sys::fuzz_target;
use octoserve::domain::hasher::{Hasher, SuspendedHasher};
use octoserve::domain::record::{
    Claim, JobRecord, ReferrerRecord, RepositoryRecord, Revision, TagRecord, TaggedHint, decode,
    encode,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

fuzz_target!(|data: &[u8]| {
    settles::<JobRecord>(data);
    settles::<RepositoryRecord>(data);
    settles::<Claim>(data);
    settles::<Revision>(data);
    settles::<TagRecord>(data);
    settles::<ReferrerRecord>(data);
    settles::<TaggedHint>(data);
    settles::<SuspendedHasher>(data);
    if let Ok(suspended) = decode::<SuspendedHasher>(data)
        && let Some(mut hasher) = Hasher::resume(&suspended)
    {
        let again = Hasher::resume(&hasher.suspend()).expect("a state of our own");
        assert_eq!(again.suspend(), hasher.suspend());
        hasher.update(b"some bytes and then some more, so that a block is filled up, or two of them are, whichever algorithm it is");
        assert_eq!(hasher.algorithm(), hasher.finish().algorithm());
    }
});

/// Reading what was written of what was read changes nothing any more. The
/// first time may: it drops unknown fields, and of a time less than its
/// milliseconds.
fn settles<R: Serialize + DeserializeOwned + PartialEq + Debug>(data: &[u8]) {
    if let Ok(record) = decode::<R>(data) {
        let bytes = encode(&record).expect("what was read can be written");
        let again: R = decode(&bytes).expect("what was written can be read");
        assert_eq!(encode(&again).expect("as before"), bytes);
    }
}
