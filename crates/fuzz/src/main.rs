//! Looks for inputs of the target that `WHIMBREL_FUZZ_TARGET` names; `cargo x fuzz` runs it.

#![no_main]

use std::sync::LazyLock;

use whimbrel_fuzz::Target;

/// The name of the target.
static TARGET: LazyLock<&'static Target> = LazyLock::new(|| {
    let name = std::env::var("WHIMBREL_FUZZ_TARGET").expect("`cargo x fuzz` names a target");
    Target::named(&name).expect("`cargo x fuzz` names one that is there")
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| TARGET.run(data));
