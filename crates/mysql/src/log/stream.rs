//! A running capture.

use async_trait::async_trait;
use whimbrel_connector::{ChangeBlock, ChangeStream, Error, LogPlace};
use whimbrel_core::{Position, TableName};

use super::ahead;
use super::assembler::{Assembler, Need};
use super::codec_charsets;
use super::defaults::Defaults;
use super::event::kind;
use super::feed::{Event, Input, bad};
use super::place::Parsed;
use super::prepared;
use super::replica;
use crate::catalog;
use crate::connect::connect;
use crate::errors::general;
use crate::options::Options;
use crate::wire::{Connection, Purpose, WireError};

/// Streams the changes of the captured tables.
pub(super) struct MysqlStream {
    options: Options,
    input: Input,
    assembler: Assembler,
    /// An event that waits for a description.
    held: Option<Event>,
    /// The rows of a prepared transaction that are being read, by its id.
    prepared: Option<(String, Input)>,
    /// For questions to the catalog.
    catalog: Option<Connection>,
    /// Told once what came before it has been taken.
    failure: Option<Error>,
    is_over: bool,
}

/// What comes next.
enum Step {
    Block(ChangeBlock),
    /// More of the log must come.
    Wait,
    Describe(TableName),
    ReadDefaults(TableName),
    ReadPrepared(String),
}

impl MysqlStream {
    pub(super) fn new(options: Options, input: Input, assembler: Assembler) -> Self {
        Self {
            options,
            input,
            assembler,
            held: None,
            prepared: None,
            catalog: None,
            failure: None,
            is_over: false,
        }
    }

    /// Goes as far as it can without waiting.
    fn step(&mut self) -> Result<Step, Error> {
        loop {
            if self.assembler.is_full()
                && let Some(block) = self.assembler.take_block()
            {
                return Ok(Step::Block(block));
            }
            if let Need::Description(name) = self.assembler.pending() {
                return Ok(Step::Describe(name));
            }
            let event = match self.held.take() {
                Some(event) => Some(event),
                None => self.next_event()?,
            };
            let Some(event) = event else {
                return Ok(self.assembler.take_block().map_or(Step::Wait, Step::Block));
            };
            if event.header.kind == kind::XA_PREPARE
                && let Some((id, _)) = self.prepared.take()
            {
                self.assembler.end_prepared(&id);
                continue;
            }
            match self.assembler.event(&event)? {
                Need::Nothing => {}
                Need::Description(name) => {
                    self.held = Some(event);
                    return Ok(Step::Describe(name));
                }
                Need::Defaults(name) => {
                    self.held = Some(event);
                    return Ok(Step::ReadDefaults(name));
                }
                Need::Prepared(id) => return Ok(Step::ReadPrepared(id)),
            }
        }
    }

    fn next_event(&mut self) -> Result<Option<Event>, Error> {
        match &mut self.prepared {
            Some((_, input)) => input.next(),
            None => self.input.next(),
        }
    }

    /// Waits for what the step needs. Cancel safe: what was not finished is begun again.
    async fn wait(&mut self, step: Step) -> Result<Option<ChangeBlock>, Error> {
        match step {
            Step::Block(block) => return Ok(Some(block)),
            Step::Wait => match &mut self.prepared {
                Some((_, input)) => input.fill().await?,
                None => self.input.fill().await?,
            },
            Step::Describe(name) => self.describe(&name).await?,
            Step::ReadDefaults(name) => self.read_defaults(&name).await?,
            Step::ReadPrepared(id) => self.read_prepared(id).await?,
        }
        Ok(None)
    }

    async fn describe(&mut self, name: &TableName) -> Result<(), Error> {
        let failed = |error| general(error, "describe a table anew that was altered");
        let mut connection = match self.catalog.take() {
            Some(connection) if connection.is_ready() => connection,
            _ => connect(&self.options, Purpose::Read).await?,
        };
        let is_it = |other: &TableName| other == name;
        let tables = match catalog::tables(&mut connection, &is_it).await {
            // The server may have ended the connection while nobody asked.
            Err(WireError::Io(_) | WireError::Closed) => {
                connection = connect(&self.options, Purpose::Read).await?;
                catalog::tables(&mut connection, &is_it).await
            }
            other => other,
        };
        let table = tables.map_err(failed)?.into_iter().next();
        let place = self.assembler.place();
        let is_ahead = ahead::is_defined_again(&self.options, &mut connection, place, name).await?;
        let table = table.filter(|_| !is_ahead);
        for charset in table.iter().flat_map(codec_charsets) {
            let charsets = &mut self.assembler.charsets;
            charsets
                .prepare(&mut connection, charset)
                .await
                .map_err(failed)?;
        }
        self.catalog = Some(connection);
        self.assembler.describe(name, table);
        Ok(())
    }

    async fn read_defaults(&mut self, name: &TableName) -> Result<(), Error> {
        let failed = |error| general(error, "read the defaults of a table");
        let Some(table) = self.assembler.table(name) else {
            return Err(bad("rows of a table that is not described"));
        };
        let mut connection = connect(&self.options, Purpose::Read).await?;
        let defaults = Defaults::read(&mut connection, &table)
            .await
            .map_err(failed)?;
        self.catalog = Some(connection);
        self.assembler.put_defaults(name, defaults);
        Ok(())
    }

    /// Begins to read the rows of a prepared transaction.
    async fn read_prepared(&mut self, id: String) -> Result<(), Error> {
        let known = self.assembler.prepared.get(&id).cloned();
        let (file, offset) = match known {
            Some(place) => place,
            None => prepared::find(&self.options, &id, self.assembler.place()).await?,
        };
        if replica::first_offset(offset) != offset {
            return Err(bad(
                "a prepared transaction beyond the first four gigabytes of a file: load the tables again",
            ));
        }
        let input = replica::dump(&self.options, &file.name, offset).await?;
        self.prepared = Some((id, input));
        Ok(())
    }
}

#[async_trait]
impl ChangeStream for MysqlStream {
    async fn next(&mut self) -> Result<ChangeBlock, Error> {
        if self.is_over {
            return Err(Error::Transient(
                "the stream of changes has ended with an error; open another".to_owned(),
            ));
        }
        loop {
            if let Some(error) = self.failure.take() {
                self.is_over = true;
                return Err(error);
            }
            let done = match self.step() {
                Ok(step) => self.wait(step).await,
                Err(error) => Err(error),
            };
            match done {
                Ok(Some(block)) => return Ok(block),
                Ok(None) => {}
                Err(error) => {
                    self.failure = Some(error);
                    if let Some(block) = self.assembler.take_block() {
                        return Ok(block);
                    }
                }
            }
        }
    }

    /// Servers keep their logs by their own rules.
    fn confirm(&mut self, _: &Position) {}

    fn has_reached(&self, place: &dyn LogPlace, position: &Position) -> bool {
        let mark = |position: &Position| {
            let parsed = Parsed::without_ids(position).ok()?;
            Some((parsed.file.number, parsed.offset))
        };
        match (mark(&place.position()), mark(position)) {
            (Some(place), Some(position)) => place >= position,
            _ => false,
        }
    }
}
