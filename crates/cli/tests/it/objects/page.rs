//! `docs/objects.md` says what becomes of every kind of object; this writes it from what dry runs plan for the fixtures.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use whimbrel_testkit::Engine;

use super::filled;

const HEAD: &str = include_str!("page.md");

/// Servers and how they are called.
const ENDS: [(Engine, &str); 3] = [
    (Engine::Postgres15, "PostgreSQL"),
    (Engine::Mysql97, "MySQL"),
    (Engine::Mariadb1011, "MariaDB"),
];

/// Objects of the fixture of PostgreSQL: kind and name, and what they are.
const OF_POSTGRES: &[(&str, &str, &str)] = &[
    (
        "indexes",
        "parents.by_state",
        "index, columns in either order",
    ),
    (
        "indexes",
        "parents.one_day",
        "unique index in which NULLs agree",
    ),
    ("indexes", "parents.parents_code_key", "unique constraint"),
    (
        "indexes",
        "parents.wordy",
        "index of a text without a length",
    ),
    ("indexes", "parents.partly", "index of some rows (`WHERE`)"),
    ("indexes", "parents.lowered", "index of an expression"),
    ("indexes", "parents.held", "index with `INCLUDE`"),
    (
        "indexes",
        "parents.documents",
        "index of another method (`gin`)",
    ),
    (
        "foreign-keys",
        "Children \"of\".Children \"of\"_order_fkey",
        "foreign key with actions",
    ),
    (
        "foreign-keys",
        "Children \"of\".Children \"of\"_parent_code_fkey",
        "foreign key that is deferred",
    ),
    (
        "foreign-keys",
        "Children \"of\".Children \"of\"_select_fkey",
        "foreign key to its own table",
    ),
    (
        "foreign-keys",
        "egg.egg_hen_fkey",
        "foreign keys in a circle",
    ),
    ("checks", "parents.amount is positive", "check of numbers"),
    (
        "checks",
        "parents.parents_state_check",
        "check of texts in a list",
    ),
    ("defaults", "parents.code", "default, a constant"),
    ("defaults", "parents.made", "default, the time"),
    ("defaults", "parents.place", "default, a UUID"),
    ("defaults", "parents.raw", "default, bytes"),
    ("defaults", "seqs.n", "default, a sequence of its own"),
    ("sequences", "parents.id", "identity"),
    ("sequences", "Children \"of\".Id", "`serial`"),
    ("sequences", "Free Seq", "sequence"),
    ("comments", "parents", "comment on a table"),
    ("comments", "parents.code", "comment on a column"),
    ("views", "lookout", "view"),
    ("routines", "one()", "function"),
];

/// The same of MySQL and MariaDB.
const OF_MYSQL: &[(&str, &str, &str)] = &[
    (
        "indexes",
        "parents.by_state",
        "index, columns in either order",
    ),
    ("indexes", "parents.code", "unique index"),
    (
        "indexes",
        "parents.beginning",
        "index of the beginnings of values",
    ),
    (
        "indexes",
        "parents.raws",
        "unique index of the beginnings of values",
    ),
    ("indexes", "parents.words", "`FULLTEXT` index"),
    (
        "foreign-keys",
        "Children `of`.to parents",
        "foreign key with actions",
    ),
    (
        "foreign-keys",
        "Children `of`.to self",
        "foreign key to its own table",
    ),
    ("foreign-keys", "egg.to_hen", "foreign keys in a circle"),
    ("checks", "parents.amount is positive", "check of numbers"),
    ("checks", "Children `of`.short", "check of a length"),
    ("defaults", "parents.code", "default, a constant"),
    ("defaults", "parents.flag", "default, bits"),
    ("defaults", "parents.made", "default, the time"),
    ("defaults", "parents.seen", "`ON UPDATE CURRENT_TIMESTAMP`"),
    ("sequences", "parents.id", "`AUTO_INCREMENT`"),
    ("comments", "parents", "comment on a table"),
    ("comments", "parents.size", "comment on a column"),
    ("views", "lookout", "view"),
];

/// What a dry run says of each object, by its name without the schema; one that is made with another in one statement is said with that.
fn fates(source: Engine, target: Engine) -> BTreeMap<String, Vec<(String, String)>> {
    let ends = filled(source, target, "page");
    let plan = ends
        .run_well("migrate", &["--objects", "all", "--dry-run", "--json"])
        .event("plan")["objects"]
        .clone();
    let schema = if source.is_postgres() {
        "public".to_owned()
    } else {
        ends.source.name().to_owned()
    };
    let mut fates: BTreeMap<String, Vec<(String, String)>> = BTreeMap::new();
    let lists = [("made", "note"), ("not_converted", "reason")];
    for (list, member) in lists {
        for object in plan[list].as_array().unwrap() {
            let text = |name: &str| {
                object[name]
                    .as_str()
                    .unwrap_or_default()
                    .replace(ends.source.name(), "…")
            };
            let name = object["object"].as_str().unwrap();
            let name = name.strip_prefix(&format!("{schema}.")).unwrap_or(name);
            let name = name.strip_suffix(" (function)").unwrap_or(name);
            let fate = match (list, text(member)) {
                ("made", note) if note.is_empty() => "made".to_owned(),
                ("made", note) => format!("made; {note}"),
                (_, reason) => format!("listed: {reason}"),
            };
            fates
                .entry(name.to_owned())
                .or_default()
                .push((text("kind"), fate));
        }
    }
    fates
}

/// A step that says several things of one column stands under the first of them.
fn fate(fates: &BTreeMap<String, Vec<(String, String)>>, kind: &str, name: &str) -> String {
    let all = fates.get(name).map(Vec::as_slice).unwrap_or_default();
    let singular = match kind {
        "indexes" => "index",
        "foreign-keys" => "foreign key",
        other => other.trim_end_matches('s'),
    };
    let own: Vec<&str> = all
        .iter()
        .filter(|(of, _)| of == kind || of == singular)
        .map(|(_, fate)| fate.as_str())
        .collect();
    match (own.as_slice(), all) {
        ([], [(_, fate), ..]) => fate.clone(),
        ([], []) => panic!("nothing is said of {kind} {name}: {fates:?}"),
        (own, _) => own.join("; "),
    }
}

fn page() -> String {
    let mut page = HEAD.to_owned();
    for (source, source_name) in ENDS {
        let fates = ENDS.map(|(target, _)| fates(source, target));
        let columns = "| object | to PostgreSQL | to MySQL | to MariaDB |\n|---|---|---|---|";
        writeln!(page, "\n### From {source_name}\n\n{columns}").unwrap();
        let objects = if source.is_postgres() {
            OF_POSTGRES
        } else {
            OF_MYSQL
        };
        for (kind, name, what) in objects {
            let cells = fates
                .each_ref()
                .map(|fates| fate(fates, kind, name).replace('|', "\\|"));
            writeln!(page, "| {what} | {} |", cells.join(" | ")).unwrap();
        }
    }
    page
}

#[test]
fn the_page_tells_what_becomes_of_every_object() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/objects.md");
    let page = page();
    if std::env::var_os("WHIMBREL_UPDATE_DOCS").is_some() {
        std::fs::write(&path, &page).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == page,
        "docs/objects.md is not what the code does: WHIMBREL_UPDATE_DOCS=1 cargo nextest run -p whimbrel-cli objects::page writes it anew"
    );
}
