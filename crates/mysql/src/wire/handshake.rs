//! The server's greeting and our answer.
//!
//! <https://dev.mysql.com/doc/dev/mysql-server/9.7.0/page_protocol_connection_phase_packets_protocol_handshake_v10.html>

use whimbrel_core::Engine;

use super::packet::{Malformed, Reader, put_counted};
use super::{MyError, WireError};
use crate::options::Options;

/// Capability flags.
pub(super) mod capability {
    /// MariaDB clears it to say that it is not MySQL.
    pub(crate) const LONG_PASSWORD: u32 = 1;
    pub(crate) const LONG_FLAG: u32 = 1 << 2;
    pub(crate) const CONNECT_WITH_DB: u32 = 1 << 3;
    pub(crate) const LOCAL_FILES: u32 = 1 << 7;
    pub(crate) const PROTOCOL_41: u32 = 1 << 9;
    pub(crate) const SSL: u32 = 1 << 11;
    pub(crate) const TRANSACTIONS: u32 = 1 << 13;
    pub(crate) const SECURE_CONNECTION: u32 = 1 << 15;
    pub(crate) const PLUGIN_AUTH: u32 = 1 << 19;
    pub(crate) const CONNECT_ATTRS: u32 = 1 << 20;
    pub(crate) const PLUGIN_AUTH_LENENC: u32 = 1 << 21;
    pub(crate) const DEPRECATE_EOF: u32 = 1 << 24;
}

/// utf8mb4_general_ci, which both flavours know. The session's own is set right after sign-in.
const CHARSET: u8 = 45;
/// The largest packet we take: the servers' own bound.
const PACKET_BYTES_MAX: u32 = 1 << 30;

/// What the server says before sign-in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Greeting {
    pub(super) engine: Engine,
    pub(super) version: String,
    pub(super) connection_id: u32,
    pub(super) capabilities: u32,
    /// Random bytes for the password's scramble.
    pub(super) nonce: Vec<u8>,
    pub(super) plugin: String,
}

impl Greeting {
    pub(super) fn parse(payload: &[u8]) -> Result<Self, WireError> {
        if payload.first() == Some(&0xFF) {
            return Err(WireError::Server(Box::new(MyError::parse(payload)?)));
        }
        let mut reader = Reader::new(payload);
        let protocol = reader.u8()?;
        if protocol != 10 {
            return Err(WireError::protocol(format!(
                "a greeting of protocol version {protocol}, not 10"
            )));
        }
        let greeting = Self::parse_v10(reader)?;
        let needed = capability::PROTOCOL_41
            | capability::SECURE_CONNECTION
            | capability::PLUGIN_AUTH
            | capability::DEPRECATE_EOF;
        if greeting.capabilities & needed != needed {
            return Err(WireError::protocol(format!(
                "a server or proxy of version {} that lacks parts of the protocol; MySQL 8.0 and MariaDB 10.11 have them",
                greeting.version
            )));
        }
        Ok(greeting)
    }

    fn parse_v10(mut reader: Reader<'_>) -> Result<Self, Malformed> {
        let version = String::from_utf8_lossy(reader.zero_ended()).into_owned();
        let connection_id = reader.u32()?;
        let mut nonce = reader.bytes(8)?.to_vec();
        reader.u8()?;
        let low = reader.u16()?;
        reader.u8()?;
        reader.u16()?;
        let high = reader.u16()?;
        let nonce_length = usize::from(reader.u8()?);
        reader.bytes(10)?;
        nonce.extend_from_slice(reader.bytes(nonce_length.saturating_sub(8).max(13))?);
        // The last byte is a zero that ends the text.
        nonce.truncate(20);
        let plugin = String::from_utf8_lossy(reader.zero_ended()).into_owned();
        let capabilities = u32::from(low) | u32::from(high) << 16;
        let is_mariadb = capabilities & capability::LONG_PASSWORD == 0
            || version.to_ascii_lowercase().contains("mariadb");
        // Old clients took the first digit of a version; MariaDB puts a fitting one in front of its own.
        let version = if is_mariadb {
            version
                .strip_prefix("5.5.5-")
                .map_or(version.clone(), str::to_owned)
        } else {
            version
        };
        let engine = if is_mariadb {
            Engine::MariaDb
        } else {
            Engine::MySql
        };
        Ok(Self {
            engine,
            version,
            connection_id,
            capabilities,
            nonce,
            plugin,
        })
    }

    /// The capabilities we ask for.
    pub(super) fn wanted(&self, options: &Options, allows_load: bool, encrypts: bool) -> u32 {
        use capability::{
            CONNECT_ATTRS, CONNECT_WITH_DB, DEPRECATE_EOF, LOCAL_FILES, LONG_FLAG, LONG_PASSWORD,
            PLUGIN_AUTH, PLUGIN_AUTH_LENENC, PROTOCOL_41, SECURE_CONNECTION, SSL, TRANSACTIONS,
        };
        let mut wanted = LONG_PASSWORD
            | LONG_FLAG
            | PROTOCOL_41
            | TRANSACTIONS
            | SECURE_CONNECTION
            | PLUGIN_AUTH
            | CONNECT_ATTRS
            | PLUGIN_AUTH_LENENC
            | DEPRECATE_EOF;
        if options.database.is_some() {
            wanted |= CONNECT_WITH_DB;
        }
        if allows_load {
            wanted |= LOCAL_FILES;
        }
        if self.engine == Engine::MariaDb {
            // With it set, MariaDB takes the client for one of MySQL; nothing else depends on it.
            wanted &= !LONG_PASSWORD;
        }
        let optional = CONNECT_ATTRS | PLUGIN_AUTH_LENENC | LONG_FLAG | LOCAL_FILES | TRANSACTIONS;
        wanted &= !optional | self.capabilities;
        if encrypts { wanted | SSL } else { wanted }
    }
}

/// The part of the answer that comes before the encryption.
pub(super) fn answer_head(capabilities: u32) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    out.extend_from_slice(&capabilities.to_le_bytes());
    out.extend_from_slice(&PACKET_BYTES_MAX.to_le_bytes());
    out.push(CHARSET);
    out.extend_from_slice(&[0; 23]);
    out
}

/// The whole answer: who signs in, and the answer to the plugin's challenge.
pub(super) fn answer(capabilities: u32, options: &Options, plugin: &str, proof: &[u8]) -> Vec<u8> {
    let mut out = answer_head(capabilities);
    put_zero_ended(&mut out, &options.user);
    if capabilities & capability::PLUGIN_AUTH_LENENC == 0 {
        // Every proof is shorter than 251 bytes, so that both forms are the same.
        debug_assert!(proof.len() < 251, "the proof of a first answer is a hash");
    }
    put_counted(&mut out, proof);
    if let Some(database) = options
        .database
        .as_ref()
        .filter(|_| capabilities & capability::CONNECT_WITH_DB != 0)
    {
        put_zero_ended(&mut out, database);
    }
    put_zero_ended(&mut out, plugin);
    if capabilities & capability::CONNECT_ATTRS != 0 {
        let mut attributes = Vec::new();
        for (name, value) in [
            ("program_name", "whimbrel"),
            ("_client_version", env!("CARGO_PKG_VERSION")),
        ] {
            put_counted(&mut attributes, name.as_bytes());
            put_counted(&mut attributes, value.as_bytes());
        }
        put_counted(&mut out, &attributes);
    }
    out
}

fn put_zero_ended(out: &mut Vec<u8>, text: &str) {
    // A zero byte would end the field early; no user or database has one in its name.
    out.extend(text.bytes().filter(|&byte| byte != 0));
    out.push(0);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn greeting(version: &str, low: u16, high: u16) -> Vec<u8> {
        let mut out = vec![10];
        out.extend_from_slice(version.as_bytes());
        out.push(0);
        out.extend_from_slice(&7_u32.to_le_bytes());
        out.extend_from_slice(b"12345678\0");
        out.extend_from_slice(&low.to_le_bytes());
        out.push(45);
        out.extend_from_slice(&[2, 0]);
        out.extend_from_slice(&high.to_le_bytes());
        out.push(21);
        out.extend_from_slice(&[0; 10]);
        out.extend_from_slice(b"90abcdefghij\0mysql_native_password\0");
        out
    }

    #[test]
    fn the_flavour_and_its_own_version_are_told_apart() {
        let mariadb = Greeting::parse(&greeting("5.5.5-10.11.19-MariaDB", 0xFFFE, 0xFFFF)).unwrap();
        assert_eq!(
            (mariadb.engine, mariadb.version.as_str()),
            (Engine::MariaDb, "10.11.19-MariaDB")
        );
        assert_eq!(mariadb.nonce, b"1234567890abcdefghij");
        let mysql = Greeting::parse(&greeting("9.7.4", 0xFFFF, 0xFFFF)).unwrap();
        assert_eq!(
            (mysql.engine, mysql.plugin.as_str()),
            (Engine::MySql, "mysql_native_password")
        );
    }

    #[test]
    fn greetings_cut_short_or_of_old_servers_are_errors() {
        let whole = greeting("9.7.4", 0xFFFF, 0xFFFF);
        for length in 0..40 {
            assert!(Greeting::parse(&whole[..length]).is_err(), "{length}");
        }
        assert!(Greeting::parse(&greeting("5.6.1", 0xFFFF, 0x00FF)).is_err());
        let early = Greeting::parse(b"\xff\x6a\x04Host is not allowed").unwrap_err();
        assert!(matches!(early, WireError::Server(error) if error.code == 1130));
    }

    #[test]
    fn files_are_offered_only_to_load() {
        let greeting = Greeting::parse(&greeting("9.7.4", 0xFFFF, 0xFFFF)).unwrap();
        let options = Options::new("h", "u");
        assert_eq!(
            greeting.wanted(&options, false, false) & capability::LOCAL_FILES,
            0
        );
        assert_ne!(
            greeting.wanted(&options, true, false) & capability::LOCAL_FILES,
            0
        );
    }
}
