//! What independent yes-or-no logits should say.

use candle_core::{Result, Tensor};

use super::operation::{check_targets, row_elements};
use crate::Error;

/// What each logit should say by its sigmoid.
#[derive(Debug, Clone, PartialEq)]
pub enum BinaryTargets {
    /// A number from 0 to 1 for each logit, in their order.
    Numbers(Vec<f32>),
    /// For each row of `(…, K)` logits, the one that should be 1; `None` where all should be 0, as
    /// of the background.
    Classes(Vec<Option<u32>>),
}

impl BinaryTargets {
    /// Checks that they fit the logits.
    pub(super) fn check(&self, logits: &Tensor) -> Result<()> {
        match self {
            Self::Numbers(numbers) => {
                check_targets(numbers.len(), logits.elem_count(), "logit")?;
                let outside = |number: &&f32| !(0. ..=1.).contains(*number);
                match numbers.iter().find(outside) {
                    Some(number) => Err(Error::argument("targets", number, "0 to 1").into()),
                    None => Ok(()),
                }
            }
            Self::Classes(classes) => {
                let count = row_elements(logits);
                check_targets(classes.len(), logits.elem_count() / count, "row")?;
                check_classes(classes, count)
            }
        }
    }

    /// Of a logit, where a row has so many.
    #[inline]
    pub(super) fn of(&self, logit: usize, per_row: usize) -> f64 {
        match self {
            Self::Numbers(numbers) => f64::from(numbers[logit]),
            Self::Classes(classes) => {
                let class = (logit % per_row) as u32;
                f64::from(u8::from(classes[logit / per_row] == Some(class)))
            }
        }
    }
}

/// Classes below their number.
pub(super) fn check_classes(classes: &[Option<u32>], count: usize) -> Result<()> {
    let beyond = |class: &&u32| **class as usize >= count;
    match classes.iter().flatten().find(beyond) {
        Some(class) => {
            let found = format!("class {class}");
            Err(Error::argument("targets", found, format!("below {count}")).into())
        }
        None => Ok(()),
    }
}
