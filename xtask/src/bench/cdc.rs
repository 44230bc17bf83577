//! `cargo x bench cdc`: how fast a task catches up with a source that went on without it.
//!
//! In each round the same number of row changes is made at the source while nobody follows it. Then the floor reads the log to
//! nothing, and Whimbrel reads and applies it, in turns on the same servers and the same log.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use whimbrel_testkit::{Engine, Server};

use super::contenders::build;
use super::machine;
use super::measure::{Measured, Usage};
use super::report;
use super::servers::{DATABASE, numbers, shell_client, sql, start, url};
use crate::run::tree;

const PATIENCE: Duration = Duration::from_mins(20);
const ROWS: u64 = 200_000;

/// What to measure and how often.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Row changes in each round
    #[arg(long, default_value_t = 1_000_000)]
    changes: u64,
    /// Rounds of each case; the medians count
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Only these cases: a part of their names, such as `mariadb-` or `-of-4`
    #[arg(long = "case", value_name = "PART")]
    cases: Vec<String>,
    /// Where to write the results; bench/RESULTS-CDC.md if not given
    #[arg(long)]
    output: Option<PathBuf>,
}

/// One thing to do.
struct Case {
    name: &'static str,
    source: Engine,
    target: Engine,
    /// Changes in one transaction.
    transaction: u64,
}

/// What a case showed, one number for each round.
struct Outcome {
    case: Case,
    floor: Vec<Usage>,
    whimbrel: Vec<Usage>,
}

fn cases(parts: &[String]) -> Vec<Case> {
    use Engine::{Mariadb1011 as Mariadb, Mysql97 as Mysql, Postgres15 as Postgres};
    let case = |name, source, transaction| Case {
        name,
        source,
        target: Postgres,
        transaction,
    };
    let mut cases = vec![
        case("postgres-to-postgres-of-4", Postgres, 4),
        case("postgres-to-postgres-of-1000", Postgres, 1000),
        case("mariadb-to-postgres-of-4", Mariadb, 4),
        case("mariadb-to-postgres-of-1000", Mariadb, 1000),
        case("mysql-to-postgres-of-4", Mysql, 4),
        case("mysql-to-postgres-of-1000", Mysql, 1000),
    ];
    cases.retain(|case| parts.is_empty() || parts.iter().any(|part| case.name.contains(part)));
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
    let mut text = head(args);
    for case in cases {
        let outcome = measure(case, args, &whimbrel)?;
        let section = section(&outcome, args.changes);
        println!("{section}");
        text.push_str(&section);
    }
    let default = tree().join("bench/RESULTS-CDC.md");
    let output = args.output.clone().unwrap_or(default);
    report::write(&output, &text)?;
    println!("written to {}", output.display());
    Ok(())
}

fn measure(case: Case, args: &Args, whimbrel: &Path) -> Result<Outcome> {
    let (source, target) = (start(case.source)?, start(case.target)?);
    sql(&source, &setup(case.source))?;
    let folder = tempfile::tempdir()?;
    let (source_scheme, target_scheme) = (case.source.scheme(), case.target.scheme());
    let follow = |resume: bool| {
        let program = whimbrel.display().to_string();
        let from = url(&source, source_scheme, "");
        let to = url(&target, target_scheme, "");
        let mut words = vec![program.as_str(), "migrate", &from, &to];
        words.extend(["--until-caught-up", "--progress", "off"]);
        words.extend(resume.then_some("--resume"));
        Measured::program(&words).run(folder.path(), PATIENCE)
    };
    follow(false).context("load the tables")?;
    let mut outcome = Outcome {
        case,
        floor: Vec::new(),
        whimbrel: Vec::new(),
    };
    for round in 1..=args.rounds {
        let floor = Floor::prepare(&source)?;
        eprintln!("{} round {round}: making changes", outcome.case.name);
        make_changes(&source, args.changes, outcome.case.transaction)?;
        if let Some(usage) = floor.run(&source, folder.path())? {
            eprintln!("floor {:.2} s", usage.wall_s);
            outcome.floor.push(usage);
        }
        let usage = follow(true).context("catch up")?;
        eprintln!("whimbrel {:.2} s", usage.wall_s);
        outcome.whimbrel.push(usage);
        check_equal(&source, &target)?;
    }
    Ok(outcome)
}

/// The table whose rows change.
fn setup(engine: Engine) -> String {
    let table = "create table t (id bigint primary key, a int not null, b numeric(12, 2), c timestamp(6) null, note varchar(100));";
    let (depth, numbers) = numbers(engine, ROWS);
    format!(
        "{table} {depth} insert into t select i, i, i / 7, '2026-01-01 00:00:00', concat('a note of row ', i) from {numbers};"
    )
}

/// Eight updates, one insert and one delete in ten.
fn make_changes(source: &Server, changes: u64, transaction: u64) -> Result<()> {
    let next: u64 = sql(source, "select max(id) from t")?
        .trim()
        .parse()
        .context("read the highest key")?;
    if source.engine.is_postgres() {
        let body = format!(
            "do $$ declare k bigint := {next}; begin for i in 1..{changes} loop \
               if i % 10 = 0 then k := k + 1; insert into t values (k, i, i, now(), 'new'); \
               elsif i % 10 = 5 then delete from t where id = k - {ROWS} + 1; \
               else update t set a = a + 1, b = i, note = 'changed ' || i where id = k - (i::bigint * 7919) % 150000; end if; \
               if i % {transaction} = 0 then commit; end if; end loop; end $$"
        );
        // A block that commits must be a statement of its own.
        let relaxed = format!("alter database {DATABASE} set synchronous_commit = off");
        sql(source, &relaxed)?;
        sql(source, &body)?;
        sql(
            source,
            &format!("alter database {DATABASE} reset synchronous_commit"),
        )?;
        return Ok(());
    }
    let relaxed = "set global innodb_flush_log_at_trx_commit = 0; set global sync_binlog = 0;";
    let strict = "set global innodb_flush_log_at_trx_commit = 1; set global sync_binlog = 1;";
    let body = format!(
        "drop procedure if exists make_changes; \
         create procedure make_changes() begin declare k bigint default {next}; declare i bigint default 1; set autocommit = 0; \
           while i <= {changes} do \
             if i % 10 = 0 then set k = k + 1; insert into t values (k, i, i, now(6), 'new'); \
             elseif i % 10 = 5 then delete from t where id = k - {ROWS} + 1; \
             else update t set a = a + 1, b = i, note = concat('changed ', i) where id = k - (i * 7919) % 150000; end if; \
             if i % {transaction} = 0 then commit; end if; set i = i + 1; end while; commit; end"
    );
    let script =
        format!("{relaxed}\ndelimiter //\n{body}//\ndelimiter ;\ncall make_changes();\n{strict}\n");
    let command = format!("{} <<'SQL'\n{script}\nSQL", shell_client(source));
    let folder = tempfile::tempdir()?;
    Measured::script(&command).run(folder.path(), PATIENCE)?;
    Ok(())
}

fn check_equal(source: &Server, target: &Server) -> Result<()> {
    let schema = if source.engine.is_postgres() {
        "public"
    } else {
        DATABASE
    };
    let figures = |server: &Server, table: &str| {
        let query = format!("select count(*), sum(id), sum(a), sum(b) from {table}");
        Ok::<String, anyhow::Error>(sql(server, &query)?.replace('\t', "|").replace(".00", ""))
    };
    let (here, there) = (
        figures(source, "t")?,
        figures(target, &format!("{schema}.t"))?,
    );
    ensure!(
        here == there,
        "source and target differ: {here} and {there}"
    );
    Ok(())
}

/// What reads the log to nothing.
enum Floor {
    /// A slot of its own, made before the changes.
    Slot,
    /// The log's file and offset before the changes.
    Binlog {
        file: String,
        offset: String,
    },
    /// The log's file that begins with the changes.
    BinlogFile(String),
    None,
}

impl Floor {
    fn prepare(source: &Server) -> Result<Self> {
        match source.engine {
            Engine::Postgres15 | Engine::Postgres16 | Engine::Postgres17 | Engine::Postgres18 => {
                // One by one: a slot is not made in a transaction that has written.
                for statement in [
                    "drop publication if exists floor",
                    "create publication floor for table t",
                    "select pg_create_logical_replication_slot('floor', 'pgoutput')",
                ] {
                    sql(source, statement)?;
                }
                Ok(Self::Slot)
            }
            Engine::Mariadb1011 | Engine::Mariadb118 => {
                let status = sql(source, "show master status")?;
                let mut words = status.split_whitespace();
                let (Some(file), Some(offset)) = (words.next(), words.next()) else {
                    return Ok(Self::None);
                };
                Ok(Self::Binlog {
                    file: file.to_owned(),
                    offset: offset.to_owned(),
                })
            }
            Engine::Mysql97 => {
                sql(source, "flush binary logs")?;
                let status = sql(source, "show binary log status")?;
                let file = status.split_whitespace().next();
                Ok(file.map_or(Self::None, |file| Self::BinlogFile(file.to_owned())))
            }
        }
    }

    fn run(&self, source: &Server, folder: &Path) -> Result<Option<Usage>> {
        let command = match self {
            Self::None => return Ok(None),
            Self::Slot => {
                let end = sql(source, "select pg_current_wal_lsn()")?;
                let url = url(source, "postgres", "?sslmode=disable");
                Measured::script(&format!(
                    "pg_recvlogical -d '{url}' --slot floor --start --no-loop -o proto_version=1 -o publication_names=floor \
                     --endpos {} -f /dev/null",
                    end.trim()
                ))
            }
            Self::Binlog { file, offset } => {
                let into = folder.join("log-");
                Measured::script(&format!(
                    "mariadb-binlog {} --skip-ssl --start-position={offset} --result-file={} {file}; rm -f {}*",
                    raw_reader(source),
                    into.display(),
                    into.display()
                ))
            }
            // MariaDB's program does not sign in to this server; its own is where the server is.
            Self::BinlogFile(file) => {
                let script = format!(
                    "into=$(mktemp -d); trap 'rm -r $into' EXIT; \
                     mysqlbinlog {} --ssl-mode=DISABLED --get-server-public-key --result-file=$into/ {file}",
                    raw_reader(source)
                );
                let words = source.shell(&script)?;
                let words: Vec<&str> = words.iter().map(String::as_str).collect();
                Measured::program(&words)
            }
        };
        let usage = command.run(folder, PATIENCE)?;
        if matches!(self, Self::Slot) {
            sql(source, "select pg_drop_replication_slot('floor')")?;
        }
        Ok(Some(usage))
    }
}

/// The words, the same for both programs, that copy the log as it is up to its end.
fn raw_reader(source: &Server) -> String {
    let Server {
        host,
        port,
        user,
        password,
        ..
    } = source;
    format!(
        "--no-defaults --read-from-remote-server --raw --to-last-log -h {host} -P {port} -u {user} -p{password}"
    )
}

fn head(args: &Args) -> String {
    format!(
        "# Catching up, measured\n\n\
         Written by `cargo x bench cdc`; run it to get the numbers of your machine.\n\n\
         - Machine: {}.\n\
         - A table of {ROWS} rows is loaded; then, while nobody follows, {} changes are made: eight updates, one insert and one delete in \
           ten. Then the log is read: by the floor to nothing, by Whimbrel into the target, from its start to its end.\n\
         - Medians of {} rounds; servers on the same machine, with `fsync` and its like on. The floor of PostgreSQL is `pg_recvlogical` to \
           nothing, those of MariaDB and MySQL are their `mysqlbinlog --raw` into files that are thrown away. The last check of every round compares both ends.\n",
        machine::description(),
        args.changes,
        args.rounds
    )
}

fn section(outcome: &Outcome, changes: u64) -> String {
    let mut text = format!(
        "\n## {}\n\n| tool | wall, s | changes/s | of the floor | processor, s | peak, MB | rounds, s |\n|---|---:|---:|---:|---:|---:|---|\n",
        outcome.case.name
    );
    let floor_s = median(&outcome.floor, |usage| usage.wall_s);
    for (name, usages) in [("floor", &outcome.floor), ("whimbrel", &outcome.whimbrel)] {
        if usages.is_empty() {
            continue;
        }
        let wall_s = median(usages, |usage| usage.wall_s);
        let rounds: Vec<String> = usages
            .iter()
            .map(|usage| format!("{:.1}", usage.wall_s))
            .collect();
        let of_floor = if floor_s > 0.0 {
            // Speeds: the floor's time over ours.
            format!("{:.2}", floor_s / wall_s)
        } else {
            String::new()
        };
        let line = format!(
            "| {name} | {wall_s:.1} | {:.0} | {of_floor} | {:.1} | {:.0} | {} |\n",
            report::as_f64(changes) / wall_s,
            median(usages, |usage| usage.cpu_s),
            median(usages, |usage| usage.peak_mb),
            rounds.join(" "),
        );
        text.push_str(&line);
    }
    text
}

fn median(usages: &[Usage], of: fn(&Usage) -> f64) -> f64 {
    report::median(usages.iter().map(of).collect())
}
