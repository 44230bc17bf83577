//! `cargo x tidy`: rules about the tree that no compiler knows.
//!
//! Each rule is a pure function from text to findings, so that its tests need no tree.

mod arrows;
mod text;

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use crate::run::{output, tree};

/// Files that a stranger looks for at the root of the tree.
const ROOT_FILES: &[&str] = &["CHANGELOG.md", "LICENSE", "README.md"];

/// Something a rule has to say about a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    /// Whether it fails the check, or is only printed.
    severity: Severity,
    /// Counted from 1; 0 speaks of the whole file.
    line: usize,
    says: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Severity {
    Error,
    Warning,
}

impl Finding {
    fn error(line: usize, says: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            line,
            says: says.into(),
        }
    }

    fn warning(line: usize, says: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            line,
            says: says.into(),
        }
    }
}

/// Checks every file of the tree that is or would be checked in.
pub(crate) fn run() -> Result<()> {
    let tree = tree();
    let mut errors = 0;
    let mut files = 0;
    for path in listed(&tree)?.lines() {
        // Deleted but not yet committed.
        let Ok(bytes) = fs::read(tree.join(path)) else {
            continue;
        };
        // Pictures and the like.
        let Ok(text) = String::from_utf8(bytes) else {
            continue;
        };
        files += 1;
        errors += report(path, &text::check(path, &text));
    }
    errors += report("Cargo.toml", &arrows::check(&metadata()?));
    for name in ROOT_FILES {
        if !tree.join(name).exists() {
            errors += report(name, &[Finding::error(0, "the file is missing")]);
        }
    }
    if errors > 0 {
        bail!("tidy: {errors} errors in {files} files");
    }
    println!("tidy: {files} files are fine");
    Ok(())
}

/// Prints the findings and answers how many are errors.
fn report(path: &str, findings: &[Finding]) -> usize {
    for Finding {
        severity,
        line,
        says,
    } in findings
    {
        let kind = if *severity == Severity::Error {
            "error"
        } else {
            "warning"
        };
        let place = if *line == 0 {
            path.to_owned()
        } else {
            format!("{path}:{line}")
        };
        eprintln!("{kind}: {place}: {says}");
    }
    findings
        .iter()
        .filter(|finding| finding.severity == Severity::Error)
        .count()
}

fn listed(tree: &Path) -> Result<String> {
    let args = ["ls-files", "--cached", "--others", "--exclude-standard"];
    output(Command::new("git").args(args).current_dir(tree))
}

fn metadata() -> Result<serde_json::Value> {
    let args = ["metadata", "--no-deps", "--format-version", "1"];
    Ok(serde_json::from_str(&output(&mut crate::run::cargo(
        &args,
    ))?)?)
}
