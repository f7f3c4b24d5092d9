//! A configuration is loaded or refused, and either way for what it says: the
//! environment before the file before the defaults, each problem with the name
//! of its key, and what is printed means the same again.
//!
//! An input is lines `NAME=value`, an empty line, and the text of `config.json`;
//! without the empty line there is no file.
#![no_main]

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use libfuzzer_sys::fuzz_target;
use octoserve::adapters::settings::{Document, Loaded, load};
use serde_json::Value;
use tempfile::TempDir;

type Environment = BTreeMap<OsString, OsString>;

fuzz_target!(|data: &[u8]| {
    let (environment, text) = read(data);
    in_directory(|directory| {
        let file = directory.join("config.json");
        if let Some(text) = text {
            fs::write(&file, text).expect("a file");
        }
        let file = text.map(|_| file.as_path());
        match load(file, environment.clone()) {
            Ok(loaded) => {
                means_what_it_says(&environment, text, &loaded);
                loads_back(directory, &loaded);
            }
            Err(errors) => {
                let lines: Vec<&str> = errors.lines().collect();
                names_its_place(&lines, &environment, file);
                assert_eq!(lines.join("\n"), errors.to_string());
            }
        }
        refuses(&environment, file, text);
    });
});

/// The variables and the file of an input.
fn read(data: &[u8]) -> (Environment, Option<&[u8]>) {
    let mut environment = Environment::new();
    let mut rest = data;
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| *byte == b'\n');
        let (line, following) = match end {
            Some(end) => (&rest[..end], &rest[end + 1..]),
            None => (rest, &[][..]),
        };
        if line.is_empty() {
            return (environment, Some(following));
        }
        let split = line.iter().position(|byte| *byte == b'=');
        let (name, value) = line.split_at(split.unwrap_or(line.len()));
        let value = value.get(1..).unwrap_or_default();
        environment.insert(os_string(name), os_string(value));
        rest = following;
    }
    (environment, None)
}

fn os_string(bytes: &[u8]) -> OsString {
    OsString::from_vec(bytes.to_vec())
}

fn in_directory(work: impl FnOnce(&Path)) {
    thread_local!(static DIRECTORY: OnceCell<TempDir> = const { OnceCell::new() });
    DIRECTORY.with(|directory| {
        let directory = directory.get_or_init(|| TempDir::new().expect("a directory"));
        work(directory.path());
    });
}

/// Every key with its value, dotted, such as `server.tls.key`.
fn leaves(tree: &Value) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    for (name, value) in tree.as_object().into_iter().flatten() {
        if value.is_object() {
            let inner = leaves(value).into_iter();
            found.extend(inner.map(|(path, value)| (format!("{name}.{path}"), value)));
        } else {
            found.insert(name.clone(), value.clone());
        }
    }
    found
}

fn tree(document: &Document) -> Value {
    serde_json::to_value(document).expect("JSON")
}

fn keys() -> BTreeSet<String> {
    leaves(&tree(&Document::default())).into_keys().collect()
}

/// The variable of a key, as the documentation has it.
fn variable(key: &str) -> OsString {
    let (section, name) = key.split_once('.').expect("a section");
    let section = if section == "logging" { "log" } else { section };
    let name = format!("octoserve_{section}_{name}").replace('.', "_");
    name.to_uppercase().into()
}

/// The sections and keys of a file, if it is an object, and no name in it could
/// be read as a path of several.
fn plain(text: Option<&[u8]>) -> Option<Value> {
    let tree: Value = match text {
        None => serde_json::json!({}),
        Some(text) => serde_json::from_slice(text).ok()?,
    };
    (tree.is_object() && has_plain_names(&tree)).then_some(tree)
}

fn has_plain_names(tree: &Value) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    let mut entries = tree.as_object().into_iter().flatten();
    entries.all(|(name, value)| {
        !name.is_empty() && name.bytes().all(is_plain) && has_plain_names(value)
    })
}

/// What is said of a key: by its variable, or else by the file.
fn said<'a>(
    environment: &'a Environment,
    file: &'a Value,
    key: &str,
) -> Option<(&'static str, Value)> {
    let from_environment = environment.get(&variable(key));
    if let Some(text) = from_environment.filter(|text| !text.is_empty()) {
        return Some(("environment", Value::String(text.to_str()?.to_owned())));
    }
    let value = file.pointer(&format!("/{}", key.replace('.', "/")))?;
    Some(("file", value.clone()))
}

/// What a key is when this is said of it; `Err` if that is no value of it, and
/// `None` if this does not know.
fn value(key: &str, said: &Value) -> Option<Result<Value, ()>> {
    let text = said.as_str().map(str::trim);
    let choice = |choices: &[&str]| match text {
        Some(text) if choices.contains(&text) => Some(Ok(text.into())),
        _ => Some(Err(())),
    };
    let number = |largest: u64| {
        let number = match text {
            Some(text) => text.parse().ok(),
            None => said.as_u64(),
        };
        let number = number.filter(|number| *number <= largest);
        // Whole numbers with a fraction or an exponent are left open.
        (!said.is_f64()).then_some(number.map(Value::from).ok_or(()))
    };
    match key {
        "server.port" => number(65_535),
        "server.workers" => number(255),
        "server.max_connections" => number(u32::MAX.into()),
        "storage.fsync" => Some(match (said, text) {
            (Value::Bool(flag), _) => Ok(Value::Bool(*flag)),
            (_, Some("true")) => Ok(Value::Bool(true)),
            (_, Some("false")) => Ok(Value::Bool(false)),
            _ => Err(()),
        }),
        "storage.path" => Some(match text {
            Some(text) if !text.is_empty() && !text.contains('\0') => Ok(text.into()),
            _ => Err(()),
        }),
        "manifests.allow_missing" => choice(&["none", "children", "all"]),
        "logging.format" => choice(&["json", "text"]),
        _ => match said {
            Value::Array(_) | Value::Object(_) => Some(Err(())),
            _ => None,
        },
    }
}

/// Each key has the value that the strongest layer gives it, and its default if
/// none does.
fn means_what_it_says(environment: &Environment, text: Option<&[u8]>, loaded: &Loaded) {
    let Some(file) = plain(text) else {
        return;
    };
    let defaults = leaves(&tree(&Document::default()));
    for (key, found) in leaves(&tree(&loaded.document)) {
        match said(environment, &file, &key) {
            None => assert_eq!(found, defaults[&key], "{key} was not set"),
            Some((_, said)) => {
                if let Some(expected) = value(&key, &said) {
                    assert_eq!(Ok(found), expected, "{key} was set to {said}");
                }
            }
        }
    }
}

/// Printed, and set key by key in the environment, it is the same.
fn loads_back(directory: &Path, loaded: &Loaded) {
    let file = directory.join("printed.json");
    let text = serde_json::to_string_pretty(&loaded.document).expect("JSON");
    fs::write(&file, &text).expect("a file");
    let printed = load(Some(&file), []).unwrap_or_else(|error| panic!("{error}\n{text}"));
    is_same(loaded, &printed);

    let variables = leaves(&tree(&loaded.document)).into_iter();
    let variables = variables.filter_map(|(key, value)| {
        let text = match value {
            Value::Null => return None,
            Value::String(text) => text,
            other => other.to_string(),
        };
        Some((variable(&key), OsString::from(text)))
    });
    let set = load(None, variables).unwrap_or_else(|error| panic!("{error}\n{text}"));
    is_same(loaded, &set);
}

fn is_same(one: &Loaded, other: &Loaded) {
    assert_eq!(one.document, other.document);
    assert_eq!(
        format!("{:?}", one.settings),
        format!("{:?}", other.settings)
    );
}

/// Every problem is one line that begins with the variable, or names the file.
fn names_its_place(lines: &[&str], environment: &Environment, file: Option<&Path>) {
    assert!(!lines.is_empty());
    let file = file.map(|file| file.display().to_string());
    for line in lines {
        assert!(!line.contains(['\n', '\r']), "{line:?} is not one line");
        let of_variable = environment.keys().any(|name| {
            let name = name.to_str();
            name.is_some_and(|name| line.starts_with(&format!("{name}: ")))
        });
        let of_file = file.as_deref().is_some_and(|file| line.contains(file));
        let of_both = line.starts_with("server.tls.") && line.contains(" is set and ");
        let has_odd_name = environment.keys().any(|name| {
            let is_plain = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
            name.as_bytes().starts_with(b"OCTOSERVE_") && !name.as_bytes().iter().all(is_plain)
        });
        assert!(
            of_variable || of_file || of_both || has_odd_name,
            "{line:?} names no place"
        );
    }
}

/// What is not a key, or not a value of one, is not passed over.
fn refuses(environment: &Environment, file: Option<&Path>, text: Option<&[u8]>) {
    let Some(tree) = plain(text) else {
        return;
    };
    let keys = keys();
    let mut wrong = Vec::new();
    if let Some(file) = file {
        let file = file.display();
        for (key, said) in leaves(&tree) {
            let known = known_part(&keys, &key);
            let is_wrong = match keys.contains(known) {
                true => known != key || value(&key, &said).is_some_and(|value| value.is_err()),
                false => true,
            };
            if is_wrong {
                wrong.push(format!("{known} in {file}: "));
            }
        }
    }
    for (key, name) in keys.iter().map(|key| (key, variable(key))) {
        let Some(text) = environment.get(&name).filter(|text| !text.is_empty()) else {
            continue;
        };
        let is_wrong = match text.to_str() {
            Some(text) => value(key, &Value::from(text)).is_some_and(|value| value.is_err()),
            None => true,
        };
        if is_wrong {
            wrong.push(format!("{}: ", name.display()));
        }
    }
    if wrong.is_empty() {
        return;
    }
    let errors = match load(file, environment.clone()) {
        Ok(loaded) => panic!("loaded, but {wrong:?}: {loaded:?}"),
        Err(errors) => errors,
    };
    for place in wrong {
        let is_said = errors.lines().any(|line| line.starts_with(&place));
        assert!(is_said, "nothing begins with {place:?} in\n{errors}");
    }
}

/// The beginning of a key up to the first name that is not a section.
fn known_part<'a>(keys: &BTreeSet<String>, key: &'a str) -> &'a str {
    let ends = key.match_indices('.').map(|(end, _)| end);
    let is_section = |name: &str| keys.iter().any(|key| key.starts_with(&format!("{name}.")));
    ends.map(|end| &key[..end])
        .find(|name| !is_section(name))
        .unwrap_or(key)
}
