//! All checks on one map.

use cnn_core::Key;
use cnn_layers::{Classifier, FeatureMap, Mode};
use cnn_models::NetworkOf;

use super::{cascade, insertion_deletion, randomized, rank_correlation, road};
use crate::{Error, Explainable, Explainer, Explanation, Heatmap, Score};

/// Steps of insertion and deletion, and of a random network's Integrated Gradients.
const STEPS: usize = 20;
/// Percentiles and noise of ROAD.
const PERCENTILES: [f64; 4] = [20., 40., 60., 80.];
const NOISE: f32 = 0.01;

/// How far a map can be trusted.
#[derive(Debug, Clone, PartialEq)]
pub struct Trust {
    /// Area under the insertion curve, in 0..1; larger is better. See [`insertion_deletion`].
    pub insertion_auc: f64,
    /// Area under the deletion curve, in 0..1; smaller is better.
    pub deletion_auc: f64,
    /// ROAD over four percentiles, in −1..=1; larger is better, 0 for a map without information.
    /// See [`road`](super::road()).
    pub road: f64,
    /// What was randomised, and the rank correlation of the map then with the map now, in −1..=1:
    /// should fall to about 0. Of an object's map within the object's edges: whatever the weights are,
    /// what decides about an object lies about where it is.
    pub randomization: Vec<(String, f64)>,
}

/// The checks for one network: its randomised copies are made once.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use cnn_layers::FeatureMap;
/// use cnn_models::{ModelConfig, Network};
/// use cnn_viz::{Explainer, Method, Target, TrustChecks};
///
/// let network = Network::new("resnet8_cifar10", &ModelConfig::default(), 0)?;
/// let image = FeatureMap::from_nchw(&Tensor::randn(0f32, 1., (1, 3, 32, 32), &Device::Cpu)?)?;
/// let explainer = Explainer::new(network.model());
/// let explanation = explainer.explain(Method::GradCam, &image, &[Target::PREDICTED])?;
/// let trust = TrustChecks::new(&network, 0)?.check(&explainer, &image, &explanation)?;
/// assert!((0. ..=1.).contains(&trust.insertion_auc));
/// // From the head down, one layer group more each time: a map that depends on what was learnt falls to about 0.
/// assert_eq!(trust.randomization[0].0, "head");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct TrustChecks<M: Explainable + ?Sized = dyn Classifier> {
    scorer: Box<M>,
    randomized: Vec<Randomized<M>>,
    key: Key,
}

struct Randomized<M: Explainable + ?Sized> {
    name: String,
    network: NetworkOf<M>,
    scorer: Box<M>,
}

impl<M: Explainable + ?Sized> TrustChecks<M> {
    /// Prepares the checks; `seed` decides the random weights, which are others than those of a
    /// fresh network of the same seed, and ROAD's noise.
    ///
    /// # Errors
    /// If a copy of the network cannot be built.
    pub fn new(network: &NetworkOf<M>, seed: u64) -> Result<Self, Error> {
        let key = Key::new(seed);
        let weights = key.stream("randomized").rng().next_u64();
        let copy = |(name, groups): (String, Vec<_>)| {
            let network = randomized(network, &groups, weights)?;
            Ok::<_, Error>(Randomized {
                name,
                scorer: network.build(Mode::Inference)?,
                network,
            })
        };
        let randomized = cascade(network)
            .into_iter()
            .map(copy)
            .collect::<Result<_, _>>()?;
        Ok(Self {
            scorer: network.build(Mode::Inference)?,
            randomized,
            key,
        })
    }

    /// Checks the map of one image `(1, H, W, C)` that `explainer` made, for the class that it
    /// explains.
    ///
    /// # Errors
    /// Those of the checks, if the explanation is not of this one image.
    pub fn check(
        &self,
        explainer: &Explainer<'_>,
        image: &FeatureMap,
        explanation: &Explanation,
    ) -> Result<Trust, Error> {
        let ([map], [score]) = (explanation.maps.as_slice(), explanation.scores.as_slice()) else {
            return Err(Error::argument(
                "explanation",
                format!("{} maps", explanation.maps.len()),
                "one map",
            ));
        };
        let scorer = self.scorer.explained();
        let curves = insertion_deletion(scorer, image, map, score, STEPS, explainer.batch_size())?;
        let road = road(scorer, image, map, score, &PERCENTILES, NOISE, &self.key)?;
        let correlation = |copy: &Randomized<M>| {
            // Of a random network's attribution nobody asks whether it is complete.
            let explainer = explainer
                .on(copy.network.model().explained(), copy.scorer.explained())
                .with_steps(STEPS);
            let without = explainer.explain(explanation.method, image, &[score.as_target()])?;
            let [now, then] = [map, &without.maps[0]].map(|map| compared(map, score));
            Ok::<_, Error>((copy.name.clone(), rank_correlation(&now, &then)))
        };
        Ok(Trust {
            insertion_auc: curves.insertion_auc(),
            deletion_auc: curves.deletion_auc(),
            road: road.combined(),
            randomization: self
                .randomized
                .iter()
                .map(correlation)
                .collect::<Result<_, _>>()?,
        })
    }
}

/// The values of a map that are compared with another's: those within the edges of an object.
fn compared(map: &Heatmap, score: &Score) -> Vec<f32> {
    let [rows, columns] = match score.edges {
        None => [0..map.height(), 0..map.width()],
        Some([x1, y1, x2, y2]) => {
            let span = |from: f32, to: f32, len: usize| {
                let first = (from.max(0.) as usize).min(len - 1);
                first..(to.ceil() as usize).clamp(first + 1, len)
            };
            [span(y1, y2, map.height()), span(x1, x2, map.width())]
        }
    };
    let row = |row: usize| &map.values()[row * map.width()..][columns.clone()];
    rows.flat_map(row).copied().collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_objects_map_is_compared_within_its_edges() {
        let values = (0..20).map(|at| at as f32).collect();
        let map = Heatmap::new(4, 5, values, false).unwrap();
        let at = |edges| Score {
            edges,
            ..Score::of_class(0)
        };
        assert_eq!(compared(&map, &at(None)), map.values());
        let inside = at(Some([1.2, 1., 2.8, 3.]));
        assert_eq!(compared(&map, &inside), [6., 7., 11., 12.]);
        // What lies beyond the input has no pixels; a box has at least one.
        let beyond = at(Some([-3., -2., 2., 1.]));
        assert_eq!(compared(&map, &beyond), [0., 1.]);
        let outside = at(Some([90., 90., 99., 99.]));
        assert_eq!(compared(&map, &outside), [19.]);
    }
}
