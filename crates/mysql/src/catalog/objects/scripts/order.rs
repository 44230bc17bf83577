//! The order in which objects of one kind can be made: each behind those that its text names.

use whimbrel_core::objects::{ObjectKind, Scripted};

use crate::quote::identifier;

/// Views that name each other cannot be, so those that are left over keep their order.
pub(super) fn sorted(scripts: Vec<Scripted>) -> Vec<Scripted> {
    let is_view = scripts
        .first()
        .is_some_and(|script| script.kind == ObjectKind::View);
    if !is_view {
        return scripts;
    }
    let names: Vec<String> = scripts.iter().map(own_name).collect();
    let texts: Vec<String> = scripts.iter().map(Scripted::text).collect();
    let mut open: Vec<usize> = (0..scripts.len()).collect();
    let mut order = Vec::with_capacity(scripts.len());
    while !open.is_empty() {
        let waits = |&at: &usize| {
            let mut others = open.iter().filter(|&&other| other != at);
            others.any(|&other| texts[at].contains(&names[other]))
        };
        let ready: Vec<usize> = open.iter().copied().filter(|at| !waits(at)).collect();
        if ready.is_empty() {
            order.append(&mut open);
        }
        open.retain(|at| !ready.contains(at));
        order.extend(ready);
    }
    let mut scripts: Vec<Option<Scripted>> = scripts.into_iter().map(Some).collect();
    order
        .into_iter()
        .filter_map(|at| scripts[at].take())
        .collect()
}

/// The view's own name, as texts have it.
fn own_name(script: &Scripted) -> String {
    let schema = script.schema.as_deref().unwrap_or_default();
    let name = script
        .name
        .strip_prefix(schema)
        .and_then(|name| name.strip_prefix('.'));
    identifier(name.unwrap_or(&script.name))
}
