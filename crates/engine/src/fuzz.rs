//! What users write for the engine to read, for the fuzz targets: none of it may make the engine panic, whatever it is.

use serde_json::json;
use whimbrel_connector::RowVisitor;
use whimbrel_core::mapping::{NameExpressions, SourceNames, TableMappings};
use whimbrel_core::{Table, Value};

use crate::shaping::{EvaluatedNames, Scratch, Shaper, Shaping};

/// Table mappings, acting on a row of a table.
pub fn mappings(document: &str, table: &Table, row: &[Value<'_>], visit: &mut RowVisitor<'_>) {
    let Ok(mappings) = TableMappings::parse(document) else {
        return;
    };
    let settings = Shaping::default();
    let rules = Shaper {
        settings: &settings,
        mappings: &mappings,
        target_schema: None,
    };
    mappings.target_name(&table.name, &EvaluatedNames).ok();
    mappings.segments(table).ok();
    mappings.load_order(&table.name);
    let Ok(Some(shaped)) = rules.of(table) else {
        return;
    };
    let is_wanted = shaped
        .filter()
        .is_none_or(|filter| filter.selects(row) != Some(false));
    if is_wanted {
        shaped.row(row, &mut Scratch::default(), visit).ok();
    }
}

/// The expression of a column that is added, evaluated for a row; and of a name.
pub fn expression(text: &str, table: &Table, row: &[Value<'_>], visit: &mut RowVisitor<'_>) {
    let whole = json!({"schema-name": "%", "table-name": "%"});
    let include = json!({"rule-type": "selection", "rule-id": "1", "rule-name": "1", "rule-action": "include",
        "object-locator": whole});
    for ty in [
        json!({"type": "string", "length": 50}),
        json!({"type": "numeric", "precision": 9, "scale": 2}),
    ] {
        let add = json!({"rule-type": "transformation", "rule-id": "2", "rule-name": "2", "rule-target": "column",
            "object-locator": whole, "rule-action": "add-column", "value": "added", "expression": text, "data-type": ty});
        mappings(
            &json!({"rules": [include, add]}).to_string(),
            table,
            row,
            visit,
        );
    }
    let names = SourceNames {
        schema: &table.name.schema,
        table: &table.name.name,
        column: table.columns.first(),
    };
    EvaluatedNames.name(text, &names).ok();
}
