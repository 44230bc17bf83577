//! A seeded stream of transactions against a database in memory.

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use whimbrel_connector::memory::{Cell, MemoryChange, MemoryDatabase, Row};

use crate::support::name;

/// Makes transactions: inserts, updates with and without a new key and with cells not sent, deletes, truncations.
pub(crate) struct Workload {
    random: StdRng,
    database: MemoryDatabase,
    next_id: i64,
}

impl Workload {
    pub(crate) fn new(seed: u64, database: &MemoryDatabase) -> Self {
        Self {
            random: StdRng::seed_from_u64(seed),
            database: database.clone(),
            next_id: 1000,
        }
    }

    /// Commits one transaction of up to `changes_max` changes.
    pub(crate) fn transaction(&mut self, changes_max: usize) {
        let mut changes = Vec::new();
        // What the transaction sees: its own changes included.
        let mut rows: Vec<(&str, Vec<Row>)> = ["orders", "items", "events"]
            .map(|table| (table, self.database.rows(&name(table)).unwrap()))
            .into();
        for _ in 0..self.random.random_range(1..=changes_max) {
            let place = self.random.random_range(0..rows.len());
            let (table, rows) = &mut rows[place];
            changes.push(self.change(table, rows));
        }
        self.database.transact(changes);
    }

    fn change(&mut self, table: &str, rows: &mut Vec<Row>) -> MemoryChange {
        let table = name(table);
        let dice = self.random.random_range(0..100);
        if rows.is_empty() || dice < 35 {
            let row = self.new_row();
            rows.push(row.clone());
            return MemoryChange::Insert(table, row);
        }
        let place = self.random.random_range(0..rows.len());
        match dice {
            35..60 => MemoryChange::Delete(table, rows.swap_remove(place)),
            60..98 => {
                let before = rows[place].clone();
                let mut after = before.clone();
                if dice < 75 {
                    after[1] = self.note();
                }
                if dice >= 90 {
                    self.next_id += 1;
                    after[0] = Cell::Int(self.next_id);
                }
                let not_sent = if after[1] == before[1] && dice % 2 == 0 {
                    vec![1]
                } else {
                    Vec::new()
                };
                rows[place].clone_from(&after);
                MemoryChange::Update {
                    table,
                    before,
                    after,
                    not_sent,
                }
            }
            _ => {
                rows.clear();
                MemoryChange::Truncate(table)
            }
        }
    }

    /// Ids of deleted rows come again.
    fn new_row(&mut self) -> Row {
        self.next_id += 1;
        vec![Cell::Int(self.next_id), self.note()]
    }

    fn note(&mut self) -> Cell {
        match self.random.random_range(0..10) {
            0 => Cell::Null,
            n => Cell::Text(format!("note {n}")),
        }
    }
}
