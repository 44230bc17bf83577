use std::alloc::System;
use std::cell::OnceCell;
use std::sync::{Mutex, Once, PoisonError};

use anyhow::{Context, Result};
use cap::Cap;
use tokio::runtime::{Builder, Runtime};
use whimbrel_connector::expression::{self, Dialect};
use whimbrel_core::ColumnType;
use whimbrel_core::settings::{SettingsDocument, TaskSettings};

use crate::values;

/// Counts what is allocated. A target that asks for more than it may ends the process.
#[global_allocator]
static MEMORY: Cap<System> = Cap::new(System, usize::MAX);

/// Whoever tells of a panic needs memory for that.
static LIFTS_LIMIT: Once = Once::new();

/// One target at a time, since all memory is counted together.
static ONE: Mutex<()> = Mutex::new(());

const MIB: usize = 1 << 20;
/// What most targets may allocate: inputs have some kilobytes.
const MEMORY_MAX: usize = 64 * MIB;
/// A message names its length of up to 1 GiB before it comes, and room is made for it.
const MESSAGE_MEMORY_MAX: usize = 2100 * MIB;
/// The values of an expression may have 64 MiB.
const EXPRESSION_MEMORY_MAX: usize = 512 * MIB;
/// A compressed event names its size of up to 1 GiB, and may well have it.
const INFLATED_MEMORY_MAX: usize = 1200 * MIB;

/// Something that reads bytes from outside.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// As `cargo x fuzz` takes it, and the name of its folder of inputs.
    pub name: &'static str,
    /// Bytes that it may allocate for one input.
    pub memory_max: usize,
    run: fn(&[u8]),
}

impl Target {
    const fn new(name: &'static str, run: fn(&[u8])) -> Self {
        Self {
            name,
            memory_max: MEMORY_MAX,
            run,
        }
    }

    const fn within(mut self, memory_max: usize) -> Self {
        self.memory_max = memory_max;
        self
    }

    /// The target of this name.
    pub fn named(name: &str) -> Result<&'static Self> {
        TARGETS
            .iter()
            .find(|target| target.name == name)
            .with_context(|| format!("there is no fuzz target `{name}`"))
    }

    /// Gives it an input.
    ///
    /// # Panics
    /// Where the target does. One that allocates too much ends the process.
    pub fn run(&self, input: &[u8]) {
        LIFTS_LIMIT.call_once(|| {
            let tell = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                MEMORY.set_limit(usize::MAX).ok();
                tell(panic);
            }));
        });
        let one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let limit = |bytes| MEMORY.set_limit(bytes).expect("less is allocated");
        limit(MEMORY.allocated().saturating_add(self.memory_max));
        (self.run)(input);
        limit(usize::MAX);
        drop(one);
    }
}

/// All of them.
pub const TARGETS: &[Target] = &[
    Target::new("mappings", |data| {
        let row = values::row();
        whimbrel_engine::fuzz::mappings(&text(data), &values::table(), &row, &mut values::check);
    })
    .within(EXPRESSION_MEMORY_MAX),
    Target::new("expressions", |data| {
        let row = values::row();
        whimbrel_engine::fuzz::expression(&text(data), &values::table(), &row, &mut values::check);
    })
    .within(EXPRESSION_MEMORY_MAX),
    Target::new("settings", settings),
    Target::new("endpoints", |data| {
        let text = text(data);
        whimbrel_server::fuzz::endpoint(&text);
        whimbrel_postgres::fuzz::url(&text);
        whimbrel_mysql::fuzz::url(&text);
    }),
    Target::new("certificates", |data| {
        whimbrel_server::fuzz::certificates(&text(data));
    }),
    Target::new("requests", |data| {
        wait_for(whimbrel_protocol::fuzz::request(data));
    }),
    Target::new("positions", |data| {
        whimbrel_server::fuzz::points(&text(data));
        whimbrel_postgres::fuzz::words(data);
        whimbrel_mysql::fuzz::words(data);
    }),
    Target::new("sql", |data| {
        let text = text(data);
        for dialect in [Dialect::Postgres, Dialect::MySql] {
            let ty = ColumnType::Text { bytes_max: None };
            expression::parse(&text, dialect, &|name| (name.len() > 3).then_some(&ty));
        }
        values::views(&text);
    }),
    Target::new("json", |data| {
        let text = text(data);
        whimbrel_core::json_repeats_names(&text);
        values::documents(&text);
    }),
    Target::new("postgres-exchange", |data| {
        wait_for(whimbrel_postgres::fuzz::exchange(data));
    })
    .within(MESSAGE_MEMORY_MAX),
    Target::new("postgres-rows", |data| {
        whimbrel_postgres::fuzz::copy_rows(data, &mut values::check);
    }),
    Target::new("postgres-log", |data| {
        whimbrel_postgres::fuzz::log_stream(data, &mut values::check);
    }),
    Target::new("postgres-texts", |data| {
        whimbrel_postgres::fuzz::text_cells(data, &mut values::check);
    }),
    Target::new("mysql-exchange", |data| {
        wait_for(whimbrel_mysql::fuzz::exchange(data));
    })
    .within(MESSAGE_MEMORY_MAX),
    Target::new("mysql-rows", |data| {
        whimbrel_mysql::fuzz::rows(data, &mut values::check);
    }),
    Target::new("mysql-log", |data| {
        whimbrel_mysql::fuzz::log_stream(data, &mut values::check);
    })
    .within(INFLATED_MEMORY_MAX),
    Target::new("mysql-cells", whimbrel_mysql::fuzz::log_cells).within(INFLATED_MEMORY_MAX),
];

fn text(data: &[u8]) -> String {
    String::from_utf8_lossy(data).into_owned()
}

/// A document over the defaults, another over that, and what the engine reads of it.
fn settings(data: &[u8]) {
    let text = text(data);
    let (first, second) = text.split_once('\u{1}').unwrap_or((&text, "{}"));
    let Ok(created) = SettingsDocument::for_create(Some(first)) else {
        return;
    };
    let document = created.for_modify(second).unwrap_or(created);
    TaskSettings::of(&document);
    // What is told is what is kept.
    let told = document.to_json();
    let again = SettingsDocument::for_create(Some(&told)).map(|again| again.to_json());
    assert_eq!(again.as_deref().ok(), Some(told.as_str()));
}

/// Runs what waits for nobody but a clock.
fn wait_for(work: impl Future<Output = ()>) {
    thread_local! {
        static RUNTIME: OnceCell<Runtime> = const { OnceCell::new() };
    }
    RUNTIME.with(|runtime| {
        let made = || {
            let mut builder = Builder::new_current_thread();
            builder.enable_time().build().expect("a runtime")
        };
        runtime.get_or_init(made).block_on(work);
    });
}
