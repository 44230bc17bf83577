//! The words of the project as types: values, column types, tables, mappings, settings and positions.
//!
//! Nothing here does I/O, knows SQL, or is asynchronous; every other crate may depend on this one.

mod canonical;
mod canonical_json;
pub mod characters;
mod chunk;
pub mod clock;
mod column;
mod decimal;
pub mod digits;
mod engine;
pub mod mapping;
pub mod objects;
mod position;
mod secret;
pub mod settings;
mod shown;
mod table;
mod temporal;
mod text;
mod value;

pub use canonical::{RowHash, RowHasher};
pub use canonical_json::json_repeats_names;
pub use chunk::{ChunkBounds, ChunkId};
pub use column::{Column, ColumnType, Generation};
pub use decimal::{Decimal, DecimalDigits, InvalidDecimal, ShortDecimal};
pub use engine::Engine;
pub use position::{Position, RECOVERY_PREFIX};
pub use secret::Secret;
pub use shown::{shown_key, visible, visible_lines};
pub use table::{Partition, Table, TableName};
pub use temporal::{
    CivilDate, DAYS_1970_TO_2000, Date, Interval, MICROS_PER_DAY, MICROS_PER_SECOND, Time,
    Timestamp,
};
pub use text::write_text;
pub use value::{Bits, Value, ValueKind};
