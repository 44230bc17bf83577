use serde_json::Value;

/// A resource as the store keeps it, without its type.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Its id, unique among its kind.
    pub id: String,
    /// Its name, unique among its kind.
    pub name: String,
    /// The id of the resource that it belongs to, or empty.
    pub parent: String,
    /// Its place in lists: grows with every insert into the store and never repeats.
    pub seq: i64,
    /// 1 when inserted, one more after each update.
    pub version: i64,
    /// The document.
    pub doc: Value,
}

/// A resource about to be written.
#[derive(Clone, Debug, PartialEq)]
pub struct Draft {
    /// Its id, unique among its kind. Never changes.
    pub id: String,
    /// Its name, unique among its kind. An update may change it.
    pub name: String,
    /// The id of the resource that it belongs to, or empty.
    pub parent: String,
    /// The document.
    pub doc: Value,
}
