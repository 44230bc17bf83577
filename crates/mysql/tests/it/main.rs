//! Real servers: MariaDB 10.11 and MySQL 9.7.

mod chunks;
mod connection;
mod load;
mod records;
mod snapshot;
mod support;
mod types;
