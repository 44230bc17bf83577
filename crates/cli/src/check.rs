//! `whimbrel check`.

use serde_json::json;
use whimbrel_connector::UnreadLog;

use crate::address::{Address, End};
use crate::args::CheckArgs;
use crate::endpoint::connector;
use crate::failure::{Exit, Failure};
use crate::output::{print, print_json};

/// Runs the command.
pub(crate) async fn run(args: &CheckArgs) -> Result<Exit, Failure> {
    let address = Address::resolve(&args.url, End::Only, args.password_file.as_deref())?;
    let checked = check(&address).await;
    if args.json {
        let event = match &checked {
            Ok(found) => json!({
                "url": address.to_string(),
                "ok": true,
                "engine": found.engine,
                "version": found.version,
                "tls": found.tls,
                "schemas": found.schemas,
                "unread_logs": found.unread_logs.iter().map(|unread| json!({
                    "message": unread.message,
                    "help": unread.remedy,
                })).collect::<Vec<_>>(),
            }),
            Err(failure) => json!({
                "url": address.to_string(),
                "ok": false,
                "error": failure.message,
                "help": failure.help,
                "exit_code": failure.exit.code(),
            }),
        };
        print_json(&event);
    }
    let found = checked?;
    if !args.json {
        print(&format!(
            "{address}\n  engine   {}\n  version  {}\n  TLS      {}\n  schemas  {}\n",
            found.engine,
            found.version,
            found.tls.as_deref().unwrap_or("none"),
            if found.schemas.is_empty() {
                "none".to_owned()
            } else {
                found.schemas.join(", ")
            },
        ));
        for unread in &found.unread_logs {
            print(&format!(
                "warning: {}\n  help: {}\n",
                unread.message, unread.remedy
            ));
        }
    }
    Ok(Exit::Done)
}

struct Found {
    engine: &'static str,
    version: String,
    tls: Option<String>,
    schemas: Vec<String>,
    /// Log that the server keeps for tasks that do not run.
    unread_logs: Vec<UnreadLog>,
}

async fn check(address: &Address) -> Result<Found, Failure> {
    let connector = connector(address)?;
    let info = connector.check().await;
    let info = info.map_err(|error| Failure::connect(&error))?;
    let schemas = connector
        .schemas()
        .await
        .map_err(|error| Failure::database(&error))?;
    let unread_logs = connector
        .unread_logs()
        .await
        .map_err(|error| Failure::database(&error))?;
    Ok(Found {
        engine: info.engine.name(),
        version: info.version,
        tls: info.tls,
        schemas,
        unread_logs,
    })
}
