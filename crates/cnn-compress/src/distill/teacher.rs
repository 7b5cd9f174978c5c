//! The network that is learnt from, over images that were prepared for another.

use candle_core::{DType, Device, Tensor};
use cnn_core::Preprocessing;
use cnn_graph::stages_and_logits;
use cnn_kernels::{Interpolation, ResizeTo, resize};
use cnn_layers::{Classifier, Context, FeatureMap, Mode, StageInfo};
use cnn_models::Network;

use crate::Error;

/// The network that is learnt from.
pub(super) struct Teacher {
    model: Box<dyn Classifier>,
    dtype: DType,
    change: Option<Change>,
    /// Rows and columns, where they are not the student's.
    size: Option<[usize; 2]>,
}

/// What the teacher makes of a batch.
pub(super) struct Answers {
    /// `(N, K)`, in f32.
    pub(super) logits: Tensor,
    /// Of each stage.
    pub(super) maps: Vec<FeatureMap>,
}

/// From one network's normalisation to another's: `x · scale + shift` of each channel, behind the
/// order of the colours.
struct Change {
    scale: Vec<f64>,
    shift: Vec<f64>,
    is_reversed: bool,
}

impl Teacher {
    /// A network that has learnt, for a student whose images are prepared by this record.
    pub(super) fn new(network: &Network, student: &Preprocessing) -> Result<Self, Error> {
        let own = network.preprocessing();
        let [channels, rows, columns] = own.input_size;
        let [of_student, ..] = student.input_size;
        if channels != of_student {
            return Err(Error::Argument {
                what: "the channels of the teacher's images",
                found: channels.to_string(),
                expected: format!("{of_student}, as the student's"),
            });
        }
        Ok(Self {
            model: network.build(Mode::Eval)?,
            dtype: network.store().dtype(),
            change: Change::between(student, own),
            size: (student.input_size != own.input_size).then_some([rows, columns]),
        })
    }

    pub(super) fn stages(&self) -> &[StageInfo] {
        self.model.stages()
    }

    /// What it makes of the student's images `(N, H, W, C)`.
    pub(super) fn answers(&self, images: &Tensor) -> Result<Answers, candle_core::Error> {
        let changed = match &self.change {
            Some(change) => change.applied(&images.detach())?,
            None => images.detach(),
        };
        let mut images = FeatureMap::from_nhwc(&changed.to_dtype(self.dtype)?)?;
        if let Some(size) = self.size {
            let bilinear = Interpolation::Bilinear {
                align_corners: false,
            };
            images = resize(&images, ResizeTo::Size(size), bilinear)?;
        }
        let (maps, logits) = stages_and_logits(self.model.as_ref(), &images, &Context::eval())?;
        Ok(Answers {
            logits: logits.detach(),
            maps: maps.iter().map(FeatureMap::detach).collect(),
        })
    }
}

impl Change {
    /// `None` where both are equal.
    fn between(from: &Preprocessing, to: &Preprocessing) -> Option<Self> {
        let is_reversed = from.color_order != to.color_order;
        let alike = from.mean == to.mean && from.std == to.std;
        if alike && from.value_range == to.value_range && !is_reversed {
            return None;
        }
        let channels = to.mean.len();
        // A channel of a network's input is `(black + (white − black) · pixel − mean) / std`.
        let scale_of = |record: &Preprocessing, channel: usize| {
            let [black, white] = record.value_range;
            (white - black) / record.std[channel]
        };
        let shift_of = |record: &Preprocessing, channel: usize| {
            (record.value_range[0] - record.mean[channel]) / record.std[channel]
        };
        let read = |channel: usize| {
            if is_reversed {
                channels - 1 - channel
            } else {
                channel
            }
        };
        let scale = |channel| scale_of(to, channel) / scale_of(from, read(channel));
        let scale: Vec<f64> = (0..channels).map(scale).collect();
        let shift =
            |channel| shift_of(to, channel) - scale[channel] * shift_of(from, read(channel));
        Some(Self {
            shift: (0..channels).map(shift).collect(),
            scale,
            is_reversed,
        })
    }

    fn applied(&self, images: &Tensor) -> Result<Tensor, candle_core::Error> {
        let channels = self.scale.len() as u32;
        let ordered = if self.is_reversed {
            let order: Vec<u32> = (0..channels).rev().collect();
            images.index_select(&Tensor::new(order, &Device::Cpu)?, 3)?
        } else {
            images.clone()
        };
        let row = |values: &[f64]| Tensor::new(values, &Device::Cpu)?.to_dtype(images.dtype());
        ordered
            .broadcast_mul(&row(&self.scale)?)?
            .broadcast_add(&row(&self.shift)?)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use cnn_core::ColorOrder;

    use super::*;

    /// A pixel as a network reads it.
    fn prepared(pixel: [f64; 3], record: &Preprocessing) -> [f64; 3] {
        let [black, white] = record.value_range;
        let [red, green, blue] = pixel;
        let ordered = match record.color_order {
            ColorOrder::Bgr => [blue, green, red],
            _ => pixel,
        };
        let mut prepared = ordered.map(|x| black + (white - black) * x);
        for (channel, x) in prepared.iter_mut().enumerate() {
            *x = (*x - record.mean[channel]) / record.std[channel];
        }
        prepared
    }

    #[test]
    fn one_networks_input_becomes_the_others() {
        let own = Preprocessing::default();
        let other = Preprocessing {
            mean: vec![0.1, 0.2, 0.3],
            std: vec![2., 1., 0.5],
            color_order: ColorOrder::Bgr,
            value_range: [0., 255.],
            ..Preprocessing::default()
        };
        assert!(Change::between(&own, &own).is_none());
        let pixel = [0.25, 0.5, 0.875];
        for [from, to] in [[&own, &other], [&other, &own]] {
            let change = Change::between(from, to).unwrap();
            let input = Tensor::new(&prepared(pixel, from), &Device::Cpu).unwrap();
            let changed = change
                .applied(&input.reshape((1, 1, 1, 3)).unwrap())
                .unwrap();
            let changed: Vec<f64> = changed.flatten_all().unwrap().to_vec1().unwrap();
            for (found, expected) in changed.iter().zip(prepared(pixel, to)) {
                assert!((found - expected).abs() < 1e-12 * expected.abs().max(1.));
            }
        }
    }
}
