//! Every target with the inputs of its corpus, and with some that are made of them.

use whimbrel_fuzz::{Corpus, Mutator, TARGETS, Target};

/// So many that all targets together take a second or two.
const MADE: u64 = 300;

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
    let target = Target::named(name).unwrap();
    let corpus = Corpus::of(name).unwrap();
    assert!(!corpus.inputs().is_empty(), "no inputs to begin with");
    let mut mutator = Mutator::new(1);
    let made = (0..MADE).map(|_| mutator.like(corpus.inputs()));
    for input in corpus.inputs().iter().cloned().chain(made) {
        let _told = Told(&input);
        target.run(&input);
    }
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
