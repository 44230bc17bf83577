//! Sequences of MariaDB.

use whimbrel_core::objects::{NextNumber, Sequence};

use super::Described;
use crate::catalog::name_of;
use crate::quote;
use crate::wire::{Connection, TextRow, WireError};

/// Numbers that the server has in its cache count as given.
pub(super) async fn read(
    connection: &mut Connection,
    described: &mut Described,
) -> Result<(), WireError> {
    let sql = "SELECT table_schema, table_name FROM information_schema.tables WHERE table_type = 'SEQUENCE' AND table_schema IN ($1) \
               ORDER BY table_schema, table_name";
    for row in described.rows(connection, sql).await? {
        let name = name_of(&row);
        let sql = format!(
            "SELECT next_not_cached_value, minimum_value, maximum_value, start_value, increment, cache_size, cycle_option FROM {}",
            quote::table(&name)
        );
        let row = match connection.row(&sql).await {
            Err(WireError::Server(_)) => None,
            other => other?,
        };
        let number = |place: usize, other: i64| {
            row.as_ref()
                .and_then(|row| row.number(place))
                .unwrap_or(other)
        };
        described.objects.sequences.push(Sequence {
            next: row.as_ref().map_or(NextNumber::Hidden, next_number),
            min: number(1, 1),
            max: number(2, i64::MAX - 1),
            start: number(3, 1),
            increment: number(4, 1),
            cache: number(5, 1000),
            cycles: number(6, 0) != 0,
            name,
            owner: None,
        });
    }
    Ok(())
}

/// A number outside the bounds tells that they are used up.
fn next_number(row: &TextRow) -> NextNumber {
    let number = |place: usize| row.number(place);
    let (Some(min), Some(max), Some(increment)) = (number(1), number(2), number(4)) else {
        return NextNumber::Hidden;
    };
    let grows = increment >= 0;
    let (first, last) = if grows { (min, max) } else { (max, min) };
    let cycles = number(6).unwrap_or(0) != 0;
    match number(0) {
        Some(next) if (min..=max).contains(&next) => NextNumber::Known(next),
        _ if cycles => NextNumber::Known(first),
        _ => NextNumber::UsedUp(last),
    }
}
