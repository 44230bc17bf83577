use serde::{Deserialize, Serialize};

use super::Resource;

/// One tag.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tag {
    /// Unique in its set.
    pub key: String,
    /// May be empty.
    pub value: String,
}

/// The tags of one resource.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TagSet {
    /// The resource.
    pub arn: String,
    /// Its tags in the order they were first given.
    pub tags: Vec<Tag>,
}

impl Resource for TagSet {
    const KIND: &'static str = "tag-set";

    fn id(&self) -> &str {
        &self.arn
    }

    fn name(&self) -> &str {
        &self.arn
    }
}
