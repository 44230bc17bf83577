//! Queries by chance, in the SQL of a source.

use whimbrel_testkit::Engine;

use crate::random::Random;

/// Names of columns by what can be done with them.
const INTS: [&str; 7] = ["i", "s", "g", "u", "q", "id", "i"];
const DECIMALS: [&str; 2] = ["d", "e"];
const FLOATS: [&str; 2] = ["f", "h"];
const TEXTS: [&str; 3] = ["t", "w", "t"];
const PLAIN: [&str; 9] = ["l", "tm", "c", "y", "x", "k", "n1", "n2", "f"];
/// Those of which values can be shown, because every client writes them alike.
const SHOWN: [&str; 4] = ["l", "y", "n1", "n2"];

pub(super) struct Grammar {
    pub(super) random: Random,
    pub(super) is_postgres: bool,
    /// The names of the tables that can be read, the innermost last.
    scope: Vec<&'static str>,
}

#[derive(Clone, Copy)]
pub(super) enum Kind {
    Int,
    Decimal,
    Float,
    Text,
    Date,
    Time,
    Condition,
}

const KINDS: [Kind; 7] = [
    Kind::Int,
    Kind::Decimal,
    Kind::Float,
    Kind::Text,
    Kind::Date,
    Kind::Time,
    Kind::Condition,
];

impl Grammar {
    pub(super) fn new(random: Random, source: Engine) -> Self {
        Self {
            random,
            is_postgres: source.is_postgres(),
            scope: Vec::new(),
        }
    }

    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.random.below(bound)
    }

    pub(super) fn of(&mut self, words: &[&str]) -> String {
        self.random.pick(words).to_owned()
    }

    /// A column of one of the tables that are read.
    pub(super) fn column(&mut self, names: &[&str]) -> String {
        let names = self.of(names);
        let place = self.below(self.scope.len());
        format!("{}.{names}", self.scope[place])
    }

    pub(super) fn kind(&mut self) -> Kind {
        KINDS[self.below(KINDS.len())]
    }

    pub(super) fn query(&mut self) -> String {
        self.scope.clear();
        match self.below(8) {
            0 => self.united(),
            1 | 2 => self.grouped(),
            3 => self.derived(),
            _ => {
                let distinct = if self.random.one_in(5) {
                    "distinct "
                } else {
                    ""
                };
                let (from, filter) = (self.from(), self.filter());
                format!("select {distinct}{} from {from}{filter}", self.items())
            }
        }
    }

    fn from(&mut self) -> String {
        match self.below(4) {
            0 => {
                self.scope = vec!["a", "b"];
                let how = self.of(&["join", "left join", "right join"]);
                let on = self.condition(1);
                format!("a {how} b on {on}")
            }
            1 => {
                self.scope = vec!["a", "b"];
                format!("a {} b using (id)", self.of(&["join", "left join"]))
            }
            _ => {
                self.scope = vec!["a"];
                "a".to_owned()
            }
        }
    }

    fn filter(&mut self) -> String {
        if self.random.one_in(3) {
            return String::new();
        }
        format!(" where {}", self.condition(2))
    }

    fn items(&mut self) -> String {
        let mut items = Vec::new();
        for place in 0..=self.below(3) {
            let item = if self.random.one_in(6) {
                self.column(&SHOWN)
            } else {
                let kind = self.kind();
                self.value(kind, 2)
            };
            items.push(format!("{item} as c{place}"));
        }
        items.join(", ")
    }

    fn united(&mut self) -> String {
        self.scope = vec!["a"];
        let kinds: Vec<Kind> = (0..=self.below(2)).map(|_| self.kind()).collect();
        let mut parts = Vec::new();
        let words = self.of(&[" union ", " union all "]);
        for _ in 0..2 + self.below(2) {
            let mut items = Vec::new();
            for (place, kind) in kinds.iter().enumerate() {
                let item = match self.below(8) {
                    0 => "null".to_owned(),
                    1 => self.column(&["n1", "n2"]),
                    2 => self.value(Kind::Int, 1),
                    _ => self.value(*kind, 1),
                };
                items.push(format!("{item} as c{place}"));
            }
            let filter = self.filter();
            parts.push(format!("select {} from a{filter}", items.join(", ")));
        }
        parts.join(&words)
    }

    fn grouped(&mut self) -> String {
        let (from, filter) = (self.from(), self.filter());
        let by = match self.below(4) {
            0 => self.column(&PLAIN),
            1 => self.column(&["id"]),
            _ => {
                let kind = self.kind();
                self.value(kind, 1)
            }
        };
        let mut items = Vec::new();
        let is_shown = PLAIN.iter().all(|name| !by.ends_with(&format!(".{name}")));
        if is_shown && !self.random.one_in(4) {
            items.push(format!("{by} as g"));
        }
        for place in 0..=self.below(2) {
            items.push(format!("{} as c{place}", self.aggregate()));
        }
        let having = match self.below(4) {
            0 => format!(" having {} > {}", self.aggregate(), self.below(4)),
            1 => format!(" having {}", self.condition(0)),
            _ => String::new(),
        };
        let group = match self.below(5) {
            0 => String::new(),
            1 => format!(" group by {by}, {}", self.value(Kind::Int, 1)),
            _ => format!(" group by {by}"),
        };
        format!(
            "select {} from {from}{filter}{group}{having}",
            items.join(", ")
        )
    }

    fn aggregate(&mut self) -> String {
        let distinct = if self.random.one_in(3) {
            "distinct "
        } else {
            ""
        };
        match self.below(7) {
            0 => "count(*)".to_owned(),
            1 => format!("count({distinct}{})", self.column(&PLAIN)),
            2 => {
                let kind = self.kind();
                format!("count({distinct}{})", self.value(kind, 1))
            }
            3 => format!("sum({distinct}{})", self.value(Kind::Decimal, 1)),
            4 => format!("sum({distinct}{}) * 2", self.value(Kind::Int, 1)),
            5 => format!("coalesce(sum({}), 0)", self.value(Kind::Int, 1)),
            _ => {
                let word = self.of(&["min", "max"]);
                let kinds = [
                    Kind::Int,
                    Kind::Decimal,
                    Kind::Float,
                    Kind::Date,
                    Kind::Time,
                ];
                let kind = kinds[self.below(kinds.len())];
                format!("{word}({})", self.value(kind, 1))
            }
        }
    }

    fn derived(&mut self) -> String {
        self.scope = vec!["a"];
        let (inner, kind) = (self.filter(), self.kind());
        let within = format!(
            "select a.id as id, {} as i, {} as d, {} as t, {} as z from a{inner}",
            self.value(Kind::Int, 1),
            self.value(Kind::Decimal, 1),
            self.value(Kind::Text, 1),
            self.value(kind, 1)
        );
        format!(
            "select v.id, v.z, v.i + 1 as j, v.d * 2 as k, {} as l from ({within}) v where v.i > {} or v.t like '{}'",
            self.texts(&["v.t".to_owned(), "v.d".to_owned()]),
            self.below(3),
            self.of(&["a%", "%", "_"])
        )
    }

    pub(super) fn value(&mut self, kind: Kind, depth: usize) -> String {
        if depth > 0 && self.random.one_in(4) {
            return self.choice(kind, depth - 1);
        }
        let text = match kind {
            Kind::Int => self.int(depth),
            Kind::Decimal => self.decimal(depth),
            Kind::Float => self.float(depth),
            Kind::Text => self.text(depth),
            Kind::Date => self.date(depth),
            Kind::Time => self.time(depth),
            Kind::Condition => self.condition(depth),
        };
        // Without them servers print none.
        if self.random.one_in(2) {
            format!("({text})")
        } else {
            text
        }
    }

    /// One of several values.
    fn choice(&mut self, kind: Kind, depth: usize) -> String {
        let other = match kind {
            Kind::Decimal if self.random.one_in(2) => Kind::Int,
            kind => kind,
        };
        let (one, other) = (self.value(kind, depth), self.value(other, depth));
        match self.below(6) {
            0 => format!("coalesce({one}, {other})"),
            1 => format!(
                "case when {} then {one} else {other} end",
                self.condition(depth)
            ),
            2 => format!(
                "case {} when {} then {one} when {} then {other} end",
                self.value(Kind::Int, depth),
                self.below(3),
                self.value(Kind::Int, depth)
            ),
            3 => format!("nullif({one}, {other})"),
            4 if !self.is_postgres => format!("if({}, {one}, {other})", self.condition(depth)),
            _ => format!("case when {} then {one} end", self.condition(depth)),
        }
    }

    fn int(&mut self, depth: usize) -> String {
        if depth == 0 {
            return match self.below(5) {
                0 => self.of(&["0", "1", "2", "-1", "7", "100000"]),
                _ => self.column(&INTS),
            };
        }
        match self.below(11) {
            0..=2 => {
                let word = self.of(&["+", "-", "*"]);
                let (one, other) = (
                    self.value(Kind::Int, depth - 1),
                    self.value(Kind::Int, depth - 1),
                );
                format!("{one} {word} {other}")
            }
            3 => format!("- {}", self.column(&INTS)),
            4 => format!("abs({})", self.value(Kind::Int, depth - 1)),
            5 => {
                let word = if self.is_postgres { "/" } else { "div" };
                format!(
                    "{} {word} {}",
                    self.value(Kind::Int, depth - 1),
                    self.of(&["2", "3", "-1", "7"])
                )
            }
            6 => format!(
                "{} % {}",
                self.value(Kind::Int, depth - 1),
                self.of(&["2", "3", "-5"])
            ),
            7 => format!(
                "extract({} from {})",
                self.of(&["year", "month", "day"]),
                self.column(&["day", "at"])
            ),
            8 => format!("char_length({})", self.value(Kind::Text, depth - 1)),
            9 => format!(
                "(select count(*) from b y where y.id < {})",
                self.column(&["id", "s"])
            ),
            _ if !self.is_postgres => self.condition(depth - 1),
            _ => self.column(&INTS),
        }
    }

    fn decimal(&mut self, depth: usize) -> String {
        if depth == 0 {
            return match self.below(4) {
                0 => self.of(&["0.5", "1.50", "-2.25", "0.0001", "3.0"]),
                _ => self.column(&DECIMALS),
            };
        }
        match self.below(7) {
            0..=2 => {
                let word = self.of(&["+", "-", "*"]);
                let other = [Kind::Int, Kind::Decimal][self.below(2)];
                let (one, other) = (
                    self.value(Kind::Decimal, depth - 1),
                    self.value(other, depth - 1),
                );
                format!("{one} {word} {other}")
            }
            3 => format!(
                "round({}, {})",
                self.value(Kind::Decimal, depth - 1),
                self.below(3)
            ),
            4 => format!(
                "{}({})",
                self.of(&["abs", "ceil", "floor", "round", "-"]),
                self.value(Kind::Decimal, depth - 1)
            ),
            5 => format!(
                "cast({} as decimal(20,{}))",
                self.value(Kind::Decimal, depth - 1),
                self.below(6)
            ),
            _ => self.column(&DECIMALS),
        }
    }

    fn float(&mut self, depth: usize) -> String {
        if depth == 0 || self.random.one_in(2) {
            return self.column(&FLOATS);
        }
        let kind = [Kind::Int, Kind::Decimal, Kind::Float][self.below(3)];
        format!(
            "{} {} {}",
            self.column(&["h"]),
            self.of(&["+", "-", "*"]),
            self.value(kind, 0)
        )
    }

    /// Texts in a row, which begin so that no number is compared as one.
    fn texts(&mut self, parts: &[String]) -> String {
        match self.below(3) {
            0 => format!("concat('<', {})", parts.join(", ")),
            1 if self.is_postgres => format!("'<' || {}", parts.join(" || ")),
            _ => format!("concat_ws('-', '<', {})", parts.join(", ")),
        }
    }

    fn text(&mut self, depth: usize) -> String {
        if depth == 0 {
            return match self.below(5) {
                0 => self.of(&["'a'", "''", "'a '", "'it''s'", "'ä'"]),
                _ => self.column(&TEXTS),
            };
        }
        match self.below(8) {
            0 | 1 => {
                let kind = [Kind::Int, Kind::Decimal, Kind::Decimal, Kind::Text][self.below(4)];
                let (one, other) = (
                    self.value(kind, depth - 1),
                    self.value(Kind::Text, depth - 1),
                );
                self.texts(&[one, other])
            }
            2 => format!(
                "substr({}, {}, {})",
                self.value(Kind::Text, depth - 1),
                1 + self.below(3),
                self.below(3)
            ),
            3 => format!(
                "{}({}, {})",
                self.of(&["left", "right"]),
                self.value(Kind::Text, depth - 1),
                self.below(3)
            ),
            4 => format!(
                "{}({})",
                self.of(&["trim", "ltrim", "rtrim"]),
                self.value(Kind::Text, depth - 1)
            ),
            5 => format!(
                "replace({}, {}, '+')",
                self.value(Kind::Text, depth - 1),
                self.of(&["'a'", "' '", "''", "'A'"])
            ),
            6 if self.is_postgres => self.column(&["n1::text", "n2::text"]),
            _ => self.column(&TEXTS),
        }
    }

    fn date(&mut self, depth: usize) -> String {
        if depth > 0 && self.random.one_in(3) {
            return format!("cast({} as date)", self.column(&["at", "day"]));
        }
        self.column(&["day"])
    }

    fn time(&mut self, depth: usize) -> String {
        if depth > 0 && self.is_postgres && self.random.one_in(3) {
            return format!("{}::timestamp", self.column(&["day"]));
        }
        self.column(&["at"])
    }

    pub(super) fn number(&mut self, depth: usize) -> String {
        let kinds = [Kind::Int, Kind::Int, Kind::Decimal, Kind::Float];
        let kind = kinds[self.below(kinds.len())];
        self.value(kind, depth)
    }
}
