use whimbrel_connector::objects::{ObjectStatement, Refused};
use whimbrel_core::objects::{ColumnDefault, ObjectKind};

use super::{Placed, Planning, render};
use crate::quote::{identifier, literal};

/// Defaults and comments of columns, and the table's comment.
pub(super) fn plan(planning: &mut Planning<'_>, table: &Placed<'_>) {
    let source = &table.objects.table;
    for default in &table.objects.defaults {
        if default.native.is_some() {
            planning.found.add(
                ObjectKind::Default,
                source,
                &default.column,
                default_of(table, default),
            );
        }
        if let Some(on_update) = &default.on_update {
            let refused = update_by_hand(table, &default.column, on_update);
            planning
                .found
                .add(ObjectKind::Default, source, &default.column, Err(refused));
        }
    }
    if let Some(comment) = &table.objects.comment {
        let statement = ObjectStatement::unless(
            format!("COMMENT ON TABLE {} IS {}", table.name, literal(comment)),
            has_comment(table, "0"),
        );
        planning
            .found
            .add(ObjectKind::Comment, source, "", Ok(vec![statement]));
    }
    for (column, comment) in &table.objects.column_comments {
        let statement = table.column(column).map(|name| {
            let number = format!(
                "(SELECT attnum FROM pg_attribute WHERE attrelid = {} AND attname = {})",
                table.regclass(),
                literal(name)
            );
            vec![ObjectStatement::unless(
                format!(
                    "COMMENT ON COLUMN {}.{} IS {}",
                    table.name,
                    identifier(name),
                    literal(comment)
                ),
                has_comment(table, &number),
            )]
        });
        planning
            .found
            .add(ObjectKind::Comment, source, column, statement);
    }
}

fn has_comment(table: &Placed<'_>, place: &str) -> String {
    format!(
        "SELECT 1 FROM pg_description WHERE classoid = 'pg_class'::regclass AND objoid = {} AND objsubid = {place}",
        table.regclass()
    )
}

fn default_of(
    table: &Placed<'_>,
    default: &ColumnDefault,
) -> Result<Vec<ObjectStatement>, Refused> {
    let name = table.column(&default.column)?;
    let native = default.native.as_deref().unwrap_or_default();
    let set = |value: &str| {
        format!(
            "ALTER TABLE {} ALTER COLUMN {} SET DEFAULT {value}",
            table.name,
            identifier(name)
        )
    };
    table
        .keeps_value(&default.column)
        .map_err(|reason| Refused::with_statement(reason, set(native)))?;
    let sql = if table.takes_text(native) {
        set(native)
    } else {
        let refused = |reason: &str| Refused::with_statement(reason, set(native));
        let value = default.value.as_ref().ok_or_else(|| {
            refused("its value is an expression that may mean something else here")
        })?;
        let planned = table
            .planned(&default.column)
            .ok_or_else(|| Refused::because("its column is computed"))?;
        set(&render::default(planned, value).map_err(|reason| refused(&reason))?)
    };
    let has_default = format!(
        "SELECT 1 FROM pg_attribute WHERE attrelid = {} AND attname = {} AND (atthasdef OR attidentity <> '')",
        table.regclass(),
        literal(name)
    );
    Ok(vec![ObjectStatement::unless(sql, has_default)])
}

/// Only a trigger does that here.
fn update_by_hand(table: &Placed<'_>, column: &str, on_update: &str) -> Refused {
    let name = identifier(column);
    Refused::with_statement(
        format!(
            "the source sets the column to {on_update} whenever a row is updated, for which this server needs a trigger"
        ),
        format!(
            "CREATE FUNCTION {schema}.{touch}() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.{name} := now(); RETURN NEW; END $$; \
             CREATE TRIGGER {touch} BEFORE UPDATE ON {table} FOR EACH ROW WHEN (OLD.* IS DISTINCT FROM NEW.*) EXECUTE FUNCTION {schema}.{touch}()",
            schema = identifier(&table.target.name.schema),
            touch = identifier(&format!("touch_{}_{column}", table.target.name.name)),
            table = table.name,
        ),
    )
}
