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
    Alter(Alteration),
    /// Old and new names, one pair after another.
    Rename(Vec<(TableName, TableName)>),
    Drop(Vec<TableName>),
    Create {
        table: TableName,
        /// One that is there goes first.
        replaces: bool,
    },
    /// Removes all tables of a database.
    DropDatabase(String),
    /// Changes rows, which should have come as row events.
    Rows,
    Other,
}

/// What becomes of a table, as far as the words of the statement tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Alteration {
    pub(super) table: TableName,
    pub(super) renamed_to: Option<TableName>,
    pub(super) columns: Vec<ColumnWord>,
    /// It may have given its columns other names, types or places.
    pub(super) reshapes: bool,
    /// Rows come or go with partitions or files, and no event tells them.
    pub(super) moves_rows: bool,
    /// Another table that the rows come from or go to.
    pub(super) other: Option<OtherTable>,
}

/// What becomes of the other table when rows move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum OtherTable {
    Exchanged(TableName),
    /// It is a partition now.
    Gone(TableName),
    /// It was a partition.
    Made(TableName),
}

impl OtherTable {
    pub(super) fn name(&self) -> &TableName {
        match self {
            Self::Exchanged(name) | Self::Gone(name) | Self::Made(name) => name,
        }
    }
}

/// What becomes of a column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ColumnWord {
    Add(String),
    Drop(String),
    Rename(String, String),
}

impl ColumnWord {
    /// The name of a column that comes.
    pub(super) fn added(&self) -> Option<&str> {
        match self {
            Self::Add(name) => Some(name),
            Self::Drop(_) | Self::Rename(..) => None,
        }
    }

    /// The name of a column that goes.
    pub(super) fn dropped(&self) -> Option<&str> {
        match self {
            Self::Drop(name) => Some(name),
            Self::Add(_) | Self::Rename(..) => None,
        }
    }
}

/// What an alteration may say that gives no column another name, type or place.
const HARMLESS: [&str; 34] = [
    "ALGORITHM",
    "ALTER",
    "ANALYZE",
    "AUTO_INCREMENT",
    "AVG_ROW_LENGTH",
    "CHECK",
    "CHECKSUM",
    "COALESCE",
    "COMMENT",
    "COMPRESSION",
    "DISABLE",
    "ENABLE",
    "ENCRYPTION",
    "ENGINE",
    "FORCE",
    "KEY_BLOCK_SIZE",
    "LOCK",
    "MAX_ROWS",
    "MIN_ROWS",
    "OPTIMIZE",
    "ORDER",
    "PACK_KEYS",
    "PARTITION",
    "REBUILD",
    "REMOVE",
    "REORGANIZE",
    "REPAIR",
    "ROW_FORMAT",
    "STATS_AUTO_RECALC",
    "STATS_PERSISTENT",
    "STATS_SAMPLE_PAGES",
    "TABLESPACE",
    "WITH",
    "WITHOUT",
];

impl Alteration {
    fn of(table: TableName) -> Self {
        Self {
            table,
            renamed_to: None,
            columns: Vec::new(),
            reshapes: false,
            moves_rows: false,
            other: None,
        }
    }
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
            "SET" if words.takes("STATEMENT") => words.behind_settings(),
            "INSERT" | "REPLACE" => words.insert(),
            "UPDATE" | "LOAD" | "WITH" => Self::Rows,
            _ => Self::Other,
        }
    }
}

/// A statement that changes rows of a table. Amazon RDS writes those of its own tables in `mysql` so, whatever the log's format: they are no tables
/// that are migrated.
fn rows_of(table: &TableName) -> Statement {
    if table.schema == "mysql" && table.name.starts_with("rds_") {
        return Statement::Other;
    }
    Statement::Rows
}

/// Two dashes begin a comment where white space, a control character or the end is behind them.
fn begins_dashes(text: &str) -> bool {
    text.strip_prefix("--")
        .is_some_and(|behind| !behind.starts_with(|c: char| !c.is_whitespace() && !c.is_control()))
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
            } else if self.rest.starts_with('#') || begins_dashes(self.rest) {
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
            .find(|c: char| c.is_ascii() && !c.is_ascii_alphanumeric() && !matches!(c, '_' | '$'))
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

    /// The statement that settings are made for, which MariaDB logs with them.
    fn behind_settings(&mut self) -> Statement {
        let mut depth = 0_usize;
        loop {
            self.skip();
            if depth == 0 && self.takes("FOR") {
                return Statement::new(self.rest, self.database);
            }
            let Some(c) = self.rest.chars().next() else {
                return Statement::Other;
            };
            match c {
                '`' if self.name().is_some() => continue,
                '\'' | '"' => {
                    self.skip_text(c);
                    continue;
                }
                _ if c.is_alphanumeric() || c == '_' => {
                    self.name();
                    continue;
                }
                '(' => depth += 1,
                ')' => depth = depth.saturating_sub(1),
                _ => {}
            }
            self.rest = &self.rest[c.len_utf8()..];
        }
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
        let leaves_rows_out = self.takes("IGNORE");
        if !self.takes("TABLE") {
            return Statement::Other;
        }
        self.takes_all(&["IF", "EXISTS"]);
        let Some(table) = self.table() else {
            return Statement::Other;
        };
        self.pass_over_wait();
        let mut alteration = Alteration::of(table);
        // Rows that a new key or check does not take go without a word.
        alteration.moves_rows = leaves_rows_out;
        loop {
            self.specification(&mut alteration);
            if !self.skip_specification() {
                return Statement::Alter(alteration);
            }
        }
    }

    fn pass_over_wait(&mut self) {
        if self.takes("WAIT") {
            self.keyword();
        } else {
            self.takes("NOWAIT");
        }
    }

    /// One of the changes that an ALTER TABLE lists.
    fn specification(&mut self, alteration: &mut Alteration) {
        let before = (alteration.columns.len(), alteration.renamed_to.is_some());
        let word = self.keyword();
        match word.as_str() {
            "ADD" => self.add(alteration),
            "DROP" => self.drop_part(alteration),
            "CHANGE" => {
                alteration.reshapes = true;
                self.takes("COLUMN");
                self.takes_all(&["IF", "EXISTS"]);
                self.rename_column(alteration);
            }
            "RENAME" => {
                if self.takes("COLUMN") {
                    self.takes_all(&["IF", "EXISTS"]);
                    self.rename_column(alteration);
                } else if !self.takes("INDEX") && !self.takes("KEY") {
                    let _ = self.takes("TO") || self.takes("AS") || self.takes_char('=');
                    alteration.renamed_to = self.table();
                }
            }
            "TRUNCATE" if self.takes("PARTITION") => alteration.moves_rows = true,
            "EXCHANGE" if self.takes("PARTITION") => {
                alteration.moves_rows = true;
                self.name();
                self.takes_all(&["WITH", "TABLE"]);
                alteration.other = self.table().map(OtherTable::Exchanged);
            }
            "CONVERT" if self.takes("PARTITION") => {
                alteration.moves_rows = true;
                self.name();
                self.takes_all(&["TO", "TABLE"]);
                alteration.other = self.table().map(OtherTable::Made);
            }
            "CONVERT" if self.takes("TABLE") => {
                alteration.moves_rows = true;
                alteration.other = self.table().map(OtherTable::Gone);
            }
            "IMPORT" | "DISCARD" => alteration.moves_rows = true,
            word if HARMLESS.contains(&word) => {}
            _ => alteration.reshapes = true,
        }
        let after = (alteration.columns.len(), alteration.renamed_to.is_some());
        alteration.reshapes |= before != after;
    }

    fn drop_part(&mut self, alteration: &mut Alteration) {
        const OTHERS: [&str; 7] = [
            "PRIMARY",
            "INDEX",
            "KEY",
            "FOREIGN",
            "CONSTRAINT",
            "CHECK",
            "SYSTEM",
        ];
        if self.takes("PARTITION") {
            alteration.moves_rows = true;
        } else if !OTHERS.iter().any(|word| self.takes(word)) {
            self.takes("COLUMN");
            self.takes_all(&["IF", "EXISTS"]);
            alteration.columns.extend(self.name().map(ColumnWord::Drop));
        }
    }

    fn add(&mut self, alteration: &mut Alteration) {
        const OTHERS: [&str; 12] = [
            "INDEX",
            "KEY",
            "PRIMARY",
            "UNIQUE",
            "FULLTEXT",
            "SPATIAL",
            "CONSTRAINT",
            "FOREIGN",
            "CHECK",
            "PARTITION",
            "PERIOD",
            "SYSTEM",
        ];
        // `vector` alone may be a column's name.
        let is_of_vectors = ["INDEX", "KEY"]
            .iter()
            .any(|word| self.takes_all(&["VECTOR", word]));
        if is_of_vectors || OTHERS.iter().any(|word| self.takes(word)) {
            return;
        }
        self.takes("COLUMN");
        self.takes_all(&["IF", "NOT", "EXISTS"]);
        if !self.takes_char('(') {
            alteration.columns.extend(self.name().map(ColumnWord::Add));
            return;
        }
        loop {
            alteration.columns.extend(self.name().map(ColumnWord::Add));
            if !self.skip_specification() {
                self.takes_char(')');
                return;
            }
        }
    }

    fn rename_column(&mut self, alteration: &mut Alteration) {
        let Some(from) = self.name() else { return };
        self.takes("TO");
        if let Some(to) = self.name().filter(|to| *to != from) {
            alteration.columns.push(ColumnWord::Rename(from, to));
        }
    }

    /// Passes over the rest of one item of a list. Whether another follows; else the end, or what closes the list, is next.
    fn skip_specification(&mut self) -> bool {
        let mut depth = 0_usize;
        loop {
            self.skip();
            let Some(c) = self.rest.chars().next() else {
                return false;
            };
            match c {
                '`' | '"' if self.name().is_some() => continue,
                '\'' => {
                    self.skip_text(c);
                    continue;
                }
                '(' => depth += 1,
                ')' if depth == 0 => return false,
                ')' => depth -= 1,
                ',' if depth == 0 => {
                    self.takes_char(',');
                    return true;
                }
                _ => {}
            }
            self.rest = &self.rest[c.len_utf8()..];
        }
    }

    /// Passes over a text in quotes.
    fn skip_text(&mut self, quote: char) {
        let mut chars = self.rest.char_indices().skip(1).peekable();
        while let Some((index, c)) = chars.next() {
            match c {
                '\\' => {
                    chars.next();
                }
                c if c == quote && chars.next_if(|(_, next)| *next == quote).is_none() => {
                    self.rest = &self.rest[index + 1..];
                    return;
                }
                _ => {}
            }
        }
        self.rest = "";
    }

    fn rename(&mut self) -> Statement {
        if !self.takes("TABLE") && !self.takes("TABLES") {
            return Statement::Other;
        }
        self.takes_all(&["IF", "EXISTS"]);
        let mut tables = Vec::new();
        while let Some(from) = self.table() {
            self.pass_over_wait();
            self.takes("TO");
            tables.extend(self.table().map(|to| (from, to)));
            if !self.takes_char(',') {
                break;
            }
        }
        Statement::Rename(tables)
    }

    fn drop(&mut self) -> Statement {
        let what = self.keyword();
        match what.as_str() {
            "TABLE" | "TABLES" => {
                self.takes_all(&["IF", "EXISTS"]);
                Statement::Drop(self.tables())
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
        let replaces = self.takes_all(&["OR", "REPLACE"]);
        if !self.takes("TABLE") {
            return Statement::Other;
        }
        self.takes_all(&["IF", "NOT", "EXISTS"]);
        let created = |table| Statement::Create { table, replaces };
        self.table().map_or(Statement::Other, created)
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
            // Of several tables others may be changed.
            if self.takes("WHERE") || self.takes("LIMIT") {
                return rows_of(&table);
            }
        }
        Statement::Rows
    }

    fn insert(&mut self) -> Statement {
        self.takes("IGNORE");
        self.takes("INTO");
        self.table()
            .map_or(Statement::Rows, |table| rows_of(&table))
    }
}

#[cfg(test)]
mod tests;
