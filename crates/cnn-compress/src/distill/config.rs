//! What a network learns of a teacher, and how much of each.

use crate::Error;

/// What a network learns of a teacher, and how much of each. The loss is
///
/// ```text
/// (1 − logits) · own + logits · soft + attention · Σ attention_j + features · Σ similarity_j
/// ```
///
/// with the task's own loss, that of [soft targets](super::soft_target_loss), and those of
/// [attention](super::attention_loss) and [similarity](super::similarity_loss) over all pairs of
/// stages that work at one resolution.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Distillation {
    /// The share of the teacher's answers, beside the labels; from 0 to 1, default 0.9.
    pub logits: f64,
    /// What both networks' logits are divided by before they are compared; above 0, default 4.
    pub temperature: f64,
    /// How much it counts where the teacher looks; default 0. The paper's is 1000.
    pub attention: f64,
    /// How much it counts which images the teacher takes for alike; default 0. The paper's is 3000.
    pub features: f64,
}

impl Default for Distillation {
    fn default() -> Self {
        Self {
            logits: 0.9,
            temperature: 4.,
            attention: 0.,
            features: 0.,
        }
    }
}

impl Distillation {
    /// Whether the weights can be used.
    ///
    /// # Errors
    /// [`Error::Argument`] for a share outside of 0 to 1, a temperature that is not above 0, a
    /// weight below 0, what is not finite, and where nothing is learnt of the teacher.
    pub fn check(&self) -> Result<(), Error> {
        let refused = |what, found: f64, expected: &str| {
            Err(Error::Argument {
                what,
                found: found.to_string(),
                expected: expected.to_string(),
            })
        };
        if !(0. ..=1.).contains(&self.logits) {
            return refused("the share of the teacher's logits", self.logits, "0 to 1");
        }
        if !(self.temperature.is_finite() && self.temperature > 0.) {
            return refused("the temperature", self.temperature, "a number above 0");
        }
        let weights = [
            ("the weight of attention", self.attention),
            ("the weight of features", self.features),
        ];
        for (what, weight) in weights {
            if !(weight.is_finite() && weight >= 0.) {
                return refused(what, weight, "a number of at least 0");
            }
        }
        if self.logits == 0. && !self.compares_maps() {
            let expected = "one of logits, attention and features above 0";
            return refused("all that is learnt of the teacher", 0., expected);
        }
        Ok(())
    }

    /// Whether maps are compared, and not the logits alone.
    pub(super) fn compares_maps(&self) -> bool {
        self.attention > 0. || self.features > 0.
    }
}
