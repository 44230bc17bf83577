//! `cargo x bench large`: the memory of a transaction and of values that are larger than memory should be.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use whimbrel_testkit::{Engine, Server, ServerOptions};

use super::contenders::build;
use super::machine;
use super::measure::{Measured, Usage};
use super::report;
use super::servers::{DATABASE, numbers, options, sql, url};
use crate::run::tree;

const PATIENCE: Duration = Duration::from_hours(1);
const GIB: u64 = 1 << 30;
/// Rows that one statement of the source numbers.
const MILLION: u64 = 1_000_000;
/// Bytes of a row of the large transaction, about.
const ROW_BYTES: u64 = 1000;

/// What to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Gigabytes of rows in the large transaction
    #[arg(long, default_value_t = 5)]
    transaction_gb: u64,
    /// Megabytes of the large value
    #[arg(long, default_value_t = 1000)]
    value_mb: u64,
    /// Only these cases: a part of their names, such as `value-` or `mysql-to-`
    #[arg(long = "case", value_name = "PART")]
    cases: Vec<String>,
    /// Where to write the results; bench/RESULTS-LARGE.md if not given
    #[arg(long)]
    output: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Transaction,
    Bytes,
    Text,
}

struct Case {
    what: What,
    source: Engine,
    target: Engine,
}

impl Case {
    fn name(&self) -> String {
        let what = match self.what {
            What::Transaction => "transaction",
            What::Bytes => "bytes",
            What::Text => "text",
        };
        format!("{what}-{:?}-to-{:?}", self.source, self.target).to_lowercase()
    }
}

/// What was done, and what it used.
struct Line {
    case: String,
    doing: &'static str,
    usage: Usage,
}

fn cases(parts: &[String]) -> Vec<Case> {
    use Engine::{Mariadb1011 as Mariadb, Mysql97 as Mysql, Postgres15, Postgres18};
    let case = |what, source, target| Case {
        what,
        source,
        target,
    };
    let mut cases = vec![
        case(What::Transaction, Postgres15, Postgres18),
        case(What::Transaction, Mariadb, Postgres18),
        case(What::Transaction, Mysql, Postgres18),
        case(What::Transaction, Postgres18, Mariadb),
    ];
    for what in [What::Bytes, What::Text] {
        for (source, target) in [
            (Postgres15, Postgres18),
            (Mysql, Postgres18),
            (Mariadb, Postgres15),
            (Postgres18, Mysql),
            (Postgres15, Mariadb),
            (Mariadb, Mysql),
        ] {
            cases.push(case(what, source, target));
        }
    }
    cases.retain(|case| parts.is_empty() || parts.iter().any(|part| case.name().contains(part)));
    cases
}

/// Measures, prints, and writes the results.
pub(crate) fn run(args: &Args) -> Result<()> {
    let cases = cases(&args.cases);
    ensure!(
        !cases.is_empty(),
        "no case has any of {:?} in its name",
        args.cases
    );
    let whimbrel = build()?;
    let default = tree().join("bench/RESULTS-LARGE.md");
    let output = args.output.clone().unwrap_or(default);
    let mut text = head(args);
    let mut failed = Vec::new();
    for case in cases {
        let name = case.name();
        eprintln!("{name}");
        let lines = match case.what {
            What::Transaction => transaction(&case, args, &whimbrel),
            What::Bytes | What::Text => value(&case, args, &whimbrel),
        };
        match lines {
            Ok(lines) => {
                for line in lines {
                    let line = line.text();
                    print!("{line}");
                    text.push_str(&line);
                }
            }
            Err(error) => {
                eprintln!("{name}: {error:#}");
                let line = format!("| {name} | failed: {error} | | | |\n");
                text.push_str(&line);
                failed.push(name);
            }
        }
        report::write(&output, &text)?;
    }
    println!("written to {}", output.display());
    ensure!(failed.is_empty(), "failed: {}", failed.join(", "));
    Ok(())
}

impl Line {
    fn text(&self) -> String {
        let Self { case, doing, usage } = self;
        format!(
            "| {case} | {doing} | {:.0} | {:.1} | {:.0} |\n",
            usage.peak_mb, usage.cpu_s, usage.wall_s
        )
    }
}

fn transaction(case: &Case, args: &Args, whimbrel: &Path) -> Result<Vec<Line>> {
    let ends = Ends::start(case)?;
    let source = &ends.source;
    sql(
        source,
        "create table t (id bigint primary key, note varchar(2000)); insert into t values (0, 'before');",
    )?;
    ends.follow(whimbrel, false).context("load the table")?;
    let statements = (args.transaction_gb * GIB / ROW_BYTES).div_ceil(MILLION);
    let (depth, numbers) = numbers(source.engine, MILLION);
    let note = if source.engine.is_postgres() {
        "repeat(md5(i::text), 31)"
    } else {
        "repeat(sha2(i, 256), 15)"
    };
    let inserts: Vec<String> = (0..statements)
        .map(|part| {
            format!(
                "insert into t select i + {}, {note} from {numbers};",
                part * MILLION
            )
        })
        .collect();
    sql(
        source,
        &format!("{depth} begin; {} commit;", inserts.concat()),
    )
    .context("make the transaction")?;
    let usage = ends.follow(whimbrel, true).context("catch up")?;
    ends.check_rows()?;
    Ok(vec![Line {
        case: case.name(),
        doing: "changes",
        usage,
    }])
}

fn value(case: &Case, args: &Args, whimbrel: &Path) -> Result<Vec<Line>> {
    let ends = Ends::start(case)?;
    let source = &ends.source;
    let is_text = case.what == What::Text;
    let is_postgres = source.engine.is_postgres();
    let ty = match (is_text, is_postgres) {
        (true, true) => "text",
        (true, false) => "longtext",
        (false, true) => "bytea",
        (false, false) => "longblob",
    };
    // Twenty bytes, with what both ends write in another way.
    let twenty = match (is_text, is_postgres) {
        (true, true) => r"E'a line of 20 bytes\n'",
        (true, false) => r"'a line of 20 bytes\n'",
        (false, true) => "decode('00010a5c27220d09ff80c3bce282acf09f988061', 'hex')",
        (false, false) => "x'00010a5c27220d09ff80c3bce282acf09f988061'",
    };
    let count = args.value_mb * MILLION / 20;
    let made = match (is_text, is_postgres) {
        (false, true) => format!("decode(repeat(encode({twenty}, 'hex'), {count}), 'hex')"),
        _ => format!("repeat({twenty}, {count})"),
    };
    sql(
        source,
        &format!(
            "create table t (id int primary key, b {ty}, e int); insert into t values (1, 'small', 1);"
        ),
    )?;
    let insert = |id: u32| {
        sql(
            source,
            &format!("insert into t values ({id}, {made}, {id});"),
        )
        .context("make the value")
    };
    insert(2)?;
    let loaded = ends.follow(whimbrel, false).context("load the table")?;
    ends.check_values()?;
    insert(3)?;
    let followed = ends.follow(whimbrel, true).context("catch up")?;
    ends.check_values()?;
    let line = |doing, usage| Line {
        case: case.name(),
        doing,
        usage,
    };
    Ok(vec![line("full load", loaded), line("changes", followed)])
}

struct Ends {
    source: Server,
    target: Server,
}

impl Ends {
    fn start(case: &Case) -> Result<Self> {
        Ok(Self {
            source: start(case.source)?,
            target: start(case.target)?,
        })
    }

    /// Follows until everything is applied that was committed before.
    fn follow(&self, whimbrel: &Path, resume: bool) -> Result<Usage> {
        let folder = tempfile::tempdir()?;
        let program = whimbrel.display().to_string();
        let from = url(&self.source, self.source.engine.scheme(), "");
        let to = url(&self.target, self.target.engine.scheme(), "");
        let mut words = vec![program.as_str(), "migrate", &from, &to];
        words.extend(["--until-caught-up", "--progress", "off"]);
        words.extend(resume.then_some("--resume"));
        Measured::program(&words).run(folder.path(), PATIENCE)
    }

    fn check_values(&self) -> Result<()> {
        let hash = |server: &Server| {
            let ty = "select data_type from information_schema.columns where table_name = 't' and column_name = 'b'";
            Ok::<&str, anyhow::Error>(match sql(server, ty)?.trim() {
                "bytea" => "id, e, encode(sha256(b), 'hex')",
                // A cast to bytea would read escapes, and a conversion keeps both in memory.
                "text" => "id, e, encode(sha256(convert_to(b, 'UTF8')), 'hex')",
                _ => "id, e, sha2(b, 256)",
            })
        };
        let here = figures(&self.source, hash(&self.source)?)?;
        let there = figures(&self.target, hash(&self.target)?)?;
        ensure!(here == there, "the ends differ: {here} and {there}");
        Ok(())
    }

    fn check_rows(&self) -> Result<()> {
        let of_all = "count(*), sum(id), sum(length(note)), max(note)";
        let here = figures(&self.source, of_all)?;
        let there = figures(&self.target, of_all)?;
        ensure!(here == there, "the ends differ: {here} and {there}");
        Ok(())
    }
}

fn figures(server: &Server, figures: &str) -> Result<String> {
    let find = format!(
        "select table_schema from information_schema.tables where table_name = 't' and table_schema in ('public', '{DATABASE}')"
    );
    let schema = sql(server, &find)?;
    let query = format!("select {figures} from {}.t order by 1", schema.trim());
    Ok(sql(server, &query)?.replace('\t', "|"))
}

/// A server that takes values of a gigabyte.
fn start(engine: Engine) -> Result<Server> {
    let mut settings = options(engine);
    let further: &[(&str, &str)] = match engine {
        Engine::Mysql97 => &[
            ("max-allowed-packet", "1G"),
            ("innodb-redo-log-capacity", "12G"),
        ],
        Engine::Mariadb1011 | Engine::Mariadb118 => &[
            ("max-allowed-packet", "1G"),
            ("innodb-log-file-size", "12G"),
        ],
        Engine::Postgres15 | Engine::Postgres16 | Engine::Postgres17 | Engine::Postgres18 => &[],
    };
    settings.retain(|(name, _)| !further.iter().any(|(other, _)| other == name));
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    settings.extend(further.iter().map(owned));
    eprintln!("starting {engine}");
    let options = ServerOptions {
        durable: true,
        settings,
        ..Default::default()
    };
    let server = Server::private_with(engine, options)?;
    server.sql(&format!("create database {DATABASE};"))?;
    Ok(server)
}

fn head(args: &Args) -> String {
    format!(
        "# Large transactions and large values, measured\n\n\
         Written by `cargo x bench large`; run it to get the numbers of your machine.\n\n\
         - Machine: {}.\n\
         - A transaction of {} GB in rows of about {ROW_BYTES} bytes is committed while nobody follows; then the log is read and applied to its end.\n\
         - A value of {} MB is loaded with its table; another is written while nobody follows, and then the log is read and applied.\n\
         - Peak is the most memory that Whimbrel's process had. The ends are compared: figures over all rows of the transaction, a hash of each value.\n\n\
         | case | what | peak, MB | processor, s | wall, s |\n|---|---|---:|---:|---:|\n",
        machine::description(),
        args.transaction_gb,
        args.value_mb
    )
}
