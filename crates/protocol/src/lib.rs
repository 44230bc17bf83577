//! The API over HTTP: JSON 1.1 at `POST /`, signatures of version 4, faults as the clients expect them.
//!
//! A request passes, in this order: size, signature, operation, JSON, and then the operation itself. So whoever has no key learns
//! nothing but that; and a body is parsed only once it is known to be what was signed.

#[cfg(feature = "fuzz")]
pub mod fuzz;
mod json;
mod keys;
mod respond;
mod router;
mod sigv4;

pub use keys::{AccessKey, KeyStore, KeyStoreError};
pub use router::{Config, router};
