//! The built command against real servers.

#![allow(
    clippy::unwrap_used,
    reason = "a panic is how a test fails, in its helpers too"
)]

mod assessments;
mod bad_input;
mod charsets;
mod connections;
mod crash;
mod ends;
mod follow;
mod full_disk;
mod hostile_names;
mod interrupted;
mod memory;
mod migrations;
mod missing;
mod objects;
mod prefix_keys;
mod random;
mod round_trip;
mod rules;
mod service;
mod shaping;
mod told;
mod types_page;
mod validations;
mod wide;

use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// The command, with an environment that says nothing to it.
fn whimbrel(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_whimbrel"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("WHIMBREL_") {
            command.env_remove(name);
        }
    }
    command.args(arguments).stdin(Stdio::null());
    command
}

/// What a finished command said.
#[derive(Debug)]
struct Said {
    exit_code: Option<i32>,
    out: String,
    err: String,
}

impl Said {
    fn of(output: Output) -> Self {
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Self {
            exit_code: output.status.code(),
            out: text(output.stdout),
            err: text(output.stderr),
        }
    }

    /// The events of `--json`.
    fn events(&self) -> Vec<Value> {
        let lines = self.out.lines();
        lines
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    fn event(&self, name: &str) -> Value {
        let event = self
            .events()
            .into_iter()
            .find(|event| event["event"] == name);
        event.unwrap_or_else(|| panic!("no event {name}: {self:?}"))
    }
}

fn run(arguments: &[&str]) -> Said {
    Said::of(whimbrel(arguments).output().unwrap())
}

/// Runs a command that must end well.
fn run_well(arguments: &[&str]) -> Said {
    let said = run(arguments);
    assert_eq!(said.exit_code, Some(0), "{said:?}");
    said
}
