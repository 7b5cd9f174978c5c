//! The parts of a dataset.

use std::fmt;
use std::str::FromStr;

use serde::Serialize;

use crate::Error;

/// Words in a folder's name that say nothing of its purpose.
const CONTENT_WORDS: &[&str] = &[
    "set", "images", "image", "imgs", "img", "data", "dataset", "photos", "pictures", "split",
];

/// A part of a dataset by its purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// What a network learns from.
    Train,
    /// What decides between networks and settings.
    Val,
    /// What is looked at once, in the end.
    Test,
}

impl Split {
    /// Every split, in the order in which they are listed.
    pub const ALL: [Self; 3] = [Self::Train, Self::Val, Self::Test];

    /// The split's name: "train", "val" or "test".
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Val => "val",
            Self::Test => "test",
        }
    }

    /// The names that folders, files and commands use for the split, the usual one first.
    pub(crate) fn names(self) -> &'static [&'static str] {
        match self {
            Self::Train => &["train", "training"],
            Self::Val => &["val", "valid", "validation"],
            Self::Test => &["test", "testing", "t10k"],
        }
    }

    /// The split that a whole name stands for.
    pub(crate) fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|split| {
            split
                .names()
                .iter()
                .any(|known| known.eq_ignore_ascii_case(name))
        })
    }

    /// The split that a folder's name stands for: one of [`names`](Self::names), perhaps with words
    /// that say what is in it, as `training_set`, `val-images` or `TestData`.
    pub(crate) fn of_folder_name(name: &str) -> Option<Self> {
        let name = name.to_lowercase();
        let words: Vec<&str> = name
            .split(|character: char| !character.is_alphanumeric())
            .filter(|word| !word.is_empty() && !CONTENT_WORDS.contains(word))
            .collect();
        let [word] = words[..] else { return None };
        let bare = CONTENT_WORDS
            .iter()
            .find_map(|content| word.strip_suffix(content));
        Self::of_name(word).or_else(|| Self::of_name(bare?))
    }

    /// Whether a folder's name is often that of validation images, but not always.
    pub(crate) fn is_perhaps_val(name: &str) -> bool {
        ["dev", "eval", "evaluation", "holdout", "hold_out"]
            .iter()
            .any(|known| known.eq_ignore_ascii_case(name))
    }

    /// The split that one of the words in a file's name stands for, as in
    /// "train-00000-of-00001.parquet".
    pub(crate) fn of_file_name(file_name: &str) -> Option<Self> {
        file_name
            .split(|character: char| !character.is_alphanumeric())
            .find_map(Self::of_name)
    }
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Split {
    type Err = Error;

    /// Reads "train", "val" or "test".
    fn from_str(name: &str) -> Result<Self, Error> {
        Self::ALL
            .into_iter()
            .find(|split| split.name() == name)
            .ok_or_else(|| Error::argument("split", format!("`{name}`"), "train, val or test"))
    }
}

/// Whether a folder's name says no more than that images are in it.
pub(crate) fn is_content_name(name: &str) -> bool {
    const ENDINGS: &[&str] = &["jpg", "jpeg", "jpgs", "png", "pngs", "pics", "train", "all"];
    let name = name.to_lowercase();
    let mut words = name
        .split(|character: char| !character.is_alphanumeric())
        .filter(|word| !word.is_empty());
    words.all(|word| CONTENT_WORDS.contains(&word) || ENDINGS.contains(&word))
}

/// "`train` and `val`", or a text that says that there is none.
pub(crate) fn list_splits(splits: impl IntoIterator<Item = Split>) -> String {
    let names: Vec<_> = splits
        .into_iter()
        .map(|split| format!("`{split}`"))
        .collect();
    match names.split_last() {
        None => "no splits at all: leave the split out to read all of it".to_owned(),
        Some((only, [])) => only.clone(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;

    #[test]
    fn file_names_tell_their_split() {
        let cases = [
            ("train-00000-of-00001.parquet", Some(Split::Train)),
            ("cifar_test.parquet", Some(Split::Test)),
            ("t10k-images-idx3-ubyte.gz", Some(Split::Test)),
            ("emnist-letters-train-images-idx3-ubyte", Some(Split::Train)),
            ("Validation.parquet", Some(Split::Val)),
            ("0000.parquet", None),
            ("training_day.parquet", Some(Split::Train)),
            ("contest.parquet", None),
        ];
        for (name, expected) in cases {
            assert_eq!(Split::of_file_name(name), expected, "{name}");
        }
    }

    #[test]
    fn folder_names_tell_their_split() {
        let cases = [
            ("train", Some(Split::Train)),
            ("Training_Set", Some(Split::Train)),
            ("train_images", Some(Split::Train)),
            ("images-val", Some(Split::Val)),
            ("TestData", Some(Split::Test)),
            ("testset", Some(Split::Test)),
            ("train station", None),
            ("freight-train", None),
            ("images", None),
            ("contest", None),
            ("train_val", None),
        ];
        for (name, expected) in cases {
            assert_eq!(Split::of_folder_name(name), expected, "{name}");
        }
    }

    #[test]
    fn names_that_say_only_that_there_are_images() {
        for name in ["images", "Train_Images", "jpg", "all-photos"] {
            assert!(is_content_name(name), "{name}");
        }
        for name in ["cat", "cat images", "HAM10000_images"] {
            assert!(!is_content_name(name), "{name}");
        }
    }

    #[test]
    fn names_parse_and_unknown_ones_are_shown() {
        for split in Split::ALL {
            assert_eq!(split.to_string().parse::<Split>().unwrap(), split);
        }
        let message = "dev".parse::<Split>().unwrap_err().to_string();
        assert_eq!(message, "`split`: found `dev`, expected train, val or test");
    }

    #[test]
    fn splits_are_listed_in_words() {
        assert_eq!(list_splits([Split::Test]), "`test`");
        assert_eq!(list_splits(Split::ALL), "`train`, `val` and `test`");
        assert_eq!(
            list_splits([]),
            "no splits at all: leave the split out to read all of it"
        );
    }
}
