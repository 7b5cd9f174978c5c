//! Which archives are which split, and the classes of all of them together.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::WebDataset;
use super::images::{TarSample, TarSource};
use super::labels::{Classes, Label, NAME_FILES, Teller, class_names};
use super::shard::{Shard, ShardSample};
use crate::dataset::files::{file_name, has_extension, quoted};
use crate::dataset::shards::ShardPart;
use crate::{Error, Split};

/// The images of each split's archives.
pub(in crate::dataset) struct WebDatasetLayout {
    classes: Vec<String>,
    parts: Vec<TarPart>,
    /// What was left out, in sentences.
    pub(in crate::dataset) notes: Vec<String>,
}

struct TarPart {
    split: Option<Split>,
    sources: Arc<[TarSource]>,
    samples: Arc<[TarSample]>,
}

/// A split's archives and what they hold.
type ReadPart = (Option<Split>, Vec<(TarSource, Shard)>);

/// A file that names the classes in the order of their numbers.
pub(super) struct ClassFile {
    path: PathBuf,
    names: Vec<String>,
}

/// Whether a file's name is that of an archive.
pub(in crate::dataset) fn is_tar_name(path: &Path) -> bool {
    has_extension(path, &["tar"])
}

/// Why a compressed archive is not read, if a file's name or its first bytes are those of one: what
/// lies in it can only be reached by reading all before it.
pub(in crate::dataset) fn packed_reason(path: &Path, start: &[u8]) -> Option<String> {
    let name = file_name(path).to_lowercase();
    let is_named = ["gz", "bz2", "xz", "zst"]
        .iter()
        .any(|ending| name.ends_with(&format!(".tar.{ending}")));
    let is_packed = is_named
        || name.ends_with(".tgz")
        || is_tar_name(path) && (start.starts_with(b"\x1f\x8b") || start.starts_with(b"BZh"));
    is_packed.then(|| {
        format!(
            "{} is a compressed archive, in which no image can be read by itself: unpack it",
            file_name(path)
        )
    })
}

impl WebDatasetLayout {
    /// Reads the headers of the archives of each split.
    pub(in crate::dataset) fn of_shards(parts: Vec<ShardPart>) -> Result<Self, Error> {
        let mut named = None;
        let mut read = Vec::new();
        for (split, paths) in parts {
            let mut shards = Vec::new();
            for path in paths {
                if named.is_none() {
                    named = names_beside(&path)?;
                }
                let file = File::open(&path).map_err(|error| Error::io("read", &path, error))?;
                let shard =
                    Shard::read(file).map_err(|reason| Error::broken_dataset(&path, reason))?;
                shards.push((TarSource::File(path), shard));
            }
            read.push((split, shards));
        }
        Self::of_parts(read, named)
    }

    pub(super) fn of_parts(parts: Vec<ReadPart>, named: Option<ClassFile>) -> Result<Self, Error> {
        let shards = || parts.iter().flat_map(|(_, shards)| shards);
        let samples = || shards().flat_map(|(_, shard)| &shard.samples);
        let place = shards()
            .next()
            .map_or_else(PathBuf::new, |(source, _)| source.path().to_owned());
        let broken = |reason: String| Error::broken_dataset(&place, reason);
        if samples().next().is_none() {
            return Err(broken("it holds no images".to_owned()));
        }
        let tellers = samples().flat_map(|sample| sample.labels.iter().map(|(teller, _)| *teller));
        let Some(teller) = tellers.min() else {
            return Err(broken(without_labels(shards().map(|(_, shard)| shard))));
        };
        let labels = samples().filter_map(|sample| label(sample, teller));
        let names = named.as_ref().map(|file| file.names.clone());
        let classes = Classes::of(labels, names).map_err(broken)?;
        let mut notes = Vec::new();
        if let Some(ClassFile { path, .. }) = named.filter(|file| file.names == classes.names) {
            notes.push(format!("{} names the classes", path.display()));
        }
        for (source, shard) in shards() {
            let name = file_name(source.path());
            notes.extend(shard.notes.iter().map(|note| format!("{name}: {note}")));
        }
        let mut numbered = Vec::new();
        for (split, shards) in parts {
            let (part, unlabelled) = TarPart::of(split, shards, teller, &classes);
            if unlabelled > 0 {
                let of = split.map_or_else(String::new, |split| format!(" of `{split}`"));
                notes.push(format!(
                    "{unlabelled} images{of} have no label and are left out"
                ));
            }
            numbered.push(part);
        }
        Ok(Self {
            classes: classes.names,
            parts: numbered,
            notes,
        })
    }

    /// The parts in order. A dataset that is not divided has the one part `None`.
    pub(in crate::dataset) fn splits(&self) -> Vec<Option<Split>> {
        self.parts.iter().map(|part| part.split).collect()
    }

    /// Opens a part, with the classes of all parts together.
    pub(in crate::dataset) fn open(&self, number: usize) -> Result<WebDataset, Error> {
        let TarPart {
            sources, samples, ..
        } = &self.parts[number];
        if samples.is_empty() {
            let path = sources
                .first()
                .map_or_else(PathBuf::new, |source| source.path().to_owned());
            return Err(Error::NoImages { path });
        }
        Ok(WebDataset::of_samples(
            sources.clone(),
            samples.clone(),
            self.classes.clone(),
        ))
    }
}

impl TarPart {
    /// The part, and how many images are left out of it: those without a label, unless none has one.
    fn of(
        split: Option<Split>,
        shards: Vec<(TarSource, Shard)>,
        teller: Teller,
        classes: &Classes,
    ) -> (Self, usize) {
        let mut sources = Vec::new();
        let mut samples = Vec::new();
        for (number, (source, shard)) in shards.into_iter().enumerate() {
            sources.push(source);
            samples.extend(shard.samples.into_iter().map(|sample| TarSample {
                source: number,
                label: label(&sample, teller).and_then(|label| classes.number(label)),
                name: sample.name,
                offset: sample.offset,
                size: sample.size,
            }));
        }
        let all = samples.len();
        if samples.iter().any(|sample| sample.label.is_some()) {
            samples.retain(|sample| sample.label.is_some());
        }
        let left_out = all - samples.len();
        let part = Self {
            split,
            sources: sources.into(),
            samples: samples.into(),
        };
        (part, left_out)
    }
}

fn label(sample: &ShardSample, teller: Teller) -> Option<&Label> {
    let mut labels = sample.labels.iter();
    labels.find_map(|(by, label)| (*by == teller).then_some(label))
}

fn without_labels<'s>(mut shards: impl Iterator<Item = &'s Shard>) -> String {
    match shards.find_map(|shard| shard.in_folder.as_ref()) {
        Some(image) => format!(
            "it holds images in folders, as `{image}`, and no labels beside them: unpack it, and give \
             the folder"
        ),
        None => "no member beside its images says a class, expected members as `0001.cls` beside \
                 `0001.jpg`"
            .to_owned(),
    }
}

/// The names of the classes, if a file in an archive's folder has them, or one above a split's.
fn names_beside(archive: &Path) -> Result<Option<ClassFile>, Error> {
    let mut folders: Vec<&Path> = archive.ancestors().skip(1).take(2).collect();
    let is_split = |folder: &&Path| Split::of_folder_name(&file_name(folder)).is_some();
    if !folders.first().is_some_and(is_split) {
        folders.truncate(1);
    }
    for folder in folders {
        let files: Vec<PathBuf> = NAME_FILES
            .iter()
            .map(|name| folder.join(name))
            .filter(|file| file.is_file())
            .collect();
        match &files[..] {
            [] => {}
            [file] => {
                let names = class_names(file)?;
                let path = file.clone();
                return Ok(Some(ClassFile { path, names }));
            }
            [file, ..] => {
                let names: Vec<String> = files.iter().map(|file| file_name(file)).collect();
                return Err(Error::Ambiguous {
                    path: file.clone(),
                    reason: format!(
                        "{} each may name the classes; keep one",
                        quoted(&names).unwrap_or_default()
                    ),
                });
            }
        }
    }
    Ok(None)
}
