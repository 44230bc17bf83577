use std::collections::BTreeSet;
use std::fmt;

use encoding_rs::Encoding;

/// The characters that a character set has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CharacterSet {
    name: String,
    members: Members,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Members {
    /// All that Unicode has.
    All,
    /// Those up to one, included.
    UpTo(char),
    /// ASCII and these.
    These(BTreeSet<char>),
}

/// Sets whose tables are those of a label of the encoding standard. The standard reads ISO-8859-1, -9 and -11 as sets of Windows:
/// these are made here.
const BY_LABEL: &[&str] = &[
    "iso-8859-2",
    "iso-8859-3",
    "iso-8859-4",
    "iso-8859-5",
    "iso-8859-6",
    "iso-8859-7",
    "iso-8859-8",
    "iso-8859-10",
    "iso-8859-13",
    "iso-8859-14",
    "iso-8859-15",
    "iso-8859-16",
    "windows-874",
    "windows-1250",
    "windows-1251",
    "windows-1252",
    "windows-1253",
    "windows-1254",
    "windows-1255",
    "windows-1256",
    "windows-1257",
    "windows-1258",
    "koi8-r",
    "koi8-u",
];

/// All of Unicode in different bytes.
const UNICODE: &[&str] = &[
    "utf-8",
    "utf-32",
    "utf-32be",
    "utf-32le",
    "utf32-platformendian",
    "utf32-oppositeendian",
    "utf-7",
    "cesu-8",
    "gb18030",
];

/// As the service describes them: characters of one unit of 16 bits.
const UTF_16: &[&str] = &[
    "utf-16",
    "utf-16be",
    "utf-16le",
    "utf16-platformendian",
    "utf16-oppositeendian",
    "utf-16be,version=1",
    "utf-16le,version=1",
    "utf-16,version=1",
    "utf-16,version=2",
];

/// Names by which the service knows sets of ISO and of Windows.
const ALIASES: &[(&str, &str)] = &[
    ("ibm-912", "iso-8859-2"),
    ("ibm-913", "iso-8859-3"),
    ("ibm-914", "iso-8859-4"),
    ("ibm-915", "iso-8859-5"),
    ("ibm-1089", "iso-8859-6"),
    ("ibm-9005", "iso-8859-7"),
    ("ibm-916", "iso-8859-8"),
    ("ibm-920", "iso-8859-9"),
    ("ibm-921", "iso-8859-13"),
    ("ibm-923", "iso-8859-15"),
    ("ibm-5346", "windows-1250"),
    ("ibm-5347", "windows-1251"),
    ("ibm-5348", "windows-1252"),
    ("ibm-5349", "windows-1253"),
    ("ibm-5350", "windows-1254"),
    ("ibm-9447", "windows-1255"),
    ("ibm-9448", "windows-1256"),
    ("ibm-9449", "windows-1257"),
    ("ibm-5354", "windows-1258"),
    ("ibm-878", "koi8-r"),
];

impl CharacterSet {
    /// The set of a name, in whatever case, and with the year of its table or without.
    pub fn by_name(given: &str) -> Option<Self> {
        let name = without_year(&given.to_ascii_lowercase()).replace('_', "-");
        let alias = ALIASES.iter().find(|(alias, _)| *alias == name);
        let name = alias.map_or(name, |(_, name)| (*name).to_owned());
        let members = members(&name)?;
        Some(Self { name, members })
    }

    /// The names that are known.
    pub fn names() -> String {
        let own = ["us-ascii", "iso-8859-1", "iso-8859-9", "iso-8859-11"];
        let aliases = ALIASES.iter().map(|(alias, _)| *alias);
        let names = own.iter().chain(BY_LABEL).chain(UNICODE).chain(UTF_16);
        let names: Vec<&str> = names.copied().chain(aliases).collect();
        format!("one of {}", names.join(", "))
    }

    /// Whether a character is in it.
    pub fn contains(&self, c: char) -> bool {
        match &self.members {
            Members::All => true,
            Members::UpTo(last) => c <= *last,
            Members::These(others) => c.is_ascii() || others.contains(&c),
        }
    }
}

impl fmt::Display for CharacterSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

/// Names of the service tell the year of a table: `ibm-912_P100-1995`, `iso-8859_10-1998`, `windows-874-2000`.
fn without_year(name: &str) -> &str {
    let marks = ["_p100-", "_p110-", "_x110-", "_x100-"];
    let stem = marks.iter().find_map(|mark| name.split_once(mark));
    let years = ["-1998", "-2000", "-2001"];
    stem.map(|(stem, _)| stem)
        .or_else(|| years.iter().find_map(|year| name.strip_suffix(year)))
        .unwrap_or(name)
}

fn members(name: &str) -> Option<Members> {
    Some(match name {
        "us-ascii" => Members::UpTo('\x7F'),
        "iso-8859-1" => Members::UpTo('\u{FF}'),
        "iso-8859-9" => Members::These(
            ('\u{80}'..='\u{FF}')
                .filter(|c| !"ÐÝÞðýþ".contains(*c))
                .chain("ĞİŞğış".chars())
                .collect(),
        ),
        "iso-8859-11" => Members::These(
            ('\u{80}'..='\u{A0}')
                .chain('\u{E01}'..='\u{E3A}')
                .chain('\u{E3F}'..='\u{E5B}')
                .collect(),
        ),
        name if UNICODE.contains(&name) => Members::All,
        name if UTF_16.contains(&name) => Members::UpTo('\u{FFFF}'),
        name if BY_LABEL.contains(&name) => {
            let encoding = Encoding::for_label(name.as_bytes())?;
            let meaning = |byte: u8| {
                let bytes = [byte];
                let text = encoding.decode_without_bom_handling_and_without_replacement(&bytes)?;
                text.chars().next()
            };
            Members::These((0x80..=0xFF).filter_map(meaning).collect())
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_have_their_own_characters_and_no_others() {
        for (name, inside, outside) in [
            ("US-ASCII", "a~\0", "é\u{80}"),
            ("ISO-8859-1", "aéÿ\u{81}", "€Āא"),
            ("ibm-912_P100-1995", "aŁő", "ñ€"),
            ("iso-8859-5", "aЖ№", "éÑ"),
            ("ISO-8859-9", "ğİé", "ðÝ€"),
            ("ibm-923_P100-1998", "€Œ", "¤Ł"),
            ("iso-8859_10-1998", "Ąþ", "€"),
            ("iso-8859_11-2001", "กa๛", "é€"),
            ("windows-1252", "€œé", "Łא"),
            ("windows-1251", "Ж€Ђ", "éא"),
            ("ibm-5346_P100-1998", "Ł€", "ñ"),
            ("windows-874-2000", "ก€", "é"),
            ("ibm-9448_X100-2005", "ب€", "א"),
            ("UTF-8", "a𝄞\u{10FFFF}", ""),
            ("gb18030", "a𝄞", ""),
            ("UTF16_PlatformEndian", "a€\u{FFFD}", "𝄞"),
            ("UTF-16BE,version=1", "a€", "𝄞"),
            ("UTF32_OppositeEndian", "𝄞", ""),
        ] {
            let set = CharacterSet::by_name(name).unwrap_or_else(|| panic!("{name}"));
            for c in inside.chars() {
                assert!(set.contains(c), "{name}: {c:?}");
            }
            for c in outside.chars() {
                assert!(!set.contains(c), "{name}: {c:?}");
            }
        }
    }

    #[test]
    fn every_name_that_is_told_is_known_and_no_other() {
        for name in CharacterSet::names()
            .trim_start_matches("one of ")
            .split(", ")
        {
            assert!(CharacterSet::by_name(name).is_some(), "{name}");
        }
        for name in [
            "",
            "latin1",
            "ebcdic",
            "iso-8859-12",
            "ibm-1047_P100-1995",
            "utf-8\0",
        ] {
            assert_eq!(CharacterSet::by_name(name), None, "{name}");
        }
    }
}
