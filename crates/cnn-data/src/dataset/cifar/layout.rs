//! Which files of a folder are which part of CIFAR.

use std::fs;
use std::path::{Path, PathBuf};

use super::binary;
use super::images::{Batch, CifarImages, Kind, Labels};
#[cfg(feature = "pickle")]
use super::python;
use crate::dataset::files::{file_name, files_in, folders_in, quoted};
use crate::{Error, Split};

/// The folders that the authors' archives unpack to.
const FOLDERS: &[&str] = &[
    "cifar-10-batches-bin",
    "cifar-10-batches-py",
    "cifar-100-binary",
    "cifar-100-python",
];

/// How many files CIFAR-10's training images are in.
const BATCHES: usize = 5;

/// The files of each split.
#[derive(Clone, Debug)]
pub(in crate::dataset) struct CifarLayout {
    kind: Kind,
    form: Form,
    parts: Vec<CifarPart>,
    /// The file that names the classes.
    names: Option<PathBuf>,
    /// How the files were understood, in sentences.
    pub(in crate::dataset) notes: Vec<String>,
}

#[derive(Clone, Debug)]
struct CifarPart {
    split: Split,
    files: Vec<PathBuf>,
}

/// How the files are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Binary,
    Python,
}

impl CifarLayout {
    /// Recognises CIFAR's files in a folder by their names. Of CIFAR-100 `asked` is `fine`, the
    /// default, or `coarse`.
    pub(in crate::dataset) fn recognise(
        folder: &Path,
        asked: Option<&str>,
    ) -> Result<Option<Self>, Error> {
        let files = files_in(folder)?;
        let named = |name: &str| files.iter().find(|file| file_name(file) == name).cloned();
        let is_hundred = |names: &[&str]| {
            file_name(folder).starts_with("cifar-100")
                || names.iter().any(|name| named(name).is_some())
        };
        let mut found = Vec::new();
        for (form, ending) in [(Form::Binary, ".bin"), (Form::Python, "")] {
            let batches =
                (1..=BATCHES).map(|number| named(&format!("data_batch_{number}{ending}")));
            let batches: Vec<Option<PathBuf>> = batches.collect();
            let test = named(&format!("test_batch{ending}"));
            if test.is_some() || batches.iter().any(Option::is_some) {
                found.push((form, false, batches, test));
            }
            let names: &[&str] = match form {
                Form::Binary => &["fine_label_names.txt", "coarse_label_names.txt"],
                Form::Python => &["meta"],
            };
            let train = named(&format!("train{ending}"));
            let test = named(&format!("test{ending}"));
            if (train.is_some() || test.is_some()) && is_hundred(names) {
                found.push((form, true, vec![train], test));
            }
        }
        let (form, is_hundred, train, test) = match found.len() {
            0 => return Ok(None),
            1 => found.remove(0),
            _ => {
                return Err(Error::Ambiguous {
                    path: folder.to_owned(),
                    reason: "it holds CIFAR's files in several forms; move all but one away"
                        .to_owned(),
                });
            }
        };
        let mut notes = Vec::new();
        let kind = kind(folder, is_hundred, asked, &mut notes)?;
        if train.iter().any(Option::is_some) {
            let missing = train.iter().enumerate().filter(|(_, file)| file.is_none());
            let missing: Vec<String> = missing
                .map(|(place, _)| format!("data_batch_{}", place + 1))
                .collect();
            notes.extend(quoted(&missing).map(|missing| format!("{missing} is not there")));
        }
        let parts = [
            (Split::Train, train.into_iter().flatten().collect()),
            (Split::Test, test.into_iter().collect::<Vec<PathBuf>>()),
        ];
        let parts = parts.into_iter().filter(|(_, files)| !files.is_empty());
        let name_file = name_file(kind, form);
        let names = named(name_file);
        if names.is_none() {
            notes.push(format!("{name_file} is not there: the classes are numbers"));
        }
        Ok(Some(Self {
            kind,
            form,
            parts: parts
                .map(|(split, files)| CifarPart { split, files })
                .collect(),
            names,
            notes,
        }))
    }

    /// The same for the folder of the authors' archives that lies in a folder.
    pub(in crate::dataset) fn recognise_inside(
        folder: &Path,
        asked: Option<&str>,
    ) -> Result<Option<Self>, Error> {
        let inside = folders_in(folder)?.into_iter();
        let inside: Vec<PathBuf> = inside
            .filter(|inner| FOLDERS.contains(&file_name(inner).as_str()))
            .collect();
        match &inside[..] {
            [] => Ok(None),
            [only] => {
                let Some(mut layout) = Self::recognise(only, asked)? else {
                    return Ok(None);
                };
                layout
                    .notes
                    .push(format!("what {} holds is read", only.display()));
                Ok(Some(layout))
            }
            [first, ..] => {
                let names: Vec<String> = inside.iter().map(|inner| file_name(inner)).collect();
                Err(Error::Ambiguous {
                    path: folder.to_owned(),
                    reason: format!(
                        "it holds {}; name one of them, as {}",
                        quoted(&names).unwrap_or_default(),
                        first.display()
                    ),
                })
            }
        }
    }

    /// The parts in order.
    pub(in crate::dataset) fn splits(&self) -> Vec<Option<Split>> {
        self.parts.iter().map(|part| Some(part.split)).collect()
    }

    /// Opens a part.
    pub(in crate::dataset) fn open(&self, number: usize) -> Result<CifarImages, Error> {
        let classes = self.class_names()?;
        let mut batches = Vec::new();
        for path in &self.parts[number].files {
            let broken = |reason: String| Error::broken_dataset(path, reason);
            let file = fs::read(path).map_err(|error| Error::io("read", path, error))?;
            let batch = match self.form {
                Form::Binary => binary::parse(file, self.kind).map_err(broken)?,
                Form::Python => parse_pickle(path, &file, self.kind)?,
            };
            let is_wrong = |label: &u8| usize::from(*label) >= classes.len();
            if let Some(place) = batch.labels.iter().position(is_wrong) {
                return Err(broken(format!(
                    "label {} of image {place}, expected a number below {}",
                    batch.labels[place],
                    classes.len()
                )));
            }
            batches.push(batch.named(path));
        }
        Ok(CifarImages::of_batches(batches, classes))
    }

    fn class_names(&self) -> Result<Vec<String>, Error> {
        let Some(path) = &self.names else {
            let count = match self.kind {
                Kind::Ten => 10,
                Kind::Hundred(Labels::Coarse) => 20,
                Kind::Hundred(Labels::Fine) => 100,
            };
            return Ok((0..count).map(|class: usize| class.to_string()).collect());
        };
        let file = fs::read(path).map_err(|error| Error::io("read", path, error))?;
        match self.form {
            Form::Binary => {
                let text = String::from_utf8_lossy(&file);
                let lines = text.lines().map(|line| line.trim().to_owned());
                Ok(lines.filter(|line| !line.is_empty()).collect())
            }
            Form::Python => parse_class_names(path, &file, self.kind),
        }
    }
}

fn kind(
    folder: &Path,
    is_hundred: bool,
    asked: Option<&str>,
    notes: &mut Vec<String>,
) -> Result<Kind, Error> {
    let labels = match asked {
        None => {
            if is_hundred {
                let note = "the classes are the 100 fine ones; PATH:coarse has the 20 coarse ones";
                notes.push(note.to_owned());
            }
            Labels::Fine
        }
        Some("fine") if is_hundred => Labels::Fine,
        Some("coarse") if is_hundred => Labels::Coarse,
        Some(asked) => {
            let existing = if is_hundred {
                "`fine` and `coarse`"
            } else {
                "none at all: leave the name out"
            };
            return Err(Error::Configuration {
                path: folder.to_owned(),
                asked: Some(asked.to_owned()),
                existing: existing.to_owned(),
            });
        }
    };
    Ok(if is_hundred {
        Kind::Hundred(labels)
    } else {
        Kind::Ten
    })
}

fn name_file(kind: Kind, form: Form) -> &'static str {
    match (form, kind) {
        (Form::Binary, Kind::Ten) => "batches.meta.txt",
        (Form::Binary, Kind::Hundred(Labels::Coarse)) => "coarse_label_names.txt",
        (Form::Binary, Kind::Hundred(Labels::Fine)) => "fine_label_names.txt",
        (Form::Python, Kind::Ten) => "batches.meta",
        (Form::Python, Kind::Hundred(_)) => "meta",
    }
}

#[cfg(feature = "pickle")]
fn parse_pickle(path: &Path, file: &[u8], kind: Kind) -> Result<Batch, Error> {
    python::parse(file, kind).map_err(|reason| Error::broken_dataset(path, reason))
}

#[cfg(feature = "pickle")]
fn parse_class_names(path: &Path, file: &[u8], kind: Kind) -> Result<Vec<String>, Error> {
    python::class_names(file, kind).map_err(|reason| Error::broken_dataset(path, reason))
}

#[cfg(not(feature = "pickle"))]
fn parse_pickle(path: &Path, _: &[u8], _: Kind) -> Result<Batch, Error> {
    Err(without_pickle(path))
}

#[cfg(not(feature = "pickle"))]
fn parse_class_names(path: &Path, _: &[u8], _: Kind) -> Result<Vec<String>, Error> {
    Err(without_pickle(path))
}

#[cfg(not(feature = "pickle"))]
fn without_pickle(path: &Path) -> Error {
    Error::WithoutFeature {
        path: path.to_owned(),
        format: crate::DatasetFormat::Cifar,
        feature: "pickle",
    }
}
