//! Signing in: what the server asks for, and how it proves that it knows the password itself.

use bytes::{Bytes, BytesMut};
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{
    ChannelBinding, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramSha256,
};
use postgres_protocol::message::frontend;

use super::WireError;
use super::connection::{Connection, Purpose, StartError, unexpected};
use super::stream::Message;
use crate::options::Options;

/// The name under which the server lists our connections.
const APPLICATION_NAME: &str = "whimbrel";

/// Some seconds of hashing, which nothing interrupts: a server that is none could ask for hours of it. PostgreSQL's own default is 4096.
const ITERATIONS_MAX: u64 = 10_000_000;

impl Connection {
    pub(super) async fn sign_in(
        &mut self,
        options: &Options,
        purpose: Purpose,
    ) -> Result<(), StartError> {
        let replication = match purpose {
            Purpose::Queries => None,
            Purpose::Replication => Some(("replication", "database")),
        };
        let parameters = [
            ("user", options.user.as_str()),
            ("database", &options.database),
            ("client_encoding", "UTF8"),
            ("application_name", APPLICATION_NAME),
        ];
        let mut out = BytesMut::new();
        frontend::startup_message(parameters.into_iter().chain(replication), &mut out)?;
        self.send(&out).await?;
        loop {
            let Message { kind, body } = self.stream.message().await?;
            match kind {
                b'R' => self.authenticate(&body, options).await?,
                b'S' => self.remember_parameter(&body),
                b'K' | b'N' | b'v' => {}
                b'Z' => return Ok(()),
                b'E' => return Err(WireError::server(&body).into()),
                other => return Err(unexpected(other, "signing in").into()),
            }
        }
    }

    async fn authenticate(&mut self, body: &[u8], options: &Options) -> Result<(), StartError> {
        let Some((kind, rest)) = body.split_first_chunk::<4>() else {
            return Err(WireError::protocol("a short authentication request").into());
        };
        let password = || {
            options
                .password
                .as_ref()
                .map(|secret| secret.expose().as_bytes())
                .ok_or_else(|| {
                    StartError::SignIn(
                        "the server asks for a password and none was given".to_owned(),
                    )
                })
        };
        let mut out = BytesMut::new();
        match u32::from_be_bytes(*kind) {
            0 => return Ok(()),
            3 => frontend::password_message(password()?, &mut out)?,
            5 => {
                let salt = rest
                    .first_chunk::<4>()
                    .ok_or_else(|| WireError::protocol("a short salt"))?;
                let hash = md5_hash(options.user.as_bytes(), password()?, *salt);
                frontend::password_message(hash.as_bytes(), &mut out)?;
            }
            10 => return self.scram(rest, password()?).await,
            other => {
                return Err(StartError::SignIn(format!(
                    "the server asks for sign-in method {other}; set scram-sha-256 or md5 for this user in pg_hba.conf"
                )));
            }
        }
        self.send(&out).await?;
        Ok(())
    }

    async fn scram(&mut self, mechanisms: &[u8], password: &[u8]) -> Result<(), StartError> {
        let offers = |name: &str| {
            mechanisms
                .split(|&byte| byte == 0)
                .any(|m| m == name.as_bytes())
        };
        let end_point = self.stream.tls_end_point();
        // With channel binding nobody in between, however trusted its certificate, can pass the sign-in on. Without it we say
        // whether we could have had it, so that an offer cut out on the way is noticed.
        let (mechanism, binding) = match end_point {
            Some(hash) if offers(SCRAM_SHA_256_PLUS) => (
                SCRAM_SHA_256_PLUS,
                ChannelBinding::tls_server_end_point(hash),
            ),
            Some(_) => (SCRAM_SHA_256, ChannelBinding::unrequested()),
            None => (SCRAM_SHA_256, ChannelBinding::unsupported()),
        };
        if !offers(mechanism) {
            return Err(StartError::SignIn(
                "the server does not offer SCRAM-SHA-256".to_owned(),
            ));
        }
        let mut scram = ScramSha256::new(password, binding);
        let mut out = BytesMut::new();
        frontend::sasl_initial_response(mechanism, scram.message(), &mut out)?;
        self.send(&out).await?;
        let challenge = self.sasl_message(11).await?;
        if iterations(&challenge).is_some_and(|count| count > ITERATIONS_MAX) {
            return Err(StartError::SignIn(format!(
                "the server wants the password hashed more than {ITERATIONS_MAX} times (scram_iterations)"
            )));
        }
        scram.update(&challenge)?;
        out.clear();
        frontend::sasl_response(scram.message(), &mut out)?;
        self.send(&out).await?;
        let last = self.sasl_message(12).await?;
        scram.finish(&last).map_err(|error| {
            StartError::SignIn(format!(
                "the server could not prove that it knows the password: {error}"
            ))
        })
    }

    async fn sasl_message(&mut self, expected: u32) -> Result<Bytes, StartError> {
        let Message { kind, body } = self.stream.message().await?;
        match (kind, body.first_chunk::<4>()) {
            (b'R', Some(code)) if u32::from_be_bytes(*code) == expected => Ok(body.slice(4..)),
            (b'E', _) => Err(WireError::server(&body).into()),
            (other, _) => Err(unexpected(other, "signing in").into()),
        }
    }
}

/// How often a server wants a password to be hashed: `r=…,s=…,i=4096`.
fn iterations(challenge: &[u8]) -> Option<u64> {
    let mut fields = challenge.split(|&byte| byte == b',');
    let digits = fields.find_map(|field| field.strip_prefix(b"i="))?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn iterations_are_read_from_a_challenge() {
        assert_eq!(iterations(b"r=abc,s=QSXCR+Q6sek8bf92,i=4096"), Some(4096));
        let most = u64::from(u32::MAX);
        assert_eq!(
            iterations(format!("r=a,s=b,i={most}").as_bytes()),
            Some(most)
        );
        assert_eq!(iterations(b"r=abc"), None);
    }
}
