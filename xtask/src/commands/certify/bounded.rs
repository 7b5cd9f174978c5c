//! Certificates by interval bounds of the scores.

use anyhow::Result;
use cnn_models::Network;
use cnn_robust::attack::AttackBatch;
use cnn_robust::certify::{Certificate, CertifiedImages, IntervalBounds};
use cnn_robust::{Error, parse_eps};
use cnn_viz::Fact;
use serde_json::{Value, json};

use super::figures::{Figures, in_percent, percent};
use super::{Certifier, Certify};
use crate::args::accepted;

/// Below this part of the accuracy at the smallest size the network is said not to have been trained
/// for bounds.
const LOST: f64 = 0.1;

/// A classifier with bounds.
pub(super) struct Bounded {
    bounds: IntervalBounds,
    /// In order, each once, beginning with 0.
    sizes: Vec<f64>,
}

/// What `--eps` takes.
pub(super) fn size(text: &str) -> Result<f64, String> {
    parse_eps(text.trim()).map_err(|error| accepted(&error))
}

impl Bounded {
    pub(super) fn new(command: &Certify, network: &Network) -> Result<Self> {
        let (model, record) = (network.model(), network.preprocessing());
        let bounds = IntervalBounds::new(model, network.store(), record)?;
        let mut sizes = [&[0.], command.eps.as_slice()].concat();
        sizes.sort_by(f64::total_cmp);
        sizes.dedup();
        Ok(Self { bounds, sizes })
    }
}

impl Certifier for Bounded {
    fn certify(
        &self,
        batch: &AttackBatch<'_>,
        answers: &[u32],
        advance: &dyn Fn(usize),
    ) -> Result<Vec<Certificate>, Error> {
        let certificates = self.bounds.certify(batch.images(), answers, &self.sizes)?;
        advance(batch.len());
        Ok(certificates)
    }

    fn norm(&self) -> [&'static str; 2] {
        ["linf", "L\u{221e}"]
    }

    fn radii(&self) -> Vec<f64> {
        self.sizes.clone()
    }

    fn description(&self) -> String {
        "Interval bound propagation: bounds of the scores over all images within the radius"
            .to_string()
    }

    fn notes(&self, figures: &Figures) -> Vec<String> {
        let Some(smallest) = self.sizes.get(1) else {
            return Vec::new();
        };
        if figures.certified.certified_top1(*smallest) >= LOST * figures.clean_top1() {
            return Vec::new();
        }
        vec![format!(
            "these bounds are too loose for this network: they say little of one that was not trained for them, by \
             train --adversarial interval --adv-eps {smallest}; that hardly anything is certified does not mean that attacks succeed"
        )]
    }

    fn summary(&self, _: &CertifiedImages) -> Value {
        json!({})
    }

    fn facts(&self, figures: &Figures) -> Result<Vec<Fact>> {
        let certified = &figures.certified;
        let clean = Fact::new("right", percent(figures.clean_top1()));
        let mut facts = vec![clean.with_note("without a change")];
        for &size in &self.sizes[1..] {
            let interval = certified.interval(size)?;
            let name = format!("certain within {size}");
            facts.push(
                Fact::new(name, percent(certified.certified_top1(size))).with_note(format!(
                    "right whatever changes; 95 % interval {} to {}",
                    percent(interval.low),
                    percent(interval.high)
                )),
            );
        }
        Ok(facts)
    }

    fn lines(&self, figures: &Figures) -> Vec<[String; 2]> {
        let clean = format!("{} % right", in_percent(figures.clean_top1()));
        vec![["without a change".to_string(), clean]]
    }
}
