//! Who takes part, and the command each one runs for a case.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::ValueEnum;
use whimbrel_testkit::{Engine, Server, packages};

use super::floors;
use super::full_load::Case;
use super::measure::Measured;
use super::servers::{DATABASE, url};
use crate::python;
use crate::run::{cargo, step, tree};

/// Later releases of these two packages hold no program, they download one when they first run.
const INGESTR: &str = "ingestr==0.14.106\n";
const SLING: &str = "sling-linux-amd64==1.4.11\n";
const APITAP: &str = "apitap==0.63.0\n";

/// A way to copy tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Contender {
    /// The engines' own clients in a pipe, against which all others are measured.
    Floor,
    /// This tree, built with optimisation.
    Whimbrel,
    Pgcopydb,
    Pgloader,
    Apitap,
    Ingestr,
    Sling,
}

/// The programs found on this machine.
#[derive(Debug, Default)]
pub(crate) struct Programs {
    whimbrel: Option<PathBuf>,
    pgcopydb: bool,
    pgloader: bool,
    apitap: Option<PathBuf>,
    ingestr: Option<PathBuf>,
    sling: Option<PathBuf>,
}

impl Programs {
    /// Builds our own program, and looks for the others, installing them first if asked to.
    pub(crate) fn find(contenders: &[Contender], install: bool) -> Result<Self> {
        let wanted = |contender| contenders.contains(&contender);
        if install {
            for (contender, name) in [
                (Contender::Pgcopydb, "pgcopydb"),
                (Contender::Pgloader, "pgloader"),
            ] {
                if wanted(contender) && !packages::has_program(name) {
                    packages::install(&[name])?;
                }
            }
        }
        let environment = |contender, name, requirements| {
            if !wanted(contender) {
                Ok(None)
            } else if install {
                python::environment(name, requirements).map(Some)
            } else {
                python::existing(name, requirements)
            }
        };
        let sling = environment(Contender::Sling, "sling", SLING)?;
        Ok(Self {
            whimbrel: if wanted(Contender::Whimbrel) {
                Some(build()?)
            } else {
                None
            },
            pgcopydb: wanted(Contender::Pgcopydb) && packages::has_program("pgcopydb"),
            pgloader: wanted(Contender::Pgloader) && packages::has_program("pgloader"),
            apitap: environment(Contender::Apitap, "apitap", APITAP)?,
            ingestr: environment(Contender::Ingestr, "ingestr", INGESTR)?,
            sling: sling.map(|bin| sling_program(&bin)).transpose()?,
        })
    }

    /// The command for a case, or none if the tool is not there or does not do such a case. `folder` is
    /// empty and the command's own.
    pub(crate) fn command(
        &self,
        contender: Contender,
        case: &Case,
        source: &Server,
        target: &Server,
        folder: &Path,
    ) -> Result<Option<Measured>> {
        let ends = Ends {
            case,
            source,
            target,
            folder,
        };
        Ok(match contender {
            Contender::Floor => Some(ends.floor()),
            Contender::Whimbrel => self
                .whimbrel
                .as_deref()
                .map(|program| ends.whimbrel(program)),
            Contender::Pgcopydb => self.pgcopydb.then(|| ends.pgcopydb()).flatten(),
            Contender::Pgloader if self.pgloader => ends.pgloader()?,
            Contender::Pgloader => None,
            Contender::Apitap => self.apitap.as_deref().and_then(|bin| ends.apitap(bin)),
            Contender::Ingestr => self.ingestr.as_deref().and_then(|bin| ends.ingestr(bin)),
            Contender::Sling => self
                .sling
                .as_deref()
                .and_then(|program| ends.sling(program)),
        })
    }
}

/// What a command is made for.
struct Ends<'a> {
    case: &'a Case,
    source: &'a Server,
    target: &'a Server,
    folder: &'a Path,
}

impl Ends<'_> {
    fn floor(&self) -> Measured {
        let Case { tables, keys, .. } = self.case;
        match (self.source_is_postgres(), self.target_is_postgres()) {
            (true, true) => floors::postgres_to_postgres(self.source, self.target, tables, *keys),
            (false, _) => floors::mysql_to_postgres(self.source, self.target, tables[0]),
            (true, false) => floors::postgres_to_mysql(self.source, self.target, tables[0]),
        }
    }

    fn whimbrel(&self, program: &Path) -> Measured {
        let program = program.display().to_string();
        let from = url(self.source, self.case.source.scheme(), "");
        let to = url(self.target, self.case.target.scheme(), "");
        let table = self.only_table().unwrap_or("%");
        let tables = format!("{}.{table}", self.source_schema());
        let mut words = vec![program.as_str(), "migrate", &from, &to, "--tables", &tables];
        // As much as the floor does: rows and primary keys.
        words.extend(["--objects", "none"]);
        if !self.case.keys {
            words.push("--no-keys");
        }
        Measured::program(&words)
    }

    /// Copies whole databases of PostgreSQL, and always with their keys.
    fn pgcopydb(&self) -> Option<Measured> {
        if !self.within_postgres() || self.only_table().is_some() || !self.case.keys {
            return None;
        }
        let words = [
            "pgcopydb",
            "clone",
            "--table-jobs",
            "2",
            "--index-jobs",
            "2",
        ];
        let dir = self.folder.join("pgcopydb").display().to_string();
        let (from, to) = (
            url(self.source, "postgres", "?sslmode=disable"),
            url(self.target, "postgres", "?sslmode=disable"),
        );
        let split = [
            "--split-tables-larger-than",
            "200MB",
            "--no-owner",
            "--no-acl",
        ];
        let rest = ["--dir", &dir, "--source", &from, "--target", &to];
        Some(Measured::program(&[&words[..], &split, &rest].concat()))
    }

    fn pgloader(&self) -> Result<Option<Measured>> {
        let (true, Some(table)) = (self.target_is_postgres(), self.only_table()) else {
            return Ok(None);
        };
        let (scheme, place) = if self.source_is_postgres() {
            ("pgsql", " in schema 'public'")
        } else {
            ("mysql", "")
        };
        let from = url(self.source, scheme, "");
        let to = url(self.target, "pgsql", "?sslmode=disable");
        let commands = format!(
            "load database from {from} into {to}\n\
             with create tables, create no indexes, no foreign keys, reset no sequences\n\
             including only table names matching '{table}'{place};\n"
        );
        let file = self.folder.join("commands.load");
        fs::write(&file, commands).context("write pgloader's commands")?;
        let root = self.folder.join("pgloader").display().to_string();
        let file = file.display().to_string();
        Ok(Some(Measured::program(&[
            "pgloader",
            "--root-dir",
            &root,
            &file,
        ])))
    }

    /// Copies no keys.
    fn apitap(&self, bin: &Path) -> Option<Measured> {
        if self.case.keys {
            return None;
        }
        let scheme = |server: &Server| {
            if server.engine.is_postgres() {
                "postgres"
            } else {
                "mysql"
            }
        };
        let query = |server: &Server| {
            if server.engine.is_postgres() {
                "?sslmode=disable"
            } else {
                ""
            }
        };
        let address = |server| url(server, scheme(server), query(server));
        let (from, to) = (address(self.source), address(self.target));
        let what = match self.only_table() {
            None => "schema='public'".to_owned(),
            Some(table) => {
                let (from, to) = (self.source_schema(), self.target_schema());
                format!("table='{from}.{table}', dest_table='{to}.{table}'")
            }
        };
        let script = format!("import apitap; print(apitap.transfer('{from}', '{to}', {what}))");
        let python = bin.join("python").display().to_string();
        Some(Measured::program(&[&python, "-c", &script]))
    }

    /// Copies one table, into PostgreSQL among the targets here.
    fn ingestr(&self, bin: &Path) -> Option<Measured> {
        let (true, Some(table)) = (self.target_is_postgres(), self.only_table()) else {
            return None;
        };
        let from = if self.source_is_postgres() {
            url(self.source, "postgresql", "?sslmode=disable")
        } else {
            url(self.source, "mysql+pymysql", "")
        };
        let to = url(self.target, "postgresql", "?sslmode=disable");
        let program = bin.join("ingestr").display().to_string();
        let source_table = format!("{}.{table}", self.source_schema());
        let target_table = format!("public.{table}");
        let words = [
            &program,
            "ingest",
            "--yes",
            "--source-uri",
            &from,
            "--dest-uri",
            &to,
        ];
        let tables = [
            "--source-table",
            &source_table,
            "--dest-table",
            &target_table,
        ];
        let measured = Measured::program(&[&words[..], &tables].concat());
        let home = self.folder.display().to_string();
        Some(
            measured
                .with("HOME", &home)
                .with("INGESTR_DISABLE_TELEMETRY", "true")
                // The library below it reports home too, and waits a minute for an answer.
                .with("RUNTIME__DLTHUB_TELEMETRY", "false"),
        )
    }

    fn sling(&self, program: &Path) -> Option<Measured> {
        let table = self.only_table()?;
        let address = |server: &Server| {
            let query = if server.engine.is_postgres() {
                "?sslmode=disable"
            } else {
                ""
            };
            url(server, server.engine.scheme(), query)
        };
        let (from, to) = (address(self.source), address(self.target));
        let program = program.display().to_string();
        let stream = format!("{}.{table}", self.source_schema());
        let object = format!("{}.{table}", self.target_schema());
        let ends = [&program, "run", "--src-conn", &from, "--tgt-conn", &to];
        let tables = [
            "--src-stream",
            &stream,
            "--tgt-object",
            &object,
            "--mode",
            "full-refresh",
        ];
        let measured = Measured::program(&[&ends[..], &tables].concat());
        let home = self.folder.display().to_string();
        Some(
            measured
                .with("HOME", &home)
                .with("SLING_DISABLE_TELEMETRY", "TRUE"),
        )
    }

    /// The table of a case that has one only.
    fn only_table(&self) -> Option<&'static str> {
        match self.case.tables.as_slice() {
            [table] => Some(table.name),
            _ => None,
        }
    }

    fn source_schema(&self) -> &'static str {
        if self.source_is_postgres() {
            "public"
        } else {
            DATABASE
        }
    }

    fn target_schema(&self) -> &'static str {
        if self.target_is_postgres() {
            "public"
        } else {
            DATABASE
        }
    }

    fn within_postgres(&self) -> bool {
        self.source_is_postgres() && self.target_is_postgres()
    }

    fn source_is_postgres(&self) -> bool {
        Engine::is_postgres(self.case.source)
    }

    fn target_is_postgres(&self) -> bool {
        Engine::is_postgres(self.case.target)
    }
}

pub(crate) fn build() -> Result<PathBuf> {
    step(&mut cargo(&[
        "build",
        "--release",
        "--locked",
        "--package",
        "whimbrel-cli",
    ]))?;
    let target = std::env::var_os("CARGO_TARGET_DIR");
    let target = target.map_or_else(|| tree().join("target"), PathBuf::from);
    Ok(target.join("release/whimbrel"))
}

/// The package holds the program beside its Python module.
fn sling_program(bin: &Path) -> Result<PathBuf> {
    let library = bin.with_file_name("lib");
    let versions = fs::read_dir(&library).context("look into the Python environment of sling")?;
    let program = "site-packages/sling_linux_amd64/bin/sling-linux-amd64";
    let program = versions
        .flatten()
        .map(|version| version.path().join(program))
        .find(|p| p.exists());
    let program = program.context("sling's package holds no program")?;
    python::make_executable(&program)?;
    Ok(program)
}
