//! What the documentation says of the service, against the service.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod api_page;
