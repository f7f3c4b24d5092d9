//! Which manifests of a repository need which.

use std::collections::{HashMap, HashSet};

use crate::domain::digest::Digest;
use crate::domain::record::Revision;
use crate::ports::record_store::Version;

/// A manifest as it was read.
pub(super) struct Read {
    pub(super) version: Version,
    pub(super) revision: Revision,
}

/// The manifests of a repository.
pub(super) type Manifests = HashMap<Digest, Read>;

/// What can be reached from `roots` along what needs what.
pub(super) fn reachable(
    manifests: &Manifests,
    roots: impl IntoIterator<Item = Digest>,
) -> HashSet<Digest> {
    let referrers = referrers(manifests);
    let mut reached = HashSet::new();
    let mut next: Vec<Digest> = roots.into_iter().collect();
    while let Some(digest) = next.pop() {
        if !reached.insert(digest) {
            continue;
        }
        if let Some(Read { revision, .. }) = manifests.get(&digest) {
            next.extend(revision.manifests.iter().chain(&revision.subject));
        }
        next.extend(referrers.get(&digest).into_iter().flatten());
    }
    reached
}

/// Those that are `wanted`, an index before what it lists and a subject before
/// its referrers.
///
/// In a circle, which a referrer closes that lists an index of its own subject,
/// one of them has to be first; it is any.
pub(super) fn needers_first(
    manifests: &Manifests,
    wanted: impl Fn(&Digest) -> bool,
) -> Vec<Digest> {
    enum Step {
        Enter(Digest),
        Leave(Digest),
    }
    let referrers = referrers(manifests);
    let mut order = Vec::new();
    let mut entered = HashSet::new();
    let mut next: Vec<Step> = manifests.keys().copied().map(Step::Enter).collect();
    while let Some(step) = next.pop() {
        match step {
            Step::Leave(digest) => order.push(digest),
            Step::Enter(digest) => {
                let Some(Read { revision, .. }) = manifests.get(&digest) else {
                    continue;
                };
                if !wanted(&digest) || !entered.insert(digest) {
                    continue;
                }
                next.push(Step::Leave(digest));
                let listed = revision.manifests.iter();
                let needed = listed.chain(referrers.get(&digest).into_iter().flatten());
                next.extend(needed.copied().map(Step::Enter));
            }
        }
    }
    // Each was left after all that it needs.
    order.reverse();
    order
}

fn referrers(manifests: &Manifests) -> HashMap<Digest, Vec<Digest>> {
    let mut referrers: HashMap<Digest, Vec<Digest>> = HashMap::new();
    for (digest, Read { revision, .. }) in manifests {
        if let Some(subject) = revision.subject {
            referrers.entry(subject).or_default().push(*digest);
        }
    }
    referrers
}
