//! `whimbrel serve` and `whimbrel keys`.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::PathBuf;

use clap::{Args, Subcommand};

const SERVE_EXAMPLES: &str = "\
At the first start an administrator's access key is made and printed once, as `export AWS_…` lines. For automation,
WHIMBREL_ADMIN_ACCESS_KEY_ID and WHIMBREL_ADMIN_SECRET_ACCESS_KEY set it instead, and end the one that was there. Passwords of
endpoints are encrypted under the key file in the data folder, or under WHIMBREL_MASTER_KEY: 32 bytes in base64.

Examples:
  whimbrel serve
  whimbrel serve --listen 0.0.0.0:8080 --data-dir /var/lib/whimbrel --region eu-central-1
  aws dms describe-connections --endpoint-url http://127.0.0.1:8080
";

const KEYS_EXAMPLES: &str = "\
The service on the same data folder may run meanwhile: a new key can be used at once, and a deleted one no longer.

Examples:
  whimbrel keys create --description terraform
  whimbrel keys list
  whimbrel keys delete AKIAIOSFODNN7EXAMPLE
";

/// Where the service keeps everything.
#[derive(Clone, Debug, Args)]
pub(crate) struct DataDirArgs {
    /// Folder that holds everything the service keeps [default: $XDG_DATA_HOME/whimbrel or ~/.local/share/whimbrel]
    #[arg(long, value_name = "DIR", env = "WHIMBREL_DATA_DIR", global = true)]
    data_dir: Option<PathBuf>,
}

impl DataDirArgs {
    /// The folder as given, or the user's own.
    pub(crate) fn path(&self) -> PathBuf {
        let variable = |name| std::env::var_os(name).filter(|text| !text.is_empty());
        if let Some(path) = &self.data_dir {
            return path.clone();
        }
        variable("XDG_DATA_HOME")
            .map(PathBuf::from)
            .or_else(|| variable("HOME").map(|home| PathBuf::from(home).join(".local/share")))
            .map_or_else(
                || PathBuf::from("whimbrel-data"),
                |base| base.join("whimbrel"),
            )
    }
}

/// Reads an address with a port, or a name with one, of which the first address is taken.
fn listen_address(given: &str) -> Result<SocketAddr, String> {
    let wrong =
        |why: &str| format!("{why}; give ADDRESS:PORT, such as 127.0.0.1:8080 or localhost:8080");
    let mut found = given
        .to_socket_addrs()
        .map_err(|error| wrong(&error.to_string()))?;
    found.next().ok_or_else(|| wrong("the name has no address"))
}

/// Serves the AWS DMS API.
///
/// Clients are pointed at it by --endpoint-url, or by AWS_ENDPOINT_URL_DATABASE_MIGRATION_SERVICE.
#[derive(Clone, Debug, Args)]
#[command(after_long_help = SERVE_EXAMPLES)]
pub(crate) struct ServeArgs {
    /// Address and port to listen at
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "WHIMBREL_LISTEN",
        default_value = "127.0.0.1:8080",
        value_parser = listen_address
    )]
    pub(crate) listen: SocketAddr,
    #[command(flatten)]
    pub(crate) data_dir: DataDirArgs,
    /// Region in ARNs, for which requests must be signed
    #[arg(
        long,
        value_name = "REGION",
        env = "WHIMBREL_REGION",
        default_value = "us-east-1"
    )]
    pub(crate) region: String,
    /// Account in ARNs: twelve digits
    #[arg(
        long,
        value_name = "ID",
        env = "WHIMBREL_ACCOUNT_ID",
        default_value = "000000000000"
    )]
    pub(crate) account_id: String,
}

/// Makes, lists and deletes the access keys of the service.
#[derive(Clone, Debug, Args)]
#[command(after_long_help = KEYS_EXAMPLES, arg_required_else_help = true)]
pub(crate) struct KeysArgs {
    #[command(flatten)]
    pub(crate) data_dir: DataDirArgs,
    #[command(subcommand)]
    pub(crate) command: KeysCommand,
}

/// What to do with access keys.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Lists the keys, without their secrets
    List {
        /// Prints a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Makes a key and prints it: the secret is shown this once
    Create {
        /// What the key is for
        #[arg(long, value_name = "TEXT", default_value = "")]
        description: String,
        /// Prints a JSON object
        #[arg(long)]
        json: bool,
    },
    /// Deletes a key: requests signed with it are refused from then on
    Delete {
        /// The key's id
        #[arg(value_name = "ACCESS_KEY_ID")]
        id: String,
    },
}
