//! Chance, as a seed decides it.

use std::sync::{Arc, Mutex, PoisonError};

/// A source of numbers that everybody in a run shares.
#[derive(Clone)]
pub(crate) struct Random(Arc<Mutex<u64>>);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(seed)))
    }

    /// SplitMix64.
    fn next(&self) -> u64 {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = *state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`.
    pub(crate) fn below(&self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    /// True once in so many times; never if 0.
    pub(crate) fn once_in(&self, times: usize) -> bool {
        times > 0 && self.below(times) == 0
    }

    /// One of several.
    pub(crate) fn of<'a, T>(&self, things: &'a [T]) -> &'a T {
        let at = self.below(things.len());
        things.get(at).expect("it is below the length")
    }
}
