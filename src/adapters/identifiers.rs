//! Identifiers from the machine's random numbers.

use uuid::Uuid;

use crate::ports::Identifiers;

/// Hands out random UUIDs (version 4).
#[derive(Clone, Copy, Debug, Default)]
pub struct RandomIdentifiers;

impl Identifiers for RandomIdentifiers {
    fn fresh(&self) -> Uuid {
        Uuid::new_v4()
    }
}
