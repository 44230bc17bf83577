//! From a socket to a signed-in connection.

use whimbrel_core::Secret;
use whimbrel_net::{Io, TlsFailure, TlsMode, encrypt};

use super::auth::{Plugin, caching_sha2_proof, clear, encrypted, native_proof};
use super::handshake::{Greeting, answer, answer_head, capability};
use super::packet::Reader;
use super::stream::Stream;
use super::{MyError, WireError};
use crate::options::Options;

/// Packets that a sign-in may take; a server that asks for more is not one.
const SIGN_IN_PACKETS_MAX: usize = 16;

/// Why no connection came about.
#[derive(Debug)]
pub(crate) enum StartError {
    /// The server does not offer TLS.
    TlsNotOffered,
    /// TLS failed.
    Tls(TlsFailure),
    /// The server asks for a way to sign in that we do not have, or must not use here.
    Plugin(String),
    /// The exchange failed, or the server refused.
    Wire(WireError),
}

impl<E: Into<WireError>> From<E> for StartError {
    fn from(error: E) -> Self {
        Self::Wire(error.into())
    }
}

/// A signed-in socket.
pub(super) struct SignedIn {
    pub(super) stream: Stream,
    pub(super) greeting: Greeting,
    /// `TLSv1.3` or so; `None` for plain.
    pub(super) tls: Option<String>,
}

/// Greets, encrypts if the options say so, and signs in.
pub(super) async fn sign_in(
    io: Io,
    options: &Options,
    allows_load: bool,
) -> Result<SignedIn, StartError> {
    let mut stream = Stream::new(io);
    let greeting = Greeting::parse(&stream.packet().await?)?;
    let encrypts = options.tls != TlsMode::None;
    if encrypts && greeting.capabilities & capability::SSL == 0 {
        return Err(StartError::TlsNotOffered);
    }
    let capabilities = greeting.wanted(options, allows_load, encrypts);
    let mut tls = None;
    if encrypts {
        stream.send(&answer_head(capabilities)).await?;
        let (socket, sequence) = stream.into_plain()?;
        let encrypted = encrypt(socket, options.tls_settings())
            .await
            .map_err(StartError::Tls)?;
        let io = Io::Tls(Box::new(encrypted));
        tls = io.tls_version();
        stream = Stream::encrypted(io, sequence);
    }
    let challenge = Challenge {
        // A plugin that we do not know may be only the server's default: the user's own is asked for by a switch.
        plugin: Plugin::named(&greeting.plugin).unwrap_or(Plugin::Native),
        nonce: greeting.nonce.clone(),
    };
    let mut exchange = Exchange {
        stream: &mut stream,
        options,
        challenge,
    };
    let proof = exchange.proof()?;
    let plugin = exchange.challenge.plugin.name();
    exchange
        .stream
        .send(&answer(capabilities, options, plugin, &proof))
        .await?;
    exchange.run().await?;
    Ok(SignedIn {
        stream,
        greeting,
        tls,
    })
}

struct Challenge {
    plugin: Plugin,
    nonce: Vec<u8>,
}

/// The packets back and forth after our answer.
struct Exchange<'a> {
    stream: &'a mut Stream,
    options: &'a Options,
    challenge: Challenge,
}

impl Exchange<'_> {
    fn password(&self) -> &str {
        self.options.password.as_ref().map_or("", Secret::expose)
    }

    async fn run(&mut self) -> Result<(), StartError> {
        for _ in 0..SIGN_IN_PACKETS_MAX {
            let packet = self.stream.packet().await?;
            match packet.first() {
                Some(0x00) => return Ok(()),
                Some(0x01) => self.answer_more(&packet[1..]).await?,
                Some(0xFE) => self.switch(&packet[1..]).await?,
                Some(0xFF) => {
                    return Err(WireError::Server(Box::new(MyError::parse(&packet)?)).into());
                }
                _ => return Err(WireError::protocol("an unknown packet during sign-in").into()),
            }
        }
        Err(WireError::protocol("a sign-in that does not end").into())
    }

    /// The server wants another plugin than it first named.
    async fn switch(&mut self, body: &[u8]) -> Result<(), StartError> {
        let mut reader = Reader::new(body);
        let name = String::from_utf8_lossy(reader.zero_ended()).into_owned();
        if name.is_empty() {
            return Err(StartError::Plugin(
                "the server asks for the password form of MySQL 4.0".to_owned(),
            ));
        }
        let plugin = Plugin::named(&name).ok_or_else(|| {
            StartError::Plugin(format!(
                "the server asks for the authentication plugin {name}, which is not supported"
            ))
        })?;
        let nonce = reader.rest();
        self.challenge = Challenge {
            plugin,
            nonce: nonce.strip_suffix(&[0]).unwrap_or(nonce).to_vec(),
        };
        let proof = self.proof()?;
        self.stream.send(&proof).await?;
        Ok(())
    }

    /// What the plugin answers first.
    fn proof(&self) -> Result<Vec<u8>, StartError> {
        let password = self.password();
        let nonce = &self.challenge.nonce;
        Ok(match self.challenge.plugin {
            Plugin::Native => native_proof(password, nonce),
            Plugin::CachingSha2 => caching_sha2_proof(password, nonce),
            Plugin::Sha256 if password.is_empty() => vec![0],
            Plugin::Sha256 if self.is_encrypted() => clear(password),
            Plugin::Sha256 => vec![Plugin::Sha256.key_request()],
            Plugin::Clear
                if matches!(self.options.tls, TlsMode::VerifyCa | TlsMode::VerifyFull) =>
            {
                clear(password)
            }
            Plugin::Clear => {
                return Err(StartError::Plugin(
                    "the server asks for the password in clear text, which is given only to servers whose certificate is checked"
                        .to_owned(),
                ));
            }
        })
    }

    fn is_encrypted(&self) -> bool {
        self.options.tls != TlsMode::None
    }

    /// More of the plugin's own exchange: a verdict of the fast path, or the public key that we asked for.
    async fn answer_more(&mut self, body: &[u8]) -> Result<(), StartError> {
        const FAST_PATH_DONE: &[u8] = &[3];
        const FULL_PATH: &[u8] = &[4];
        let plugin = self.challenge.plugin;
        match (plugin, body) {
            (Plugin::CachingSha2, FAST_PATH_DONE) => {}
            (Plugin::CachingSha2, FULL_PATH) => {
                let proof = if self.is_encrypted() {
                    clear(self.password())
                } else {
                    vec![plugin.key_request()]
                };
                self.stream.send(&proof).await?;
            }
            (Plugin::CachingSha2 | Plugin::Sha256, key) if !self.is_encrypted() => {
                let proof = encrypted(self.password(), &self.challenge.nonce, key)
                    .map_err(StartError::Plugin)?;
                self.stream.send(&proof).await?;
            }
            _ => return Err(WireError::protocol("an unexpected packet during sign-in").into()),
        }
        Ok(())
    }
}
