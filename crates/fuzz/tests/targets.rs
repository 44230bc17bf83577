//! Every target with the inputs of its corpus, and with some that are made of them.

use std::time::{Duration, Instant};

use whimbrel_fuzz::{Corpus, Mutator, TARGETS, Target};

/// So many that all targets together take some seconds, where nobody asks for more.
const MADE: u64 = 300;
/// One that takes longer goes in circles.
const SECONDS_MAX: u64 = 10;

/// A number that `cargo x fuzz` gives.
fn asked(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// Tells the input of a target that panics.
struct Told<'i>(&'i [u8]);

impl Drop for Told<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the input: b\"{}\"", self.0.escape_ascii());
        }
    }
}

fn try_it(name: &str) {
    let target = Target::named(name).expect("a target of this name");
    let corpus = Corpus::of(name).expect("its inputs");
    assert!(!corpus.inputs().is_empty(), "no inputs to begin with");
    let mut mutator = Mutator::new(asked("WHIMBREL_FUZZ_SEED").unwrap_or(1));
    let begun = Instant::now();
    let goes_on = |made| match asked("WHIMBREL_FUZZ_SECONDS") {
        Some(seconds) => begun.elapsed() < Duration::from_secs(seconds),
        None => made < MADE,
    };
    corpus.inputs().iter().for_each(|input| give(target, input));
    let mut made = 0;
    while goes_on(made) {
        give(target, &mutator.like(corpus.inputs()));
        made += 1;
    }
    eprintln!("{name}: {made} inputs");
}

fn give(target: &Target, input: &[u8]) {
    let _told = Told(input);
    let begun = Instant::now();
    target.run(input);
    assert!(begun.elapsed() < Duration::from_secs(SECONDS_MAX));
}

macro_rules! targets {
    ($($test:ident: $name:literal,)+) => {
        $(
            #[test]
            fn $test() {
                try_it($name);
            }
        )+

        #[test]
        fn none_is_left_out() {
            let named: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
            assert_eq!(named, [$($name),+]);
        }
    };
}

targets! {
    mappings: "mappings",
    expressions: "expressions",
    settings: "settings",
    endpoints: "endpoints",
    certificates: "certificates",
    requests: "requests",
    positions: "positions",
    sql: "sql",
    json: "json",
    postgres_exchange: "postgres-exchange",
    postgres_rows: "postgres-rows",
    postgres_log: "postgres-log",
    postgres_texts: "postgres-texts",
    mysql_exchange: "mysql-exchange",
    mysql_rows: "mysql-rows",
    mysql_log: "mysql-log",
    mysql_cells: "mysql-cells",
}
