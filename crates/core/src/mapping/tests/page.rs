//! `docs/mappings.md`: which rules act, held against what the code refuses.

use std::fmt::Write as _;

use super::super::acting::{DOES_NOT_ACT, Feature};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/mappings.md");

const HEAD: &str = "\
# Table mappings: which rules act

The whole language of table mappings is read and checked. This page says which rules act in a full load, in the changes that follow it, in
`whimbrel validate` and in `whimbrel migrate --dry-run`; all of these act on a rule alike, or the rule is refused when the task is made, with its
rule-id and its place in the document. No rule is ever ignored.

`whimbrel migrate --mappings FILE` and `whimbrel validate --mappings FILE` take the document that the API takes as `TableMappings`.

This page is tested against the code: `WHIMBREL_UPDATE_DOCS=1 cargo nextest run -p whimbrel-core mapping::tests::page` writes it anew.

## Rules

| rule | here | |
|---|---|---|
";

const TAIL: &str = "
## Columns

- Of several rules that rename one column the one with the lowest rule-id acts, and they are not combined. Rules name columns as the source does, also when
  the source's definition changes while it is followed: a column that gets another name is under the rules for that name from then on.
- Two columns that would get one name are refused before anything of their table is touched. To MySQL and MariaDB names that differ by case alone are one.
- A table of which only names change travels as fast as without rules. One that loses columns is decoded on its way.
- A column of the primary key may be left out of a full load: the target's table has no key then. A task that follows changes refuses that, because they would not
  find their rows.
- A column that the server computes is made at a target of the same engine, unless it is computed from columns that are renamed or left out.
- `define-primary-key` makes the key of the target's table, whose columns take no NULL there; the rule's name for it is not used. A task that follows changes takes
  it for columns of the source's own key, or for a table that has none: the log tells no others of every old row, and the table is refused then.
- Masks hide the values of text before they reach the target: each digit becomes the character, or the value its SHA-256. A column that is too short for a hash is made
  longer. `whimbrel validate` compares what is masked with the masked values of the source. Digits of a key may become those of another one, which the target refuses.
- `data-masking-digits-randomize` gives each digit of a text or an exact number another one at random: numbers stay within their type, and a 0 before the point stays. Within one process
  equal values get equal digits; one that goes on with a task draws others, which a row gets when it changes next. What decides the digits is kept nowhere, so that nobody finds the values by
  trying. `whimbrel validate` and a task's validation leave such columns out; where one is of the key, rows are compared by the other columns, as for a table without a key. In a task that
  follows changes it may not be on a column of the key, nor on any of a table without a key: changes would not find their rows, and the table is refused.

## Names by expressions

- `rename-schema`, `rename-table` and `rename-column` with an `expression` make the name by SQLite, of `$AR_M_SOURCE_SCHEMA`, `$AR_M_SOURCE_TABLE_NAME` and, for columns,
  `$AR_M_SOURCE_COLUMN_NAME` and `$AR_M_SOURCE_COLUMN_DATATYPE` (the service's word for the type: `int4`, `numeric`, `string`, …), with the functions that `add-column` has, but for random
  ones and those of time: a name is the same at every start. A whole number is taken for its digits; anything else than text is the table's error, as is a name that two tables would get. Of
  several rules for one object, with or without an expression, the one with the lowest rule-id acts.

## Views

- A selection rule of `table-type` `view` or `all` loads what a view shows, or a materialized view holds, as a table, under the load's one snapshot. It has no key and no indexes; `define-primary-key` gives it
  one. `whimbrel validate` compares it with the view. Its definition is not made at the target, which has the table in its place, nor are its triggers and privileges.
- No log tells changes of what a view shows: a task that follows changes ends at its start where its rules select views. An interrupted load of a view starts again.

## Types

- `change-data-type` makes the target's column of the type that it names, and converts each value exactly. A value that the new type cannot hold is an error of its row
  that names table, key, column and kind of value; it is never rounded or cut. A change of such a row is written down in `awsdms_apply_exceptions`, as the task's settings say.
- Numbers are converted by their exact decimal digits. A floating-point number stands for the shortest decimal number that reads back to it. Text is read as a number with or
  without an exponent; `true`, `t`, `1`, `false`, `f` and `0` are booleans, and a boolean is 1 or 0 as a number.
- Dates become midnight, dates with times at midnight become dates, instants become their date and time in UTC. Digits of a second beyond the scale are an error; without a
  scale there are six. Text is read as `YYYY-MM-DD`, `HH:MM:SS` and `YYYY-MM-DD HH:MM:SS`, with up to six digits of a second.
- Everything but byte strings becomes text as servers print it; text and documents become bytes in UTF-8. Blanks at the end of a `char` do not count. Other pairs of types
  have no conversion, which is an error before anything of the table is touched.
- A mask with a higher rule-id hides the values of the new type. Indexes and constraints on columns whose values arrive as others are listed and not made.

## Expressions

- `add-column` adds a column behind the others, whose values SQLite computes of each row: `$name` is the source's column of that name. Operators, `CASE`, `CAST`, and these functions:
  `abs char coalesce date datetime hash_sha256 hex ifnull instr julianday length lower ltrim max min nullif operation_indicator quote random randomblob replace replaceChars
  round rtrim strftime substr time trim unicode upper zeroblob`. `hash_sha256` gives upper-case digits. Queries and other functions are refused when the table is planned.
- Whole numbers up to 64 bits, floating-point numbers, text and bytes are SQLite's own. Booleans are 1 and 0; dates and times are text in the form that SQLite's functions
  read, instants in UTC; everything else but numbers is text as servers print it.
- Decimals, and unsigned numbers beyond 63 bits, are their text with all digits where a column is handed on (`$price`, also as a value of `coalesce`, `ifnull` or `CASE` that is
  handed on), joined by `||`, in `CAST(… AS TEXT)`, and in the functions that look at characters (`hash_sha256 hex instr length lower ltrim replace replaceChars rtrim substr trim
  unicode upper`). Elsewhere, where they are compared or computed with, they are numbers: the floating-point number whose shortest digits are theirs, or a whole one of 64 bits; the other
  way round for types without fractions, so that 10.00 / 4 is 2.5. One with more digits than either, NaN or an infinity, is an error of its row there: nothing is rounded on its way in. Arithmetic is SQLite's, so that of fractions is in double precision.
- The result is converted to the rule's data type as `change-data-type` converts, exactly or as an error of the row: `round($a / 3.0, 2)` fits `numeric` of scale 2, `$a / 3.0` does not.
- A value may have 64 MiB and take 100,000 steps of SQLite's machine.
- `$AR_H_OPERATION` is `INSERT`, `UPDATE` or `DELETE`; `$AR_H_TIMESTAMP` and `$AR_H_COMMIT_TIMESTAMP` are when the transaction was committed, in UTC, or when the row was loaded;
  `$AR_H_STREAM_POSITION` is the position behind the transaction, and `$AR_H_CHANGE_SEQ` 16 digits of its time and 19 that count: both are empty for rows that were loaded.
  `$AR_H_USER` is always empty. `$AR_M_SOURCE_SCHEMA`, `$AR_M_SOURCE_TABLE_NAME`, `$AR_M_MODIFIED_SCHEMA` and `$AR_M_MODIFIED_TABLE_NAME` are the table's names by the rules.
  A transaction that is applied in pieces, because it is larger than a batch, has no commit yet when its first rows are: a table with variables of the commit is suspended then.
- `whimbrel validate` and a task's validation compute the values again and compare them, but for columns that do not follow from the row alone: `random`, `randomblob`, the time of now, `$AR_H_…`.
- An expression needs every column that it names, unless none of them changed. Where a log tells neither the new nor the old value of one (a long text of PostgreSQL that did not change,
  `binlog_row_image = MINIMAL`), the table is suspended with the remedy: `REPLICA IDENTITY FULL`, or `binlog_row_image = FULL`, and a reload.
- `operation_indicator('D', 'U', 'I')` keeps rows that go at the source: their flag alone is set, and a row that comes again under the key, or gets it by an update, takes their place.
  It needs a key, its expression names no columns, and comparisons leave out the target's rows that have the flag of a delete. A truncation of the table truncates it.

## Before images

- `add-before-image-columns` adds a column for each of the key (`pk-only`), for each that is no large object (`non-lob`), or for `all`. After an update it holds what was before it, and NULL for rows that
  were loaded or inserted. `pk-only` needs no more than the key, which every log tells; for others the table needs `REPLICA IDENTITY FULL`, or the source `binlog_row_image = FULL`: a task
  that follows changes is refused before its start otherwise, and a table suspended at an update that tells less all the same. Comparisons leave these columns out.

## Large objects

- `lob-settings` of a table stand in for the task's: `limited` cuts large texts and byte strings to `bulk-max-size` kilobytes, `unlimited` keeps them whole whatever the size, `none` leaves their columns out.

## Parallel load

- Every table is split into chunks that load in parallel, whether there is a rule for it or not. `parallel-load` splits it as the rule says instead: each segment is a chunk, which
  is loaded, committed and gone on with after an interruption by itself. Segments share the task's `MaxFullLoadSubTasks`, and are read under one snapshot.
- `none`: the table is one segment (in PostgreSQL, each of its partitions). `partitions-auto`: each partition is one; `subpartitions-auto`: each subpartition where there are some. A partition
  of PostgreSQL that has partitions itself is as many segments as these. A table without partitions is one segment.
- `partitions-list`: the partitions and subpartitions that are named, each as a segment, and no other rows. `whimbrel validate` compares those alone. A name that the table does not have is
  refused before anything of the table is touched. No log tells which partition a row is in: a task that follows changes is refused where the list leaves rows out. PostgreSQL's partitions are
  called by their names, with the schema before them where it is not the table's (`archive.sales_2020`); those in the second level and below are subpartitions.
- `ranges`: with N boundaries there are N+1 segments, and a boundary itself is in the upper one. Rows with NULL in a column of the ranges are a segment of their own. (The service itself does
  not load them.) Columns are compared as filters do, and may not be floating-point numbers, byte strings, documents or other types that filters do not compare. Each boundary has a value for
  each column, and stands above the one before it. A range is found by an index of the source where there is one over numbers, and for PostgreSQL over dates and times too; otherwise
  each segment reads the table.
- From PostgreSQL to PostgreSQL a table without other rules passes through undecoded all the same.
- Tables of MySQL and MariaDB that no snapshot covers (MyISAM and others) are read in one statement, whatever the rule says.
- `number-of-partitions`, `collection-count-from-metadata`, `max-records-skip-per-page` and `batch-size` are for sources of documents, and nothing here.

## Filters

- A row is at the target if and only if its present state passes the filter, whether it was loaded or came by a change: an update by which a row leaves
  the filter deletes it, one by which it enters inserts it. (The service itself leaves such rows as they are.)
- The source is asked for the rows that pass, and each row is looked at again by the same code that looks at changes.
- Numbers are compared exactly, dates and times in their own order (those with a zone in UTC), text by the bytes of its UTF-8: with case, and `Z` before `a`,
  whatever collation the column has. Blanks at the end of a `char` do not count. Documents, byte strings, arrays, intervals and geometries take `null` and `notnull` alone.
- A filter needs the old row of a change where it looks at a column outside the key. If a log tells keys alone, a row that leaves is deleted by its key and one that enters
  or stays is deleted and inserted. Where it tells too little even for that (a long text of PostgreSQL that did not change, `binlog_row_image = MINIMAL` and a
  filter's column that changed), the table is suspended with the remedy: `REPLICA IDENTITY FULL`, or `binlog_row_image = FULL`, and a reload.
- An interrupted load of a filtered table goes on with the chunks that are left, where the source tells that its rows are as they were: MySQL and MariaDB by their log, PostgreSQL where
  its server can count exactly the rows that pass. It starts again with that table otherwise.

## Changing rules

A task is not resumed under other rules for columns and rows than those under which its tables were loaded: the error names the table and the way back.
";

/// Every feature, in the order of the page: what it is called there, and what is to be known of it.
const ROWS: &[(Feature, &str, &str)] = {
    use Feature as F;
    &[
        (
            F::Filters,
            "selection: `filters` with every operator",
            "see below",
        ),
        (
            F::Views,
            "selection: `table-type` `view` or `all`",
            "see below",
        ),
        (
            F::ColumnRenames,
            "transformation of columns: `rename`, `convert-…`, `add-…`, `remove-…` and `replace-…` of prefixes and suffixes",
            "see below",
        ),
        (
            F::RemovedColumns,
            "transformation: `remove-column`, `include-column`",
            "see below",
        ),
        (F::AddedColumns, "transformation: `add-column`", "see below"),
        (
            F::DataTypes,
            "transformation: `change-data-type`",
            "see below",
        ),
        (
            F::PrimaryKeys,
            "transformation: `define-primary-key`",
            "see below",
        ),
        (
            F::BeforeImages,
            "transformation: `add-before-image-columns`",
            "see below",
        ),
        (
            F::Masks,
            "transformation: `data-masking-digits-mask`, `data-masking-hash-mask`",
            "see below",
        ),
        (
            F::RandomDigits,
            "transformation: `data-masking-digits-randomize`",
            "see below",
        ),
        (
            F::NameExpressions,
            "transformation: `rename-schema`, `rename-table`, `rename-column` by an `expression`",
            "see below",
        ),
        (
            F::Tablespaces,
            "transformation of `table-tablespace`, `index-tablespace`",
            "Oracle alone has them",
        ),
        (
            F::TableSettings,
            "table-settings",
            "as far as the rows below act",
        ),
        (
            F::RangeSegments,
            "table-settings: `parallel-load` of type `ranges`",
            "see below",
        ),
        (
            F::PartitionSegments,
            "table-settings: `parallel-load` of the types `none`, `partitions-auto`, `subpartitions-auto` and `partitions-list`",
            "see below",
        ),
        (
            F::LobSettings,
            "table-settings: `lob-settings`",
            "see below",
        ),
        (F::ValidationFunctions, "validation", ""),
        (F::PostProcessing, "post-processing", "for S3 targets"),
        (
            F::ObjectMapping,
            "object-mapping",
            "for Kafka, Kinesis and DynamoDB targets",
        ),
    ]
};

fn page() -> String {
    let acts = |feature: Feature| {
        if DOES_NOT_ACT.contains(&feature) {
            "refused"
        } else {
            "acts"
        }
    };
    let mut page = HEAD.to_owned();
    page.push_str("| selection: `include`, `exclude`, `explicit`, `load-order` | acts | `exclude` wins, whatever the order of rules; a table that is named without `%` and is not there is told, as `Table does not exist` |\n");
    page.push_str("| transformation of schemas and tables: `rename`, `convert-…`, `add-…`, `remove-…` and `replace-…` of prefixes and suffixes | acts | |\n");
    for &(feature, rule, more) in ROWS {
        let more = if more.is_empty() {
            String::new()
        } else {
            format!("{more} ")
        };
        writeln!(page, "| {rule} | {} | {more}|", acts(feature)).unwrap();
    }
    page.push_str(TAIL);
    page
}

#[test]
fn the_page_says_what_the_code_does() {
    for feature in DOES_NOT_ACT {
        let is_told = ROWS.iter().any(|(told, ..)| told == feature);
        assert!(is_told, "{feature:?}");
    }
    let page = page();
    if std::env::var_os("WHIMBREL_UPDATE_DOCS").is_some() {
        std::fs::write(PAGE, &page).unwrap();
    }
    let there = std::fs::read_to_string(PAGE).unwrap_or_default();
    assert_eq!(there, page, "docs/mappings.md is not what the code does");
}
