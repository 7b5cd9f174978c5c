//! Which column of a table is which.
//!
//! The rules, from the first that applies:
//! 1. The first line names the columns if one of its fields is a name of the lists below, or if the
//!    second line names an image where the first does not.
//! 2. The images are in the column whose fields name images; of several, in the one whose name
//!    stands first in the list, or else in the leftmost.
//! 3. A column that is called like a split, and holds splits, divides the table.
//! 4. The label is the column that was asked for, or the only one left, or the one that is called
//!    like a label. Columns that divide the images alike are one, as `class_id` and `class`.
//! 5. Columns of 0 and 1, of which each row has one 1, are the classes.

use std::collections::HashMap;

use csv::StringRecord;

use super::text::Text;
use crate::Split;
use crate::dataset::files::{is_image_name, quoted};

/// Names of columns of images, those that mean nothing else first.
const IMAGES: &[&str] = &[
    "path",
    "paths",
    "filepath",
    "filepaths",
    "file_path",
    "image_path",
    "img_path",
    "filename",
    "filenames",
    "file_name",
    "image_file",
    "image_name",
    "img_name",
    "image_filename",
    "file",
    "files",
    "image",
    "images",
    "img",
    "photo",
    "picture",
    "image_id",
    "imageid",
    "img_id",
    "photo_id",
    "id_code",
    "id",
    "uuid",
    "name",
];

/// Names of columns of labels.
const LABELS: &[&str] = &[
    "label",
    "labels",
    "class",
    "classes",
    "class_name",
    "class_label",
    "label_name",
    "class_id",
    "classid",
    "label_id",
    "category",
    "categories",
    "category_name",
    "category_id",
    "species",
    "breed",
    "target",
    "diagnosis",
    "dx",
    "tag",
    "tags",
    "y",
];

/// Names of columns of splits.
const SPLITS: &[&str] = &[
    "split",
    "splits",
    "set",
    "subset",
    "partition",
    "usage",
    "data_set",
    "dataset",
    "phase",
];

/// Names of columns that are true for what is validated on, as fastai's.
const IS_VAL: &[&str] = &["is_valid", "is_val"];

/// What a table's columns are.
#[derive(Debug)]
pub(super) struct Columns {
    pub(super) has_header: bool,
    pub(super) image: usize,
    pub(super) split: Option<SplitColumn>,
    pub(super) label: LabelColumn,
    /// How the columns were understood where that is not plain, in sentences.
    pub(super) notes: Vec<String>,
    names: Vec<String>,
}

/// Where a row's label is.
#[derive(Debug, PartialEq)]
pub(super) enum LabelColumn {
    None,
    Of(usize),
    /// The name of the column that is 1.
    OneHot(Vec<usize>),
}

/// Where a row's split is.
#[derive(Clone, Copy, Debug)]
pub(super) struct SplitColumn {
    place: usize,
    is_val: bool,
}

impl SplitColumn {
    /// The split that a row is of; an error shows what stands there instead.
    pub(super) fn split(self, record: &StringRecord) -> Result<Split, &str> {
        let text = record.get(self.place).unwrap_or_default();
        let split = if self.is_val {
            match text.to_lowercase().as_str() {
                "true" | "1" | "1.0" | "yes" => Some(Split::Val),
                "false" | "0" | "0.0" | "no" => Some(Split::Train),
                _ => None,
            }
        } else {
            split_word(text)
        };
        split.ok_or(text)
    }
}

/// Why the columns are not understood.
#[derive(Debug)]
pub(super) enum Unclear {
    /// There is no column of images.
    NoTable(String),
    /// There is one, and the rest is not plain or breaks the rules.
    Labels(String),
    /// The column that was asked for is not among these.
    NoColumn(Vec<String>),
}

impl From<String> for Unclear {
    fn from(reason: String) -> Self {
        Self::Labels(reason)
    }
}

impl Columns {
    /// Finds the columns; `is_image` says whether a field names an image.
    pub(super) fn find(
        text: &Text,
        asked: Option<&str>,
        is_image: &dyn Fn(&str) -> bool,
    ) -> Result<Self, Unclear> {
        let first = text.first().map_err(Unclear::NoTable)?;
        let (has_header, names) = header(&first, is_image);
        let rows = &first[usize::from(has_header)..];
        let image = image_column(&names, has_header, rows, is_image)
            .ok_or_else(|| Unclear::NoTable(no_images(&names, has_header)))?;
        let mut columns = Self {
            has_header,
            image,
            split: split_column(&names, rows),
            label: LabelColumn::None,
            notes: Vec::new(),
            names,
        };
        let others = columns.others(rows);
        columns.label = match asked {
            Some(asked) => columns.asked(&others, asked)?,
            None => columns.find_label(text, others)?,
        };
        Ok(columns)
    }

    /// The class of a row; `None` if it has none.
    pub(super) fn label<'r>(&'r self, record: &'r StringRecord) -> Option<&'r str> {
        let field = |place: usize| record.get(place).unwrap_or_default();
        match &self.label {
            LabelColumn::None => None,
            LabelColumn::Of(place) => Some(field(*place)).filter(|label| !label.is_empty()),
            LabelColumn::OneHot(places) => places
                .iter()
                .find(|&&place| bit(field(place)) == Some(true))
                .map(|&place| self.names[place].as_str()),
        }
    }

    /// Whether the column of labels is called so, or there is one for each class.
    pub(super) fn has_named_label(&self) -> bool {
        match self.label {
            LabelColumn::None => false,
            LabelColumn::OneHot(_) => true,
            LabelColumn::Of(place) => self.is_called_label(place),
        }
    }

    fn is_called_label(&self, place: usize) -> bool {
        self.has_header && LABELS.contains(&key(&self.names[place]).as_str())
    }

    /// Calls `visit` with the records below the header.
    fn visit(
        &self,
        text: &Text,
        mut visit: impl FnMut(usize, &StringRecord) -> Result<(), Unclear>,
    ) -> Result<(), Unclear> {
        let mut is_header = self.has_header;
        text.visit(|line, record| {
            if std::mem::take(&mut is_header) {
                return Ok(());
            }
            visit(line, record)
        })
    }

    /// The columns that may be labels: not those without a field, and not a data frame's index.
    fn others(&self, rows: &[StringRecord]) -> Vec<usize> {
        let is_other = |place: &usize| {
            let name = self.names[*place].as_str();
            let is_index = self.has_header && (name.is_empty() || name.starts_with("Unnamed:"));
            let is_split = self.split.is_some_and(|split| split.place == *place);
            let has_field = rows.iter().any(|row| !row[*place].is_empty());
            *place != self.image && !is_split && !is_index && has_field
        };
        (0..self.names.len()).filter(is_other).collect()
    }

    fn asked(&self, others: &[usize], asked: &str) -> Result<LabelColumn, Unclear> {
        let named = |is: &dyn Fn(&str) -> bool| {
            let mut found = others.iter().filter(|&&place| is(&self.names[place]));
            found.next().copied()
        };
        named(&|name| name == asked)
            .or_else(|| named(&|name| key(name) == key(asked)))
            .map(LabelColumn::Of)
            .ok_or_else(|| Unclear::NoColumn(self.names_of(others)))
    }

    fn names_of(&self, places: &[usize]) -> Vec<String> {
        places
            .iter()
            .map(|&place| self.names[place].clone())
            .collect()
    }

    fn find_label(&mut self, text: &Text, others: Vec<usize>) -> Result<LabelColumn, Unclear> {
        if let [] | [_] = others[..] {
            return Ok(others
                .first()
                .map_or(LabelColumn::None, |only| LabelColumn::Of(*only)));
        }
        let named: Vec<usize> = others
            .iter()
            .copied()
            .filter(|&place| self.is_called_label(place))
            .collect();
        let chosen = match named[..] {
            [] => return self.one_hot(text, others),
            [only] => only,
            _ => self
                .alike(text, &named)?
                .ok_or_else(|| self.several(&named))?,
        };
        let unread = others.into_iter().filter(|&place| place != chosen);
        let unread: Vec<usize> = unread.collect();
        self.notes.push(format!(
            "the labels are in its column `{}`; {} is not read, or chosen as PATH:COLUMN",
            self.names[chosen],
            quoted(&self.names_of(&unread)).unwrap_or_default()
        ));
        Ok(LabelColumn::Of(chosen))
    }

    fn several(&self, places: &[usize]) -> Unclear {
        Unclear::Labels(format!(
            "its columns {} may each be the label; choose one as PATH:COLUMN",
            quoted(&self.names_of(places)).unwrap_or_default()
        ))
    }

    /// Of columns that divide the images alike the first that holds names.
    fn alike(&self, text: &Text, places: &[usize]) -> Result<Option<usize>, Unclear> {
        let (&first, others) = places.split_first().ok_or_else(|| self.several(places))?;
        let mut pairs: Vec<HashMap<(bool, String), String>> = vec![HashMap::new(); others.len()];
        let mut are_alike = true;
        let mut is_number = vec![true; self.names.len()];
        self.visit(text, |_, record| {
            for &place in places {
                is_number[place] &= record[place].parse::<f64>().is_ok();
            }
            for (pairs, &other) in pairs.iter_mut().zip(others) {
                let [a, b] = [first, other].map(|place| record[place].to_owned());
                for (key, value) in [((false, a.clone()), b.clone()), ((true, b), a)] {
                    are_alike &= *pairs.entry(key).or_insert_with(|| value.clone()) == value;
                }
            }
            Ok(())
        })?;
        let named = places.iter().copied().find(|&place| !is_number[place]);
        Ok(are_alike.then_some(named.unwrap_or(first)))
    }

    fn one_hot(&self, text: &Text, places: Vec<usize>) -> Result<LabelColumn, Unclear> {
        let mut of_line = None;
        let mut are_bits = true;
        self.visit(text, |line, record| {
            let bits = places.iter().map(|&place| bit(&record[place]));
            are_bits &= bits.clone().all(|bit| bit.is_some());
            let ones = bits.flatten().filter(|bit| *bit).count();
            if ones != 1 {
                of_line.get_or_insert((line, ones));
            }
            Ok(())
        })?;
        match of_line {
            _ if !are_bits || !self.has_header => Err(self.several(&places)),
            None => Ok(LabelColumn::OneHot(places)),
            Some((line, ones)) => Err(Unclear::Labels(format!(
                "its columns {} are 0 or 1, and line {line} has {ones} of them at 1, expected one: \
                 an image has one class here; choose one column as PATH:COLUMN",
                quoted(&self.names_of(&places)).unwrap_or_default()
            ))),
        }
    }
}

/// The split that a word stands for, in a column or in a table's name.
pub(super) fn split_word(text: &str) -> Option<Split> {
    let is_val = || Split::is_perhaps_val(text).then_some(Split::Val);
    Split::of_folder_name(text).or_else(is_val).or_else(|| {
        // FER-2013's two test sets.
        let test = ["publictest", "privatetest"];
        test.contains(&text.to_lowercase().as_str())
            .then_some(Split::Test)
    })
}

/// Whether the first record names the columns, and their names; without such they are numbered
/// from 1.
fn header(first: &[StringRecord], is_image: &dyn Fn(&str) -> bool) -> (bool, Vec<String>) {
    let Some(names) = first.first() else {
        return (false, Vec::new());
    };
    let is_known = |name: &str| {
        let name = key(name);
        [IMAGES, LABELS, SPLITS, IS_VAL]
            .iter()
            .any(|known| known.contains(&name.as_str()))
    };
    let names_image = |record: &StringRecord, place: usize| is_image(&record[place]);
    let places = || 0..names.len();
    let has_header = !names.iter().any(|name| is_image_name(name.as_ref()))
        && (names.iter().any(is_known)
            || first.get(1).is_some_and(|second| {
                places().any(|place| names_image(second, place) && !names_image(names, place))
            }));
    let names = if has_header {
        names.iter().map(str::to_owned).collect()
    } else {
        places().map(|place| (place + 1).to_string()).collect()
    };
    (has_header, names)
}

fn image_column(
    names: &[String],
    has_header: bool,
    rows: &[StringRecord],
    is_image: &dyn Fn(&str) -> bool,
) -> Option<usize> {
    let rank = |place: &usize| {
        let name = key(&names[*place]);
        let known = IMAGES.iter().position(|known| has_header && *known == name);
        known.unwrap_or(IMAGES.len())
    };
    let names_images = |place: &usize| {
        let images = rows.iter().filter(|row| is_image(&row[*place])).count();
        images > 0 && 2 * images >= rows.len()
    };
    let holding = (0..names.len()).filter(names_images).min_by_key(rank);
    // Without one, images that are gone are what the column of that name lists.
    holding.or_else(|| {
        let named = (0..names.len()).filter(|place| rank(place) < IMAGES.len());
        named.min_by_key(rank)
    })
}

fn split_column(names: &[String], rows: &[StringRecord]) -> Option<SplitColumn> {
    (0..names.len()).find_map(|place| {
        let name = key(&names[place]);
        let is_val = IS_VAL.contains(&name.as_str());
        let column = SplitColumn { place, is_val };
        let is_called_so = is_val || SPLITS.contains(&name.as_str());
        let holds_splits = || rows.iter().any(|row| column.split(row).is_ok());
        (is_called_so && holds_splits()).then_some(column)
    })
}

fn no_images(names: &[String], has_header: bool) -> String {
    let pixels = names.iter().filter(|name| key(name).starts_with("pixel"));
    if pixels.count() > 0 {
        return "it holds pixels in place of names of image files, which is not read".to_owned();
    }
    let found = if has_header {
        format!("found {}", quoted(names).unwrap_or_default())
    } else {
        format!("found {} columns without names", names.len())
    };
    format!(
        "none of its columns names images that are there, expected one such as `path` or `image`, \
         {found}"
    )
}

/// A name in one form: `Image ID` is `image_id`.
fn key(name: &str) -> String {
    let plain = |character: char| {
        if character.is_alphanumeric() {
            character
        } else {
            '_'
        }
    };
    name.trim().to_lowercase().chars().map(plain).collect()
}

fn bit(text: &str) -> Option<bool> {
    match text {
        "1" | "1.0" => Some(true),
        "0" | "0.0" => Some(false),
        _ => None,
    }
}
