//! Operation handlers, one module per resource.
//!
//! A handler parses, checks, writes the intended state in one transaction, and answers. It does not do the work: reconcilers do.

mod assessments;
mod catalog;
mod certificates;
mod connections;
mod endpoints;
mod events;
mod instances;
mod maintenance;
mod schemas;
mod service;
mod subnet_groups;
mod table_statistics;
mod tags;
mod tasks;

pub(crate) use assessments::values as assessed_values;
pub(crate) use events::KEPT_MS as EVENTS_KEPT_MS;
pub(crate) use instances::pending;
#[cfg(test)]
pub(crate) use instances::window;
pub(crate) use service::Service;
pub(crate) use subnet_groups::standby_zone;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use whimbrel_model as model;
use whimbrel_store::EpochMs;

use crate::fault::Fault;
use crate::listing::Filters;

fn filters(given: Option<Vec<model::Filter>>, known: &[&'static str]) -> Result<Filters, Fault> {
    let given = given
        .into_iter()
        .flatten()
        .map(|filter| (filter.name, filter.values));
    Filters::parse(given, known)
}

fn timestamp(at: EpochMs) -> model::Timestamp {
    model::Timestamp::from_millis(at.0)
}

fn epoch_ms(at: model::Timestamp) -> EpochMs {
    EpochMs(at.millis())
}

/// A structure of the wire as JSON under its names there.
fn json_object(structure: &impl Serialize) -> Map<String, Value> {
    match serde_json::to_value(structure) {
        Ok(Value::Object(members)) => members,
        Ok(_) | Err(_) => Map::new(),
    }
}

fn from_json_object<T: DeserializeOwned>(members: &Map<String, Value>) -> Option<T> {
    serde_json::from_value(Value::Object(members.clone())).ok()
}

#[cfg(test)]
mod tests;
