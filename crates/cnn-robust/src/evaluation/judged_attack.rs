//! An attack, and what counts as its success.

use crate::attack::Attack;
use crate::{Images, Norm, Threat};

/// Rounding that a size may be above the allowed one by, relative to it.
const ROUNDING: f64 = 1e-6;

/// An attack, and which changes count as its success.
pub struct JudgedAttack {
    attack: Box<dyn Attack>,
    limit: Option<Threat>,
}

impl JudgedAttack {
    /// What an attack within a ball finds counts.
    pub fn new(attack: Box<dyn Attack>) -> Self {
        Self {
            limit: attack.threat(),
            attack,
        }
    }

    /// What an attack that looks for the smallest change finds counts up to a size.
    #[must_use]
    pub fn within(self, limit: Threat) -> Self {
        Self {
            limit: Some(limit),
            ..self
        }
    }

    /// The attack.
    pub fn attack(&self) -> &dyn Attack {
        self.attack.as_ref()
    }

    /// The changes that count; `None` where all do.
    pub fn limit(&self) -> Option<Threat> {
        self.limit
    }

    /// Whether the change of the image at a place is small enough to count.
    pub(crate) fn is_allowed(&self, change: &Images, index: usize) -> bool {
        let Some(Threat { norm, eps }) = self.limit else {
            return true;
        };
        norm.size(change.image(index)) <= eps * (1. + ROUNDING) + f64::EPSILON * units(norm, change)
    }
}

/// How often a value's rounding counts in a size.
fn units(norm: Norm, images: &Images) -> f64 {
    let values = images.values_per_image() as f64;
    match norm {
        Norm::Linf => 1.,
        Norm::L2 => values.sqrt(),
        Norm::L1 => values,
    }
}
