//! Octoserve with its default configuration, except address, data directory and log level.

use std::process::Command;

use super::{Launch, Place, collector};
use crate::Result;

/// As [`launch`], with metrics on, and one request in a hundred traced.
pub(super) fn launch_observed(place: &Place<'_>) -> Result<Launch> {
    let mut launch = launch(place)?;
    let endpoint = format!("http://{}", collector::start()?);
    let variables = [
        ("METRICS_PORT", "0"),
        ("ENDPOINT", &*endpoint),
        ("TRACES_SAMPLER", "parentbased_traceidratio"),
        ("TRACES_SAMPLER_ARGUMENT", "0.01"),
    ];
    for (key, value) in variables {
        let name = format!("OCTOSERVE_TELEMETRY_{key}");
        launch.command.env(name, value);
    }
    Ok(launch)
}

pub(super) fn launch(place: &Place<'_>) -> Result<Launch> {
    let mut command = Command::new(place.program);
    // A setting of the caller's would make this run unlike any other.
    for (name, _) in std::env::vars_os() {
        let name_text = name.to_string_lossy();
        if name_text.starts_with("OCTOSERVE_") || name_text.starts_with("OTEL_") {
            command.env_remove(name);
        }
    }
    command
        .current_dir(place.directory)
        .env("OCTOSERVE_SERVER_ADDRESS", place.address.ip().to_string())
        .env("OCTOSERVE_SERVER_PORT", place.address.port().to_string())
        .env("OCTOSERVE_STORAGE_PATH", place.directory.join("data"))
        .env(
            "OCTOSERVE_LOG_LEVEL",
            if place.request_logs { "info" } else { "warn" },
        );
    Ok(Launch {
        command,
        address: place.address,
        ready_path: "/readyz",
        static_root: None,
    })
}
