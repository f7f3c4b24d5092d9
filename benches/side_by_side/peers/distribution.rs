//! Distribution, 2.8 (Debian's docker-registry) and 3, on its filesystem driver with the
//! in-memory descriptor cache that its packages configure.

use std::fs;
use std::process::Command;

use super::{Launch, Place};
use crate::Result;

/// Which of the two.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    Two,
    Three,
}

pub(super) fn launch(place: &Place<'_>, version: Version) -> Result<Launch> {
    let configuration = place.directory.join("registry.yaml");
    let data = place.directory.join("data");
    let (level, without_access_log) = if place.request_logs {
        ("info", false)
    } else {
        ("error", true)
    };
    fs::write(
        &configuration,
        format!(
            "version: 0.1
log:
  level: {level}
  accesslog:
    disabled: {without_access_log}
storage:
  cache:
    blobdescriptor: inmemory
  filesystem:
    rootdirectory: {}
  delete:
    enabled: true
http:
  addr: {}
",
            data.display(),
            place.address
        ),
    )?;
    let mut command = Command::new(place.program);
    command
        .arg("serve")
        .arg(&configuration)
        .current_dir(place.directory);
    if version == Version::Three {
        // It would otherwise try to send traces to a collector on this machine.
        command.env("OTEL_TRACES_EXPORTER", "none");
    }
    Ok(Launch {
        command,
        address: place.address,
        ready_path: "/v2/",
        static_root: None,
    })
}
