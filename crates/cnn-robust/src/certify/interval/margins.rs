//! By how much another class can lead.

use candle_core::{D, DType, Device, Result, Tensor};

use super::Ends;

/// Products that are held at a time.
const PRODUCTS: usize = 1 << 22;
/// What a lead has to stay below 0 by, relative to the largest of its image, so that the rounding
/// of the bounds, and of scores in f32, leaves the answer as it is.
const SLACK: f64 = 1e-5;

/// The last layer of a network that ends with a linear one.
pub(super) struct LastLayer {
    /// `(K, F)`.
    pub(super) weight: Tensor,
    /// `(K)`.
    pub(super) bias: Option<Tensor>,
}

impl LastLayer {
    /// The most that `(W_k − W_y) h + b_k − b_y` is for features `h` between the ends, `(N, K)`.
    pub(super) fn leads(&self, features: &Ends, labels: &Tensor) -> Result<Tensor> {
        let centre = features.centre()?.to_tensor()?;
        let radius = features.radius()?.to_tensor()?;
        let images = labels.dims1()?;
        let at_a_time = (PRODUCTS / self.weight.elem_count().max(1)).max(1);
        let mut leads = Vec::new();
        for first in (0..images).step_by(at_a_time) {
            let count = at_a_time.min(images - first);
            let part = |tensor: &Tensor| tensor.narrow(0, first, count);
            leads.push(self.of_some(&part(&centre)?, &part(&radius)?, &part(labels)?)?);
        }
        Tensor::cat(&leads, 0)
    }

    fn of_some(&self, centre: &Tensor, radius: &Tensor, labels: &Tensor) -> Result<Tensor> {
        let own = self.weight.index_select(labels, 0)?.unsqueeze(1)?;
        let difference = self.weight.unsqueeze(0)?.broadcast_sub(&own)?;
        let of_centre = difference.broadcast_mul(&centre.unsqueeze(1)?)?;
        let of_radius = difference.abs()?.broadcast_mul(&radius.unsqueeze(1)?)?;
        let leads = (of_centre + of_radius)?.sum(D::Minus1)?;
        let Some(bias) = &self.bias else {
            return Ok(leads);
        };
        let own = bias.index_select(labels, 0)?.unsqueeze(1)?;
        leads + bias.unsqueeze(0)?.broadcast_sub(&own)?
    }
}

/// The most that `z_k − z_y` is for scores between the ends, `(N, K)`; 0 of the class itself.
pub(super) fn leads(scores: &Ends, labels: &Tensor) -> Result<Tensor> {
    let [lower, upper] = [scores.lower.to_tensor()?, scores.upper.to_tensor()?];
    let own = lower.gather(&labels.unsqueeze(1)?, 1)?;
    let leads = upper.broadcast_sub(&own)?;
    let classes = Tensor::arange(0, lower.dims2()?.1 as u32, &Device::Cpu)?.unsqueeze(0)?;
    let others = classes.broadcast_ne(&labels.unsqueeze(1)?)?;
    leads * others.to_dtype(lower.dtype())?
}

/// Numbers of classes as a tensor.
pub(super) fn classes(labels: &[u32]) -> Result<Tensor> {
    Tensor::from_slice(labels, labels.len(), &Device::Cpu)?.to_dtype(DType::U32)
}

/// Whether no other class can lead, by the most that each can lead by.
pub(crate) fn stays(leads: &[f64], class: u32) -> bool {
    let largest = leads.iter().fold(0f64, |size, lead| size.max(lead.abs()));
    let slack = SLACK * (1. + largest);
    let others = leads.iter().enumerate();
    others
        .filter(|(other, _)| *other != class as usize)
        .all(|(_, lead)| *lead < -slack)
}
