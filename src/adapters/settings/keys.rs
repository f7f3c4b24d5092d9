//! The keys that there are, and the names they go by in the environment.

use serde_json::{Map, Value};

use super::document::Document;

const PREFIX: &str = "OCTOSERVE_";

/// Every key, from the structure of the defaults.
pub(super) struct Keys {
    tree: Value,
    /// Dotted keys, such as `server.tls.key`.
    paths: Vec<String>,
}

/// What an environment variable is to the configuration.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Variable {
    /// It sets this key.
    Sets(String),
    /// It reads like a setting and is none; perhaps this variable was meant.
    Unknown(Option<String>),
    /// It is no setting.
    Other,
}

impl Keys {
    pub(super) fn new() -> Result<Self, serde_json::Error> {
        let tree = serde_json::to_value(Document::default())?;
        let paths = leaves(&tree);
        Ok(Self { tree, paths })
    }

    /// The sections and keys, as the defaults nest them.
    pub(super) const fn tree(&self) -> &Value {
        &self.tree
    }

    /// The known key that looks most like this one.
    pub(super) fn nearest(&self, key: &str) -> Option<&str> {
        nearest(key, self.paths.iter().map(String::as_str))
    }

    /// What a variable of this name is.
    pub(super) fn variable(&self, name: &str) -> Variable {
        let Some(rest) = name.strip_prefix(PREFIX) else {
            return Variable::Other;
        };
        if let Some(path) = self.paths.iter().find(|path| variable_name(path) == name) {
            return Variable::Sets(path.clone());
        }
        if !self.has_section_of(rest) || is_service_link(rest) {
            return Variable::Other;
        }
        let names: Vec<String> = self.paths.iter().map(|path| variable_name(path)).collect();
        // `LOGGING` is how the file spells it.
        let meant = name.replacen("OCTOSERVE_LOGGING", "OCTOSERVE_LOG", 1);
        Variable::Unknown(nearest(&meant, names.iter().map(String::as_str)).map(ToOwned::to_owned))
    }

    fn has_section_of(&self, rest: &str) -> bool {
        let sections = self.tree.as_object().into_iter().flat_map(Map::keys);
        sections
            .map(|section| section.to_ascii_uppercase())
            .chain(["LOG".to_owned()])
            .any(|section| {
                rest.strip_prefix(&section)
                    .is_some_and(|key| key.is_empty() || key.starts_with('_'))
            })
    }
}

/// The dotted keys of a tree.
fn leaves(tree: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for (name, value) in tree.as_object().into_iter().flatten() {
        if value.is_object() {
            let inner = leaves(value).into_iter();
            found.extend(inner.map(|path| format!("{name}.{path}")));
        } else {
            found.push(name.clone());
        }
    }
    found
}

/// The variable that sets a key.
fn variable_name(path: &str) -> String {
    let spelled = match path.strip_prefix("logging.") {
        Some(key) => format!("log_{key}"),
        None => path.replace('.', "_"),
    };
    format!("{PREFIX}{}", spelled.to_ascii_uppercase())
}

/// Whether Kubernetes made this variable for a Service whose name begins with
/// `octoserve`: `…_SERVICE_HOST`, `…_SERVICE_PORT[_<name>]`, `…_PORT`,
/// `…_PORT_<number>_TCP[_ADDR|_PORT|_PROTO]`.
fn is_service_link(rest: &str) -> bool {
    let words: Vec<&str> = rest.split('_').collect();
    let named_port = words
        .windows(2)
        .any(|pair| matches!(pair, ["SERVICE", "HOST" | "PORT"]));
    let numbered_port = words.windows(3).any(|three| {
        matches!(three, ["PORT", number, "TCP" | "UDP" | "SCTP"]
            if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
    });
    named_port || numbered_port || rest == "PORT"
}

fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|candidate| (strsim::osa_distance(name, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= candidate.len() / 3)
        .min()
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys() -> Keys {
        Keys::new().unwrap()
    }

    #[test]
    fn every_key_of_the_defaults_has_a_variable_of_its_own() {
        let mut names: Vec<_> = keys()
            .paths
            .iter()
            .map(|path| variable_name(path))
            .collect();
        let all = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), all);
        for name in [
            "OCTOSERVE_SERVER_ADDRESS",
            "OCTOSERVE_SERVER_TLS_CERTIFICATE",
            "OCTOSERVE_STORAGE_CACHE_SIZE",
            "OCTOSERVE_STORAGE_TYPE",
            "OCTOSERVE_LOG_LEVEL",
            "OCTOSERVE_LOG_FORMAT",
        ] {
            assert!(names.iter().any(|known| known == name), "{name}");
        }
    }

    #[test]
    fn a_mistyped_variable_is_answered_with_the_one_that_was_meant() {
        let meant = |name: &str| match keys().variable(name) {
            Variable::Unknown(suggestion) => suggestion,
            other => panic!("{name}: {other:?}"),
        };
        assert_eq!(
            meant("OCTOSERVE_SERVER_READ_TIMEOU").as_deref(),
            Some("OCTOSERVE_SERVER_READ_TIMEOUT")
        );
        assert_eq!(
            meant("OCTOSERVE_LOGGING_LEVEL").as_deref(),
            Some("OCTOSERVE_LOG_LEVEL")
        );
        assert_eq!(meant("OCTOSERVE_STORAGE_XYZZY_PLUGH_PLOVER"), None);
    }

    #[test]
    fn variables_that_kubernetes_injects_are_no_settings() {
        for name in [
            "OCTOSERVE_SERVICE_HOST",
            "OCTOSERVE_SERVICE_PORT",
            "OCTOSERVE_SERVICE_PORT_HTTP",
            "OCTOSERVE_PORT",
            "OCTOSERVE_PORT_5000_TCP",
            "OCTOSERVE_PORT_5000_TCP_ADDR",
            "OCTOSERVE_STORAGE_SERVICE_HOST",
            "OCTOSERVE_STORAGE_PORT_9000_TCP_PROTO",
            "OCTOSERVE_BINARY",
            "OCTOSERVE_CONFIG",
            "PATH",
        ] {
            assert_eq!(keys().variable(name), Variable::Other, "{name}");
        }
    }
}
