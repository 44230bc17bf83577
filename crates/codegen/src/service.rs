//! The service model as far as it is needed, in the form of the extract.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The API.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Service {
    /// Prefix of `X-Amz-Target`.
    pub(crate) target_prefix: String,
    pub(crate) operations: BTreeMap<String, Operation>,
    pub(crate) shapes: BTreeMap<String, Shape>,
}

/// Values that the service takes although its model does not list them: events have tasks as their source too, see
/// <https://docs.aws.amazon.com/dms/latest/APIReference/API_DescribeEvents.html>.
const MORE_VALUES: [(&str, &str); 1] = [("SourceType", "replication-task")];

impl Service {
    /// Adds the values that the model leaves out.
    pub(crate) fn allow_more_values(&mut self) {
        for (shape, value) in MORE_VALUES {
            if let Some(Shape::String { values, .. }) = self.shapes.get_mut(shape)
                && !values.iter().any(|known| known == value)
            {
                values.push(value.to_owned());
            }
        }
    }
}

/// One operation.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Operation {
    pub(crate) input: Option<String>,
    pub(crate) output: Option<String>,
    pub(crate) faults: Vec<String>,
    /// Whether clients page through it with `Marker` or `NextToken`.
    pub(crate) is_paged: bool,
}

/// One shape.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub(crate) enum Shape {
    Structure {
        members: Vec<Member>,
        /// A structure of which one member at most is given.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        is_union: bool,
        /// An error of the API.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        is_fault: bool,
    },
    List {
        member: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        min: Option<u64>,
    },
    String {
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        values: Vec<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        max: Option<u64>,
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        is_sensitive: bool,
    },
    Boolean,
    Integer,
    Long,
    Double,
    Timestamp,
    Blob,
}

/// One member of a structure.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) shape: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) required: bool,
}
