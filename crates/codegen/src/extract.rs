//! From the service model to the extract.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::service::{Member, Operation, Service, Shape};

/// Reads a service model (`service-2.json`, unpacked, with `paginators-1.json` beside it) and writes the extract.
pub(crate) fn run(from: &Path, to: &Path) -> Result<()> {
    let model = read_json(from)?;
    let paginators = read_json(&from.with_file_name("paginators-1.json"))?;
    let paged = paginators["pagination"].as_object().context("paginators")?;
    let mut operations = BTreeMap::new();
    for (name, operation) in object(&model, "operations")? {
        let shape = |member: &str| operation[member]["shape"].as_str().map(str::to_owned);
        let faults = operation["errors"].as_array().into_iter().flatten();
        operations.insert(
            name.clone(),
            Operation {
                input: shape("input"),
                output: shape("output"),
                faults: faults
                    .filter_map(|f| f["shape"].as_str().map(str::to_owned))
                    .collect(),
                is_paged: paged.contains_key(name),
            },
        );
    }
    let mut shapes = BTreeMap::new();
    for (name, shape) in object(&model, "shapes")? {
        let shape = extract_shape(shape).with_context(|| format!("shape {name}"))?;
        shapes.insert(name.clone(), shape);
    }
    let target_prefix = model["metadata"]["targetPrefix"]
        .as_str()
        .context("targetPrefix")?;
    let service = Service {
        target_prefix: target_prefix.to_owned(),
        operations,
        shapes,
    };
    if let Some(parent) = to.parent() {
        std::fs::create_dir_all(parent)?;
    }
    std::fs::write(to, serde_json::to_string_pretty(&service)? + "\n")?;
    Ok(())
}

fn read_json(path: &Path) -> Result<Value> {
    let text = std::fs::read_to_string(path).with_context(|| {
        format!(
            "read {} (unpack it first if it ends in .gz)",
            path.display()
        )
    })?;
    Ok(serde_json::from_str(&text)?)
}

fn object<'a>(model: &'a Value, name: &str) -> Result<&'a serde_json::Map<String, Value>> {
    model[name]
        .as_object()
        .with_context(|| format!("the model has no {name}"))
}

fn extract_shape(shape: &Value) -> Result<Shape> {
    let flag = |name: &str| shape[name].as_bool().unwrap_or(false);
    Ok(match shape["type"].as_str().context("type")? {
        "structure" => Shape::Structure {
            members: members(shape)?,
            is_union: flag("union"),
            is_fault: flag("exception"),
        },
        "list" => Shape::List {
            member: shape["member"]["shape"]
                .as_str()
                .context("member")?
                .to_owned(),
            min: shape["min"].as_u64(),
        },
        "string" => Shape::String {
            values: shape["enum"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(|value| value.as_str().map(str::to_owned))
                .collect(),
            max: shape["max"].as_u64(),
            is_sensitive: flag("sensitive"),
        },
        "boolean" => Shape::Boolean,
        "integer" => Shape::Integer,
        "long" => Shape::Long,
        "double" => Shape::Double,
        "timestamp" => Shape::Timestamp,
        "blob" => Shape::Blob,
        other => bail!("unknown type {other}"),
    })
}

fn members(shape: &Value) -> Result<Vec<Member>> {
    let required: Vec<&str> = shape["required"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    object(shape, "members")?
        .iter()
        .map(|(name, member)| {
            Ok(Member {
                name: name.clone(),
                shape: member["shape"].as_str().context("member shape")?.to_owned(),
                required: required.contains(&name.as_str()),
            })
        })
        .collect()
}
