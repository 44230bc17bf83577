//! Operation handlers, one module per resource.

mod instances;

pub(crate) use instances::apply_pending;
