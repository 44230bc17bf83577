//! The objects that are made after the rows, as lines and events.

use serde_json::{Value, json};
use whimbrel_connector::objects::{Review, Unconverted};
use whimbrel_core::visible;
use whimbrel_engine::{ObjectProgress, ObjectResult, ObjectState, ProgressSnapshot};

use crate::format;

/// How far a display is with the results of the phase.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Shown {
    round: u64,
    count: usize,
}

impl Shown {
    /// The results that were not shown yet. A phase that begins anew shows its own.
    pub(super) fn fresh<'p>(&mut self, snapshot: &'p ProgressSnapshot) -> &'p [ObjectResult] {
        let Some(objects) = &snapshot.objects else {
            return &[];
        };
        if self.round != objects.round {
            *self = Self {
                round: objects.round,
                count: 0,
            };
        }
        let fresh = objects.results.get(self.count..).unwrap_or_default();
        self.count = objects.results.len();
        fresh
    }
}

/// `12/30 objects, index shop.orders.by_day`, while they are made.
pub(super) fn message(snapshot: &ProgressSnapshot) -> Option<String> {
    let objects = snapshot.objects.as_ref()?;
    let done = objects.results.len();
    if done >= objects.total {
        return None;
    }
    let running: Vec<&str> = objects.running.iter().take(2).map(String::as_str).collect();
    Some(format!(
        "{done}/{} objects  {}",
        objects.total,
        visible(&running.join(", "))
    ))
}

/// What a result is worth a line for: what failed, and what took a while.
pub(super) fn line(result: &ObjectResult) -> Option<String> {
    let what = titled(result.kind.singular(), &result.name);
    match &result.state {
        ObjectState::Failed(why) => Some(format!("{what}: error: {why}\n")),
        ObjectState::Waits(why) => Some(format!("{what}: not made: {why}\n")),
        ObjectState::Made if result.elapsed.as_millis() >= 1000 => Some(format!(
            "{what}: made in {}\n",
            format::duration(result.elapsed)
        )),
        ObjectState::Made | ObjectState::Kept => None,
    }
}

/// What an object is and what it is called, on one line.
fn titled(what: &str, name: &str) -> String {
    format!("{what} {}", visible(name))
}

/// The lines of the summary: how many were made, and what is left to a person.
pub(super) fn summary(objects: &ObjectProgress) -> Vec<String> {
    let count = |wanted: &ObjectState| {
        objects
            .results
            .iter()
            .filter(|result| result.state == *wanted)
            .count()
    };
    let (made, kept) = (count(&ObjectState::Made), count(&ObjectState::Kept));
    let failed = objects.failures().count();
    let is_left = |result: &&ObjectResult| matches!(result.state, ObjectState::Waits(_));
    let left = objects.results.iter().filter(is_left).count();
    let mut first = format!("objects: {made} made");
    let parts = [
        (kept, "were there"),
        (failed, "failed"),
        (left, "not made"),
        (objects.unconverted.len(), "not converted"),
        (objects.waiting, "wait until no more changes follow"),
    ];
    for (count, what) in parts.into_iter().filter(|(count, _)| *count > 0) {
        first = format!("{first}, {count} {what}");
    }
    let mut lines = vec![first];
    lines.extend(objects.failures().map(|(result, why)| {
        format!(
            "error: {}: {why}",
            titled(result.kind.singular(), &result.name)
        )
    }));
    lines.extend(objects.results.iter().filter_map(|result| {
        let ObjectState::Waits(why) = &result.state else {
            return None;
        };
        Some(format!(
            "not made: {}: {why}",
            titled(result.kind.singular(), &result.name)
        ))
    }));
    lines.extend(objects.unconverted.iter().flat_map(unconverted));
    let noted = objects
        .results
        .iter()
        .filter_map(|result| Some((result, result.note.as_ref()?)));
    for (result, note) in noted {
        let what = titled(result.kind.singular(), &result.name);
        lines.push(format!("note: {what}: {note}"));
        lines.extend(result.review.iter().flat_map(|review| reviewed(review)));
    }
    lines
}

/// Both texts of what was converted.
pub(crate) fn reviewed(review: &Review) -> Vec<String> {
    let texts = [("source", &review.original), ("here", &review.converted)];
    let lines = texts.into_iter().flat_map(|(side, text)| {
        let mut lines = vec![format!("    {side}:")];
        lines.extend(text.lines().map(|line| format!("      {line}")));
        lines
    });
    lines.collect()
}

/// Both texts as a value.
pub(crate) fn review_json(review: &Review) -> Value {
    json!({ "original": review.original, "converted": review.converted })
}

/// An object that is not made: why, and what to begin from.
pub(crate) fn unconverted(object: &Unconverted) -> Vec<String> {
    let mut lines = vec![format!(
        "not made: {}: {}",
        titled(&object.what, &object.name),
        object.reason
    )];
    let statement = object
        .statement
        .iter()
        .flat_map(|statement| statement.lines());
    lines.extend(statement.map(|line| format!("    {line}")));
    lines
}

/// One result as an event's members.
pub(super) fn result_json(result: &ObjectResult) -> Value {
    let (state, message) = match &result.state {
        ObjectState::Made => ("made", None),
        ObjectState::Kept => ("kept", None),
        ObjectState::Failed(why) => ("failed", Some(why)),
        ObjectState::Waits(why) => ("waits", Some(why)),
    };
    json!({
        "kind": result.kind.as_str(),
        "object": result.name,
        "state": state,
        "message": message,
        "note": result.note,
        "review": result.review.as_deref().map(review_json),
        "elapsed_ms": u64::try_from(result.elapsed.as_millis()).unwrap_or(u64::MAX),
    })
}

/// How far the phase is, as members of an event that comes every second.
pub(super) fn counts_json(objects: &ObjectProgress) -> Value {
    json!({
        "total": objects.total,
        "done": objects.results.len(),
        "failed": objects.failures().count(),
        "waiting": objects.waiting,
        "running": objects.running,
        "not_converted_count": objects.unconverted.len(),
    })
}

/// The phase as a whole, with the statements that are left to a person.
pub(super) fn json(objects: &ObjectProgress) -> Value {
    let mut event = counts_json(objects);
    event["not_converted"] = objects.unconverted.iter().map(unconverted_json).collect();
    event
}

/// An object that is not made, as a value.
pub(crate) fn unconverted_json(object: &Unconverted) -> Value {
    json!({
        "kind": object.what,
        "object": object.name,
        "reason": object.reason,
        "statement": object.statement,
    })
}
