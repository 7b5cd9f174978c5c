//! The images on which a network is inspected, and how many of them there is time for.

use std::sync::Arc;
use std::time::{Duration, Instant};

use candle_core::Result as CandleResult;
use cnn_data::{BatchPlan, Dataset, Skipped};
use cnn_layers::FeatureMap;
use cnn_models::Network;

use crate::Error;

/// All that is done with an image takes about so many times as long as measuring it: the forward passes that follow, through the network and through the copies without some filters,
/// are shorter (2.6 times with MobileNetV2, of which a little is left for what does not depend on the number of images).
const PASSES: f64 = 3.;
/// However little time there is, so many images are taken.
const LEAST: usize = 32;

/// Images of several datasets to go through, batch by batch.
pub(super) struct Images<'a> {
    network: &'a Network,
    datasets: &'a [Arc<dyn Dataset>],
    batch: usize,
    /// Of each dataset which samples; after a reading those that can be read.
    order: Vec<Vec<usize>>,
}

impl<'a> Images<'a> {
    /// So many images at most, 0 for all: of each dataset all before any of the next, spread evenly over the last one of which there are some.
    pub(super) fn new(network: &'a Network, datasets: &'a [Arc<dyn Dataset>], batch: usize, images: usize) -> Self {
        let mut left = if images == 0 { usize::MAX } else { images };
        let order = datasets.iter().map(|dataset| {
            let taken = spread(dataset.len(), left);
            left -= taken.len();
            taken
        });
        Self { network, datasets, batch, order: order.collect() }
    }

    /// Number of images.
    pub(super) fn len(&self) -> usize {
        self.order.iter().map(Vec::len).sum()
    }

    /// Those whose number among all satisfies `wanted`.
    pub(super) fn filtered(&self, wanted: impl Fn(usize) -> bool) -> Self {
        let mut number = 0;
        let mut is_wanted = || {
            number += 1;
            wanted(number - 1)
        };
        let order = self.order.iter().map(|order| order.iter().copied().filter(|_| is_wanted()).collect()).collect();
        Self { order, ..*self }
    }

    /// As many as there is time for, judged by how long the second batch takes; the first one also starts threads. `take` is given their images.
    pub(super) fn within(self, time: Duration, take: &mut Take<'_>) -> Result<Self, Error> {
        let mut first = self.filtered(|number| number < 2 * self.batch);
        let mut of_one = f64::INFINITY;
        let mut last = Instant::now();
        let timed = first.read(&mut |_| (), &mut |images| {
            take(images)?;
            of_one = last.elapsed().as_secs_f64() / images.batch().max(1) as f64;
            last = Instant::now();
            Ok(())
        });
        match timed {
            // Others may be readable.
            Ok(_) | Err(Error::NothingReadable { .. }) => {}
            Err(error) => return Err(error),
        }
        let affordable = affordable(time.as_secs_f64() / (PASSES * of_one), self.len());
        Ok(Self::new(self.network, self.datasets, self.batch, affordable))
    }

    /// Gives every batch to `take`, and returns what could not be read.
    pub(super) fn read(&mut self, progress: &mut dyn FnMut(usize), take: &mut Take<'_>) -> Result<Vec<Skipped>, Error> {
        let dtype = self.network.store().dtype();
        let mut skipped = Vec::new();
        for (dataset, order) in self.datasets.iter().zip(&mut self.order) {
            let plan = BatchPlan::new(dataset.clone(), self.network.preprocessing().clone());
            let mut batches = plan.with_batch_size(self.batch).with_order(std::mem::take(order)).start()?;
            for batch in &mut batches {
                let batch = batch?;
                take(&FeatureMap::from_nhwc(&batch.images.to_dtype(dtype)?)?)?;
                progress(batch.len());
                order.extend(batch.indices);
            }
            skipped.extend_from_slice(batches.skipped());
        }
        if self.len() == 0 {
            return Err(nothing_readable(&skipped));
        }
        Ok(skipped)
    }
}

/// What is done with a batch.
pub(super) type Take<'a> = dyn FnMut(&FeatureMap) -> CandleResult<()> + 'a;

/// `most` of `available` images, but at least [`LEAST`], rounded down to a power of two, so that a little more or less speed seldom matters.
fn affordable(most: f64, available: usize) -> usize {
    if most >= available as f64 {
        return available;
    }
    let doublings = (most / LEAST as f64).log2().max(0.) as u32;
    LEAST.saturating_mul(1 << doublings.min(40)).min(available)
}

/// At most `images` places spread evenly over a dataset.
fn spread(len: usize, images: usize) -> Vec<usize> {
    let count = images.min(len);
    (0..count).map(|place| (place as u128 * len as u128 / count as u128) as usize).collect()
}

fn nothing_readable(skipped: &[Skipped]) -> Error {
    let reasons = skipped.iter().take(3).map(|skipped| format!("{}: {}", skipped.path, skipped.reason));
    let reasons = reasons.collect::<Vec<_>>().join("; ");
    Error::NothingReadable { reasons: if skipped.is_empty() { "there are no images".to_string() } else { reasons } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_spread_evenly() {
        assert_eq!(spread(10, 4), [0, 2, 5, 7]);
        assert_eq!(spread(3, 256), [0, 1, 2]);
        assert_eq!(spread(3, usize::MAX), [0, 1, 2]);
        assert!(spread(0, 5).is_empty());
    }

    #[test]
    fn as_many_images_are_taken_as_there_is_time_for() {
        let cases = [
            (0., 32),
            (f64::NAN, 32),
            (63., 32),
            (64., 64),
            (700., 512),
            (999., 512),
            (1000., 1000),
            (f64::INFINITY, 1000),
        ];
        for (most, expected) in cases {
            assert_eq!(affordable(most, 1000), expected, "{most}");
        }
        assert_eq!(affordable(3., 20), 20);
    }
}
