//! The types of MySQL and MariaDB: what columns mean, how cells are read from the binary protocol and written for LOAD DATA.

mod bounds;
mod catalog_type;
mod collation;
mod decode;
mod encode;
mod exact;
#[cfg(feature = "fuzz")]
pub(crate) mod fuzz;
mod mapping;
mod slot;

pub(crate) use bounds::bounds;
pub(crate) use catalog_type::CatalogType;
pub(crate) use decode::{BadCell, BinaryRow, NOT_TEXT, RowDecoder, ShiftedBits};
pub(crate) use encode::{check_plain, encode_cell, escape, plain, unescape};
pub(crate) use mapping::plan_columns;
pub(crate) use slot::{Slot, SlotKind, load_statement};
