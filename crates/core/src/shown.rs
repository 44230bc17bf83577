//! Texts from databases within words for people: names and keys are whatever somebody once wrote there.
//!
//! What is shown may be a terminal, a line of a log or a comment of a script. A control character would do something to each of them: colour it, move the
//! cursor, begin a line, end the comment. So these are written as escapes. What a program reads (`--json`, control tables, keys by which rows are
//! looked for) has the text itself.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Characters of a key that words for people have: enough to find the row, and little enough for a line.
const KEY_CHARS_MAX: usize = 200;

/// Whether a character does something rather than being seen: controls, the ends of lines and paragraphs of Unicode, and what turns the direction of a line.
fn acts(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The text on one line: each character that acts is an escape, such as `\n` and `\u{1b}`.
pub fn visible(text: &str) -> Cow<'_, str> {
    escaped(text, |_| false)
}

/// The same for a text of several lines, whose ends stay.
pub fn visible_lines(text: &str) -> Cow<'_, str> {
    escaped(text, |c| matches!(c, '\n' | '\t'))
}

fn escaped(text: &str, stays: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.chars().any(|c| acts(c) && !stays(c)) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if acts(c) && !stays(c) {
            shown.extend(c.escape_default());
        } else {
            shown.push(c);
        }
    }
    Cow::Owned(shown)
}

/// A key as messages name it: visible, and the first 200 characters of a long one with how many more there are.
pub fn shown_key(key: &str) -> Cow<'_, str> {
    let Some((end, _)) = key.char_indices().nth(KEY_CHARS_MAX) else {
        return visible(key);
    };
    let mut shown = visible(&key[..end]).into_owned();
    let more = key[end..].chars().count();
    write!(shown, "… and {more} more characters").expect("a String takes everything");
    Cow::Owned(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_that_act_are_escapes_and_all_others_stay() {
        assert_eq!(visible("Straße \\ 'a' 日本"), "Straße \\ 'a' 日本");
        assert_eq!(
            visible("a\u{1b}[31mb\r\n\tc\u{9b}d\u{7f}\u{2028}e\u{202e}f"),
            "a\\u{1b}[31mb\\r\\n\\tc\\u{9b}d\\u{7f}\\u{2028}e\\u{202e}f"
        );
        assert_eq!(visible_lines("a\n\tb\rc\u{1b}"), "a\n\tb\\rc\\u{1b}");
    }

    #[test]
    fn a_long_key_is_cut_and_says_by_how_much() {
        let whole = "é".repeat(KEY_CHARS_MAX);
        assert_eq!(shown_key(&whole), whole);
        let long = format!("{whole}{}", "x".repeat(150_000));
        assert_eq!(
            shown_key(&long),
            format!("{whole}… and 150000 more characters")
        );
        assert_eq!(shown_key("(a\nb)"), "(a\\nb)");
    }
}
