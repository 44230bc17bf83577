//! Names and constants in the SQL of the target.

use whimbrel_core::TableName;

use super::query::Converter;

/// The longest name of PostgreSQL, in bytes.
const NAME_BYTES_MAX: usize = 63;
/// That of MySQL, in characters.
const NAME_LENGTH_MAX: usize = 64;

impl Converter<'_> {
    /// A name in quotes, which are doubled within.
    pub(super) fn quoted(&self, name: &str) -> String {
        if self.is_into_postgres() {
            format!("\"{}\"", name.replace('"', "\"\""))
        } else {
            format!("`{}`", name.replace('`', "``"))
        }
    }

    pub(super) fn quoted_table(&self, name: &TableName) -> String {
        format!("{}.{}", self.quoted(&name.schema), self.quoted(&name.name))
    }

    /// A text in quotes. In MySQL the session has no mode in which back-slashes are characters as others; in PostgreSQL they are that.
    pub(super) fn literal(&self, text: &str) -> String {
        let text = text.replace('\'', "''");
        if self.is_into_postgres() {
            format!("'{text}'::text")
        } else {
            format!("'{}'", text.replace('\\', "\\\\"))
        }
    }

    /// Why the target takes no such name, or not as it is.
    pub(super) fn refuses_name(&self, name: &str) -> Option<String> {
        let is_short = if self.is_into_postgres() {
            name.len() <= NAME_BYTES_MAX
        } else {
            name.chars().count() <= NAME_LENGTH_MAX && !name.ends_with(' ')
        };
        let is_plain = !name.is_empty() && !name.contains('\0');
        (!is_short || !is_plain).then(|| format!("the name {name:?} is none here"))
    }
}
