//! Rows are found by keys as another engine writes them.

use whimbrel_connector::{KeyCell, KeyLookup};
use whimbrel_core::{Bits, Value};
use whimbrel_testkit::Engine;

use crate::support::{ENGINES, Pair};

/// The texts of all rows that have one of the keys.
async fn found(pair: &Pair, keys: &[[Value<'_>; 2]]) -> Vec<String> {
    let mut source = pair.from.source().await.unwrap();
    let table = pair.tables(&mut *source).await.unwrap().remove(0);
    let cells = |key: &[Value<'_>; 2]| key.iter().map(KeyCell::of).collect::<Option<Vec<_>>>();
    let keys: Vec<Vec<KeyCell>> = keys.iter().map(|key| cells(key).unwrap()).collect();
    let lookup = KeyLookup {
        table: &table,
        columns: &table.key_in_row(),
        keys: &keys,
    };
    let mut notes = Vec::new();
    let mut keep = |row: &[Value<'_>]| {
        let Value::Text(note) = row[2] else {
            panic!("{row:?}")
        };
        notes.push(note.to_owned());
        Ok(())
    };
    source.rows_by_key(lookup, &mut keep).await.unwrap();
    notes.sort();
    notes
}

/// PostgreSQL sends padding, and bit strings of any length, which are texts here.
#[tokio::test]
async fn padded_keys_and_bit_strings_are_found_where_blanks_count() {
    for engine in ENGINES {
        let collation = match engine {
            Engine::Mariadb1011 => "utf8mb4_nopad_bin",
            _ => "utf8mb4_0900_bin",
        };
        for column in ["char(10)", "varchar(300)"] {
            let pair = Pair::on(engine, "padded");
            let sql = format!(
                "create table t (code {column}, bits varchar(9), note text, primary key (code, bits)) character set utf8mb4 collate {collation};
                 insert into t values ('ab', '0101', 'one'), ('', '', 'two'), ('abc', '0101', 'other')"
            );
            pair.source.sql(&sql).unwrap();
            let bits = Bits {
                length: 4,
                bytes: &[0b0101_0000],
            };
            let none = Bits {
                length: 0,
                bytes: &[],
            };
            let keys = [
                [Value::Text("ab        "), Value::Bits(bits)],
                [Value::Text("          "), Value::Bits(none)],
                [Value::Text("abd       "), Value::Bits(bits)],
            ];
            assert_eq!(found(&pair, &keys).await, ["one", "two"], "{column}");
        }
    }
}
