//! `whimbrel serve`.

use std::error::Error;
use std::sync::Arc;

use whimbrel_server::{
    EngineDataPlane, KeyPair, RunningServer, ServeConfig, ServeError, make_connector, serve,
};
use whimbrel_store::{KeySource, Secret, StoreError, VaultError};

use crate::args::ServeArgs;
use crate::failure::{Exit, Failure};
use crate::interrupt;
use crate::logging::Screen;
use crate::output::{self, print};

const KEY_ID_VARIABLE: &str = "WHIMBREL_ADMIN_ACCESS_KEY_ID";
const KEY_SECRET_VARIABLE: &str = "WHIMBREL_ADMIN_SECRET_ACCESS_KEY";

const STOPPING: &str =
    "stopping: running tasks go on with the next start; Ctrl-C again ends at once\n";

/// Runs the command until a signal ends it.
pub(crate) async fn run(args: &ServeArgs, screen: &Screen) -> Result<Exit, Failure> {
    let config = ServeConfig {
        listen: args.listen,
        data_dir: args.data_dir.path(),
        region: args.region.clone(),
        account_id: args.account_id.clone(),
        master_key: KeySource::from_env(),
        administrator: administrator(variable(KEY_ID_VARIABLE), variable(KEY_SECRET_VARIABLE))?,
    };
    let stop = interrupt::watch(screen, STOPPING)?;
    let data_plane = Arc::new(EngineDataPlane::new(Arc::new(make_connector)));
    let server = serve(config, data_plane)
        .await
        .map_err(|error| explain(&error))?;
    if !server.address().ip().is_loopback() {
        tracing::warn!(
            address = %server.address(),
            "requests travel in the clear, passwords of endpoints included: put a proxy with TLS before this address"
        );
    }
    greet(args, &server);
    stop.cancelled().await;
    server.shut_down().await;
    Ok(Exit::Done)
}

/// Tells a new administrator's key, once.
fn greet(args: &ServeArgs, server: &RunningServer) {
    let Some(pair) = server.new_administrator() else {
        return;
    };
    print(&format!(
        "This key is shown once. To use it:\n\n\
         export AWS_ACCESS_KEY_ID={}\n\
         export AWS_SECRET_ACCESS_KEY={}\n\
         export AWS_REGION={region}\n\
         export AWS_DEFAULT_REGION={region}\n\
         export AWS_ENDPOINT_URL_DATABASE_MIGRATION_SERVICE=http://{}\n\n",
        pair.id,
        pair.secret.expose(),
        server.address(),
        region = args.region,
    ));
    if output::is_lost() {
        tracing::error!(
            "the administrator's key cannot be written to the standard output and is lost; stop the service and have another made: whimbrel keys create"
        );
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
}

/// The administrator's key that the environment gives: both halves or none.
fn administrator(id: Option<String>, secret: Option<String>) -> Result<Option<KeyPair>, Failure> {
    match (id, secret) {
        (None, None) => Ok(None),
        (Some(id), Some(secret)) => {
            // A signature names the key between slashes.
            if !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
                return Err(Failure::usage(format!(
                    "{KEY_ID_VARIABLE} has characters other than letters and digits"
                )));
            }
            let secret = Secret::new(secret);
            Ok(Some(KeyPair { id, secret }))
        }
        (Some(_), None) | (None, Some(_)) => Err(Failure::usage(format!(
            "only one of {KEY_ID_VARIABLE} and {KEY_SECRET_VARIABLE} is set"
        ))
        .with_help("set both, or none to have a key made at the first start")),
    }
}

fn explain(error: &ServeError) -> Failure {
    match error {
        ServeError::AccountId(_) | ServeError::Region(_) => Failure::usage(error.to_string()),
        ServeError::Listen { .. } => Failure::new(Exit::Failed, chain(error))
            .with_help("stop what listens there, or choose another address with --listen"),
        ServeError::Vault(error) => explain_store(error),
        ServeError::Store(error) => Failure::new(Exit::Failed, chain(error)),
    }
}

/// A data folder that cannot be opened.
pub(crate) fn explain_store(error: &VaultError) -> Failure {
    match error {
        VaultError::Store(StoreError::DataDirInUse { path, pid }) => {
            let pid = pid.map_or_else(String::new, |pid| format!(", process {pid}"));
            let path = path.display();
            let message = format!("another whimbrel has the data folder {path} open{pid}");
            Failure::new(Exit::Failed, message)
                .with_help("stop it first, or choose another folder with --data-dir")
        }
        VaultError::Store(StoreError::Missing(_)) => Failure::new(Exit::Failed, chain(error))
            .with_help("name the folder of the service with --data-dir; whimbrel serve makes it"),
        VaultError::Store(StoreError::Io { .. }) => Failure::new(Exit::Failed, chain(error))
            .with_help(
                "see to the owner and the rights of the folder, or choose another with --data-dir",
            ),
        _ => Failure::new(Exit::Failed, chain(error)),
    }
}

/// An error with its causes.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let words = error.to_string();
        // An error that only passes another on has its words.
        if !text.ends_with(&words) {
            text = format!("{text}: {words}");
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_administrator_key_is_given_whole_or_not_at_all() {
        let text = |text: &str| Some(text.to_owned());
        assert!(administrator(None, None).unwrap().is_none());
        let pair = administrator(text("AKIA1"), text("x/y+z"))
            .unwrap()
            .unwrap();
        assert_eq!((pair.id.as_str(), pair.secret.expose()), ("AKIA1", "x/y+z"));
        for (id, secret) in [
            (text("AKIA1"), None),
            (None, text("canary")),
            (text("a/b"), text("canary")),
        ] {
            let failure = administrator(id, secret).unwrap_err();
            assert_eq!(failure.exit, Exit::Usage);
            assert!(!failure.text().contains("canary"));
        }
    }
}
