//! What the runs made of the domains: how far these lie apart, and what each validator would have
//! chosen.

mod distances;
mod features;
mod validators;

use std::path::Path;

use anyhow::Result;
use cnn_models::{LoadOptions, Network};

use super::data::DomainData;
use super::runs::{MethodOutcome, Outcomes};
pub(super) use distances::Distances;
pub(super) use features::{DomainSample, Features, ImageFeatures};
pub(super) use validators::{Choice, choices};

/// What is known of the methods beside how often they are right.
pub(super) struct Analysis {
    pub(super) sample: DomainSample,
    /// For each method, the source alone first, its first run.
    pub(super) methods: Vec<MethodAnalysis>,
}

/// What is known of the first run of a method.
pub(super) struct MethodAnalysis {
    /// Its chosen epoch.
    pub(super) network: Network,
    /// Of the images that are looked at.
    pub(super) features: Features,
    /// How far the domains lie apart.
    pub(super) distances: Distances,
}

impl Analysis {
    pub(super) fn of(data: &DomainData, outcomes: &Outcomes, directory: &Path) -> Result<Self> {
        let sample = DomainSample::of(data)?;
        let method = |outcome: &MethodOutcome| {
            let best = directory.join(&outcome.runs[0].folder).join("best");
            let network = Network::load(&best, &LoadOptions::default())?;
            let features = Features::of(&network, &sample)?;
            Ok(MethodAnalysis {
                distances: Distances::of(&features)?,
                features,
                network,
            })
        };
        let methods = outcomes.methods.iter().map(method);
        Ok(Self {
            methods: methods.collect::<Result<_>>()?,
            sample,
        })
    }
}
