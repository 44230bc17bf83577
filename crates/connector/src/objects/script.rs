//! Objects that are made by the source's own text, or listed with it.

use std::collections::{BTreeMap, BTreeSet};

use whimbrel_core::Engine;
use whimbrel_core::objects::{
    Likeness, ObjectKind, Requirement, SchemaObjects, ScriptStatement, ScriptTime, Scripted,
};

use super::view::{Foreign, dialect, named, plan_view};
use super::{ObjectPlanner, ObjectStatement, ObjectStep, Refused, renames_columns};
use crate::TargetTable;
use crate::views::Views;

const NOT_ASKED_FOR: &str = "it runs at the target, or decides who may do what there, and what belongs to tables alone was asked for: --objects all makes it";

/// What an object needs that is made by its text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Script {
    /// Makes its schema the one in which names without a schema are looked up, in statements and queries.
    pub enter: Option<String>,
    /// Settings of the session in which its statements are run, and its queries are not. They change nothing at the server.
    pub session: Vec<String>,
    /// What must be there; a user provides it.
    pub requires: Vec<Requirement>,
    /// How to tell whether what has its name is the same, where that can be told.
    pub likeness: Option<Likeness>,
    /// What takes it away while rows are written on which it would act.
    pub undo: Option<String>,
    /// When it is made.
    pub when: ScriptTime,
    /// The kind behind which it is made.
    pub behind: ObjectKind,
    /// Whether the server may refuse it, because the text is another server's: it is then listed, and no failure.
    pub may_be_refused: bool,
}

/// What is said of an object where the target has another of its name.
pub fn another_is_there(step: &ObjectStep) -> String {
    let statements: Vec<&str> = step
        .statements
        .iter()
        .map(|made| made.sql.trim_end())
        .collect();
    let statements = statements.join("; ");
    if step.kind == ObjectKind::Grant {
        return format!(
            "the target has another object of that name, with another text: if it is for that too, run: {statements}"
        );
    }
    format!(
        "another of that name is there, with another text, and stays: to have the source's, drop it and make the objects again, or run: {statements}"
    )
}

/// What is said of an object while the one of its name that the target had stands aside. `task` has noted it, and `remove` is the statement that removes the note.
pub fn own_stands_aside(task: &str, remove: &str) -> String {
    format!(
        "the target had one of that name, which stands aside for task {task} and is made again first, once all tables are loaded and no more changes follow: make the objects again then; if there is no such task any more, make it by the definition in the note, or leave it, and run: {remove}"
    )
}

/// How a target takes texts of a source.
#[derive(Debug)]
pub struct Taking {
    /// Whose SQL the texts are, where that is not the target's own: then it takes views alone, once they are converted.
    pub foreign: Option<Foreign>,
    /// Whether the text is that of a server that differs in parts.
    pub may_be_refused: bool,
    /// Makes a schema of the target the one in which names without a schema are looked up, where texts have such names.
    pub enter: Option<fn(&str) -> String>,
    /// Names that schema in a statement which is on the whole of it.
    pub name_schema: Option<fn(&str, &str) -> String>,
}

/// Plans what is made by its text, or lists it.
pub fn plan_scripts(
    planner: &mut ObjectPlanner<'_>,
    objects: &SchemaObjects,
    tables: &[TargetTable],
    taking: &Taking,
) {
    let renamed = Renamed::of(tables);
    let mut homes = Homes::of(tables, &objects.scripts);
    let mut views = taking
        .foreign
        .map(|foreign| Views::new(tables, dialect(foreign.engine)));
    for script in &objects.scripts {
        let view = views.as_mut().zip(taking.foreign);
        let view = view.filter(|_| script.kind == ObjectKind::View && !planner.lists_scripts());
        if let Some((views, foreign)) = view {
            plan_view(planner, views, script, foreign);
            continue;
        }
        // What is not wanted has its place all the same, by which that of others is found.
        let home = homes.find(script);
        if !planner.wants(script.kind) && !planner.lists_scripts() {
            continue;
        }
        let reason = match &taking.foreign {
            Some(foreign) => Some(across(foreign.engine, script.kind)),
            None if planner.lists_scripts() => Some(NOT_ASKED_FOR.to_owned()),
            None => renamed.named_in(script).or(home.clone().err()),
        };
        if let Some(reason) = reason {
            let refused = Refused::with_statement(reason, script.text());
            planner.list(&script.what, script.name.clone(), refused);
            continue;
        }
        planner.add_script(step(script, home.ok().flatten().as_deref(), taking));
    }
    let is_foreign = taking.foreign.is_some();
    let others = objects.others.iter();
    for other in others.filter(|other| !(other.is_of_engine && is_foreign)) {
        let refused = Refused {
            reason: "objects of this kind are not migrated: make it by hand".to_owned(),
            statement: other.native.clone(),
        };
        planner.list(&other.what, other.name.clone(), refused);
    }
}

/// Why a text of another engine makes nothing.
fn across(engine: Engine, kind: ObjectKind) -> String {
    let engine = named(engine);
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

fn step(script: &Scripted, home: Option<&str>, taking: &Taking) -> ObjectStep {
    let statement = |made: &ScriptStatement| {
        let sql = match home.zip(taking.name_schema) {
            Some((home, name)) => name(&made.sql, home),
            None => made.sql.clone(),
        };
        ObjectStatement::unless(sql, made.unless.clone())
    };
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
        rests_on: Vec::new(),
        waits_for_end: script.when == ScriptTime::Ended,
        note: script.note.clone(),
        script: Some(Box::new(Script {
            enter: home.zip(taking.enter).map(|(home, enter)| enter(home)),
            session: script.session.clone(),
            requires: script.requires.clone(),
            likeness: script.likeness.clone(),
            undo: script.undo.clone(),
            when: script.when,
            behind: script.behind.unwrap_or(script.kind),
            may_be_refused: taking.may_be_refused,
        })),
        original: None,
    }
}

/// Where objects of schemas go whose texts name things without a schema.
struct Homes<'a> {
    /// The schemas of the target that the tables of one at the source go to.
    schemas: BTreeMap<&'a str, BTreeSet<&'a str>>,
    tables: &'a [TargetTable],
    scripts: &'a [Scripted],
    /// By name and what it is, of those that were found: where there is a choice.
    found: BTreeMap<(&'a str, &'a str), &'a str>,
}

impl<'a> Homes<'a> {
    fn of(tables: &'a [TargetTable], scripts: &'a [Scripted]) -> Self {
        let mut schemas: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
        for table in tables {
            let homes = schemas.entry(&table.source.name.schema).or_default();
            homes.insert(&table.name.schema);
        }
        Self {
            schemas,
            tables,
            scripts,
            found: BTreeMap::new(),
        }
    }

    /// The schema of the target in which a text holds, or why there is none. `None`: its text has all schemas in it.
    fn find(&mut self, script: &'a Scripted) -> Result<Option<String>, String> {
        let Some(schema) = script.schema.as_deref() else {
            return Ok(None);
        };
        let Some(homes) = self.schemas.get(schema) else {
            return Ok(Some(schema.to_owned()));
        };
        let mut choice = homes.iter();
        if let (Some(only), None) = (choice.next(), choice.next()) {
            return Ok(Some((*only).to_owned()));
        }
        let spread = format!(
            "the tables of {schema} go to several schemas at the target ({})",
            homes.iter().copied().collect::<Vec<_>>().join(", ")
        );
        let home = self
            .only_home(script, schema)
            .map_err(|why| format!("{spread}, and {why}: make it by hand where it belongs"))?;
        self.found.insert((&script.name, &script.what), home);
        Ok(Some(home.to_owned()))
    }

    /// The one schema to which all goes that a text names.
    fn only_home(&self, script: &Scripted, schema: &str) -> Result<&'a str, String> {
        let text = script.text();
        let named = |name: &str| !words(&text, name).is_empty();
        let mut homes: BTreeSet<&'a str> = BTreeSet::new();
        let own = self
            .tables
            .iter()
            .filter(|table| table.source.name.schema == schema);
        for table in own {
            let is_its = script.table.as_ref() == Some(&table.source.name);
            if is_its || named(&table.source.name.name) {
                homes.insert(&table.name.schema);
            }
        }
        for other in self.scripts {
            let is_itself = (&other.name, &other.what) == (&script.name, &script.what);
            let is_other = !is_itself && other.schema.as_deref() == Some(schema);
            let name = other.name.strip_prefix(schema);
            let name = name.and_then(|name| name.strip_prefix('.'));
            // What belongs to a table, and privileges, are named by nothing.
            let can_be_named = matches!(other.kind, ObjectKind::View | ObjectKind::Routine);
            let Some(name) = name.filter(|_| is_other && can_be_named) else {
                continue;
            };
            if named(name) {
                let home = self.found.get(&(other.name.as_str(), other.what.as_str()));
                homes.insert(home.copied().ok_or_else(|| {
                    format!("its text names {}, whose place is not known", other.name)
                })?);
            }
        }
        let mut choice = homes.into_iter();
        match (choice.next(), choice.next()) {
            (Some(home), None) => Ok(home),
            (None, _) => Err("its text names none of them".to_owned()),
            (Some(_), Some(_)) => Err("its text names such of more than one".to_owned()),
        }
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
    use whimbrel_core::{Table, TableName};

    use super::*;
    use crate::KeyPolicy;

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

    fn of_database(kind: ObjectKind, name: &str, text: &str) -> Scripted {
        Scripted {
            schema: Some("shop".to_owned()),
            ..Scripted::new(kind, kind.singular(), name, text, "SELECT 1")
        }
    }

    /// No mapping sends the tables of one schema to several yet; texts without schemas would then hold in none of them for certain.
    #[test]
    fn what_names_tables_of_one_schema_goes_there() {
        let table = |name: &str, home: &str| TargetTable {
            name: TableName::new(home, name),
            source: Table {
                name: TableName::new("shop", name),
                engine: Engine::MySql,
                columns: Vec::new(),
                primary_key: Vec::new(),
                id: None,
                key_prefixes: Vec::new(),
                row_estimate: None,
                byte_estimate: None,
                outside_snapshot: None,
                obstacle: None,
                notes: Vec::new(),
            },
            shaped: None,
            columns: Vec::new(),
            primary_key: Vec::new(),
            keys: KeyPolicy::None,
            notes: Vec::new(),
        };
        let tables = [table("a", "first"), table("b", "second")];
        let scripts = [
            of_database(ObjectKind::View, "shop.of_b", "select id from `b`"),
            of_database(ObjectKind::View, "shop.on_b", "select id from `of_b`"),
            of_database(ObjectKind::View, "shop.both", "select * from a join b"),
            of_database(ObjectKind::View, "shop.on_both", "select * from `both`"),
            of_database(ObjectKind::Routine, "shop.none", "return 1"),
            Scripted {
                table: Some(TableName::new("shop", "a")),
                ..of_database(ObjectKind::Trigger, "shop.a.act", "set new.id = 1")
            },
            of_database(ObjectKind::Grant, "shop to u", "GRANT SELECT ON * TO `u`"),
            of_database(
                ObjectKind::Grant,
                "shop.of_b to u",
                "GRANT SELECT ON `of_b` TO `u`",
            ),
        ];
        let mut homes = Homes::of(&tables, &scripts);
        let found: Vec<_> = scripts.iter().map(|script| homes.find(script)).collect();
        let at = |home: &str| Ok(Some(home.to_owned()));
        let not = |why: &str| {
            Err(format!(
                "the tables of shop go to several schemas at the target (first, second), and {why}: make it by hand where it belongs"
            ))
        };
        let none = "its text names none of them";
        assert_eq!(
            found,
            [
                at("second"),
                at("second"),
                not("its text names such of more than one"),
                not("its text names shop.both, whose place is not known"),
                not(none),
                at("first"),
                not(none),
                at("second"),
            ]
        );
        // With one schema for all there is no choice.
        let mut homes = Homes::of(&tables[..1], &scripts);
        assert_eq!(homes.find(&scripts[4]), at("first"));
    }
}
