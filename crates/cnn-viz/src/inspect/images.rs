//! The images on which a network is inspected, and how many of them there is time for.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use candle_core::Result as CandleResult;
use cnn_data::{BatchPlan, Dataset, Skipped, spread};
use cnn_layers::FeatureMap;
use cnn_models::Network;

use super::InspectConfig;
use crate::Error;

/// All that is done with an image takes about so many times as long as measuring it: the forward
/// passes that follow, through the network and through the copies without some filters, are
/// shorter. With MobileNetV2 it is 1.7 times; the rest is for what does not depend on the number of
/// images.
const PASSES: f64 = 2.;
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

/// What is done with a batch.
pub(super) type Take<'a> = dyn FnMut(&FeatureMap) -> CandleResult<()> + 'a;

impl<'a> Images<'a> {
    /// Reads as many images as `config` asks for and there is time for, which the second batch
    /// tells; the first one also starts threads. Returns those that can be read, and what could not
    /// be.
    ///
    /// Of each dataset all are taken before any of the next; over the last of which some are taken
    /// they are spread evenly.
    pub(super) fn first_reading(
        network: &'a Network,
        datasets: &'a [Arc<dyn Dataset>],
        config: &InspectConfig,
        progress: &mut dyn FnMut(usize),
        take: &mut Take<'_>,
    ) -> Result<(Self, Vec<Skipped>), Error> {
        let available: usize = datasets.iter().map(|dataset| dataset.len()).sum();
        let wanted = if config.images == 0 {
            available
        } else {
            config.images.min(available)
        };
        let begun = if config.time.is_some() {
            wanted.min(2 * config.batch)
        } else {
            wanted
        };
        let none = Self {
            network,
            datasets,
            batch: config.batch,
            order: vec![Vec::new(); datasets.len()],
        };
        let mut images = none.beside(&none, begun);
        let tried = images.filtered(|_| true);
        let mut of_one = f64::INFINITY;
        let mut last = Instant::now();
        let mut skipped = images.read_some(progress, &mut |images| {
            take(images)?;
            of_one = last.elapsed().as_secs_f64() / images.batch().max(1) as f64;
            last = Instant::now();
            Ok(())
        })?;
        if let Some(time) = config.time {
            let affordable = affordable(time.as_secs_f64() / (PASSES * of_one), wanted);
            let mut rest = none.beside(&tried, affordable.saturating_sub(begun));
            skipped.extend(rest.read_some(progress, take)?);
            images
                .order
                .iter_mut()
                .zip(rest.order)
                .for_each(|(order, rest)| order.extend(rest));
        }
        if images.len() == 0 {
            Err(nothing_readable(&skipped))
        } else {
            Ok((images, skipped))
        }
    }

    /// Number of images.
    pub(super) fn len(&self) -> usize {
        self.order.iter().map(Vec::len).sum()
    }

    /// Those whose number among all, in the order of reading, satisfies `wanted`.
    pub(super) fn filtered(&self, wanted: impl Fn(usize) -> bool) -> Self {
        let mut number = 0;
        let mut is_wanted = || {
            number += 1;
            wanted(number - 1)
        };
        let order = self
            .order
            .iter()
            .map(|order| order.iter().copied().filter(|_| is_wanted()).collect())
            .collect();
        Self { order, ..*self }
    }

    /// Gives every batch to `take`.
    pub(super) fn read(
        &mut self,
        progress: &mut dyn FnMut(usize),
        take: &mut Take<'_>,
    ) -> Result<(), Error> {
        let skipped = self.read_some(progress, take)?;
        if self.len() == 0 {
            Err(nothing_readable(&skipped))
        } else {
            Ok(())
        }
    }

    /// The same where there may be nothing readable; returns what was not.
    fn read_some(
        &mut self,
        progress: &mut dyn FnMut(usize),
        take: &mut Take<'_>,
    ) -> Result<Vec<Skipped>, Error> {
        let dtype = self.network.store().dtype();
        let mut skipped = Vec::new();
        for (dataset, order) in self.datasets.iter().zip(&mut self.order) {
            let plan = BatchPlan::new(dataset.clone(), self.network.preprocessing().clone());
            let mut batches = plan
                .with_batch_size(self.batch)
                .with_order(std::mem::take(order))
                .start()?;
            for batch in &mut batches {
                let batch = batch?;
                take(&FeatureMap::from_nhwc(&batch.images.to_dtype(dtype)?)?)?;
                progress(batch.len());
                order.extend(batch.indices);
            }
            skipped.extend_from_slice(batches.skipped());
        }
        Ok(skipped)
    }

    /// So many images, or as many as there are, that are not among `tried`.
    fn beside(&self, tried: &Self, images: usize) -> Self {
        let mut left = images;
        let order = self
            .datasets
            .iter()
            .zip(&tried.order)
            .map(|(dataset, tried)| {
                let tried: HashSet<usize> = tried.iter().copied().collect();
                let others: Vec<usize> = (0..dataset.len())
                    .filter(|index| !tried.contains(index))
                    .collect();
                let taken = spread(others.len(), left);
                left -= taken.len();
                taken.into_iter().map(|place| others[place]).collect()
            });
        Self {
            order: order.collect(),
            ..*self
        }
    }
}

/// `most` of `available` images, but at least [`LEAST`], rounded down to a power of two or one and
/// a half times that, so that a little more or less speed seldom matters.
fn affordable(most: f64, available: usize) -> usize {
    if most >= available as f64 {
        return available;
    }
    let doublings = (most / LEAST as f64).log2().max(0.) as u32;
    let power = LEAST.saturating_mul(1 << doublings.min(40));
    let more = power.saturating_add(power / 2);
    available.min(if most >= more as f64 { more } else { power })
}

fn nothing_readable(skipped: &[Skipped]) -> Error {
    let reasons = skipped
        .iter()
        .take(3)
        .map(|skipped| format!("{}: {}", skipped.path, skipped.reason));
    let reasons = reasons.collect::<Vec<_>>().join("; ");
    Error::NothingReadable {
        reasons: if skipped.is_empty() {
            "there are no images".to_string()
        } else {
            reasons
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_images_are_taken_as_there_is_time_for() {
        let cases = [
            (0., 32),
            (f64::NAN, 32),
            (47., 32),
            (48., 48),
            (63., 48),
            (64., 64),
            (700., 512),
            (999., 768),
            (1000., 1000),
            (f64::INFINITY, 1000),
        ];
        for (most, expected) in cases {
            assert_eq!(affordable(most, 1000), expected, "{most}");
        }
        assert_eq!((affordable(3., 20), affordable(30., 40)), (20, 32));
    }
}
