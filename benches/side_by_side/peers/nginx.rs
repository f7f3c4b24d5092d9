//! nginx with the same content as static files under the same paths: how cheaply a mature
//! server sends files. One worker for each core; connections are kept for the whole run.

use std::fs;
use std::process::Command;

use super::{Launch, Place};
use crate::Result;

pub(super) fn launch(place: &Place<'_>) -> Result<Launch> {
    let root = place.directory.join("data");
    fs::create_dir_all(&root)?;
    let directory = place.directory.display();
    // Workers of a server that root starts would run as a user who cannot read our files.
    let user = if rustix::process::geteuid().is_root() {
        "user root;"
    } else {
        ""
    };
    let access_log = if place.request_logs {
        format!("{directory}/access.log combined")
    } else {
        "off".to_owned()
    };
    let configuration = place.directory.join("nginx.conf");
    fs::write(
        &configuration,
        format!(
            "{user}
worker_processes auto;
pid {directory}/nginx.pid;
error_log {directory}/error.log;
events {{ worker_connections 4096; }}
http {{
  access_log {access_log};
  sendfile on;
  tcp_nopush on;
  keepalive_requests 1000000000;
  default_type application/octet-stream;
  client_body_temp_path {directory}/client-body;
  proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/fastcgi;
  uwsgi_temp_path {directory}/uwsgi;
  scgi_temp_path {directory}/scgi;
  server {{
    listen {};
    root {};
    location = /v2/ {{ return 200; }}
  }}
}}
",
            place.address,
            root.display()
        ),
    )?;
    let mut command = Command::new(place.program);
    command
        .arg("-c")
        .arg(&configuration)
        .arg("-e")
        .arg(place.directory.join("error.log"))
        .arg("-g")
        .arg("daemon off;")
        .current_dir(place.directory);
    Ok(Launch {
        command,
        address: place.address,
        ready_path: "/v2/",
        static_root: Some(root),
    })
}
