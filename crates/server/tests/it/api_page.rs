use std::fmt::Write;
use std::path::Path;

use whimbrel_model::Operation;

const HANDLERS: &str = include_str!("../../src/operations/service.rs");
const HEAD: &str = include_str!("api_page_head.md");

/// What an operation leaves out of what the service does.
const NOTES: &[(&str, &str)] = &[
    (
        "ApplyPendingMaintenanceAction",
        "`db-upgrade`, for a waiting change of the engine version",
    ),
    (
        "DescribeApplicableIndividualAssessments",
        "the names that `docs/assessments.md` lists; `ReplicationConfigArn` is not found, as serverless replications are not built",
    ),
    (
        "DescribeReplicationInstanceTaskLogs",
        "the size is always 0: runs write to the log of the service, tasks have none of their own",
    ),
    (
        "DescribeReplicationInstances",
        "the private address is that of the machine, as databases see it; no public address is known",
    ),
    (
        "DescribeReplicationTaskAssessmentResults",
        "of the last assessment of either kind; `docs/assessments.md`",
    ),
    (
        "ReloadTables",
        "while the task runs, the other tables going on; `validate-only` needs a task with `EnableValidation`",
    ),
    (
        "StartReplicationTaskAssessmentRun",
        "results are files in the service's data folder, not encrypted; `docs/assessments.md`",
    ),
    (
        "StartReplicationTask",
        "`resume-processing` is refused of a task whose `MigrationType` was modified, but for `full-load-and-cdc` to `cdc` once its load is over, or whose load is over and whose endpoints name other servers now, and any start of one whose \
         `CdcStopPosition` `server_time` is over; an empty `CdcStopPosition` takes it back, here and in `ModifyReplicationTask`; `CdcStartTime` is refused for PostgreSQL sources, and of a MariaDB source means when the last statement of a transaction began; `ValidationOnly` is refused",
    ),
];

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
            let name = operation.name();
            let is_built = built.contains(&name.to_lowercase());
            let state = match NOTES.iter().find(|(noted, _)| *noted == name) {
                Some((_, note)) if is_built => format!("built; {note}"),
                Some(_) => panic!("{name} has a note and is not built"),
                None if is_built => "built".to_owned(),
                None => String::new(),
            };
            writeln!(page, "| {name} | {state} |").unwrap();
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
