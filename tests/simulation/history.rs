//! What clients were told, and what else was going on meanwhile.

use std::sync::{Mutex, MutexGuard, PoisonError};

use octoserve::domain::digest::Digest;

/// What an operation is about, and what it does to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    /// A manifest, by its position, is pushed to a repository.
    Push { repository: usize, document: usize },
    /// A tag is pointed to a manifest.
    Tag {
        repository: usize,
        tag: usize,
        document: usize,
    },
    /// A tag is deleted.
    DeleteTag { repository: usize, tag: usize },
    /// A manifest is deleted.
    Delete { repository: usize, document: usize },
    /// A blob is taken from a repository.
    DeleteBlob { repository: usize, digest: Digest },
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    deed: Deed,
    began: usize,
    /// Until when it may still have done something.
    ended: Option<usize>,
    was_accepted: bool,
}

/// The deeds of a run, in the order in which they began.
#[derive(Default)]
pub(crate) struct History {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    moment: usize,
    entries: Vec<Entry>,
}

/// A deed that is under way. Dropped, its doer has died.
pub(crate) struct UnderWay<'a> {
    history: &'a History,
    at: usize,
}

impl History {
    pub(crate) fn begin(&self, deed: Deed) -> UnderWay<'_> {
        let mut state = self.state();
        state.moment += 1;
        let entry = Entry {
            deed,
            began: state.moment,
            ended: None,
            was_accepted: false,
        };
        state.entries.push(entry);
        UnderWay {
            history: self,
            at: state.entries.len() - 1,
        }
    }

    /// The deeds that were accepted and that nothing undid: no deed for which
    /// `undoes` holds was under way when they began, or began later.
    pub(crate) fn lasting(&self, undoes: impl Fn(Deed, Deed) -> bool) -> Vec<Deed> {
        let state = self.state();
        let lasts = |accepted: &&Entry| {
            accepted.was_accepted
                && !state.entries.iter().any(|other| {
                    let is_over = other.ended.is_some_and(|ended| ended < accepted.began);
                    !std::ptr::eq(*accepted, other) && !is_over && undoes(other.deed, accepted.deed)
                })
        };
        let lasting = state.entries.iter().filter(lasts);
        lasting.map(|entry| entry.deed).collect()
    }

    /// Whether anybody has begun such a deed.
    pub(crate) fn has(&self, deed: Deed) -> bool {
        self.state().entries.iter().any(|entry| entry.deed == deed)
    }

    pub(crate) fn accepted(&self) -> usize {
        let state = self.state();
        state
            .entries
            .iter()
            .filter(|entry| entry.was_accepted)
            .count()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl UnderWay<'_> {
    /// The deed is done.
    pub(crate) fn accept(self) {
        if let Some(entry) = self.history.state().entries.get_mut(self.at) {
            entry.was_accepted = true;
        }
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        let mut state = self.history.state();
        state.moment += 1;
        let moment = state.moment;
        if let Some(entry) = state.entries.get_mut(self.at) {
            entry.ended = Some(moment);
        }
    }
}
