//! What is to be different at the target: the same for a migration and for a comparison behind it.

use std::sync::Arc;

use clap::{Args, ValueEnum};
use whimbrel_core::characters::{CharacterRules, CharacterSet, parse_code_point, replacement};
use whimbrel_engine::{OnCut, Shaping, UnboundedNumbers};

use crate::format;

/// Values arrive exactly as they are unless one of these is given.
#[derive(Clone, Debug, Args)]
pub(crate) struct ShapeArgs {
    /// Cuts texts and byte strings of large types to so many bytes, such as 32KiB; keys and JSON stay whole
    #[arg(long, value_name = "SIZE", value_parser = lob_bytes, help_heading = "Values")]
    pub(crate) lob_max_size: Option<usize>,
    /// Booleans of PostgreSQL become the texts true and false
    #[arg(long, help_heading = "Values")]
    pub(crate) booleans_as_text: bool,
    /// What becomes of PostgreSQL's numeric without a precision
    #[arg(
        long,
        value_name = "MODE",
        default_value = "exact",
        help_heading = "Values"
    )]
    pub(crate) unbounded_numbers: Numbers,
    /// A character of texts becomes another, such as 00B4=0027 (code points in hexadecimal; 0 removes it); may be given again
    #[arg(long, value_name = "CODE=CODE", value_parser = single_character, help_heading = "Values")]
    pub(crate) replace_character: Vec<(char, Option<char>)>,
    /// Characters of texts that are not in a set become another, such as ISO-8859-1=003F; 0 removes them
    #[arg(long, value_name = "SET=CODE", value_parser = characters_outside, help_heading = "Values")]
    pub(crate) replace_outside: Option<Outside>,
}

/// A set, and what takes the place of characters that are not in it.
#[derive(Clone, Debug)]
pub(crate) struct Outside(CharacterSet, Option<char>);

/// What becomes of numbers of any length.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Numbers {
    /// They arrive as they are
    Exact,
    /// Text with all their digits
    Text,
    /// Rounded to numeric(28,6)
    Rounded,
}

fn lob_bytes(text: &str) -> Result<usize, String> {
    let bytes = format::parse_bytes(text)?;
    match usize::try_from(bytes) {
        Ok(bytes) if bytes > 0 => Ok(bytes),
        _ => Err("a value keeps at least one byte".to_owned()),
    }
}

fn single_character(text: &str) -> Result<(char, Option<char>), String> {
    let rule = text.split_once('=').and_then(|(from, to)| {
        let from = parse_code_point(from).and_then(char::from_u32)?;
        Some((from, parse_code_point(to).and_then(replacement)?))
    });
    rule.ok_or_else(|| {
        "two code points in hexadecimal are expected with = between, such as 00B4=0027".to_owned()
    })
}

fn characters_outside(text: &str) -> Result<Outside, String> {
    let expected = "a character set and a code point in hexadecimal are expected with = between, such as ISO-8859-1=003F";
    let (name, to) = text.rsplit_once('=').ok_or(expected)?;
    let set = CharacterSet::by_name(name)
        .ok_or_else(|| format!("the character set is {}", CharacterSet::names()))?;
    let to = parse_code_point(to).and_then(replacement).ok_or(expected)?;
    Ok(Outside(set, to))
}

impl ShapeArgs {
    fn characters(&self) -> Option<Arc<CharacterRules>> {
        let mut rules = CharacterRules::default();
        for (from, to) in &self.replace_character {
            rules.replace_single(*from, *to);
        }
        if let Some(Outside(set, to)) = &self.replace_outside {
            rules.replace_outside(set.clone(), *to);
        }
        (!rules.is_empty()).then(|| Arc::new(rules))
    }

    pub(crate) fn shaping(&self) -> Shaping {
        Shaping {
            lob_bytes_max: self.lob_max_size,
            on_cut: OnCut::Cut,
            booleans_as_text: self.booleans_as_text,
            unbounded_numbers: match self.unbounded_numbers {
                Numbers::Exact => UnboundedNumbers::Exact,
                Numbers::Text => UnboundedNumbers::AsText,
                Numbers::Rounded => UnboundedNumbers::Rounded,
            },
            characters: self.characters(),
        }
    }
}
