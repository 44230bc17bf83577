use std::borrow::Cow;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use thiserror::Error;
use url::Url;
use whimbrel_core::Secret;

use crate::TlsMode;

/// A connection URL that cannot be understood. The text never holds the password.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct InvalidUrl(pub String);

/// What the URLs of a kind of server look like.
#[derive(Clone, Copy, Debug)]
pub struct UrlForm {
    /// For messages: `a PostgreSQL server`.
    pub server: &'static str,
    /// The schemes, the usual one of each server first.
    pub schemes: &'static [&'static str],
    /// For messages: `postgres://`.
    pub begins: &'static str,
    /// For messages: `postgres://USER:PASSWORD@HOST/DATABASE`.
    pub example: &'static str,
}

/// `scheme://user:password@host:port/database?sslmode=…&sslrootcert=FILE&connect_timeout=SECONDS`, its parts decoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerUrl {
    /// One of the form's.
    pub scheme: String,
    /// Name or address, the latter without brackets.
    pub host: String,
    /// Where it is given.
    pub port: Option<u16>,
    /// Never empty.
    pub user: String,
    /// Where it is given.
    pub password: Option<Secret>,
    /// Where it is given; never empty.
    pub database: Option<String>,
    /// [`TlsMode::None`] where it is not given.
    pub tls: TlsMode,
    /// What the file holds that is named.
    pub root_certificate: Option<String>,
    /// Where it is given.
    pub connect_timeout: Option<Duration>,
}

impl ServerUrl {
    /// Reads a URL. Parts may be percent-encoded.
    pub fn parse(url: &str, form: UrlForm) -> Result<Self, InvalidUrl> {
        let invalid = |what: &str| InvalidUrl(format!("the URL of {} {what}", form.server));
        let url = Url::parse(url).map_err(|error| invalid(&format!("cannot be read: {error}")))?;
        if !form.schemes.contains(&url.scheme()) {
            return Err(invalid(&format!("must begin with {}", form.begins)));
        }
        let decode = |part: &str, name: &str| {
            percent_decode_str(part)
                .decode_utf8()
                .map(Cow::into_owned)
                .map_err(|_| invalid(&format!("has a {name} that is not UTF-8")))
        };
        let host = url.host_str().filter(|host| !host.is_empty());
        let host = host.ok_or_else(|| invalid("must name a host"))?;
        let user = decode(url.username(), "user")?;
        if user.is_empty() {
            return Err(invalid(&format!("must name a user: {}", form.example)));
        }
        let password = url.password().map(|text| decode(text, "password"));
        let database = decode(url.path().trim_start_matches('/'), "database")?;
        let mut parsed = Self {
            scheme: url.scheme().to_owned(),
            host: decode(host.trim_matches(['[', ']']), "host")?,
            port: url.port(),
            user,
            password: password.transpose()?.map(Secret::new),
            database: Some(database).filter(|database| !database.is_empty()),
            tls: TlsMode::None,
            root_certificate: None,
            connect_timeout: None,
        };
        for (name, value) in url.query_pairs() {
            parsed.set(&name, &value).map_err(|what| invalid(&what))?;
        }
        Ok(parsed)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "sslmode" => self.tls = tls_mode(value)?,
            "sslrootcert" => {
                let pem = std::fs::read_to_string(value).map_err(|error| {
                    format!("names a root certificate {value} that cannot be read: {error}")
                })?;
                self.root_certificate = Some(pem);
            }
            "connect_timeout" => {
                let seconds = value.parse().ok().filter(|&seconds| seconds > 0);
                let seconds =
                    seconds.ok_or("has a connect_timeout that is no number of seconds")?;
                self.connect_timeout = Some(Duration::from_secs(seconds));
            }
            _ => {
                return Err(format!(
                    "has an unknown parameter {name}; known are sslmode, sslrootcert and connect_timeout"
                ));
            }
        }
        Ok(())
    }
}

fn tls_mode(name: &str) -> Result<TlsMode, String> {
    match name {
        "none" | "disable" => Ok(TlsMode::None),
        "require" => Ok(TlsMode::Require),
        "verify-ca" => Ok(TlsMode::VerifyCa),
        "verify-full" => Ok(TlsMode::VerifyFull),
        _ => Err(format!(
            "has sslmode={name}; use disable (or none), require, verify-ca or verify-full"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORM: UrlForm = UrlForm {
        server: "a test server",
        schemes: &["test", "tests"],
        begins: "test://",
        example: "test://USER:PASSWORD@HOST/DATABASE",
    };

    #[test]
    fn parts_are_read_with_their_escapes() {
        let url = ServerUrl::parse(
            "tests://an%40na:p%2Fw%20d@db.example.net:6543/my%20shop?sslmode=verify-full&connect_timeout=3",
            FORM,
        )
        .unwrap();
        assert!(!format!("{url:?}").contains("p/w d"));
        assert_eq!(
            url,
            ServerUrl {
                scheme: "tests".to_owned(),
                host: "db.example.net".to_owned(),
                port: Some(6543),
                user: "an@na".to_owned(),
                password: Some(Secret::new("p/w d")),
                database: Some("my shop".to_owned()),
                tls: TlsMode::VerifyFull,
                root_certificate: None,
                connect_timeout: Some(Duration::from_secs(3)),
            }
        );
        let bare = ServerUrl::parse("test://me@[::1]", FORM).unwrap();
        assert_eq!((bare.host.as_str(), bare.port), ("::1", None));
        assert_eq!((bare.database, bare.password), (None, None));
    }

    #[test]
    fn what_is_wrong_is_said_and_the_password_kept() {
        for (url, expected) in [
            ("other://a:canary@b/c", "must begin with test://"),
            ("test://:canary@h/c", "must name a user: test://USER"),
            ("test://a:canary@/c", "empty host"),
            (
                "test://a:canary@h/c?sslmode=prefer",
                "use disable (or none), require, verify-ca",
            ),
            (
                "test://a:canary@h/c?sslmode=allow",
                "use disable (or none), require",
            ),
            ("test://a:canary@h/c?x=1", "unknown parameter x"),
            (
                "test://a:canary@h/c?connect_timeout=0",
                "no number of seconds",
            ),
            (
                "test://a:canary@h/c?sslrootcert=/nonexistent",
                "cannot be read",
            ),
            ("test://a:canary@h:99999/c", "cannot be read"),
            ("test://a:canary@h/%ff", "a database that is not UTF-8"),
        ] {
            let error = ServerUrl::parse(url, FORM).unwrap_err().to_string();
            assert!(error.contains(expected), "{url}: {error}");
            assert!(!error.contains("canary"), "{error}");
        }
    }
}
