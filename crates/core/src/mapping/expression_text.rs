//! What can be told of an expression without evaluating it: which columns and variables it names, and that it is one expression.

/// A part of an expression's text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// Text that means what it means to SQLite.
    Sql(&'a str),
    /// The word after a `$`: a column's name or a variable.
    Reference(&'a str),
}

/// The longest expression that is taken.
const BYTES_MAX: usize = 64 * 1024;

/// Splits an expression into references and the text between them.
///
/// # Errors
/// What was expected: an expression whose parentheses, quotes and comments are closed, and which is one.
pub fn parts(text: &str) -> Result<Vec<Part<'_>>, String> {
    if text.len() > BYTES_MAX {
        return Err(format!("an expression of at most {BYTES_MAX} bytes"));
    }
    if text.contains('\0') {
        return Err("an expression without NUL characters".to_owned());
    }
    let bytes = text.as_bytes();
    let (mut parts, mut begin, mut at, mut depth) = (Vec::new(), 0, 0, 0_usize);
    while at < bytes.len() {
        match bytes[at] {
            b'$' => {
                let end = end_of_word(text, at + 1);
                if end == at + 1 {
                    return Err("the name of a column or a variable behind $".to_owned());
                }
                parts.extend(sql(&text[begin..at]));
                parts.push(Part::Reference(&text[at + 1..end]));
                (begin, at) = (end, end);
                continue;
            }
            b'(' => depth += 1,
            b')' => {
                depth = depth
                    .checked_sub(1)
                    .ok_or("parentheses that are opened before they are closed")?;
            }
            b';' => return Err("one expression, without a semicolon".to_owned()),
            b'?' | b':' | b'@' | b'#' => {
                return Err("columns and variables behind $, and no other parameters".to_owned());
            }
            _ => {}
        }
        at = end_of_token(text, at)?;
    }
    if depth > 0 {
        return Err("parentheses that are closed".to_owned());
    }
    parts.extend(sql(&text[begin..]));
    Ok(parts)
}

fn sql(text: &str) -> Option<Part<'_>> {
    (!text.is_empty()).then_some(Part::Sql(text))
}

/// The words, quoted texts and other characters of a part of SQL that [`parts`] gave, without blanks and comments.
pub fn tokens(sql: &str) -> impl Iterator<Item = &str> {
    let mut rest = sql;
    let all = std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let end = end_of_token(rest, 0).unwrap_or(rest.len());
        let (token, behind) = rest.split_at(end);
        rest = behind;
        Some(token)
    });
    let is_comment = |token: &str| token.starts_with("--") || token.starts_with("/*");
    all.filter(move |token| !token.trim().is_empty() && !is_comment(token))
}

/// The end of what begins here: a quoted text, a comment, a word, or one character.
fn end_of_token(text: &str, at: usize) -> Result<usize, String> {
    let rest = &text[at..];
    let after = |found: Option<usize>, what: &str| {
        found
            .map(|place| at + place)
            .ok_or_else(|| format!("{what} that is closed"))
    };
    let first = rest.as_bytes()[0];
    match first {
        b'\'' | b'"' | b'`' => {
            // A doubled quote is two quoted texts that touch, as far as the end is concerned.
            let quote = char::from(first);
            after(
                rest[1..].find(quote).map(|place| place + 2),
                "a quoted text",
            )
        }
        b'[' => after(rest.find(']').map(|place| place + 1), "a name in brackets"),
        b'-' if rest.starts_with("--") => {
            Ok(rest.find('\n').map_or(text.len(), |place| at + place + 1))
        }
        b'/' if rest.starts_with("/*") => {
            after(rest[2..].find("*/").map(|place| place + 4), "a comment")
        }
        b'a'..=b'z' | b'A'..=b'Z' | b'_' | 0x80.. => Ok(end_of_word(text, at)),
        _ => Ok(at + 1),
    }
}

/// SQLite takes letters, digits, `_`, `$` and every character past ASCII for parts of a word; a `$` begins the next reference here.
fn end_of_word(text: &str, at: usize) -> usize {
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_' || *byte >= 0x80;
    at + text.as_bytes()[at..]
        .iter()
        .take_while(|byte| is_part(byte))
        .count()
}

/// Whether deletes become flags: the expression calls `operation_indicator`.
pub fn indicates_operation(text: &str) -> bool {
    const NAME: &str = "operation_indicator";
    let mut at = 0;
    while at < text.len() {
        let Ok(end) = end_of_token(text, at) else {
            return false;
        };
        let follows = text[end..].trim_start().starts_with('(');
        if follows && text[at..end].eq_ignore_ascii_case(NAME) {
            return true;
        }
        at = end;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_found_outside_of_quotes_and_comments() {
        let text = "$first || ' $x''$y ' || \"$z\" /* $c ) */ || upper($AR_H_USER)-- $d )\n||$été";
        let references: Vec<&str> = parts(text)
            .unwrap()
            .into_iter()
            .filter_map(|part| match part {
                Part::Reference(name) => Some(name),
                Part::Sql(_) => None,
            })
            .collect();
        assert_eq!(references, ["first", "AR_H_USER", "été"]);
    }

    #[test]
    fn the_parts_are_the_whole_text() {
        let text = "$a||$b + lower( $c )";
        let whole: String = parts(text)
            .unwrap()
            .into_iter()
            .map(|part| match part {
                Part::Reference(name) => format!("${name}"),
                Part::Sql(sql) => sql.to_owned(),
            })
            .collect();
        assert_eq!(whole, text);
    }

    #[test]
    fn tokens_are_words_quoted_texts_and_characters() {
        let all: Vec<&str> = tokens(" || Upper('a b') /* x */-- y\n+1").collect();
        assert_eq!(all, ["|", "|", "Upper", "(", "'a b'", ")", "+", "1"]);
    }

    #[test]
    fn what_is_not_one_expression_is_refused() {
        for text in [
            "1) FROM (SELECT 1",
            "(1",
            "1; DROP TABLE x",
            "'a",
            "$",
            "$ a",
            "/* a",
            "[a",
            "?1",
            ":a",
            "@a",
            "a\0",
        ] {
            assert!(parts(text).is_err(), "{text}");
        }
        for text in ["';'", "1 -- ;", "1 /* ) */", "[)]"] {
            assert!(parts(text).is_ok(), "{text}");
        }
    }

    #[test]
    fn the_indicator_is_found_as_a_call_alone() {
        assert!(indicates_operation("Operation_Indicator ('D','U','I')"));
        for text in [
            "'operation_indicator(1)'",
            "$operation_indicator",
            "operation_indicators(1)",
            "'",
        ] {
            assert!(!indicates_operation(text), "{text}");
        }
    }
}
