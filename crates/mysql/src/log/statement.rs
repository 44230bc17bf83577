//! What the statements mean that the log tells as text, as far as capture must know.
//!
//! Only the beginning of a statement is looked at: which of a few kinds it is, and which tables it names. What is none of
//! them changes no rows and no columns of tables (users, views, routines, indexes).

use whimbrel_core::TableName;

/// A statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Statement {
    Begin,
    Commit,
    Rollback,
    /// With the name as it stands there.
    Savepoint(String),
    RollbackTo(String),
    /// With everything that follows the verb, which names the transaction.
    XaStart,
    XaCommit(String),
    XaRollback(String),
    Truncate(TableName),
    /// Defines, redefines or removes tables.
    Ddl(Vec<TableName>),
    /// Removes all tables of a database.
    DropDatabase(String),
    /// Changes rows, which should have come as row events.
    Rows,
    Other,
}

impl Statement {
    /// Reads the beginning of a statement; names without a database are of `database`.
    pub(super) fn new(sql: &str, database: &str) -> Self {
        let mut words = Words {
            rest: sql,
            database,
        };
        let first = words.keyword();
        match first.as_str() {
            "BEGIN" => Self::Begin,
            "START" if words.takes("TRANSACTION") => Self::Begin,
            "COMMIT" => Self::Commit,
            "ROLLBACK" => words.rollback(),
            "SAVEPOINT" => words.name().map_or(Self::Other, Self::Savepoint),
            "XA" => words.xa(),
            "TRUNCATE" => {
                words.takes("TABLE");
                words.table().map_or(Self::Other, Self::Truncate)
            }
            "ALTER" => words.alter(),
            "RENAME" => words.rename(),
            "DROP" => words.drop(),
            "CREATE" => words.create(),
            "DELETE" => words.delete(),
            "INSERT" | "REPLACE" | "UPDATE" | "LOAD" => Self::Rows,
            _ => Self::Other,
        }
    }
}

/// Takes words from the front of a statement.
struct Words<'a> {
    rest: &'a str,
    database: &'a str,
}

impl Words<'_> {
    /// Passes over white space and comments. What a server-specific comment holds counts as part of the statement.
    fn skip(&mut self) {
        loop {
            self.rest = self.rest.trim_start();
            if let Some(comment) = self.rest.strip_prefix("/*") {
                if let Some(own) = comment
                    .strip_prefix("M!")
                    .or_else(|| comment.strip_prefix('!'))
                {
                    self.rest = own.trim_start_matches(|c: char| c.is_ascii_digit());
                    continue;
                }
                self.rest = comment.split_once("*/").map_or("", |(_, after)| after);
            } else if let Some(after) = self.rest.strip_prefix("*/") {
                self.rest = after;
            } else if self.rest.starts_with('#') || self.rest.starts_with("-- ") {
                self.rest = self.rest.split_once('\n').map_or("", |(_, after)| after);
            } else {
                return;
            }
        }
    }

    /// The next word in capitals, taken; empty when something else follows.
    fn keyword(&mut self) -> String {
        self.skip();
        let end = self
            .rest
            .find(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .unwrap_or(self.rest.len());
        let (word, after) = self.rest.split_at(end);
        self.rest = after;
        word.to_ascii_uppercase()
    }

    /// Takes the word if it comes next.
    fn takes(&mut self, word: &str) -> bool {
        let before = self.rest;
        if self.keyword() == word {
            return true;
        }
        self.rest = before;
        false
    }

    fn takes_all(&mut self, words: &[&str]) -> bool {
        let before = self.rest;
        if words.iter().all(|word| self.takes(word)) {
            return true;
        }
        self.rest = before;
        false
    }

    fn takes_char(&mut self, c: char) -> bool {
        self.skip();
        match self.rest.strip_prefix(c) {
            Some(after) => {
                self.rest = after;
                true
            }
            None => false,
        }
    }

    /// An identifier, quoted or not.
    fn name(&mut self) -> Option<String> {
        self.skip();
        let quote = self.rest.chars().next()?;
        if quote == '`' || quote == '"' {
            let mut name = String::new();
            let mut chars = self.rest.char_indices().skip(1).peekable();
            while let Some((index, c)) = chars.next() {
                if c != quote {
                    name.push(c);
                } else if chars.next_if(|(_, next)| *next == quote).is_some() {
                    name.push(quote);
                } else {
                    self.rest = &self.rest[index + 1..];
                    return Some(name);
                }
            }
            return None;
        }
        let end = self
            .rest
            .find(|c: char| !c.is_alphanumeric() && !matches!(c, '_' | '$'))
            .unwrap_or(self.rest.len());
        let (name, after) = self.rest.split_at(end);
        self.rest = after;
        (!name.is_empty()).then(|| name.to_owned())
    }

    fn table(&mut self) -> Option<TableName> {
        let first = self.name()?;
        if self.takes_char('.') {
            return Some(TableName::new(first, self.name()?));
        }
        Some(TableName::new(self.database, first))
    }

    fn tables(&mut self) -> Vec<TableName> {
        let mut tables = Vec::new();
        while let Some(table) = self.table() {
            tables.push(table);
            if !self.takes_char(',') {
                break;
            }
        }
        tables
    }

    fn rollback(&mut self) -> Statement {
        self.takes("WORK");
        if !self.takes("TO") {
            return Statement::Rollback;
        }
        self.takes("SAVEPOINT");
        self.name().map_or(Statement::Other, Statement::RollbackTo)
    }

    fn xa(&mut self) -> Statement {
        let verb = self.keyword();
        let id = self.rest.trim().to_owned();
        match verb.as_str() {
            "START" | "BEGIN" => Statement::XaStart,
            "COMMIT" => Statement::XaCommit(id),
            "ROLLBACK" => Statement::XaRollback(id),
            _ => Statement::Other,
        }
    }

    fn alter(&mut self) -> Statement {
        self.takes("ONLINE");
        self.takes("IGNORE");
        if !self.takes("TABLE") {
            return Statement::Other;
        }
        self.takes_all(&["IF", "EXISTS"]);
        let Some(table) = self.table() else {
            return Statement::Other;
        };
        let mut tables = vec![table];
        // A new name may stand among other changes; which word introduces it, only a parser could tell, so the name is looked
        // for where a statement that does nothing else has it.
        if self.takes("RENAME") {
            let is_part = ["COLUMN", "INDEX", "KEY"]
                .iter()
                .any(|word| self.takes(word));
            if !is_part {
                let _ = self.takes("TO") || self.takes("AS");
                tables.extend(self.table());
            }
        }
        Statement::Ddl(tables)
    }

    fn rename(&mut self) -> Statement {
        if !self.takes("TABLE") && !self.takes("TABLES") {
            return Statement::Other;
        }
        self.takes_all(&["IF", "EXISTS"]);
        let mut tables = Vec::new();
        while let Some(from) = self.table() {
            tables.push(from);
            for wait in ["WAIT", "NOWAIT"] {
                if self.takes(wait) {
                    self.keyword();
                }
            }
            if self.takes("TO") {
                tables.extend(self.table());
            }
            if !self.takes_char(',') {
                break;
            }
        }
        Statement::Ddl(tables)
    }

    fn drop(&mut self) -> Statement {
        let what = self.keyword();
        match what.as_str() {
            "TABLE" | "TABLES" => {
                self.takes_all(&["IF", "EXISTS"]);
                Statement::Ddl(self.tables())
            }
            "DATABASE" | "SCHEMA" => {
                self.takes_all(&["IF", "EXISTS"]);
                self.name()
                    .map_or(Statement::Other, Statement::DropDatabase)
            }
            // Temporary tables are no tables of the source.
            _ => Statement::Other,
        }
    }

    fn create(&mut self) -> Statement {
        self.takes_all(&["OR", "REPLACE"]);
        if !self.takes("TABLE") {
            return Statement::Other;
        }
        self.takes_all(&["IF", "NOT", "EXISTS"]);
        self.table()
            .map_or(Statement::Other, |table| Statement::Ddl(vec![table]))
    }

    /// A server that was restarted tells by this statement that a table in memory is empty, whatever the log's format.
    fn delete(&mut self) -> Statement {
        if self.takes("FROM")
            && let Some(table) = self.table()
        {
            self.skip();
            if self.rest.trim_matches(';').trim().is_empty() {
                return Statement::Truncate(table);
            }
        }
        Statement::Rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ddl(sql: &str) -> Vec<String> {
        match Statement::new(sql, "d") {
            Statement::Ddl(tables) => tables.iter().map(ToString::to_string).collect(),
            other => panic!("{sql}: {other:?}"),
        }
    }

    #[test]
    fn definitions_name_their_tables() {
        assert_eq!(ddl("ALTER TABLE t ADD COLUMN x int"), ["d.t"]);
        assert_eq!(
            ddl("/* a */ alter /*!50100 table */ `a``b`.`t` drop x"),
            ["a`b.t"]
        );
        assert_eq!(
            ddl("ALTER ONLINE IGNORE TABLE IF EXISTS s . t rename to u"),
            ["s.t", "d.u"]
        );
        assert_eq!(ddl("alter table t rename column a to b"), ["d.t"]);
        assert_eq!(
            ddl("RENAME TABLE a TO b, s.c TO d"),
            ["d.a", "d.b", "s.c", "d.d"]
        );
        assert_eq!(
            ddl("DROP TABLE IF EXISTS `a`,`s`.`b` /* generated by server */"),
            ["d.a", "s.b"]
        );
        assert_eq!(
            ddl("CREATE OR REPLACE TABLE IF NOT EXISTS ünï (a int)"),
            ["d.ünï"]
        );
        assert_eq!(ddl("-- note\n#more\ncreate table\tt like u"), ["d.t"]);
    }

    #[test]
    fn the_rest_is_told_apart_by_its_first_words() {
        let read = |sql| Statement::new(sql, "d");
        assert_eq!(read("BEGIN"), Statement::Begin);
        assert_eq!(read("START TRANSACTION"), Statement::Begin);
        assert_eq!(read("COMMIT"), Statement::Commit);
        assert_eq!(read("ROLLBACK"), Statement::Rollback);
        assert_eq!(read("ROLLBACK TO `a`"), Statement::RollbackTo("a".into()));
        assert_eq!(read("SAVEPOINT `a`"), Statement::Savepoint("a".into()));
        assert_eq!(read("XA START X'61',X'',1"), Statement::XaStart);
        assert_eq!(
            read("XA COMMIT X'61',X'',1"),
            Statement::XaCommit("X'61',X'',1".into())
        );
        assert_eq!(
            read("TRUNCATE t"),
            Statement::Truncate(TableName::new("d", "t"))
        );
        assert_eq!(
            read("truncate table `s`.t wait 3"),
            Statement::Truncate(TableName::new("s", "t"))
        );
        assert_eq!(
            read("DELETE FROM `s`.`t`"),
            Statement::Truncate(TableName::new("s", "t"))
        );
        assert_eq!(read("DELETE FROM t WHERE a = 1"), Statement::Rows);
        assert_eq!(read("insert into t values (1)"), Statement::Rows);
        assert_eq!(
            read("DROP DATABASE IF EXISTS `s`"),
            Statement::DropDatabase("s".into())
        );
        for other in [
            "CREATE USER u",
            "DROP TEMPORARY TABLE t",
            "CREATE INDEX i ON t (a)",
            "ANALYZE TABLE t",
            "",
            "'",
            "`",
            "CREATE TEMPORARY TABLE t (a int)",
            "drop view v",
            "ALTER DATABASE d",
            "/* unended",
        ] {
            assert_eq!(read(other), Statement::Other, "{other}");
        }
    }
}
