//! The names of masks' classes, the colors that stand for them, and which of them are ignored.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

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

/// The classes of Pascal VOC in the order of their numbers.
const VOC: [&str; 21] = [
    "background",
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
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
            .zip(VOC)
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
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let text = std::str::from_utf8(bytes)
            .map_err(|error| format!("no UTF-8 text at byte {}", error.valid_up_to()))?;
        let lines: Vec<Line<'_>> = text
            .lines()
            .enumerate()
            .map(|(number, text)| Line {
                number: number + 1,
                text: text.trim(),
            })
            .filter(|line| !line.text.is_empty() && !line.text.starts_with('#'))
            .collect();
        let entries = match Header::of(&lines) {
            Some(header) => lines[1..]
                .iter()
                .map(|line| header.entry(line))
                .collect::<Result<_, _>>()?,
            None => without_header(&lines)?,
        };
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

struct Line<'a> {
    number: usize,
    text: &'a str,
}

impl Line<'_> {
    fn fields(&self, separator: char) -> Vec<&str> {
        let fields = self.text.split(separator);
        fields
            .map(|field| field.trim().trim_matches('"').trim())
            .collect()
    }
}

/// The columns of a table that says what it holds.
struct Header {
    separator: char,
    name: usize,
    color: [usize; 3],
}

impl Header {
    fn of(lines: &[Line<'_>]) -> Option<Self> {
        let first = lines.first()?;
        [',', ';', '\t'].into_iter().find_map(|separator| {
            let fields = first.fields(separator);
            let find = |names: &[&str]| {
                let is_one =
                    |field: &&str| names.iter().any(|name| field.eq_ignore_ascii_case(name));
                fields.iter().position(is_one)
            };
            Some(Self {
                separator,
                name: find(&[
                    "name",
                    "class",
                    "label",
                    "class_name",
                    "classname",
                    "category",
                ])?,
                color: [
                    find(&["r", "red"])?,
                    find(&["g", "green"])?,
                    find(&["b", "blue"])?,
                ],
            })
        })
    }

    fn entry(&self, line: &Line<'_>) -> Result<MaskEntry, String> {
        let fields = line.fields(self.separator);
        let field = |at: usize| fields.get(at).copied().unwrap_or_default();
        match (field(self.name), color(self.color.map(field))) {
            (name, Some(color)) if !name.is_empty() => Ok(MaskEntry::new(name, Some(color))),
            _ => Err(not_understood(line, "a name and three numbers up to 255")),
        }
    }
}

/// One of the forms that have no header; the first line decides which.
fn without_header(lines: &[Line<'_>]) -> Result<Vec<MaskEntry>, String> {
    let forms: [(fn(&Line<'_>) -> Option<MaskEntry>, &str); 2] = [
        (label_map, "`name:r,g,b::`"),
        (color_and_name, "a name and three numbers up to 255"),
    ];
    for (entry, expected) in forms {
        if lines.first().and_then(entry).is_some() {
            let entries = lines
                .iter()
                .map(|line| entry(line).ok_or_else(|| not_understood(line, expected)));
            return entries.collect();
        }
    }
    let numbered = (0..)
        .zip(lines)
        .map(|(number, line)| numbered_name(line, number));
    if let Some(entries) = numbered.collect::<Option<Vec<MaskEntry>>>() {
        return Ok(entries);
    }
    let is_name = |text: &str| text.len() <= 100 && text.chars().any(char::is_alphabetic);
    let entries = lines.iter().map(|line| match line.text.trim_matches('"') {
        name if is_name(name) => Ok(MaskEntry::new(name, None)),
        _ => Err(not_understood(line, "a name")),
    });
    entries.collect()
}

/// `name:r,g,b:parts:actions`.
fn label_map(line: &Line<'_>) -> Option<MaskEntry> {
    let mut fields = line.text.split(':');
    let name = fields.next()?.trim();
    let numbers: Vec<&str> = fields.next()?.split(',').map(str::trim).collect();
    let color = color(numbers.try_into().ok()?)?;
    (!name.is_empty()).then(|| MaskEntry::new(name, Some(color)))
}

/// `64 128 64 Animal`, or `Animal 64 128 64`, with spaces, tabs or commas.
fn color_and_name(line: &Line<'_>) -> Option<MaskEntry> {
    let separated = |character: char| character.is_whitespace() || matches!(character, ',' | ';');
    let fields: Vec<&str> = line
        .text
        .split(separated)
        .filter(|field| !field.is_empty())
        .collect();
    let [first, second, third, name @ ..] = fields.as_slice() else {
        return None;
    };
    let (found, name) = match color([first, second, third]) {
        Some(found) => (found, name),
        None => {
            let (name, numbers) = fields.split_last_chunk::<3>()?;
            (color(*numbers)?, name)
        }
    };
    let name = name.join(" ");
    name.chars()
        .any(char::is_alphabetic)
        .then(|| MaskEntry::new(&name, Some(found)))
}

/// `3: car` or `3 car`, where the numbers count from 0.
fn numbered_name(line: &Line<'_>, number: usize) -> Option<MaskEntry> {
    let text = line.text.strip_prefix(&number.to_string())?;
    let name = text.strip_prefix([':', ',', ';', ' ', '\t'])?.trim();
    let is_name = name.chars().any(char::is_alphabetic);
    is_name.then(|| MaskEntry::new(name, None))
}

fn color(fields: [&str; 3]) -> Option<[u8; 3]> {
    let [red, green, blue] = fields.map(|field| field.parse().ok());
    Some([red?, green?, blue?])
}

fn not_understood(Line { number, text }: &Line<'_>, expected: &str) -> String {
    let shown: String = text.chars().take(60).collect();
    format!("line {number} is `{shown}`, expected {expected}")
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
