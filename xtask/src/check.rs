//! `cargo x fmt`, `codegen` and `check`: all that needs no server.

use anyhow::{Context, Result, bail};

use crate::run::{cargo, step};
use crate::tidy;

/// Formats the code, or checks that it is formatted.
pub(crate) fn fmt(check: bool) -> Result<()> {
    let check: &[&str] = if check { &["--check"] } else { &[] };
    step(&mut cargo(&[&["fmt", "--all"], check].concat()))
}

/// Runs the generator of the wire types.
pub(crate) fn codegen(check: bool, mut args: Vec<String>) -> Result<()> {
    if check {
        args.insert(0, "--check".to_owned());
    }
    whimbrel_codegen::run(&args).context("generate code from the service model")
}

/// Runs every check, also after one has failed, and names those that failed.
pub(crate) fn all() -> Result<()> {
    let lint = [
        "clippy",
        "--workspace",
        "--all-targets",
        "--locked",
        "--",
        "-D",
        "warnings",
    ];
    // Links of documentation comments are looked at by this alone.
    let document = [
        "doc",
        "--workspace",
        "--no-deps",
        "--document-private-items",
        "--locked",
    ];
    let checks: [(&str, Result<()>); 5] = [
        ("fmt", fmt(true)),
        ("tidy", tidy::run()),
        ("codegen", codegen(true, Vec::new())),
        ("clippy", step(&mut cargo(&lint))),
        ("doc", step(&mut cargo(&document))),
    ];
    let mut failed = Vec::new();
    for (name, result) in checks {
        if let Err(error) = result {
            eprintln!("error: {name}: {error:#}");
            failed.push(name);
        }
    }
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    println!("check: all passed");
    Ok(())
}
