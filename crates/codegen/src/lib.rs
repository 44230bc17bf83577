//! Generates the API's wire types, constraint tables and operation trait from the service model.
//!
//! `extract` reduces the model that PyPI's `botocore` ships to names, types, constraints, faults and paging, and checks it in as
//! `crates/codegen/model/dms.json`. Generation reads only that extract, so it gives the same on every machine.

mod emit;
mod extract;
mod family;
mod names;
mod service;
mod shapes;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use service::Service;

/// Runs the generator: no argument writes the generated files, `--check` compares them with what is checked in,
/// `extract --from FILE` renews the extract from a service model.
pub fn run(args: &[String]) -> Result<()> {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match args.as_slice() {
        [] => write(),
        ["--check"] => check(),
        ["extract", "--from", path] => extract::run(Path::new(path), &extract_path()),
        _ => bail!("usage: codegen [--check | extract --from service-2.json]"),
    }
}

fn crates_dir() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

fn extract_path() -> PathBuf {
    crates_dir().join("codegen/model/dms.json")
}

fn generated_dir() -> PathBuf {
    crates_dir().join("model/src/generated")
}

/// The generated files by name, formatted.
fn generate(into: &Path) -> Result<()> {
    let text = std::fs::read_to_string(extract_path()).context("read the extract of the model")?;
    let mut service: Service =
        serde_json::from_str(&text).context("read the extract of the model")?;
    service.allow_more_values();
    std::fs::create_dir_all(into)?;
    let mut paths = Vec::new();
    for (name, source) in emit::files(&service)? {
        let path = into.join(name);
        std::fs::write(&path, source)?;
        paths.push(path);
    }
    let config = crates_dir().join("../rustfmt.toml");
    let status = Command::new("rustfmt")
        .args(["--edition", "2024", "--config-path"])
        .arg(config)
        .args(&paths)
        .status()
        .context("run rustfmt")?;
    if !status.success() {
        bail!("rustfmt ended with {status}");
    }
    Ok(())
}

fn write() -> Result<()> {
    let dir = generated_dir();
    if dir.exists() {
        std::fs::remove_dir_all(&dir).context("remove the old files")?;
    }
    generate(&dir)
}

fn check() -> Result<()> {
    let fresh = tempfile::tempdir()?;
    generate(fresh.path())?;
    let (expected, found) = (read_dir(fresh.path())?, read_dir(&generated_dir())?);
    for (name, text) in &expected {
        if found
            .iter()
            .find(|(other, _)| other == name)
            .map(|(_, text)| text)
            != Some(text)
        {
            bail!(
                "crates/model/src/generated/{name} is not what the generator makes; run `cargo x codegen`"
            );
        }
    }
    if let Some((name, _)) = found
        .iter()
        .find(|(name, _)| expected.iter().all(|(other, _)| other != name))
    {
        bail!("crates/model/src/generated/{name} is not generated; run `cargo x codegen`");
    }
    Ok(())
}

fn read_dir(dir: &Path) -> Result<Vec<(String, String)>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).with_context(|| format!("read {}", dir.display()))? {
        let path = entry?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        files.push((name, std::fs::read_to_string(&path)?));
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_generated_code_is_what_the_generator_makes() {
        super::run(&["--check".to_owned()]).unwrap();
    }
}
