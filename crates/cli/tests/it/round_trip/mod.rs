//! Random values of every built-in type, from every engine to every engine. The servers are the judges: both write each
//! value in one canonical form, and the forms are compared.

mod documents;
mod mysql;
mod postgres;
mod refused;
mod values;

use std::fmt::Write as _;

use whimbrel_testkit::{Engine, TestDatabase};

use crate::ends::Ends;
use crate::random::Random;

const ROWS: usize = 120;

/// A column of the source's table.
struct Column {
    /// Its type, as the source spells it.
    ty: &'static str,
    /// Writes a random value that the target can hold, as an expression of the source's SQL.
    value: fn(&mut Random, Engine) -> String,
    form: Form,
}

/// How the servers of two families write a value alike.
enum Form {
    /// As text, compared by its bytes.
    Text,
    /// As bytes.
    Bytes,
    /// As a number or another text of plain characters that both write the same way.
    Plain,
    /// As a floating-point number, in decimals that read back exactly: how many of them is the server's choice.
    Float,
    /// By an expression of PostgreSQL and one of MySQL, with `$` for the column.
    Of(&'static str, &'static str),
}

impl Form {
    /// The expression for a column between servers of two families.
    fn across(&self, engine: Engine) -> &'static str {
        match (self, engine.is_postgres()) {
            (Self::Text, true) => "encode(convert_to($::text, 'UTF8'), 'hex')",
            (Self::Text, false) => "lower(hex(convert(cast($ as char) using utf8mb4)))",
            (Self::Bytes, true) => "encode($, 'hex')",
            (Self::Bytes, false) => "lower(hex($))",
            (Self::Plain, true) => "$::text",
            (Self::Plain, false) => "cast($ as char)",
            (Self::Float, true) => "$::float8::text",
            (Self::Float, false) => "$ * 1e0",
            (Self::Of(postgres, _), true) => postgres,
            (Self::Of(_, mysql), false) => mysql,
        }
    }

    /// The expression for a column between servers of one family.
    fn within(&self, engine: Engine) -> &'static str {
        if engine.is_postgres() {
            Self::Text.across(engine)
        } else {
            self.across(engine)
        }
    }
}

/// Every row of `t` in canonical form.
fn forms(at: &TestDatabase, columns: &[Column], is_within: bool) -> Vec<Vec<String>> {
    let mut select = if at.engine().is_postgres() {
        "set timezone = 'UTC'; select id".to_owned()
    } else {
        "set time_zone = '+00:00'; select id".to_owned()
    };
    for (index, column) in columns.iter().enumerate() {
        let form = if is_within {
            column.form.within(at.engine())
        } else {
            column.form.across(at.engine())
        };
        write!(select, ", {}", form.replace('$', &format!("c{index}"))).unwrap();
    }
    select.push_str(" from t order by id");
    let lines = at.sql(&select).unwrap();
    let cells = |line: &str| line.split('\t').map(str::to_owned).collect();
    lines.lines().map(cells).collect()
}

fn is_same(form: &Form, source: &str, target: &str) -> bool {
    let bits = |text: &str| text.parse().map(f64::to_bits);
    match form {
        Form::Float if source != target => {
            matches!((bits(source), bits(target)), (Ok(source), Ok(target)) if source == target)
        }
        _ => source == target,
    }
}

fn script(random: &mut Random, columns: &[Column], from: Engine, to: Engine) -> String {
    let (preamble, epilogue) = if from.is_postgres() {
        (postgres::PREAMBLE, "")
    } else {
        (mysql::PREAMBLE, "")
    };
    let mut script = format!("{preamble}\ncreate table t (id int primary key");
    for (index, column) in columns.iter().enumerate() {
        write!(script, ",\n c{index} {}", column.ty).unwrap();
    }
    script.push_str(");\n");
    for row in 0..ROWS {
        write!(script, "insert into t values ({row}").unwrap();
        for column in columns {
            let value = if random.one_in(10) {
                "null".to_owned()
            } else {
                (column.value)(random, to)
            };
            write!(script, ",\n {value}").unwrap();
        }
        script.push_str(");\n");
    }
    script + epilogue
}

fn arrives(from: Engine, to: Engine) {
    let mut random = Random::announced();
    let ends = Ends::between(from, to, "round_trip");
    let columns = if from.is_postgres() {
        postgres::columns()
    } else {
        mysql::columns(from)
    };
    let script = script(&mut random, &columns, from, to);
    ends.source.sql(&script).unwrap();
    ends.run_well("migrate", &["--json"]);
    let is_within = from.is_postgres() == to.is_postgres();
    let sources = forms(&ends.source, &columns, is_within);
    let targets = forms(&ends.target, &columns, is_within);
    assert_eq!((sources.len(), targets.len()), (ROWS, ROWS));
    let mut differences = Vec::new();
    for (source, target) in sources.iter().zip(&targets) {
        assert_eq!(source[0], target[0]);
        for (index, column) in columns.iter().enumerate() {
            let (there, here) = (&source[index + 1], &target[index + 1]);
            if !is_same(&column.form, there, here) {
                let key = &source[0];
                differences.push(format!(
                    "row {key}, c{index} {}: {there} became {here}",
                    column.ty
                ));
            }
        }
    }
    assert!(
        differences.is_empty(),
        "{from} to {to}:\n{}",
        differences.join("\n")
    );
    let said = ends.run_well("validate", &[]);
    assert!(said.out.contains("1 equal"), "{said:?}");
}

/// What `json` of MySQL holds beyond JSON: the server tells it to nobody but as text.
#[test]
fn values_in_documents_of_mysql_keep_what_the_server_writes() {
    let ends = Ends::between(Engine::Mysql97, Engine::Mysql97, "documents");
    ends.source
        .sql(
            "create table t (id int primary key, doc json); insert into t values
             (1, json_object('v', cast(1.10 as decimal(10, 2)))), (2, json_object('v', cast('2015-01-15' as date))),
             (3, json_object('v', cast('23:24:25' as time))), (4, json_object('v', timestamp'2015-01-15 23:24:25.123456')),
             (5, json_object('v', cast('abc' as binary))), (6, json_object('v', cast(0.1 as decimal(30, 30))));
             create table refused (id int primary key, doc json);
             insert into refused values (7, json_array(cast('0.1234567890123456789' as decimal(20, 19))))",
        )
        .unwrap();
    let said = ends.run("migrate", &["--json"]);
    assert_eq!(said.exit_code, Some(1), "{said:?}");
    let start = said.event("start");
    assert!(
        start.to_string().contains("documents travel as text"),
        "{start}"
    );
    let is_refused = |event: &serde_json::Value| {
        event["state"] == "error"
            && event["message"]
                .as_str()
                .unwrap()
                .contains("number that the column would round")
    };
    assert!(said.events().iter().any(is_refused), "{said:?}");
    let read = |at: &TestDatabase, what: &str| {
        at.sql(&format!("select {what} from t order by id"))
            .unwrap()
    };
    let types = "json_type(json_extract(doc, '$.v'))";
    assert_eq!(
        read(&ends.source, types).lines().collect::<Vec<_>>(),
        ["DECIMAL", "DATE", "TIME", "DATETIME", "BLOB", "DECIMAL"]
    );
    assert_eq!(
        read(&ends.target, types).lines().collect::<Vec<_>>(),
        ["DOUBLE", "STRING", "STRING", "STRING", "STRING", "DOUBLE"]
    );
    let texts = "json_unquote(json_extract(doc, '$.v'))";
    let (here, there) = (read(&ends.source, texts), read(&ends.target, texts));
    let pairs = here.lines().zip(there.lines()).enumerate();
    for (index, (here, there)) in pairs {
        match index {
            0 | 5 => assert_eq!(here.parse::<f64>(), there.parse::<f64>()),
            _ => assert_eq!(here, there),
        }
    }
}

macro_rules! pairs {
    ($($name:ident: $from:ident, $to:ident;)*) => {
        $(#[test]
        fn $name() {
            arrives(Engine::$from, Engine::$to);
        })*
    };
}

pairs! {
    values_of_postgres_15_arrive_at_postgres_15: Postgres15, Postgres15;
    values_of_postgres_15_arrive_at_postgres_18: Postgres15, Postgres18;
    values_of_postgres_15_arrive_at_mariadb: Postgres15, Mariadb1011;
    values_of_postgres_15_arrive_at_mysql: Postgres15, Mysql97;
    values_of_postgres_18_arrive_at_postgres_15: Postgres18, Postgres15;
    values_of_postgres_18_arrive_at_postgres_18: Postgres18, Postgres18;
    values_of_postgres_18_arrive_at_mariadb: Postgres18, Mariadb1011;
    values_of_postgres_18_arrive_at_mysql: Postgres18, Mysql97;
    values_of_mariadb_arrive_at_postgres_15: Mariadb1011, Postgres15;
    values_of_mariadb_arrive_at_postgres_18: Mariadb1011, Postgres18;
    values_of_mariadb_arrive_at_mariadb: Mariadb1011, Mariadb1011;
    values_of_mariadb_arrive_at_mysql: Mariadb1011, Mysql97;
    values_of_mysql_arrive_at_postgres_15: Mysql97, Postgres15;
    values_of_mysql_arrive_at_postgres_18: Mysql97, Postgres18;
    values_of_mysql_arrive_at_mariadb: Mysql97, Mariadb1011;
    values_of_mysql_arrive_at_mysql: Mysql97, Mysql97;
    values_of_postgres_17_arrive_at_mariadb_11: Postgres17, Mariadb118;
    values_of_mariadb_11_arrive_at_postgres_17: Mariadb118, Postgres17;
    values_of_postgres_15_arrive_at_postgres_17: Postgres15, Postgres17;
    values_of_postgres_17_arrive_at_postgres_18: Postgres17, Postgres18;
    values_of_postgres_16_arrive_at_mariadb: Postgres16, Mariadb1011;
    values_of_mysql_arrive_at_postgres_16: Mysql97, Postgres16;
    values_of_postgres_16_arrive_at_postgres_18: Postgres16, Postgres18;
    values_of_postgres_15_arrive_at_postgres_16: Postgres15, Postgres16;
    values_of_postgres_17_arrive_at_mysql: Postgres17, Mysql97;
    values_of_mysql_arrive_at_postgres_17: Mysql97, Postgres17;
    values_of_mariadb_arrive_at_mariadb_11: Mariadb1011, Mariadb118;
    values_of_mariadb_11_arrive_at_mariadb: Mariadb118, Mariadb1011;
    values_of_mariadb_11_arrive_at_mysql: Mariadb118, Mysql97;
    values_of_mysql_arrive_at_mariadb_11: Mysql97, Mariadb118;
}
