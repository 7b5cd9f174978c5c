//! Which of the filters that look as if they did nothing can be removed together.

use candle_core::{DType, Result as CandleResult, Tensor};
use cnn_layers::{Context, FeatureMap, Mode};
use cnn_models::Network;

use super::Inspection;
use super::candidates::Candidate;
use super::edit::EditedNetwork;
use super::filter_graph::FilterGraph;
use crate::Error;

/// Forward passes of one batch that may be spent on finding which part of the candidates it lets
/// pass.
const MOST_TESTS: usize = 100;
/// Times that the images are gone through.
const MOST_SWEEPS: usize = 4;
/// What one batch lets pass has this share of the limit, so that the next one does not refuse it at
/// once.
const MARGIN: f64 = 0.5;

/// What may be removed, and what that changes.
pub(super) struct Verdict {
    /// Of each candidate, whether it may.
    pub(super) accepted: Vec<bool>,
    /// By how much the logits change at most without all that are accepted.
    pub(super) change: f64,
}

/// Removes the candidates together and keeps those that no image objects to.
///
/// Exact candidates are always accepted. The others are removed with them, all at once, batch by
/// batch. A batch whose logits change by more than the limit reduces them: in the order of their
/// risk they are added in halves, and in halves of halves where a half is refused, until each is in
/// or out or [`MOST_TESTS`] are spent. Batches before it have not seen the smaller set, so the
/// images are gone through again until no batch objects: the set that is accepted has passed on
/// every image as it is. What is not settled after [`MOST_SWEEPS`] is out.
///
/// `batches` goes through the images and gives each batch to its argument.
pub(super) fn verify(
    network: &Network,
    graph: &FilterGraph,
    candidates: &[Candidate],
    mut batches: impl FnMut(&mut dyn FnMut(&FeatureMap) -> CandleResult<()>) -> Result<(), Error>,
) -> Result<Verdict, Error> {
    if candidates.is_empty() {
        return Ok(Verdict {
            accepted: Vec::new(),
            change: 0.,
        });
    }
    let original = network.build(Mode::Eval)?;
    let mut without = Without {
        candidates,
        copy: EditedNetwork::new(network, graph)?,
    };
    let (exact, mut doubtful): (Vec<usize>, Vec<usize>) =
        (0..candidates.len()).partition(|&index| candidates[index].exact);
    doubtful.sort_by(|&a, &b| candidates[a].risk.total_cmp(&candidates[b].risk));
    let mut change = 0.;
    for sweep in 0..=MOST_SWEEPS {
        if sweep == MOST_SWEEPS {
            doubtful.clear();
        }
        without.remove(&exact, &doubtful)?;
        change = 0.;
        let mut first = true;
        let mut reduced = false;
        batches(&mut |images| {
            let logits = original.forward(images, &Context::eval())?;
            let mut found = without.change(images, &logits)?;
            if found > Inspection::LIMIT && !doubtful.is_empty() {
                (doubtful, found) = without.reduce(&exact, &doubtful, images, &logits)?;
                reduced |= !first;
            }
            change = found.max(change);
            first = false;
            Ok(())
        })?;
        if !reduced {
            break;
        }
    }
    let accepted = (0..candidates.len())
        .map(|index| candidates[index].exact || doubtful.contains(&index))
        .collect();
    Ok(Verdict { accepted, change })
}

/// By how much the logits change at most without all of these candidates; `batches` as for
/// [`verify`].
pub(super) fn change_without(
    network: &Network,
    graph: &FilterGraph,
    candidates: &[Candidate],
    mut batches: impl FnMut(&mut dyn FnMut(&FeatureMap) -> CandleResult<()>) -> Result<(), Error>,
) -> Result<f64, Error> {
    let original = network.build(Mode::Eval)?;
    let mut without = Without {
        candidates,
        copy: EditedNetwork::new(network, graph)?,
    };
    without.remove(&(0..candidates.len()).collect::<Vec<_>>(), &[])?;
    let mut change = 0f64;
    batches(&mut |images| {
        change = change.max(without.change(images, &original.forward(images, &Context::eval())?)?);
        Ok(())
    })?;
    Ok(change)
}

/// A copy of the network without some of the candidates.
struct Without<'a> {
    candidates: &'a [Candidate],
    copy: EditedNetwork<'a>,
}

impl Without<'_> {
    fn remove(&mut self, exact: &[usize], doubtful: &[usize]) -> CandleResult<()> {
        self.copy.replace(
            exact
                .iter()
                .chain(doubtful)
                .map(|&index| &self.candidates[index].replacement),
        )
    }

    /// By how much the logits of a batch differ from these.
    fn change(&self, images: &FeatureMap, logits: &Tensor) -> CandleResult<f64> {
        largest_difference(
            &self
                .copy
                .network()
                .model()
                .forward(images, &Context::eval())?,
            logits,
        )
    }

    /// The candidates of `doubtful` that one batch lets pass, which are then removed, and the
    /// change with them.
    fn reduce(
        &mut self,
        exact: &[usize],
        doubtful: &[usize],
        images: &FeatureMap,
        logits: &Tensor,
    ) -> CandleResult<(Vec<usize>, f64)> {
        let mut kept = Vec::new();
        let mut groups = halves(doubtful);
        for _ in 0..MOST_TESTS {
            let Some(group) = groups.pop() else { break };
            self.remove(exact, &[&kept[..], group].concat())?;
            if self.change(images, logits)? <= MARGIN * Inspection::LIMIT {
                kept.extend(group);
            } else {
                groups.extend(halves(group));
            }
        }
        self.remove(exact, &kept)?;
        Ok((kept, self.change(images, logits)?))
    }
}

/// Both halves, the one to begin with last; nothing of a group that cannot be divided.
fn halves(group: &[usize]) -> Vec<&[usize]> {
    let (first, second) = group.split_at(group.len() / 2);
    if first.is_empty() {
        Vec::new()
    } else {
        vec![second, first]
    }
}

/// By how much the logits of a batch differ at most; infinite where one is a number and the other
/// is not.
fn largest_difference(a: &Tensor, b: &Tensor) -> CandleResult<f64> {
    let values = |tensor: &Tensor| tensor.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>();
    let difference = |(a, b): (&f64, &f64)| match (a - b).abs() {
        difference if difference.is_finite() => difference,
        _ if a == b || (a.is_nan() && b.is_nan()) => 0.,
        _ => f64::INFINITY,
    };
    Ok(values(a)?
        .iter()
        .zip(&values(b)?)
        .map(difference)
        .fold(0., f64::max))
}
