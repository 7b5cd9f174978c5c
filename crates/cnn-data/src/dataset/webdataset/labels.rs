//! What the members beside an image say of its class.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde_json::Value;

use crate::Error;
use crate::dataset::files::quoted;

/// The keys that a sample's JSON may have its class under, the usual ones first.
const KEYS: &[&str] = &[
    "label",
    "cls",
    "class",
    "category",
    "class_name",
    "label_name",
    "category_name",
    "class_id",
    "label_id",
    "category_id",
    "target",
];

/// Files beside the archives that name the classes.
pub(super) const NAME_FILES: &[&str] = &[
    "classnames.txt",
    "class_names.txt",
    "classes.txt",
    "classnames.json",
    "class_names.json",
    "classes.json",
];

/// Bytes of a member that says a label, and of a file that names classes.
pub(super) const MAX_BYTES: u64 = 1 << 20;

/// Characters of a class's name: more are a caption.
const MAX_NAME: usize = 200;

/// The most classes.
const MAX_CLASSES: usize = 1 << 16;

/// A class, as a member says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Label {
    Number(i64),
    Name(String),
    /// A text that is no name of a class.
    Caption,
}

/// The members that say labels, those that are believed first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Teller {
    Cls,
    Json,
    Txt,
}

impl Teller {
    /// What a member with this ending tells.
    pub(super) fn of_ending(ending: &str) -> Option<Self> {
        match ending {
            "cls" => Some(Self::Cls),
            "json" => Some(Self::Json),
            "txt" => Some(Self::Txt),
            _ => None,
        }
    }

    /// The label that a member's bytes say, if they say one.
    pub(super) fn label(self, bytes: &[u8]) -> Option<Label> {
        if self != Self::Json {
            return Label::of_text(&String::from_utf8_lossy(bytes));
        }
        let Value::Object(facts) = serde_json::from_slice(bytes).ok()? else {
            return None;
        };
        KEYS.iter().find_map(|key| match facts.get(*key)? {
            Value::String(text) => Label::of_text(text),
            Value::Number(number) => number.as_i64().map(Label::Number),
            _ => None,
        })
    }
}

impl Label {
    fn of_text(text: &str) -> Option<Self> {
        let text =
            text.trim_matches(|character: char| character.is_whitespace() || character == '\0');
        if text.is_empty() {
            return None;
        }
        if text.chars().count() > MAX_NAME || text.contains('\n') {
            return Some(Self::Caption);
        }
        Some(
            text.parse()
                .map_or_else(|_| Self::Name(text.to_owned()), Self::Number),
        )
    }

    fn text(&self) -> String {
        match self {
            Self::Number(number) => number.to_string(),
            Self::Name(name) => name.clone(),
            Self::Caption => String::new(),
        }
    }
}

/// The classes and what a label's number or name stands for.
pub(super) struct Classes {
    pub(super) names: Vec<String>,
    are_numbers: bool,
}

impl Classes {
    /// The classes of all labels together, in the order of `named` where that names them.
    pub(super) fn of<'l>(
        labels: impl Iterator<Item = &'l Label> + Clone,
        named: Option<Vec<String>>,
    ) -> Result<Self, String> {
        if labels.clone().any(|label| *label == Label::Caption) {
            return Err(
                "the texts beside its images are longer than names of classes, as captions are"
                    .to_owned(),
            );
        }
        let are_numbers = labels
            .clone()
            .all(|label| matches!(label, Label::Number(_)));
        if are_numbers {
            let numbers = labels.filter_map(|label| match label {
                Label::Number(number) => Some(*number),
                _ => None,
            });
            return Self::numbered(numbers, named);
        }
        let found: BTreeSet<String> = labels.map(Label::text).collect();
        if found.len() > MAX_CLASSES {
            return Err(format!(
                "the members beside its images say {} different labels, expected those of at most \
                 {MAX_CLASSES} classes",
                found.len()
            ));
        }
        let is_named = |names: &Vec<String>| found.iter().all(|name| names.contains(name));
        Ok(Self {
            names: named
                .filter(is_named)
                .unwrap_or_else(|| found.iter().cloned().collect()),
            are_numbers,
        })
    }

    fn numbered(
        numbers: impl Iterator<Item = i64>,
        named: Option<Vec<String>>,
    ) -> Result<Self, String> {
        let largest = named.as_ref().map_or(MAX_CLASSES, Vec::len);
        let mut count = 0;
        for number in numbers {
            let place = usize::try_from(number)
                .ok()
                .filter(|&place| place < largest);
            match place {
                Some(place) => count = count.max(place + 1),
                None if number == -1 => {}
                None => {
                    return Err(format!(
                        "the label {number} is of no class, expected -1 or a number below {largest}"
                    ));
                }
            }
        }
        let unnamed = || (0..count).map(|class| class.to_string()).collect();
        Ok(Self {
            names: named.unwrap_or_else(unnamed),
            are_numbers: true,
        })
    }

    /// The class of a label; `None` for -1.
    pub(super) fn number(&self, label: &Label) -> Option<usize> {
        match label {
            Label::Number(number) if self.are_numbers => usize::try_from(*number).ok(),
            other => {
                let name = other.text();
                self.names.iter().position(|class| *class == name)
            }
        }
    }
}

/// The classes that a file names: a line each, a JSON list, or a JSON object of names and numbers.
pub(super) fn class_names(path: &Path) -> Result<Vec<String>, Error> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|error| Error::io("read", path, error))?;
    let broken = |reason: &str| Error::broken_dataset(path, reason);
    if bytes.len() as u64 > MAX_BYTES {
        return Err(broken("more than 1 MiB, expected the names of classes"));
    }
    let names = if path.extension().is_some_and(|ending| ending == "json") {
        json_names(&bytes).ok_or_else(|| {
            broken("expected a JSON list of names, or an object of names and numbers from 0")
        })?
    } else {
        let text = String::from_utf8_lossy(&bytes);
        let lines = text.lines().map(|line| line.trim().to_owned());
        let names = lines.filter(|line| !line.is_empty());
        names.collect()
    };
    let mut seen = BTreeSet::new();
    let twice: Vec<String> = names
        .iter()
        .filter(|name| !seen.insert(name.as_str()))
        .cloned()
        .collect();
    match quoted(&twice) {
        Some(twice) => Err(broken(&format!("it names {twice} twice"))),
        None => Ok(names),
    }
}

fn json_names(bytes: &[u8]) -> Option<Vec<String>> {
    let name = |value: &Value| value.as_str().map(str::to_owned);
    match serde_json::from_slice(bytes).ok()? {
        Value::Array(names) => names.iter().map(name).collect(),
        Value::Object(pairs) => {
            let mut names = vec![None; pairs.len()];
            for (key, value) in pairs {
                let (number, name) = match value {
                    Value::String(name) => (key.parse().ok()?, name),
                    number => (usize::try_from(number.as_u64()?).ok()?, key),
                };
                *names.get_mut(number)? = Some(name);
            }
            names.into_iter().collect()
        }
        _ => None,
    }
}
