use std::collections::HashMap;

use whimbrel_core::TableName;
use whimbrel_core::objects::{Counter, CounterForm, NextNumber, Sequence, TableObjects};

use super::super::{flag, number, text};
use super::{Described, optional};
use crate::quote;
use crate::wire::{Connection, TextRow, WireError};

/// Sequences of columns, and whether the column's default is their next number, and nothing is made of that.
const OF_COLUMNS: &str = "
select d.refobjid, s.seqrelid, n.nspname, c.relname, s.seqstart, s.seqincrement, s.seqmin, s.seqmax, s.seqcache, s.seqcycle,
       has_sequence_privilege(s.seqrelid, 'SELECT'), format_type(s.seqtypid, null), a.attname, a.attidentity,
       exists (select from pg_attrdef ad, format('nextval(%L::regclass)', s.seqrelid::regclass) as given
               where ad.adrelid = a.attrelid and ad.adnum = a.attnum
                 and pg_get_expr(ad.adbin, ad.adrelid) in (given, format('(%s)::smallint', given), format('(%s)::integer', given)))
from pg_depend d join pg_class c on c.oid = d.objid and c.relkind = 'S' join pg_namespace n on n.oid = c.relnamespace
join pg_sequence s on s.seqrelid = c.oid join pg_attribute a on a.attrelid = d.refobjid and a.attnum = d.refobjsubid
where d.classid = 'pg_class'::regclass and d.refclassid = 'pg_class'::regclass and d.deptype in ('a', 'i') and d.refobjid = any($1)
order by d.refobjid, a.attnum, c.relname collate \"C\"";

/// Sequences that belong to nothing, in the schemas `$2`.
const FREE: &str = "
select 0, s.seqrelid, n.nspname, c.relname, s.seqstart, s.seqincrement, s.seqmin, s.seqmax, s.seqcache, s.seqcycle,
       has_sequence_privilege(s.seqrelid, 'SELECT')
from pg_sequence s join pg_class c on c.oid = s.seqrelid join pg_namespace n on n.oid = c.relnamespace
where n.nspname in ($2) and c.relpersistence <> 't' and not exists (
  select from pg_depend d where d.classid = 'pg_class'::regclass and d.objid = c.oid and d.deptype in ('a', 'i', 'e'))
order by n.nspname collate \"C\", c.relname collate \"C\"";

pub(super) async fn read(
    connection: &mut Connection,
    described: &mut Described,
) -> Result<(), WireError> {
    let owned = described.rows(connection, OF_COLUMNS).await?;
    let free = described.rows(connection, FREE).await?;
    let next = next_numbers(connection, owned.iter().chain(&free)).await?;
    for row in &owned {
        let mut sequence = sequence(row, &next)?;
        let is_identity = !text(row, 13)?.is_empty();
        let is_default = flag(row, 14)?;
        let column = text(row, 12)?.to_owned();
        let options = options(&sequence, text(row, 11)?);
        let is_always = text(row, 13)? == "a";
        let table = described.table(row)?;
        if is_identity || is_default {
            add_counter(
                table,
                column,
                is_identity.then_some(is_always),
                sequence,
                options,
            );
        } else {
            sequence.owner = Some((table.table.clone(), column));
            described.objects.sequences.push(sequence);
        }
    }
    for row in &free {
        described.objects.sequences.push(sequence(row, &next)?);
    }
    Ok(())
}

/// The default that takes the numbers is part of the counter.
fn add_counter(
    table: &mut TableObjects,
    column: String,
    identity: Option<bool>,
    sequence: Sequence,
    options: String,
) {
    table.defaults.retain(|default| default.column != column);
    table.counters.push(Counter {
        form: match identity {
            Some(is_always) => CounterForm::Identity { is_always },
            None => CounterForm::Serial {
                sequence: sequence.name,
            },
        },
        column,
        next: sequence.next,
        increment: sequence.increment,
        options: Some(options),
    });
}

/// What follows the name in the statement that makes it.
fn options(sequence: &Sequence, ty: &str) -> String {
    let cycle = if sequence.cycles { "CYCLE" } else { "NO CYCLE" };
    format!(
        "AS {ty} INCREMENT BY {} MINVALUE {} MAXVALUE {} START WITH {} CACHE {} {cycle}",
        sequence.increment, sequence.min, sequence.max, sequence.start, sequence.cache
    )
}

fn sequence(row: &TextRow, next: &HashMap<u32, (i64, bool)>) -> Result<Sequence, WireError> {
    let oid: u32 = number(row, 1)?;
    let (increment, min, max): (i64, i64, i64) =
        (number(row, 5)?, number(row, 6)?, number(row, 7)?);
    let cycles = flag(row, 9)?;
    let after = |last: i64| match last.checked_add(increment) {
        Some(next) if (min..=max).contains(&next) => Some(next),
        _ => cycles.then_some(if increment > 0 { min } else { max }),
    };
    let next = match next.get(&oid) {
        Some(&(last, true)) => after(last).map_or(NextNumber::UsedUp(last), NextNumber::Known),
        Some(&(last, false)) => NextNumber::Known(last),
        None if flag(row, 10)? => NextNumber::None,
        None => NextNumber::Hidden,
    };
    Ok(Sequence {
        name: TableName::new(text(row, 2)?, text(row, 3)?),
        owner: None,
        next,
        increment,
        min,
        max,
        start: number(row, 4)?,
        cache: number(row, 8)?,
        cycles,
    })
}

/// The last number of each sequence that may be asked, and whether it was given to somebody.
async fn next_numbers<'r>(
    connection: &mut Connection,
    rows: impl Iterator<Item = &'r TextRow>,
) -> Result<HashMap<u32, (i64, bool)>, WireError> {
    let mut queries = Vec::new();
    for row in rows {
        if flag(row, 10)? {
            let name = TableName::new(text(row, 2)?, text(row, 3)?);
            let oid: u32 = number(row, 1)?;
            queries.push(format!(
                "select {oid}, last_value, is_called from {}",
                quote::table(&name)
            ));
        }
    }
    let mut numbers = HashMap::new();
    if queries.is_empty() {
        return Ok(numbers);
    }
    for row in connection.query(&queries.join(" union all ")).await? {
        if optional(&row, 1).is_some() {
            numbers.insert(number(&row, 0)?, (number(&row, 1)?, flag(&row, 2)?));
        }
    }
    Ok(numbers)
}
