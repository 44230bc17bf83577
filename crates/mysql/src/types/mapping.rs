//! How the columns of a source's table will look here. `docs/types.md` lists it.

use whimbrel_connector::{KeyPolicy, TargetColumn};
use whimbrel_core::{Column, ColumnType, Engine, Table};

use super::collation;
use crate::quote;

/// The longest key of InnoDB in its default row format.
const KEY_BYTES_MAX: u32 = 3072;
/// `-178956970 years -8 mons -2147483648 days -2562047788:00:54.775808` is the longest text of an interval, and a little shorter.
const INTERVAL_LENGTH_MAX: u32 = 72;
/// The longest row, texts and blobs aside.
const ROW_BYTES_MAX: u32 = 65_535;
/// What is kept free of it for what the sum below does not count.
const ROW_BYTES_SPARE: u32 = 1024;
/// Bytes of a character in utf8mb4.
const CHAR_BYTES: u32 = 4;
/// The longest CHAR and the longest label.
const CHAR_LENGTH_MAX: u32 = 255;
/// The longest BIT.
const BIT_LENGTH_MAX: u32 = 64;
/// The most digits of DECIMAL, and the most after the point.
const DECIMAL_DIGITS_MAX: u32 = 65;
const DECIMAL_SCALE_MAX: u32 = 30;
/// MariaDB makes a zero of it whatever statement writes it, bound or in words (seen on 10.11); MySQL keeps it (seen on 9.7). Both compare them as equal.
const NEGATIVE_ZERO: &str =
    "the negative zero among floating-point numbers arrives as zero, because MariaDB keeps none";
const JSON_AS_TEXT: &str = "documents travel as text, as every client of the server reads them: a DECIMAL in one arrives as a double of the same value, or is refused where there is none, and dates, times \
     and bytes in one arrive as the strings that the server writes for them";
/// The most labels of a SET.
const SET_LABELS_MAX: usize = 64;

/// The columns at the target, and what a user should know of them.
pub(crate) fn plan_columns(
    source: &Table,
    target: Engine,
    keys: KeyPolicy,
) -> (Vec<TargetColumn>, Vec<String>) {
    let mut notes = Vec::new();
    let mut columns = Vec::new();
    let mut types: Vec<Planned> = Vec::new();
    for column in source.loaded_columns() {
        let planned = if column.native.is_empty() {
            // A type that rules change is known by what it holds alone.
            native_type(&column.ty, target)
        } else if source.engine == target {
            let same = Planned::fixed(column.native.clone());
            match column.ty {
                ColumnType::Json { binary: true } => same.noted(JSON_AS_TEXT),
                _ => same,
            }
        } else if source.engine != Engine::Postgres {
            translate(column, target)
        } else {
            native_type(&column.ty, target)
        };
        if let Some(note) = &planned.note {
            notes.push(format!("column {}: {note}", column.name));
        }
        types.push(planned);
    }
    let key = if keys == KeyPolicy::None {
        Vec::new()
    } else {
        source.key_in_row()
    };
    if source.engine == Engine::Postgres {
        notes.extend(shorten_key(source, &key, &mut types, target));
        notes.extend(shorten_row(source, &key, &mut types));
    }
    let columns_of_values = || source.loaded_columns().map(|column| &column.ty);
    let refusals = columns_of_values().filter_map(refusal);
    let refusals = refusals.filter(|_| source.engine == Engine::Postgres);
    let is_float = |ty: &&ColumnType| matches!(ty, ColumnType::Float32 | ColumnType::Float64);
    let zeros = columns_of_values().filter(is_float).map(|_| NEGATIVE_ZERO);
    let loses_zeros = target == Engine::MariaDb && source.engine != target;
    for note in refusals.chain(zeros.filter(|_| loses_zeros)) {
        if !notes.iter().any(|known| known == note) {
            notes.push(note.to_owned());
        }
    }
    for (index, (column, planned)) in source.loaded_columns().zip(types).enumerate() {
        columns.push(TargetColumn {
            name: column.name.clone(),
            native: planned.native(target),
            source_type: column.ty.clone(),
            nullable: column.nullable && !key.contains(&index),
        });
    }
    (columns, notes)
}

/// A type on its way to SQL.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Planned {
    form: Form,
    note: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Form {
    /// As it is.
    Fixed(String),
    /// `varchar(n)` in utf8mb4.
    Varchar(u32),
    /// `varbinary(n)`.
    Varbinary(u32),
    /// A text of up to so many bytes; `None`: the longest.
    Text(Option<u64>),
    /// A blob of up to so many bytes; `None`: the longest.
    Blob(Option<u64>),
}

impl Planned {
    fn fixed(native: impl Into<String>) -> Self {
        Self {
            form: Form::Fixed(native.into()),
            note: None,
        }
    }

    fn form(form: Form) -> Self {
        Self { form, note: None }
    }

    fn noted(self, note: &str) -> Self {
        Self {
            note: Some(note.to_owned()),
            ..self
        }
    }

    fn native(&self, target: Engine) -> String {
        let text = |ty: &str| {
            format!(
                "{ty} CHARACTER SET utf8mb4 COLLATE {}",
                collation::exact(target)
            )
        };
        match &self.form {
            Form::Fixed(native) => native.clone(),
            Form::Varchar(length) => text(&format!("varchar({length})")),
            Form::Varbinary(length) => format!("varbinary({length})"),
            Form::Text(bytes_max) => text(&format!("{}text", size_name(*bytes_max))),
            Form::Blob(bytes_max) => format!("{}blob", size_name(*bytes_max)),
        }
    }

    /// The most bytes that the column takes of a row, or of a key.
    fn row_bytes(&self) -> u32 {
        match self.form {
            Form::Varchar(length) => length.saturating_mul(CHAR_BYTES) + 2,
            Form::Varbinary(length) => length + 2,
            // Texts and blobs lie elsewhere, with a length and a pointer left behind; no other type takes more than 260.
            Form::Text(_) | Form::Blob(_) => 12,
            Form::Fixed(ref native) if native.starts_with("char(") => CHAR_LENGTH_MAX * CHAR_BYTES,
            Form::Fixed(_) => 40,
        }
    }
}

fn size_name(bytes_max: Option<u64>) -> &'static str {
    match bytes_max {
        Some(0..=0xFFFF) => "",
        Some(0x1_0000..=0xFF_FFFF) => "medium",
        _ => "long",
    }
}

fn varchar(length: u32) -> Planned {
    let bytes = u64::from(length) * u64::from(CHAR_BYTES);
    if length == 0 || bytes > u64::from(ROW_BYTES_MAX - ROW_BYTES_SPARE) {
        Planned::form(Form::Text(Some(bytes).filter(|&bytes| bytes > 0)))
    } else {
        Planned::form(Form::Varchar(length))
    }
}

fn varbinary(length: u32) -> Planned {
    if length == 0 || length > ROW_BYTES_MAX - ROW_BYTES_SPARE {
        Planned::form(Form::Blob(
            Some(u64::from(length)).filter(|&bytes| bytes > 0),
        ))
    } else {
        Planned::form(Form::Varbinary(length))
    }
}

/// The type that holds what a column of another engine can hold.
fn native_type(ty: &ColumnType, target: Engine) -> Planned {
    match ty {
        ColumnType::Bool => Planned::fixed("tinyint(1)"),
        ColumnType::Int { bits, unsigned } => {
            let name = match bits {
                8 => "tinyint",
                16 => "smallint",
                24 => "mediumint",
                32 => "int",
                _ => "bigint",
            };
            Planned::fixed(if *unsigned { format!("{name} unsigned") } else { name.to_owned() })
        }
        ColumnType::Decimal { precision, unsigned } => decimal(*precision, *unsigned),
        ColumnType::Float32 => Planned::fixed("float"),
        ColumnType::Float64 => Planned::fixed("double"),
        ColumnType::Char { length } if (1..=CHAR_LENGTH_MAX).contains(length) => {
            Planned::fixed(format!("char({length}) CHARACTER SET utf8mb4 COLLATE {}", collation::exact(target)))
        }
        ColumnType::Char { length } | ColumnType::Varchar { length: Some(length) } => {
            varchar(*length)
        }
        ColumnType::Set { labels } if enum_holds(labels) && labels.len() <= SET_LABELS_MAX => {
            Planned::fixed(labelled("set", labels, target))
        }
        ColumnType::Varchar { length: None } | ColumnType::Set { .. } => {
            Planned::form(Form::Text(None))
        }
        ColumnType::Text { bytes_max } => Planned::form(Form::Text(*bytes_max)),
        ColumnType::Binary { length } if *length <= CHAR_LENGTH_MAX => {
            Planned::fixed(format!("binary({length})"))
        }
        ColumnType::Binary { length } | ColumnType::Varbinary { length } => varbinary(*length),
        ColumnType::Blob { bytes_max } => Planned::form(Form::Blob(*bytes_max)),
        ColumnType::Bit { length: Some(length), varying: false } if *length <= BIT_LENGTH_MAX => {
            Planned::fixed(format!("bit({length})"))
        }
        ColumnType::Bit { length, .. } => length
            .map_or(Planned::form(Form::Text(None)), varchar)
            .noted("bit strings of any length are kept as text of zeros and ones"),
        ColumnType::Date => Planned::fixed("date")
            .noted("infinite dates, and those before the year 0 or after 9999, are refused"),
        ColumnType::Time { precision } => Planned::fixed(format!("time({precision})")),
        ColumnType::Timestamp { precision } => Planned::fixed(format!("datetime({precision})"))
            .noted("infinite times, and those before the year 0 or after 9999, are refused"),
        ColumnType::TimestampTz { precision } => Planned::fixed(format!("datetime({precision})"))
            .noted("instants are kept in UTC, because TIMESTAMP ends in 2038; infinite ones, and those before the year 0 or after 9999, are refused"),
        ColumnType::Year => Planned::fixed("year"),
        ColumnType::Json { .. } if target == Engine::MariaDb => Planned::fixed("json"),
        ColumnType::Json { binary: true } => Planned::fixed("json")
            .noted("documents with numbers that need more than 64-bit integers or double precision are refused"),
        ColumnType::Json { binary: false } => Planned::fixed("json").noted(
            "white space and the order of keys are not kept; documents that repeat a key, and those with numbers that need more than 64-bit integers or double precision, are refused",
        ),
        ColumnType::Uuid if target == Engine::MariaDb => Planned::fixed("uuid"),
        ColumnType::Uuid => Planned::fixed("char(36) CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_bin"),
        ColumnType::Enum { labels } if enum_holds(labels) => Planned::fixed(labelled("enum", labels, target)),
        ColumnType::Enum { labels } => {
            varchar(labels.iter().map(|label| label.chars().count()).max().and_then(|n| u32::try_from(n).ok()).unwrap_or(0).max(1))
                .noted("its labels are kept as text, because an ENUM cannot hold them all")
        }
        ColumnType::TimeTz { .. } => {
            varchar(64).noted("kept as text, because there is no such type")
        }
        ColumnType::Interval => {
            varchar(INTERVAL_LENGTH_MAX).noted("kept as text, because there is no such type")
        }
        ColumnType::Native { kind } => native_text(kind),
        ColumnType::Geometry { .. } => Planned::fixed("geometry"),
    }
}

/// What is refused of the values that a column of PostgreSQL can hold: said once of a table, not of each column.
fn refusal(ty: &ColumnType) -> Option<&'static str> {
    match ty {
        ColumnType::Float32 | ColumnType::Float64 => {
            Some("NaN and infinities among floating-point numbers are refused")
        }
        ColumnType::Decimal { .. } => Some("NaN among decimal numbers is refused"),
        _ => None,
    }
}

/// Types without a counterpart are kept as their text.
fn native_text(kind: &str) -> Planned {
    match kind {
        "inet4" => Planned::fixed("varchar(15) CHARACTER SET ascii COLLATE ascii_bin"),
        "inet6" => Planned::fixed("varchar(45) CHARACTER SET ascii COLLATE ascii_bin"),
        "inet" | "cidr" | "macaddr" | "macaddr8" | "money" | "oid" | "pg_lsn" => varchar(64),
        _ => Planned::form(Form::Text(None)),
    }
    .noted("kept as text, because there is no such type")
}

fn decimal(precision: Option<(u32, i32)>, unsigned: bool) -> Planned {
    let suffix = if unsigned { " unsigned" } else { "" };
    let Some((precision, scale)) = precision else {
        return Planned::fixed("decimal(65,30)")
            .noted("numbers of more than 35 digits before or 30 after the point are refused, and so are infinite ones");
    };
    // A scale below zero means zeros before the point, one above the precision zeros after it.
    let (digits, scale) = match u32::try_from(scale) {
        Ok(scale) => (precision.max(scale), scale),
        Err(_) => (precision + scale.unsigned_abs(), 0),
    };
    if digits <= DECIMAL_DIGITS_MAX && scale <= DECIMAL_SCALE_MAX {
        return Planned::fixed(format!("decimal({digits},{scale}){suffix}"));
    }
    let scale = scale.min(DECIMAL_SCALE_MAX);
    Planned::fixed(format!("decimal({DECIMAL_DIGITS_MAX},{scale}){suffix}"))
        .noted("numbers of more digits than DECIMAL can hold are refused")
}

/// Labels lose trailing spaces, and must differ by the collation's rules, which here are those of the characters. Servers keep
/// them in three bytes a character: a question mark takes the place of any other.
fn enum_holds(labels: &[String]) -> bool {
    !labels.is_empty()
        && labels.iter().all(|label| {
            !label.ends_with(' ')
                && label.chars().count() <= CHAR_LENGTH_MAX as usize
                && !label.contains('\0')
                && label.chars().all(|c| c <= '\u{ffff}')
        })
}

fn labelled(name: &str, labels: &[String], target: Engine) -> String {
    let quoted: Vec<String> = labels.iter().map(|label| quote::literal(label)).collect();
    format!(
        "{name}({}) CHARACTER SET utf8mb4 COLLATE {}",
        quoted.join(","),
        collation::exact(target)
    )
}

/// The type of a column of the other flavour: the same, unless only one of them has it.
fn translate(column: &Column, target: Engine) -> Planned {
    let is_known = match &column.ty {
        ColumnType::Uuid | ColumnType::Native { .. } | ColumnType::Json { .. } => false,
        _ => !column.native.starts_with("vector"),
    };
    if !is_known {
        return native_type(&column.ty, target);
    }
    let mut native = column
        .native
        .split(" /*")
        .next()
        .unwrap_or_default()
        .to_owned();
    native = native
        .replace("geomcollection", "geometrycollection")
        .replace("year(4)", "year");
    let mut note = None;
    if let Some((ty, srid)) = native.split_once(" SRID ") {
        note = Some(format!(
            "the reference system {srid} is kept in each value, but the column does not demand it"
        ));
        native = ty.to_owned();
    }
    if let Some((ty, collation)) = native.rsplit_once(" COLLATE ")
        && let Some(nearest) = collation::nearest(collation, target)
    {
        note = Some(format!(
            "collation {collation} does not exist here, {nearest} takes its place"
        ));
        native = format!("{ty} COLLATE {nearest}");
    }
    Planned {
        form: Form::Fixed(native),
        note,
    }
}

/// Texts and blobs cannot be key columns whole: they become as long as a key can be.
fn shorten_key(
    source: &Table,
    key: &[usize],
    types: &mut [Planned],
    target: Engine,
) -> Vec<String> {
    let is_long = |planned: &Planned| !matches!(planned.form, Form::Fixed(_));
    let fixed: u32 = key
        .iter()
        .filter_map(|&i| types.get(i))
        .filter(|t| !is_long(t))
        .map(fixed_key_bytes)
        .sum();
    let long: Vec<usize> = key
        .iter()
        .copied()
        .filter(|&i| types.get(i).is_some_and(is_long))
        .collect();
    let wanted: u32 = long
        .iter()
        .map(|&i| match types[i].form {
            Form::Varchar(_) | Form::Varbinary(_) => types[i].row_bytes(),
            _ => KEY_BYTES_MAX,
        })
        .fold(0, u32::saturating_add);
    let is_whole = |planned: &Planned| matches!(planned.form, Form::Text(_) | Form::Blob(_));
    let has_whole = long.iter().any(|&i| is_whole(&types[i]));
    if !has_whole && wanted.saturating_add(fixed) <= KEY_BYTES_MAX {
        return Vec::new();
    }
    let share = KEY_BYTES_MAX.saturating_sub(fixed) / u32::try_from(long.len()).unwrap_or(u32::MAX);
    let columns: Vec<&Column> = source.loaded_columns().collect();
    let mut notes = Vec::new();
    for index in long {
        let form = match types[index].form {
            Form::Varchar(length) => Form::Varchar(length.min(share / CHAR_BYTES)),
            Form::Varbinary(length) => Form::Varbinary(length.min(share)),
            Form::Blob(_) => Form::Varbinary(share),
            Form::Text(_) | Form::Fixed(_) => Form::Varchar(share / CHAR_BYTES),
        };
        if form != types[index].form {
            types[index].form = form;
            notes.push(format!(
                "column {}: as part of the key it is {}; longer values are refused",
                columns[index].name,
                types[index]
                    .native(target)
                    .split(' ')
                    .next()
                    .unwrap_or_default()
            ));
        }
    }
    notes
}

/// Bytes that a column of fixed form takes of a key, at most.
fn fixed_key_bytes(planned: &Planned) -> u32 {
    let Form::Fixed(native) = &planned.form else {
        return 0;
    };
    let length = native
        .split_once('(')
        .and_then(|(_, rest)| rest.split_once(')'))
        .and_then(|(digits, _)| digits.parse::<u32>().ok());
    match (native.split('(').next().unwrap_or_default(), length) {
        ("char" | "varchar", Some(length)) => length * CHAR_BYTES,
        ("binary", Some(length)) => length,
        _ => 32,
    }
}

/// Rows have a limit of their own: the longest columns outside the key become texts and blobs until they fit.
fn shorten_row(source: &Table, key: &[usize], types: &mut [Planned]) -> Vec<String> {
    let columns: Vec<&Column> = source.loaded_columns().collect();
    let mut notes = Vec::new();
    loop {
        let sum = types
            .iter()
            .map(Planned::row_bytes)
            .fold(0, u32::saturating_add);
        if sum <= ROW_BYTES_MAX - ROW_BYTES_SPARE {
            return notes;
        }
        let longest = (0..types.len())
            .filter(|index| !key.contains(index))
            .filter(|&index| matches!(types[index].form, Form::Varchar(_) | Form::Varbinary(_)))
            .max_by_key(|&index| types[index].row_bytes());
        let Some(index) = longest else { return notes };
        let bytes = Some(u64::from(types[index].row_bytes()));
        types[index].form = match types[index].form {
            Form::Varbinary(_) => Form::Blob(bytes),
            _ => Form::Text(bytes),
        };
        notes.push(format!(
            "column {}: kept outside the row, because the columns together are longer than a row can be",
            columns[index].name
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use whimbrel_core::{Generation, TableName};

    fn table(engine: Engine, columns: &[(&str, ColumnType, &str)], primary_key: &[usize]) -> Table {
        Table {
            engine,
            name: TableName::new("s", "t"),
            columns: columns
                .iter()
                .map(|(name, ty, native)| Column {
                    name: (*name).to_owned(),
                    ty: ty.clone(),
                    native: (*native).to_owned(),
                    nullable: true,
                    generation: Generation::None,
                    id: None,
                    default: None,
                })
                .collect(),
            primary_key: primary_key.to_vec(),
            id: None,
            key_prefixes: Vec::new(),
            row_estimate: None,
            byte_estimate: None,
            outside_snapshot: None,
            obstacle: None,
            notes: Vec::new(),
        }
    }

    fn natives(source: &Table, target: Engine) -> Vec<String> {
        plan_columns(source, target, KeyPolicy::Best)
            .0
            .into_iter()
            .map(|c| c.native)
            .collect()
    }

    #[test]
    fn texts_in_keys_share_what_a_key_can_hold() {
        let text = ColumnType::Text { bytes_max: None };
        let source = table(
            Engine::Postgres,
            &[
                ("a", text.clone(), "text"),
                ("b", ColumnType::Blob { bytes_max: None }, "bytea"),
                (
                    "c",
                    ColumnType::Int {
                        bits: 64,
                        unsigned: false,
                    },
                    "bigint",
                ),
                ("d", text, "text"),
            ],
            &[0, 1, 2],
        );
        let planned = natives(&source, Engine::MySql);
        assert_eq!(
            planned[0],
            "varchar(380) CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_bin"
        );
        assert_eq!(planned[1], "varbinary(1520)");
        assert_eq!(
            planned[3],
            "longtext CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_bin"
        );
        let columns = plan_columns(&source, Engine::MySql, KeyPolicy::Best).0;
        assert!(!columns[0].nullable && columns[3].nullable);
        assert!(
            plan_columns(&source, Engine::MySql, KeyPolicy::None).0[0]
                .native
                .starts_with("longtext")
        );
    }

    #[test]
    fn a_text_that_is_a_key_alone_has_all_of_it() {
        let text = ColumnType::Text { bytes_max: None };
        let source = table(Engine::Postgres, &[("a", text, "text")], &[0]);
        assert!(natives(&source, Engine::MySql)[0].starts_with("varchar(768)"));
    }

    #[test]
    fn wide_rows_move_their_longest_columns_out() {
        let wide = ColumnType::Varchar { length: Some(9000) };
        let source = table(
            Engine::Postgres,
            &[
                ("a", wide.clone(), ""),
                ("b", wide, ""),
                ("c", ColumnType::Varchar { length: Some(10) }, ""),
            ],
            &[],
        );
        let planned = natives(&source, Engine::MariaDb);
        assert!(
            planned
                .iter()
                .filter(|native| native.starts_with("text"))
                .count()
                == 1,
            "{planned:?}"
        );
        assert!(planned[2].starts_with("varchar(10)"));
    }

    #[test]
    fn one_flavour_keeps_its_types_and_the_other_gets_the_nearest() {
        let source = table(
            Engine::MySql,
            &[
                (
                    "a",
                    ColumnType::Varchar { length: Some(9) },
                    "varchar(9) CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_ai_ci",
                ),
                (
                    "b",
                    ColumnType::Geometry {
                        kind: "geomcollection".to_owned(),
                    },
                    "geomcollection SRID 4326",
                ),
                ("c", ColumnType::Varbinary { length: 12 }, "vector(3)"),
                (
                    "d",
                    ColumnType::Int {
                        bits: 32,
                        unsigned: true,
                    },
                    "int(5) unsigned zerofill",
                ),
            ],
            &[],
        );
        assert_eq!(
            natives(&source, Engine::MySql)[1],
            "geomcollection SRID 4326"
        );
        let (columns, notes) = plan_columns(&source, Engine::MariaDb, KeyPolicy::Best);
        let planned: Vec<_> = columns
            .iter()
            .map(|column| column.native.as_str())
            .collect();
        assert_eq!(
            planned,
            [
                "varchar(9) CHARACTER SET utf8mb4 COLLATE utf8mb4_uca1400_nopad_ai_ci",
                "geometrycollection",
                "varbinary(12)",
                "int(5) unsigned zerofill"
            ]
        );
        assert_eq!(notes.len(), 2, "{notes:?}");
    }

    #[test]
    fn decimals_beyond_the_type_are_noted() {
        assert_eq!(
            decimal(Some((12, 2)), false).native(Engine::MySql),
            "decimal(12,2)"
        );
        assert_eq!(
            decimal(Some((3, -2)), false).native(Engine::MySql),
            "decimal(5,0)"
        );
        assert_eq!(
            decimal(Some((2, 5)), false).native(Engine::MySql),
            "decimal(5,5)"
        );
        assert!(decimal(Some((100, 40)), false).note.is_some());
    }

    #[test]
    fn labels_that_an_enum_would_change_stay_text() {
        let labels = |text: &[&str]| ColumnType::Enum {
            labels: text.iter().map(|&t| t.to_owned()).collect(),
        };
        let plain = native_type(&labels(&["a", "it's"]), Engine::MySql).native(Engine::MySql);
        assert_eq!(
            plain,
            "enum('a','it''s') CHARACTER SET utf8mb4 COLLATE utf8mb4_0900_bin"
        );
        let padded = native_type(&labels(&["a "]), Engine::MySql).native(Engine::MySql);
        assert!(padded.starts_with("varchar(2)"), "{padded}");
        let musical = native_type(&labels(&["𝄞"]), Engine::MySql).native(Engine::MySql);
        assert!(musical.starts_with("varchar(1)"), "{musical}");
    }
}
