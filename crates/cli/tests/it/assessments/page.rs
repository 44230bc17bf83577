//! `docs/assessments.md` is made from the table of checks.

use std::fmt::Write as _;
use std::path::Path;

use whimbrel_core::Engine;
use whimbrel_engine::assess::{CHECKS, Place};

const HEAD: &str = "\
# Assessments

`whimbrel assess SOURCE TARGET` checks before a migration what would stand in its way, and writes nothing at either end. It takes the URLs, and what selects and shapes tables, as
`whimbrel migrate` does; with `--follow` it also checks what following changes needs. Findings come with the worst first, each with its remedy; `--json` prints an object
per check and one at the end. The exit code is 1 when a check fails, and 0 with warnings and notes alone.

What it does not do yet: it looks at definitions and settings, not at the values of rows, and it does not know how much room the target's disk has. The operations
of the API for assessments are not there either: `docs/api.md`.

This page is tested against the code: `WHIMBREL_UPDATE_DOCS=1 cargo nextest run -p whimbrel-cli assessments::page` writes it anew.

| check | asks | a finding is a | of | at the | made |
|---|---|---|---|---|---|
";

fn page() -> String {
    let mut page = HEAD.to_owned();
    for check in CHECKS {
        let engines: Vec<&str> = check
            .engines
            .iter()
            .map(|engine| engine_name(*engine))
            .collect();
        let place = match check.place {
            Place::Source => "source",
            Place::Target => "target",
            Place::Either => "source, target",
        };
        let when = if check.is_of_changes {
            "with changes"
        } else {
            "always"
        };
        let (name, title) = (check.name, check.title);
        let (severity, engines) = (check.severity.name(), engines.join(", "));
        writeln!(
            page,
            "| `{name}` | {title} | {severity} | {engines} | {place} | {when} |"
        )
        .unwrap();
    }
    page
}

fn engine_name(engine: Engine) -> &'static str {
    match engine {
        Engine::Postgres => "PostgreSQL",
        Engine::MySql => "MySQL",
        Engine::MariaDb => "MariaDB",
    }
}

#[test]
fn the_page_tells_of_every_check() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/assessments.md");
    let page = page();
    if std::env::var_os("WHIMBREL_UPDATE_DOCS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    assert!(
        std::fs::read_to_string(&path).unwrap_or_default() == page,
        "docs/assessments.md is not what the code does: WHIMBREL_UPDATE_DOCS=1 cargo nextest run -p whimbrel-cli assessments::page writes it anew"
    );
}
