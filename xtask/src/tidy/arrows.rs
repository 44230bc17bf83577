//! Which crate may depend on which: the tree is the architecture.

use serde_json::Value;

use super::Finding;

/// The prefix of our own crates.
const OURS: &str = "whimbrel-";

/// Each crate and those of ours that it may use outside its tests.
const ARROWS: &[(&str, &[&str])] = &[
    ("core", &[]),
    ("connector", &["core"]),
    ("net", &["core", "connector"]),
    ("postgres", &["core", "connector", "net"]),
    ("mysql", &["core", "connector", "net"]),
    ("engine", &["core", "connector", "store"]),
    ("model", &[]),
    ("protocol", &["model"]),
    ("store", &["core"]),
    (
        "server",
        &[
            "core",
            "connector",
            "engine",
            "model",
            "mysql",
            "net",
            "postgres",
            "protocol",
            "store",
        ],
    ),
    (
        "cli",
        &[
            "core",
            "connector",
            "engine",
            "mysql",
            "postgres",
            "server",
            "store",
        ],
    ),
    (
        "fuzz",
        &[
            "core",
            "connector",
            "engine",
            "mysql",
            "postgres",
            "protocol",
            "server",
        ],
    ),
    ("testkit", &[]),
    ("codegen", &[]),
];

/// Outside crates that say what a crate is about, and who may use them outside tests.
const KEPT_TO: &[(&str, &[&str])] = &[
    ("anyhow", &["cli", "testkit", "codegen", "fuzz", "xtask"]),
    ("axum", &["protocol", "server"]),
    ("http", &["protocol", "server"]),
    ("sqlx", &["store"]),
];

/// Outside crates that do I/O or wait, which the crates of pure values must not use.
const IMPURE: &[&str] = &["tokio", "async-trait", "futures-util", "tracing", "rand"];
const PURE: &[&str] = &["core", "model"];

/// Checks what `cargo metadata --no-deps` says.
pub(crate) fn check(metadata: &Value) -> Vec<Finding> {
    let packages = metadata["packages"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    packages.iter().flat_map(check_package).collect()
}

fn check_package(package: &Value) -> Vec<Finding> {
    let full_name = package["name"].as_str().unwrap_or_default();
    let name = full_name.strip_prefix(OURS).unwrap_or(full_name);
    let dependencies = package["dependencies"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    dependencies
        .iter()
        // `kind` is null for an ordinary dependency; those of tests and build scripts are free.
        .filter(|dependency| dependency["kind"].is_null())
        .filter_map(|dependency| complaint(name, dependency["name"].as_str()?))
        .map(|says| Finding::error(0, says))
        .collect()
}

fn complaint(name: &str, dependency: &str) -> Option<String> {
    if let Some(ours) = dependency.strip_prefix(OURS) {
        if name == "xtask" {
            return None;
        }
        let Some((_, allowed)) = ARROWS.iter().find(|(from, _)| *from == name) else {
            return Some(format!(
                "crate `{name}` has no row in xtask/src/tidy/arrows.rs"
            ));
        };
        let denied = !allowed.contains(&ours);
        return denied.then(|| format!("crate `{name}` may not depend on `{ours}`"));
    }
    if PURE.contains(&name) && IMPURE.contains(&dependency) {
        return Some(format!(
            "crate `{name}` holds values alone, so it may not use `{dependency}`"
        ));
    }
    let (_, allowed) = KEPT_TO.iter().find(|(kept, _)| *kept == dependency)?;
    let denied = !allowed.contains(&name);
    denied.then(|| {
        format!(
            "crate `{name}` may not use `{dependency}`, only {}",
            allowed.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn says(name: &str, dependency: &str, kind: &Value) -> Vec<String> {
        let dependencies = json!([{ "name": dependency, "kind": kind }]);
        let metadata = json!({ "packages": [{ "name": name, "dependencies": dependencies }] });
        check(&metadata)
            .into_iter()
            .map(|finding| finding.says)
            .collect()
    }

    #[test]
    fn arrows_may_point_down_but_not_up_or_across() {
        assert_eq!(
            says("whimbrel-server", "whimbrel-core", &Value::Null),
            [""; 0]
        );
        let up = says("whimbrel-core", "whimbrel-server", &Value::Null);
        assert_eq!(up, ["crate `core` may not depend on `server`"]);
        let across = says("whimbrel-mysql", "whimbrel-postgres", &Value::Null);
        assert_eq!(across, ["crate `mysql` may not depend on `postgres`"]);
    }

    #[test]
    fn dependencies_of_tests_are_free() {
        assert_eq!(
            says("whimbrel-core", "whimbrel-server", &json!("dev")),
            [""; 0]
        );
    }

    #[test]
    fn outside_crates_stay_where_they_belong() {
        assert_eq!(says("whimbrel-store", "sqlx", &Value::Null), [""; 0]);
        assert_eq!(says("whimbrel-engine", "sqlx", &Value::Null).len(), 1);
        assert_eq!(says("whimbrel-core", "tokio", &Value::Null).len(), 1);
    }

    #[test]
    fn new_crate_needs_a_row() {
        assert_eq!(
            says("whimbrel-oracle", "whimbrel-core", &Value::Null).len(),
            1
        );
    }
}
