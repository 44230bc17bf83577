//! Everything travels by default between servers of MySQL and MariaDB, and nothing of the target's own is lost by it.

use whimbrel_testkit::Engine;

use crate::Said;
use crate::ends::Ends;

fn says(said: &Said, wanted: &str) {
    assert!(
        said.out.contains(wanted),
        "{wanted} is not in\n{}",
        said.out
    );
}

/// The server looks at the first grant that matches a database, so that one on it alone would hide one on a pattern.
fn no_grant_hides_another(engine: Engine) {
    let ends = Ends::between(engine, engine, "hide");
    let (from, to) = (ends.source.name(), ends.target.name());
    let account = |mark: &str| format!("'{mark}{}'@'%'", &from[from.len() - 20..]);
    let (hidden, covered) = (account("h"), account("c"));
    let pattern = format!("{}%", &to[..to.len() - 1]);
    for (user, end) in [&hidden, &covered]
        .into_iter()
        .flat_map(|user| [(user, &ends.source), (user, &ends.target)])
    {
        end.sql(&format!("create user if not exists {user}"))
            .unwrap();
    }
    ends.source
        .sql(&format!(
            "create table t (id int primary key); grant select on `{0}`.* to {hidden}; grant select, insert on `{0}`.* to {covered}",
            from.replace('_', "\\_")
        ))
        .unwrap();
    ends.target
        .sql(&format!(
            "grant insert, delete on `{pattern}`.* to {hidden}; grant select on `{pattern}`.* to {covered}"
        ))
        .unwrap();
    let grants = |user: &str| ends.target.sql(&format!("show grants for {user}")).unwrap();
    let before = grants(&hidden);
    let said = ends.run_well("migrate", &[]);
    says(
        &said,
        &format!(
            "not made: grant {from} to {hidden}: the target has a grant for that account's user"
        ),
    );
    assert_eq!(grants(&hidden), before);
    assert!(grants(&covered).contains("SELECT, INSERT"), "{}", said.out);
    for user in [&hidden, &covered] {
        ends.source
            .sql(&format!("drop user if exists {user}"))
            .unwrap();
        ends.target
            .sql(&format!("drop user if exists {user}"))
            .unwrap();
    }
}

#[test]
fn no_grant_of_mysql_hides_another() {
    no_grant_hides_another(Engine::Mysql97);
}

#[test]
fn no_grant_of_mariadb_hides_another() {
    no_grant_hides_another(Engine::Mariadb1011);
}

/// Triggers of a database share one set of names, whatever their tables.
fn another_tables_trigger_stays(source: Engine, target: Engine) {
    let ends = Ends::between(source, target, "names");
    ends.source
        .sql("create table t (id int primary key); insert into t values (1); create trigger note before insert on t for each row set new.id = new.id")
        .unwrap();
    ends.target
        .sql("create table t (id int primary key); create table own (id int primary key); create trigger note before insert on own for each row set new.id = new.id + 1")
        .unwrap();
    // A trigger that is dropped and made again has another time.
    let shown = "select event_object_table, action_statement, created from information_schema.triggers where trigger_schema = database()";
    let before = ends.target.sql(shown).unwrap();
    let said = ends.run_well("migrate", &["--prepare", "truncate"]);
    says(
        &said,
        &format!(
            "not made: trigger {}.t.note: another of that name is there",
            ends.source.name()
        ),
    );
    assert_eq!(ends.target.sql(shown).unwrap(), before);
    assert_eq!(ends.arrived("t"), 1);
}

#[test]
fn a_trigger_of_another_table_stays_in_mysql() {
    another_tables_trigger_stays(Engine::Mysql97, Engine::Mysql97);
}

#[test]
fn a_trigger_of_another_table_stays_between_mysql_and_mariadb() {
    another_tables_trigger_stays(Engine::Mysql97, Engine::Mariadb1011);
}

/// Who may drop a trigger may not make it again, where it has another definer.
fn a_trigger_that_cannot_be_made_again_stays(engine: Engine) {
    let mut ends = Ends::between(engine, engine, "again");
    let user = format!("w{}", &ends.target.name()[ends.target.name().len() - 20..]);
    let tables = "create table log (what int); create table t (id int primary key)";
    let trigger =
        "create trigger note after insert on t for each row insert into log values (new.id)";
    ends.source
        .sql(&format!(
            "{tables}; insert into t values (1), (2); {trigger}"
        ))
        .unwrap();
    ends.target
        .sql(&format!(
            "{tables}; {trigger}; create user `{user}`@`%` identified by 'a-password'; grant all on `{}`.* to `{user}`@`%`;
             grant all on awsdms_control.* to `{user}`@`%`",
            ends.target.name()
        ))
        .unwrap();
    let shown = "select trigger_name, definer, created from information_schema.triggers where trigger_schema = database()";
    let before = ends.target.sql(shown).unwrap();
    let whole = ends.target_url.clone();
    let excluded = format!("{}.log", ends.source.name());
    ends.target_url = ends.target.url_as(&user, "a-password");
    let said = ends.run_well(
        "migrate",
        &["--prepare", "truncate", "--exclude", &excluded],
    );
    assert_eq!(ends.target.sql(shown).unwrap(), before, "{said:?}");
    assert!(
        said.err.contains("the user could not make it again"),
        "{said:?}"
    );
    says(
        &said,
        ".t.note at the target: it stayed, and acted on the rows that were written",
    );
    // It acts, as it does where triggers are not looked at.
    assert_eq!((ends.arrived("t"), ends.arrived("log")), (2, 2));
    // One who may make it again has it stand aside.
    ends.target_url = whole;
    ends.target.sql("delete from log").unwrap();
    ends.run_well(
        "migrate",
        &["--prepare", "truncate", "--exclude", &excluded],
    );
    assert_eq!((ends.arrived("t"), ends.arrived("log")), (2, 0));
    ends.target.sql(&format!("drop user `{user}`@`%`")).unwrap();
}

#[test]
fn a_trigger_of_mysql_that_cannot_be_made_again_stays() {
    a_trigger_that_cannot_be_made_again_stays(Engine::Mysql97);
}

#[test]
fn a_trigger_of_mariadb_that_cannot_be_made_again_stays() {
    a_trigger_that_cannot_be_made_again_stays(Engine::Mariadb1011);
}

/// Names go into the queries that look for triggers, and none of them is a place where another goes.
fn a_name_with_signs_of_places_is_a_name(engine: Engine) {
    let ends = Ends::between(engine, engine, "places");
    let tables = "create table log (id int auto_increment primary key, what varchar(99)); create table `v$n` (id int primary key);
        create trigger tr after insert on `v$n` for each row insert into log (what) values (new.id)";
    ends.source.sql(tables).unwrap();
    ends.source
        .sql("insert into `v$n` values (1), (2)")
        .unwrap();
    ends.target.sql(tables).unwrap();
    let said = ends.run_well("migrate", &["--prepare", "truncate"]);
    // One of each is from the source; the trigger of the target has added none.
    assert_eq!((ends.arrived("`v$n`"), ends.arrived("log")), (2, 2));
    assert!(!said.out.contains("not made"), "{}", said.out);
}

#[test]
fn a_name_with_signs_of_places_is_a_name_in_mysql() {
    a_name_with_signs_of_places_is_a_name(Engine::Mysql97);
}

#[test]
fn a_name_with_signs_of_places_is_a_name_in_mariadb() {
    a_name_with_signs_of_places_is_a_name(Engine::Mariadb1011);
}
