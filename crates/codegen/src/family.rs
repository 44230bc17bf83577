//! Which file an operation and its shapes go to.

use std::collections::{BTreeMap, BTreeSet};

use crate::service::{Service, Shape};

/// Parts of operation names and their families; the first match counts.
const FAMILIES: &[(&str, &str)] = &[
    ("FleetAdvisor", "fleet_advisor"),
    ("Recommendation", "recommendations"),
    ("MetadataModel", "schema_conversion"),
    ("ConversionConfiguration", "schema_conversion"),
    ("ExtensionPack", "schema_conversion"),
    ("TargetSelectionRules", "schema_conversion"),
    ("DataMigration", "data_migrations"),
    ("DataProvider", "migration_projects"),
    ("InstanceProfile", "migration_projects"),
    ("MigrationProject", "migration_projects"),
    ("Assessment", "assessments"),
    ("SubnetGroup", "subnet_groups"),
    ("ReplicationInstance", "replication_instances"),
    ("EventSubscription", "events"),
    ("SubscriptionsToEventBridge", "events"),
    ("Event", "events"),
    ("TableStatistics", "table_statistics"),
    ("ReloadTables", "table_statistics"),
    ("ReplicationTask", "tasks"),
    ("ReplicationConfig", "serverless"),
    ("ReplicationTables", "serverless"),
    ("Replication", "serverless"),
    ("Connection", "connections"),
    ("Certificate", "certificates"),
    ("Endpoint", "endpoints"),
    ("Schemas", "schemas"),
    ("Tags", "tags"),
];

/// The family of an operation.
pub(crate) fn of_operation(name: &str) -> &'static str {
    let found = FAMILIES.iter().find(|(part, _)| name.contains(part));
    found.map_or("account", |(_, family)| family)
}

/// For each structure its family: that of the operations that use it, or `shared` when there are several.
pub(crate) fn of_shapes(service: &Service) -> BTreeMap<String, &'static str> {
    let mut users: BTreeMap<String, BTreeSet<&'static str>> = BTreeMap::new();
    for (name, operation) in &service.operations {
        let family = of_operation(name);
        for root in [&operation.input, &operation.output].into_iter().flatten() {
            mark(service, root, family, &mut users);
        }
    }
    users
        .into_iter()
        .map(|(shape, families)| {
            let mut families = families.into_iter();
            let family = match (families.next(), families.next()) {
                (Some(only), None) => only,
                _ => "shared",
            };
            (shape, family)
        })
        .collect()
}

fn mark(
    service: &Service,
    name: &str,
    family: &'static str,
    users: &mut BTreeMap<String, BTreeSet<&'static str>>,
) {
    match service.shapes.get(name) {
        Some(Shape::Structure { members, .. }) => {
            let is_new = users.entry(name.to_owned()).or_default().insert(family);
            for member in members.iter().filter(|_| is_new) {
                mark(service, &member.shape, family, users);
            }
        }
        Some(Shape::List { member, .. }) => mark(service, member, family, users),
        _ => {}
    }
}
