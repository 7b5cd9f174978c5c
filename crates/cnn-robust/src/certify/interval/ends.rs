//! What lies between two values, and the same as a centre and a radius.

use candle_core::{Result, Tensor};
use cnn_graph::OwnedValue;
use cnn_layers::FeatureMap;

/// All values that lie, element by element, between two.
#[derive(Clone)]
pub(crate) struct Ends {
    pub(crate) lower: OwnedValue,
    pub(crate) upper: OwnedValue,
}

impl Ends {
    /// Between two batches of inputs `(N, H, W, C)`.
    pub(crate) fn of_inputs(lower: &Tensor, upper: &Tensor) -> Result<Self> {
        Ok(Self {
            lower: FeatureMap::from_nhwc(lower)?.into(),
            upper: FeatureMap::from_nhwc(upper)?.into(),
        })
    }

    /// All values that are no further than a radius from a centre.
    pub(super) fn around(centre: &OwnedValue, radius: &OwnedValue) -> Result<Self> {
        Ok(Self {
            lower: joined(centre, radius, |centre, radius| centre - radius)?,
            upper: joined(centre, radius, |centre, radius| centre + radius)?,
        })
    }

    pub(super) fn centre(&self) -> Result<OwnedValue> {
        joined(&self.lower, &self.upper, |lower, upper| {
            (lower + upper)? / 2.
        })
    }

    /// Half the width, which is exactly 0 where both ends are one.
    pub(super) fn radius(&self) -> Result<OwnedValue> {
        joined(&self.lower, &self.upper, |lower, upper| {
            (upper - lower)? / 2.
        })
    }

    /// The place nearest to `place` that lies between the ends.
    pub(super) fn nearest(&self, place: f64) -> Result<OwnedValue> {
        joined(&self.lower, &self.upper, |lower, upper| {
            lower.maximum(place)?.minimum(upper)
        })
    }
}

/// A function of two values of one form.
pub(super) fn joined(
    a: &OwnedValue,
    b: &OwnedValue,
    function: impl Fn(&Tensor, &Tensor) -> Result<Tensor>,
) -> Result<OwnedValue> {
    match (a, b) {
        (OwnedValue::Maps(a), OwnedValue::Maps(b)) => {
            let maps = function(&a.to_nhwc(), &b.to_nhwc())?;
            Ok(FeatureMap::from_nhwc(&maps)?.into())
        }
        (OwnedValue::Vectors(a), OwnedValue::Vectors(b)) => Ok(function(a, b)?.into()),
        _ => candle_core::bail!("one end is maps and the other vectors"),
    }
}
