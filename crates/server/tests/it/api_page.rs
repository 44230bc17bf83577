use std::fmt::Write;
use std::path::Path;

use whimbrel_model::Operation;

const HANDLERS: &str = include_str!("../../src/operations/service.rs");
const HEAD: &str = "# The API, operation by operation

Whimbrel answers the AWS DMS API, version 2016-01-01: JSON 1.1 over `POST /`, signatures of version 4. All 119 operations are known. Those marked
*built* do what the service does, on this machine. The others check their parameters and then answer the fault `NotImplementedException` (HTTP 400),
which names the operation.

A replication task moves data for `MigrationType` `full-load`. Tasks of `cdc` and `full-load-and-cdc` can be created, described, changed and deleted;
starting one answers a fault that says so.

This page is tested against the code: `WHIMBREL_UPDATE_DOCS=1 cargo nextest run -p whimbrel-server api_page` writes it anew.
";

/// `describe_connections(` at the start of a handler's line → `describeconnections`.
fn built() -> Vec<String> {
    let lines = HANDLERS
        .lines()
        .filter(|line| line.contains("=>") && line.contains("::"));
    lines
        .filter_map(|line| line.trim_start().split_once('('))
        .map(|(method, _)| method.replace('_', ""))
        .collect()
}

fn page() -> String {
    let built = built();
    let mut page = HEAD.to_owned();
    let mut families: Vec<&str> = Operation::ALL
        .iter()
        .map(|operation| operation.family())
        .collect();
    families.sort_unstable();
    families.dedup();
    for family in families {
        let title = family.replace('_', " ");
        writeln!(
            page,
            "\n## {}{}\n\n| operation | |\n|---|---|",
            title[..1].to_uppercase(),
            &title[1..]
        )
        .unwrap();
        for operation in Operation::ALL
            .iter()
            .filter(|operation| operation.family() == family)
        {
            let is_built = built.contains(&operation.name().to_lowercase());
            writeln!(
                page,
                "| {} | {} |",
                operation.name(),
                if is_built { "built" } else { "" }
            )
            .unwrap();
        }
    }
    page
}

#[test]
fn the_page_lists_exactly_the_operations_that_are_built() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/api.md");
    if std::env::var_os("WHIMBREL_UPDATE_DOCS").is_some() {
        std::fs::write(&path, page()).unwrap();
    }
    assert!(built().len() > 40);
    assert!(
        std::fs::read_to_string(path).unwrap() == page(),
        "docs/api.md is out of date"
    );
}
