//! `--config FILE.toml`: flags from a file, underneath those of the command line.

use std::ffi::OsString;
use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use toml::Value;

use crate::output;

/// Replaces `--config FILE` by the flags in the file, put right after the command so that later
/// flags win. Keys are the long names of the flags: `batch = 32`, `json = true`, `weights = "…"`.
pub(crate) fn splice(mut arguments: Vec<OsString>) -> Result<Vec<OsString>> {
    let Some(position) = arguments
        .iter()
        .position(|argument| argument.to_string_lossy().split('=').next() == Some("--config"))
    else {
        return Ok(arguments);
    };
    let flag = arguments.remove(position);
    let path = match flag.to_string_lossy().split_once('=') {
        Some((_, path)) => PathBuf::from(path),
        None if position < arguments.len() => PathBuf::from(arguments.remove(position)),
        None => bail!("--config needs a file, as in `--config evaluate.toml`"),
    };
    if position < 2 {
        bail!(
            "--config comes after the command, as in `{} evaluate --config {}`",
            output::program(),
            path.display()
        );
    }
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("cannot read {}", path.display()))?;
    let table: toml::Table = text
        .parse()
        .with_context(|| format!("{} is no TOML", path.display()))?;
    let flags = table
        .iter()
        .map(|(key, value)| flags(key, value))
        .collect::<Result<Vec<_>>>();
    let flags = flags.with_context(|| path.display().to_string())?;
    arguments.splice(2..2, flags.into_iter().flatten());
    Ok(arguments)
}

fn flags(key: &str, value: &Value) -> Result<Vec<OsString>> {
    if key == "config" {
        bail!("`config` names another file of flags, which is not read; put its flags here");
    }
    let flag = format!("--{}", key.replace('_', "-"));
    let with = |value: String| Ok(vec![format!("{flag}={value}").into()]);
    match value {
        Value::Boolean(true) => Ok(vec![flag.into()]),
        Value::Boolean(false) => Ok(Vec::new()),
        Value::String(text) => with(text.clone()),
        Value::Integer(number) => with(number.to_string()),
        Value::Float(number) => with(number.to_string()),
        other => bail!(
            "`{key}` is {}, expected a string, a number, true or false",
            other.type_str()
        ),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn flags_of_the_file_come_before_those_of_the_command_line() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("c.toml");
        std::fs::write(
            &path,
            "batch = 3\njson = true\nquiet = false\nweights = 'a b'\n",
        )
        .unwrap();
        let line = ["xtask", "evaluate", "--batch", "5", "--config"]
            .map(OsString::from)
            .to_vec();
        let spliced = splice([line, vec![path.clone().into()]].concat()).unwrap();
        assert_eq!(
            spliced,
            [
                "xtask",
                "evaluate",
                "--batch=3",
                "--json",
                "--weights=a b",
                "--batch",
                "5"
            ]
            .map(OsString::from)
        );
        std::fs::write(&path, "config = 'other.toml'\n").unwrap();
        let line = ["xtask", "evaluate", "--config"]
            .map(OsString::from)
            .to_vec();
        let nested = splice([line, vec![path.clone().into()]].concat()).unwrap_err();
        assert!(format!("{nested:#}").contains("another file of flags"));
        std::fs::write(&path, "batch = [3]\n").unwrap();
        let line = ["xtask", "evaluate", &format!("--config={}", path.display())]
            .map(OsString::from)
            .to_vec();
        assert!(
            format!("{:#}", splice(line).unwrap_err())
                .contains("`batch` is array, expected a string")
        );
    }
}
