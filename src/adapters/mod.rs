//! Everything that touches the world: HTTP, disks, the clock, the terminal.

pub mod clock;
pub mod command_line;
pub mod filesystem;
pub mod http;
pub mod identifiers;
pub mod memory;
pub mod opendal;
pub mod pace;
pub mod settings;
pub mod telemetry;
