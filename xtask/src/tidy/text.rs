//! Rules about the text of a single file.

use std::path::Path;

use super::Finding;

const LINES_MAX: usize = 800;
const LINES_RETHINK: usize = 500;

/// Places that exist on one machine only. Built from halves, so that this file is not itself a finding.
const PLACES: &[&str] = &[
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("/ho", "me/"),
    concat!("/Us", "ers/"),
    concat!("bash", "_jobs"),
];

/// Package registries and mirrors: which one is used is the machine's affair, not the tree's.
const HOSTS: &[&str] = &[
    concat!("py", "pi.org"),
    concat!("pythonhosted", ".org"),
    concat!("registry.npm", "js.org"),
    concat!("static.crates", ".io"),
    concat!("index.crates", ".io"),
    concat!("deb.deb", "ian.org"),
    concat!("security.deb", "ian.org"),
    concat!("snapshot.deb", "ian.org"),
    concat!("proxy.go", "lang.org"),
];

/// Words that mark something left for later.
const LATER: &[&str] = &[
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("X", "XX"),
    concat!("HA", "CK"),
];

/// Checks one file; `path` is relative to the root of the tree.
pub(crate) fn check(path: &str, text: &str) -> Vec<Finding> {
    if path == "Cargo.lock" || path == "LICENSE" {
        return Vec::new();
    }
    let mut findings = length(path, text);
    for (number, line) in (1..).zip(text.lines()) {
        findings.extend(check_line(path, line).map(|says| Finding::error(number, says)));
    }
    findings
}

fn length(path: &str, text: &str) -> Vec<Finding> {
    let counted = ["rs", "py", "sh"]
        .iter()
        .any(|end| has_extension(path, end));
    if !counted || is_generated(path) || is_test(path) {
        return Vec::new();
    }
    match text.lines().count() {
        lines if lines > LINES_MAX => {
            vec![Finding::error(
                0,
                format!("{lines} lines, more than {LINES_MAX}: split the file"),
            )]
        }
        lines if lines > LINES_RETHINK => {
            vec![Finding::warning(
                0,
                format!("{lines} lines: time to think about a split"),
            )]
        }
        _ => Vec::new(),
    }
}

fn check_line<'a>(path: &'a str, line: &'a str) -> impl Iterator<Item = String> + 'a {
    let places = PLACES
        .iter()
        .filter(|place| names_place(line, place))
        .map(|place| format!("names `{place}`, a place on one machine"));
    let hosts = HOSTS
        .iter()
        .filter(|host| line.contains(**host))
        .map(|host| format!("names the host `{host}`: use what the machine is set up with"));
    let later = LATER
        .iter()
        .filter(|word| !is_generated(path) && is_stray(line, word))
        .map(|word| format!("`{word}` without the number of an issue: {word}(#12): what and why"));
    let markers = ["<<<<<<< ", ">>>>>>> "];
    let conflict = markers.iter().any(|marker| line.starts_with(marker));
    let conflict = conflict.then(|| "a merge conflict's marker".to_owned());
    let stub = has_extension(path, "rs")
        && [concat!("to", "do!("), concat!("unimple", "mented!(")]
            .iter()
            .any(|stub| line.contains(stub));
    let stub = stub.then(|| "a stub: an operation that is not built answers an error".to_owned());
    let space = line.ends_with([' ', '\t']) && !has_extension(path, "md") && !is_generated(path);
    let space = space.then(|| "blanks at the end of the line".to_owned());
    places
        .chain(hosts)
        .chain(later)
        .chain(conflict)
        .chain(stub)
        .chain(space)
}

/// Whether the line has the path where a path may begin; not `network/` or a URL's own folder.
fn names_place(line: &str, place: &str) -> bool {
    line.match_indices(place).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        before.is_none_or(|c| !(c.is_alphanumeric() || "-_.}$~".contains(c)))
    })
}

/// Whether the word stands alone and without `(#number): ` behind it.
fn is_stray(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        let is_part = |c: char| c.is_alphanumeric() || c == '_';
        let before = line[..at].chars().next_back();
        let rest = &line[at + word.len()..];
        let alone = !before.is_some_and(is_part) && !rest.chars().next().is_some_and(is_part);
        alone && !has_issue(rest)
    })
}

fn has_issue(rest: &str) -> bool {
    let Some(rest) = rest.strip_prefix("(#") else {
        return false;
    };
    let Some((number, reason)) = rest.split_once("): ") else {
        return false;
    };
    !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) && !reason.is_empty()
}

fn has_extension(path: &str, extension: &str) -> bool {
    Path::new(path)
        .extension()
        .is_some_and(|found| found == extension)
}

fn is_generated(path: &str) -> bool {
    path.split('/').any(|part| part == "generated")
}

fn is_test(path: &str) -> bool {
    path.split('/').any(|part| part == "tests") || path.ends_with("tests.rs")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::Severity;

    fn says(path: &str, line: &str) -> Vec<String> {
        check(path, line)
            .into_iter()
            .map(|finding| finding.says)
            .collect()
    }

    #[test]
    fn long_files_are_warned_about_and_then_refused() {
        let severity = |path: &str, lines: usize| {
            check(path, &"x\n".repeat(lines))
                .first()
                .map(|finding| finding.severity)
        };
        assert_eq!(severity("crates/a/src/lib.rs", 500), None);
        assert_eq!(
            severity("crates/a/src/lib.rs", 501),
            Some(Severity::Warning)
        );
        assert_eq!(severity("crates/a/src/lib.rs", 801), Some(Severity::Error));
        assert_eq!(severity("crates/a/src/generated/lib.rs", 801), None);
        assert_eq!(severity("crates/a/tests/it/big.rs", 801), None);
        assert_eq!(severity("crates/a/src/big/tests.rs", 801), None);
        assert_eq!(severity("docs/types.md", 801), None);
    }

    #[test]
    fn words_for_later_need_an_issue() {
        let word = LATER[0];
        assert_eq!(says("a.rs", &format!("// {word}: later")).len(), 1);
        assert_eq!(says("a.rs", &format!("// {word}(#): later")).len(), 1);
        assert_eq!(
            says("a.rs", &format!("// {word}(#7): wait for the release")).len(),
            0
        );
        assert_eq!(says("a.rs", &format!("const A{word}S: u8 = 1;")).len(), 0);
    }

    #[test]
    fn places_and_hosts_of_one_machine_are_refused() {
        assert_eq!(says("a.md", &format!("see {}shared", PLACES[0])).len(), 1);
        assert_eq!(says("a.md", &format!("`{}x`", PLACES[2])).len(), 1);
        assert_eq!(
            says("a.md", &format!("net{}x and ~{0}", PLACES[0])).len(),
            0
        );
        assert_eq!(says("a.md", &format!("https://{}/x", HOSTS[0])).len(), 1);
    }

    #[test]
    fn stubs_markers_and_trailing_blanks_are_refused() {
        assert_eq!(says("a.rs", concat!("to", "do!()")).len(), 1);
        assert_eq!(says("a.py", concat!("to", "do!()")).len(), 0);
        assert_eq!(says("a.rs", &format!("{} HEAD", "<".repeat(7))).len(), 1);
        assert_eq!(says("a.rs", "let a = 1; ").len(), 1);
        assert_eq!(says("a.md", "two blanks break the line  ").len(), 0);
    }
}
