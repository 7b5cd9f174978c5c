//! Whether what some images say of the filters holds on others.

use std::collections::HashSet;

use cnn_models::Network;
use serde::Serialize;

use super::candidates::{Candidate, candidates};
use super::channel_sums::ChannelSums;
use super::filter_graph::FilterGraph;
use super::finding::Finding;
use super::images::{Images, Take};
use super::measure::is_held_out;
use super::verify::{change_without, verify};
use crate::Error;

/// The filters that do nothing on four fifths of the images, tried on the other fifth, from which the claim was not made.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct HeldOut {
    /// Images from which the claim was made.
    pub made_from: usize,
    /// Other images on which it was tried: every fifth.
    pub images: usize,
    /// Filters that do nothing on the former.
    pub claimed: usize,
    /// How many of them do something on the latter, and so are no findings.
    pub contradicted: usize,
    /// By how much any logit of the latter changes at most when all that were claimed are removed together.
    pub max_logit_change: f64,
}

impl HeldOut {
    /// With fewer images than these nothing is held out.
    pub const LEAST_IMAGES: usize = 10;

    /// The share of the claimed filters that the other images contradict, in 0..1; 0 where nothing was claimed.
    pub fn contradicted_share(&self) -> f64 {
        self.contradicted as f64 / self.claimed.max(1) as f64
    }
}

/// The filters that do nothing on the images that are not held out.
pub(super) struct Claim {
    accepted: Vec<Candidate>,
    /// Unit and channel of candidates that these images refuse.
    refused: HashSet<(usize, usize)>,
}

impl Claim {
    /// Made from the sums over these images.
    pub(super) fn new(
        network: &Network,
        graph: &FilterGraph,
        sums: &[Option<ChannelSums>],
        images: &Images<'_>,
        progress: &mut dyn FnMut(usize),
    ) -> Result<Self, Error> {
        let found = candidates(graph, sums, network.store())?;
        // Exact ones are accepted in any case.
        if found.iter().all(|candidate| candidate.exact) {
            return Ok(Self { accepted: found, refused: HashSet::new() });
        }
        let mut made_from = images.filtered(|image| !is_held_out(image));
        let verdict = verify(network, graph, &found, |take: &mut Take<'_>| made_from.read(progress, take).map(drop))?;
        let (mut accepted, mut refused) = (Vec::new(), HashSet::new());
        for (candidate, is_accepted) in found.into_iter().zip(verdict.accepted) {
            if is_accepted {
                accepted.push(candidate);
            } else {
                refused.insert(place(&candidate));
            }
        }
        Ok(Self { accepted, refused })
    }

    /// Whether the images from which the claim was made refuse a candidate.
    pub(super) fn refuses(&self, candidate: &Candidate) -> bool {
        self.refused.contains(&place(candidate))
    }

    /// Tries the claim on the images that are held out. `findings` are those of all images: what is not among them is contradicted.
    pub(super) fn held_out(
        &self,
        network: &Network,
        graph: &FilterGraph,
        images: &Images<'_>,
        findings: &[Finding],
        progress: &mut dyn FnMut(usize),
    ) -> Result<HeldOut, Error> {
        let mut others = images.filtered(is_held_out);
        let mut sweep = |take: &mut Take<'_>| others.read(progress, take).map(drop);
        let max_logit_change = match self.accepted.is_empty() {
            true => 0.,
            false => change_without(network, graph, &self.accepted, &mut sweep)?,
        };
        let held: HashSet<_> = findings.iter().map(|finding| (finding.unit, finding.channel)).collect();
        Ok(HeldOut {
            made_from: images.len() - others.len(),
            images: others.len(),
            claimed: self.accepted.len(),
            contradicted: self.accepted.iter().filter(|candidate| !held.contains(&place(candidate))).count(),
            max_logit_change,
        })
    }
}

fn place(candidate: &Candidate) -> (usize, usize) {
    (candidate.replacement.unit, candidate.replacement.channel)
}
