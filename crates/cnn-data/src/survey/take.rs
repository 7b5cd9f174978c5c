//! Taking a survey.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use rayon::iter::{IntoParallelIterator, ParallelIterator};

use super::BoxSurvey;
use super::mask_counts::MaskCounts;
use super::moments::Moments;
use super::report::{
    ClassCount, DuplicateGroup, KindCount, Location, Range, Sizes, SplitSurvey, Survey,
};
use super::sample_facts::{ImageFacts, SampleFacts};
use crate::dataset::has_tables_or_archives;
use crate::{Dataset, Error, FoundDataset, PhotoList, Split};

/// Reads every sample of all splits of the dataset at `path`, and tells what there is.
///
/// A folder of images that is no dataset is surveyed as images without labels. The result is the
/// same at any number of threads.
///
/// # Errors
///
/// As [`open_dataset`](crate::open_dataset); broken samples are no error.
pub fn survey(path: &Path) -> Result<Survey, Error> {
    let OpenDataset { parts, notes } = open_parts(path)?;
    let survey = survey_parts(&path.display().to_string(), parts);
    Ok(Survey { notes, ..survey })
}

/// The same of a dataset that was found already, with the classes of masks that it was given.
///
/// # Errors
///
/// As [`FoundDataset::open`]; broken samples are no error.
pub fn survey_found(found: &FoundDataset) -> Result<Survey, Error> {
    let OpenDataset { parts, notes } = open_found(found)?;
    let survey = survey_parts(&found.path().display().to_string(), parts);
    Ok(Survey { notes, ..survey })
}

/// Reads every sample of a dataset's splits, and tells what there is; `name` is what the report
/// calls it.
pub fn survey_parts(name: &str, parts: Vec<(Option<Split>, Arc<dyn Dataset>)>) -> Survey {
    let surveyed: Vec<Part> = parts.into_iter().map(Part::survey).collect();
    report(name, &surveyed)
}

struct Part {
    split: Option<Split>,
    dataset: Arc<dyn Dataset>,
    facts: Vec<SampleFacts>,
}

impl Part {
    fn survey((split, dataset): OpenPart) -> Self {
        let facts = (0..dataset.len())
            .into_par_iter()
            .map(|index| SampleFacts::of(dataset.as_ref(), index))
            .collect();
        Self {
            split,
            dataset,
            facts,
        }
    }

    fn images(&self) -> impl Iterator<Item = &ImageFacts> {
        self.facts
            .iter()
            .filter_map(|facts| facts.image.as_ref().ok())
    }

    fn counts(&self) -> SplitSurvey {
        let with_label = |label: Option<usize>| {
            self.facts
                .iter()
                .filter(|facts| facts.label == label)
                .count()
        };
        let classes = self.dataset.classes().iter().enumerate();
        SplitSurvey {
            split: self.split,
            samples: self.facts.len(),
            readable: self.images().count(),
            classes: classes
                .map(|(number, label)| ClassCount {
                    label: label.clone(),
                    samples: with_label(Some(number)),
                })
                .collect(),
            unlabelled: with_label(None),
        }
    }

    fn location(&self, facts: &SampleFacts) -> Location {
        let class = facts
            .label
            .and_then(|label| self.dataset.classes().get(label));
        Location {
            path: self.dataset.id(facts.index),
            split: self.split,
            label: class.cloned(),
        }
    }
}

type OpenPart = (Option<Split>, Arc<dyn Dataset>);

struct OpenDataset {
    parts: Vec<OpenPart>,
    notes: Vec<String>,
}

fn open_parts(path: &Path) -> Result<OpenDataset, Error> {
    match FoundDataset::at(path) {
        Ok(found) => open_found(&found),
        Err(Error::UnknownDataset { path: at, reason }) => match PhotoList::open(&[path]) {
            Ok(photos) => Ok(OpenDataset {
                parts: vec![(None, Arc::new(photos))],
                notes: about_photos(path, &reason)?,
            }),
            Err(_) => Err(Error::UnknownDataset { path: at, reason }),
        },
        Err(error) => Err(error),
    }
}

fn open_found(found: &FoundDataset) -> Result<OpenDataset, Error> {
    let parts = found.parts().into_iter();
    Ok(OpenDataset {
        parts: parts
            .map(|split| Ok((split, found.open(split)?)))
            .collect::<Result<_, Error>>()?,
        notes: found.notes().to_vec(),
    })
}

/// Why images have no labels, where a table or an archive lies beside them.
fn about_photos(path: &Path, reason: &str) -> Result<Vec<String>, Error> {
    let is_beside = has_tables_or_archives(path)?;
    let note = || format!("the images are taken as photos without labels: {reason}");
    Ok(is_beside.then(note).into_iter().collect())
}

fn report(name: &str, parts: &[Part]) -> Survey {
    let images = || parts.iter().flat_map(Part::images);
    let heights = Range::of(images().map(|image| image.height));
    let widths = Range::of(images().map(|image| image.width));
    let mut moments = Moments::default();
    images().for_each(|image| moments.add(&image.moments));
    let mut masks = MaskCounts::default();
    images()
        .filter_map(|image| image.mask.as_ref())
        .for_each(|mask| masks.add(mask));
    let objects: Vec<_> = images().filter_map(|image| image.objects.clone()).collect();
    let has_boxes = parts.iter().any(|part| part.dataset.has_boxes());
    let boxes = has_boxes.then(|| BoxSurvey::of(&objects, parts[0].dataset.classes()));
    let broken = parts
        .iter()
        .flat_map(|part| &part.facts)
        .filter_map(|facts| facts.image.as_ref().err());
    Survey {
        path: name.to_string(),
        format: parts[0].dataset.format(),
        classes: parts[0].dataset.classes().to_vec(),
        samples: parts.iter().map(|part| part.facts.len()).sum(),
        readable: images().count(),
        splits: parts.iter().map(Part::counts).collect(),
        sizes: heights
            .zip(widths)
            .map(|(height, width)| Sizes { height, width }),
        kinds: kinds(images()),
        statistics: moments.statistics(),
        boxes,
        masks: masks.report(parts[0].dataset.mask_classes()),
        notes: Vec::new(),
        broken: broken.cloned().collect(),
        duplicates: duplicates(parts),
    }
}

fn kinds<'a>(images: impl Iterator<Item = &'a ImageFacts>) -> Vec<KindCount> {
    let mut counts = BTreeMap::new();
    for image in images {
        *counts.entry(image.kind).or_default() += 1;
    }
    let mut kinds: Vec<_> = counts
        .into_iter()
        .map(|((format, color, bits), samples)| KindCount {
            format,
            color,
            bits,
            samples,
        })
        .collect();
    kinds.sort_by_key(|kind| std::cmp::Reverse(kind.samples));
    kinds
}

fn duplicates(parts: &[Part]) -> Vec<DuplicateGroup> {
    let mut same_bytes: BTreeMap<[u8; 32], Vec<(usize, usize)>> = BTreeMap::new();
    for (part_number, part) in parts.iter().enumerate() {
        for (fact_number, facts) in part.facts.iter().enumerate() {
            if let Some(sha256) = facts.sha256 {
                same_bytes
                    .entry(sha256)
                    .or_default()
                    .push((part_number, fact_number));
            }
        }
    }
    let mut groups: Vec<_> = same_bytes
        .into_iter()
        .filter(|(_, samples)| samples.len() > 1)
        .collect();
    groups.sort_by_key(|(_, samples)| samples[0]);
    groups
        .into_iter()
        .map(|(sha256, samples)| duplicate_group(parts, &sha256, &samples))
        .collect()
}

fn duplicate_group(
    parts: &[Part],
    sha256: &[u8; 32],
    samples: &[(usize, usize)],
) -> DuplicateGroup {
    let samples: Vec<_> = samples
        .iter()
        .map(|&(part, facts)| parts[part].location(&parts[part].facts[facts]))
        .collect();
    let first = &samples[0];
    DuplicateGroup {
        sha256: cnn_core::hex(sha256),
        across_splits: samples.iter().any(|sample| sample.split != first.split),
        across_classes: samples.iter().any(|sample| sample.label != first.label),
        samples,
    }
}
