//! What the rules of the mappings make of a table.

use std::collections::HashMap;
use std::sync::atomic::AtomicU64;

use whimbrel_connector::Error;
use whimbrel_core::mapping::{
    Conversion, Mask, Origin, ResolveError, Segments, TableRules, TargetColumn,
};
use whimbrel_core::{Column, ColumnType, Generation, Table};

use super::cell::{CellShape, Make};
use super::expression::{EvaluatedNames, Expression, Expressions};
use super::shaped::{ByRules, From, Pick, RowFilter, Shaped, by_rules as note};
use super::{OnCut, Shaper};

/// The table in the shape that rules give it; that of the source where there are none for it.
pub(super) fn by_rules(shaper: &Shaper<'_>, table: &Table) -> Result<Shaped, Error> {
    let mappings = shaper.mappings;
    if !mappings.touches(&table.name) {
        return Ok(as_it_is(table));
    }
    let mut rules = mappings
        .resolve(table, &EvaluatedNames)
        .map_err(|error| refused(&error))?;
    if rules.is_untouched(table) {
        return Ok(as_it_is(table));
    }
    if let Some(schema) = shaper.target_schema {
        schema.clone_into(&mut rules.target.schema);
    }
    shaped(table, &rules)
}

fn as_it_is(table: &Table) -> Shaped {
    let mut own = table.clone();
    own.notes.retain(|note| !super::is_of_shape(note));
    let source_width = table.loaded_columns().count();
    let pick = |place| Pick {
        from: From::Source(place),
        cell: CellShape::default(),
    };
    Shaped {
        named_by: vec![None; own.columns.len()],
        table: own,
        picks: (0..source_width).map(pick).collect(),
        expressions: Expressions::default(),
        filter: None,
        finds_rows: true,
        ruled: ByRules::Untouched,
        notes: Vec::new(),
        on_cut: OnCut::Cut,
        characters: None,
        lob: None,
        listed: None,
        source_width,
        source_types: table
            .loaded_columns()
            .map(|column| column.ty.clone())
            .collect(),
        key_in_row: table.key_in_row(),
        lossy_count: AtomicU64::new(0),
    }
}

pub(crate) fn refused(error: &ResolveError) -> Error {
    Error::table(
        &error.table,
        format!(
            "rule {} of the table mappings does not fit it; {}: expected {}",
            error.rule_id, error.path, error.expected
        ),
    )
}

/// A rule whose place in the document is not known here.
fn misfit(table: &Table, rule_id: Option<u64>, expected: &str) -> Error {
    let rule = rule_id.map_or_else(|| "a rule".to_owned(), |id| format!("rule {id}"));
    Error::table(
        &table.name,
        format!("{rule} of the table mappings does not fit it: expected {expected}"),
    )
}

fn shaped(table: &Table, rules: &TableRules) -> Result<Shaped, Error> {
    let mut made = as_it_is(table);
    made.picks.clear();
    made.table.columns.clear();
    made.named_by.clear();
    let loaded = (0..table.columns.len()).filter(|&place| table.columns[place].is_loaded());
    let in_rows: HashMap<usize, usize> = loaded.zip(0..).collect();
    let (changed, retyped_ones) = (changed_names(table, rules), retyped_names(table, rules));
    // Where the columns of the rules are among those that are made.
    let mut places = HashMap::new();
    for (at, column) in rules.columns.iter().enumerate() {
        let source = source_of(table, column);
        if let Some(why) = source.and_then(|source| not_computed(source, &changed, &retyped_ones)) {
            made.notes.push(note(&why));
            continue;
        }
        let pick = pick_of(table, rules, column, &in_rows, &mut made.expressions)?;
        note_column(&mut made.notes, source, column);
        places.insert(at, made.table.columns.len());
        made.named_by.push(column.named_by);
        made.table.columns.push(match &column.origin {
            Origin::Source(place) => retyped(&table.columns[*place], column),
            Origin::Before(_) | Origin::Expression { .. } => added(column),
        });
        made.picks.extend(pick);
    }
    if made.expressions.keep_deleted() && !rules.deletes_become_updates {
        // Whether the table has the key that this needs was not looked at.
        let expected = "operation_indicator to be called by its name without quotes";
        return Err(misfit(table, None, expected));
    }
    made.lob = rules.lob;
    list_partitions(&mut made, rules);
    let is_retyped = rules.columns.iter().any(|column| column.is_retyped);
    made.ruled = if is_retyped {
        ByRules::Retyped
    } else {
        ByRules::Shaped
    };
    made.notes.extend(rules.removed.iter().map(|&place| {
        let name = &table.columns[place].name;
        note(&format!("column {name} is left out"))
    }));
    keyed(&mut made, table, rules, &places)?;
    if let Some(predicate) = &rules.filter {
        let columns = predicate.columns();
        let mut columns = columns.iter().map(|tested| tested.column);
        made.notes
            .push(note(&format!("those rows arrive where {predicate}")));
        made.filter = Some(RowFilter {
            is_by_key: columns.all(|place| table.primary_key.contains(&place)),
            predicate: predicate.clone(),
        });
    }
    Ok(made)
}

/// Notes the partitions whose rows arrive, where they are listed.
fn list_partitions(made: &mut Shaped, rules: &TableRules) {
    let Some(
        listed @ Segments::PartitionList {
            partitions,
            subpartitions,
        },
    ) = &rules.segments
    else {
        return;
    };
    made.listed = Some(listed.clone());
    let names = partitions.iter().chain(subpartitions);
    let names: Vec<&str> = names.map(String::as_str).collect();
    let names = names.join(", ");
    made.notes.push(note(&format!(
        "the rows of these partitions arrive: {names}"
    )));
}

/// The source's column of which a column of the target is made, if it is one.
fn source_of<'t>(table: &'t Table, column: &TargetColumn) -> Option<&'t Column> {
    match column.origin {
        Origin::Source(place) | Origin::Before(place) => table.columns.get(place),
        Origin::Expression { .. } => None,
    }
}

/// Where the cells of a column come from; `None` for a column that the server computes.
fn pick_of(
    table: &Table,
    rules: &TableRules,
    column: &TargetColumn,
    in_rows: &HashMap<usize, usize>,
    expressions: &mut Expressions,
) -> Result<Option<Pick>, Error> {
    let from = match &column.origin {
        Origin::Source(place) => in_rows.get(place).map(|&place| From::Source(place)),
        Origin::Before(place) => in_rows.get(place).map(|&place| From::Before(place)),
        Origin::Expression {
            rule_id,
            expression,
        } => {
            let made = Expression::new(expression, &column.ty, table, &rules.target)
                .map_err(|expected| misfit(table, Some(*rule_id), &expected))?;
            Some(From::Expression(expressions.push(made)))
        }
    };
    let Some(from) = from else { return Ok(None) };
    let cell = match source_of(table, column) {
        Some(source) => cell_of(table, source, column)?,
        // The expression gives values of the column's type.
        None => CellShape::default(),
    };
    Ok(Some(Pick { from, cell }))
}

/// What becomes of a column's cells.
fn cell_of(table: &Table, source: &Column, column: &TargetColumn) -> Result<CellShape, Error> {
    let text = ColumnType::Text { bytes_max: None };
    let to = match (&column.retyped, column.mask) {
        // A hash may need a longer type: what is hidden is of the type before it.
        (Some(retyped), _) => retyped,
        // It is one of the characters, to which spaces at the end do not belong.
        (None, Some(Mask::Hash)) if matches!(source.ty, ColumnType::Char { .. }) => &text,
        (None, _) => &source.ty,
    };
    let make = if Conversion::keeps_all(&source.ty, to) {
        Make::Same
    } else {
        let conversion = Conversion::between(&source.ty, to).ok_or_else(|| {
            let expected = format!(
                "a data type that values of column {} have a counterpart in: there is no conversion of {}",
                source.name, source.native
            );
            misfit(table, column.retyped_by, &expected)
        })?;
        Make::Converted(conversion)
    };
    Ok(CellShape {
        make,
        mask: column.mask,
        bits: match to {
            ColumnType::Int { bits, .. } if column.mask.is_some() => *bits,
            _ => 0,
        },
        has_others: false,
        bytes_max: None,
    })
}

fn note_column(notes: &mut Vec<String>, source: Option<&Column>, column: &TargetColumn) {
    let new = &column.name;
    let name = source.map_or(new, |source| &source.name);
    match &column.origin {
        Origin::Expression { expression, .. } => {
            notes.push(note(&format!("column {new} is added: {expression}")));
        }
        Origin::Before(_) => notes.push(note(&format!(
            "column {new} is added, for what {name} was before an update"
        ))),
        Origin::Source(_) => {}
    }
    if column.retyped.is_some() {
        let ty = column.ty.in_words();
        notes.push(note(&format!("the values of column {name} become {ty}")));
    }
    if let Some(mask) = column.mask {
        let how = match mask {
            Mask::Digits(by) => format!("its digits become {by}"),
            Mask::RandomDigits => "its digits become others".to_owned(),
            Mask::Hash => "its values become their hashes".to_owned(),
        };
        notes.push(note(&format!("column {name} is masked, {how}")));
    }
    if matches!(column.origin, Origin::Source(_)) && new != name {
        notes.push(note(&format!("column {name} is called {new}")));
    }
}

/// The column as the target is to have it.
fn retyped(source: &Column, column: &TargetColumn) -> Column {
    let mut made = Column {
        name: column.name.clone(),
        ty: column.ty.clone(),
        ..source.clone()
    };
    if column.is_retyped {
        // What the source's own words say of the type does not hold any more.
        made.native = String::new();
        let gives_numbers = made.generation == Generation::Identity;
        if gives_numbers && !matches!(made.ty, ColumnType::Int { .. }) {
            made.generation = Generation::None;
        }
    }
    made
}

/// A column that the source does not have.
fn added(column: &TargetColumn) -> Column {
    Column {
        name: column.name.clone(),
        ty: column.ty.clone(),
        native: String::new(),
        nullable: true,
        generation: Generation::None,
        id: None,
        default: None,
    }
}

/// Gives the table its key.
fn keyed(
    made: &mut Shaped,
    table: &Table,
    rules: &TableRules,
    places: &HashMap<usize, usize>,
) -> Result<(), Error> {
    let key = rules.key.iter().flat_map(|key| &key.columns);
    made.table.primary_key = key.filter_map(|at| places.get(at).copied()).collect();
    let is_defined = rules.key.as_ref().is_some_and(|key| key.defined.is_some());
    if is_defined {
        define_key(made, table, rules)?;
    } else if made.table.primary_key.len() < table.primary_key.len() {
        made.table.primary_key.clear();
        made.table.key_prefixes.clear();
        made.finds_rows = false;
    }
    if is_found_by_chance(made, rules) {
        made.finds_rows = false;
    }
    made.notes.extend(rules.notes.iter().map(|text| note(text)));
    Ok(())
}

/// Whether rows would be looked for by random digits: those of the key, or of a table without one those of any column.
fn is_found_by_chance(made: &Shaped, rules: &TableRules) -> bool {
    let is_random = |column: &TargetColumn| {
        column.mask == Some(Mask::RandomDigits) && matches!(column.origin, Origin::Source(_))
    };
    if made.table.primary_key.is_empty() {
        return rules.columns.iter().any(is_random);
    }
    let mut key = rules.key.iter().flat_map(|key| &key.columns);
    key.any(|&at| is_random(&rules.columns[at]))
}

/// Makes a key of what a rule says. Changes find their rows by it if the log tells its columns of every old row: those of the source's own
/// key, or all columns of a table that has none.
fn define_key(made: &mut Shaped, table: &Table, rules: &TableRules) -> Result<(), Error> {
    let count = rules.key.iter().flat_map(|key| &key.columns).count();
    if made.table.key_in_row().len() < count {
        return Err(Error::table(
            &table.name,
            "a rule makes a key with a column that the source computes, whose values do not arrive; make the key of other columns",
        ));
    }
    made.table.key_prefixes.clear();
    for &place in &made.table.primary_key {
        made.table.columns[place].nullable = false;
    }
    let columns = rules.key.iter().flat_map(|key| &key.columns);
    let is_told = |at: &usize| match rules.columns[*at].origin {
        Origin::Source(place) => table.primary_key.contains(&place),
        _ => false,
    };
    let is_of_source = |at: &usize| matches!(rules.columns[*at].origin, Origin::Source(_));
    made.finds_rows = if table.primary_key.is_empty() {
        columns.clone().all(is_of_source)
    } else {
        columns.clone().all(is_told)
    };
    let names: Vec<&str> = columns.map(|&at| rules.columns[at].name.as_str()).collect();
    made.notes
        .push(note(&format!("its key is ({})", names.join(", "))));
    Ok(())
}

/// Names that columns of the source have lost, folded.
fn changed_names(table: &Table, rules: &TableRules) -> Vec<String> {
    let removed = rules.removed.iter().copied();
    let renamed = rules
        .columns
        .iter()
        .filter_map(|column| match column.origin {
            Origin::Source(place) if table.columns[place].name != column.name => Some(place),
            _ => None,
        });
    removed
        .chain(renamed)
        .map(|place| table.columns[place].name.to_lowercase())
        .collect()
}

/// Names of columns of the source that have another type, folded.
fn retyped_names(table: &Table, rules: &TableRules) -> Vec<String> {
    let retyped = rules.columns.iter().filter(|column| column.is_retyped);
    retyped
        .filter_map(|column| Some(source_of(table, column)?.name.to_lowercase()))
        .collect()
}

/// Why the target cannot compute a column as the source does.
fn not_computed(column: &Column, changed: &[String], retyped: &[String]) -> Option<String> {
    if column.is_loaded() {
        return None;
    }
    let what = if rests_on(column, changed) {
        "are renamed or left out"
    } else if rests_on(column, retyped) {
        "get another type"
    } else {
        return None;
    };
    Some(format!(
        "column {} is computed from columns that {what}, and is not created",
        column.name
    ))
}

/// Whether the expression of a computed column may name one of these. It is the server's own text, and where a name stands in it by
/// chance the column is left out all the same: better than a table that cannot be made.
fn rests_on(computed: &Column, names: &[String]) -> bool {
    let text = computed.native.to_lowercase();
    names
        .iter()
        .any(|name| *name != computed.name.to_lowercase() && text.contains(name.as_str()))
}
