//! `data.yaml`: where the photos of a YOLO dataset lie, and what its classes are called.

use std::collections::BTreeMap;

use super::yaml::Yaml;
use crate::dataset::Split;

/// The most classes.
const MOST_CLASSES: usize = 100_000;

/// What a `data.yaml` says: names of classes, and the folders or lists of photos of each split.
///
/// ```
/// use cnn_data::{Split, YoloData};
///
/// let yaml = b"path: ../blood\ntrain: images/train\nval: [images/val]\nnames: {0: red, 1: white}\n";
/// let data = YoloData::parse(yaml)?;
/// assert_eq!(data.names(), ["red", "white"]);
/// assert_eq!(data.photos(Split::Train), ["images/train"]);
/// assert!(data.photos(Split::Test).is_empty());
/// # Ok::<(), String>(())
/// ```
#[derive(Debug, Default, PartialEq)]
pub struct YoloData {
    names: Vec<String>,
    path: Option<String>,
    photos: BTreeMap<Split, Vec<String>>,
}

impl YoloData {
    /// Understands a file: `names` as a list or as a map from numbers, `nc` where there are no
    /// names, `path`, and `train`, `val` and `test` as a text or a list of texts. Other keys are
    /// passed over.
    ///
    /// # Errors
    ///
    /// A sentence that names what is wrong: no YAML, neither names nor their number, a map of names
    /// that leaves numbers out, another number of names than `nc`, aliases, which are not read.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let yaml = Yaml::parse(bytes)?;
        let names = yaml.get("names").map(names).transpose()?;
        let count = yaml.get("nc").map(count).transpose()?;
        let names = match (names, count) {
            (Some(names), Some(count)) if names.len() != count => {
                return Err(format!("`nc` is {count} and `names` has {}", names.len()));
            }
            (Some(names), _) => names,
            (None, Some(count)) => unnamed(count),
            (None, None) => return Err("neither `names` nor `nc`".to_owned()),
        };
        let mut photos = BTreeMap::new();
        for split in Split::ALL {
            let value = split.names().iter().find_map(|name| yaml.get(name));
            let found = value.map(texts).transpose();
            let found = found.map_err(|found| format!("`{split}` is {found}, expected texts"))?;
            photos.extend(
                found
                    .filter(|found| !found.is_empty())
                    .map(|found| (split, found)),
            );
        }
        Ok(Self {
            names,
            path: yaml.get("path").and_then(Yaml::text).map(str::to_owned),
            photos,
        })
    }

    /// The classes' names in the order of their numbers.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// The folder that the others are meant from, if the file names one.
    pub fn path(&self) -> Option<&str> {
        self.path.as_deref()
    }

    /// Folders of photos of a split, and lists of photos.
    pub fn photos(&self, split: Split) -> &[String] {
        self.photos.get(&split).map_or(&[], Vec::as_slice)
    }

    pub(super) fn splits(&self) -> impl Iterator<Item = (Split, &[String])> {
        self.photos
            .iter()
            .map(|(split, photos)| (*split, photos.as_slice()))
    }
}

/// What classes are called that nobody named.
pub(super) fn unnamed(count: usize) -> Vec<String> {
    (0..count).map(|class| format!("class {class}")).collect()
}

fn count(yaml: &Yaml) -> Result<usize, String> {
    let found = yaml.text().and_then(|text| text.parse().ok());
    found
        .filter(|count| (1..=MOST_CLASSES).contains(count))
        .ok_or_else(|| format!("`nc` is no number of classes from 1 to {MOST_CLASSES}"))
}

fn names(yaml: &Yaml) -> Result<Vec<String>, String> {
    let names = match yaml {
        Yaml::List(_) => texts(yaml).map_err(|found| format!("`names` holds {found}"))?,
        Yaml::Map(entries) => {
            let mut of_number = BTreeMap::new();
            for (key, value) in entries {
                let number: usize = key
                    .parse()
                    .map_err(|_| format!("`names` has the key `{key}`, expected numbers"))?;
                let name = value.text();
                let name = name.ok_or_else(|| format!("the name of class {number} is no text"))?;
                if of_number.insert(number, name.to_owned()).is_some() {
                    return Err(format!("`names` has two names for class {number}"));
                }
            }
            let absent = (0..of_number.len()).find(|number| !of_number.contains_key(number));
            if let Some(absent) = absent {
                return Err(format!("`names` has no name for class {absent}"));
            }
            of_number.into_values().collect()
        }
        Yaml::Text(text) => return Err(format!("`names` is `{text}`, expected a list or a map")),
    };
    if names.is_empty() {
        return Err("`names` is empty".to_owned());
    }
    Ok(names)
}

/// A text or texts; nothing where there is an empty text or `null`.
fn texts(yaml: &Yaml) -> Result<Vec<String>, &'static str> {
    match yaml {
        Yaml::Text(text) if matches!(text.as_str(), "" | "~" | "null") => Ok(Vec::new()),
        Yaml::Text(text) => Ok(vec![text.clone()]),
        Yaml::List(values) => {
            let texts = values.iter().map(|value| value.text().map(str::to_owned));
            texts.collect::<Option<_>>().ok_or("a list or a map")
        }
        Yaml::Map(_) => Err("a map"),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;

    #[test]
    fn what_is_wrong_is_named() {
        let cases = [
            ("train: a\n", "neither `names` nor `nc`"),
            ("names: [a, b]\nnc: 3\n", "`nc` is 3 and `names` has 2"),
            ("names: {0: a, 2: b}\n", "`names` has no name for class 1"),
            ("names: {0: a, 0: b}\n", "`names` has two names for class 0"),
            (
                "names: {a: 0}\n",
                "`names` has the key `a`, expected numbers",
            ),
            ("names: {0: [a]}\n", "the name of class 0 is no text"),
            ("names: []\n", "`names` is empty"),
            ("names: a\n", "`names` is `a`, expected a list or a map"),
            ("nc: -1\n", "`nc` is no number of classes from 1 to 100000"),
            ("nc: 1\ntrain: {a: b}\n", "`train` is a map, expected texts"),
        ];
        for (text, expected) in cases {
            assert_eq!(YoloData::parse(text.as_bytes()).unwrap_err(), expected);
        }
    }

    #[test]
    fn numbers_alone_make_names_and_other_words_name_the_splits() {
        let data = YoloData::parse(b"nc: 2\ntrain: a\nvalid: [b, c]\ntest:\n").unwrap();
        assert_eq!(data.names(), ["class 0", "class 1"]);
        assert_eq!(data.photos(Split::Val), ["b", "c"]);
        assert_eq!(data.splits().count(), 2);
    }
}
