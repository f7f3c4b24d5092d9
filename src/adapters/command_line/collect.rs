//! What `octoserve collect` says while it collects, and afterwards.

use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytesize::ByteSize;
use serde_json::json;

use super::OutputFormat;
use crate::app::{CollectObserver, CollectStep, Collected};

/// A terminal is not written to more often than this.
const REFRESH: Duration = Duration::from_millis(100);

/// Says on the standard error how far a collection is: on a terminal in a line
/// that changes, otherwise in a line for each step.
pub struct CollectProgress {
    is_terminal: bool,
    state: Mutex<State>,
}

struct State {
    step: Option<CollectStep>,
    written: Instant,
}

impl Default for CollectProgress {
    fn default() -> Self {
        Self {
            is_terminal: io::stderr().is_terminal(),
            state: Mutex::new(State {
                step: None,
                written: Instant::now(),
            }),
        }
    }
}

impl CollectProgress {
    /// Takes away the line that changes.
    pub fn clear(&self) {
        if self.is_terminal {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

impl CollectObserver for CollectProgress {
    fn progress(&self, step: CollectStep, done: u64, of: Option<u64>) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = state.step != Some(step);
        let is_due = self.is_terminal && state.written.elapsed() >= REFRESH;
        if !is_new && !is_due {
            return;
        }
        state.step = Some(step);
        state.written = Instant::now();
        // Whether anybody can read it does not matter to what is done.
        let _ = if self.is_terminal {
            write!(io::stderr(), "\r\x1b[K{}", line(step, done, of))
        } else {
            writeln!(io::stderr(), "{}", name(step))
        };
    }
}

const fn name(step: CollectStep) -> &'static str {
    match step {
        CollectStep::Uploads => "looking for abandoned uploads",
        CollectStep::Untagged => "looking for manifests that nothing needs",
        CollectStep::Blobs => "listing blobs",
        CollectStep::Manifests => "reading manifests",
        CollectStep::Removing => "removing blobs",
        CollectStep::Claims => "looking at what repositories claim",
    }
}

fn line(step: CollectStep, done: u64, of: Option<u64>) -> String {
    const WIDTH: u64 = 30;
    let Some(of) = of.filter(|of| *of > 0) else {
        return format!("{}: {done}", name(step));
    };
    let filled = usize::try_from(done.min(of) * WIDTH / of).unwrap_or(0);
    let empty = (WIDTH as usize).saturating_sub(filled);
    let bar = "#".repeat(filled) + &"-".repeat(empty);
    format!("{} [{bar}] {done} of {of}", name(step))
}

/// What has been collected, or would be, as it is printed.
#[must_use]
pub fn collected(collected: &Collected, dry_run: bool, output: OutputFormat) -> String {
    match output {
        OutputFormat::Json => {
            let mut value = json!(collected);
            if let Some(fields) = value.as_object_mut() {
                fields.insert("dry_run".to_owned(), dry_run.into());
            }
            value.to_string()
        }
        OutputFormat::Text => text(collected, dry_run),
    }
}

fn text(collected: &Collected, dry_run: bool) -> String {
    let size = |bytes| ByteSize(bytes).display().iec();
    let verb = if dry_run { "would remove" } else { "removed" };
    let mut lines = vec![format!(
        "looked at {} in {} and {}",
        size(collected.bytes),
        count(collected.blobs, "blob"),
        count(collected.manifests, "manifest"),
    )];
    lines.push(format!(
        "{verb} {} with {}",
        count(collected.removed_blobs, "blob"),
        size(collected.removed_bytes),
    ));
    let others = [
        (
            collected.removed_manifests,
            "manifest that nothing needs",
            "manifests that nothing needs",
        ),
        (
            collected.removed_claims,
            "claim on a blob that is gone",
            "claims on blobs that are gone",
        ),
        (
            collected.removed_uploads,
            "abandoned upload",
            "abandoned uploads",
        ),
        (
            collected.removed_leftovers,
            "file that a crash left behind",
            "files that crashes left behind",
        ),
        (
            collected.removed_repositories,
            "empty repository",
            "empty repositories",
        ),
    ];
    for (number, one, several) in others {
        if number > 0 {
            let what = if number == 1 { one } else { several };
            lines.push(format!("{verb} {number} {what}"));
        }
    }
    if collected.waiting_manifests > 0 {
        let manifests = count(collected.waiting_manifests, "manifest");
        lines.push(format!(
            "{manifests} will be removed later unless something needs them"
        ));
    }
    if collected.renewed_blobs > 0 {
        let blobs = count(collected.renewed_blobs, "blob");
        lines.push(format!("kept {blobs} for pushes that are under way"));
    }
    lines.join("\n")
}

fn count(number: u64, thing: &str) -> String {
    match number {
        1 => format!("1 {thing}"),
        _ => format!("{number} {thing}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_done_reads_well() {
        let some = Collected {
            blobs: 3,
            bytes: 3 << 20,
            manifests: 1,
            removed_blobs: 1,
            removed_bytes: 1 << 20,
            removed_claims: 2,
            ..Collected::default()
        };
        let lines = [
            "looked at 3.0 MiB in 3 blobs and 1 manifest",
            "removed 1 blob with 1.0 MiB",
            "removed 2 claims on blobs that are gone",
        ];
        assert_eq!(
            collected(&some, false, OutputFormat::Text),
            lines.join("\n")
        );
        let json = collected(&some, true, OutputFormat::Json);
        let value: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        assert_eq!(value.get("removed_bytes"), Some(&json!(1 << 20)));
        assert_eq!(value.get("dry_run"), Some(&json!(true)));
    }

    #[test]
    fn a_bar_fills_as_things_are_done() {
        let bar = |done| line(CollectStep::Removing, done, Some(4));
        assert_eq!(
            bar(0),
            format!("removing blobs [{}] 0 of 4", "-".repeat(30))
        );
        assert_eq!(
            bar(4),
            format!("removing blobs [{}] 4 of 4", "#".repeat(30))
        );
        assert_eq!(line(CollectStep::Blobs, 7, None), "listing blobs: 7");
    }
}
