//! Text of columns in the character set in which their table keeps it, as UTF-8.
//!
//! The full load has the server convert text; the log holds the bytes of the table. So that both give the same characters,
//! the server is asked once what each code of a character set means to it, and the answers are kept as a table. That holds
//! for every set that the server knows, and for every difference between versions and flavours. A code without a meaning is refused, as a load
//! does (`source::texts`). Only the forms of Unicode
//! are converted by rule.

use std::collections::HashMap;
use std::sync::Arc;

use encoding_rs::Encoding;

use crate::wire::{Connection, WireError};

/// How text is converted.
#[derive(Clone, Debug)]
pub(super) enum Charset {
    /// It is UTF-8 as it is: utf8mb4, utf8mb3.
    Utf8,
    Ascii,
    /// Two bytes a character, the higher one first.
    Ucs2,
    Utf16,
    Utf16Le,
    Utf32,
    /// By the server's own table.
    Table(Arc<CodeTable>),
}

/// The form of a client's statements, by the number of a collation of its character set; `None` for UTF-8, ASCII, and sets that no library knows (cp850, cp852, dec8, hp8,
/// swe7, armscii8, geostd8, keybcs2, macce). The numbers are the same at all servers. Names are all that is read of a statement, so a library's tables do.
pub(super) fn of_client(number: u16) -> Option<&'static Encoding> {
    Some(match number {
        1 | 84 => encoding_rs::BIG5,
        7 | 74 => encoding_rs::KOI8_R,
        5 | 8 | 15 | 31 | 47..=49 | 94 => encoding_rs::WINDOWS_1252,
        2 | 9 | 21 | 27 | 77 => encoding_rs::ISO_8859_2,
        12 | 91 | 97 | 98 => encoding_rs::EUC_JP,
        13 | 88 | 95 | 96 => encoding_rs::SHIFT_JIS,
        16 | 71 => encoding_rs::ISO_8859_8,
        18 | 89 => encoding_rs::WINDOWS_874,
        19 | 85 => encoding_rs::EUC_KR,
        22 | 75 => encoding_rs::KOI8_U,
        24 | 28 | 86 | 87 => encoding_rs::GBK,
        25 | 70 => encoding_rs::ISO_8859_7,
        26 | 34 | 44 | 66 | 99 => encoding_rs::WINDOWS_1250,
        30 | 78 => encoding_rs::WINDOWS_1254,
        36 | 68 => encoding_rs::IBM866,
        39 | 53 => encoding_rs::MACINTOSH,
        20 | 41 | 42 | 79 => encoding_rs::ISO_8859_13,
        14 | 23 | 50..=52 => encoding_rs::WINDOWS_1251,
        57 | 67 => encoding_rs::WINDOWS_1256,
        29 | 58 | 59 => encoding_rs::WINDOWS_1257,
        248..=250 => encoding_rs::GB18030,
        _ => return None,
    })
}

/// Text that is not what its character set allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BadText;

impl Charset {
    /// Those that need no table.
    fn by_rule(name: &str) -> Option<Self> {
        Some(match name {
            "utf8mb4" | "utf8mb3" | "utf8" => Self::Utf8,
            "ascii" => Self::Ascii,
            "ucs2" => Self::Ucs2,
            "utf16" => Self::Utf16,
            "utf16le" => Self::Utf16Le,
            "utf32" => Self::Utf32,
            _ => return None,
        })
    }

    /// Whether these bytes are the same in UTF-8.
    pub(super) fn is_same(&self, bytes: &[u8]) -> bool {
        match self {
            Self::Utf8 => true,
            Self::Ascii => bytes.is_ascii(),
            Self::Table(table) => table.keeps_ascii && bytes.is_ascii(),
            Self::Ucs2 | Self::Utf16 | Self::Utf16Le | Self::Utf32 => bytes.is_empty(),
        }
    }

    /// Appends the text in UTF-8.
    pub(super) fn write(&self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), BadText> {
        match self {
            Self::Utf8 => out.extend_from_slice(bytes),
            Self::Ascii if bytes.is_ascii() => out.extend_from_slice(bytes),
            Self::Ascii => return Err(BadText),
            Self::Ucs2 => {
                for unit in units(bytes, u16::from_be_bytes)? {
                    // Halves of pairs are no characters.
                    push(char::from_u32(unit.into()).ok_or(BadText)?, out);
                }
            }
            Self::Utf16 => write_utf16(units(bytes, u16::from_be_bytes)?, out)?,
            Self::Utf16Le => write_utf16(units(bytes, u16::from_le_bytes)?, out)?,
            Self::Utf32 => {
                for unit in units(bytes, u32::from_be_bytes)? {
                    push(char::from_u32(unit).ok_or(BadText)?, out);
                }
            }
            Self::Table(table) => table.write(bytes, out)?,
        }
        Ok(())
    }
}

fn push(c: char, out: &mut Vec<u8>) {
    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

fn units<const N: usize, T>(
    bytes: &[u8],
    read: impl Fn([u8; N]) -> T,
) -> Result<impl Iterator<Item = T>, BadText> {
    let (units, rest) = bytes.as_chunks::<N>();
    if rest.is_empty() {
        Ok(units.iter().map(move |unit| read(*unit)))
    } else {
        Err(BadText)
    }
}

fn write_utf16(units: impl Iterator<Item = u16>, out: &mut Vec<u8>) -> Result<(), BadText> {
    for c in char::decode_utf16(units) {
        push(c.map_err(|_| BadText)?, out);
    }
    Ok(())
}

/// What the codes of one character set mean.
pub(super) struct CodeTable {
    name: String,
    /// Of single bytes; `None` for those that begin a longer code, or mean nothing.
    single: [Option<char>; 256],
    /// Of codes of two bytes, by lead byte and second byte.
    double: HashMap<u16, char>,
    /// Of codes of three bytes behind the lead byte 0x8F (the EUC forms of Japanese), by the other two.
    triple: HashMap<u16, char>,
    /// Of codes of four bytes (GB 18030).
    quadruple: HashMap<u32, char>,
    keeps_ascii: bool,
}

impl std::fmt::Debug for CodeTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("CodeTable").field(&self.name).finish()
    }
}

impl CodeTable {
    fn write(&self, mut bytes: &[u8], out: &mut Vec<u8>) -> Result<(), BadText> {
        while let Some((&first, rest)) = bytes.split_first() {
            if let Some(c) = self.single[usize::from(first)] {
                push(c, out);
                bytes = rest;
                continue;
            }
            let (c, taken) = self.long_code(bytes).ok_or(BadText)?;
            push(c, out);
            bytes = &bytes[taken..];
        }
        Ok(())
    }

    /// The character at the front and the bytes of its code.
    fn long_code(&self, bytes: &[u8]) -> Option<(char, usize)> {
        if !self.quadruple.is_empty() && bytes.get(1).is_some_and(u8::is_ascii_digit) {
            let code = u32::from_be_bytes(*bytes.first_chunk()?);
            let known = self.quadruple.get(&code).copied();
            return Some((known.or_else(|| supplementary(code))?, 4));
        }
        if let [0x8F, a, b, ..] = bytes
            && !self.triple.is_empty()
        {
            return Some((*self.triple.get(&u16::from_be_bytes([*a, *b]))?, 3));
        }
        let code = u16::from_be_bytes(*bytes.first_chunk()?);
        Some((self.double.get(&code).copied()?, 2))
    }
}

/// Codes of GB 18030 for characters beyond the first plane are counted through.
fn supplementary(code: u32) -> Option<char> {
    let [a, b, c, d] = code.to_be_bytes().map(u32::from);
    let step =
        |byte: u32, from: u32, count: u32| byte.checked_sub(from).filter(|&step| step < count);
    let lead = step(a, 0x90, 0x80)? * 10 + step(b, 0x30, 10)?;
    let index = (lead * 126 + step(c, 0x81, 126)?) * 10 + step(d, 0x30, 10)?;
    char::from_u32(0x1_0000 + index)
}

/// What is known of the server's character sets.
#[derive(Debug, Default)]
pub(super) struct Charsets {
    /// The most bytes of a character, by the set's name.
    widths: HashMap<String, u32>,
    /// The set's name, by the number of a collation.
    collations: HashMap<u32, String>,
    ready: HashMap<String, Charset>,
}

impl Charsets {
    /// Asks the server which there are.
    pub(super) async fn load(connection: &mut Connection) -> Result<Self, WireError> {
        let mut charsets = Self::default();
        let sql = "SELECT character_set_name, maxlen FROM information_schema.character_sets";
        for row in connection.rows(sql).await? {
            let width = row.number(1).unwrap_or(1);
            charsets.widths.insert(row.text(0).to_owned(), width);
        }
        let sql =
            "SELECT id, character_set_name FROM information_schema.collations WHERE id IS NOT NULL";
        for row in connection.rows(sql).await? {
            if let Some(id) = row.number(0) {
                charsets.collations.insert(id, row.text(1).to_owned());
            }
        }
        Ok(charsets)
    }

    /// The most bytes of a character.
    pub(super) fn width(&self, name: &str) -> Option<u32> {
        self.widths.get(name).copied()
    }

    /// The set of a collation.
    pub(super) fn of_collation(&self, id: u32) -> Option<&str> {
        self.collations.get(&id).map(String::as_str)
    }

    /// A set that [`Self::prepare`] has made ready.
    pub(super) fn get(&self, name: &str) -> Option<Charset> {
        Charset::by_rule(name).or_else(|| self.ready.get(name).cloned())
    }

    /// Makes a set ready.
    pub(super) async fn prepare(
        &mut self,
        connection: &mut Connection,
        name: &str,
    ) -> Result<(), WireError> {
        if self.get(name).is_some() || !self.widths.contains_key(name) {
            return Ok(());
        }
        let width = self.width(name).unwrap_or(1);
        let table = fetch(connection, name, width).await?;
        self.ready
            .insert(name.to_owned(), Charset::Table(Arc::new(table)));
        Ok(())
    }
}

/// Asks the server for the meaning of each code. `name` comes from its own list.
async fn fetch(
    connection: &mut Connection,
    name: &str,
    width: u32,
) -> Result<CodeTable, WireError> {
    let mut table = CodeTable {
        name: name.to_owned(),
        single: [None; 256],
        double: HashMap::new(),
        triple: HashMap::new(),
        quadruple: HashMap::new(),
        keeps_ascii: false,
    };
    for (code, c) in codes(connection, name, "", "a.i = 0", "hex(b.i)", 2).await? {
        let byte = (code & 0xFF) as usize;
        // The server's own conversion gives a question mark for what means nothing, as does a byte that begins a longer code.
        if c != '?' || byte == 0x3F {
            table.single[byte] = Some(c);
        }
    }
    table.keeps_ascii =
        (0..0x80_u8).all(|byte| table.single[usize::from(byte)] == Some(byte.into()));
    if width > 1 {
        let pair = "hex(a.i * 256 + b.i)";
        for (code, c) in codes(connection, name, "", "a.i >= 128", pair, 4).await? {
            if c != '?' {
                table.double.insert((code & 0xFFFF) as u16, c);
            }
        }
        if width == 3 {
            for (code, c) in codes(connection, name, "8F", "a.i >= 128", pair, 4).await? {
                if c != '?' {
                    table.triple.insert((code & 0xFFFF) as u16, c);
                }
            }
        }
        if width == 4 {
            for lead in ["81", "82", "83", "84"] {
                for second in 0x30..0x3A {
                    let prefix = format!("{lead}{second:X}");
                    let filter = "a.i BETWEEN 129 AND 254 AND b.i BETWEEN 48 AND 57";
                    for (code, c) in codes(connection, name, &prefix, filter, pair, 4).await? {
                        if c != '?' {
                            table.quadruple.insert(code, c);
                        }
                    }
                }
            }
        }
    }
    Ok(table)
}

/// The codes made of a prefix and two counters, with the character of each. Codes that are none are left out.
async fn codes(
    connection: &mut Connection,
    name: &str,
    prefix: &str,
    filter: &str,
    digits: &str,
    digit_count: u8,
) -> Result<Vec<(u32, char)>, WireError> {
    let code = format!("concat('{prefix}', lpad({digits}, {digit_count}, '0'))");
    let sql = format!(
        "WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 255) \
         SELECT {code}, hex(convert(convert(unhex({code}) USING {name}) USING utf8mb4)) FROM n a, n b WHERE {filter}"
    );
    let rows = connection.rows(&sql).await?;
    Ok(rows
        .iter()
        .filter_map(|row| {
            let code = u32::from_str_radix(row.get(0)?, 16).ok()?;
            let text = row.get(1)?;
            let mut bytes = [0; 4];
            let count = text.len() / 2;
            for (index, byte) in bytes.get_mut(..count)?.iter_mut().enumerate() {
                *byte = u8::from_str_radix(text.get(2 * index..2 * index + 2)?, 16).ok()?;
            }
            let mut chars = std::str::from_utf8(&bytes[..count]).ok()?.chars();
            let c = chars.next()?;
            chars.next().is_none().then_some((code, c))
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(charset: &Charset, bytes: &[u8]) -> Result<String, BadText> {
        let mut out = Vec::new();
        charset.write(bytes, &mut out)?;
        String::from_utf8(out).map_err(|_| BadText)
    }

    #[test]
    fn forms_of_unicode_are_converted_by_rule() {
        assert_eq!(text(&Charset::Ucs2, &[0x04, 0x3C]).unwrap(), "м");
        assert_eq!(
            text(&Charset::Utf16, &[0xD8, 0x34, 0xDD, 0x1E]).unwrap(),
            "𝄞"
        );
        assert_eq!(
            text(&Charset::Utf16Le, &[0x34, 0xD8, 0x1E, 0xDD]).unwrap(),
            "𝄞"
        );
        assert_eq!(text(&Charset::Utf32, &[0, 1, 0xD1, 0x1E]).unwrap(), "𝄞");
        assert_eq!(text(&Charset::Ucs2, &[0xD8, 0x34]), Err(BadText));
        assert_eq!(text(&Charset::Ascii, b"a"), Ok("a".to_owned()));
        assert_eq!(text(&Charset::Ascii, "é".as_bytes()), Err(BadText));
        assert_eq!(text(&Charset::Utf16, &[0xD8, 0x34]), Err(BadText));
        assert_eq!(text(&Charset::Utf32, &[0, 1]), Err(BadText));
        assert_eq!(supplementary(0x9030_8130), Some('\u{10000}'));
        assert_eq!(supplementary(0xE332_9A35), Some('\u{10FFFF}'));
    }
}
