//! Which of the filters that look as if they did nothing can be removed together.

use candle_core::{Result as CandleResult, Tensor};
use cnn_layers::{Context, FeatureMap, Mode};
use cnn_models::Network;

use super::Inspection;
use super::candidates::Candidate;
use super::edit::{EditedNetwork, Replacement};
use super::filter_graph::FilterGraph;
use super::measure::largest_difference;
use crate::Error;

/// Forward passes of one batch that may be spent on finding which part of the candidates it lets pass.
const MOST_TESTS: usize = 100;
/// Times that the images are gone through.
const MOST_SWEEPS: usize = 4;
/// What one batch lets pass has this share of the limit, so that the next one does not refuse it at once.
const MARGIN: f64 = 0.5;

/// What may be removed, and what that changes.
pub(super) struct Verdict {
    /// Of each candidate, whether it may.
    pub(super) accepted: Vec<bool>,
    /// By how much the logits change at most without the exact ones.
    pub(super) exact_change: f64,
    /// The same without all that are accepted.
    pub(super) change: f64,
}

/// Removes the candidates together and keeps those that no image objects to.
///
/// Exact candidates are always accepted. The others are removed with them, all at once, batch by batch. A batch whose logits change by more than the limit reduces them: in
/// the order of their risk they are added in halves, and in halves of halves where a half is refused, until each is in or out or [`MOST_TESTS`] are spent. Batches before it
/// have not seen the smaller set, so the images are gone through again until no batch objects: the set that is accepted has passed on every image as it is. What is not
/// settled after [`MOST_SWEEPS`] is out.
///
/// `batches` goes through the images and gives each batch to its argument.
pub(super) fn verify(
    network: &Network,
    graph: &FilterGraph,
    candidates: &[Candidate],
    mut batches: impl FnMut(&mut dyn FnMut(&FeatureMap) -> CandleResult<()>) -> Result<(), Error>,
) -> Result<Verdict, Error> {
    let mut accepted = vec![true; candidates.len()];
    let (mut exact_change, mut change) = (0., 0.);
    if candidates.is_empty() {
        return Ok(Verdict { accepted, exact_change, change });
    }
    let original = network.build(Mode::Eval)?;
    let (mut exact, mut all) = (Removed::new(network, graph, candidates)?, Removed::new(network, graph, candidates)?);
    let only_exact: Vec<usize> = (0..candidates.len()).filter(|&index| candidates[index].exact).collect();
    let mut doubtful: Vec<usize> = (0..candidates.len()).filter(|&index| !candidates[index].exact).collect();
    doubtful.sort_by(|&a, &b| candidates[a].risk.total_cmp(&candidates[b].risk));
    exact.remove(&only_exact, &[])?;
    for sweep in 0.. {
        if sweep == MOST_SWEEPS {
            doubtful.clear();
        }
        all.remove(&only_exact, &doubtful)?;
        (exact_change, change) = (0., 0.);
        let (mut first, mut reduced) = (true, false);
        batches(&mut |images| {
            let logits = original.forward(images, &Context::eval())?;
            if !only_exact.is_empty() {
                exact_change = exact.change(images, &logits)?.max(exact_change);
            }
            if !doubtful.is_empty() {
                let mut found = all.change(images, &logits)?;
                if found > Inspection::LIMIT {
                    (doubtful, found) = all.reduce(&only_exact, &doubtful, images, &logits)?;
                    reduced |= !first;
                }
                change = found.max(change);
            }
            first = false;
            Ok(())
        })?;
        if !reduced {
            break;
        }
    }
    for (index, accepted) in accepted.iter_mut().enumerate() {
        *accepted = candidates[index].exact || doubtful.contains(&index);
    }
    Ok(Verdict { accepted, exact_change, change })
}

/// A copy of the network without some of the candidates.
struct Removed<'a> {
    candidates: &'a [Candidate],
    copy: EditedNetwork<'a>,
}

impl<'a> Removed<'a> {
    fn new(network: &'a Network, graph: &'a FilterGraph, candidates: &'a [Candidate]) -> Result<Self, Error> {
        Ok(Self { candidates, copy: EditedNetwork::new(network, graph)? })
    }

    fn remove(&mut self, some: &[usize], others: &[usize]) -> CandleResult<()> {
        let replacement = |&index: &usize| -> &Replacement { &self.candidates[index].replacement };
        self.copy.replace(some.iter().chain(others).map(replacement))
    }

    /// By how much the logits of a batch differ from these.
    fn change(&self, images: &FeatureMap, logits: &Tensor) -> CandleResult<f64> {
        largest_difference(&self.copy.network().model().forward(images, &Context::eval())?, logits)
    }

    /// The candidates of `doubtful` that one batch lets pass, which are then removed, and the change with them.
    fn reduce(
        &mut self,
        exact: &[usize],
        doubtful: &[usize],
        images: &FeatureMap,
        logits: &Tensor,
    ) -> CandleResult<(Vec<usize>, f64)> {
        let (mut kept, mut change): (Vec<usize>, f64) = (Vec::new(), 0.);
        let mut groups = halves(doubtful);
        for _ in 0..MOST_TESTS {
            let Some(group) = groups.pop() else { break };
            self.remove(exact, &[&kept[..], group].concat())?;
            let found = self.change(images, logits)?;
            if found <= MARGIN * Inspection::LIMIT {
                kept.extend(group);
                change = found;
            } else {
                groups.extend(halves(group));
            }
        }
        self.remove(exact, &kept)?;
        Ok((kept, change))
    }
}

/// Both halves, the one to begin with last; nothing of a group that cannot be divided.
fn halves(group: &[usize]) -> Vec<&[usize]> {
    let (first, second) = group.split_at(group.len() / 2);
    if first.is_empty() { Vec::new() } else { vec![second, first] }
}
