//! The names of masks' classes, the colors that stand for them, and which of them are ignored.

use cnn_core::PASCAL_VOC_CLASSES;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::class_text;
use crate::{Error, MaskPalette};

/// The most classes: 255 stands for pixels whose class is unknown.
const MOST: usize = 255;
/// The largest file that is read as a list of classes, in bytes.
const MOST_BYTES: u64 = 1 << 20;

/// Names that say of an entry that it is no class.
const IGNORED: &[&str] = &[
    "void",
    "unlabeled",
    "unlabelled",
    "ignore",
    "ignored",
    "ignore_label",
];

/// What the numbers or colors of stored masks stand for: an entry for each number, from 0.
///
/// An entry that is called `void`, `unlabeled`, `ignore` or the like is no class: its pixels become
/// [`Mask::IGNORE`](crate::Mask::IGNORE), and the entries behind it move up by one.
///
/// ```
/// use cnn_data::MaskClasses;
///
/// let classes = MaskClasses::parse(b"name,r,g,b\nSky,128,128,128\nVoid,0,0,0\nCar,64,0,128\n")?;
/// assert_eq!(classes.names(), ["Sky", "Car"]);
/// assert_eq!(classes.ignored().collect::<Vec<_>>(), ["Void"]);
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MaskClasses {
    pub(super) entries: Vec<MaskEntry>,
}

/// What one number, or one color, stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MaskEntry {
    pub(super) name: String,
    pub(super) color: Option<[u8; 3]>,
    pub(super) is_ignored: bool,
}

impl MaskEntry {
    pub(super) fn new(name: &str, color: Option<[u8; 3]>) -> Self {
        Self {
            is_ignored: IGNORED.contains(&name.to_lowercase().as_str()),
            name: name.to_owned(),
            color,
        }
    }
}

impl MaskClasses {
    /// Entries by their names, in the order of their numbers.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] without names, with more than 255, or if a name occurs twice.
    pub fn of_names<S: AsRef<str>>(names: &[S]) -> Result<Self, Error> {
        let entries = names.iter().map(|name| MaskEntry::new(name.as_ref(), None));
        Self::of_entries(entries.collect())
            .map_err(|reason| Error::argument("mask classes", names.len(), reason))
    }

    /// Pascal VOC's 21 classes with the colors of [`MaskPalette::voc`].
    pub fn voc() -> Self {
        let palette = MaskPalette::voc();
        let entries = (0..)
            .zip(PASCAL_VOC_CLASSES)
            .map(|(number, name)| MaskEntry::new(name, Some(palette.color(number))));
        Self {
            entries: entries.collect(),
        }
    }

    /// Reads a file of names, or of names and colors, in any of the forms of
    /// [`MaskClasses::parse`].
    ///
    /// # Errors
    ///
    /// [`Error::Io`] if it cannot be read, [`Error::BrokenDataset`] if it is in none of these forms.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let io = |error| Error::io("read", path, error);
        let len = fs::metadata(path).map_err(io)?.len();
        if len > MOST_BYTES {
            let reason = format!("{len} bytes, a list of classes has at most {MOST_BYTES}");
            return Err(Error::broken_dataset(path, reason));
        }
        let bytes = fs::read(path).map_err(io)?;
        Self::parse(&bytes).map_err(|reason| Error::broken_dataset(path, reason))
    }

    /// Understands
    ///
    /// - a name on each line, as `codes.txt`, or a number and a name, counted from 0;
    /// - CSV with a header that names `r`, `g` and `b` (or `red`, …) and a name, as Kaggle's
    ///   `class_dict.csv`;
    /// - three numbers and a name, or a name and three numbers, as CamVid's `label_colors.txt`;
    /// - `name:r,g,b:parts:actions`, as CVAT's `labelmap.txt`.
    ///
    /// Empty lines, and those that begin with `#`, are passed over. A name that occurs twice with
    /// different colors is one class.
    ///
    /// # Errors
    ///
    /// A sentence that names the line, and what was expected.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let entries = class_text::entries(bytes)?;
        Self::of_entries(entries)
    }

    fn of_entries(entries: Vec<MaskEntry>) -> Result<Self, String> {
        if entries.is_empty() || entries.len() > MOST {
            return Err(format!("from 1 to {MOST} classes, found {}", entries.len()));
        }
        let mut colors = BTreeMap::new();
        let mut names = BTreeMap::new();
        for entry in &entries {
            if let Some(color) = entry.color {
                if let Some(other) = colors.insert(color, &entry.name) {
                    let name = &entry.name;
                    return Err(format!(
                        "`{other}` and `{name}` both have the color {color:?}"
                    ));
                }
            } else if names.insert(&entry.name, ()).is_some() {
                return Err(format!("the name `{}` occurs twice", entry.name));
            }
        }
        Ok(Self { entries })
    }

    /// The names of the classes in the order of their numbers in a [`Mask`](crate::Mask), without
    /// what is ignored.
    pub fn names(&self) -> Vec<&str> {
        let mut names = Vec::new();
        for entry in self.entries.iter().filter(|entry| !entry.is_ignored) {
            if !names.contains(&entry.name.as_str()) {
                names.push(entry.name.as_str());
            }
        }
        names
    }

    /// The names of the entries that are no classes.
    pub fn ignored(&self) -> impl Iterator<Item = &str> {
        let ignored = self.entries.iter().filter(|entry| entry.is_ignored);
        ignored.map(|entry| entry.name.as_str())
    }

    /// Whether every entry has a color.
    pub(super) fn has_colors(&self) -> bool {
        !self.entries.is_empty() && self.entries.iter().all(|entry| entry.color.is_some())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;

    type Colors = Vec<Option<[u8; 3]>>;

    fn parsed(text: &str) -> (Vec<String>, Colors) {
        let entries = MaskClasses::parse(text.as_bytes()).unwrap().entries;
        let colors = entries.iter().map(|entry| entry.color).collect();
        (
            entries.into_iter().map(|entry| entry.name).collect(),
            colors,
        )
    }

    #[test]
    fn every_form_is_understood() {
        let colors = vec![Some([64, 128, 64]), Some([192, 0, 128])];
        let none = vec![None, None];
        let cases = [
            ("Animal\nArch way\n", &none),
            ("0: Animal\n1: Arch way\n", &none),
            ("0 Animal\r\n1 Arch way\r\n", &none),
            ("\u{feff}Animal\n\nArch way", &none),
            (
                "name,r,g,b\nAnimal,64,128,64\nArch way,192,0,128\n",
                &colors,
            ),
            (
                "id;Label;Red;Green;Blue\n7;Animal;64;128;64\n9;Arch way;192;0;128\n",
                &colors,
            ),
            ("64 128 64\tAnimal\n192 0 128\tArch way\n", &colors),
            ("Animal, 64, 128, 64\nArch way, 192, 0, 128\n", &colors),
            (
                "# label:color_rgb:parts:actions\nAnimal:64,128,64::\nArch way:192,0,128::\n",
                &colors,
            ),
        ];
        for (text, expected) in cases {
            let (names, found) = parsed(text);
            assert_eq!(names, ["Animal", "Arch way"], "{text}");
            assert_eq!(&found, expected, "{text}");
        }
    }

    #[test]
    fn what_is_not_understood_is_shown() {
        let cases = [
            ("", "from 1 to 255 classes, found 0"),
            ("cat\n7\n", "line 2 is `7`, expected a name"),
            (
                "cat:1,2,3::\ndog:1,2::\n",
                "line 2 is `dog:1,2::`, expected `name:r,g,b::`",
            ),
            (
                "name,r,g,b\ncat,1,2,300\n",
                "line 2 is `cat,1,2,300`, expected a name and three numbers up to 255",
            ),
            (
                "cat:1,2,3::\ndog:1,2,3::\n",
                "`cat` and `dog` both have the color [1, 2, 3]",
            ),
            ("cat\ncat\n", "the name `cat` occurs twice"),
        ];
        for (text, expected) in cases {
            assert_eq!(MaskClasses::parse(text.as_bytes()).unwrap_err(), expected);
        }
        let many: String = (0..256).map(|number| format!("class {number}\n")).collect();
        assert!(MaskClasses::parse(many.as_bytes()).is_err());
        assert!(MaskClasses::parse(b"\xff").unwrap_err().contains("byte 0"));
    }

    #[test]
    fn names_that_say_so_are_ignored() {
        let classes = MaskClasses::of_names(&["Void", "sky", "unlabelled", "car"]).unwrap();
        assert_eq!(classes.names(), ["sky", "car"]);
        assert_eq!(
            classes.ignored().collect::<Vec<_>>(),
            ["Void", "unlabelled"]
        );
        assert_eq!(MaskClasses::voc().names().len(), 21);
        assert!(MaskClasses::of_names::<&str>(&[]).is_err());
    }
}
