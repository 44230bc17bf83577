//! The objects of a plan, for `--dry-run`.

use serde_json::{Value, json};
use whimbrel_connector::objects::ObjectPlan;

use super::dry_run::{comment, statement};
use crate::progress::{review_json, reviewed, unconverted, unconverted_json};

/// The statements in the order in which they are run, and what is not made as comments.
pub(super) fn script(plan: &ObjectPlan) -> String {
    let mut parts = Vec::new();
    for step in &plan.steps {
        parts.push("\n".to_owned());
        parts.push(comment(&format!("{} {}", step.kind.singular(), step.name)));
        parts.extend(
            step.note
                .iter()
                .map(|note| comment(&format!("note: {note}"))),
        );
        if let Some(review) = step.review() {
            parts.extend(
                reviewed(&review)
                    .iter()
                    .take_while(|line| *line != "    here:")
                    .map(|line| comment(line)),
            );
        }
        if let Some(script) = &step.script {
            if step.is_before_tables() {
                parts.push(comment("made before the tables, which may rest on it"));
            }
            let lacking = script.requires.iter().map(|needed| &needed.lacking);
            parts.extend(lacking.map(|lacking| comment(&format!("or listed: {lacking}"))));
            let session = script.enter.iter().chain(&script.session);
            parts.extend(session.map(|set| statement(set)));
        }
        parts.extend(step.statements.iter().map(|made| statement(&made.sql)));
    }
    if !plan.unconverted.is_empty() {
        parts.push("\n".to_owned());
        let count = plan.unconverted.len();
        parts.push(comment(&format!("{count} not converted:")));
    }
    for object in &plan.unconverted {
        parts.extend(unconverted(object).iter().map(|line| comment(line)));
    }
    parts.concat()
}

/// The same for programs.
pub(super) fn json(plan: &ObjectPlan) -> Value {
    let steps = plan.steps.iter().map(|step| {
        json!({
            "kind": step.kind.as_str(),
            "object": step.name,
            "note": step.note,
            "review": step.review().as_ref().map(review_json),
            "sql": step.statements.iter().map(|made| &made.sql).collect::<Vec<_>>(),
        })
    });
    json!({
        "made": steps.collect::<Vec<_>>(),
        "not_converted_count": plan.unconverted.len(),
        "not_converted": plan.unconverted.iter().map(unconverted_json).collect::<Vec<_>>(),
    })
}
