//! The machine a measurement ran on, in the words that matter for comparing and none that identify it.

use std::fs;
use std::process::Command;
use std::thread;

/// One line: processor, cores, memory, system.
pub(crate) fn description() -> String {
    let processor =
        value_in("/proc/cpuinfo", "model name", ':').unwrap_or("unknown processor".into());
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let memory = value_in("/proc/meminfo", "MemTotal", ':').unwrap_or_default();
    let memory: u64 = memory.trim_end_matches(" kB").parse().unwrap_or(0); // in KiB
    let system = value_in("/etc/os-release", "PRETTY_NAME", '=').unwrap_or("unknown system".into());
    let memory_gib = memory.div_ceil(1024 * 1024);
    format!(
        "{processor}, {cores} cores, {memory_gib} GiB of memory, {}",
        system.trim_matches('"')
    )
}

/// The day, as the machine has it.
pub(crate) fn date() -> String {
    let told = Command::new("date").arg("+%F").output();
    told.map_or_else(
        |_| "an unknown day".to_owned(),
        |told| String::from_utf8_lossy(&told.stdout).trim().to_owned(),
    )
}

fn value_in(path: &str, name: &str, separator: char) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(separator)?.1.trim().to_owned())
}
