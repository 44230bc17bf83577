//! A running capture.

use async_trait::async_trait;
use whimbrel_connector::{Background, ChangeBlock, ChangeStream, Error, LogPlace, in_background};
use whimbrel_core::{Position, Table, TableName};

use super::ahead;
use super::assembler::{Assembler, Need};
use super::checks;
use super::codec_charsets;
use super::defaults::Defaults;
use super::event::kind;
use super::feed::{Event, Input, bad};
use super::place::{Parsed, Place};
use super::prepared;
use super::replica;
use crate::catalog;
use crate::connect::connect;
use crate::errors::general;
use crate::options::Options;
use crate::wire::{Connection, Purpose};

/// Streams the changes of the captured tables.
pub(super) struct MysqlStream {
    options: Options,
    input: Input,
    assembler: Assembler,
    /// An event that waits for a description.
    held: Option<Event>,
    /// The rows of a prepared transaction that are being read, by its id.
    prepared: Option<(String, Input)>,
    /// The answer of the catalog that is being waited for.
    asked: Option<Asked>,
    /// Told once what came before it has been taken.
    failure: Option<Error>,
    is_over: bool,
    /// Whether the catalog is asked what a table is that was altered.
    pub(super) follows_definitions: bool,
}

/// Goes on while nobody waits: what others wait for meanwhile must not make it begin again, since it may take as long as a backlog.
type Asked = Background<Result<(Connection, Option<Table>), Error>>;

const DESCRIBING: &str = "describe a table anew that was altered";

/// Asks the catalog for a table, as it is at a place of the log; `None` if it has been altered again since.
async fn ask(
    options: Options,
    place: Place,
    name: TableName,
) -> Result<(Connection, Option<Table>), Error> {
    let mut connection = connect(&options, Purpose::Read).await?;
    catalog::wait_for_definition(&mut connection, &name)
        .await
        .map_err(|error| general(error, DESCRIBING))?;
    let is_it = |other: &TableName| *other == name;
    let tables = catalog::tables(&mut connection, &is_it).await;
    let tables = tables.map_err(|error| general(error, DESCRIBING))?;
    let is_ahead = ahead::is_defined_again(&options, &mut connection, &place, &name).await?;
    let mut table = tables.into_iter().next().filter(|_| !is_ahead);
    if let Some(table) = &mut table {
        let unsaid = checks::unsaid(&mut connection, table).await?;
        table.obstacle = table.obstacle.take().or(unsaid);
    }
    Ok((connection, table))
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
            asked: None,
            failure: None,
            is_over: false,
            follows_definitions: true,
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
        if !self.follows_definitions {
            self.assembler.describe(name, None);
            return Ok(());
        }
        let asked = self.asked.get_or_insert_with(|| {
            let place = self.assembler.place().clone();
            let asking = ask(self.options.clone(), place, name.clone());
            in_background("ask the catalog", asking)
        });
        let answer = asked.await;
        self.asked = None;
        let answer =
            answer.map_err(|panic| Error::Fatal(format!("the catalog's answer: {panic}")))?;
        let (mut connection, table) = answer?;
        for charset in table.iter().flat_map(codec_charsets) {
            let charsets = &mut self.assembler.charsets;
            let prepared = charsets.prepare(&mut connection, charset).await;
            prepared.map_err(|error| general(error, DESCRIBING))?;
        }
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
