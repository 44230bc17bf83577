//! The assessment of a task, as the command line makes it of the same migration.

use whimbrel_connector::PrepareMode;
use whimbrel_engine::FullLoadSpec;

use super::TaskSpec;
use super::engine::full_load_spec;

/// What the task would do, as far as checks ask.
pub(super) fn assessed(spec: &TaskSpec) -> FullLoadSpec {
    let load = full_load_spec(spec);
    let follows_only = spec
        .following
        .as_ref()
        .is_some_and(|following| !following.loads);
    FullLoadSpec {
        is_followed: spec.following.is_some(),
        prepare: if follows_only {
            PrepareMode::DoNothing
        } else {
            load.prepare
        },
        ..load
    }
}
