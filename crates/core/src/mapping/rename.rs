/// What happens to a name. Prefixes and suffixes that are not there leave it as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RenameAction {
    Rename(String),
    Lowercase,
    Uppercase,
    AddPrefix(String),
    AddSuffix(String),
    RemovePrefix(String),
    RemoveSuffix(String),
    ReplacePrefix { old: String, new: String },
    ReplaceSuffix { old: String, new: String },
}

impl RenameAction {
    pub(super) fn apply(&self, name: &str) -> String {
        match self {
            Self::Rename(new) => new.clone(),
            Self::Lowercase => name.to_lowercase(),
            Self::Uppercase => name.to_uppercase(),
            Self::AddPrefix(prefix) => format!("{prefix}{name}"),
            Self::AddSuffix(suffix) => format!("{name}{suffix}"),
            Self::RemovePrefix(prefix) => name
                .strip_prefix(prefix.as_str())
                .unwrap_or(name)
                .to_owned(),
            Self::RemoveSuffix(suffix) => name
                .strip_suffix(suffix.as_str())
                .unwrap_or(name)
                .to_owned(),
            Self::ReplacePrefix { old, new } => name
                .strip_prefix(old.as_str())
                .map_or_else(|| name.to_owned(), |rest| format!("{new}{rest}")),
            Self::ReplaceSuffix { old, new } => name
                .strip_suffix(old.as_str())
                .map_or_else(|| name.to_owned(), |rest| format!("{rest}{new}")),
        }
    }
}
