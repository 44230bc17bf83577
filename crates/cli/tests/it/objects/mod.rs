//! Whole schemas: what tables have beside columns and rows, read back from the target's own catalog.

mod across;
mod acting;
mod by_default;
mod by_default_mysql;
mod conditions;
mod domains;
mod faults;
mod kept;
mod keys;
mod listed;
mod own;
mod page;
mod random_views;
mod rights;
mod same_engine;
mod sequences;
mod shaped;
mod views;
mod views_read;
mod whole;

use whimbrel_testkit::{Engine, TestDatabase};

use crate::ends::Ends;

fn fixture(engine: Engine) -> &'static str {
    if engine.is_postgres() {
        include_str!("fixture_postgres.sql")
    } else {
        include_str!("fixture_mysql.sql")
    }
}

/// Both ends, with the fixture at the source.
fn filled(source: Engine, target: Engine, hint: &str) -> Ends {
    let ends = Ends::between(source, target, hint);
    ends.source.sql(fixture(source)).unwrap();
    ends
}

/// Every index, constraint, default, numbered column, sequence and comment of a PostgreSQL database, one a line.
fn of_postgres(database: &TestDatabase) -> Vec<String> {
    let sql = "
        select 'index', pg_get_indexdef(i.indexrelid) from pg_index i join pg_class c on c.oid = i.indrelid where c.relnamespace = 'public'::regnamespace
        union all
        select 'constraint', conrelid::regclass || ' ' || quote_ident(conname) || ' ' || pg_get_constraintdef(oid)
        from pg_constraint where connamespace = 'public'::regnamespace and contype <> 'n'
        union all
        select 'column', a.attrelid::regclass || '.' || a.attname || ' ' || format_type(a.atttypid, a.atttypmod) || ' ' || a.attnotnull || ' ' || a.attidentity::text || a.attgenerated::text
            || ' ' || coalesce(pg_get_expr(d.adbin, d.adrelid), '')
        from pg_attribute a join pg_class c on c.oid = a.attrelid left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
        where c.relkind in ('r', 'p') and c.relnamespace = 'public'::regnamespace and a.attnum > 0
        union all
        select 'sequence', concat_ws(' ', sequencename, data_type, start_value, min_value, max_value, increment_by, cycle, cache_size)
        from pg_sequences where schemaname = 'public'
        union all
        select 'comment', objoid::regclass || ' ' || objsubid || ' ' || description from pg_description
        where classoid = 'pg_class'::regclass and objoid in (select oid from pg_class where relnamespace = 'public'::regnamespace)";
    let mut all = lines(&database.sql(sql).unwrap());
    for line in &mut all {
        // The server prints casts of lists in another place once it has read what it printed.
        *line = line.replace("ARRAY[('new'::character varying)::text, ('paid'::character varying)::text, ('it''s'::character varying)::text]",
            "(ARRAY['new'::character varying, 'paid'::character varying, 'it''s'::character varying])::text[]");
    }
    all
}

/// The statements that make the tables of a MySQL or MariaDB database, item by item.
fn of_mysql(database: &TestDatabase) -> Vec<String> {
    let tables = database
        .sql("select table_name from information_schema.tables where table_schema = database() and table_type = 'BASE TABLE' and table_name not like 'awsdms%'")
        .unwrap();
    let mut all = Vec::new();
    for table in tables.lines() {
        let quoted = table.replace('`', "``");
        let made = database
            .sql(&format!("show create table `{quoted}`"))
            .unwrap();
        let items = made.trim().split("\\n").flat_map(|part| part.split('\n'));
        all.extend(items.map(|item| {
            let item = item
                .trim()
                .trim_end_matches(',')
                .replace(" COLLATE=utf8mb4_bin", "");
            // That of the database shows where it is not the table's.
            let item = item.replace(" CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_ai_ci", "");
            format!("{table}: {item}")
        }));
    }
    all.sort();
    all
}

fn lines(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

/// Both lists, without what they have in common.
fn differences(left: &[String], right: &[String]) -> String {
    let lacking = |of: &[String], from: &[String]| -> Vec<String> {
        of.iter()
            .filter(|line| !from.contains(line))
            .cloned()
            .collect()
    };
    let (left_only, right_only) = (lacking(left, right), lacking(right, left));
    if left_only.is_empty() && right_only.is_empty() && left.len() == right.len() {
        return String::new();
    }
    format!(
        "only at the source:\n{}\nonly at the target:\n{}",
        left_only.join("\n"),
        right_only.join("\n")
    )
}
