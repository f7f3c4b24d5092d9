//! The repositories that have records, found by their directories.
//!
//! A directory whose name starts with `_` holds records of the repository that
//! the directories above it name.

use std::fs;
use std::path::Path;

use super::Shared;
use super::durability::{failed, if_found};
use crate::domain::name::RepositoryName;
use crate::ports::StoreError;

/// A step through the directories. Sorted by their texts, in which a directory
/// ends with `/`, the steps lead through the names in the order of their bytes:
/// `a-b` comes between `a` and `a/b`.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Step {
    text: String,
    /// Whether to look below, rather than at the name itself.
    below: bool,
}

impl Shared {
    /// Up to `limit` names after `after`.
    pub(super) fn repositories(
        &self,
        after: Option<&RepositoryName>,
        limit: usize,
    ) -> Result<Vec<RepositoryName>, StoreError> {
        let root = self.layout.repositories();
        let after = after.map_or("", RepositoryName::as_str);
        let mut found = Vec::new();
        visit(&root, "", after, limit, &mut found)?;
        Ok(found)
    }
}

fn visit(
    root: &Path,
    prefix: &str,
    after: &str,
    limit: usize,
    found: &mut Vec<RepositoryName>,
) -> Result<(), StoreError> {
    let mut steps = Vec::new();
    for name in directories(&root.join(prefix))? {
        if name.starts_with('_') {
            continue;
        }
        let text = format!("{prefix}{name}");
        let below = format!("{text}/");
        steps.push(Step { text, below: false });
        steps.push(Step {
            text: below,
            below: true,
        });
    }
    steps.sort_unstable();
    for Step { text, below } in steps {
        if found.len() == limit {
            return Ok(());
        }
        if below {
            let has_passed = *text < *after && !after.starts_with(&text);
            if !has_passed {
                visit(root, &text, after, limit, found)?;
            }
        } else if *text > *after
            && let Ok(name) = text.parse()
            && directories(&root.join(&text))?
                .iter()
                .any(|name| name.starts_with('_'))
        {
            found.push(name);
        }
    }
    Ok(())
}

/// The names of the directories in a directory, and of links to such; none if
/// there is none.
///
/// What is read and written through a link is there for whoever looks for what
/// refers to a blob. So a link that leads nowhere now is a failure.
fn directories(path: &Path) -> Result<Vec<String>, StoreError> {
    let entries = if_found(fs::read_dir(path)).map_err(failed("list", path))?;
    let mut names = Vec::new();
    for entry in entries.into_iter().flatten() {
        let entry = entry.map_err(failed("list", path))?;
        let mut kind = if_found(entry.file_type()).map_err(failed("stat", path))?;
        if kind.is_some_and(|kind| kind.is_symlink()) {
            let link = entry.path();
            let target = fs::metadata(&link).map_err(failed("follow", &link))?;
            kind = Some(target.file_type());
        }
        if kind.is_some_and(|kind| kind.is_dir()) {
            names.extend(entry.file_name().into_string());
        }
    }
    Ok(names)
}
