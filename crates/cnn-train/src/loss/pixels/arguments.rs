//! Checks of losses' settings.

use super::closed_form::classes;
use crate::Error;

/// A share.
pub(super) fn share(name: &'static str, value: f64) -> Result<(), Error> {
    if (0. ..=1.).contains(&value) {
        Ok(())
    } else {
        Err(Error::argument(name, value, "0 to 1"))
    }
}

/// Finite and not negative.
pub(super) fn not_negative(name: &'static str, value: f64) -> Result<(), Error> {
    let is_valid = value >= 0. && value.is_finite();
    if is_valid {
        Ok(())
    } else {
        Err(Error::argument(name, value, "a finite number, 0 or more"))
    }
}

/// Finite and above 0.
pub(super) fn positive(name: &'static str, value: f64) -> Result<(), Error> {
    let is_valid = value > 0. && value.is_finite();
    if is_valid {
        Ok(())
    } else {
        Err(Error::argument(name, value, "a finite number above 0"))
    }
}

/// Finite weights, not negative, of which one at least is above 0.
pub(super) fn some_weight(weights: &[f64]) -> Result<(), Error> {
    weights
        .iter()
        .try_for_each(|&weight| not_negative("class_weights", weight))?;
    if weights.iter().sum::<f64>() > 0. {
        return Ok(());
    }
    Err(Error::argument(
        "class_weights",
        "weight 0 for every class",
        "a sum above 0",
    ))
}

/// Weights for the losses of several channels, one for each.
pub(super) fn weight_per_channel(weights: &[f64], channels: usize) -> Result<(), Error> {
    if channels == 1 {
        return Err(Error::argument(
            "class_weights",
            format!("{weights:?}"),
            "none for logits with one channel",
        ));
    }
    weight_per_class(weights, channels)
}

/// A weight for each class.
pub(super) fn weight_per_class(weights: &[f64], channels: usize) -> Result<(), Error> {
    let classes = classes(channels);
    if weights.len() == classes {
        return Ok(());
    }
    Err(Error::argument(
        "class_weights",
        format!("{} weights", weights.len()),
        format!("{classes}, one per class"),
    ))
}
