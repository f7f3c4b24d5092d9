//! Brings the layers together: defaults, then the file, then the environment.

use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use config::{Config, ConfigError, File, FileFormat};
use serde_json::Value;

use super::Settings;
use super::document::Document;
use super::keys::Keys;
use super::layers::Layer;

/// A configuration that was found to be valid.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// What the server runs with.
    pub settings: Settings,
    /// The same as it would be written: a complete `config.json`.
    pub document: Document,
}

/// Everything that is wrong with a configuration, one line each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingsErrors(Vec<String>);

impl SettingsErrors {
    pub(super) fn one(problem: impl fmt::Display) -> Self {
        Self::all(vec![problem.to_string()])
    }

    /// A line each, also where a key or a path has characters that would end it
    /// or move the cursor.
    fn all(problems: Vec<String>) -> Self {
        let line = |problem: String| match problem.contains(char::is_control) {
            true => escaped(&problem),
            false => problem,
        };
        Self(problems.into_iter().map(line).collect())
    }

    /// The problems, one line each.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }
}

impl fmt::Display for SettingsErrors {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0.join("\n"))
    }
}

impl std::error::Error for SettingsErrors {}

/// Loads the configuration from a file, if one is named, and the environment.
///
/// # Errors
/// When the file is not there or is no JSON; when it or the environment names a
/// key that does not exist, or gives a key a value that it cannot have. All
/// that is wrong is reported at once.
pub fn load(
    file: Option<&Path>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Loaded, SettingsErrors> {
    let keys = Keys::new().map_err(SettingsErrors::one)?;
    let defaults = File::from_str(&keys.tree().to_string(), FileFormat::Json);
    let mut layered = Config::builder().add_source(defaults);
    let mut problems = Vec::new();

    if let Some(path) = file {
        let text = fs::read_to_string(path).map_err(|error| unreadable(path, &error))?;
        let source = File::from_str(&text, FileFormat::Json);
        let tree = Config::builder()
            .add_source(source.clone())
            .build()
            .and_then(Config::try_deserialize::<Value>)
            .map_err(|error| not_json(path, &error))?;
        problems.extend(Layer::of_file(path, &tree, &keys).problems);
        layered = layered.add_source(source);
    }
    let environment = Layer::of_environment(environment, &keys);
    problems.extend(environment.problems);
    for setting in environment.settings {
        layered = layered
            .set_override(&setting.path, setting.value.as_str())
            .map_err(SettingsErrors::one)?;
    }
    if !problems.is_empty() {
        return Err(SettingsErrors::all(problems));
    }

    let document: Document = layered
        .build()
        .and_then(Config::try_deserialize)
        .map_err(SettingsErrors::one)?;
    let settings = Settings::try_from(&document)?;
    Ok(Loaded { settings, document })
}

fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character.is_control() {
            true => escaped.extend(character.escape_default()),
            false => escaped.push(character),
        }
    }
    escaped
}

fn unreadable(path: &Path, error: &io::Error) -> SettingsErrors {
    let path = path.display();
    SettingsErrors::one(format_args!(
        "cannot read the configuration file {path}: {error}"
    ))
}

fn not_json(path: &Path, error: &ConfigError) -> SettingsErrors {
    let path = path.display();
    SettingsErrors::one(match error {
        ConfigError::FileParse { cause, .. } => {
            format!("the configuration file {path} is not a JSON object: {cause}")
        }
        other => format!("the configuration file {path}: {other}"),
    })
}
