//! The one door to every development task.
fn main() {}
