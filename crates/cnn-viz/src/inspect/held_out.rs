//! Whether what some images say of the filters holds on others.

use std::collections::{HashMap, HashSet};

use cnn_models::Network;
use serde::Serialize;

use super::candidates::{Candidate, candidates};
use super::channel_sums::ChannelSums;
use super::filter_graph::FilterGraph;
use super::images::{Images, Take};
use super::measure::is_held_out;
use super::verify::{Verdict, change_without, verify};
use crate::Error;

/// The filters that do nothing on four fifths of the images, tried on the other fifth, from which
/// the claim was not made.
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
    /// By how much any logit of the latter changes at most when all that were claimed are removed
    /// together.
    pub max_logit_change: f64,
}

impl HeldOut {
    /// With fewer images than these nothing is held out.
    pub const LEAST_IMAGES: usize = 10;

    /// The share of the claimed filters that the other images contradict, in 0..1; 0 where nothing
    /// was claimed.
    pub fn contradicted_share(&self) -> f64 {
        self.contradicted as f64 / self.claimed.max(1) as f64
    }
}

/// The filters that do nothing on the images that are not held out.
pub(super) struct Claim {
    accepted: Vec<Candidate>,
    /// Unit and channel of candidates that these images refuse.
    refused: HashSet<Place>,
    /// By how much their logits change at most without the accepted ones.
    change: f64,
}

/// Unit and channel.
type Place = (usize, usize);

impl Claim {
    /// Made from the sums over these images, and tried on them.
    pub(super) fn new(
        network: &Network,
        graph: &FilterGraph,
        sums: &[Option<ChannelSums>],
        images: &Images<'_>,
        progress: &mut dyn FnMut(usize),
    ) -> Result<Self, Error> {
        let found = candidates(graph, sums, network.store())?;
        let mut made_from = images.filtered(|image| !is_held_out(image));
        let verdict = verify(network, graph, &found, |take: &mut Take<'_>| {
            made_from.read(progress, take)
        })?;
        let (accepted, refused): (Vec<_>, Vec<_>) = found
            .into_iter()
            .zip(verdict.accepted)
            .partition(|(_, is_accepted)| *is_accepted);
        Ok(Self {
            accepted: accepted
                .into_iter()
                .map(|(candidate, _)| candidate)
                .collect(),
            refused: refused
                .iter()
                .map(|(candidate, _)| place(candidate))
                .collect(),
            change: verdict.change,
        })
    }

    /// What of the candidates of all images may be removed.
    ///
    /// As a rule the held-out images alone have to be asked: the others have passed without the
    /// claimed filters, and pass as well without fewer of them if those that are left in were the
    /// same number everywhere, so that their removal changed nothing. Else all images are gone
    /// through again.
    pub(super) fn confirm(
        &self,
        network: &Network,
        graph: &FilterGraph,
        mut candidates: Vec<Candidate>,
        images: &mut Images<'_>,
        progress: &mut dyn FnMut(usize),
    ) -> Result<(Vec<Candidate>, Verdict), Error> {
        candidates.retain(|candidate| !self.refused.contains(&place(candidate)));
        if let Some(claimed) = self.claimed(&candidates) {
            let mut others = images.filtered(is_held_out);
            let verdict = verify(network, graph, &claimed, |take: &mut Take<'_>| {
                others.read(progress, take)
            })?;
            if verdict.accepted.iter().all(|accepted| *accepted) {
                return Ok((
                    claimed,
                    Verdict {
                        change: verdict.change.max(self.change),
                        ..verdict
                    },
                ));
            }
            let mut accepted = verdict.accepted.into_iter();
            candidates.retain(|_| accepted.next() == Some(true));
        }
        let verdict = verify(network, graph, &candidates, |take: &mut Take<'_>| {
            images.read(progress, take)
        })?;
        Ok((candidates, verdict))
    }

    /// These candidates, each with what the claim puts in its place; `None` where some were not
    /// claimed, or where something was that is not among them and may have changed a logit.
    fn claimed(&self, candidates: &[Candidate]) -> Option<Vec<Candidate>> {
        let mut left: HashMap<Place, &Candidate> = self
            .accepted
            .iter()
            .map(|candidate| (place(candidate), candidate))
            .collect();
        let claimed = candidates.iter().map(|candidate| {
            let claimed = left.remove(&place(candidate))?;
            let Candidate {
                kind, exact, risk, ..
            } = *candidate;
            Some(Candidate {
                kind,
                exact,
                risk,
                ..claimed.clone()
            })
        });
        let claimed = claimed.collect::<Option<_>>()?;
        left.values()
            .all(|candidate| candidate.exact)
            .then_some(claimed)
    }

    /// How the claim fares on the images that are held out, when so much is found on all.
    pub(super) fn held_out(
        &self,
        network: &Network,
        graph: &FilterGraph,
        found: &[Candidate],
        verdict: &Verdict,
        images: &Images<'_>,
        progress: &mut dyn FnMut(usize),
    ) -> Result<HeldOut, Error> {
        let mut others = images.filtered(is_held_out);
        let number = others.len();
        let mut sweep = |take: &mut Take<'_>| others.read(progress, take);
        let max_logit_change = if self.accepted.is_empty() {
            0.
        } else {
            change_without(network, graph, &self.accepted, &mut sweep)?
        };
        let found = found
            .iter()
            .zip(&verdict.accepted)
            .filter(|(_, accepted)| **accepted);
        let holds: HashSet<Place> = found.map(|(candidate, _)| place(candidate)).collect();
        Ok(HeldOut {
            made_from: images.len() - number,
            images: number,
            claimed: self.accepted.len(),
            contradicted: self
                .accepted
                .iter()
                .filter(|candidate| !holds.contains(&place(candidate)))
                .count(),
            max_logit_change,
        })
    }
}

fn place(candidate: &Candidate) -> Place {
    (candidate.replacement.unit, candidate.replacement.channel)
}
