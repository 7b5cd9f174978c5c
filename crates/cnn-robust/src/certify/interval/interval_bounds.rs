//! Bounds of a network's scores over a ball of images.

use candle_core::{DType, Tensor};
use cnn_core::Preprocessing;
use cnn_layers::{Classifier, Store};

use super::margins::stays;
use super::{BoundedGraph, Ends, Weights};
use crate::certify::{Certificate, CertifiedClass};
use crate::{Error, Images, Logits, Normalization, Threat};

/// Bounds of a classifier's scores for all images within `ε` in L∞ that have values in 0..1
/// (interval bound propagation, Gowal et al. 2018, arXiv:1810.12715).
///
/// From layer to layer the values of all those images lie between two ends. Of an affine layer with
/// the factors `W` and the offset `b`, the centre `μ` of the ends and half their distance `r` give
///
/// ```text
/// μ' = W μ + b        r' = |W| r
/// ```
///
/// a layer whose outputs never fall where an input grows maps ends to ends, and activations with one
/// valley (SiLU, hard-swish, GELU) have their lowest value at the valley where it is between the
/// ends. That a class `y` stays the answer follows from the last linear layer by
/// `max (W_k − W_y) h + b_k − b_y < 0` for every other class `k`.
///
/// Convolutions, linear layers, batch-norm with running statistics, activations, poolings, resizing,
/// residual sums, concatenation and squeeze-and-excitation have bounds; layer norm, group norm, L2
/// norm and softmax have none here. Bounds are loose for deep networks that were not trained for
/// them ([`IntervalStep`](crate::defence::IntervalStep)).
///
/// They are computed in f64 and not rounded outward. A class counts as certain only where every
/// other one stays behind it by 1e-5 of the largest lead, which is far more than rounding in f64
/// does and about what it does in f32; that the network as it is run in f32 cannot be wrong by more
/// is not proven.
///
/// ```
/// use cnn_layers::Mode;
/// use cnn_models::{ModelConfig, Network};
/// use cnn_robust::Images;
/// use cnn_robust::certify::IntervalBounds;
///
/// let network = Network::new("lenet5", &ModelConfig::default(), 0)?;
/// let record = network.preprocessing();
/// let bounds = IntervalBounds::new(network.model(), network.store(), record)?;
/// let image = Images::new(1, [28, 28, 1], vec![0.5; 28 * 28])?;
/// let scores = bounds.scores(&image, 0.01)?;
/// let point = bounds.scores(&image, 0.)?;
/// for class in 0..10 {
///     assert_eq!(point.lower.row(0)[class], point.upper.row(0)[class]);
///     assert!(scores.lower.row(0)[class] < point.lower.row(0)[class]);
/// }
///
/// // The sizes up to which the answer is certain.
/// let answer = point.lower.predictions();
/// let certificates = bounds.certify(&image, &answer, &[1e-6, 0.01, 0.5])?;
/// assert!(certificates[0].holds(answer[0], 1e-6));
/// assert!(!certificates[0].holds(answer[0], 0.5));
/// # Ok::<(), anyhow::Error>(())
/// ```
pub struct IntervalBounds {
    graph: BoundedGraph,
    weights: Weights,
    normalization: Normalization,
}

/// Ends between which a network's scores lie.
#[derive(Clone, Debug, PartialEq)]
pub struct ScoreBounds {
    /// What they are at least.
    pub lower: Logits,
    /// What they are at most.
    pub upper: Logits,
}

impl IntervalBounds {
    /// Of a network, built in [`Mode::Eval`](cnn_layers::Mode::Eval) from `store`, that wants its
    /// images as `record` says. The weights are copied: later changes of the store do not show.
    ///
    /// # Errors
    /// [`Error::Unbounded`] names the first layer without bounds; [`Error::Graph`] if the network
    /// computes anything outside of its layers; and if the record is invalid.
    pub fn new(
        network: &dyn Classifier,
        store: &Store,
        record: &Preprocessing,
    ) -> Result<Self, Error> {
        let graph = BoundedGraph::new(network, record.input_size, store.dtype())?;
        Ok(Self {
            weights: Weights::copied(graph.graph(), store, DType::F64)?,
            normalization: Normalization::new(record)?,
            graph,
        })
    }

    /// The bounds of the scores of all images within `eps` of these.
    ///
    /// # Errors
    /// [`Error::Argument`] if `eps` is negative or not finite or the images do not fit.
    pub fn scores(&self, images: &Images, eps: f64) -> Result<ScoreBounds, Error> {
        let ends = self.graph.scores(self.ball(images, eps)?, &self.weights)?;
        Ok(ScoreBounds {
            lower: Logits::from_tensor(&ends.lower.to_tensor()?)?,
            upper: Logits::from_tensor(&ends.upper.to_tensor()?)?,
        })
    }

    /// The most that the score of each class can lead over that of an image's label, over all images
    /// within `eps`; 0 of the label. With the last layer taken together it is less than the bounds
    /// of the scores tell.
    ///
    /// # Errors
    /// As [`scores`](Self::scores), and if the labels are more or fewer than the images, or no
    /// classes.
    pub fn leads(&self, images: &Images, labels: &[u32], eps: f64) -> Result<Logits, Error> {
        check_count("labels", images, labels)?;
        let images = self.ball(images, eps)?;
        Logits::from_tensor(&self.graph.leads(images, labels, &self.weights)?)
    }

    /// What is certain of the answers that the network gives for images: the largest of `sizes` for
    /// which, and for all smaller ones of which, no image within it has another one; a radius of 0
    /// where there is none. The radius is one in L∞, and nothing is left to chance.
    ///
    /// # Errors
    /// As [`leads`](Self::leads), and [`Error::NotFinite`] for scores that are no numbers.
    pub fn certify(
        &self,
        images: &Images,
        answers: &[u32],
        sizes: &[f64],
    ) -> Result<Vec<Certificate>, Error> {
        check_count("answers", images, answers)?;
        for size in sizes {
            Threat::linf(*size)?;
        }
        let mut sizes = sizes.to_vec();
        sizes.sort_by(f64::total_cmp);
        let mut radii = vec![0.; images.len()];
        // Places of the images that are certain of everything so far.
        let mut standing: Vec<usize> = (0..images.len()).collect();
        for size in sizes.into_iter().filter(|size| *size != 0.) {
            if standing.is_empty() {
                break;
            }
            let classes: Vec<u32> = standing.iter().map(|&place| answers[place]).collect();
            let leads = self.leads(&images.select(&standing), &classes, size)?;
            let mut certain = Vec::new();
            for (row, (&place, &class)) in leads.rows().zip(standing.iter().zip(&classes)) {
                if row.iter().any(|lead| lead.is_nan()) {
                    let sample = place as u64;
                    return Err(Error::NotFinite { sample });
                }
                if stays(row, class) {
                    radii[place] = size;
                    certain.push(place);
                }
            }
            standing = certain;
        }
        let certificate = |(radius, &class): (f64, &u32)| {
            Certificate::Class(CertifiedClass {
                class,
                probability: 1.,
                radius,
            })
        };
        Ok(radii.into_iter().zip(answers).map(certificate).collect())
    }

    fn ball(&self, images: &Images, eps: f64) -> Result<Ends, Error> {
        let [lower, upper] = ball(images, eps, &self.normalization, DType::F64)?;
        Ok(Ends::of_inputs(&lower, &upper)?)
    }
}

fn check_count(name: &'static str, images: &Images, classes: &[u32]) -> Result<(), Error> {
    if classes.len() == images.len() {
        return Ok(());
    }
    let expected = format!("{}, one for each image", images.len());
    Err(Error::argument(name, classes.len(), expected))
}

/// The least and the largest inputs `(N, H, W, C)` of a network for images within `eps` of these.
pub(crate) fn ball(
    images: &Images,
    eps: f64,
    normalization: &Normalization,
    dtype: DType,
) -> Result<[Tensor; 2], Error> {
    let Threat { eps, .. } = Threat::linf(eps)?;
    let end = |change: f64| {
        let images = images.map(|value| (value + change).clamp(0., 1.));
        normalization.inputs(&images, dtype)
    };
    Ok([end(-eps)?, end(eps)?])
}
