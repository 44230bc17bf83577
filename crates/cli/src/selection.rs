//! From the options to the tables of a migration, their names at the target, and the migration's own name.

use std::path::Path;

use sha2::{Digest as _, Sha256};
use whimbrel_core::mapping::TableMappings;

use crate::address::Address;
use crate::args::TableArgs;
use crate::failure::Failure;

/// Half of the hash: enough that no two migrations of one target share a name.
const NAME_HASH_BYTES: usize = 12;

/// Which tables, under which names.
#[derive(Clone, Debug)]
pub(crate) struct Selection {
    /// Selection and renaming.
    pub(crate) mappings: TableMappings,
    /// The one schema of all tables at the target, if so.
    pub(crate) target_schema: Option<String>,
    /// The name under which the target keeps the record of this migration.
    pub(crate) task: String,
}

impl Selection {
    /// Reads the options of `migrate` and `validate`.
    pub(crate) fn of(
        args: &TableArgs,
        source: &Address,
        target: &Address,
    ) -> Result<Self, Failure> {
        if let Some(path) = &args.mappings {
            return Self::of_file(path, args, source, target);
        }
        let include = patterns(&args.tables, "--tables")?;
        let exclude = patterns(&args.exclude, "--exclude")?;
        let renames = renames(&args.rename_schema)?;
        let own_database = source.database().filter(|_| source.is_mysql_family());
        let mut mappings = match own_database {
            Some(database) if include.is_empty() => {
                TableMappings::of_patterns(&[], &exclude).with_schema_included(&database)
            }
            _ if include.is_empty() => {
                TableMappings::of_patterns(&[("%".to_owned(), "%".to_owned())], &exclude)
            }
            _ => TableMappings::of_patterns(&include, &exclude),
        };
        for (from, to) in &renames {
            mappings = mappings.with_schema_renamed(from, to);
        }
        let target_schema = match &args.target_schema {
            Some(schema) => Some(schema.clone()),
            None if target.is_mysql_family() && renames.is_empty() => target.database(),
            None => None,
        };
        let task = task_name(args, None, source, target);
        Ok(Self {
            mappings,
            target_schema,
            task,
        })
    }

    /// Reads table mappings.
    fn of_file(
        path: &Path,
        args: &TableArgs,
        source: &Address,
        target: &Address,
    ) -> Result<Self, Failure> {
        let shown = path.display();
        let document = std::fs::read_to_string(path).map_err(|error| {
            Failure::usage(format!("--mappings {shown} cannot be read: {error}"))
                .with_help("give the path of a JSON file of table mappings, as the API takes them")
        })?;
        let mappings = TableMappings::parse(&document).map_err(|error| {
            Failure::usage(format!("--mappings {shown}: {error}"))
                .with_help("docs/mappings.md tells which rules act")
        })?;
        Ok(Self {
            mappings,
            target_schema: args.target_schema.clone(),
            task: task_name(args, Some(&document), source, target),
        })
    }
}

/// Reads `SCHEMA.TABLE` patterns, parted at the first point.
fn patterns(texts: &[String], option: &str) -> Result<Vec<(String, String)>, Failure> {
    let read = |text: &String| {
        match text.split_once('.') {
        Some((schema, table)) if !schema.is_empty() && !table.is_empty() => {
            Ok((schema.to_owned(), table.to_owned()))
        }
        _ => Err(
            Failure::usage(format!("{option} {text} is no SCHEMA.TABLE pattern")).with_help(
                "write public.% for all tables of schema public, %.orders for orders of every schema",
            ),
        ),
    }
    };
    texts.iter().map(read).collect()
}

fn renames(texts: &[String]) -> Result<Vec<(String, String)>, Failure> {
    let read = |text: &String| match text.split_once('=') {
        Some((from, to)) if !from.is_empty() && !to.is_empty() => {
            Ok((from.to_owned(), to.to_owned()))
        }
        _ => Err(Failure::usage(format!("--rename-schema {text} is not A=B"))
            .with_help("write --rename-schema shop=public to put the tables of shop into public")),
    };
    texts.iter().map(read).collect()
}

/// A name that is the same for the same migration: both places, and which tables go where. Who signs in and with what
/// options does not count, nor does the order of patterns. Renames are in order: the first that matches acts.
///
/// Table mappings count by their content: white space and the order of members do not.
fn task_name(
    args: &TableArgs,
    mappings: Option<&str>,
    source: &Address,
    target: &Address,
) -> String {
    let sorted = |texts: &[String]| {
        let mut texts = texts.to_vec();
        texts.sort();
        texts.dedup();
        texts
    };
    let mut identity = serde_json::json!([
        1,
        source.place(),
        source.is_mysql_family().then(|| source.database()),
        target.place(),
        target.is_mysql_family().then(|| target.database()),
        sorted(&args.tables),
        sorted(&args.exclude),
        args.rename_schema,
        args.target_schema,
    ]);
    let rules = mappings.and_then(|text| serde_json::from_str::<serde_json::Value>(text).ok());
    if let (Some(parts), Some(mut rules)) = (identity.as_array_mut(), rules) {
        rules.sort_all_objects();
        parts.push(rules);
    }
    let hash = Sha256::digest(identity.to_string());
    format!("whimbrel-{}", hex::encode(&hash[..NAME_HASH_BYTES]))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use whimbrel_core::TableName;

    use super::*;
    use crate::address::End;
    use crate::args::{Cli, Command};

    fn selection(words: &[&str]) -> Result<Selection, Failure> {
        let words = [&["whimbrel", "migrate"], words].concat();
        let Command::Migrate(args) = Cli::try_parse_from(words).unwrap().command else {
            panic!("not a migration");
        };
        let source = Address::resolve(&args.source_url, End::Source, None).unwrap();
        let target = Address::resolve(&args.target_url, End::Target, None).unwrap();
        Selection::of(&args.tables, &source, &target)
    }

    fn table(text: &str) -> TableName {
        let (schema, name) = text.split_once('.').unwrap();
        TableName::new(schema, name)
    }

    const POSTGRES: &str = "postgres://me@h/shop";
    const MYSQL: &str = "mysql://me@h/my_shop";

    #[test]
    fn a_database_in_the_path_is_all_that_is_taken_and_is_no_pattern() {
        let of_mysql = selection(&[MYSQL, POSTGRES]).unwrap();
        assert!(of_mysql.mappings.selects(&table("my_shop.orders")));
        assert!(!of_mysql.mappings.selects(&table("myxshop.orders")));
        assert_eq!(of_mysql.target_schema, None);
        let of_postgres = selection(&[POSTGRES, "mysql://me@h", "--exclude", "a.b"]).unwrap();
        assert!(of_postgres.mappings.selects(&table("public.orders")));
        assert!(!of_postgres.mappings.selects(&table("a.b")));
    }

    #[test]
    fn a_database_of_a_mysql_target_takes_all_tables_unless_told_otherwise() {
        let schema = |words: &[&str]| selection(words).unwrap().target_schema;
        assert_eq!(schema(&[POSTGRES, MYSQL]).as_deref(), Some("my_shop"));
        assert_eq!(
            schema(&[POSTGRES, MYSQL, "--target-schema", "x"]).as_deref(),
            Some("x")
        );
        assert_eq!(schema(&[POSTGRES, MYSQL, "--rename-schema", "a=b"]), None);
        assert_eq!(schema(&[POSTGRES, "mysql://me@h"]), None);
    }

    #[test]
    fn patterns_and_renames_must_be_whole() {
        for words in [
            ["--tables", "orders"],
            ["--exclude", ".x"],
            ["--rename-schema", "a="],
        ] {
            let failure = selection(&[POSTGRES, MYSQL, words[0], words[1]]).unwrap_err();
            assert!(failure.message.contains(words[1]), "{failure:?}");
        }
    }

    #[test]
    fn the_task_name_is_the_same_in_every_release() {
        let name = |words: &[&str]| selection(words).unwrap().task;
        let known = name(&[MYSQL, POSTGRES]);
        assert_eq!(known, "whimbrel-aa28f3b402cc0cd0f077190f");
        assert_eq!(
            known,
            name(&[
                "mariadb://you:secret@H:3306/my_shop",
                "postgresql://me:x@h:5432/shop?sslmode=require"
            ])
        );
        let other = ["--tables", "a.b,c.d"];
        let same = ["--tables", "c.d", "--tables", "a.b"];
        let with = |more: &[&str]| name(&[&[MYSQL, POSTGRES], more].concat());
        assert_eq!(with(&other), with(&same));
        assert_ne!(with(&other), known);
        assert_ne!(with(&["--target-schema", "x"]), known);
        assert_ne!(with(&["--rename-schema", "x=y"]), known);
    }
}
