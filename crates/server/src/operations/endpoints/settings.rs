//! The settings of a message: taken apart into login, secrets and the rest, and put into the endpoint.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use whimbrel_core::{Engine, Secret};
use whimbrel_model as model;
use whimbrel_store::{Endpoint, EndpointRole};

use crate::context::Context;
use crate::endpoint_config::PASSWORD;
use crate::engine_catalog::{self, SettingType};
use crate::fault::{Fault, invalid_combination, invalid_value};
use crate::operations::json_object;

/// The member that names the secret with a login.
pub(super) const SECRET_ID: &str = "SecretsManagerSecretId";
/// The members that say where to sign in, in the order that [`super::wire`] fills them.
pub(super) const LOGIN: [&str; 4] = ["ServerName", "Port", "Username", "DatabaseName"];

/// Members of settings that hold a secret.
const SECRETS: &[&str] = &[
    PASSWORD,
    "AsmPassword",
    "SecurityDbEncryption",
    "SslClientKeyPassword",
    "SaslPassword",
    "AuthPassword",
];

/// Whether the name, in any case, is that of a secret.
pub(super) fn is_secret(name: &str) -> bool {
    SECRETS
        .iter()
        .any(|secret| secret.eq_ignore_ascii_case(name))
}

/// How given settings act on those that are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Members not given stay.
    Merge,
    /// The engine's structure, where given, is taken as a whole.
    Replace,
}

/// Where to sign in.
#[derive(Clone, Debug, Default)]
pub(super) struct Login {
    server_name: Option<String>,
    port: Option<i32>,
    username: Option<String>,
    database_name: Option<String>,
}

/// What a message says of login, secrets and engine settings.
#[derive(Debug, Default)]
pub(super) struct Given {
    login: Login,
    /// By path: `Password`, or `KafkaSettings.SaslPassword`.
    secrets: Vec<(String, Secret)>,
    /// By member, login and secrets taken out.
    structures: Vec<(String, Map<String, Value>)>,
}

impl Given {
    pub(super) fn of_create(message: &model::CreateEndpointMessage) -> Result<Self, Fault> {
        let login = Login {
            server_name: message.server_name.clone(),
            port: message.port,
            username: message.username.clone(),
            database_name: message.database_name.clone(),
        };
        Self::take_apart(login, message.password.as_ref(), json_object(message))
    }

    pub(super) fn of_modify(message: &model::ModifyEndpointMessage) -> Result<Self, Fault> {
        let login = Login {
            server_name: message.server_name.clone(),
            port: message.port,
            username: message.username.clone(),
            database_name: message.database_name.clone(),
        };
        Self::take_apart(login, message.password.as_ref(), json_object(message))
    }

    /// Whether a Secrets Manager secret is named, which holds a login.
    fn names_secret(&self) -> bool {
        let mut structures = self.structures.iter();
        structures.any(|(_, structure)| structure.contains_key(SECRET_ID))
    }

    fn has_login(&self) -> bool {
        let has_password = self.secrets.iter().any(|(path, _)| path == PASSWORD);
        has_password || self.login.server_name.is_some() || self.login.username.is_some()
    }

    fn take_apart(
        login: Login,
        password: Option<&model::SecretText>,
        message: Map<String, Value>,
    ) -> Result<Self, Fault> {
        let mut given = Self {
            login,
            ..Self::default()
        };
        given
            .secrets
            .extend(password.map(|password| (PASSWORD.to_owned(), Secret::new(password.expose()))));
        for (member, value) in message {
            let Value::Object(mut structure) = value else {
                continue;
            };
            if !member.ends_with("Settings") {
                continue;
            }
            for name in SECRETS {
                let Some(Value::String(secret)) = structure.shift_remove(*name) else {
                    continue;
                };
                let path = if *name == PASSWORD {
                    PASSWORD.to_owned()
                } else {
                    format!("{member}.{name}")
                };
                given.secrets.push((path, Secret::new(secret)));
            }
            given.login.take_from(&mut structure)?;
            structure.retain(|_, value| !value.is_null());
            given.structures.push((member, structure));
        }
        Ok(given)
    }

    /// Puts everything into the endpoint, secrets sealed. A login that is given takes the place of a Secrets Manager secret, and the other way round.
    pub(super) fn apply(
        self,
        context: &Context,
        endpoint: &mut Endpoint,
        mode: Mode,
    ) -> Result<(), Fault> {
        match (self.names_secret(), self.has_login()) {
            (true, false) => forget_login(endpoint),
            (false, true) => forget_secret(endpoint),
            _ => {}
        }
        let own = engine_catalog::settings_member(&endpoint.engine_name);
        for (member, structure) in self.structures {
            if own != Some(member.as_str()) {
                return Err(invalid_combination(format!(
                    "{member} does not apply to the engine {}",
                    endpoint.engine_name
                )));
            }
            let settings = endpoint.settings.entry(member).or_default();
            if mode == Mode::Replace {
                settings.clear();
            }
            settings.extend(structure);
        }
        // Settings of an engine that the endpoint no longer is.
        endpoint
            .settings
            .retain(|member, _| own == Some(member.as_str()));
        let Login {
            server_name,
            port,
            username,
            database_name,
        } = self.login;
        put(&mut endpoint.server_name, server_name);
        put(&mut endpoint.port, port);
        put(&mut endpoint.username, username);
        put(&mut endpoint.database_name, database_name);
        for (path, secret) in self.secrets {
            let place = Endpoint::secret_context(&endpoint.id, &path);
            // Sealed anew it would look like another one, and the endpoint as if it were modified.
            let is_the_same = endpoint.secrets.get(&path).is_some_and(|sealed| {
                let before = context.vault.open_secret(place, sealed);
                before.is_ok_and(|before| before.expose() == secret.expose())
            });
            if !is_the_same {
                let sealed = context.vault.seal(place, &secret);
                endpoint.secrets.insert(path, sealed);
            }
        }
        Ok(())
    }
}

fn forget_login(endpoint: &mut Endpoint) {
    endpoint.server_name = None;
    endpoint.port = None;
    endpoint.username = None;
    endpoint.secrets.remove(PASSWORD);
}

fn forget_secret(endpoint: &mut Endpoint) {
    for settings in endpoint.settings.values_mut() {
        for name in [SECRET_ID, "SecretsManagerAccessRoleArn"] {
            settings.shift_remove(name);
        }
    }
}

fn put<T>(slot: &mut Option<T>, given: Option<T>) {
    if given.is_some() {
        *slot = given;
    }
}

impl Login {
    /// What the engine's structure says goes before what stands beside it.
    fn take_from(&mut self, structure: &mut Map<String, Value>) -> Result<(), Fault> {
        let [server_name, port, username, database_name] = LOGIN.map(|name| {
            structure
                .shift_remove(name)
                .filter(|value| !value.is_null())
        });
        let text = |value: Option<Value>| value.as_ref().and_then(Value::as_str).map(str::to_owned);
        put(&mut self.server_name, text(server_name));
        put(&mut self.username, text(username));
        put(&mut self.database_name, text(database_name));
        if let Some(port) = port {
            let number = port.as_i64().and_then(|port| i32::try_from(port).ok());
            self.port = Some(number.ok_or_else(|| {
                invalid_value("The parameter port must be between 1 and 65535.".to_owned())
            })?);
        }
        Ok(())
    }
}

/// A member of the engine's structure.
pub(super) fn member<'a>(endpoint: &'a Endpoint, name: &str) -> Option<&'a Value> {
    endpoint
        .settings
        .values()
        .find_map(|settings| settings.get(name))
}

/// Checks the settings of an engine that we connect to, in its structure and among its attributes, whose names are in lower case.
pub(super) fn check(
    endpoint: &Endpoint,
    engine: Engine,
    attributes: &BTreeMap<String, String>,
) -> Result<(), Fault> {
    let attribute = |name: &str| {
        let text = attributes.get(&name.to_ascii_lowercase());
        text.filter(|text| !text.trim().is_empty())
            .map(|text| Value::String(text.clone()))
    };
    let given = |name: &str| member(endpoint, name).cloned().or_else(|| attribute(name));
    let wants_one = given("TargetDbType").is_some_and(|kind| {
        let kind = kind.as_str().unwrap_or_default();
        engine_catalog::is_same_word(kind, engine_catalog::SPECIFIC_DATABASE)
    });
    let database = endpoint.database_name.as_deref().unwrap_or_default();
    if wants_one && database.is_empty() && endpoint.role == EndpointRole::Target {
        return Err(invalid_combination(format!(
            "TargetDbType {} needs a DatabaseName",
            engine_catalog::SPECIFIC_DATABASE
        )));
    }
    let settings = engine_catalog::settings(engine).iter();
    let settings = settings.map(|setting| (setting.name, setting.kind));
    let switches = engine_catalog::SWITCHES.iter();
    let switches = switches.map(|name| (*name, SettingType::Bool));
    for (name, kind) in settings.chain(switches) {
        let Some(value) = given(name) else {
            continue;
        };
        if let Some(allowed) = allowed_instead(kind, &value) {
            return Err(invalid_value(format!(
                "The endpoint setting {name} must be {allowed}, not {value}"
            )));
        }
    }
    Ok(())
}

/// What the value of a setting must be, if it is not. Attributes are all texts.
fn allowed_instead(kind: SettingType, value: &Value) -> Option<String> {
    let text = value.as_str();
    match kind {
        SettingType::Int(min, max) => {
            let number = value
                .as_i64()
                .or_else(|| text.and_then(|text| text.trim().parse().ok()));
            let is_in =
                number.is_some_and(|number| (i64::from(min)..=i64::from(max)).contains(&number));
            (!is_in).then(|| format!("between {min} and {max}"))
        }
        SettingType::OneOf(values) => {
            let is_one = text.is_some_and(|text| {
                values
                    .iter()
                    .any(|word| engine_catalog::is_same_word(text, word))
            });
            (!is_one).then(|| format!("one of {}", values.join(", ")))
        }
        SettingType::Bool => {
            let is_switch = value.is_boolean() || text.and_then(engine_catalog::switched).is_some();
            (!is_switch).then(|| "true or false".to_owned())
        }
        SettingType::Text => None,
    }
}
