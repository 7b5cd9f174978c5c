//! The images of both domains.

use std::sync::Arc;

use anyhow::{Context as _, Result, bail, ensure};
use cnn_core::Key;
use cnn_data::{Dataset, Subset, duplicates_across};
use cnn_transfer::adapt::{DomainShift, FewLabels, MatchedClasses, Unlabelled};
use cnn_transfer::match_class_names;

use super::Adapt;
use super::part::{LabelledImages, Part, has_labels};
use crate::args::Unusable;

/// The images of both domains.
pub(super) struct DomainData {
    /// `None` for methods that do without.
    pub(super) source: Option<LabelledImages>,
    /// The source's, or without one the network's.
    pub(super) classes: Vec<String>,
    pub(super) target: Unlabelled,
    /// The target's training images with the labels that they may have, of those of `classes` that
    /// they have: for the oracle alone.
    pub(super) oracle: Option<LabelledImages>,
    /// The few of them whose labels every method may know.
    pub(super) few: Option<FewLabels>,
    /// What is measured on; `None` where nothing has labels.
    pub(super) test: Option<Arc<dyn Dataset>>,
    /// What of the target that is.
    pub(super) test_name: String,
    /// What whoever reads the figures has to know of the domains, in sentences.
    pub(super) notes: Vec<String>,
}

/// Images that are measured on, and what of the target they are.
struct TestImages {
    images: Arc<dyn Dataset>,
    name: String,
}

impl DomainData {
    /// `known` are the classes of a network that is adapted without a source.
    pub(super) fn open(command: &Adapt, known: Option<Vec<String>>) -> Result<Self> {
        let Domains { source, target } = Domains::open(command)?;
        let test = TestImages::of(command, &target)?;
        let source = source.map(|source| source.with_validation(command.seed));
        let source = source.transpose()?;
        let of_source = || {
            source
                .as_ref()
                .map(|source| source.train.classes().to_vec())
        };
        let classes = known.or_else(of_source).unwrap_or_default();
        let matched = Matched::of(&target.train, &classes)?;
        let few = match (command.target_labels, &matched) {
            (None, _) => None,
            (Some(_), None) => {
                let message = "--target-labels: the target's training images have no labels of the \
                               source's classes";
                return Err(anyhow::anyhow!(message).context(Unusable));
            }
            (Some(count), Some(matched)) => {
                let key = Key::new(command.seed).stream("target labels");
                Some(FewLabels::draw(&matched.images, count as usize, key).context(Unusable)?)
            }
        };
        let mut notes = classes_apart(&classes, target.train.classes(), matched.as_ref());
        notes.extend(duplicates(source.as_ref(), &target, test.as_ref()));
        let test = match (test, &few, &matched) {
            // Those that were learnt from say nothing.
            (Some(test), Some(few), Some(matched)) if target.held_out.is_none() => {
                Some(test.but(command, few, &matched.images)?)
            }
            (test, ..) => test,
        };
        let labels = matched.filter(|_| !command.no_oracle && source.is_some());
        let oracle = labels.map(|matched| {
            let images = LabelledImages::holding_out(matched.images, command.seed);
            images
                .context("--no-oracle leaves out the run that learns from the target's labels")?
                .of_present_classes()
        });
        Ok(Self {
            oracle: oracle.transpose()?,
            few,
            source,
            classes,
            test_name: test
                .as_ref()
                .map_or_else(String::new, |test| test.name.clone()),
            test: test.map(|test| test.images),
            target: Unlabelled::new(target.train),
            notes,
        })
    }

    /// The source, and beside it the target's images whose labels are known.
    pub(super) fn with_few(&self, source: &LabelledImages) -> Result<LabelledImages> {
        let few = self.few.as_ref();
        let both = few.map(|few| few.beside(source.train.clone()));
        let validation = source.validation.clone();
        Ok(match both.transpose()? {
            Some(both) => LabelledImages {
                train: Arc::new(both),
                validation,
            },
            None => source.clone(),
        })
    }

    /// Refuses batches that the target cannot fill.
    pub(super) fn check_batch(&self, batch: usize) -> Result<()> {
        let images = self.target.len();
        ensure!(
            images >= batch,
            "--batch {batch}: the target has {images} training images, expected at least a batch"
        );
        Ok(())
    }

    /// What the domains are, for people.
    pub(super) fn print(&self) {
        let source = match &self.source {
            Some(source) => format!(
                "source: {} training and {} validation images of {} classes",
                source.train.len(),
                source.validation.len(),
                self.classes.len()
            ),
            None => format!(
                "no source: the network knows {} classes",
                self.classes.len()
            ),
        };
        let few = self
            .few
            .as_ref()
            .map_or_else(String::new, |few| format!(" but of {}", few.places().len()));
        let measured = match &self.test {
            Some(test) => format!("measured on {} of {}", test.len(), self.test_name),
            None => "and nothing to measure on".to_string(),
        };
        eprintln!(
            "{source}; target: {} images without labels{few}, {measured}",
            self.target.len()
        );
        crate::inference::print_notes(&self.notes);
    }
}

/// Both domains as the command line names them.
struct Domains {
    source: Option<Part>,
    target: Part,
}

impl Domains {
    fn open(command: &Adapt) -> Result<Self> {
        let shift = command.shift.as_deref().map(str::parse::<DomainShift>);
        let shift = shift.transpose().context(Unusable)?;
        let source = (!command.source.is_empty()).then(|| Part::labelled(&command.source));
        let source = source.transpose()?;
        let parts = match (source, command.target.as_str()) {
            (Some(whole), "") => {
                let halves = whole.halved(command.seed)?;
                Self {
                    source: Some(halves.source),
                    target: halves.target,
                }
            }
            (source, target) => Self {
                source,
                target: Part::of_images(target)?,
            },
        };
        let target = match &shift {
            Some(shift) => parts.target.shifted(shift, command.seed),
            None => parts.target,
        };
        Ok(Self {
            source: parts.source.map(Part::cached),
            target: target.cached(),
        })
    }
}

impl TestImages {
    /// Those that the command line names, or else of the target; `None` without labels.
    fn of(command: &Adapt, target: &Part) -> Result<Option<Self>> {
        let test = match (&command.test, &target.held_out) {
            (Some(test), _) => {
                let part = Part::labelled(test)?;
                let shift = command.shift.as_deref().map(str::parse::<DomainShift>);
                let part = match shift.transpose().context(Unusable)? {
                    Some(shift) => part.shifted(&shift, command.seed),
                    None => part,
                };
                let part = part.cached();
                Self {
                    images: part.held_out.unwrap_or(part.train),
                    name: test.clone(),
                }
            }
            (None, Some(held_out)) => Self {
                images: held_out.clone(),
                name: "its images that it was not trained on".to_string(),
            },
            (None, None) => Self {
                images: target.train.clone(),
                name: "its training images".to_string(),
            },
        };
        let is_labelled = has_labels(test.images.as_ref());
        if command.test.is_some() && !is_labelled {
            bail!("--test: images without labels, with which nothing can be measured");
        }
        Ok(is_labelled.then_some(test))
    }

    /// Where these are the target's training images, without those whose labels are known.
    fn but(self, command: &Adapt, few: &FewLabels, matched: &Arc<dyn Dataset>) -> Result<Self> {
        if command.test.is_some() {
            return Ok(self);
        }
        let is_other = |place: &usize| few.places().binary_search(place).is_err();
        let others: Vec<usize> = (0..matched.len()).filter(is_other).collect();
        ensure!(
            !others.is_empty(),
            "--target-labels: all images of the target would have labels, and none would be left to \
             measure on"
        );
        Ok(Self {
            images: Arc::new(Subset::new(matched.clone(), others)?),
            name: "its training images whose labels nobody knew".to_string(),
        })
    }
}

/// The labelled images of the target, numbered as the network's classes are.
struct Matched {
    images: Arc<dyn Dataset>,
    /// Images of other classes.
    unknown: usize,
}

impl Matched {
    /// `None` where the images have no labels, or none of these classes.
    fn of(images: &Arc<dyn Dataset>, classes: &[String]) -> Result<Option<Self>> {
        if !has_labels(images.as_ref()) {
            return Ok(None);
        }
        let matched = MatchedClasses::new(images.clone(), classes)?;
        let unknown = matched.unknown_images();
        Ok((!matched.is_empty()).then(|| Self {
            images: Arc::new(matched),
            unknown,
        }))
    }
}

/// What classes only one of the domains has.
fn classes_apart(
    classes: &[String],
    of_target: &[String],
    matched: Option<&Matched>,
) -> Vec<String> {
    let Some(matched) = matched else {
        return Vec::new();
    };
    let numbers = match_class_names(classes, of_target);
    let names = of_target.iter().zip(&numbers);
    let unknown = names.filter(|(_, number)| number.is_none());
    let unknown: Vec<&str> = unknown.map(|(name, _)| name.as_str()).collect();
    let absent = classes.iter().enumerate();
    let absent = absent.filter(|(class, _)| !numbers.contains(&Some(*class)));
    let absent: Vec<&str> = absent.map(|(_, name)| name.as_str()).collect();
    let mut notes = Vec::new();
    if !absent.is_empty() {
        notes.push(format!(
            "the target lacks classes of the source ({}): methods that want equal distributions, or \
             predictions of all classes, may pull images onto these",
            absent.join(", ")
        ));
    }
    if !unknown.is_empty() {
        notes.push(format!(
            "the target has classes that the source lacks ({}): their {} images are trained on as \
             any of the target are, and not measured",
            unknown.join(", "),
            matched.unknown
        ));
    }
    notes
}

/// Which images are in more than one place.
fn duplicates(
    source: Option<&LabelledImages>,
    target: &Part,
    test: Option<&TestImages>,
) -> Vec<String> {
    let mut notes = Vec::new();
    let mut note = |first: &dyn Dataset, second: &dyn Dataset, places: &str| {
        let twins = duplicates_across(first, second);
        if let Some((one, other)) = twins.first() {
            notes.push(format!(
                "{} of {places} are the same, as {one} and {other}",
                twins.len()
            ));
        }
    };
    if let Some(source) = source {
        note(
            source.train.as_ref(),
            target.train.as_ref(),
            "the source's and the target's training images",
        );
    }
    // Where the target's training images are measured on, they are what the method is asked about.
    let apart = test.filter(|test| !Arc::ptr_eq(&test.images, &target.train));
    if let Some(test) = apart {
        note(
            target.train.as_ref(),
            test.images.as_ref(),
            "the target's training images and those that are measured on",
        );
        if let Some(source) = source {
            note(
                source.train.as_ref(),
                test.images.as_ref(),
                "the source's training images and those that are measured on",
            );
        }
    }
    notes
}
