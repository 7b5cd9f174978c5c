//! What the stored values of masks mean.
//!
//! The rules, from the first that applies:
//! 1. Grey values and numbers of palettes are numbers of entries in the list of classes, from 0; what
//!    a palette shows them in does not matter. 255 is ignored.
//! 2. If 0 and 255 are the only numbers and at most two classes are named, 0 is the background and
//!    255 the foreground. If 255 is to be ignored in such masks, the caller says so.
//! 3. If the list gives colors that are all grey, and every number is one of them, each stands for
//!    its entry.
//! 4. Colors are looked up in the list.
//!
//! Entries that are ignored become [`Mask::IGNORE`], and those behind them move up.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::classes::{MaskClasses, MaskEntry};
use super::scan::MaskScan;
use crate::dataset::files::quoted;
use crate::image::stored::{StoredPixels, StoredValues, stored_png};
use crate::{Error, FileFormat, Mask, MaskFault};

/// Which class each stored value is.
#[derive(Clone, Debug)]
pub(super) struct Legend {
    pub(super) classes: Vec<String>,
    /// The class of each number; `None` for numbers that may not occur.
    numbers: Vec<Option<u8>>,
    /// The class of each color; `None` if none is known.
    colors: Option<HashMap<[u8; 3], u8>>,
    /// What numbers would be accepted, in words.
    expected: String,
    /// How it was decided, in sentences.
    pub(super) notes: Vec<String>,
}

/// What is known of a dataset's classes.
#[derive(Clone, Debug, Default)]
pub(super) struct KnownClasses {
    /// From a file or from the caller.
    pub(super) named: Option<MaskClasses>,
    /// The stored number that the caller ignores.
    pub(super) ignored: Option<u8>,
    /// Whether they are VOC's if no number says otherwise.
    pub(super) may_be_voc: bool,
}

impl Legend {
    /// Decides by what is known and what occurs.
    pub(super) fn of(known: &KnownClasses, scan: &MaskScan) -> Self {
        let mut notes = Vec::new();
        let named = known.named.clone().or_else(|| voc(known, scan, &mut notes));
        let names = named.as_ref().map_or(0, |named| named.entries.len());
        if scan.is_binary() && known.ignored != Some(255) && names <= 2 {
            if let Some(legend) = Self::of_greys(named.as_ref(), known, scan) {
                return legend;
            }
            return Self::binary(named.as_ref(), known, scan);
        }
        if let Some(legend) = Self::of_greys(named.as_ref(), known, scan) {
            return legend;
        }
        let named = named.unwrap_or_else(|| numbered(known, scan, &mut notes));
        Self::of_entries(&named, known, notes)
    }

    /// Refuses what no mask can be read with.
    pub(super) fn check(&self, scan: &MaskScan) -> Result<(), Error> {
        let no_number = scan.numbers.is_empty() && self.colors.is_none();
        if let Some(path) = scan.colored.as_ref().filter(|_| no_number) {
            let path = path.clone();
            let fault = without_table();
            return Err(Error::Mask { path, fault });
        }
        if self.classes.is_empty() {
            let expected = "at least one class that is not ignored";
            return Err(Error::argument("mask classes", "none", expected));
        }
        Ok(())
    }

    /// Numbers and colors of the entries in their order.
    fn of_entries(named: &MaskClasses, known: &KnownClasses, mut notes: Vec<String>) -> Self {
        let EntryNumbers { classes, numbers } = EntryNumbers::of(named, known.ignored, &mut notes);
        let by_color = named.has_colors().then(|| {
            let entries = named.entries.iter().zip(&numbers);
            let colored = entries.filter_map(|(entry, class)| Some((entry.color?, *class)));
            let mut colors: HashMap<_, _> = colored.collect();
            if *named == MaskClasses::voc() {
                colors.insert(crate::MaskPalette::voc().color(255), Mask::IGNORE);
            }
            colors
        });
        let largest = numbers.len().saturating_sub(1);
        let mut numbers: Vec<Option<u8>> = numbers.into_iter().map(Some).collect();
        let ignored = known.ignored.map(usize::from);
        numbers.resize(256, None);
        for at in ignored.into_iter().chain([255]) {
            numbers[at] = Some(Mask::IGNORE);
        }
        let beyond = ignored.filter(|&ignored| ignored > largest && ignored < 255);
        let beyond = beyond.map_or(String::new(), |ignored| format!(", {ignored}"));
        Self {
            classes,
            numbers,
            colors: by_color,
            expected: format!("0 to {largest}{beyond}, or 255 where the class is unknown"),
            notes,
        }
    }

    /// Grey values that stand for the entries whose colors they are.
    fn of_greys(
        named: Option<&MaskClasses>,
        known: &KnownClasses,
        scan: &MaskScan,
    ) -> Option<Self> {
        let named = named.filter(|_| scan.colored.is_none())?;
        let grey = |color: [u8; 3]| {
            color
                .iter()
                .all(|value| *value == color[0])
                .then_some(color[0])
        };
        let greys: Vec<u8> = named
            .entries
            .iter()
            .map(|entry| entry.color.and_then(grey))
            .collect::<Option<_>>()?;
        let is_grey = |number: &u16| greys.iter().any(|&grey| u16::from(grey) == *number);
        if !scan.numbers.iter().all(is_grey) {
            return None;
        }
        let mut notes = Vec::new();
        let EntryNumbers { classes, numbers } = EntryNumbers::of(named, known.ignored, &mut notes);
        let mut by_number = vec![None; 256];
        for (grey, class) in greys.iter().zip(numbers) {
            by_number[usize::from(*grey)] = Some(class);
        }
        notes.insert(
            0,
            "the masks' grey values are the colors of the classes".to_owned(),
        );
        Some(Self {
            classes,
            numbers: by_number,
            colors: None,
            expected: "a grey value that is a class's color".to_owned(),
            notes,
        })
    }

    fn binary(named: Option<&MaskClasses>, known: &KnownClasses, scan: &MaskScan) -> Self {
        let names = named.map_or(Vec::new(), MaskClasses::names);
        let [background, foreground] = match names[..] {
            [background, foreground] => [background, foreground],
            [foreground] => ["background", foreground],
            _ => ["background", "foreground"],
        };
        let mut numbers = vec![None; 256];
        numbers[0] = Some(0);
        numbers[255] = Some(1);
        let mut classes = vec![background.to_owned(), foreground.to_owned()];
        let mut notes = vec![format!(
            "0 and 255 are the only values in {}, so 0 is the class `{background}` and 255 the \
             class `{foreground}`; if 255 is to be ignored instead, ignore the number 255",
            scan.looked_at()
        )];
        if known.ignored == Some(0) {
            numbers[0] = Some(Mask::IGNORE);
            numbers[255] = Some(0);
            classes.remove(0);
            notes.push("the number 0 is ignored".to_owned());
        }
        Self {
            classes,
            numbers,
            colors: None,
            expected: "0 or 255, as in the masks that were looked at first".to_owned(),
            notes,
        }
    }

    /// The mask that a file holds, upright.
    pub(super) fn read(&self, path: &Path) -> Result<Mask, Error> {
        let fault = |fault| Error::Mask {
            path: path.to_owned(),
            fault,
        };
        let bytes = std::fs::read(path).map_err(|error| Error::io("read", path, error))?;
        match self.parse(&bytes) {
            Ok(mask) => Ok(mask),
            Err(Unusable::Mask(found)) => Err(fault(found)),
            Err(Unusable::File(error)) => Err(Error::broken_dataset(path, error)),
        }
    }

    fn parse(&self, bytes: &[u8]) -> Result<Mask, Unusable> {
        let format = FileFormat::recognise(bytes)?;
        let found = match format {
            FileFormat::Png => None,
            FileFormat::Jpeg => Some("a JPEG, whose compression changes the values of pixels"),
            _ => Some("an image of another format"),
        };
        if let Some(found) = found {
            let found = found.to_owned();
            return Err(Unusable::Mask(MaskFault::Format { found }));
        }
        let StoredPixels {
            height,
            width,
            values,
            orientation,
        } = stored_png(bytes)?;
        let classes = match values {
            StoredValues::Numbers(numbers) => self.of_numbers(&numbers, width),
            StoredValues::Colors(colors) => self.of_colors(&colors, width),
        };
        let mask = Mask::new(height, width, classes.map_err(Unusable::Mask)?)?;
        Ok(mask.map_pixels(|image| Ok(image.oriented(orientation)))?)
    }

    fn of_numbers(&self, numbers: &[u16], width: usize) -> Result<Vec<u8>, MaskFault> {
        let class = |number: u16| self.numbers.get(usize::from(number)).copied().flatten();
        let mut classes = Vec::with_capacity(numbers.len());
        for (at, &number) in numbers.iter().enumerate() {
            classes.push(class(number).ok_or_else(|| MaskFault::Value {
                x: at % width,
                y: at / width,
                value: number.to_string(),
                expected: self.expected.clone(),
            })?);
        }
        Ok(classes)
    }

    fn of_colors(&self, colors: &[[u8; 3]], width: usize) -> Result<Vec<u8>, MaskFault> {
        let Some(known) = &self.colors else {
            return Err(without_table());
        };
        let mut classes = Vec::with_capacity(colors.len());
        for (at, color) in colors.iter().enumerate() {
            let class = known.get(color).copied();
            classes.push(class.ok_or_else(|| MaskFault::Value {
                x: at % width,
                y: at / width,
                value: format!("the color {color:?}"),
                expected: format!("one of the {} colors of the classes", known.len()),
            })?);
        }
        Ok(classes)
    }
}

/// Why a file gives no mask.
enum Unusable {
    Mask(MaskFault),
    File(Error),
}

impl From<Error> for Unusable {
    fn from(error: Error) -> Self {
        Self::File(error)
    }
}

impl MaskClasses {
    /// The mask in the bytes of a PNG file, whose numbers or colors are entries of this list, from
    /// 0; 255 is ignored.
    ///
    /// ```
    /// use cnn_data::{Mask, MaskClasses, MaskPalette};
    ///
    /// let stored = Mask::new(1, 4, vec![0, 1, 2, 255])?;
    /// let classes = MaskClasses::of_names(&["road", "void", "car"])?;
    /// let mask = classes.mask(&stored.to_png(&MaskPalette::voc())?)?;
    /// assert_eq!(mask.bytes(), [0, Mask::IGNORE, 1, Mask::IGNORE]);
    /// # Ok::<(), cnn_data::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`decode`](crate::decode()), and [`Error::Mask`] with an empty path for another format and
    /// for values that are in no entry.
    pub fn mask(&self, png: &[u8]) -> Result<Mask, Error> {
        let legend = Legend::of_entries(self, &KnownClasses::default(), Vec::new());
        legend.parse(png).map_err(|unusable| match unusable {
            Unusable::Mask(fault) => Error::Mask {
                path: PathBuf::new(),
                fault,
            },
            Unusable::File(error) => error,
        })
    }
}

fn without_table() -> MaskFault {
    MaskFault::Format {
        found:
            "it holds colors, and no file says which classes they stand for, as `name,r,g,b` in \
                class_dict.csv or `name:r,g,b::` in labelmap.txt"
                .to_owned(),
    }
}

/// The class of each entry.
struct EntryNumbers {
    classes: Vec<String>,
    numbers: Vec<u8>,
}

impl EntryNumbers {
    fn of(named: &MaskClasses, ignored: Option<u8>, notes: &mut Vec<String>) -> Self {
        let mut classes: Vec<String> = Vec::new();
        let mut numbers = Vec::new();
        let mut left_out = Vec::new();
        for (at, entry) in named.entries.iter().enumerate() {
            if entry.is_ignored || ignored.is_some_and(|ignored| usize::from(ignored) == at) {
                left_out.push(entry.name.clone());
                numbers.push(Mask::IGNORE);
                continue;
            }
            let known = classes.iter().position(|name| *name == entry.name);
            let class = known.unwrap_or_else(|| {
                classes.push(entry.name.clone());
                classes.len() - 1
            });
            numbers.push(class as u8);
        }
        if let Some(names) = quoted(&left_out) {
            notes.push(format!("pixels of {names} are ignored"));
        }
        let beyond = ignored.filter(|&ignored| usize::from(ignored) >= named.entries.len());
        if let Some(ignored) = beyond {
            notes.push(format!("pixels of the number {ignored} are ignored"));
        }
        Self { classes, numbers }
    }
}

/// VOC's classes, where the layout suggests them and no number says otherwise.
fn voc(known: &KnownClasses, scan: &MaskScan, notes: &mut Vec<String>) -> Option<MaskClasses> {
    let classes = MaskClasses::voc();
    let fit = scan
        .largest()
        .is_none_or(|largest| usize::from(largest) < classes.entries.len());
    if !known.may_be_voc || !fit {
        return None;
    }
    notes.push("no file names the classes, so they are Pascal VOC's".to_owned());
    Some(classes)
}

/// `class 0`, `class 1` and so on, up to the largest number that occurs.
fn numbered(known: &KnownClasses, scan: &MaskScan, notes: &mut Vec<String>) -> MaskClasses {
    if scan.numbers.is_empty() {
        let entries = Vec::new();
        return MaskClasses { entries };
    }
    let largest = scan.numbers.iter().rev().copied().find(|&number| {
        number < 255
            && known
                .ignored
                .is_none_or(|ignored| u16::from(ignored) != number)
    });
    let largest = largest.unwrap_or(0);
    let names: Vec<String> = (0..=largest)
        .map(|number| format!("class {number}"))
        .collect();
    notes.push(format!(
        "no file names the classes; {largest} is the largest number in {}, so there are {} of them; \
         if a number stands for no class, ignore it",
        scan.looked_at(),
        names.len()
    ));
    let entries = names.iter().map(|name| MaskEntry::new(name, None));
    MaskClasses {
        entries: entries.collect(),
    }
}
