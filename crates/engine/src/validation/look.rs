//! The connections over which rows are looked at again, one to each end and one to the source's log.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use whimbrel_connector::{ChangeLog, Connector, KeyCell, KeyLookup, Source};
use whimbrel_core::{Position, RowHash, TableName, Value, write_text};

use super::failures::VALUE_CHARS;
use super::pending::{Look, PendingRow, Seen};
use crate::shaping::{Scratch, is_wanted};
use crate::validate::{Layout, RowView, Side};
use crate::{Progress, RunError};

/// How often the checkpoint is asked for while somebody waits for it.
const CHECKPOINT_EVERY: Duration = Duration::from_millis(50);

/// Rows of one end by the hash of their key.
type Rows = HashMap<RowHash, Seen>;

/// What looks.
pub(super) struct Eyes {
    source: Box<dyn Source>,
    target: Box<dyn Source>,
    /// Of a source that is followed.
    log: Option<Box<dyn ChangeLog>>,
    /// Tables that both ends have described over these connections.
    described: BTreeSet<TableName>,
}

impl Eyes {
    pub(super) async fn open(
        source: &Arc<dyn Connector>,
        target: &Arc<dyn Connector>,
        followed_as: Option<&str>,
    ) -> Result<Self, RunError> {
        let (from, to) = tokio::join!(source.source(), target.source());
        let log = match followed_as {
            Some(task) => Some(source.change_log(task).await.map_err(RunError::Source)?),
            None => None,
        };
        Ok(Self {
            source: from.map_err(RunError::Source)?,
            target: to.map_err(RunError::Target)?,
            log,
            described: BTreeSet::new(),
        })
    }

    /// Looks at rows at both ends. `None`: the target does not get on at present, so that nothing can be said.
    pub(super) async fn look(
        &mut self,
        layout: &Layout,
        rows: &[PendingRow],
        progress: &Progress,
    ) -> Result<Option<HashMap<RowHash, Look>>, RunError> {
        self.describe(layout).await?;
        let keys: Vec<Vec<KeyCell>> = rows.iter().map(|row| row.key.clone()).collect();
        let before = self.at(Side::Source, layout, &keys).await?;
        let at_target = self.at(Side::Target, layout, &keys).await?;
        let is_open = |row: &&PendingRow| {
            let cells = |rows: &Rows| rows.get(&row.key_hash).map(|seen| seen.cells.clone());
            cells(&before) != cells(&at_target)
        };
        let open: Vec<Vec<KeyCell>> = rows
            .iter()
            .filter(is_open)
            .map(|row| row.key.clone())
            .collect();
        let mut later = (Rows::new(), Rows::new());
        if !open.is_empty() {
            if !self.applied(progress).await? {
                return Ok(None);
            }
            later.0 = self.at(Side::Target, layout, &open).await?;
            later.1 = self.at(Side::Source, layout, &open).await?;
        }
        let looks = rows.iter().map(|row| {
            let key = &row.key_hash;
            let source = before.get(key).cloned();
            let (target, source_after) = if is_open(&row) {
                (later.0.get(key).cloned(), later.1.get(key).cloned())
            } else {
                (at_target.get(key).cloned(), source.clone())
            };
            let look = Look {
                source,
                target,
                source_after,
            };
            (*key, look)
        });
        Ok(Some(looks.collect()))
    }

    /// Waits until everything is applied that was committed before the call. `false`: tables are being loaded, and what the checkpoint
    /// says is not true of them.
    pub(super) async fn applied(&mut self, progress: &Progress) -> Result<bool, RunError> {
        match &mut self.log {
            Some(log) => applied(&mut **log, progress).await,
            None => Ok(true),
        }
    }

    async fn describe(&mut self, layout: &Layout) -> Result<(), RunError> {
        let (here, there) = (&layout.source.name, &layout.target.name);
        if self.described.contains(here) {
            return Ok(());
        }
        let source = self.source.tables(&|name| name == here).await;
        source.map_err(RunError::Source)?;
        let target = self.target.tables(&|name| name == there).await;
        target.map_err(RunError::Target)?;
        self.described.insert(here.clone());
        Ok(())
    }

    async fn at(
        &mut self,
        side: Side,
        layout: &Layout,
        keys: &[Vec<KeyCell>],
    ) -> Result<Rows, RunError> {
        let (end, table) = match side {
            Side::Source => (&mut self.source, &layout.source),
            Side::Target => (&mut self.target, &layout.target),
        };
        let columns = layout.key.iter();
        let columns: Vec<usize> = columns
            .filter_map(|&column| match side {
                Side::Source => layout.source_place(column),
                Side::Target => Some(RowView::place(layout, side, column)),
            })
            .collect();
        let lookup = KeyLookup {
            table,
            columns: &columns,
            keys,
        };
        let mut found = Found {
            view: RowView::new(layout, side),
            layout,
            side,
            rows: Rows::new(),
        };
        let shape = layout.shape.as_deref().filter(|_| side == Side::Source);
        let mut scratch = Scratch::default();
        let mut take = |row: &[Value<'_>]| {
            found.row(row);
            Ok(())
        };
        let read = end
            .rows_by_key(lookup, &mut |row| match shape {
                None => take(row),
                // The target has rows of this table alone that the mappings select.
                Some(shape) if !is_wanted(shape, row)? => Ok(()),
                Some(shape) => shape.row(row, &mut scratch, &mut take),
            })
            .await;
        read.map_err(|error| match side {
            Side::Source => RunError::Source(error),
            Side::Target => RunError::Target(error),
        })?;
        Ok(found.rows)
    }
}

/// The rows that one end gave.
struct Found<'a> {
    view: RowView<'a>,
    layout: &'a Layout,
    side: Side,
    rows: Rows,
}

impl Found<'_> {
    fn row(&mut self, row: &[Value<'_>]) {
        if self.view.stays_alone(row) {
            return;
        }
        let columns = 0..self.layout.columns.len();
        let texts =
            columns.map(|column| in_words(&row[RowView::place(self.layout, self.side, column)]));
        let seen = Seen {
            texts: texts.collect(),
            cells: self.view.cell_hashes(row),
        };
        // A target without a key may have two rows of one: together they are none that the source has.
        let key = self.view.key_hash(row);
        let twin = self.rows.entry(key).or_insert_with(|| Seen {
            cells: Vec::new(),
            texts: Vec::new(),
        });
        twin.cells.extend(seen.cells);
        twin.texts.extend(seen.texts);
    }
}

fn in_words(value: &Value<'_>) -> String {
    if *value == Value::Null {
        return "NULL".to_owned();
    }
    let mut text = Vec::new();
    write_text(value, &mut text);
    let text = String::from_utf8_lossy(&text);
    let short: String = text.chars().take(VALUE_CHARS).collect();
    if short.len() < text.len() {
        format!("{short}…")
    } else {
        short
    }
}

/// Waits until the checkpoint at the target has come to what is the log's end now.
async fn applied(log: &mut dyn ChangeLog, progress: &Progress) -> Result<bool, RunError> {
    let end = log.end().await.map_err(RunError::Source)?;
    let _wanted = WantedCheckpoint::of(progress);
    loop {
        let Some((checkpoint, is_loading)) = progress.applied_to() else {
            return Ok(false);
        };
        if is_loading {
            return Ok(false);
        }
        let is_past = log.is_past(&end, &Position::new(checkpoint));
        if !is_past.map_err(RunError::Source)? {
            return Ok(true);
        }
        tokio::time::sleep(CHECKPOINT_EVERY).await;
    }
}

/// While it lives the checkpoint is written as soon as it can move.
struct WantedCheckpoint<'a>(&'a Progress);

impl<'a> WantedCheckpoint<'a> {
    fn of(progress: &'a Progress) -> Self {
        progress.want_checkpoint(true);
        Self(progress)
    }
}

impl Drop for WantedCheckpoint<'_> {
    fn drop(&mut self) {
        self.0.want_checkpoint(false);
    }
}
