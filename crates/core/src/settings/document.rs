use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::SettingsError;
use super::layout::{
    DEFAULT_SEVERITY, Entry, Kind, LAYOUT, LOG_COMPONENTS, Member, OPTIONAL_LOG_COMPONENTS,
    SEVERITIES,
};

use crate::characters::CharacterRules;
use crate::objects::ObjectSelection;

type Object = Map<String, Value>;

/// The two spellings of one setting.
const HISTORY_SPELLINGS: [&str; 2] = ["HistoryTimeslotInMinutes", "historyTimeslotInMinutes"];

/// Where a stored document lists what was given. The service has no member of such a name.
const GIVEN: &str = "given";

/// A whole settings document: every member present and checked, in the order of the echo. It knows which of them the user has given, also
/// where that is the default.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Object", into = "Object")]
pub struct SettingsDocument {
    members: Object,
    /// As `Group.Member`.
    given: BTreeSet<String>,
}

impl From<Object> for SettingsDocument {
    fn from(mut members: Object) -> Self {
        let given = members.shift_remove(GIVEN);
        let given = given.as_ref().and_then(Value::as_array);
        let given = given.into_iter().flatten().filter_map(Value::as_str);
        Self {
            given: given.map(str::to_owned).collect(),
            members,
        }
    }
}

impl From<SettingsDocument> for Object {
    fn from(document: SettingsDocument) -> Self {
        let mut members = document.members;
        if !document.given.is_empty() {
            members.insert(GIVEN.to_owned(), json!(document.given));
        }
        members
    }
}

impl Default for SettingsDocument {
    fn default() -> Self {
        let group = |members: &[Member]| {
            let pairs = members
                .iter()
                .filter_map(|member| Some((member.name.to_owned(), default_of(member)?)));
            Value::Object(pairs.collect())
        };
        let document = LAYOUT.iter().filter_map(|entry| match *entry {
            Entry::Group(name, members) => Some((name.to_owned(), group(members))),
            Entry::Value(ref member) => Some((
                member.name.to_owned(),
                default_of(member).unwrap_or_default(),
            )),
            Entry::Characters(name) | Entry::Unsupported { name, .. } => {
                Some((name.to_owned(), Value::Null))
            }
            Entry::Own(..) => None,
        });
        Self {
            members: document.collect(),
            given: BTreeSet::new(),
        }
    }
}

fn default_of(member: &Member) -> Option<Value> {
    if matches!(member.kind, Kind::LogComponents) {
        return Some(log_components(&[]));
    }
    member
        .default
        .map(|text| serde_json::from_str(text).expect("the defaults of the table are JSON"))
}

/// The full list in the service's order, with the given severities put in.
fn log_components(given: &[(String, String)]) -> Value {
    let severity_of = |id: &str| {
        given
            .iter()
            .rev()
            .find(|(given_id, _)| given_id == id)
            .map(|(_, severity)| severity.as_str())
    };
    let always = LOG_COMPONENTS
        .iter()
        .map(|&id| (id, severity_of(id).unwrap_or(DEFAULT_SEVERITY)));
    let when_sent = OPTIONAL_LOG_COMPONENTS
        .iter()
        .filter_map(|&id| Some((id, severity_of(id)?)));
    always
        .chain(when_sent)
        .map(|(id, severity)| json!({"Id": id, "Severity": severity}))
        .collect()
}

impl SettingsDocument {
    /// The document of a new task: what the user sent, over the defaults. An empty text is as good as none.
    pub fn for_create(sent: Option<&str>) -> Result<Self, SettingsError> {
        Self::default().merged(sent)
    }

    /// The document after a modification: what the user sent, over what was there.
    pub fn for_modify(&self, sent: &str) -> Result<Self, SettingsError> {
        let merged = self.merged(Some(sent))?;
        if merged.bool("ValidationSettings", "ValidationOnly")
            != self.bool("ValidationSettings", "ValidationOnly")
        {
            return Err(SettingsError::Immutable {
                path: "ValidationSettings.ValidationOnly",
            });
        }
        Ok(merged)
    }

    /// The document as text, in the order of the echo. The same document gives the same bytes.
    pub fn to_json(&self) -> String {
        Value::Object(self.members.clone()).to_string()
    }

    /// This document with the log severities of another that differs in nothing else: they alone may change while a task runs.
    pub fn with_severities_of(&self, other: &Self) -> Option<Self> {
        const SEVERITIES: (&str, &str) = ("Logging", "LogComponents");
        let mut changed = self.clone();
        changed.set(
            SEVERITIES.0,
            SEVERITIES.1,
            other.get(SEVERITIES.0, SEVERITIES.1).clone(),
        );
        (changed.members == other.members).then_some(changed)
    }

    /// What stands for a whole group, or is a member of none.
    pub(super) fn whole(&self, name: &str) -> &Value {
        self.members.get(name).unwrap_or(&Value::Null)
    }

    /// A member of a group.
    pub(super) fn get(&self, group: &str, member: &str) -> &Value {
        self.members
            .get(group)
            .and_then(|group| group.get(member))
            .unwrap_or(&Value::Null)
    }

    pub(super) fn bool(&self, group: &str, member: &str) -> bool {
        self.get(group, member).as_bool().unwrap_or_default()
    }

    /// Whether the user has given a member of a group. Of documents that do not know it, what is not the default tells.
    pub(super) fn is_given(&self, group: &str, member: &str) -> bool {
        self.given.contains(&format!("{group}.{member}"))
            || self.get(group, member) != Self::default().get(group, member)
    }

    /// Notes what was sent of a group. One that names all that the echo has was copied whole, and means no more than what it changes.
    fn note_given(&mut self, before: &Self, group: &str, members: &[Member], sent: &Object) {
        let Some(Value::Object(sent)) = sent.get(group) else {
            return;
        };
        let echo = Self::default();
        let is_copy = members
            .iter()
            .filter(|member| !echo.get(group, member.name).is_null())
            .all(|member| sent.contains_key(member.name));
        let is_meant = |member: &&Member| {
            let is_sent = sent.get(member.name).is_some_and(|value| !value.is_null());
            let is_changed = self.get(group, member.name) != before.get(group, member.name);
            is_sent && (is_changed || !is_copy)
        };
        let given = members.iter().filter(is_meant);
        let given: Vec<_> = given
            .map(|member| format!("{group}.{}", member.name))
            .collect();
        self.given.extend(given);
    }

    fn merged(&self, sent: Option<&str>) -> Result<Self, SettingsError> {
        let Some(sent) = sent.filter(|text| !text.trim().is_empty()) else {
            return Ok(self.clone());
        };
        let Ok(Value::Object(sent)) = serde_json::from_str(sent) else {
            return Err(SettingsError::NotJson);
        };
        let mut merged = self.clone();
        for entry in LAYOUT {
            match *entry {
                Entry::Group(name, members) => {
                    merge_group(&mut merged.members, name, members, &sent)?;
                    merged.note_given(self, name, members, &sent);
                }
                Entry::Own(name, members) => {
                    merge_group(&mut merged.members, name, members, &sent)?;
                }
                Entry::Value(ref member) => {
                    if let Some(value) = sent.get(member.name).filter(|value| !value.is_null()) {
                        check(member.name, member.kind, value)?;
                        merged.members.insert(member.name.to_owned(), value.clone());
                    }
                }
                Entry::Characters(name) => {
                    if let Some(value) = sent.get(name) {
                        check_characters(name, value)?;
                        merged.members.insert(name.to_owned(), value.clone());
                    }
                }
                Entry::Unsupported { name, switch } => check_unsupported(name, switch, &sent)?,
            }
        }
        merged.settle_lob_mode(&sent)?;
        if merged.bool("ValidationSettings", "ValidationOnly") {
            merged.set(
                "FullLoadSettings",
                "TargetTablePrepMode",
                json!("DO_NOTHING"),
            );
        }
        Ok(merged)
    }

    /// The two LOB modes exclude each other; the one that was asked for alone wins over the one that was there.
    fn settle_lob_mode(&mut self, sent: &Object) -> Result<(), SettingsError> {
        const GROUP: &str = "TargetMetadata";
        let (full, limited) = ("FullLobMode", "LimitedSizeLobMode");
        if !(self.bool(GROUP, full) && self.bool(GROUP, limited)) {
            return Ok(());
        }
        let is_sent = |member: &str| {
            sent.get(GROUP)
                .is_some_and(|group| group.get(member) == Some(&Value::Bool(true)))
        };
        match (is_sent(full), is_sent(limited)) {
            (true, true) => Err(SettingsError::Exclusive {
                first: "TargetMetadata.FullLobMode",
                second: "TargetMetadata.LimitedSizeLobMode",
            }),
            (false, true) => {
                self.set(GROUP, full, json!(false));
                Ok(())
            }
            (_, false) => {
                self.set(GROUP, limited, json!(false));
                Ok(())
            }
        }
    }

    fn set(&mut self, group: &str, member: &str, value: Value) {
        if let Some(Value::Object(group)) = self.members.get_mut(group) {
            group.insert(member.to_owned(), value);
        }
    }
}

fn merge_group(
    document: &mut Object,
    name: &str,
    members: &[Member],
    sent: &Object,
) -> Result<(), SettingsError> {
    let sent = match sent.get(name) {
        None | Some(Value::Null) => return Ok(()),
        Some(Value::Object(sent)) => sent,
        Some(other) => return Err(invalid(name, "an object", other)),
    };
    let mut merged = Object::new();
    for member in members {
        let path = format!("{name}.{}", member.name);
        let old = document.get(name).and_then(|group| group.get(member.name));
        let value = match sent.get(member.name) {
            None | Some(Value::Null) => old.cloned(),
            Some(value) => {
                check(&path, member.kind, value)?;
                match member.kind {
                    Kind::LogComponents => Some(merged_components(old, value)),
                    _ => Some(value.clone()),
                }
            }
        };
        if let Some(value) = value {
            merged.insert(member.name.to_owned(), value);
        }
    }
    if let Some(value) = HISTORY_SPELLINGS
        .iter()
        .find_map(|&spelling| sent.get(spelling))
        .filter(|value| !value.is_null())
    {
        for (spelling, slot) in &mut merged {
            if HISTORY_SPELLINGS.contains(&spelling.as_str()) {
                *slot = value.clone();
            }
        }
    }
    document.insert(name.to_owned(), Value::Object(merged));
    Ok(())
}

fn components_of(value: &Value) -> impl Iterator<Item = (String, String)> {
    value
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|component| {
            let text = |member: &str| component.get(member)?.as_str().map(str::to_owned);
            Some((text("Id")?, text("Severity")?))
        })
}

fn merged_components(old: Option<&Value>, sent: &Value) -> Value {
    let given: Vec<_> = old
        .into_iter()
        .flat_map(components_of)
        .chain(components_of(sent))
        .collect();
    log_components(&given)
}

fn invalid(path: &str, allowed: impl Into<String>, found: &Value) -> SettingsError {
    SettingsError::InvalidValue {
        path: path.to_owned(),
        allowed: allowed.into(),
        found: found.to_string(),
    }
}

fn check(path: &str, kind: Kind, value: &Value) -> Result<(), SettingsError> {
    match kind {
        Kind::Bool if value.is_boolean() => Ok(()),
        Kind::Bool => Err(invalid(path, "true or false", value)),
        Kind::Int(min, max) => match value.as_i64() {
            Some(number) if (min..=max).contains(&number) => Ok(()),
            _ => Err(invalid(
                path,
                format!("a number from {min} to {max}"),
                value,
            )),
        },
        Kind::Text if value.is_string() => Ok(()),
        Kind::Text => Err(invalid(path, "a text", value)),
        Kind::OneOf(allowed) => match value.as_str() {
            Some(text) if allowed.contains(&text) => Ok(()),
            _ => Err(invalid(
                path,
                format!("one of {}", allowed.join(", ")),
                value,
            )),
        },
        Kind::LogName => Err(SettingsError::LogNamesGiven),
        Kind::Objects => check_objects(path, value),
        Kind::LogComponents => check_components(path, value),
    }
}

fn check_objects(path: &str, value: &Value) -> Result<(), SettingsError> {
    if let Some(Ok(_)) = value.as_str().map(ObjectSelection::parse) {
        return Ok(());
    }
    Err(invalid(path, ObjectSelection::forms(), value))
}

fn check_components(path: &str, value: &Value) -> Result<(), SettingsError> {
    let Some(components) = value.as_array() else {
        return Err(invalid(path, "a list", value));
    };
    let known = |id: &str| LOG_COMPONENTS.contains(&id) || OPTIONAL_LOG_COMPONENTS.contains(&id);
    for component in components {
        let text = |member: &str| component.get(member).and_then(Value::as_str);
        match (text("Id"), text("Severity")) {
            (Some(id), Some(severity)) if known(id) && SEVERITIES.contains(&severity) => {}
            _ => {
                return Err(invalid(
                    path,
                    "a list of known components, each with an Id and a Severity",
                    component,
                ));
            }
        }
    }
    Ok(())
}

fn check_characters(name: &str, value: &Value) -> Result<(), SettingsError> {
    let rules = CharacterRules::of_settings(value);
    rules.map(drop).map_err(|bad| SettingsError::InvalidValue {
        path: [name, bad.path].join(".").trim_end_matches('.').to_owned(),
        allowed: bad.allowed,
        found: bad.found,
    })
}

fn check_unsupported(name: &str, switch: Option<&str>, sent: &Object) -> Result<(), SettingsError> {
    let is_off = match sent.get(name) {
        None | Some(Value::Null) => true,
        Some(Value::Object(group)) => match switch {
            Some(switch) => group.get(switch).and_then(Value::as_bool) != Some(true),
            None => group.values().all(Value::is_null),
        },
        Some(Value::Array(list)) => list.is_empty(),
        Some(_) => false,
    };
    if is_off {
        Ok(())
    } else {
        Err(SettingsError::NotSupported {
            path: name.to_owned(),
        })
    }
}
