//! Certificates by randomised smoothing.

use anyhow::Result;
use cnn_core::Key;
use cnn_robust::attack::AttackBatch;
use cnn_robust::certify::{Certificate, CertifiedImages, Smoothing};
use cnn_robust::{AttackedModel, Error};
use cnn_viz::Fact;
use serde_json::{Value, json};

use super::figures::{Figures, in_percent, percent};
use super::{COMMAND, Certifier, Certify};

/// Radii of the table for each standard deviation of the noise, and points of the curve for each of
/// those.
const RADII: usize = 4;
const POINTS: usize = 8;
/// Below this part of the accuracy without noise the network is said not to have learnt from noise.
const LOST: f64 = 0.8;

/// A smoothed classifier.
pub(super) struct Smoothed<'a> {
    command: &'a Certify,
    smoothing: Smoothing,
    model: &'a dyn AttackedModel,
    key: Key,
    /// The largest radius that so many noisy images can certify.
    reach: f64,
}

impl<'a> Smoothed<'a> {
    pub(super) fn new(command: &'a Certify, model: &'a dyn AttackedModel) -> Result<Self> {
        let smoothing = Smoothing::new(command.sigma)?
            .with_samples(command.n0 as usize, command.n as usize)?
            .with_alpha(command.alpha)?
            .with_batch(command.batch.into())?
            .with_clipping(command.clip);
        Ok(Self {
            reach: smoothing.reach()?,
            key: Key::new(command.network.seed).stream(COMMAND),
            command,
            smoothing,
            model,
        })
    }

    /// So many radii for each standard deviation, from 0 as far as certificates reach.
    fn radii_of(&self, per_sigma: usize) -> Vec<f64> {
        let step = self.command.sigma / per_sigma as f64;
        let count = (self.reach / step) as usize;
        (0..=count).map(|number| number as f64 * step).collect()
    }
}

impl Certifier for Smoothed<'_> {
    fn certify(
        &self,
        batch: &AttackBatch<'_>,
        _: &[u32],
        advance: &dyn Fn(usize),
    ) -> Result<Vec<Certificate>, Error> {
        let samples = batch.samples().iter().enumerate();
        let certificates = samples.map(|(place, &sample)| {
            let image = batch.images().select(&[place]);
            let certificate = self
                .smoothing
                .certify(self.model, &image, sample, &self.key)?;
            advance(1);
            Ok(certificate)
        });
        certificates.collect()
    }

    fn norm(&self) -> [&'static str; 2] {
        ["l2", "L2"]
    }

    fn radii(&self) -> Vec<f64> {
        self.radii_of(RADII)
    }

    fn curve(&self) -> Vec<f64> {
        self.radii_of(RADII * POINTS)
    }

    fn description(&self) -> String {
        let Certify {
            sigma,
            n0,
            n,
            alpha,
            ..
        } = self.command;
        format!(
            "Randomised smoothing with noise of {sigma}, {n0} and {n} noisy images for each image; each \
             certificate is wrong with probability {alpha} at most"
        )
    }

    fn notes(&self, figures: &Figures) -> Vec<String> {
        let Certify {
            sigma, n, alpha, ..
        } = self.command;
        let mut notes = Vec::new();
        if self.reach == 0. {
            notes.push(format!(
                "{n} noisy images are too few for any certificate at alpha {alpha}: every image is abstained from"
            ));
        } else if figures.certified.smoothed_top1() < LOST * figures.clean_top1() {
            notes.push(format!(
                "the network does not see through this noise: certificates get better if it learns from it, by \
                 train --noise {sigma} or finetune --noise {sigma}, and certify --clip sees what such a network has learnt from"
            ));
        }
        notes
    }

    fn summary(&self, certified: &CertifiedImages) -> Value {
        json!({
            "smoothed_top1": certified.smoothed_top1(),
            "abstained": certified.abstained(),
            "certified_wrong": certified.share_of_wrong(),
            "sigma": self.command.sigma,
            "alpha": self.command.alpha,
            "n0": self.command.n0,
            "n": self.command.n,
            "clip": self.command.clip,
            "largest_radius": self.reach,
            "mean_radius": certified.mean_radius(),
        })
    }

    fn facts(&self, figures: &Figures) -> Result<Vec<Fact>> {
        let certified = &figures.certified;
        let interval = certified.interval(0.)?;
        Ok(vec![
            Fact::new("without noise", percent(figures.clean_top1()))
                .with_note("the network itself, right"),
            Fact::new("smoothed", percent(certified.smoothed_top1())).with_note(format!(
                "right; 95 % interval {} to {}",
                percent(interval.low),
                percent(interval.high)
            )),
            Fact::new("mean radius", format!("{:.3}", certified.mean_radius()))
                .with_note("in L2, 0 where it is not right"),
            Fact::new("abstained", percent(certified.abstained()))
                .with_note("no class is frequent enough under noise"),
        ])
    }

    fn lines(&self, figures: &Figures) -> Vec<[String; 2]> {
        let certified = &figures.certified;
        let line = |name: &str, value: String| [name.to_string(), value];
        vec![
            line(
                "without noise",
                format!("{} % right", in_percent(figures.clean_top1())),
            ),
            line(
                "smoothed",
                format!("{} % right", in_percent(certified.smoothed_top1())),
            ),
            line(
                "certified but wrong",
                format!("{} %", in_percent(certified.share_of_wrong())),
            ),
            line(
                "abstained",
                format!("{} %", in_percent(certified.abstained())),
            ),
            line(
                "mean radius",
                format!(
                    "{:.4} (at most {:.4} with {} noisy images)",
                    certified.mean_radius(),
                    self.reach,
                    self.command.n
                ),
            ),
        ]
    }
}
