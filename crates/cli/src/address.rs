//! The address of a database, read from a URL, with the password held apart: what is printed never has it.

use std::fmt;
use std::path::Path;

use percent_encoding::percent_decode_str;
use url::Url;
use whimbrel_core::{Engine, Secret};

use crate::args::UrlText;
use crate::failure::Failure;

/// Which end of a migration an address is, for messages and for the place its password may come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Rows come from here.
    Source,
    /// Rows go here.
    Target,
    /// The only database of the command.
    Only,
}

impl End {
    fn article(self) -> &'static str {
        match self {
            Self::Source => "the source URL",
            Self::Target => "the target URL",
            Self::Only => "the URL",
        }
    }

    fn password_variable(self) -> &'static str {
        match self {
            Self::Source => "WHIMBREL_SOURCE_PASSWORD",
            Self::Target => "WHIMBREL_TARGET_PASSWORD",
            Self::Only => "WHIMBREL_PASSWORD",
        }
    }
}

/// A database's address. Prints without its password and parameters.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Address {
    /// Without the password.
    url: Url,
    engine: Engine,
    password: Option<Secret>,
}

const ESCAPE_HELP: &str = "write it as postgres://USER:PASSWORD@HOST:PORT/DATABASE, mysql://… or mariadb://…, with special characters of \
     user and password percent-encoded: @ as %40, / as %2F, # as %23, : as %3A, ? as %3F, % as %25";

impl Address {
    /// Reads a URL, and takes the password from the file, the URL or the environment, the first that has one.
    pub(crate) fn resolve(
        text: &UrlText,
        end: End,
        password_file: Option<&Path>,
    ) -> Result<Self, Failure> {
        let mut address = Self::parse(text.expose(), end)?;
        if let Some(path) = password_file {
            address.password = Some(read_password(path)?);
        } else if address.password.is_none() {
            address.password = std::env::var(end.password_variable()).ok().map(Secret::new);
        }
        Ok(address)
    }

    /// Reads a URL. No error repeats it: where it is malformed, nobody knows which part is the password.
    fn parse(text: &str, end: End) -> Result<Self, Failure> {
        let what = end.article();
        let wrong =
            |reason: &str| Failure::usage(format!("{what} {reason}")).with_help(ESCAPE_HELP);
        if !text.contains("://") {
            return Err(wrong("has no scheme"));
        }
        let mut url =
            Url::parse(text).map_err(|error| wrong(&format!("cannot be read: {error}")))?;
        let engine = match url.scheme() {
            "postgres" | "postgresql" => Engine::Postgres,
            "mysql" => Engine::MySql,
            "mariadb" => Engine::MariaDb,
            scheme => {
                return Err(wrong(&format!(
                    "names an engine that is not known: {scheme}"
                )));
            }
        };
        // With an unescaped `#`, `/` or `?` in the password, a part of it would stand where host, path or query belong.
        if url.fragment().is_some() {
            return Err(wrong("has a # in it"));
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(wrong("names no host"));
        }
        if url.username().is_empty() || url.path().contains('@') {
            return Err(wrong("names no user before the host"));
        }
        let password = url
            .password()
            .map(|password| {
                decoded(password).ok_or_else(|| wrong("has a password that is not UTF-8"))
            })
            .transpose()?
            .map(Secret::new);
        url.set_password(None)
            .map_err(|()| wrong("names no host"))?;
        Ok(Self {
            url,
            engine,
            password,
        })
    }

    /// The engine that the scheme names.
    pub(crate) fn engine(&self) -> Engine {
        self.engine
    }

    /// The whole URL for the connector.
    pub(crate) fn expose(&self) -> Secret {
        let mut url = self.url.clone();
        if let Some(password) = &self.password {
            let encoded = percent_encoding::utf8_percent_encode(
                password.expose(),
                percent_encoding::NON_ALPHANUMERIC,
            );
            url.set_password(Some(&encoded.to_string()))
                .expect("a URL with a host takes a password");
        }
        Secret::new(String::from(url))
    }

    /// The database that the path names.
    pub(crate) fn database(&self) -> Option<String> {
        decoded(self.url.path().trim_start_matches('/')).filter(|name| !name.is_empty())
    }

    /// Host, port and, for PostgreSQL, database: two addresses with equal places lead to the same tables by the same names.
    /// Different places may do so too, by another name of the host.
    pub(crate) fn place(&self) -> String {
        let host = self.url.host_str().unwrap_or_default().to_lowercase();
        let host = match host.as_str() {
            "127.0.0.1" | "[::1]" => "localhost",
            host => host,
        };
        let port = self.url.port().unwrap_or(self.engine.default_port());
        match self.engine {
            Engine::Postgres => {
                let user = decoded(self.url.username()).unwrap_or_default();
                let database = self.database().unwrap_or(user);
                format!("postgres://{host}:{port}/{database}")
            }
            Engine::MySql | Engine::MariaDb => format!("mysql://{host}:{port}"),
        }
    }

    /// Whether schemas and databases are one thing here.
    pub(crate) fn is_mysql_family(&self) -> bool {
        self.engine != Engine::Postgres
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut url = self.url.clone();
        url.set_query(None);
        let password = self.password.is_some().then_some("***");
        match url.set_password(password) {
            Ok(()) => f.write_str(url.as_str()),
            Err(()) => f.write_str(self.engine.name()),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

fn decoded(part: &str) -> Option<String> {
    let text = percent_decode_str(part).decode_utf8().ok()?;
    Some(text.into_owned())
}

fn read_password(path: &Path) -> Result<Secret, Failure> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        Failure::usage(format!(
            "the password file {} cannot be read: {error}",
            path.display()
        ))
    })?;
    Ok(Secret::new(text.lines().next().unwrap_or_default()))
}

/// A text that may be a URL, safe to print: everything between the scheme and the last `@` is left out.
pub(crate) fn redact(text: &str) -> String {
    match text.split_once("://") {
        None => text.to_owned(),
        Some((scheme, rest)) => match rest.rsplit_once('@') {
            Some((_, place)) => format!("{scheme}://***@{place}"),
            None => format!("{scheme}://***"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Address, Failure> {
        Address::parse(text, End::Source)
    }

    #[test]
    fn addresses_print_without_password_and_parameters() {
        let address =
            parse("postgresql://an%40na:can%2Fary@Db.example.net:6543/my%20shop?sslmode=require")
                .unwrap();
        assert_eq!(
            address.to_string(),
            "postgresql://an%40na:***@Db.example.net:6543/my%20shop"
        );
        assert_eq!(address.database().as_deref(), Some("my shop"));
        assert_eq!(
            address.expose().expose(),
            "postgresql://an%40na:can%2Fary@Db.example.net:6543/my%20shop?sslmode=require"
        );
        assert!(!format!("{address:?}").contains("can"));
    }

    #[test]
    fn places_see_through_users_and_spellings() {
        let place = |text| parse(text).unwrap().place();
        assert_eq!(
            place("postgres://a:b@127.0.0.1/shop"),
            place("postgresql://c@localhost:5432/shop?sslmode=require")
        );
        assert_eq!(place("mysql://a@h/x"), place("mariadb://b@H:3306/y"));
        assert_ne!(place("postgres://a@h/x"), place("postgres://a@h/y"));
        assert_eq!(place("postgres://x@h"), place("postgres://y@h/x"));
    }

    #[test]
    fn malformed_urls_are_refused_without_repeating_them() {
        for text in [
            "me:canary@host/db",
            "postgres://me:12#canary@host/db",
            "postgres://me:12/canary@host/db",
            "postgres://me:12?canary@host/db",
            "postgres://me:canary/12@host/db",
            "postgres://:canary@host/db",
            "postgres://me:canary@/db",
            "oracle://me:canary@host/db",
            "mysql:me:canary@host",
        ] {
            let failure = parse(text).unwrap_err();
            assert!(!format!("{failure:?}").contains("canary"), "{failure:?}");
        }
    }

    #[test]
    fn passwords_with_any_character_reach_the_connector() {
        let mut address = parse("mysql://me@host/db").unwrap();
        address.password = Some(Secret::new("p@:/?#% é"));
        let exposed = address.expose();
        let url = Url::parse(exposed.expose()).unwrap();
        assert_eq!(
            decoded(url.password().unwrap()).as_deref(),
            Some("p@:/?#% é")
        );
        assert_eq!(url.host_str(), Some("host"));
    }

    #[test]
    fn redaction_keeps_only_the_scheme_and_what_follows_the_last_at() {
        assert_eq!(redact("mysql://me:p@ss@host/db"), "mysql://***@host/db");
        assert_eq!(redact("mysql://me:pass"), "mysql://***");
        assert_eq!(redact("public.%"), "public.%");
    }
}
