//! Conditions by chance.

use super::grammar::{Grammar, Kind};

impl Grammar {
    pub(super) fn condition(&mut self, depth: usize) -> String {
        let less = depth.saturating_sub(1);
        let text = match self.below(14) {
            0 | 1 => format!(
                "{} {} {}",
                self.number(less),
                self.of(&["=", "<>", "<", ">="]),
                self.number(less)
            ),
            2 => format!(
                "{} {} {}",
                self.value(Kind::Text, less),
                self.of(&["=", "<>"]),
                self.value(Kind::Text, less)
            ),
            3 => {
                let constant = self.of(&["'2024-01-31'", "'2000-01-01'", "'2024-02-29'"]);
                format!(
                    "{} {} {constant}",
                    self.column(&["day", "at"]),
                    self.of(&["=", "<", ">="])
                )
            }
            4 => format!(
                "{} {} {}",
                self.value(Kind::Date, less),
                self.of(&["=", "<"]),
                self.value(Kind::Time, less)
            ),
            other => self.tested(other, depth),
        };
        if self.random.one_in(3) {
            format!("({text})")
        } else {
            text
        }
    }
    /// One of the other tests, by its number.
    fn tested(&mut self, number: usize, depth: usize) -> String {
        let less = depth.saturating_sub(1);
        let not = self.of(&["", "", "not "]);
        match number {
            5 => format!(
                "{} {not}in ({}, {})",
                self.number(less),
                self.number(less),
                self.of(&["1", "0.1", "0.3", "null", "-0.5"])
            ),
            6 => format!(
                "{} {not}in ('a', {})",
                self.value(Kind::Text, less),
                self.of(&["'b '", "''", "null"])
            ),
            7 => format!(
                "{} {not}between {} and {}",
                self.number(less),
                self.number(less),
                self.number(less)
            ),
            8 => format!(
                "{} {not}like '{}'",
                self.value(Kind::Text, less),
                self.of(&["a%", "%a", "_", "a_b", "%", ""])
            ),
            9 => {
                let kind = self.kind();
                format!("{} is {not}null", self.value(kind, less))
            }
            10 if depth > 0 => format!(
                "{} {} {}",
                self.condition(less),
                self.of(&["and", "or"]),
                self.condition(less)
            ),
            11 if depth > 0 => format!("not {}", self.condition(less)),
            12 => format!(
                "{} {not}in (select y.{} from b y where y.id > 3)",
                self.number(less),
                self.of(&["i", "s", "d", "f"])
            ),
            13 => format!(
                "{not}exists (select 1 from b y where y.s = {})",
                self.column(&["s", "i"])
            ),
            _ if self.is_postgres => self.column(&["k"]),
            _ => format!("{} = {}", self.condition(0), self.value(Kind::Int, 0)),
        }
    }
}
