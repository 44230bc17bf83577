//! The statement that makes a table, taken apart: `SHOW CREATE TABLE` writes names in back-ticks and texts in quotes, one item between two commas.

use whimbrel_connector::objects::ColumnAdditions;

use crate::quote::literal;

/// What stands between the parentheses, and behind them.
pub(super) struct Definition<'a> {
    pub(super) items: Vec<Item<'a>>,
    /// What makes the partitions.
    pub(super) partitioning: Option<&'a str>,
}

/// One item.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Item<'a> {
    Column {
        name: String,
        attributes: Attributes,
    },
    /// What follows the name: parts and options.
    Index {
        name: String,
        rest: &'a str,
    },
    Check {
        name: String,
        condition: String,
        is_enforced: bool,
    },
    Other,
}

/// A column of a table as its server writes it, to which something can be added: what is not named in a statement that changes a column is lost.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ColumnText {
    /// Type and attributes.
    text: String,
    attributes: Attributes,
}

impl ColumnText {
    /// Finds a column in the statement that makes its table. Names of columns do not differ by case.
    pub(crate) fn find(statement: &str, column: &str) -> Option<Self> {
        let (open, close) = body(statement)?;
        let mut items = split(&statement[open + 1..close]);
        items.find_map(|item| {
            let (name, rest) = name_and_rest(item)?;
            (name.to_lowercase() == column.to_lowercase()).then(|| Self {
                text: rest.trim().to_owned(),
                attributes: attributes(rest),
            })
        })
    }

    /// The column with what it lacks of this; `None` where it lacks nothing, or is computed.
    pub(crate) fn with(&self, wanted: &ColumnAdditions) -> Option<String> {
        let words = Words::new(&self.text);
        let has = |keyword: &str| {
            let found = words.find_outside(0, |rest| rest.starts_with(keyword));
            found.is_some()
        };
        if has(" GENERATED ALWAYS") || has(" AS (") {
            return None;
        }
        let own = &self.attributes;
        let is_filled = own.default.is_some() || own.on_update.is_some() || own.is_numbered;
        let mut added = String::new();
        if !is_filled {
            let default = wanted
                .default
                .iter()
                .map(|value| format!(" DEFAULT {value}"));
            let update = wanted
                .on_update
                .iter()
                .map(|value| format!(" ON UPDATE {value}"));
            added.extend(default.chain(update));
        }
        if wanted.is_numbered && !own.is_numbered && own.default.is_none() {
            added.push_str(" AUTO_INCREMENT");
        }
        let mut text = self.text.clone();
        // NULL is the default of every column that has none, and of none that is numbered.
        if !added.is_empty()
            && let Some(at) = words.find_outside(0, |rest| rest.starts_with(NULL_DEFAULT))
        {
            text.replace_range(at..at + NULL_DEFAULT.len(), "");
        }
        let comment = wanted.comment.as_ref().filter(|_| !has(" COMMENT "));
        added.extend(comment.map(|comment| format!(" COMMENT {}", literal(comment))));
        if added.is_empty() {
            return None;
        }
        // MariaDB takes a check behind everything else only.
        let check = Words::new(&text).find_outside(0, |rest| rest.starts_with(" CHECK ("));
        text.insert_str(check.unwrap_or(text.len()), &added);
        Some(text)
    }
}

const NULL_DEFAULT: &str = " DEFAULT NULL";

/// What follows a column's type.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Attributes {
    /// The default; none for NULL, which is that of every column.
    pub(super) default: Option<String>,
    pub(super) on_update: Option<String>,
    pub(super) is_numbered: bool,
    pub(super) check: Option<String>,
}

impl<'a> Definition<'a> {
    pub(super) fn parse(statement: &'a str) -> Self {
        let none = Self {
            items: Vec::new(),
            partitioning: None,
        };
        let Some((open, close)) = body(statement) else {
            return none;
        };
        let behind = &statement[close..];
        let partitioning = Words::new(behind).find(0, |rest| rest.starts_with("PARTITION BY "));
        Self {
            items: split(&statement[open + 1..close]).map(item).collect(),
            // MySQL hides it from servers that know no partitions.
            partitioning: partitioning
                .map(|at| behind[at..].trim_end().trim_end_matches("*/").trim_end()),
        }
    }
}

/// Where the parentheses around the items are.
fn body(statement: &str) -> Option<(usize, usize)> {
    let words = Words::new(statement);
    let open = words.find(0, |rest| rest.starts_with('('))?;
    Some((open, words.closing(open)?))
}

fn item(text: &str) -> Item<'_> {
    for head in [
        "UNIQUE KEY ",
        "FULLTEXT KEY ",
        "SPATIAL KEY ",
        "VECTOR KEY ",
        "KEY ",
        "UNIQUE INDEX ",
        "INDEX ",
    ] {
        if let Some((name, rest)) = text.strip_prefix(head).and_then(name_and_rest) {
            let rest = rest.trim_start();
            return Item::Index { name, rest };
        }
    }
    if let Some((name, rest)) = text.strip_prefix("CONSTRAINT ").and_then(name_and_rest) {
        return named_check(name, rest.trim_start());
    }
    match name_and_rest(text) {
        Some((name, rest)) => Item::Column {
            name,
            attributes: attributes(rest),
        },
        None => Item::Other,
    }
}

fn named_check(name: String, rest: &str) -> Item<'_> {
    match rest.strip_prefix("CHECK ").and_then(in_parentheses) {
        Some((condition, behind)) => Item::Check {
            name,
            condition: condition.to_owned(),
            is_enforced: !behind.contains("NOT ENFORCED"),
        },
        None => Item::Other,
    }
}

fn attributes(text: &str) -> Attributes {
    let words = Words::new(text);
    let after = |keyword: &str| {
        let at = words.find_outside(0, |rest| rest.starts_with(keyword))?;
        Some(&text[at + keyword.len()..])
    };
    let value = |keyword: &str| after(keyword).map(value_of);
    Attributes {
        default: value(" DEFAULT ")
            .filter(|value| *value != "NULL")
            .map(str::to_owned),
        on_update: value(" ON UPDATE ").map(str::to_owned),
        is_numbered: after(" AUTO_INCREMENT").is_some(),
        check: after(" CHECK ")
            .and_then(in_parentheses)
            .map(|(condition, _)| condition.to_owned()),
    }
}

/// The value at the front of a text: up to a space outside quotes and parentheses.
fn value_of(text: &str) -> &str {
    let end = Words::new(text).find_outside(0, |rest| rest.starts_with(' '));
    &text[..end.unwrap_or(text.len())]
}

/// What stands in the parentheses at the front of a text, and what follows.
fn in_parentheses(text: &str) -> Option<(&str, &str)> {
    if !text.starts_with('(') {
        return None;
    }
    let close = Words::new(text).closing(0)?;
    Some((&text[1..close], &text[close + 1..]))
}

/// A name in back-ticks at the front of a text, and what follows it.
fn name_and_rest(text: &str) -> Option<(String, &str)> {
    let quoted = text.strip_prefix('`')?;
    let mut chars = quoted.char_indices().peekable();
    let mut name = String::new();
    while let Some((at, c)) = chars.next() {
        if c != '`' {
            name.push(c);
        } else if chars.next_if(|(_, next)| *next == '`').is_some() {
            name.push('`');
        } else {
            return Some((name, &quoted[at + 1..]));
        }
    }
    None
}

/// Items between commas that are outside quotes and parentheses.
fn split(body: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(body);
    std::iter::from_fn(move || {
        let text = rest?;
        let comma = Words::new(text).find_outside(0, |rest| rest.starts_with(','));
        let (item, behind) = match comma {
            Some(at) => (&text[..at], Some(&text[at + 1..])),
            None => (text, None),
        };
        rest = behind;
        Some(item.trim())
    })
}

/// A text whose quotes are heeded.
struct Words<'a> {
    text: &'a str,
}

impl<'a> Words<'a> {
    fn new(text: &'a str) -> Self {
        Self { text }
    }

    /// Where the text outside quotes first has what is looked for.
    fn find(&self, from: usize, mut is_it: impl FnMut(&str) -> bool) -> Option<usize> {
        let mut quote = None;
        let mut chars = self.text[from..].char_indices();
        while let Some((at, c)) = chars.next() {
            match quote {
                // A doubled quote ends the text and begins it again.
                Some(open) if c == open => quote = None,
                Some('\'' | '"') if c == '\\' => {
                    chars.next();
                }
                None if matches!(c, '\'' | '"' | '`') => quote = Some(c),
                None if is_it(&self.text[from + at..]) => return Some(from + at),
                Some(_) | None => {}
            }
        }
        None
    }

    /// The same, outside parentheses too.
    fn find_outside(&self, from: usize, mut is_it: impl FnMut(&str) -> bool) -> Option<usize> {
        let mut depth = 0_usize;
        self.find(from, |rest| {
            match rest.as_bytes().first() {
                Some(b'(') => depth += 1,
                Some(b')') => depth = depth.saturating_sub(1),
                _ => {}
            }
            depth == 0 && is_it(rest)
        })
    }

    /// Where the parenthesis that opens at a place closes.
    fn closing(&self, open: usize) -> Option<usize> {
        let mut depth = 0_usize;
        self.find(open, |rest| {
            match rest.as_bytes().first() {
                Some(b'(') => depth += 1,
                Some(b')') => {
                    depth -= 1;
                    return depth == 0;
                }
                _ => {}
            }
            false
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_is_taken_apart_outside_its_quotes() {
        let statement = "CREATE TABLE `t,(` (\n  `id` int NOT NULL AUTO_INCREMENT COMMENT 'a, (b DEFAULT 7',\n  `b``x` varchar(9) DEFAULT 'it''s, )',\n  \
            `c` datetime(6) DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE CURRENT_TIMESTAMP(6),\n  `d` int DEFAULT (`id` + 1),\n  `e` text DEFAULT NULL,\n  \
            PRIMARY KEY (`id`),\n  UNIQUE KEY `u``x` (`b``x`(3) DESC,`d`) /*!80000 INVISIBLE */,\n  CONSTRAINT `c1` CHECK ((`id` > 0)) /*!80016 NOT ENFORCED */,\n  \
            CONSTRAINT `f` FOREIGN KEY (`d`) REFERENCES `p` (`id`)\n) ENGINE=InnoDB COMMENT=') PARTITION BY x'\n/*!50100 PARTITION BY HASH (`id`)\nPARTITIONS 4 */";
        let definition = Definition::parse(statement);
        let column = |name: &str, attributes| Item::Column {
            name: name.to_owned(),
            attributes,
        };
        let default = |value: &str| Attributes {
            default: Some(value.to_owned()),
            ..Attributes::default()
        };
        let now = "CURRENT_TIMESTAMP(6)".to_owned();
        assert_eq!(
            definition.items,
            [
                column(
                    "id",
                    Attributes {
                        is_numbered: true,
                        ..Attributes::default()
                    }
                ),
                column("b`x", default("'it''s, )'")),
                column(
                    "c",
                    Attributes {
                        default: Some(now.clone()),
                        on_update: Some(now),
                        ..Attributes::default()
                    }
                ),
                column("d", default("(`id` + 1)")),
                column("e", Attributes::default()),
                Item::Other,
                Item::Index {
                    name: "u`x".to_owned(),
                    rest: "(`b``x`(3) DESC,`d`) /*!80000 INVISIBLE */"
                },
                Item::Check {
                    name: "c1".to_owned(),
                    condition: "(`id` > 0)".to_owned(),
                    is_enforced: false
                },
                Item::Other,
            ]
        );
        assert_eq!(
            definition.partitioning,
            Some("PARTITION BY HASH (`id`)\nPARTITIONS 4")
        );
    }

    #[test]
    fn a_column_keeps_what_it_has_when_something_is_added() {
        let statement = "CREATE TABLE `t` (\n  `a` varchar(20) CHARACTER SET latin1 DEFAULT NULL COMMENT 'it''s DEFAULT 3, (',\n  \
            `b` int NOT NULL /*!80023 INVISIBLE */,\n  `c` int DEFAULT 5 CHECK (`c` > 1),\n  `d` int GENERATED ALWAYS AS (`c` + 1) VIRTUAL\n) ENGINE=InnoDB";
        let with = |column: &str, wanted: ColumnAdditions| {
            let found = ColumnText::find(statement, column);
            found.unwrap().with(&wanted)
        };
        let nothing = || ColumnAdditions::to(&whimbrel_core::TableName::new("d", "t"), "x");
        let wanted = || ColumnAdditions {
            default: Some("7".to_owned()),
            comment: Some("new".to_owned()),
            ..nothing()
        };
        assert_eq!(
            with("A", wanted()).as_deref(),
            Some("varchar(20) CHARACTER SET latin1 COMMENT 'it''s DEFAULT 3, (' DEFAULT 7")
        );
        assert_eq!(
            with("b", wanted()).as_deref(),
            Some("int NOT NULL /*!80023 INVISIBLE */ DEFAULT 7 COMMENT 'new'")
        );
        assert_eq!(
            with("c", wanted()).as_deref(),
            Some("int DEFAULT 5 COMMENT 'new' CHECK (`c` > 1)")
        );
        assert_eq!(with("d", wanted()), None);
        let numbered = || ColumnAdditions {
            is_numbered: true,
            ..nothing()
        };
        assert_eq!(
            with("b", numbered()).as_deref(),
            Some("int NOT NULL /*!80023 INVISIBLE */ AUTO_INCREMENT")
        );
        assert_eq!(with("c", numbered()), None);
        assert_eq!(ColumnText::find(statement, "e"), None);
    }

    #[test]
    fn what_is_no_statement_of_a_table_has_no_items() {
        for text in [
            "",
            "CREATE TABLE `t`",
            "CREATE TABLE `t` (`a` int",
            "CREATE VIEW `v` AS select 1",
        ] {
            let definition = Definition::parse(text);
            assert!(
                definition.items.iter().all(|item| *item == Item::Other),
                "{text}"
            );
        }
    }
}
