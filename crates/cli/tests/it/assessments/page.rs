//! `docs/assessments.md` is made from the table of checks.

use std::fmt::Write as _;
use std::path::Path;

use whimbrel_core::Engine;
use whimbrel_engine::assess::{CHECKS, Place, When};

const HEAD: &str = "\
# Assessments

`whimbrel assess SOURCE TARGET` checks before a migration what would stand in its way, and writes nothing at either end. It takes the URLs, and what selects and shapes tables, as
`whimbrel migrate` does; with `--follow` it also checks what following changes needs. Findings come with the worst first, each with its remedy; `--json` prints an object
per check and one at the end. The exit code is 1 when a check fails or cannot be made, 3 when an end cannot be reached, and 0 with warnings and notes alone.

What becomes of a check:

| result | means | over the API |
|---|---|---|
| `passed` | it was made, and found nothing | `passed` |
| `failure`, `warning`, `note` | it found something; the table below says how bad that is | `failed`, `warning`, `passed` |
| `error` | it could not be made, for the reason that is told: a privilege is missing, a server does not answer | `error` |
| `skipped` | this server has no way to answer it, whatever its users may do; how much room the disk of a PostgreSQL or MySQL server has, for one | `skipped` |

## Values

With `--sample N` and `--full` it looks for values that the target's columns do not hold: texts and byte strings that are too long, numbers and years out of
range, digits behind the point, infinities and NaN, NUL characters, dates that are none, times outside of a day. `--sample` looks at about N rows of each table, as the server gives them
(PostgreSQL draws them from blocks all over a large table; MySQL and MariaDB give the first); `--full` at all, which reads each table once. The source's server counts, in one statement for each table,
and nothing but counts, the least, greatest or longest value and the key of one row is told. What counts is the type that the column has at the target: the one that rules and the table of types give it,
or with `--prepare truncate` and `do-nothing` the one that it has there. Where large objects are limited, `postgres-check-limited-lob-size` tells the values that are longer. Not looked at: columns that rules or settings hide or round; documents whose numbers the target would round,
or that name the character NUL; labels; bytes that are no text in the source's character set; rows that violate a key at the target. Rows that rules leave out are counted too. Both look at what is there at that moment.

## Over the API

`StartReplicationTaskAssessmentRun` makes the same checks, of a task that is `ready`, `stopped` or `failed`; the task is `testing` meanwhile, and goes back to what it was. What is done
with tables at the target is as the task's settings say; `values-not-fitting-sampled` looks at 10,000 rows of each table, and `values-not-fitting` is made where `IncludeOnly` names it.
`DescribeApplicableIndividualAssessments` lists the names. A run comes to the worst of its checks: `failed`, else `error-executing` (some could not be made), else `warning`, else `passed`. One that was
cancelled stays `cancelling` when it has ended, with its checks `cancelled`. A service that is killed makes the run again when it is started. Cancelling does not end a statement that the source's server is at.

Results are files in the service's data folder, readable by its user alone: `assessments/BUCKET/FOLDER/NAME/summary.json` with everything, and `CHECK.json` beside it for each check, with
`ResultLocationBucket`, `ResultLocationFolder` and `AssessmentRunName` in their places. They are not encrypted: `ResultEncryptionMode`, the key and the role are checked for their form, kept and told. Files stay when the run is deleted.
`LastFailureMessage` of the run tells the first five findings of failures, and `DescribeReplicationTaskAssessmentResults` with `ReplicationTaskArn` answers the whole summary of the last assessment of the task.
`StartReplicationTaskAssessment` asks of types alone, shows no run, and needs connections that were tested; its summary is there too, under the bucket `whimbrel-assessments`.

## Names of other services' checks

Checks have the names that the service has for them, where it has one. These of its names are none here, and are refused in `IncludeOnly` and `Exclude`, because what they ask does not matter here or is another check's:
`full-lob-not-nullable-at-target` (large values are written with their rows), `mysql-check-max-statement-time` and `mysql-check-target-network-parameter` (connections set their own limits),
`mysql-check-binlog-compression` (compressed logs are read), `postgres-check-pglogical` (pgoutput is used), `mysql-check-fk-target` (`all-check-secondary-constraints`),
`mysql-check-table-storage-engine` (`source-tables-outside-snapshot`), `mysql-check-generated-columns`, `-invisible-columns` (`types-changed`), `-auto-increment` (`unsupported-objects`),
`mysql-check-database-role`, `-aurora-read-only` (`all-check-target-read-replica`), `mysql-check-binlog-retention-time` (`mysql-check-expire-logs-days`), and those of batch apply, of data masking and of other engines.

## All checks

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
        let when = match check.when {
            When::Always => "always",
            When::WithChanges => "with changes",
            When::Sampled => "with `--sample N`",
            When::Full => "with `--full`",
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
