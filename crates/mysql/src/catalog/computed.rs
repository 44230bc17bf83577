//! The expressions of computed columns, in the statement that makes a table.

const BEGINS: &str = " GENERATED ALWAYS AS (";

/// What follows a computed column's type: its expression, and whether it is kept. `None` when the statement has no such column.
pub(super) fn clause<'a>(definition: &'a str, column: &str) -> Option<&'a str> {
    let head = format!("\n  {} ", crate::quote::identifier(column));
    let column = &definition[definition.find(&head)? + head.len()..];
    let begin = find_outside_quotes(column, |rest| rest.starts_with(BEGINS))?;
    let clause = &column[begin + 1..];
    let open = BEGINS.len() - 1;
    let mut depth = 1_usize;
    let close = find_outside_quotes(&clause[open..], |rest| {
        match rest.as_bytes().first() {
            Some(b'(') => depth += 1,
            Some(b')') => depth -= 1,
            _ => {}
        }
        depth == 0
    })?;
    let after = open + close + 1;
    let kind = [" VIRTUAL", " STORED", " PERSISTENT"]
        .into_iter()
        .find(|kind| clause[after..].starts_with(kind))?;
    Some(&clause[..after + kind.len()])
}

/// Where the text outside quotes first has what is looked for, as far as the column's definition goes.
fn find_outside_quotes(text: &str, mut is_it: impl FnMut(&str) -> bool) -> Option<usize> {
    let mut quote = None;
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match quote {
            // A doubled quote ends the text and begins it again.
            Some(open) if c == open => quote = None,
            Some('\'' | '"') if c == '\\' => {
                chars.next();
            }
            None if matches!(c, '\'' | '"' | '`') => quote = Some(c),
            None if is_it(&text[at..]) => return Some(at),
            None if c == '\n' => return None,
            Some(_) | None => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_taken_whole() {
        let definition = "CREATE TABLE `t` (\n  `a` enum(' GENERATED ALWAYS AS (',')') DEFAULT NULL,\n  `b``)` varchar(9) \
            CHARACTER SET latin1 GENERATED ALWAYS AS (concat(`a`,_utf8mb4'it''s )\\' (',`x)`)) STORED NOT NULL,\n  \
            `c` int(11) GENERATED ALWAYS AS ((`d` + 1)) VIRTUAL COMMENT 'x',\n  `d` int(11)\n)";
        assert_eq!(
            clause(definition, "b`)").unwrap(),
            "GENERATED ALWAYS AS (concat(`a`,_utf8mb4'it''s )\\' (',`x)`)) STORED"
        );
        assert_eq!(
            clause(definition, "c").unwrap(),
            "GENERATED ALWAYS AS ((`d` + 1)) VIRTUAL"
        );
        for other in ["a", "d", "e"] {
            assert_eq!(clause(definition, other), None, "{other}");
        }
    }
}
