//! YAML as a tree of texts, within bounds: what `data.yaml` needs.
//!
//! `saphyr-parser` gives the events. Aliases are refused, so that a short file cannot stand for a
//! long one.

use saphyr_parser::{Event, Parser};

use crate::image::contain::contain_panic;

/// The most texts, lists and maps of a file.
const MOST_NODES: usize = 100_000;
/// How many lists and maps may lie in each other.
const DEEPEST: usize = 16;

/// A part of a document.
#[derive(Debug, PartialEq)]
pub(super) enum Yaml {
    Text(String),
    List(Vec<Yaml>),
    /// Keys that are texts, in the order of the file.
    Map(Vec<(String, Yaml)>),
}

impl Yaml {
    /// The first document of a file; an empty map where there is none.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, String> {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let text = std::str::from_utf8(bytes)
            .map_err(|error| format!("no UTF-8 text at byte {}", error.valid_up_to()))?;
        contain_panic(|| Self::of_text(text))?
    }

    fn of_text(text: &str) -> Result<Self, String> {
        let mut open: Vec<Open> = Vec::new();
        let mut nodes = 0;
        for event in Parser::new_from_str(text) {
            let (event, span) = event.map_err(|error| format!("no YAML: {error}"))?;
            let line = span.start.line();
            let closed = match event {
                Event::Alias(_) => {
                    return Err(format!("line {line}: an alias, which is not read here"));
                }
                Event::Scalar(text, ..) => Some(Self::Text(text.into_owned())),
                Event::SequenceStart(..) => {
                    open.push(Open::List(Vec::new()));
                    None
                }
                Event::MappingStart(..) => {
                    open.push(Open::Map(Vec::new(), None));
                    None
                }
                Event::SequenceEnd | Event::MappingEnd => open.pop().map(Open::closed),
                Event::DocumentEnd => break,
                _ => None,
            };
            nodes += 1;
            if nodes > MOST_NODES || open.len() > DEEPEST {
                return Err(format!(
                    "line {line}: more than {MOST_NODES} values, or more than {DEEPEST} in each other"
                ));
            }
            let Some(closed) = closed else { continue };
            match open.last_mut() {
                None => return Ok(closed),
                Some(parent) => parent
                    .add(closed)
                    .map_err(|reason| format!("line {line}: {reason}"))?,
            }
        }
        Ok(Self::Map(Vec::new()))
    }

    /// What a map has under a key.
    pub(super) fn get(&self, key: &str) -> Option<&Self> {
        let Self::Map(entries) = self else {
            return None;
        };
        let found = entries.iter().find(|(name, _)| name == key);
        found.map(|(_, value)| value)
    }

    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// A list or a map whose end has not been read.
enum Open {
    List(Vec<Yaml>),
    /// With the key whose value comes next.
    Map(Vec<(String, Yaml)>, Option<String>),
}

impl Open {
    fn add(&mut self, value: Yaml) -> Result<(), String> {
        match self {
            Self::List(values) => values.push(value),
            Self::Map(entries, key) => match (key.take(), value) {
                (Some(key), value) => entries.push((key, value)),
                (None, Yaml::Text(text)) => *key = Some(text),
                (None, _) => return Err("a key that is a list or a map".to_owned()),
            },
        }
        Ok(())
    }

    fn closed(self) -> Yaml {
        match self {
            Self::List(values) => Yaml::List(values),
            Self::Map(entries, _) => Yaml::Map(entries),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;

    #[test]
    fn lists_and_maps_of_either_form_are_read() {
        let block = b"# a comment\npath: ../data # where\nnames:\n  0: person\n  1: \"a: b\"\nlist:\n- x\n- y\n";
        let flow = b"{path: ../data, names: {0: person, 1: 'a: b'}, list: [x, y]}";
        for text in [&block[..], flow] {
            let yaml = Yaml::parse(text).unwrap();
            assert_eq!(yaml.get("path").unwrap().text(), Some("../data"));
            let names = yaml.get("names").unwrap();
            assert_eq!(names.get("1").unwrap().text(), Some("a: b"));
            let texts = ["x", "y"].map(|text| Yaml::Text(text.to_owned()));
            assert_eq!(*yaml.get("list").unwrap(), Yaml::List(texts.into()));
        }
        assert_eq!(Yaml::parse(b"").unwrap(), Yaml::Map(Vec::new()));
    }

    #[test]
    fn bombs_and_what_is_no_yaml_are_refused() {
        let nested = format!("a: {}{}", "[".repeat(40), "]".repeat(40));
        let long = format!("a: [{}]", "1, ".repeat(MOST_NODES + 1));
        let bomb = "a: &a [x, x]\nb: &b [*a, *a]\n";
        let cases = [
            (nested.as_str(), "in each other"),
            (long.as_str(), "more than 100000 values"),
            (bomb, "line 2: an alias"),
            ("a: [1, 2", "no YAML"),
            ("? [a]\n: b\n", "a key that is a list"),
            ("\"\\ud800", "no YAML"),
        ];
        for (text, expected) in cases {
            let message = Yaml::parse(text.as_bytes()).unwrap_err();
            assert!(message.contains(expected), "{message} for {expected}");
        }
        assert!(Yaml::parse(b"\xff").unwrap_err().contains("UTF-8"));
    }
}
