/// A name pattern: `%` stands for any characters, `_` for exactly one. Matching is case-sensitive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    chars: Vec<char>,
    is_exact: bool,
}

impl Pattern {
    /// Takes the pattern's text; every text is a pattern.
    pub fn new(text: &str) -> Self {
        Self {
            chars: text.chars().collect(),
            is_exact: false,
        }
    }

    /// A pattern that only this name matches, whatever characters it has.
    pub fn exact(name: &str) -> Self {
        Self {
            chars: name.chars().collect(),
            is_exact: true,
        }
    }

    /// Whether a name matches as a whole.
    ///
    /// Remembers only the last `%`: on a mismatch that one takes one more character. Time is at most the product of the lengths.
    pub fn matches(&self, name: &str) -> bool {
        if self.is_exact {
            return self.chars.iter().copied().eq(name.chars());
        }
        let name: Vec<char> = name.chars().collect();
        let (mut at, mut in_pattern) = (0, 0);
        let mut last_percent: Option<(usize, usize)> = None;
        while at < name.len() {
            match self.chars.get(in_pattern) {
                Some('%') => {
                    last_percent = Some((in_pattern + 1, at));
                    in_pattern += 1;
                }
                Some(&c) if c == '_' || c == name[at] => {
                    at += 1;
                    in_pattern += 1;
                }
                _ => match last_percent {
                    Some((after, taken_to)) => {
                        last_percent = Some((after, taken_to + 1));
                        in_pattern = after;
                        at = taken_to + 1;
                    }
                    None => return false,
                },
            }
        }
        self.chars[in_pattern..].iter().all(|&c| c == '%')
    }

    /// Its text.
    pub(super) fn text(&self) -> String {
        self.chars.iter().collect()
    }

    /// Whether the pattern has a `%`. A `_` does not count: it also matches itself, so exact names may contain it.
    pub fn has_wildcard(&self) -> bool {
        !self.is_exact && self.chars.contains(&'%')
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exact_pattern_matches_its_own_text_alone() {
        let pattern = Pattern::exact("a_%");
        assert!(pattern.matches("a_%"));
        assert!(!pattern.matches("abc") && !pattern.matches("a_") && !pattern.has_wildcard());
    }

    #[test]
    fn patterns_match_whole_names() {
        let cases = [
            ("%", "", true),
            ("%", "anything", true),
            ("a", "a", true),
            ("a", "ab", false),
            ("t_1", "tx1", true),
            ("t_1", "t_1", true),
            ("t_1", "t1", false),
            ("%log", "audit_log", true),
            ("%log", "log_of", false),
            ("a%b%c", "aXbXbc", true),
            ("a%b%c", "acb", false),
            ("%%a", "bba", true),
            ("é_", "éx", true),
            ("A", "a", false),
        ];
        for (pattern, name, expected) in cases {
            assert_eq!(
                Pattern::new(pattern).matches(name),
                expected,
                "{pattern} {name}"
            );
        }
    }
}
