//! The API's wire types, the constraints on requests, and its operations as a trait; generated, but for the few words here.
//!
//! Members that the model requires are not optional. Enumerations are text: what a request holds has been checked against the
//! model's values by [`parse_input`], and answers take theirs from the types of the store. Unknown members of a request are passed over, as the
//! service does, and named by [`unknown_members`].

mod context;
mod fault;
#[allow(
    clippy::doc_markdown,
    clippy::struct_excessive_bools,
    clippy::wildcard_imports,
    reason = "shapes follow the service model"
)]
mod generated;
mod input;
mod secret_text;
mod shape;
mod timestamp;
mod unknown;

pub use context::CallContext;
pub use fault::{Fault, FaultCode};
pub use generated::*;
pub use input::parse_input;
pub use secret_text::SecretText;
pub use timestamp::Timestamp;
pub use unknown::unknown_members;

use serde::Serialize;
use serde_json::Value;

/// An answer as JSON.
fn answer(output: &impl Serialize) -> Result<Value, Fault> {
    serde_json::to_value(output).map_err(|error| Fault::internal(&error))
}
