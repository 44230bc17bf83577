//! Characters of texts that become others on their way, as a user says.
//!
//! First single characters are replaced, then those that are not in a character set; what a first rule makes is not looked at by
//! another first rule, but is by the second. That order is the service's.

mod set;

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value;

pub use set::CharacterSet;

/// Which characters become others. A character that becomes `None` is removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CharacterRules {
    single: BTreeMap<char, Option<char>>,
    outside: Option<(CharacterSet, Option<char>)>,
}

/// A part of the rules that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadCharacterRule {
    /// The member, from the group on.
    pub path: &'static str,
    /// What would be allowed.
    pub allowed: String,
    /// What was found.
    pub found: String,
}

const REPLACEMENTS: &str = "CharacterReplacements";
const SUPPORT: &str = "CharacterSetSupport";
const CODE_POINT: &str = "the code point of a character in hexadecimal, such as \"00E9\", with 0 at the target to remove it";

impl CharacterRules {
    /// The rules of a group `CharacterSetSettings` of task settings; `null` has none.
    ///
    /// # Errors
    /// The first member that cannot be understood.
    pub fn of_settings(settings: &Value) -> Result<Self, BadCharacterRule> {
        let mut rules = Self::default();
        let bad = |path, allowed: &str, found: &Value| BadCharacterRule {
            path,
            allowed: allowed.to_owned(),
            found: found.to_string(),
        };
        if !settings.is_null() && !settings.is_object() {
            return Err(bad("", "an object or null", settings));
        }
        let list = settings.get(REPLACEMENTS).unwrap_or(&Value::Null);
        if !list.is_null() && !list.is_array() {
            return Err(bad(REPLACEMENTS, "a list", list));
        }
        for rule in list.as_array().into_iter().flatten() {
            let code = |member| rule.get(member).and_then(code_point);
            let from = code("SourceCharacterCodePoint").and_then(char::from_u32);
            let to = code("TargetCharacterCodePoint").and_then(replacement);
            let (Some(from), Some(to)) = (from, to) else {
                let allowed = format!(
                    "a list of a SourceCharacterCodePoint and a TargetCharacterCodePoint each, {CODE_POINT}"
                );
                return Err(bad(REPLACEMENTS, &allowed, rule));
            };
            rules.replace_single(from, to);
        }
        let support = settings.get(SUPPORT).unwrap_or(&Value::Null);
        if support.is_null() {
            return Ok(rules);
        }
        let name = support.get("CharacterSet").unwrap_or(&Value::Null);
        let set = name.as_str().and_then(CharacterSet::by_name);
        let set = set.ok_or_else(|| {
            bad(
                "CharacterSetSupport.CharacterSet",
                &CharacterSet::names(),
                name,
            )
        })?;
        let code = support.get("ReplaceWithCharacterCodePoint");
        let to = code.and_then(code_point).and_then(replacement);
        let path = "CharacterSetSupport.ReplaceWithCharacterCodePoint";
        let to = to.ok_or_else(|| bad(path, CODE_POINT, code.unwrap_or(&Value::Null)))?;
        rules.replace_outside(set, to);
        Ok(rules)
    }

    /// A character becomes another one, whatever was said of it before.
    pub fn replace_single(&mut self, from: char, to: Option<char>) {
        self.single.insert(from, to);
    }

    /// Characters that are not in a set become another one.
    pub fn replace_outside(&mut self, set: CharacterSet, to: Option<char>) {
        self.outside = Some((set, to));
    }

    /// Whether every text stays as it is.
    pub fn is_empty(&self) -> bool {
        self.single.is_empty() && self.outside.is_none()
    }

    fn of(&self, c: char) -> Option<char> {
        let c = match self.single.get(&c) {
            Some(to) => (*to)?,
            None => c,
        };
        match &self.outside {
            Some((set, to)) if !set.contains(c) => *to,
            _ => Some(c),
        }
    }

    /// The text that a text becomes; `None` when it stays as it is.
    pub fn apply(&self, text: &str) -> Option<String> {
        let (first, _) = text.char_indices().find(|&(_, c)| self.of(c) != Some(c))?;
        let mut replaced = String::with_capacity(text.len());
        let (same, rest) = text.split_at(first);
        replaced.push_str(same);
        replaced.extend(rest.chars().filter_map(|c| self.of(c)));
        Some(replaced)
    }
}

/// In words that are others for other rules.
impl fmt::Display for CharacterRules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let becomes = |to: &Option<char>| match to {
            Some(to) => format!("become U+{:04X}", u32::from(*to)),
            None => "are removed".to_owned(),
        };
        let mut parts: Vec<String> = Vec::new();
        for (from, to) in &self.single {
            parts.push(format!(
                "characters U+{:04X} {}",
                u32::from(*from),
                becomes(to)
            ));
        }
        if let Some((set, to)) = &self.outside {
            parts.push(format!("characters that are not in {set} {}", becomes(to)));
        }
        f.write_str(&parts.join(", "))
    }
}

/// A code point in hexadecimal. In JSON it may be written as a number, whose digits are hexadecimal too, as the service has it.
fn code_point(value: &Value) -> Option<u32> {
    match value {
        Value::String(text) => parse_code_point(text),
        Value::Number(number) => parse_code_point(&number.to_string()),
        _ => None,
    }
}

/// A code point in hexadecimal, with or without `U+` or `0x` before it.
pub fn parse_code_point(text: &str) -> Option<u32> {
    let prefixes = ["U+", "u+", "0x", "0X"];
    let digits = prefixes.iter().find_map(|prefix| text.strip_prefix(prefix));
    let digits = digits.unwrap_or(text);
    let are_digits = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    u32::from_str_radix(digits, 16).ok().filter(|_| are_digits)
}

/// What takes a character's place, 0 being nothing; `None` for what is no character.
pub fn replacement(code: u32) -> Option<Option<char>> {
    match code {
        0 => Some(None),
        code => char::from_u32(code).map(Some),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rules(settings: &Value) -> CharacterRules {
        CharacterRules::of_settings(settings).unwrap()
    }

    #[test]
    fn single_characters_come_first_and_the_last_rule_of_one_counts() {
        let rules = rules(&json!({
            "CharacterReplacements": [
                {"SourceCharacterCodePoint": 62, "TargetCharacterCodePoint": 63},
                {"SourceCharacterCodePoint": 62, "TargetCharacterCodePoint": "0061"},
                {"SourceCharacterCodePoint": "0000", "TargetCharacterCodePoint": 0},
                {"SourceCharacterCodePoint": "U+0061", "TargetCharacterCodePoint": "0x20AC"},
            ],
            "CharacterSetSupport": {"CharacterSet": "ISO-8859-1", "ReplaceWithCharacterCodePoint": "3F"},
        }));
        // `b` becomes `a`, which no rule looks at any more; `a` becomes the euro, which Latin 1 lacks.
        assert_eq!(rules.apply("bé\0a𝄞c").as_deref(), Some("aé??c"));
        assert_eq!(rules.apply("é"), None);
        assert_eq!(rules.apply(""), None);
        assert_eq!(
            rules.to_string(),
            "characters U+0000 are removed, characters U+0061 become U+20AC, characters U+0062 become U+0061, characters that are not in iso-8859-1 become U+003F"
        );
    }

    #[test]
    fn characters_outside_a_set_can_be_removed() {
        let rules = rules(&json!({"CharacterReplacements": null,
            "CharacterSetSupport": {"CharacterSet": "UTF16_PlatformEndian", "ReplaceWithCharacterCodePoint": 0}}));
        assert_eq!(rules.apply("a𝄞é").as_deref(), Some("aé"));
        assert!(self::rules(&Value::Null).is_empty());
        assert!(
            self::rules(&json!({"CharacterReplacements": [], "CharacterSetSupport": null}))
                .is_empty()
        );
    }

    #[test]
    fn what_is_no_rule_is_refused_by_its_member() {
        let single = |from: Value, to: Value| json!({"CharacterReplacements": [{"SourceCharacterCodePoint": from, "TargetCharacterCodePoint": to}]});
        let outside = |set: Value, to: Value| json!({"CharacterSetSupport": {"CharacterSet": set, "ReplaceWithCharacterCodePoint": to}});
        for (settings, path) in [
            (json!([]), ""),
            (json!({"CharacterReplacements": {}}), REPLACEMENTS),
            (json!({"CharacterReplacements": [7]}), REPLACEMENTS),
            (single(json!("D800"), json!("61")), REPLACEMENTS),
            (single(json!("61"), json!("110000")), REPLACEMENTS),
            (single(json!("g"), json!("61")), REPLACEMENTS),
            (single(json!("+61"), json!("61")), REPLACEMENTS),
            (single(json!(-61), json!("61")), REPLACEMENTS),
            (single(json!("61"), Value::Null), REPLACEMENTS),
            (
                json!({"CharacterSetSupport": 1}),
                "CharacterSetSupport.CharacterSet",
            ),
            (
                outside(json!("EBCDIC"), json!(0)),
                "CharacterSetSupport.CharacterSet",
            ),
            (
                outside(json!("UTF-8"), Value::Null),
                "CharacterSetSupport.ReplaceWithCharacterCodePoint",
            ),
        ] {
            let bad = CharacterRules::of_settings(&settings).unwrap_err();
            assert_eq!(bad.path, path, "{settings}");
        }
    }
}
