//! What attacks left of a classifier's accuracy.

use cnn_metrics::{Interval, Reliability, wilson_interval};

use crate::{Error, Queries, Threat};

/// What several attacks left of a classifier's accuracy on the same images.
#[derive(Clone, Debug, PartialEq)]
pub struct RobustnessResult {
    /// How many images there were.
    pub samples: usize,
    /// How many of them the classifier took for what they are.
    pub clean_correct: usize,
    /// How sure it was, and how often rightly: 15 bins.
    pub reliability: Reliability,
    /// Each attack.
    pub attacks: Vec<AttackResult>,
    /// How many images the classifier still took for what they are, whichever attack was made on
    /// them.
    pub worst_correct: usize,
}

/// What one attack left.
#[derive(Clone, Debug, PartialEq)]
pub struct AttackResult {
    /// The attack's name.
    pub name: String,
    /// The changes that counted; `None` where all did.
    pub limit: Option<Threat>,
    /// How many images there were.
    pub samples: usize,
    /// How many images it was made on: those that the classifier took for what they are.
    pub attacked: usize,
    /// How many of these the classifier took for something else afterwards.
    pub fooled: usize,
    /// The mean of the largest change of a value, of the images that it fooled; 0 where there is
    /// none.
    pub mean_linf: f64,
    /// The mean size of the change in L2, likewise.
    pub mean_l2: f64,
    /// The sizes of the changes in the norm of the limit, or else in L2, of the images that it
    /// fooled, in ascending order.
    pub sizes: Vec<f64>,
    /// How many of the attacked images fooled the classifier where the attack was made on the
    /// classifier without its defence; `None` where that was not tried.
    pub transferred: Option<usize>,
    /// How sure the classifier is of all images as the attack leaves them, and how often rightly;
    /// an image that it did not attack, or changed by more than counts, is as it was.
    pub reliability: Reliability,
    /// What it asked the model, for all images.
    pub queries: Queries,
    /// How long it took, in seconds.
    pub seconds: f64,
}

impl RobustnessResult {
    /// The accuracy without an attack, in 0..=1.
    pub fn clean_top1(&self) -> f64 {
        share(self.clean_correct, self.samples)
    }

    /// The accuracy under the worst of all attacks for each image.
    pub fn worst_top1(&self) -> f64 {
        share(self.worst_correct, self.samples)
    }

    /// The 95 % interval of [`worst_top1`](Self::worst_top1).
    ///
    /// # Errors
    /// If there is no image.
    pub fn worst_interval(&self) -> Result<Interval, Error> {
        interval(self.worst_correct, self.samples)
    }
}

impl AttackResult {
    /// The accuracy under the attack, in 0..=1: of an image that was wrong before nothing else is
    /// expected.
    pub fn robust_top1(&self) -> f64 {
        share(self.attacked - self.fooled, self.samples)
    }

    /// The accuracy under the attack as it was made on the classifier without its defence: what an
    /// attacker who does not know of the defence leaves. It says nothing of robustness without
    /// [`robust_top1`](Self::robust_top1) beside it.
    pub fn transferred_top1(&self) -> Option<f64> {
        let fooled = self.transferred?;
        Some(share(self.attacked - fooled, self.samples))
    }

    /// The 95 % interval of [`robust_top1`](Self::robust_top1).
    ///
    /// # Errors
    /// If there is no image.
    pub fn interval(&self) -> Result<Interval, Error> {
        interval(self.attacked - self.fooled, self.samples)
    }

    /// The share of the attacked images that it fooled the classifier with.
    pub fn success_rate(&self) -> f64 {
        share(self.fooled, self.attacked)
    }

    /// Passes forward for each attacked image.
    pub fn queries_per_image(&self) -> f64 {
        share(self.queries.forward, self.attacked)
    }

    /// Passes backward for each attacked image.
    pub fn gradients_per_image(&self) -> f64 {
        share(self.queries.backward, self.attacked)
    }
}

fn interval(correct: usize, samples: usize) -> Result<Interval, Error> {
    Ok(wilson_interval(correct as u64, samples as u64, 0.95)?)
}

fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 {
        0.
    } else {
        part as f64 / whole as f64
    }
}
