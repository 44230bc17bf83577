use super::Dialect;

/// A piece of an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    /// A word without quotes, in lower case: a keyword, a function, or in PostgreSQL a plain name.
    Word(String),
    /// A name in quotes.
    Name(String),
    Text(String),
    Number(String),
    Bits(String),
    Symbol(&'static str),
}

/// The longer ones first.
const SYMBOLS: [&str; 25] = [
    "<=>", "!~~", "::", "<>", "!=", "<=", ">=", "~~", "||", "=", "<", ">", "(", ")", "[", "]", ",",
    ".", "+", "-", "*", "/", "%", "@", ";",
];

/// Takes a text apart; `None` when it has something that is not known here.
pub(crate) fn tokens(text: &str, dialect: Dialect) -> Option<Vec<Token>> {
    let mut rest = text.trim_start();
    let mut tokens = Vec::new();
    while let Some(first) = rest.chars().next() {
        let (token, behind) = next(rest, first, dialect)?;
        tokens.extend(token);
        rest = behind.trim_start();
    }
    Some(tokens)
}

fn next(rest: &str, first: char, dialect: Dialect) -> Option<(Option<Token>, &str)> {
    match first {
        '\'' => {
            let (text, behind) = quoted(rest, '\'', dialect == Dialect::MySql)?;
            Some((Some(Token::Text(text)), behind))
        }
        '`' if dialect == Dialect::MySql => name(rest, '`'),
        '"' if dialect == Dialect::Postgres => name(rest, '"'),
        _ if first.is_ascii_digit() => Some(number(rest)),
        _ if first.is_alphabetic() || first == '_' => word(rest, dialect),
        _ => {
            let symbol = SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol))?;
            Some((Some(Token::Symbol(symbol)), &rest[symbol.len()..]))
        }
    }
}

fn name(rest: &str, quote: char) -> Option<(Option<Token>, &str)> {
    let (name, behind) = quoted(rest, quote, false)?;
    Some((Some(Token::Name(name)), behind))
}

/// What stands between quotes, which are doubled inside; with back-slashes where they count.
fn quoted(rest: &str, quote: char, has_escapes: bool) -> Option<(String, &str)> {
    let mut text = String::new();
    let mut chars = rest.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if c == '\\' && has_escapes {
            text.push(unescaped(chars.next()?.1)?);
        } else if c != quote {
            text.push(c);
        } else if chars.next_if(|(_, next)| *next == quote).is_some() {
            text.push(quote);
        } else {
            return Some((text, &rest[at + c.len_utf8()..]));
        }
    }
    None
}

/// The characters that both engines print so; others are left to a person.
fn unescaped(c: char) -> Option<char> {
    match c {
        'n' => Some('\n'),
        'r' => Some('\r'),
        't' => Some('\t'),
        '\\' | '\'' | '"' => Some(c),
        _ => None,
    }
}

fn number(rest: &str) -> (Option<Token>, &str) {
    let mut end = 0;
    let bytes = rest.as_bytes();
    while let Some(byte) = bytes.get(end) {
        let is_sign_of_exponent =
            matches!(byte, b'+' | b'-') && end > 0 && matches!(bytes[end - 1], b'e' | b'E');
        if !byte.is_ascii_alphanumeric() && *byte != b'.' && !is_sign_of_exponent {
            break;
        }
        end += 1;
    }
    (Some(Token::Number(rest[..end].to_owned())), &rest[end..])
}

fn word(rest: &str, dialect: Dialect) -> Option<(Option<Token>, &str)> {
    let is_inside = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
    let end = rest.find(|c| !is_inside(c)).unwrap_or(rest.len());
    let (word, behind) = rest.split_at(end);
    let lower = word.to_lowercase();
    if behind.starts_with('\'') {
        return match (lower.as_str(), dialect) {
            ("b", _) => {
                let (bits, behind) = quoted(behind, '\'', false)?;
                let is_bits = bits.chars().all(|bit| matches!(bit, '0' | '1'));
                is_bits.then_some((Some(Token::Bits(bits)), behind))
            }
            ("e", Dialect::Postgres) => {
                let (text, behind) = quoted(behind, '\'', true)?;
                Some((Some(Token::Text(text)), behind))
            }
            // The character set of the text that follows. Of another set than Unicode's the server prints the bytes, which are characters of this one by chance.
            ("_utf8mb4" | "_utf8mb3" | "_utf8", Dialect::MySql) => Some((None, behind)),
            ("_latin1" | "_ascii", Dialect::MySql) => {
                let (text, _) = quoted(behind, '\'', true)?;
                text.is_ascii().then_some((None, behind))
            }
            _ => None,
        };
    }
    Some((Some(Token::Word(lower)), behind))
}
