//! The `octoserve` command.

mod wiring;

use std::env;
use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use octoserve::adapters::command_line::{Command, CommandLine, Probe, probe};
use octoserve::adapters::settings::{self, Document, Settings};

/// The command line or the configuration is wrong.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let command_line = CommandLine::parse();
    // A URL says all that a health check needs to know.
    if let Some(Command::Healthcheck { url: Some(url) }) = &command_line.command {
        return match Probe::parse(url) {
            Some(probe) => check_health(&probe),
            None => {
                complain(&format!(
                    "{url:?} is no URL such as http://localhost:5000/readyz"
                ));
                ExitCode::from(USAGE)
            }
        };
    }
    let loaded = match settings::load(command_line.file(), env::vars_os()) {
        Ok(loaded) => loaded,
        Err(errors) => {
            errors.lines().for_each(complain);
            return ExitCode::from(USAGE);
        }
    };
    match command_line.command {
        None | Some(Command::Serve) => serve(loaded.settings),
        Some(Command::Collect(arguments)) => report(wiring::collect(&loaded.settings, &arguments)),
        Some(Command::CheckConfig) => print(&loaded.document),
        Some(Command::Doctor) => examine(&loaded.settings),
        Some(Command::Healthcheck { .. }) => check_health(&Probe::of(&loaded.settings.server)),
    }
}

fn serve(settings: Settings) -> ExitCode {
    report(wiring::serve(settings))
}

fn report(ended: Result<(), Box<dyn Error>>) -> ExitCode {
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

/// Says of each point of the storage how it is.
fn examine(settings: &Settings) -> ExitCode {
    let verdicts = match wiring::examine(&settings.storage) {
        Ok(verdicts) => verdicts,
        Err(error) => {
            complain(&error.to_string());
            return ExitCode::FAILURE;
        }
    };
    for verdict in &verdicts {
        // Whether anybody reads it does not matter: the exit code says it too.
        let _ = writeln!(io::stdout(), "{verdict}");
    }
    let fails = verdicts
        .iter()
        .any(|verdict| !verdict.holds && !verdict.is_optional);
    match fails {
        true => ExitCode::FAILURE,
        false => ExitCode::SUCCESS,
    }
}

fn print(document: &Document) -> ExitCode {
    let printed = serde_json::to_string_pretty(document)
        .map_err(io::Error::from)
        .and_then(|text| writeln!(io::stdout(), "{text}"));
    match printed {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("cannot print the configuration: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn check_health(target: &Probe) -> ExitCode {
    let (is_ready, answer) = match probe(target) {
        Ok(answered) => answered,
        Err(error) => (false, format!("not ready: {error}")),
    };
    let line = format!("{target} is {answer}");
    if is_ready {
        // Whether anybody reads it does not matter: the exit code says it too.
        let _ = writeln!(io::stdout(), "{line}");
        ExitCode::SUCCESS
    } else {
        complain(&line);
        ExitCode::FAILURE
    }
}

/// Says what is wrong, in one line.
fn complain(problem: &str) {
    let problem = problem.replace('\n', " ");
    let _ = writeln!(io::stderr(), "octoserve: {problem}");
}
