//! What endpoints of each engine can be told: TLS modes, settings, extra connection attributes.

use whimbrel_core::Engine;
use whimbrel_store::{EndpointRole, SslMode};

/// Every engine name that the API knows, with the name for people.
const ENGINES: &[(&str, &str)] = &[
    ("mysql", "MySQL"),
    ("postgres", "PostgreSQL"),
    ("mariadb", "MariaDB"),
    ("aurora", "Amazon Aurora MySQL"),
    ("aurora-postgresql", "Amazon Aurora PostgreSQL"),
    ("aurora-serverless", "Amazon Aurora Serverless MySQL"),
    (
        "aurora-postgresql-serverless",
        "Amazon Aurora Serverless PostgreSQL",
    ),
    ("gcp-mysql", "Google Cloud for MySQL"),
    ("oracle", "Oracle"),
    ("sqlserver", "Microsoft SQL Server"),
    ("azuredb", "Microsoft Azure SQL Database"),
    (
        "azure-sql-managed-instance",
        "Microsoft Azure SQL Managed Instance",
    ),
    ("babelfish", "Babelfish for Aurora PostgreSQL"),
    ("sybase", "SAP Sybase ASE"),
    ("db2", "IBM Db2 LUW"),
    ("db2-zos", "IBM Db2 for z/OS"),
    ("mongodb", "MongoDB"),
    ("docdb", "Amazon DocumentDB"),
    ("redshift", "Amazon Redshift"),
    ("redshift-serverless", "Amazon Redshift Serverless"),
    ("opensearch", "Amazon OpenSearch Service"),
    ("elasticsearch", "Elasticsearch"),
    ("s3", "Amazon S3"),
    ("dynamodb", "Amazon DynamoDB"),
    ("kinesis", "Amazon Kinesis Data Streams"),
    ("kafka", "Apache Kafka"),
    ("neptune", "Amazon Neptune"),
    ("redis", "Redis"),
    ("dms-transfer", "DMS Transfer"),
];

/// Every engine name that the API knows. Endpoints of all of them are kept; [`connects_to`] says which can be used.
pub(crate) fn engine_names() -> impl Iterator<Item = &'static str> {
    ENGINES.iter().map(|(name, _)| *name)
}

/// The engine names that we connect to, with the name for people.
pub(crate) fn supported() -> impl Iterator<Item = (&'static str, &'static str)> {
    ENGINES
        .iter()
        .copied()
        .filter(|(name, _)| connects_to(name).is_some())
}

/// The engine that an API name stands for, if it is one that we connect to.
pub(crate) fn connects_to(engine_name: &str) -> Option<Engine> {
    match engine_name {
        "postgres" | "aurora-postgresql" | "aurora-postgresql-serverless" => Some(Engine::Postgres),
        "mysql" | "aurora" | "aurora-serverless" | "gcp-mysql" => Some(Engine::MySql),
        "mariadb" => Some(Engine::MariaDb),
        _ => None,
    }
}

/// The engine's name for people.
pub(crate) fn display_name(engine_name: &str) -> &'static str {
    ENGINES
        .iter()
        .find(|(name, _)| *name == engine_name)
        .map_or("", |(_, display)| display)
}

/// The member of the API that holds an engine's own settings.
pub(crate) fn settings_member(engine_name: &str) -> Option<&'static str> {
    Some(match engine_name {
        "postgres" | "aurora-postgresql" | "aurora-postgresql-serverless" => "PostgreSQLSettings",
        "mysql" | "mariadb" | "aurora" | "aurora-serverless" => "MySQLSettings",
        "gcp-mysql" => "GcpMySQLSettings",
        "oracle" => "OracleSettings",
        "sqlserver" | "azuredb" | "azure-sql-managed-instance" | "babelfish" => {
            "MicrosoftSQLServerSettings"
        }
        "sybase" => "SybaseSettings",
        "db2" | "db2-zos" => "IBMDb2Settings",
        "mongodb" => "MongoDbSettings",
        "docdb" => "DocDbSettings",
        "redshift" | "redshift-serverless" => "RedshiftSettings",
        "redis" => "RedisSettings",
        "s3" => "S3Settings",
        "kafka" => "KafkaSettings",
        "kinesis" => "KinesisSettings",
        "dynamodb" => "DynamoDbSettings",
        "opensearch" | "elasticsearch" => "ElasticsearchSettings",
        "neptune" => "NeptuneSettings",
        "dms-transfer" => "DmsTransferSettings",
        _ => return None,
    })
}

/// Whether an endpoint of the engine is a server that one signs in to, with name, port and user.
pub(crate) fn has_login(engine_name: &str) -> bool {
    !matches!(
        engine_name,
        "s3" | "kafka"
            | "kinesis"
            | "dynamodb"
            | "opensearch"
            | "elasticsearch"
            | "neptune"
            | "redis"
            | "dms-transfer"
    )
}

/// Whether the structure with an engine's own settings tells where its server is.
pub(crate) fn tells_server(engine_name: &str) -> bool {
    has_login(engine_name) || engine_name == "redis"
}

/// The modes that the service offers for the engine.
pub(crate) fn ssl_modes(engine_name: &str) -> &'static [SslMode] {
    const ALL: [SslMode; 4] = [
        SslMode::None,
        SslMode::Require,
        SslMode::VerifyCa,
        SslMode::VerifyFull,
    ];
    match (connects_to(engine_name), engine_name) {
        (Some(Engine::MySql | Engine::MariaDb), _) => {
            &[SslMode::None, SslMode::VerifyCa, SslMode::VerifyFull]
        }
        (_, "kafka" | "s3" | "dynamodb") => &[SslMode::None],
        _ => &ALL,
    }
}

/// The type of a setting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SettingType {
    Text,
    Bool,
    /// Inclusive bounds.
    Int(i32, i32),
    OneOf(&'static [&'static str]),
}

/// One setting of an engine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    pub(crate) name: &'static str,
    pub(crate) kind: SettingType,
    pub(crate) default: Option<&'static str>,
    pub(crate) units: Option<&'static str>,
    /// The end it acts on; `None`: both.
    pub(crate) role: Option<EndpointRole>,
}

const SOURCE: Option<EndpointRole> = Some(EndpointRole::Source);
const TARGET: Option<EndpointRole> = Some(EndpointRole::Target);

const fn setting(
    name: &'static str,
    kind: SettingType,
    role: Option<EndpointRole>,
    default: Option<&'static str>,
) -> Setting {
    Setting {
        name,
        kind,
        default,
        units: None,
        role,
    }
}

const fn measured(setting: Setting, units: &'static str) -> Setting {
    Setting {
        units: Some(units),
        ..setting
    }
}

use SettingType::{Bool, Int, OneOf, Text};

const MAX: i32 = i32::MAX;

const POSTGRES: &[Setting] = &[
    setting("AfterConnectScript", Text, None, None),
    setting("CaptureDdls", Bool, SOURCE, Some("true")),
    measured(
        setting("MaxFileSize", Int(1, 1_048_576), TARGET, Some("32768")),
        "KB",
    ),
    setting("DdlArtifactsSchema", Text, SOURCE, Some("public")),
    measured(
        setting("ExecuteTimeout", Int(1, MAX), None, Some("60")),
        "seconds",
    ),
    setting("FailTasksOnLobTruncation", Bool, SOURCE, Some("false")),
    setting("HeartbeatEnable", Bool, SOURCE, Some("false")),
    setting("HeartbeatSchema", Text, SOURCE, Some("public")),
    measured(
        setting("HeartbeatFrequency", Int(1, MAX), SOURCE, Some("5")),
        "minutes",
    ),
    setting("SlotName", Text, SOURCE, None),
    setting(
        "PluginName",
        OneOf(&["no-preference", "test-decoding", "pglogical"]),
        SOURCE,
        Some("pglogical"),
    ),
    setting("TrimSpaceInChar", Bool, None, Some("true")),
    setting("MapBooleanAsBoolean", Bool, None, Some("false")),
    setting("MapJsonbAsClob", Bool, SOURCE, Some("false")),
    setting(
        "MapLongVarcharAs",
        OneOf(&["wstring", "clob", "nclob"]),
        SOURCE,
        Some("wstring"),
    ),
    setting(
        "DatabaseMode",
        OneOf(&["default", "babelfish"]),
        TARGET,
        Some("default"),
    ),
    setting("BabelfishDatabaseName", Text, TARGET, None),
    setting("DisableUnicodeSourceFilter", Bool, SOURCE, Some("false")),
    setting(
        "AuthenticationMethod",
        OneOf(&["password", "iam"]),
        None,
        Some("password"),
    ),
];

/// The values of `TargetDbType`.
pub(crate) const SPECIFIC_DATABASE: &str = "specific-database";
pub(crate) const MULTIPLE_DATABASES: &str = "multiple-databases";

const MYSQL: &[Setting] = &[
    setting("AfterConnectScript", Text, None, None),
    setting("CleanSourceMetadataOnMismatch", Bool, SOURCE, Some("false")),
    measured(
        setting("EventsPollInterval", Int(1, 60), SOURCE, Some("5")),
        "seconds",
    ),
    setting(
        "TargetDbType",
        OneOf(&[SPECIFIC_DATABASE, MULTIPLE_DATABASES]),
        TARGET,
        Some(MULTIPLE_DATABASES),
    ),
    measured(
        setting("MaxFileSize", Int(1, 1_048_576), TARGET, Some("32768")),
        "KB",
    ),
    setting("ParallelLoadThreads", Int(1, 5), TARGET, Some("1")),
    setting("ServerTimezone", Text, SOURCE, None),
    measured(
        setting("ExecuteTimeout", Int(1, MAX), None, Some("60")),
        "seconds",
    ),
    setting(
        "AuthenticationMethod",
        OneOf(&["password", "iam"]),
        None,
        Some("password"),
    ),
];

/// Whether two spellings are one value: attributes say `MULTIPLE_DATABASES` where the API's structures say `multiple-databases`.
pub(crate) fn is_same_word(text: &str, word: &str) -> bool {
    text.trim().replace('_', "-").eq_ignore_ascii_case(word)
}

/// What a text switches; attributes are written in all of these ways.
pub(crate) fn switched(text: &str) -> Option<bool> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" | "y" | "yes" | "1" => Some(true),
        "false" | "n" | "no" | "0" => Some(false),
        _ => None,
    }
}

/// The settings of an engine beside those for signing in.
pub(crate) fn settings(engine: Engine) -> &'static [Setting] {
    match engine {
        Engine::Postgres => POSTGRES,
        Engine::MySql | Engine::MariaDb => MYSQL,
    }
}

/// Attributes that are switches and no settings of the API, in lower case.
pub(crate) const SWITCHES: &[&str] = &["mapunboundednumericasstring"];

/// Extra connection attributes that are no settings of the API, in lower case.
const POSTGRES_ATTRIBUTES: &[&str] = &[
    "mapunboundednumericasstring",
    "unboundedvarcharmaxsize",
    "consumemonotonicevents",
    "fetchcachesize",
    "connectiontimeout",
    "loadusingcsv",
    "securitydbpropertiesfilepath",
];
const MYSQL_ATTRIBUTES: &[&str] = &[
    "skiptablesuspensionforpartitionddl",
    "ignoreopenxatransactionscheck",
    "charsetmapping",
    "connectiontimeout",
    "loadusingcsv",
    "initstmt",
    "resourcebasedparallelload",
];

/// The attributes that are no settings of the API.
#[cfg(test)]
pub(crate) fn attributes(engine: Engine) -> &'static [&'static str] {
    match engine {
        Engine::Postgres => POSTGRES_ATTRIBUTES,
        Engine::MySql | Engine::MariaDb => MYSQL_ATTRIBUTES,
    }
}

/// Whether an attribute (in lower case) is known for the engine.
pub(crate) fn knows_attribute(engine: Engine, name: &str) -> bool {
    let more = match engine {
        Engine::Postgres => POSTGRES_ATTRIBUTES,
        Engine::MySql | Engine::MariaDb => MYSQL_ATTRIBUTES,
    };
    more.contains(&name)
        || settings(engine)
            .iter()
            .any(|setting| setting.name.eq_ignore_ascii_case(name))
}
