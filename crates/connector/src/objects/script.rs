//! Objects that are made by the source's own text, or listed with it.

use whimbrel_core::Engine;
use whimbrel_core::objects::{
    ObjectKind, Requirement, SchemaObjects, ScriptStatement, ScriptTime, Scripted,
};

use super::{ObjectPlanner, ObjectStatement, ObjectStep, Refused, renames_columns};
use crate::TargetTable;

const NOT_ASKED_FOR: &str =
    "it runs at the target, or decides who may do what there: ask for it by --objects all";

/// What an object needs that is made by its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// Makes its schema the one in which names without a schema are looked up, in statements and queries.
    pub enter: Option<String>,
    /// Settings of the session in which its statements are run, and its queries are not. They change nothing at the server.
    pub session: Vec<String>,
    /// What must be there; a user provides it.
    pub requires: Vec<Requirement>,
    /// What takes it away while rows are written on which it would act.
    pub undo: Option<String>,
    /// When it is made.
    pub when: ScriptTime,
    /// The kind behind which it is made.
    pub behind: ObjectKind,
    /// Whether the server may refuse it, because the text is another server's: it is then listed, and no failure.
    pub may_be_refused: bool,
}

/// How a target takes texts of a source.
#[derive(Debug)]
pub struct Taking {
    /// Whose SQL the texts are, where that is not the target's own: then it takes none.
    pub foreign: Option<Engine>,
    /// Whether the text is that of a server that differs in parts.
    pub may_be_refused: bool,
    /// Makes a schema of the target the one in which names without a schema are looked up, where texts have such names.
    pub enter: Option<fn(&str) -> String>,
}

/// Plans what is made by its text, or lists it.
pub fn plan_scripts(
    planner: &mut ObjectPlanner<'_>,
    objects: &SchemaObjects,
    tables: &[TargetTable],
    taking: &Taking,
) {
    let renamed = Renamed::of(tables);
    for script in &objects.scripts {
        if !planner.wants(script.kind) && !planner.lists_scripts() {
            continue;
        }
        let reason = match taking.foreign {
            Some(engine) => Some(across(engine, script.kind)),
            None if planner.lists_scripts() => Some(NOT_ASKED_FOR.to_owned()),
            None => renamed.named_in(script),
        };
        if let Some(reason) = reason {
            let refused = Refused::with_statement(reason, script.text());
            planner.list(&script.what, script.name.clone(), refused);
            continue;
        }
        planner.add_script(step(script, tables, taking));
    }
    for other in &objects.others {
        let refused = Refused {
            reason: "objects of this kind are not migrated: make it by hand".to_owned(),
            statement: other.native.clone(),
        };
        planner.list(&other.what, other.name.clone(), refused);
    }
}

/// Why a text of another engine makes nothing.
fn across(engine: Engine, kind: ObjectKind) -> String {
    let engine = match engine {
        Engine::Postgres => "PostgreSQL",
        Engine::MySql => "MySQL",
        Engine::MariaDb => "MariaDB",
    };
    match kind {
        ObjectKind::Extension => {
            format!("it is an extension of {engine}: see what of it is used, and whether this server has the like")
        }
        ObjectKind::Grant => {
            format!("accounts and privileges are other ones than in {engine}: grant what is needed here")
        }
        ObjectKind::Policy => {
            "there is no row-level security here that works alike: views, or privileges, take its place".to_owned()
        }
        ObjectKind::Comment => "nothing of its kind has a comment here, or not in this form".to_owned(),
        ObjectKind::Type => "there are no types here that users make".to_owned(),
        ObjectKind::Event => {
            "the server runs nothing at set times by itself: a scheduler outside, or an extension, takes its place".to_owned()
        }
        ObjectKind::Trigger | ObjectKind::Routine | ObjectKind::View => {
            format!("its text is in the SQL of {engine}, whose words may mean something else here: write it anew and test it")
        }
        _ => format!("its text is in the SQL of {engine}"),
    }
}

fn step(script: &Scripted, tables: &[TargetTable], taking: &Taking) -> ObjectStep {
    let statement =
        |made: &ScriptStatement| ObjectStatement::unless(made.sql.clone(), made.unless.clone());
    let schema = script.schema.as_ref().map(|schema| {
        let place = tables
            .iter()
            .find(|table| table.source.name.schema == *schema);
        place.map_or(schema, |table| &table.name.schema)
    });
    let is_alike = script.what == script.kind.singular();
    ObjectStep {
        kind: script.kind,
        table: script.table.clone(),
        name: if is_alike {
            script.name.clone()
        } else {
            format!("{} ({})", script.name, script.what)
        },
        statements: script.statements.iter().map(statement).collect(),
        needs: Vec::new(),
        waits_for_end: script.when == ScriptTime::Ended,
        note: script.note.clone(),
        script: Some(Box::new(Script {
            enter: schema
                .zip(taking.enter)
                .map(|(schema, enter)| enter(schema)),
            session: script.session.clone(),
            requires: script.requires.clone(),
            undo: script.undo.clone(),
            when: script.when,
            behind: script.behind.unwrap_or(script.kind),
            may_be_refused: taking.may_be_refused,
        })),
    }
}

/// What has another name at the target.
struct Renamed<'a> {
    schemas: Vec<(&'a str, &'a str)>,
    /// Tables, and what is different of each.
    tables: Vec<(&'a str, String)>,
}

impl<'a> Renamed<'a> {
    fn of(tables: &'a [TargetTable]) -> Self {
        let names = || tables.iter().map(|table| (&table.source.name, &table.name));
        let mut schemas: Vec<(&str, &str)> = names()
            .map(|(source, target)| (source.schema.as_str(), target.schema.as_str()))
            .filter(|(source, target)| source != target)
            .collect();
        schemas.sort_unstable();
        schemas.dedup();
        let names = tables.iter().filter_map(|table| {
            let (source, target) = (&table.source.name, &table.name);
            if source.name != target.name {
                let how = format!("the table {source}, which is {target} at the target");
                Some((source.name.as_str(), how))
            } else if renames_columns(table) {
                let how = format!("the table {source}, whose columns have other names at the target, or are not there");
                Some((source.name.as_str(), how))
            } else {
                None
            }
        });
        Self {
            schemas,
            tables: names.collect(),
        }
    }

    /// Why a text does not hold at the target.
    fn named_in(&self, script: &Scripted) -> Option<String> {
        let text = script.text();
        let schema = self
            .schemas
            .iter()
            .find(|(source, _)| names_schema(&text, source));
        if let Some((source, target)) = schema {
            return Some(format!(
                "its text names the schema {source}, which is {target} at the target"
            ));
        }
        let table = self
            .tables
            .iter()
            .find(|(name, _)| !words(&text, name).is_empty());
        table.map(|(_, how)| format!("its text names {how}"))
    }
}

/// Whether a text may name something of a schema, or look names up there.
fn names_schema(text: &str, schema: &str) -> bool {
    let mut found = words(text, schema).into_iter();
    if text.contains("search_path") {
        return found.next().is_some();
    }
    found.any(|end| {
        let before = text.get(..end.saturating_sub(schema.len()));
        let before = before.unwrap_or_default().trim_end_matches(['"', '`']);
        let rest = text[end..].trim_start_matches(['"', '`']);
        rest.trim_start().starts_with('.') || before.ends_with(" SCHEMA ")
    })
}

/// The ends of a name in a text, wherever it stands as a word, in either case.
fn words(text: &str, name: &str) -> Vec<usize> {
    // Lower case of ASCII alone leaves every place where it is.
    let (text, name) = (text.to_ascii_lowercase(), name.to_ascii_lowercase());
    let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
    // Quotes in a name are doubled in texts.
    let spellings = [
        name.clone(),
        name.replace('"', "\"\""),
        name.replace('`', "``"),
    ];
    let mut ends: Vec<usize> = spellings
        .iter()
        .flat_map(|name| {
            text.match_indices(name.as_str())
                .map(|(at, _)| (at, at + name.len()))
                .collect::<Vec<_>>()
        })
        .filter(|(at, end)| !text[..*at].ends_with(is_part) && !text[*end..].starts_with(is_part))
        .map(|(_, end)| end)
        .collect();
    ends.sort_unstable();
    ends.dedup();
    ends
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_is_named_before_a_point() {
        assert!(names_schema("select * from app.orders", "app"));
        assert!(names_schema("GRANT USAGE ON SCHEMA app TO reader", "app"));
        assert!(names_schema("COMMENT ON SCHEMA \"app\" IS 'x'", "app"));
        assert!(names_schema("select * from \"App\" . \"orders\"", "App"));
        assert!(names_schema("select `app`.`f`()", "app"));
        assert!(!names_schema("select app from myapp.orders", "app"));
        assert!(names_schema("SET search_path TO 'app', 'public'", "app"));
        assert!(names_schema("select 1 from \"a\"\"b\".c", "a\"b"));
    }

    #[test]
    fn a_name_is_found_as_a_word_alone() {
        assert!(words("select orders_2 from myorders", "orders").is_empty());
        assert_eq!(words("from Orders o", "orders"), [11]);
        assert_eq!(words("from \"größe\".x", "größe").len(), 1);
    }
}
