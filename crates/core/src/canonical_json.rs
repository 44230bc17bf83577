//! One form for JSON documents that say the same: members in the order of their names, no white space, numbers by their digits.
//!
//! Nothing is brought into a machine's numbers, in which `12345678901234567890123` and its neighbours would be one. Of a name that is there
//! more than once the last member counts, as in a `jsonb` of PostgreSQL and a `json` of MySQL, which keep that one.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};

/// Deeper documents stay as they are written; each level takes a piece of the stack.
const DEPTH_MAX: u32 = 256;

/// Appends the form of a document; `None`, and nothing that counts appended, when it is no JSON or too deep.
pub(crate) fn write(text: &str, out: &mut Vec<u8>) -> Option<()> {
    let mut reader = Reader::new(text);
    reader.value(0, out)?;
    reader.skip_space();
    (reader.at == text.len()).then_some(())
}

/// Whether an object of a document has several members of one name, of which readers keep the last. Nothing is said of what is no JSON.
///
/// Only the names of the objects that are open are held, however long the document is.
pub fn json_repeats_names(text: &str) -> bool {
    let mut reader = Reader::new(text);
    // The names of each object that is open; `None` for an array.
    let mut open: Vec<Option<HashSet<Cow<'_, str>>>> = Vec::new();
    loop {
        reader.take(|byte| !matches!(byte, b'"' | b'{' | b'}' | b'[' | b']'));
        match reader.peek() {
            None => return false,
            Some(b'"') => {
                let Some(name) = reader.quoted() else {
                    return false;
                };
                let Some(Some(names)) = open.last_mut() else {
                    continue;
                };
                reader.skip_space();
                if reader.peek() == Some(b':') && !names.insert(unescaped(name)) {
                    return true;
                }
                continue;
            }
            Some(b'{') => open.push(Some(HashSet::new())),
            Some(b'[') => open.push(None),
            Some(_) => drop(open.pop()),
        }
        reader.at += 1;
    }
}

/// What a string in quotes says; itself where it is none.
fn unescaped(quoted: &str) -> Cow<'_, str> {
    if quoted.contains('\\') {
        serde_json::from_str(quoted).map_or(Cow::Borrowed(quoted), Cow::Owned)
    } else {
        let inner = quoted.get(1..quoted.len() - 1);
        Cow::Borrowed(inner.unwrap_or(quoted))
    }
}

struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Reader<'t> {
    fn new(text: &'t str) -> Self {
        Self { text, at: 0 }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip_space(&mut self) {
        self.take(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'));
    }

    /// The bytes from here on for which `is_it` holds.
    fn take(&mut self, is_it: impl Fn(u8) -> bool) -> &'t str {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        let length = rest.iter().take_while(|byte| is_it(**byte)).count();
        let taken = self.text.get(self.at..self.at + length).unwrap_or_default();
        self.at += length;
        taken
    }

    /// Whether this is the next byte past white space, which is then behind us.
    fn is_next(&mut self, byte: u8) -> bool {
        self.skip_space();
        let is_it = self.peek() == Some(byte);
        self.at += usize::from(is_it);
        is_it
    }

    fn value(&mut self, depth: u32, out: &mut Vec<u8>) -> Option<()> {
        (depth < DEPTH_MAX).then_some(())?;
        self.skip_space();
        match self.peek()? {
            b'{' => self.object(depth, out),
            b'[' => self.array(depth, out),
            b'"' => self.string(out),
            b'-' | b'0'..=b'9' => self.number(out),
            _ => {
                let word = self.take(|byte| byte.is_ascii_lowercase());
                matches!(word, "true" | "false" | "null").then_some(())?;
                out.extend_from_slice(word.as_bytes());
                Some(())
            }
        }
    }

    fn object(&mut self, depth: u32, out: &mut Vec<u8>) -> Option<()> {
        self.at += 1;
        let mut members = BTreeMap::new();
        let mut is_over = self.is_next(b'}');
        while !is_over {
            let (mut name, mut member) = (Vec::new(), Vec::new());
            self.skip_space();
            self.string(&mut name)?;
            self.is_next(b':').then_some(())?;
            self.value(depth + 1, &mut member)?;
            members.insert(name, member);
            is_over = self.is_next(b'}');
            (is_over || self.is_next(b',')).then_some(())?;
        }
        out.push(b'{');
        for (name, member) in members {
            out.extend_from_slice(&name);
            out.push(b':');
            out.extend_from_slice(&member);
            out.push(b',');
        }
        out.push(b'}');
        Some(())
    }

    fn array(&mut self, depth: u32, out: &mut Vec<u8>) -> Option<()> {
        self.at += 1;
        out.push(b'[');
        let mut is_over = self.is_next(b']');
        while !is_over {
            self.value(depth + 1, out)?;
            out.push(b',');
            is_over = self.is_next(b']');
            (is_over || self.is_next(b',')).then_some(())?;
        }
        out.push(b']');
        Some(())
    }

    /// A string as it is written, in its quotes.
    fn quoted(&mut self) -> Option<&'t str> {
        let start = self.at;
        (self.peek() == Some(b'"')).then_some(())?;
        self.at += 1;
        loop {
            self.take(|byte| !matches!(byte, b'"' | b'\\'));
            self.at += 1;
            match self.text.as_bytes().get(self.at - 1)? {
                b'"' => break,
                _ => self.at += 1,
            }
        }
        self.text.get(start..self.at)
    }

    /// Escaped in one way, whatever way it was escaped in.
    fn string(&mut self, out: &mut Vec<u8>) -> Option<()> {
        let written = self.quoted()?;
        if !written.contains('\\') {
            out.extend_from_slice(written.as_bytes());
            return Some(());
        }
        let read: String = serde_json::from_str(written).ok()?;
        serde_json::to_writer(out, &read).ok()
    }

    /// Digits without zeros at either end, and the power of ten that they are of.
    fn number(&mut self, out: &mut Vec<u8>) -> Option<()> {
        let is_negative = self.peek() == Some(b'-');
        self.at += usize::from(is_negative);
        let whole = self.take(|byte| byte.is_ascii_digit());
        let mut fraction = "";
        if self.peek() == Some(b'.') {
            self.at += 1;
            fraction = self.take(|byte| byte.is_ascii_digit());
            (!fraction.is_empty()).then_some(())?;
        }
        let mut exponent: i64 = 0;
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            let digits = self.take(|byte| byte.is_ascii_digit() || matches!(byte, b'+' | b'-'));
            exponent = digits.parse().ok()?;
        }
        (!whole.is_empty()).then_some(())?;
        let digits = [whole, fraction].concat();
        let digits = digits.trim_start_matches('0');
        let significant = digits.trim_end_matches('0');
        if significant.is_empty() {
            out.push(b'0');
            return Some(());
        }
        let zeros = i64::try_from(digits.len() - significant.len()).ok()?;
        let places = i64::try_from(fraction.len()).ok()?;
        let power = exponent.checked_add(zeros)?.checked_sub(places)?;
        if is_negative {
            out.push(b'-');
        }
        out.extend_from_slice(significant.as_bytes());
        if power != 0 {
            out.extend_from_slice(format!("e{power}").as_bytes());
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(text: &str) -> Option<String> {
        let mut out = Vec::new();
        write(text, &mut out)?;
        Some(String::from_utf8(out).unwrap())
    }

    #[test]
    fn names_that_are_repeated_are_seen() {
        let deep = format!("{}{}", "[".repeat(100_000), r#"{"a":1,"a":1}"#);
        for text in [
            r#"{"a":1,"a":1}"#,
            r#"{"a":{"b":[]} , "a" : 1}"#,
            r#"[{"b":{"a":1,"\u0061":2}}]"#,
            r#"{"\"":1,"\u0022":2}"#,
            &deep,
        ] {
            assert!(json_repeats_names(text), "{text}");
        }
        for text in [
            r#"{"a":{"a":1},"b":[{"a":1},{"a":2}]}"#,
            r#"{"a":["a","a"],"b":"a\":","c":"a"}"#,
            r#"[{"a":1},{"a":2}]"#,
            "[1]",
            "]}{",
            "\"",
            r#"{"a":1,"a""#,
        ] {
            assert!(!json_repeats_names(text), "{text}");
        }
    }

    #[test]
    fn what_says_the_same_has_one_form() {
        for (one, other) in [
            (
                r#" {"b" : [1, 2.50], "a": null} "#,
                r#"{"a":null,"b":[1,2.5]}"#,
            ),
            ("100", "1e2"),
            ("100", "1.00E+2"),
            ("-0.0", "0"),
            ("0.5", "5e-1"),
            (r#""\u00e4\/\n""#, "\"ä/\\n\""),
            (r#"{"\u0061":1}"#, r#"{"a":1}"#),
            (r#"{"a":1,"a":2}"#, r#"{"a":2}"#),
            (r#""\ud83d\ude00""#, "\"😀\""),
        ] {
            assert!(form(one).is_some(), "{one}");
            assert_eq!(form(one), form(other), "{one} {other}");
        }
    }

    #[test]
    fn what_differs_has_two_forms() {
        for (one, other) in [
            ("12345678901234567890123", "12345678901234567890124"),
            ("0.1000000000000000055", "0.1"),
            ("1e400", "1e401"),
            ("[1,2]", "[2,1]"),
            ("[[1],2]", "[1,[2]]"),
            (r#"{"a":1,"a":2}"#, r#"{"a":1}"#),
            ("\"1\"", "1"),
            ("true", "\"true\""),
            ("1", "-1"),
            ("10", "1"),
        ] {
            assert!(
                form(one).is_some() && form(other).is_some(),
                "{one} {other}"
            );
            assert_ne!(form(one), form(other), "{one} {other}");
        }
    }

    #[test]
    fn what_is_no_document_has_none() {
        for text in [
            "", "{", "[1", "[1 2]", "{\"a\"}", "{\"a\":}", "nul", "1.", "-", "1e", "1e+-1", "\"",
            "\"\\", "\"\\q\"", "1 2", "{1:2}", "ä",
        ] {
            assert_eq!(form(text), None, "{text}");
        }
        let deep = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        assert!(form(&deep(DEPTH_MAX as usize)).is_some());
        assert_eq!(form(&deep(DEPTH_MAX as usize + 1)), None);
    }
}
