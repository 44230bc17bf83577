//! Where the results of assessments are kept: files under the data folder, by the names of bucket and folder that the request gives.
//!
//! ```text
//!  <data folder>/assessments/<bucket>/<folder>/<name of the run>/summary.json      all of it
//!                                                               /<check>.json      what one check found
//! ```
//!
//! All files are durable before the run is told as ended, the summary last. A process that is killed meanwhile makes the run again, and the same files in the
//! place of those that are there. Folders within a run's may be other runs' and are left alone.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use whimbrel_engine::assess::{Assessment, ColumnFinding, Support};
use whimbrel_store::{AssessmentRun, ReplicationTask};

const SUMMARY: &str = "summary";

/// A file's name without its ending, and its content.
pub(crate) type ResultFile = (String, Value);

/// The folder of a run's files, within its bucket.
fn folder(run: &AssessmentRun) -> String {
    let own = if run.is_of_types {
        run.id.as_str()
    } else {
        &run.name
    };
    match &run.location.folder {
        Some(folder) => format!("{}/{own}", folder.trim_matches('/')),
        None => own.to_owned(),
    }
}

/// The summary's place within its bucket.
pub(crate) fn key(run: &AssessmentRun) -> String {
    format!("{}/{SUMMARY}.json", folder(run))
}

/// The summary's place on disk.
pub(crate) fn summary_file(results: &Path, run: &AssessmentRun) -> PathBuf {
    results.join(&run.location.bucket).join(key(run))
}

/// The content of a file; `None` when it cannot be read, which the log tells.
pub(crate) async fn read(file: &Path) -> Option<String> {
    match tokio::fs::read_to_string(file).await {
        Ok(text) => Some(text),
        Err(error) => {
            tracing::warn!(file = %file.display(), %error, "the results of an assessment cannot be read");
            None
        }
    }
}

/// Everything that a run has found, as files.
pub(crate) fn files(
    task: &ReplicationTask,
    run: &AssessmentRun,
    checks: &[&Assessment],
    columns: &[ColumnFinding],
) -> Vec<ResultFile> {
    let told: Vec<Value> = checks.iter().map(|one| check(one)).collect();
    let of_support = |support| {
        let columns = columns.iter().filter(|column| column.support == support);
        let mut types: Vec<&str> = columns
            .clone()
            .map(|column| column.native.as_str())
            .collect();
        types.sort_unstable();
        types.dedup();
        json!({ "data-type": types, "column-count": columns.count() })
    };
    let types = columns.iter().map(|column| {
        json!({
            "data-type": column.native,
            "support": if column.support == Support::None { "not-supported" } else { "partially-supported" },
            "message": column.message,
            "object-locator": {
                "schema-name": column.table.schema,
                "table-name": column.table.name,
                "column-name": column.column,
            },
        })
    });
    let summary = json!({
        "summary": {
            "task-name": task.identifier,
            "assessment-run-name": (!run.is_of_types).then_some(&run.name),
            "not-supported": of_support(Support::None),
            "partially-supported": of_support(Support::Partial),
        },
        "types": types.collect::<Vec<_>>(),
        "checks": told,
    });
    let mut files = vec![(SUMMARY.to_owned(), summary)];
    let names = checks.iter().map(|one| one.check.name.to_owned());
    files.extend(names.zip(told));
    files
}

fn check(one: &Assessment) -> Value {
    let findings = one.findings.iter().map(|finding| {
        json!({ "object": finding.object, "message": finding.message, "help": finding.remedy })
    });
    json!({
        "name": one.check.name,
        "title": one.check.title,
        "result": one.outcome().name(),
        "findings": findings.collect::<Vec<_>>(),
        "cannot-be-checked": one.unmade,
        "skipped-because": one.skipped,
    })
}

/// Puts the files in the place of whatever is there of an earlier try, or of a run of the name that was deleted.
pub(crate) async fn write(
    results: &Path,
    run: &AssessmentRun,
    files: Vec<ResultFile>,
) -> io::Result<()> {
    let place = results.join(&run.location.bucket).join(folder(run));
    let results = results.to_owned();
    let written = tokio::task::spawn_blocking(move || write_all((&results, &place), &files)).await;
    written.map_err(io::Error::other)?
}

fn write_all((results, place): (&Path, &Path), files: &[ResultFile]) -> io::Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(place)?;
    for entry in fs::read_dir(place)? {
        let path = entry?.path();
        let is_result = path
            .extension()
            .is_some_and(|extension| extension == "json");
        if is_result && path.is_file() {
            fs::remove_file(path)?;
        }
    }
    // The summary comes first, and is written last.
    for (name, content) in files.iter().rev() {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(place.join(format!("{name}.json")))?;
        serde_json::to_writer_pretty(&mut file, content)?;
        file.write_all(b"\n")?;
        file.sync_all()?;
    }
    // With the folders that were made for it.
    let own = place.ancestors().take_while(|at| at.starts_with(results));
    for folder in own.chain(results.parent()) {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_take_the_place_of_those_of_an_earlier_try_and_of_no_other_run() {
        let temp = tempfile::tempdir().unwrap();
        let place = temp.path().join("b/f/run");
        let file = |name: &str, content: i32| vec![(name.to_owned(), json!(content))];
        write_all((temp.path(), &place), &file("old", 1)).unwrap();
        write_all((temp.path(), &place.join("other")), &file("kept", 3)).unwrap();
        write_all((temp.path(), &place), &file("new", 2)).unwrap();
        let names = fs::read_dir(&place).unwrap();
        let mut names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["new.json", "other"]);
        assert_eq!(fs::read_to_string(place.join("new.json")).unwrap(), "2\n");
        assert!(place.join("other/kept.json").exists());
    }
}
