//! Octoserve with its default configuration, except address, data directory and log level.

use std::process::Command;

use super::{Launch, Place};
use crate::Result;

pub(super) fn launch(place: &Place<'_>) -> Result<Launch> {
    let mut command = Command::new(place.program);
    // A setting of the caller's would make this run unlike any other.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("OCTOSERVE_") {
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
