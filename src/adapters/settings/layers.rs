//! What each layer sets: the file and the environment, checked key by key.

use std::ffi::OsString;
use std::path::Path;

use serde_json::{Map, Value};

use super::document::Document;
use super::keys::{Keys, Variable};
use super::standard::StandardVariable;

/// A value that a layer gives to a key, and the words by which to find it.
pub(super) struct Setting {
    /// The dotted key.
    pub(super) path: String,
    pub(super) value: Value,
    place: String,
}

/// What one layer says.
#[derive(Default)]
pub(super) struct Layer {
    pub(super) settings: Vec<Setting>,
    pub(super) problems: Vec<String>,
}

impl Layer {
    /// The settings of a file, as parsed.
    pub(super) fn of_file(file: &Path, tree: &Value, keys: &Keys) -> Self {
        let mut layer = Self::default();
        layer.walk(&file.display().to_string(), "", tree, keys.tree(), keys);
        layer.check_values();
        layer
    }

    /// The settings among these variables. An empty one counts as not set.
    pub(super) fn of_environment(
        variables: impl IntoIterator<Item = (OsString, OsString)>,
        keys: &Keys,
    ) -> Self {
        let mut layer = Self::default();
        let mut variables: Vec<_> = variables
            .into_iter()
            .filter(|(_, value)| !value.is_empty())
            .collect();
        variables.sort();
        layer.take_standard(&variables);
        for (name, value) in variables {
            let name = name.to_string_lossy();
            match (keys.variable(&name), value.into_string()) {
                (Variable::Other, _) => {}
                (Variable::Unknown(meant), _) => {
                    layer.problems.push(unknown(&name, meant.as_deref()));
                }
                (Variable::Sets(_), Err(_)) => {
                    layer
                        .problems
                        .push(format!("{name}: the value is not UTF-8"));
                }
                (Variable::Sets(path), Ok(text)) => layer.settings.push(Setting {
                    path,
                    value: Value::String(text),
                    place: name.into_owned(),
                }),
            }
        }
        layer.check_values();
        layer
    }

    /// The variables that are not ours. They come first, so that ours override
    /// them.
    fn take_standard(&mut self, variables: &[(OsString, OsString)]) {
        let mut ranked: Vec<_> = variables
            .iter()
            .filter_map(|(name, value)| {
                let name = name.to_str()?;
                let (rank, standard) = StandardVariable::named(name)?;
                Some((rank, name, standard, value))
            })
            .collect();
        ranked.sort_by_key(|(rank, ..)| *rank);
        for (_, name, standard, value) in ranked {
            let Some(text) = value.to_str() else {
                self.problems
                    .push(format!("{name}: the value is not UTF-8"));
                continue;
            };
            if let Some(text) = standard.read(text) {
                self.settings.push(Setting {
                    path: standard.path.to_owned(),
                    value: Value::String(text),
                    place: name.to_owned(),
                });
            }
        }
    }

    fn walk(&mut self, file: &str, section: &str, tree: &Value, known: &Value, keys: &Keys) {
        let empty = Map::new();
        for (name, value) in tree.as_object().unwrap_or(&empty) {
            let path = match section {
                "" => name.clone(),
                section => format!("{section}.{name}"),
            };
            let place = format!("{path} in {file}");
            match known.get(name) {
                None => {
                    let meant = keys.nearest(&path);
                    self.problems.push(unknown(&place, meant));
                }
                Some(Value::Object(known_names)) if !value.is_object() => {
                    let names: Vec<&str> = known_names.keys().map(String::as_str).collect();
                    self.problems.push(format!(
                        "{place}: found {value}, expected an object with {}",
                        names.join(", ")
                    ));
                }
                Some(inner @ Value::Object(_)) => self.walk(file, &path, value, inner, keys),
                Some(_) => self.settings.push(Setting {
                    path,
                    value: value.clone(),
                    place,
                }),
            }
        }
    }

    /// Tries each value alone, so that one that is wrong does not hide another.
    fn check_values(&mut self) {
        for setting in &self.settings {
            let alone = setting
                .path
                .rsplit('.')
                .fold(setting.value.clone(), |inner, name| {
                    Value::Object(Map::from_iter([(name.to_owned(), inner)]))
                });
            if let Err(error) = serde_json::from_value::<Document>(alone) {
                self.problems.push(format!("{}: {error}", setting.place));
            }
        }
    }
}

fn unknown(place: &str, meant: Option<&str>) -> String {
    match meant {
        Some(meant) => format!("{place}: there is no such setting; did you mean {meant}?"),
        None => format!("{place}: there is no such setting"),
    }
}
