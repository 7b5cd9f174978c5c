//! How an epoch is chosen without labels of the target.

use std::fmt;
use std::str::FromStr;

use cnn_metrics::{
    DomainClassifier, DomainClassifierConfig, DomainFeatures, SND_TEMPERATURE, batch_nuclear_norm,
    deep_embedded_validation, information_maximization, mean_entropy, soft_neighborhood_density,
};
use serde::{Deserialize, Serialize};

use crate::Error;

/// What says which epoch is the best, of what the network makes of images without labels. All are
/// so signed that more is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Validator {
    /// [`information_maximization`] of the target's predictions: sure ones, of all classes.
    InformationMaximization,
    /// Minus the [`mean_entropy`] of the target's predictions.
    Entropy,
    /// [`soft_neighborhood_density`] of the target's predictions (Saito et al. 2021).
    Snd,
    /// [`batch_nuclear_norm`] of the target's predictions (Cui et al. 2020).
    Bnm,
    /// Minus the [`deep_embedded_validation`] risk on the source's validation images (You et al.
    /// 2019).
    Dev,
    /// The accuracy on the source's validation images.
    Source,
}

/// Validation images of the source that [`Validator::Dev`] needs at least: of half of them it learns
/// which are like the target, of the others it takes a variance.
const LEAST_OF_DEV: usize = 4;

/// All validators with their names, as the logs have them.
pub const VALIDATORS: [(Validator, &str); 6] = [
    (Validator::InformationMaximization, "im"),
    (Validator::Entropy, "entropy"),
    (Validator::Snd, "snd"),
    (Validator::Bnm, "bnm"),
    (Validator::Dev, "dev"),
    (Validator::Source, "source_top1"),
];

/// What a network makes of validation images of the source, row by row.
pub(super) struct JudgedSource<'a> {
    pub(super) features: &'a [f32],
    pub(super) losses: Vec<f64>,
    pub(super) top1: f64,
}

/// What a network makes of images of both domains, row by row.
pub(super) struct Judged<'a> {
    /// `None` where the source is not at hand.
    pub(super) source: Option<JudgedSource<'a>>,
    pub(super) target_features: &'a [f32],
    pub(super) target_logits: &'a [f32],
    pub(super) features: usize,
    pub(super) classes: usize,
}

impl<'a> Judged<'a> {
    /// The source, which a validator needs.
    fn source_or(&self, validator: Validator) -> Result<&JudgedSource<'a>, Error> {
        let missing = || Error::argument("validator", validator.name(), "images of the source");
        self.source.as_ref().ok_or_else(missing)
    }
}

impl Validator {
    /// Its name, as the logs have it.
    pub fn name(self) -> &'static str {
        let found = VALIDATORS.iter().find(|(validator, _)| *validator == self);
        found.map_or("im", |(_, name)| name)
    }

    /// Whether it can say something where the source is at hand, or is not.
    pub fn is_possible(self, has_source: bool) -> bool {
        has_source || !matches!(self, Self::Dev | Self::Source)
    }

    /// What is said of the network; not a number where there are too few images to say it.
    pub(super) fn score(self, judged: &Judged<'_>) -> Result<f64, Error> {
        let logits = judged.target_logits;
        let classes = judged.classes;
        Ok(match self {
            Self::InformationMaximization => information_maximization(logits, classes)?,
            Self::Entropy => -mean_entropy(logits, classes)?,
            Self::Snd => soft_neighborhood_density(logits, classes, SND_TEMPERATURE)?,
            Self::Bnm => batch_nuclear_norm(logits, classes)?,
            Self::Dev => -dev_risk(judged, judged.source_or(self)?)?,
            Self::Source => judged.source_or(self)?.top1,
        })
    }

    /// Fails where it cannot choose, with so many validation images of the source, or without a
    /// source.
    ///
    /// # Errors
    /// [`Error::Argument`] if the source is not at hand and it needs that, or has too few validation
    /// images.
    pub fn check(self, validation_images: Option<usize>) -> Result<(), Error> {
        if self.is_possible(validation_images.is_some()) {
            return match validation_images {
                Some(images) if self == Self::Dev && images < LEAST_OF_DEV => {
                    let expected = format!("at least {LEAST_OF_DEV}, which dev needs");
                    Err(Error::argument(
                        "validation images of the source",
                        images,
                        expected,
                    ))
                }
                _ => Ok(()),
            };
        }
        let without = VALIDATORS.iter().filter(|(one, _)| one.is_possible(false));
        let names: Vec<&str> = without.map(|(_, name)| *name).collect();
        let expected = format!("one of {} where there is no source", names.join(", "));
        Err(Error::argument("validator", self.name(), expected))
    }
}

/// The risk on the target, estimated from the source's losses and how like the target each image
/// is: a classifier of domains learns from every other image, and is asked of the others.
fn dev_risk(judged: &Judged<'_>, source: &JudgedSource<'_>) -> Result<f64, Error> {
    if source.losses.len() < LEAST_OF_DEV {
        return Ok(f64::NAN);
    }
    let columns = judged.features;
    let parts = |values: &[f32], rest: usize| {
        let rows = values.chunks_exact(columns).skip(rest).step_by(2);
        rows.flatten().copied().collect::<Vec<f32>>()
    };
    let [learnt, asked] = [0, 1].map(|rest| parts(source.features, rest));
    let target = parts(judged.target_features, 0);
    let features = DomainFeatures {
        source: &learnt,
        target: &target,
        columns,
    };
    let classifier = DomainClassifier::fit(features, &DomainClassifierConfig::default())?;
    let losses = source.losses.iter().skip(1).step_by(2);
    let losses: Vec<f64> = losses.copied().collect();
    let ratios = classifier.density_ratios(&asked)?;
    Ok(deep_embedded_validation(&losses, &ratios)?)
}

impl fmt::Display for Validator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Validator {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        let found = VALIDATORS.iter().find(|(_, known)| *known == name);
        let names: Vec<&str> = VALIDATORS.iter().map(|(_, name)| *name).collect();
        let expected = format!("one of {}", names.join(", "));
        let (validator, _) = found.ok_or_else(|| Error::argument("validator", name, expected))?;
        Ok(*validator)
    }
}
