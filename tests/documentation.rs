//! What the documentation says is so: every setting is in the README's table with
//! its variable and its default, and every file that is named is there.
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a test stops where something is not as it says"
)]

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use octoserve::adapters::settings::{Document, load};
use serde_json::Value;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every key with its default, as the table writes it.
fn defaults(section: &str, tree: &Value) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for (name, value) in tree.as_object().into_iter().flatten() {
        let key = match section {
            "" => name.clone(),
            section => format!("{section}.{name}"),
        };
        match value {
            Value::Object(_) => found.extend(defaults(&key, value)),
            Value::Null => drop(found.insert(key, String::new())),
            Value::String(text) => drop(found.insert(key, text.clone())),
            other => drop(found.insert(key, other.to_string())),
        }
    }
    found
}

/// The cells of the table's lines, without the marks of code.
fn lines_of_the_table(readme: &str) -> Vec<Vec<String>> {
    let cells = |line: &str| -> Vec<String> {
        let inner = line.trim_matches('|').split('|');
        inner
            .map(|cell| cell.trim().trim_matches('`').to_owned())
            .collect()
    };
    let lines = readme.lines().map(cells);
    lines
        .filter(|cells| {
            let variable = cells.get(1);
            variable.is_some_and(|variable| variable.starts_with("OCTOSERVE_"))
        })
        .collect()
}

#[test]
fn the_configuration_table_has_every_key_with_its_variable_and_default() {
    let tree = serde_json::to_value(Document::default()).expect("JSON");
    let mut undocumented = defaults("", &tree);
    for line in lines_of_the_table(&read("README.md")) {
        let [key, variable, default, meaning] = line.as_slice() else {
            panic!("not key, variable, default and meaning: {line:?}");
        };
        let expected = undocumented.remove(key);
        assert_eq!(Some(default), expected.as_ref(), "the default of {key}");
        assert!(!meaning.is_empty(), "{key} has no meaning");

        let section = key.replacen("logging.", "log.", 1).replace('.', "_");
        assert_eq!(
            *variable,
            format!("OCTOSERVE_{}", section.to_ascii_uppercase())
        );
        // No key takes this, so whoever knows the variable refuses its value.
        let refused = load(None, [(OsString::from(variable), OsString::from("\0"))]);
        let refused = refused.expect_err("no value of any key").to_string();
        assert!(
            refused.starts_with(&format!("{variable}: invalid value")),
            "{refused}"
        );
    }
    let missing: Vec<_> = undocumented.keys().collect();
    assert!(
        missing.is_empty(),
        "the README's table of the configuration lacks {missing:?}"
    );
}

/// The Markdown files that are there to be read.
fn documents() -> Vec<PathBuf> {
    let mut found = vec![root().join("README.md")];
    let mut directories = vec![root().join("docs")];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path);
            }
        }
    }
    found
}

/// Paths from the root that a text names, such as `src/lib.rs`.
fn named_paths(text: &str) -> impl Iterator<Item = &str> {
    let is_of_path = |character: char| {
        character.is_ascii_alphanumeric() || matches!(character, '/' | '.' | '_' | '-')
    };
    text.split(move |character: char| !is_of_path(character))
        .map(|word| word.trim_end_matches('.'))
        .filter(|word| {
            let of_ours = ["src/", "tests/", "docs/", "benches/"];
            of_ours.iter().any(|folder| word.starts_with(folder))
        })
}

#[test]
fn every_file_that_the_documentation_names_is_there() {
    for document in documents().into_iter().chain([root().join("src/lib.rs")]) {
        let text = read(&document);
        for path in named_paths(&text) {
            assert!(
                root().join(path).exists(),
                "{} names {path}, which is not there",
                document.display()
            );
        }
    }
}

#[test]
fn every_link_to_a_file_leads_somewhere() {
    for document in documents() {
        let text = read(&document);
        let folder = document.parent().expect("a folder");
        for target in text.split("](").skip(1) {
            let target = target.split([')', '#']).next().unwrap_or_default();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            assert!(
                folder.join(target).exists(),
                "{} links to {target}, which is not there",
                document.display()
            );
        }
    }
}
