//! `whimbrel keys`.

use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use whimbrel_server::{ADMINISTRATOR, KeyPair, create_key, list_keys, remove_key};
use whimbrel_store::{AccessKey, Embedded, EpochMs, KeySource, Store, StoreError, Vault};

use crate::args::{KeysArgs, KeysCommand};
use crate::failure::{Exit, Failure};
use crate::output::{self, print, print_json};
use crate::progress::aligned;
use crate::serve::{chain, explain_store};

/// Runs the command.
pub(crate) async fn run(args: &KeysArgs) -> Result<Exit, Failure> {
    let path = args.data_dir.path();
    let embedded = Embedded::open_beside(&path, &KeySource::from_env())
        .await
        .map_err(|error| explain_store(&error))?;
    let store = embedded.store();
    let done = carry_out(&args.command, &*store, &embedded.vault()).await;
    store.close().await;
    done.map_err(|error| Failure::new(Exit::Failed, chain(&error)))?
}

/// Does it. The outer error is the store's, the inner the user's.
async fn carry_out(
    command: &KeysCommand,
    store: &dyn Store,
    vault: &Vault,
) -> Result<Result<Exit, Failure>, StoreError> {
    match command {
        KeysCommand::List { json } => list(&list_keys(store).await?, *json),
        KeysCommand::Create { description, .. } if description == ADMINISTRATOR => {
            let message = format!(
                "the description {ADMINISTRATOR} marks the key that WHIMBREL_ADMIN_ACCESS_KEY_ID replaces"
            );
            let failure = Failure::new(Exit::Usage, message);
            return Ok(Err(failure.with_help("describe the key in other words")));
        }
        KeysCommand::Create { description, json } => {
            let pair = create_key(store, vault, description).await?;
            created(&pair, *json);
            if output::is_lost() {
                remove_key(store, &pair.id).await?;
                return Ok(Err(untold()));
            }
        }
        KeysCommand::Delete { id } if remove_key(store, id).await? => {
            print(&format!("deleted {id}\n"));
        }
        KeysCommand::Delete { id } => {
            let failure = Failure::new(Exit::Failed, format!("there is no access key {id}"));
            return Ok(Err(
                failure.with_help("whimbrel keys list shows those that are there")
            ));
        }
    }
    Ok(Ok(Exit::Done))
}

fn list(keys: &[AccessKey], is_json: bool) {
    if is_json {
        let keys: Vec<_> = keys
            .iter()
            .map(|key| {
                json!({
                    "access_key_id": key.id.as_str(),
                    "description": key.description,
                    "created_at": moment(key.created_at),
                })
            })
            .collect();
        print_json(&json!(keys));
        return;
    }
    let mut rows = vec![["access key id", "created", "description"].map(str::to_owned)];
    rows.extend(keys.iter().map(|key| {
        [
            key.id.as_str().to_owned(),
            moment(key.created_at),
            key.description.clone(),
        ]
    }));
    print(&aligned(&rows));
}

fn created(pair: &KeyPair, is_json: bool) {
    if is_json {
        print_json(&json!({
            "access_key_id": pair.id,
            "secret_access_key": pair.secret.expose(),
        }));
    } else {
        print(&format!(
            "export AWS_ACCESS_KEY_ID={}\nexport AWS_SECRET_ACCESS_KEY={}\n",
            pair.id,
            pair.secret.expose()
        ));
    }
}

/// A secret is shown once, so a key whose secret nobody has read is of no use.
fn untold() -> Failure {
    let message = "the key cannot be written to the standard output, so none was made";
    Failure::new(Exit::Failed, message)
        .with_help("see to the place where the output goes, then run the command again")
}

/// A moment as programs and people write it, to the second.
fn moment(at: EpochMs) -> String {
    OffsetDateTime::from_unix_timestamp(at.0.div_euclid(1000))
        .ok()
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_else(|| "unknown".to_owned())
}
