//! Structures and the tables of their constraints.

use std::collections::BTreeSet;
use std::fmt::Write;

use anyhow::{Context, Result};

use crate::names::{constant_case, snake_case, type_name};
use crate::service::{Service, Shape};

/// The Rust type of a shape.
fn rust_type(service: &Service, name: &str, member: &str) -> Result<String> {
    Ok(
        match service
            .shapes
            .get(name)
            .with_context(|| format!("no shape {name}"))?
        {
            Shape::Structure { .. } => type_name(name),
            Shape::List { member: item, .. } => {
                format!("Vec<{}>", rust_type(service, item, member)?)
            }
            Shape::String { is_sensitive, .. } if *is_sensitive || is_secret(member) => {
                "SecretText".to_owned()
            }
            Shape::Blob if is_secret(member) => "SecretText".to_owned(),
            Shape::String { .. } | Shape::Blob => "String".to_owned(),
            Shape::Boolean => "bool".to_owned(),
            Shape::Integer => "i32".to_owned(),
            Shape::Long => "i64".to_owned(),
            Shape::Double => "f64".to_owned(),
            Shape::Timestamp => "Timestamp".to_owned(),
        },
    )
}

/// The model flags only some of the members that hold a secret. A wallet may hold a private key.
fn is_secret(member: &str) -> bool {
    ["Password", "Wallet"]
        .iter()
        .any(|word| member.contains(word))
}

/// A structure with its members; required ones are not optional.
pub(crate) fn structure(service: &Service, name: &str) -> Result<String> {
    let Some(Shape::Structure {
        members, is_union, ..
    }) = service.shapes.get(name)
    else {
        anyhow::bail!("{name} is no structure");
    };
    let mut source = String::new();
    let note = if *is_union {
        "; one member at most is given"
    } else {
        ""
    };
    writeln!(source, "/// Wire shape `{name}`{note}.")?;
    writeln!(
        source,
        "#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]"
    )?;
    writeln!(source, "#[serde(default)]")?;
    writeln!(source, "pub struct {} {{", type_name(name))?;
    for member in members {
        let ty = rust_type(service, &member.shape, &member.name)?;
        let what = note_of(service, &member.shape);
        writeln!(source, "/// `{}`{what}", member.name)?;
        if member.required {
            writeln!(source, "#[serde(rename = \"{}\")]", member.name)?;
            writeln!(source, "pub {}: {ty},", snake_case(&member.name))?;
        } else {
            writeln!(
                source,
                "#[serde(rename = \"{}\", skip_serializing_if = \"Option::is_none\")]",
                member.name
            )?;
            writeln!(source, "pub {}: Option<{ty}>,", snake_case(&member.name))?;
        }
    }
    writeln!(source, "}}\n")?;
    Ok(source)
}

fn note_of(service: &Service, shape: &str) -> String {
    match service.shapes.get(shape) {
        Some(Shape::Timestamp) => ", seconds since 1970".to_owned(),
        Some(Shape::Blob) => ", base64".to_owned(),
        Some(Shape::String { values, .. }) if !values.is_empty() => {
            format!(": {}", values.join(", "))
        }
        _ => String::new(),
    }
}

/// All shapes that requests reach.
pub(crate) fn input_shapes(service: &Service) -> BTreeSet<String> {
    let mut reached = BTreeSet::new();
    let mut open: Vec<&str> = service
        .operations
        .values()
        .filter_map(|operation| operation.input.as_deref())
        .collect();
    while let Some(name) = open.pop() {
        if !reached.insert(name.to_owned()) {
            continue;
        }
        match service.shapes.get(name) {
            Some(Shape::Structure { members, .. }) => {
                open.extend(members.iter().map(|member| member.shape.as_str()));
            }
            Some(Shape::List { member, .. }) => open.push(member),
            _ => {}
        }
    }
    reached
}

/// The constraint table of one shape, as a static that others refer to.
pub(crate) fn constraint(service: &Service, name: &str) -> Result<String> {
    let shape = service
        .shapes
        .get(name)
        .with_context(|| format!("no shape {name}"))?;
    let body = match shape {
        Shape::Structure { members, .. } => {
            let mut list = String::new();
            for member in members {
                write!(
                    list,
                    "Member {{ name: \"{}\", is_required: {}, shape: &{} }},",
                    member.name,
                    member.required,
                    constant_case(&member.shape)
                )?;
            }
            format!("Shape::Structure(&[{list}])")
        }
        Shape::List { member, min } => format!(
            "Shape::List {{ member: &{}, min: {} }}",
            constant_case(member),
            min.unwrap_or(0)
        ),
        Shape::String { values, max, .. } => {
            let max = max.map_or_else(|| "None".to_owned(), |max| format!("Some({max})"));
            format!("Shape::Text {{ values: &{values:?}, length_max: {max} }}")
        }
        Shape::Boolean => "Shape::Boolean".to_owned(),
        Shape::Integer => "Shape::Integer".to_owned(),
        Shape::Long => "Shape::Long".to_owned(),
        Shape::Double => "Shape::Number".to_owned(),
        Shape::Timestamp => "Shape::Timestamp".to_owned(),
        Shape::Blob => "Shape::Blob".to_owned(),
    };
    Ok(format!(
        "pub(crate) static {}: Shape = {body};\n",
        constant_case(name)
    ))
}
