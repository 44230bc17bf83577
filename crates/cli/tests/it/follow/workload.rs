//! A random workload for a source of any engine: the same choices make the same statements.
//!
//! The statements need no knowledge of the rows that are there: a row is inserted where its key is free, and room is made
//! before a key moves. So the workload goes on after a server was restarted, whatever it remembers.

use whimbrel_testkit::Engine;

use crate::random::Random;

/// Rows of `items` before anything happens.
pub(super) const ITEMS: usize = 1500;
/// Rows of `seats`, always.
const SEATS: usize = 50;
/// What all seats have together, at any moment.
pub(super) const BALANCE: usize = 100 * SEATS;
/// Rows of a big transaction, and the key of its first.
const BIG: usize = 3000;
const BIG_FROM: usize = 10_000;

/// The table whose definition changes, where definitions do.
pub(super) const SHIFTING_TABLE: &str = "create table shifting (id int primary key, v varchar(40), counter int not null); insert into shifting values (1, 'one', 0), (2, 'two', 0);";

/// The tables that are compared.
pub(super) const TABLES: [&str; 6] = ["digits", "items", "codes", "seats", "loose", "marks"];

const NUMBERS: &str = "(select a.d + 10 * b.d + 100 * c.d + 1000 * e.d as n from digits a, digits b, digits c, digits e) numbers";

const WORDS: [&str; 8] = [
    "",
    "plain",
    "it's \"quoted\"",
    "back\\slash \\n \\0",
    "tab\tand\nline end",
    "größer 変更 😀",
    " blanks ",
    "NULL",
];

/// The table whose second column is unique. The target gets it before the load, so that it is unique there too.
pub(super) const SEATS_TABLE: &str = "create table seats (id int primary key, seat int not null unique, balance int not null, counter int not null);";

/// Makes the tables and their first rows.
pub(super) fn tables(engine: Engine) -> String {
    let (time, long, after) = if engine.is_postgres() {
        let after = "alter table items alter column big set storage external; alter table loose replica identity full; analyze;";
        ("timestamp", "text", after)
    } else {
        ("datetime(6)", "longtext", "analyze table items;")
    };
    format!(
        "create table digits (d int primary key);
         insert into digits values (0), (1), (2), (3), (4), (5), (6), (7), (8), (9);
         create table items (id bigint primary key, name varchar(200), amount decimal(12,2), at {time}, note text, big {long}, counter int not null);
         insert into items select n, concat('row ', n), n * 0.25, '2024-02-29 23:59:59.999999', null, repeat('b', n * 2), 0 from {NUMBERS} where n < {ITEMS};
         create table codes (part varchar(20) not null, code varchar(20) not null, value int, counter int not null, primary key (part, code));
         insert into codes select concat('p', n % 7), concat('c', n), n, 0 from {NUMBERS} where n < 200;
         {SEATS_TABLE}
         insert into seats select n, n, 100, 0 from {NUMBERS} where n < {SEATS};
         create table loose (n int, word varchar(40), amount decimal(12,2), counter int not null);
         insert into loose select n % 40, 'twice', 1.50, 0 from {NUMBERS} where n < 400;
         create table marks (id int primary key);
         {after}"
    )
}

/// The rows of a table as text that is the same on every engine.
pub(super) fn rows(engine: Engine, table: &str) -> String {
    let text = |column: &str| {
        if engine.is_postgres() {
            format!("length({column}), encode(sha256(convert_to({column}, 'UTF8')), 'hex')")
        } else {
            format!("char_length({column}), sha2({column}, 256)")
        }
    };
    let time = if engine.is_postgres() {
        "to_char(at, 'YYYY-MM-DD HH24:MI:SS.US')"
    } else {
        "date_format(at, '%Y-%m-%d %H:%i:%s.%f')"
    };
    let columns = match table {
        "items" => {
            let [name, note, big] = ["name", "note", "big"].map(text);
            format!("id, counter, {name}, amount, {time}, {note}, {big}")
        }
        "loose" => format!("n, counter, {}, amount", text("word")),
        _ => "*".to_owned(),
    };
    format!("select {columns} from {table}")
}

/// Makes one step after the other.
#[derive(Debug)]
pub(super) struct Workload {
    engine: Engine,
    random: Random,
    /// A table that is truncated while it is loaded is a table in error, to be loaded again: PostgreSQL's snapshots do not
    /// hold truncations back.
    pub(super) may_truncate: bool,
    /// Definitions change too, of tables that are none of [`TABLES`].
    pub(super) definitions: Option<Definitions>,
}

/// What definitions have come to.
#[derive(Debug, Default)]
pub(super) struct Definitions {
    /// Columns of `shifting` that have come, by their numbers.
    columns: Vec<usize>,
    /// Columns and tables made so far.
    made: usize,
}

impl Workload {
    pub(super) fn new(engine: Engine, random: Random) -> Self {
        Self {
            engine,
            random,
            may_truncate: false,
            definitions: None,
        }
    }

    /// One transaction, or some.
    pub(super) fn step(&mut self) -> String {
        if self.may_truncate && self.definitions.is_some() && self.random.one_in(4) {
            return self.definition();
        }
        match self.random.below(20) {
            0..=8 => format!("begin; {} commit;", self.changes()),
            9 => self.item(),
            10 | 11 => format!("begin; {} rollback;", self.changes()),
            12 | 13 => self.savepoints(),
            14 | 15 => self.big(),
            16 if self.may_truncate => self.truncation(),
            _ => {
                let many: [String; 15] = std::array::from_fn(|_| self.change());
                format!("begin; {} commit;", many.join(" commit; begin; "))
            }
        }
    }

    fn changes(&mut self) -> String {
        let count = 1 + self.random.below(6);
        (0..count).map(|_| self.change()).collect()
    }

    fn savepoints(&mut self) -> String {
        let [first, undone, kept, last] = [(); 4].map(|()| self.changes());
        format!(
            "begin; {first} savepoint a; {undone} rollback to savepoint a; {kept} savepoint b; {last} release savepoint b; commit;"
        )
    }

    /// A transaction of thousands of rows.
    fn big(&mut self) -> String {
        let range = format!("id >= {BIG_FROM} and id < {}", BIG_FROM + BIG);
        let small = self.change();
        let word = self.word();
        let statement = match self.random.below(4) {
            0 | 1 => format!(
                "insert into items select n + {BIG_FROM}, {word}, n * 0.5, null, null, null, 0 from {NUMBERS} where n < {BIG}
                 and not exists (select 1 from items i where i.id = n + {BIG_FROM});"
            ),
            2 => {
                format!("update items set amount = id, note = {word}, counter = counter + 1 where {range};")
            }
            _ => format!("delete from items where {range} and id % 3 <> 0;"),
        };
        format!("begin; {small} {statement} commit;")
    }

    /// A definition changes, between rows that have the old one and rows that have the new one.
    fn definition(&mut self) -> String {
        let Some(mut known) = self.definitions.take() else {
            return String::new();
        };
        let id = self.random.below(1_000_000);
        known.made += 1;
        let new = known.made;
        let any = self.random.below(known.columns.len().max(1));
        let (change, behind) = match self.random.below(6) {
            0 | 1 => {
                known.columns.push(new);
                (
                    format!("alter table shifting add column c{new} int;"),
                    format!(
                        "update shifting set c{new} = id, counter = counter + 1 where id % 2 = 0;"
                    ),
                )
            }
            2 if !known.columns.is_empty() => {
                let old = known.columns.remove(any);
                (
                    format!("alter table shifting drop column c{old};"),
                    String::new(),
                )
            }
            3 if !known.columns.is_empty() => {
                let old = std::mem::replace(&mut known.columns[any], new);
                (
                    format!("alter table shifting rename column c{old} to c{new};"),
                    format!(
                        "update shifting set c{new} = -1, counter = counter + 1 where id % 3 = 0;"
                    ),
                )
            }
            4 => ("truncate table shifting;".to_owned(), String::new()),
            _ => (
                format!("create table made_{new} (id int primary key, v varchar(40));"),
                format!(
                    "insert into made_{new} values (1, 'one'), (2, null); update made_{new} set v = 'two' where id = 2;"
                ),
            ),
        };
        self.definitions = Some(known);
        let row = |id: usize| {
            format!(
                "insert into shifting (id, v, counter) select {id}, 'row', 0 from digits where d = 0 and not exists (select 1 from shifting s where s.id = {id});"
            )
        };
        let (before, after, others) = (row(id), row(id + 1), self.changes());
        // MySQL and MariaDB commit before and behind each definition.
        if self.engine.is_postgres() && self.random.one_in(2) {
            return format!("begin; {before} {change} {behind} {after} {others} commit;");
        }
        format!("begin; {before} commit; {change} begin; {behind} {after} {others} commit;")
    }

    fn truncation(&mut self) -> String {
        let table = self.random.pick(&["codes", "loose"]);
        let [before, after, last] = [(); 3].map(|()| self.changes());
        if self.engine.is_postgres() && self.random.one_in(2) {
            return format!(
                "begin; {before} truncate {table}; {after} commit; begin; {last} commit;"
            );
        }
        format!("begin; {before} commit; truncate table {table}; begin; {after} {last} commit;")
    }

    fn change(&mut self) -> String {
        match self.random.below(10) {
            0..=4 => self.item(),
            5 | 6 => self.code(),
            7 | 8 => self.seat(),
            _ => self.loose(),
        }
    }

    fn item(&mut self) -> String {
        let id = self.random.below(ITEMS * 5 / 4);
        let other = self.random.below(ITEMS * 5 / 4);
        let [name, note] = [self.word(), self.word()];
        let (time, big) = (self.time(), self.random.below(9000));
        let amount = self.random.below(1_000_000);
        let set = match self.random.below(6) {
            0 => format!("name = {name}"),
            1 => format!("amount = amount - {amount}.07, at = {time}"),
            2 => format!("note = {note}"),
            3 => format!("big = repeat('{}', {big})", amount % 10),
            4 => format!(
                "name = {name}, amount = null, at = {time}, note = {note}, big = repeat('ü', {big})"
            ),
            _ => "name = null, note = null, big = null".to_owned(),
        };
        let update =
            |wher: &str| format!("update items set {set}, counter = counter + 1 where {wher};");
        match self.random.below(10) {
            0..=3 => format!(
                "insert into items select {id}, {name}, {amount}.5, {time}, {note}, repeat('{}', {big}), 0 from digits
                 where d = 0 and not exists (select 1 from items i where i.id = {id});",
                amount % 10
            ),
            4 => format!("delete from items where id = {id};"),
            5 => format!("delete from items where id = {id}; {}", update(&format!("id = {other}"))),
            6 if id != other => format!(
                "delete from items where id = {id}; update items set id = {id}, {set}, counter = counter + 1 where id = {other};"
            ),
            7 => update(&format!("id >= {id} and id < {}", id + 20)),
            // A chain of keys, each taking the place of the one before.
            8 => format!(
                "delete from items where id = {}; update items set id = {} where id = {}; update items set id = {} where id = {id};",
                id + 2,
                id + 2,
                id + 1,
                id + 1
            ),
            _ => update(&format!("id = {id}")),
        }
    }

    fn code(&mut self) -> String {
        let [part, other_part] = [(); 2].map(|()| format!("'p{}'", self.random.below(7)));
        let [code, other_code] = [(); 2].map(|()| format!("'c{}'", self.random.below(250)));
        let value = self.random.below(1000);
        let here = format!("part = {part} and code = {code}");
        match self.random.below(6) {
            0..=2 => format!(
                "insert into codes select {part}, {code}, {value}, 0 from digits
                 where d = 0 and not exists (select 1 from codes c where c.part = {part} and c.code = {code});"
            ),
            3 => format!("delete from codes where {here};"),
            4 => format!(
                "delete from codes where part = {other_part} and code = {other_code};
                 update codes set part = {other_part}, code = {other_code}, counter = counter + 1 where {here};"
            ),
            _ => format!(
                "update codes set value = null, counter = counter + 1 where part = {part} and value > {value};"
            ),
        }
    }

    /// Changes that keep seats unique, and all balances together the same.
    fn seat(&mut self) -> String {
        let a = self.random.below(SEATS);
        let b = (a + 1 + self.random.below(SEATS - 1)) % SEATS;
        let swap = |column: &str| {
            format!(
                "update seats set {column} = -1 where {column} = {a};
                 update seats set {column} = {a}, counter = counter + 1 where {column} = {b};
                 update seats set {column} = {b}, counter = counter + 1 where {column} = -1;"
            )
        };
        match self.random.below(4) {
            0 => swap("seat"),
            1 => swap("id"),
            2 => format!(
                "update seats set seat = -1 - seat; update seats set seat = {SEATS} + seat, counter = counter + 1;"
            ),
            _ => format!(
                "update seats set balance = balance - 7, counter = counter + 1 where id = {a};
                 update seats set balance = balance + 7, counter = counter + 1 where id = {b};"
            ),
        }
    }

    /// Changes of rows that have no key; some of one of many equal rows.
    fn loose(&mut self) -> String {
        let n = self.random.below(40);
        let word = self.word();
        let one = if self.engine.is_postgres() {
            format!("ctid in (select ctid from loose where n = {n} limit 1)")
        } else {
            format!("n = {n} limit 1")
        };
        match self.random.below(6) {
            0 | 1 => {
                format!("insert into loose values ({n}, {word}, null, 0), ({n}, {word}, null, 0);")
            }
            2 => format!("update loose set counter = counter + 1, word = {word} where n = {n};"),
            3 => format!("update loose set counter = counter + 1, amount = 3.25 where {one};"),
            4 => format!("delete from loose where {one};"),
            _ => format!("delete from loose where n = {n};"),
        }
    }

    fn word(&mut self) -> String {
        if self.random.one_in(5) {
            return "null".to_owned();
        }
        let word = self.random.pick(&WORDS).replace('\'', "''");
        if self.engine.is_postgres() {
            return format!("'{word}'");
        }
        format!("'{}'", word.replace('\\', "\\\\"))
    }

    fn time(&mut self) -> String {
        let (day, second) = (1 + self.random.below(28), self.random.below(60));
        let micros = self.random.below(1_000_000);
        format!("'2025-02-{day:02} 07:08:{second:02}.{micros:06}'")
    }
}
