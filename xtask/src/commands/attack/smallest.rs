//! The smallest change that fools the network, image by image.

use std::fmt;

use anyhow::Result;
use cnn_robust::attack::{AttackBatch, MinimalSize, Pgd};
use cnn_robust::{AttackedModel, Norm, Threat};

/// Steps of the attack.
const STEPS: usize = 20;
/// The largest size that is looked at, in sizes of the attacks.
const LARGEST: f64 = 4.;

/// The smallest size at which PGD fooled the network, of some images.
pub(super) struct Smallest {
    /// In ascending order: 0 where the network errs on the image itself, infinite where it was
    /// right at the largest size.
    pub(super) sizes: Vec<f64>,
    /// The largest size that was tried.
    pub(super) largest: f64,
    norm: Norm,
}

impl Smallest {
    /// Looks for it by bisection, up to four times the size of the attacks.
    pub(super) fn find(
        model: &dyn AttackedModel,
        batches: &[AttackBatch<'_>],
        threat: Threat,
    ) -> Result<Self> {
        let largest = match threat.norm {
            Norm::Linf => (LARGEST * threat.eps).min(1.),
            _ => LARGEST * threat.eps,
        };
        let search = MinimalSize::up_to(largest)?;
        let mut sizes = Vec::new();
        for batch in batches {
            let found = search.find(model, batch, |eps| {
                let pgd = Pgd::new(Threat::new(threat.norm, eps)?).with_steps(STEPS);
                Ok(Box::new(pgd.with_early_stop(true)))
            })?;
            sizes.extend(found.sizes);
        }
        sizes.sort_by(f64::total_cmp);
        Ok(Self {
            sizes,
            largest,
            norm: threat.norm,
        })
    }

    /// The size within which this share of the images is fooled; `None` where that is more than was
    /// tried.
    pub(super) fn quantile(&self, share: f64) -> Option<f64> {
        let place = (share * self.sizes.len() as f64).ceil() as usize;
        let size = self.sizes.get(place.saturating_sub(1))?;
        size.is_finite().then_some(*size)
    }

    /// A quantile in words.
    pub(super) fn said(&self, share: f64) -> String {
        match self.quantile(share) {
            Some(size) => format!("{size:.4}"),
            None => format!("more than {:.4}", self.largest),
        }
    }
}

impl fmt::Display for Smallest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} in {} fools half of {} images by pgd ({} a quarter, {} three quarters)",
            self.said(0.5),
            self.norm,
            self.sizes.len(),
            self.said(0.25),
            self.said(0.75)
        )
    }
}
