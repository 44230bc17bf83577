//! Statements in words among the events, and the ends of XA transactions.

use whimbrel_connector::{Error, LogEvent};
use whimbrel_core::TableName;

use super::super::charset;
use super::super::event::kind;
use super::super::feed::{Event, bad};
use super::super::inflate::event_part;
use super::super::statement::{Alteration, OtherTable, Statement};
use super::{Assembler, Need, Transaction, fold, malformed, number, statement_error};
use crate::wire::{Malformed, Reader};

/// Of the head of a statement in front of its variables.
const QUERY_FIXED_BYTES: usize = 13;

impl Assembler {
    /// A statement in words.
    pub(super) fn query(&mut self, event: &Event) -> Result<Need, Error> {
        if self.replays.is_some() {
            return Ok(Need::Nothing);
        }
        match statement_of(event)? {
            None => {
                self.open();
                Ok(Need::Nothing)
            }
            Some((statement, text)) => {
                let is_announced = |transaction: &Transaction| transaction.is_announced;
                let statement = if self.transaction.as_ref().is_some_and(is_announced) {
                    Statement::Other
                } else {
                    statement
                };
                self.statement(statement, &text, event.header.seconds)
            }
        }
    }

    /// The transaction ends by an event of its own.
    fn open(&mut self) {
        if let Some(transaction) = &mut self.transaction {
            transaction.is_open = true;
        }
    }

    fn statement(&mut self, statement: Statement, text: &str, seconds: u32) -> Result<Need, Error> {
        match statement {
            Statement::Begin | Statement::XaStart => {
                self.open();
                return Ok(Need::Nothing);
            }
            Statement::Commit => {
                self.commit(seconds);
                return Ok(Need::Nothing);
            }
            Statement::Rollback => {
                self.roll_back()?;
                return Ok(Need::Nothing);
            }
            Statement::Savepoint(name) => {
                let name = name.to_lowercase();
                let next = self.builder.events.len();
                if let Some(transaction) = &mut self.transaction {
                    let count = transaction.row_events;
                    transaction.savepoints.retain(|(other, ..)| *other != name);
                    transaction.savepoints.push((name, Some(next), count));
                }
            }
            Statement::RollbackTo(name) => self.roll_back_to(&name)?,
            Statement::XaCommit(id) => {
                self.replays = Some(seconds);
                return Ok(Need::Prepared(id.to_ascii_lowercase()));
            }
            Statement::XaRollback(id) => {
                self.prepared.remove(&id.to_ascii_lowercase());
                self.roll_back()?;
                return Ok(Need::Nothing);
            }
            Statement::Truncate(table) => {
                if let Some(index) = self.find(&table) {
                    self.tell(index);
                    self.begin()?;
                    let table = number(index);
                    self.builder.events.push(LogEvent::Truncate { table });
                }
            }
            Statement::Alter(alteration) => self.alter(alteration, text)?,
            Statement::Rename(pairs) => {
                let mut moved = Vec::new();
                for (from, to) in pairs {
                    self.rename(&from, to, &mut moved)?;
                }
            }
            Statement::Drop(tables) => self.drop_tables(&tables)?,
            Statement::DropDatabase(name) => {
                let tables = self.tables_of(&name);
                self.drop_tables(&tables)?;
            }
            Statement::Create { table, replaces } => self.create(table, replaces)?,
            Statement::Rows => return Err(statement_error("a statement that changes rows")),
            Statement::Other => {}
        }
        let stands_alone = self
            .transaction
            .as_ref()
            .is_none_or(|transaction| !transaction.is_open);
        if stands_alone {
            if self.to_describe.is_empty() {
                self.commit(seconds);
            } else {
                self.ends_at = Some(seconds);
            }
        }
        Ok(Need::Nothing)
    }

    fn tables_of(&self, database: &str) -> Vec<TableName> {
        let fold = |name: &TableName| fold(name, self.folds_case).schema;
        let database = fold(&TableName::new(database, ""));
        let names = self.captured.iter().map(|captured| &captured.name);
        names
            .filter(|name| fold(name) == database)
            .cloned()
            .collect()
    }

    fn roll_back_to(&mut self, name: &str) -> Result<(), Error> {
        let name = name.to_lowercase();
        let Some(transaction) = &mut self.transaction else {
            return Ok(());
        };
        let is_it = |savepoint: &(String, Option<usize>, u64)| savepoint.0 == name;
        let at = transaction.savepoints.iter().position(is_it);
        let at = at.ok_or_else(|| bad("a return to a savepoint that it does not name before"))?;
        transaction.savepoints.truncate(at + 1);
        let count = transaction.savepoints[at].2;
        // Those that were passed over already are no part of it.
        if transaction
            .voids
            .iter()
            .any(|void| void.start == count && void.end == transaction.row_events)
        {
            return Ok(());
        }
        self.void(count)
    }

    /// A table is altered: what it is now the catalog is asked.
    fn alter(&mut self, alteration: Alteration, text: &str) -> Result<(), Error> {
        match &alteration.other {
            Some(OtherTable::Made(other)) => self.come(other.clone())?,
            Some(OtherTable::Gone(other)) => self.drop_tables(std::slice::from_ref(other))?,
            Some(OtherTable::Exchanged(other)) => self.rows_moved(other, text)?,
            None => {}
        }
        let Some(index) = self.there(&alteration.table) else {
            return match alteration.renamed_to {
                Some(to) => self.come(to),
                None => Ok(()),
            };
        };
        self.begin()?;
        if alteration.moves_rows {
            self.rows_moved(&alteration.table, text)?;
        }
        match alteration.renamed_to {
            None => {
                let captured = &mut self.captured[index];
                captured.words = alteration.columns;
                self.to_describe.push(captured.name.clone());
                Ok(())
            }
            Some(to) if alteration.columns.is_empty() => {
                self.rename(&alteration.table, to, &mut Vec::new())
            }
            // What its columns were, nobody can tell under the new name.
            Some(to) => {
                self.drop_tables(&[alteration.table])?;
                self.come(to)
            }
        }
    }

    /// Rows of a table came or went.
    fn rows_moved(&mut self, table: &TableName, text: &str) -> Result<(), Error> {
        if let Some(index) = self.there(table) {
            self.begin()?;
            let why =
                format!("a statement moved rows of it that the binary log does not hold ({text})");
            let table = number(index);
            self.builder.events.push(LogEvent::Rewritten { table, why });
        }
        Ok(())
    }

    /// `moved`: captured tables that the statement has given another name so far, with that: it may give one table name after name, as where two exchange theirs.
    fn rename(
        &mut self,
        from: &TableName,
        to: TableName,
        moved: &mut Vec<(usize, TableName)>,
    ) -> Result<(), Error> {
        let folds_case = self.folds_case;
        let is_it = |name: &TableName| fold(name, folds_case) == fold(from, folds_case);
        let again = moved.iter().position(|(_, name)| is_it(name));
        let index = match again {
            Some(place) => Some(moved.swap_remove(place).0),
            None => self.there(from),
        };
        let Some(index) = index else {
            return self.come(to);
        };
        self.begin()?;
        let captured = &mut self.captured[index];
        // It may have its own name back.
        captured.is_gone = fold(&captured.name, folds_case) != fold(&to, folds_case);
        moved.push((index, to.clone()));
        let table = number(index);
        self.builder.events.push(LogEvent::Renamed { table, to });
        Ok(())
    }

    fn drop_tables(&mut self, tables: &[TableName]) -> Result<(), Error> {
        for name in tables {
            if let Some(index) = self.there(name) {
                self.begin()?;
                self.captured[index].is_gone = true;
                let table = number(index);
                self.builder.events.push(LogEvent::Dropped { table });
            }
        }
        Ok(())
    }

    /// A statement that makes a table which is there has done nothing, unless it replaces it.
    fn create(&mut self, table: TableName, replaces: bool) -> Result<(), Error> {
        if replaces {
            self.drop_tables(std::slice::from_ref(&table))?;
        }
        match self.there(&table) {
            Some(_) => Ok(()),
            None => self.come(table),
        }
    }

    /// A table came to be under this name.
    fn come(&mut self, table: TableName) -> Result<(), Error> {
        self.begin()?;
        if let Some(index) = self.find(&table) {
            self.captured[index].is_gone = false;
        }
        self.builder.events.push(LogEvent::Created { table });
        Ok(())
    }

    /// A captured table that was not dropped.
    fn there(&self, name: &TableName) -> Option<usize> {
        self.find(name)
            .filter(|&index| !self.captured[index].is_gone)
    }

    /// The end of an XA transaction that is prepared.
    pub(super) fn prepare(&mut self, body: &[u8], seconds: u32) -> Result<(), Error> {
        let (id, is_one_phase) = xa_id(body).map_err(malformed)?;
        if self.replays.is_some() {
            return Ok(());
        }
        if is_one_phase {
            self.commit(seconds);
            return Ok(());
        }
        if let Some(transaction) = &mut self.transaction {
            let place = (self.place.file.clone(), transaction.mark.1);
            self.prepared.insert(id, place);
        }
        self.roll_back()
    }

    /// The rows of a prepared transaction have all come.
    pub(in super::super) fn end_prepared(&mut self, id: &str) {
        self.prepared.remove(id);
        if let Some(seconds) = self.replays.take() {
            self.maps.clear();
            self.commit(seconds);
        }
    }
}

/// The statement of an event, and its text; `None` for BEGIN, which most are, and a look at the bytes tells.
pub(in super::super) fn statement_of(event: &Event) -> Result<Option<(Statement, String)>, Error> {
    let (head, text) = query_head(event.body()).map_err(malformed)?;
    let mut plain = Vec::new();
    let text = if event.header.kind == kind::MARIA_QUERY_COMPRESSED {
        event_part(text, &mut plain)
            .ok_or_else(|| bad("a compressed statement that cannot be read"))?;
        &plain
    } else {
        text
    };
    if text == b"BEGIN" {
        return Ok(None);
    }
    let head = &event.body()[..head];
    let database = query_database(head).map_err(malformed)?;
    let text = words_of(text, head);
    Ok(Some((Statement::new(&text, &database), text)))
}

/// The text of a statement as UTF-8. Servers log it as the client sent it, and in UTF-8 what they word themselves: some of what drops tables, what makes one for the rows of
/// a query, what empties one in memory. What a client sent in another set is hardly ever UTF-8 too.
fn words_of(text: &[u8], head: &[u8]) -> String {
    const OWN: [&[u8]; 4] = [
        b"CREATE TABLE `",
        b"CREATE OR REPLACE TABLE `",
        b"CREATE TABLE IF NOT EXISTS `",
        b"DELETE FROM `",
    ];
    let is_own =
        text.ends_with(b"/* generated by server */") || OWN.iter().any(|own| text.starts_with(own));
    let charset = client_charset(head).and_then(charset::of_client);
    match (std::str::from_utf8(text), charset) {
        (Ok(text), charset) if is_own || charset.is_none() => text.to_owned(),
        (_, Some(charset)) => charset.decode_without_bom_handling(text).0.into_owned(),
        (_, None) => String::from_utf8_lossy(text).into_owned(),
    }
}

/// The client's character set, as the number of a collation, among the variables of a statement: these come in this order, each behind its number.
fn client_charset(head: &[u8]) -> Option<u16> {
    const FLAGS: u8 = 0;
    const SQL_MODE: u8 = 1;
    const AUTO_INCREMENT: u8 = 3;
    const CHARSET: u8 = 4;
    const CATALOG: u8 = 6;
    let mut reader = Reader::new(head.get(QUERY_FIXED_BYTES..)?);
    loop {
        match reader.u8().ok()? {
            FLAGS | AUTO_INCREMENT => reader.bytes(4).ok()?,
            SQL_MODE => reader.bytes(8).ok()?,
            CATALOG => {
                let length = reader.u8().ok()?;
                reader.bytes(length.into()).ok()?
            }
            CHARSET => return reader.u16().ok(),
            _ => return None,
        };
    }
}

/// Bytes before the text of a statement, and the text: thread (4 bytes), duration (4), length of the database's name (1),
/// error (2), length of the variables (2), variables, the name and a zero.
fn query_head(body: &[u8]) -> Result<(usize, &[u8]), Malformed> {
    let mut reader = Reader::new(body);
    reader.bytes(8)?;
    let name = usize::from(reader.u8()?);
    reader.u16()?;
    let variables = usize::from(reader.u16()?);
    let head = QUERY_FIXED_BYTES + variables + name + 1;
    Ok((head, body.get(head..).ok_or(Malformed)?))
}

fn query_database(head: &[u8]) -> Result<String, Malformed> {
    let length = usize::from(*head.get(8).ok_or(Malformed)?);
    let end = head.len() - 1;
    let name = head.get(end.saturating_sub(length)..end).ok_or(Malformed)?;
    Ok(String::from_utf8_lossy(name).into_owned())
}
/// The id of XA_PREPARE as statements write it, and whether it is committed at once.
pub(in super::super) fn xa_id(body: &[u8]) -> Result<(String, bool), Malformed> {
    let mut reader = Reader::new(body);
    let is_one_phase = reader.u8()? != 0;
    let format = reader.u32()?;
    let global = reader.u32()? as usize;
    let branch = reader.u32()? as usize;
    let hex = |bytes: &[u8]| {
        let digit = |nibble: u8| char::from_digit(nibble.into(), 16).unwrap_or_default();
        let digits = bytes
            .iter()
            .flat_map(|&byte| [digit(byte >> 4), digit(byte & 15)]);
        digits.collect::<String>()
    };
    let global = hex(reader.bytes(global)?);
    let branch = hex(reader.bytes(branch)?);
    Ok((format!("x'{global}',x'{branch}',{format}"), is_one_phase))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What stands before a statement: variables of each kind that comes before the character set, and that.
    fn head(charset: u16) -> Vec<u8> {
        let mut head = vec![0; QUERY_FIXED_BYTES];
        head.extend_from_slice(&[0, 1, 2, 3, 4]);
        head.extend_from_slice(&[1, 1, 2, 3, 4, 5, 6, 7, 8]);
        head.extend_from_slice(b"\x06\x03std");
        head.extend_from_slice(&[3, 1, 0, 1, 0]);
        head.push(4);
        head.extend_from_slice(&charset.to_le_bytes());
        head
    }

    #[test]
    fn statements_are_read_in_the_character_set_of_their_client() {
        let (latin1, cp1251, utf8mb4, cp850) = (8, 51, 45, 4);
        let umlaut = b"TRUNCATE `m\xFCll`";
        assert_eq!(words_of(umlaut, &head(latin1)), "TRUNCATE `müll`");
        assert_eq!(words_of(umlaut, &head(cp1251)), "TRUNCATE `mьll`");
        let in_utf8 = "TRUNCATE `müll`";
        assert_eq!(words_of(in_utf8.as_bytes(), &head(utf8mb4)), in_utf8);
        // In latin1 the same bytes are two other letters.
        assert_eq!(
            words_of(in_utf8.as_bytes(), &head(latin1)),
            "TRUNCATE `mÃ¼ll`"
        );
        // What no library knows is read as UTF-8, as far as it is that.
        assert_eq!(
            words_of(b"TRUNCATE `m\x81ll`", &head(cp850)),
            "TRUNCATE `m\u{FFFD}ll`"
        );
    }

    #[test]
    fn what_the_server_words_itself_is_utf8_whatever_its_client_sent() {
        for own in [
            "DROP TABLE `müll` /* generated by server */",
            "CREATE TABLE `müll` (`id` int)",
            "DELETE FROM `müll`",
        ] {
            assert_eq!(words_of(own.as_bytes(), &head(8)), own);
        }
    }

    #[test]
    fn a_head_that_breaks_off_tells_of_no_character_set() {
        let whole = head(8);
        assert_eq!(client_charset(&whole), Some(8));
        for length in 0..whole.len() {
            assert_eq!(client_charset(&whole[..length]), None, "{length}");
        }
    }
}
