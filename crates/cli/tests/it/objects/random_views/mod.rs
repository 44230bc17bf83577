//! Views by chance: whatever is made at the target shows there what the source shows.
//!
//! Each view is a query of small expressions over tables with the values at which types differ. The source's own server says what it means; what it refuses, and what
//! cannot be read there (a number that leaves its type), counts for nothing. `WHIMBREL_TEST_VIEWS` is how many are tried of each pair.

mod conditions;
mod grammar;
mod tables;

use std::fmt::Write as _;

use whimbrel_testkit::{Engine, TestDatabase};

use self::grammar::Grammar;
use super::views::CONVERTED;
use crate::ends::Ends;
use crate::random::Random;

const VIEWS: usize = 60;

fn wanted() -> usize {
    let count = std::env::var("WHIMBREL_TEST_VIEWS");
    count.map_or(VIEWS, |count| count.parse().unwrap())
}

/// A value as any server writes it: without zeros that end what is behind a point, and a condition as the number that it is to MySQL.
fn cell(text: &str) -> String {
    let text = match text {
        "t" => "1",
        "f" => "0",
        text => text,
    };
    let number = text.strip_prefix('-').unwrap_or(text);
    let is_number = number.starts_with(|c: char| c.is_ascii_digit())
        && number
            .chars()
            .all(|c| c.is_ascii_digit() || matches!(c, '.' | ':' | '-' | ' ' | 'e' | '+'));
    if !is_number {
        return text.replace("\\\\", "\\");
    }
    if let Some(mantissa) = text.contains('e').then(|| text.parse::<f64>().unwrap()) {
        return cell(&mantissa.to_string());
    }
    let short = if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.')
    } else {
        text
    };
    if short == "-0" { "0" } else { short }.to_owned()
}

fn rows(database: &TestDatabase, view: &str) -> Option<Vec<String>> {
    let rows = database.sql(&format!("select * from {view}")).ok()?;
    let row = |row: &str| row.split('\t').map(cell).collect::<Vec<_>>().join("\t");
    let mut rows: Vec<String> = rows.split('\n').map(row).collect();
    rows.sort();
    Some(rows)
}

fn made(database: &TestDatabase) -> Vec<String> {
    let place = if database.engine().is_postgres() {
        "current_schema()"
    } else {
        "database()"
    };
    let views = database.sql(&format!(
        "select table_name from information_schema.views where table_schema = {place}"
    ));
    views.unwrap().lines().map(str::to_owned).collect()
}

fn agree(source: Engine, target: Engine) {
    let mut random = Random::announced();
    let ends = Ends::between(source, target, "random_views");
    ends.source
        .sql(&tables::statements(&mut random, source))
        .unwrap();
    let mut grammar = Grammar::new(random.split(), source);
    let mut views = Vec::new();
    for place in 0..wanted() {
        let create = format!("create view v{place} as {}", grammar.query());
        if ends.source.sql(&create).is_ok() {
            views.push((format!("v{place}"), create));
        }
    }
    let out = ends.run_well("migrate", &["--objects", CONVERTED]).out;
    let made = made(&ends.target);
    let (mut told, mut compared) = (String::new(), 0);
    for (name, create) in views.iter().filter(|(name, _)| made.contains(name)) {
        let Some(there) = rows(&ends.source, name) else {
            continue;
        };
        compared += 1;
        let here = rows(&ends.target, name);
        if here.as_ref() != Some(&there) {
            let statement = out.lines().find(|line| {
                line.contains("VIEW")
                    && (line.contains(&format!("`{name}`"))
                        || line.contains(&format!("\"{name}\"")))
            });
            writeln!(told, "{create}\n{statement:?}\n{there:?}\n{here:?}\n").unwrap();
        }
    }
    eprintln!(
        "{} of {} views were made, and {compared} compared",
        made.len(),
        views.len()
    );
    assert!(told.is_empty(), "{told}");
    assert!(compared * 10 >= views.len(), "too few were made:\n{out}");
}

#[test]
fn views_of_postgres_in_mysql() {
    agree(Engine::Postgres18, Engine::Mysql97);
}

#[test]
fn views_of_postgres_in_mariadb() {
    agree(Engine::Postgres15, Engine::Mariadb1011);
}

#[test]
fn views_of_mysql_in_postgres() {
    agree(Engine::Mysql97, Engine::Postgres15);
}

#[test]
fn views_of_mariadb_in_postgres() {
    agree(Engine::Mariadb1011, Engine::Postgres18);
}
