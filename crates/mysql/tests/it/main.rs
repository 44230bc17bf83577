//! Real servers: MariaDB 10.11 and MySQL 9.7.

mod connection;
mod load;
mod support;
