//! What an expression does with a column: takes its text, or its number.
//!
//! A parameter of SQLite has no type but its value's, and text is greater than all numbers: `$price > 100` needs a number. But numbers of
//! SQLite do not hold every decimal, and none of them its zeros at the end: `$price || ' EUR'` needs the text. Which of the two is meant
//! follows from what stands beside the column. Where that is not plain, it is the number.

use whimbrel_core::mapping::{Part, tokens};

/// What is taken of a column's value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Usage {
    /// It is compared or computed with.
    Number,
    /// It is handed on as it is, or its characters are looked at.
    Text,
}

/// Functions that look at characters, and how many of their arguments.
const OF_TEXT: &[(&str, usize)] = &[
    ("hash_sha256", 1),
    ("hex", 1),
    ("instr", 2),
    ("length", 1),
    ("lower", 1),
    ("ltrim", 2),
    ("replace", 3),
    ("replacechars", 3),
    ("rtrim", 2),
    ("substr", 1),
    ("substring", 1),
    ("trim", 2),
    ("unicode", 1),
    ("upper", 1),
];
/// Functions whose value is one of their arguments.
const HAND_ON: &[&str] = &["coalesce", "ifnull"];
/// Stands for a column.
const REFERENCE: &str = "$";

/// What is taken of each column or variable, in the order in which the expression names them.
pub(super) fn usages(parts: &[Part<'_>]) -> Vec<Usage> {
    let mut text = Vec::new();
    for part in parts {
        match *part {
            Part::Reference(_) => text.push(REFERENCE),
            Part::Sql(sql) => text.extend(tokens(sql)),
        }
    }
    let places = (0..text.len()).filter(|place| text[*place] == REFERENCE);
    places
        .map(|place| {
            let mut term = Term {
                text: &text,
                first: place,
                last: place,
            };
            while term.widen() {}
            if term.is_text() {
                Usage::Text
            } else {
                Usage::Number
            }
        })
        .collect()
}

/// A part of an expression whose value is that of a column, if not another one.
struct Term<'a> {
    text: &'a [&'a str],
    first: usize,
    last: usize,
}

/// Where a term is an argument.
struct Call<'a> {
    name: Option<&'a str>,
    /// Of the parentheses.
    opens: usize,
    closes: usize,
    /// From 0.
    argument: usize,
}

impl<'a> Term<'a> {
    /// The token so many places before it.
    fn before(&self, distance: usize) -> Option<&'a str> {
        Some(*self.text.get(self.first.checked_sub(distance)?)?)
    }

    fn after(&self, distance: usize) -> Option<&'a str> {
        self.text.get(self.last + distance).copied()
    }

    fn follows(&self, distance: usize, word: &str) -> bool {
        self.after(distance)
            .is_some_and(|token| token.eq_ignore_ascii_case(word))
    }

    /// Goes on to what has the same value: the term in parentheses, the call or the CASE that hands it on.
    fn widen(&mut self) -> bool {
        if let Some(call) = self.call() {
            let hands_on = match call.name {
                None => self.before(1) == Some("(") && self.after(1) == Some(")"),
                Some(name) => is_one_of(name, HAND_ON),
            };
            if hands_on {
                self.first = call.opens - usize::from(call.name.is_some());
                self.last = call.closes;
            }
            return hands_on;
        }
        let Some((first, last)) = self.case() else {
            return false;
        };
        (self.first, self.last) = (first, last);
        true
    }

    /// The parentheses whose argument it is.
    fn call(&self) -> Option<Call<'a>> {
        let is_argument =
            matches!(self.before(1)?, "(" | ",") && matches!(self.after(1)?, ")" | ",");
        if !is_argument {
            return None;
        }
        let (mut depth, mut argument, mut opens) = (0_usize, 0, self.first);
        loop {
            opens = opens.checked_sub(1)?;
            match self.text[opens] {
                ")" => depth += 1,
                "(" if depth == 0 => break,
                "(" => depth -= 1,
                "," if depth == 0 => argument += 1,
                _ => {}
            }
        }
        let mut closes = self.last + 1;
        let mut depth = 0_usize;
        loop {
            match *self.text.get(closes)? {
                "(" => depth += 1,
                ")" if depth == 0 => break,
                ")" => depth -= 1,
                _ => {}
            }
            closes += 1;
        }
        let name = opens.checked_sub(1).map(|place| self.text[place]);
        Some(Call {
            name: name.filter(|name| is_name(name)),
            opens,
            closes,
            argument,
        })
    }

    /// The ends of the CASE of which it is a value.
    fn case(&self) -> Option<(usize, usize)> {
        let is_value = is_one_of(self.before(1)?, &["then", "else"])
            && is_one_of(self.after(1)?, &["when", "else", "end"]);
        if !is_value {
            return None;
        }
        let mut depth = 0_usize;
        let mut first = self.first;
        loop {
            first = first.checked_sub(1)?;
            match self.text[first] {
                end if end.eq_ignore_ascii_case("end") => depth += 1,
                case if case.eq_ignore_ascii_case("case") && depth == 0 => break,
                case if case.eq_ignore_ascii_case("case") => depth -= 1,
                _ => {}
            }
        }
        let mut depth = 0_usize;
        let mut last = self.last + 1;
        loop {
            match *self.text.get(last)? {
                case if case.eq_ignore_ascii_case("case") => depth += 1,
                end if end.eq_ignore_ascii_case("end") && depth == 0 => break,
                end if end.eq_ignore_ascii_case("end") => depth -= 1,
                _ => {}
            }
            last += 1;
        }
        Some((first, last))
    }

    fn is_text(&self) -> bool {
        let is_whole = self.first == 0 && self.last + 1 == self.text.len();
        is_whole || self.is_concatenated() || self.is_tested_for_null() || self.is_of_function()
    }

    /// No operator of two sides binds as `||` does, but a sign before its left side does.
    fn is_concatenated(&self) -> bool {
        let follows = (self.after(1), self.after(2)) == (Some("|"), Some("|"));
        let precedes = (self.before(1), self.before(2)) == (Some("|"), Some("|"));
        precedes || follows && !matches!(self.before(1), Some("-" | "+" | "~"))
    }

    /// All that counts then is whether there is a value.
    fn is_tested_for_null(&self) -> bool {
        let is_null = |at: usize| self.follows(at, "is") && self.follows(at + 1, "null");
        let is_not = self.follows(1, "is") && self.follows(2, "not") && self.follows(3, "null");
        is_null(1) || is_not || self.follows(1, "isnull") || self.follows(1, "notnull")
    }

    fn is_of_function(&self) -> bool {
        if let Some(Call {
            name: Some(name),
            argument,
            ..
        }) = self.call()
        {
            let looks = |(of_text, count): &(&str, usize)| {
                name.eq_ignore_ascii_case(of_text) && argument < *count
            };
            return OF_TEXT.iter().any(looks);
        }
        let is_cast = self.before(1) == Some("(")
            && self
                .before(2)
                .is_some_and(|name| name.eq_ignore_ascii_case("cast"));
        is_cast && self.follows(1, "as") && self.follows(2, "text")
    }
}

fn is_one_of(token: &str, words: &[&str]) -> bool {
    words.iter().any(|word| token.eq_ignore_ascii_case(word))
}

/// Whether parentheses behind it are those of a call, or of a list, and not those around a term.
fn is_name(token: &str) -> bool {
    const OPERATORS: &[&str] = &[
        "and", "or", "not", "case", "when", "then", "else", "between", "like", "glob", "is",
        "escape",
    ];
    let begins = |c: char| c.is_alphabetic() || "_'\"`[".contains(c) || !c.is_ascii();
    token.starts_with(begins) && !is_one_of(token, OPERATORS)
}

#[cfg(test)]
mod tests {
    use whimbrel_core::mapping::parts;

    use super::*;

    /// `N` and `T`, for each reference.
    fn told(text: &str) -> String {
        let usages = usages(&parts(text).unwrap());
        let letters = usages.iter().map(|usage| match usage {
            Usage::Number => 'N',
            Usage::Text => 'T',
        });
        letters.collect()
    }

    #[test]
    fn what_is_taken_of_a_column_follows_from_what_stands_beside_it() {
        for (text, expected) in [
            ("$a", "T"),
            (" ( ($a) ) -- as it is", "T"),
            ("$a || ' EUR'", "T"),
            ("5 * ($a) || $b", "TT"),
            ("-$a || 'x'", "N"),
            ("'x' || -$a", "N"),
            ("'|' + $a", "N"),
            ("$a | $b", "NN"),
            ("$a > 100", "N"),
            ("$a = $b", "NN"),
            ("($a) > ($b)", "NN"),
            ("max($a, $b)", "NN"),
            ("length($a) > length(($b))", "TT"),
            ("substr($a, $b, 2)", "TN"),
            ("length($a + 1)", "N"),
            ("\"abs\"($a) || ''", "N"),
            ("length(max($a, 1))", "N"),
            ("coalesce($a, $b, 0)", "TT"),
            ("coalesce($a, 0) > 1", "N"),
            ("coalesce($a, (1)) || $b", "TT"),
            ("(coalesce($a, 0) + 1) || 'x'", "N"),
            ("$a IN ($b, 1)", "NN"),
            ("$a AND ($b)", "NN"),
            ("CASE WHEN $a > 1 THEN $b ELSE $a END", "NTT"),
            ("CASE WHEN $a > 1 THEN $b ELSE $a END + 1", "NNN"),
            ("CASE $a WHEN $b THEN 1 END", "NN"),
            (
                "case when 1 then case when $a then 2 end else $b end || ''",
                "NT",
            ),
            ("$a IS NULL OR $b is not null", "TT"),
            ("$a IS $b", "NN"),
            ("CAST($a AS TEXT) || cast($b as real)", "TN"),
            ("CASE WHEN $a > 1 /* THEN */ THEN 'END' END", "N"),
        ] {
            assert_eq!(told(text), expected, "{text}");
        }
    }
}
