//! Changes made by hand, and what applies them.

use std::collections::HashMap;

use whimbrel_connector::{
    AppliedCount, Applier, ApplySettings, ChangeRows, Checkpoint, Error, KeyPolicy, NetChanges,
    RowAt, RowBlock, RowSet, RowVisitor, SingleChange, SingleKind, Target, TargetTable, TaskFence,
};
use whimbrel_core::{Position, Value};
use whimbrel_testkit::Engine;

use crate::support::{Pair, TASK, all_tables};

/// A row of values.
pub(crate) type Row = Vec<Value<'static>>;

/// An integer.
pub(crate) fn int(number: i64) -> Value<'static> {
    Value::Int(number)
}

/// A text.
pub(crate) fn text(text: &'static str) -> Value<'static> {
    Value::Text(text)
}

/// Rows held as values.
#[derive(Clone, Debug, Default)]
pub(crate) struct Rows(pub(crate) Vec<Row>);

impl RowSet for Rows {
    fn row_count(&self) -> usize {
        self.0.len()
    }

    fn visit(&self, visit: &mut RowVisitor<'_>) -> Result<(), Error> {
        self.0.iter().try_for_each(|row| visit(row))
    }
}

impl ChangeRows for Rows {
    fn byte_count(&self) -> usize {
        0
    }

    fn decode(&self, row: RowAt, visit: &mut RowVisitor<'_>) -> Result<(), Error> {
        visit(&self.0[row.offset as usize])
    }
}

/// Rows as a source gave them.
pub(crate) struct Blocks(pub(crate) Vec<Box<dyn RowBlock>>);

impl std::fmt::Debug for Blocks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} rows", self.row_count())
    }
}

impl RowSet for Blocks {
    fn row_count(&self) -> usize {
        self.0.iter().map(|block| block.row_count()).sum()
    }

    fn visit(&self, visit: &mut RowVisitor<'_>) -> Result<(), Error> {
        self.0.iter().try_for_each(|block| block.decode(visit))
    }
}

impl ChangeRows for Blocks {
    fn byte_count(&self) -> usize {
        0
    }

    fn decode(&self, row: RowAt, visit: &mut RowVisitor<'_>) -> Result<(), Error> {
        let mut at = 0;
        self.visit(&mut |cells| {
            at += 1;
            if at == row.offset + 1 {
                visit(cells)
            } else {
                Ok(())
            }
        })
    }
}

/// The place of a row by its number.
pub(crate) fn at(row: usize) -> RowAt {
    RowAt {
        shape: 0,
        offset: u32::try_from(row).unwrap(),
        is_whole: true,
    }
}

/// One change.
#[derive(Clone, Debug)]
pub(crate) enum Do {
    Insert(Row),
    /// The key is in the new row.
    Set(Row),
    /// Old row, new row.
    Update(Row, Row),
    Delete(Row),
    Truncate,
}

/// Two databases with the same tables, and an applier to the second.
pub(crate) struct Rig {
    pub(crate) pair: Pair,
    pub(crate) target: Box<dyn Target>,
    pub(crate) fence: TaskFence,
    pub(crate) applier: Box<dyn Applier>,
    pub(crate) tables: HashMap<String, TargetTable>,
}

impl Rig {
    pub(crate) async fn new(engine: Engine, script: &str) -> Self {
        Self::between(engine, engine, script).await
    }

    pub(crate) async fn between(from: Engine, to: Engine, script: &str) -> Self {
        let pair = Pair::between(from, to, "apply");
        pair.source.sql(script).unwrap();
        pair.target.sql(script).unwrap();
        Self::of(pair).await
    }

    /// Takes the tables of the source as they are.
    pub(crate) async fn of(pair: Pair) -> Self {
        let mut target = pair.to.target().await.unwrap();
        let fence = target.claim(TASK).await.unwrap();
        let applier = target
            .applier(&fence, &ApplySettings::default())
            .await
            .unwrap();
        let tables = all_tables(&mut *pair.from.source().await.unwrap())
            .await
            .unwrap();
        let plan = |table: &whimbrel_core::Table| {
            let planned = target.plan_table(table, table.name.clone(), KeyPolicy::Best);
            (table.name.name.clone(), planned.unwrap())
        };
        let tables = tables.iter().map(plan).collect();
        Self {
            pair,
            target,
            fence,
            applier,
            tables,
        }
    }

    /// Applies net changes to a table within the open transaction.
    pub(crate) async fn net(
        &mut self,
        table: &str,
        deletes: Vec<Row>,
        updates: Vec<Row>,
        inserts: Vec<Row>,
    ) -> Result<AppliedCount, Error> {
        let (deletes, updates, inserts) = (Rows(deletes), Rows(updates), Rows(inserts));
        self.net_sets(table, &deletes, &updates, &inserts).await
    }

    pub(crate) async fn net_sets(
        &mut self,
        table: &str,
        deletes: &dyn RowSet,
        updates: &dyn RowSet,
        inserts: &dyn RowSet,
    ) -> Result<AppliedCount, Error> {
        let changes = NetChanges {
            table: &self.tables[table],
            deletes,
            updates,
            inserts,
        };
        self.applier.apply_net(changes).await
    }

    /// Applies changes in order within the open transaction.
    pub(crate) async fn single(&mut self, changes: Vec<(&str, Do)>) -> Result<Vec<u64>, Error> {
        let mut rows = Rows::default();
        let mut kinds = Vec::new();
        for (table, change) in changes {
            let mut put = |row| {
                rows.0.push(row);
                at(rows.0.len() - 1)
            };
            let kind = match change {
                Do::Insert(row) => SingleKind::Insert { after: put(row) },
                Do::Set(row) => SingleKind::Update {
                    before: None,
                    after: put(row),
                },
                Do::Update(old, new) => SingleKind::Update {
                    before: Some(put(old)),
                    after: put(new),
                },
                Do::Delete(row) => SingleKind::Delete { before: put(row) },
                Do::Truncate => SingleKind::Truncate,
            };
            kinds.push((table, kind));
        }
        let tables = &self.tables;
        let changes: Vec<_> = kinds
            .into_iter()
            .map(|(table, kind)| SingleChange {
                table: &tables[table],
                kind,
                rows: &rows,
            })
            .collect();
        self.applier.apply_single(&changes).await
    }

    pub(crate) async fn begin(&mut self) {
        self.applier.begin().await.unwrap();
    }

    pub(crate) async fn commit(&mut self) {
        self.applier
            .commit(&Checkpoint::at(Position::new("1/1")))
            .await
            .unwrap();
    }

    /// What a query answers at the target.
    pub(crate) fn shown(&self, query: &str) -> String {
        self.pair.target.sql(query).unwrap().trim_end().to_owned()
    }
}
