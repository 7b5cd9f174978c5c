//! Gradients by parameter name: their norm, clipping, accumulation.

use std::collections::HashMap;

use candle_core::backprop::GradStore;
use candle_core::{CpuStorage, Device, Storage, Tensor};
use rayon::prelude::*;

use super::Optimizer;
use crate::Error;

/// Elements summed at once; fixed, so that no sum depends on the number of threads.
const CHUNK: usize = 1 << 14;
const LANES: usize = 8;

/// Detached gradients of named parameters, in the optimiser's order. A parameter that the loss does
/// not depend on has none.
#[derive(Debug, Clone, Default)]
pub struct Gradients(Vec<(String, Tensor)>);

impl Gradients {
    /// Takes the gradients of the optimiser's parameters out of what `backward` returned.
    ///
    /// They are detached at once: as candle returns them, each holds on to the whole graph.
    pub fn take(store: &mut GradStore, optimizer: &Optimizer) -> Self {
        let taken = optimizer.parameters().filter_map(|(name, var)| {
            let gradient = store.remove(var)?;
            Some((name.to_string(), gradient.detach()))
        });
        Self(taken.collect())
    }

    /// Name and gradient, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.0
            .iter()
            .map(|(name, gradient)| (name.as_str(), gradient))
    }

    /// The gradient of a parameter.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.iter()
            .find(|(other, _)| *other == name)
            .map(|(_, gradient)| gradient)
    }

    /// All gradients times `factor`.
    ///
    /// # Errors
    /// If candle reports one.
    pub fn scaled(self, factor: f64) -> Result<Self, Error> {
        self.map(|gradient| gradient.affine(factor, 0.))
    }

    /// Adds `weight` times the other gradients; those that are here only stay, those that are there
    /// only come at the end.
    ///
    /// # Errors
    /// If shapes or element types of the same name differ.
    pub fn add(&mut self, other: &Self, weight: f64) -> Result<(), Error> {
        let mut positions: HashMap<&str, usize> = HashMap::new();
        for (position, (name, _)) in self.0.iter().enumerate() {
            positions.insert(name, position);
        }
        let mut sum = self.0.clone();
        for (name, gradient) in other.iter() {
            let term = gradient.affine(weight, 0.)?;
            match positions.get(name) {
                Some(&position) => sum[position].1 = (&sum[position].1 + term)?,
                None => sum.push((name.to_string(), term)),
            }
        }
        self.0 = sum;
        Ok(())
    }

    /// The Euclidean norm over all gradients, summed in f64 in an order that does not depend on the
    /// number of threads.
    ///
    /// # Errors
    /// If a gradient is neither f32 nor f64.
    pub fn norm(&self) -> Result<f64, Error> {
        let squares = self.0.iter().map(|(_, gradient)| sum_of_squares(gradient));
        Ok(squares.sum::<Result<f64, Error>>()?.sqrt())
    }

    /// Scales all gradients so that their common norm is at most `max`, as PyTorch's
    /// `clip_grad_norm_`, and returns the norm before.
    ///
    /// # Errors
    /// If `max` is not above 0, or a gradient is neither f32 nor f64.
    pub fn clip_norm(&mut self, max: f64) -> Result<f64, Error> {
        is_limit("clip_norm", max)?;
        let norm = self.norm()?;
        let factor = max / (norm + 1e-6);
        if factor < 1. {
            *self = std::mem::take(self).scaled(factor)?;
        }
        Ok(norm)
    }

    /// Bounds each gradient element to `−max..=max`.
    ///
    /// # Errors
    /// If `max` is not above 0.
    pub fn clip_value(&mut self, max: f64) -> Result<(), Error> {
        is_limit("clip_value", max)?;
        *self = std::mem::take(self).map(|gradient| gradient.clamp(-max, max))?;
        Ok(())
    }

    /// The first parameter whose gradient holds a value that is not finite.
    ///
    /// # Errors
    /// If a gradient is neither f32 nor f64.
    pub fn first_non_finite(&self) -> Result<Option<&str>, Error> {
        for (name, gradient) in self.iter() {
            let is_finite = with_values(
                gradient,
                |values| values.par_iter().all(|value| value.is_finite()),
                |values| values.par_iter().all(|value| value.is_finite()),
            )?;
            if !is_finite {
                return Ok(Some(name));
            }
        }
        Ok(None)
    }

    fn map(self, change: impl Fn(&Tensor) -> candle_core::Result<Tensor>) -> Result<Self, Error> {
        let changed = self
            .0
            .into_iter()
            .map(|(name, gradient)| Ok((name, change(&gradient)?)));
        changed.collect::<Result<Vec<_>, Error>>().map(Self)
    }
}

/// Of detached copies, under names that are unique; of a name given twice, the last counts.
impl FromIterator<(String, Tensor)> for Gradients {
    fn from_iter<I: IntoIterator<Item = (String, Tensor)>>(gradients: I) -> Self {
        let mut collected: Vec<(String, Tensor)> = Vec::new();
        for (name, gradient) in gradients {
            let gradient = gradient.detach();
            match collected.iter_mut().find(|(other, _)| *other == name) {
                Some(entry) => entry.1 = gradient,
                None => collected.push((name, gradient)),
            }
        }
        Self(collected)
    }
}

fn is_limit(name: &'static str, max: f64) -> Result<(), Error> {
    if max > 0. {
        Ok(())
    } else {
        Err(Error::argument(name, max, "a number above 0"))
    }
}

fn sum_of_squares(gradient: &Tensor) -> Result<f64, Error> {
    with_values(
        gradient,
        |values| chunked(values, f64::from),
        |values| chunked(values, |value| value),
    )
}

fn chunked<T: Copy + Sync>(values: &[T], widen: impl Fn(T) -> f64 + Sync) -> f64 {
    let sums: Vec<f64> = values
        .par_chunks(CHUNK)
        .map(|chunk| chunk_sum(chunk, &widen))
        .collect();
    sums.into_iter().sum()
}

fn chunk_sum<T: Copy>(chunk: &[T], widen: impl Fn(T) -> f64) -> f64 {
    let mut lanes = [0f64; LANES];
    for part in chunk.chunks(LANES) {
        for (lane, &value) in lanes.iter_mut().zip(part) {
            let value = widen(value);
            *lane += value * value;
        }
    }
    lanes.into_iter().sum()
}

/// Calls one of the functions with the tensor's elements.
fn with_values<R>(
    tensor: &Tensor,
    f32s: impl FnOnce(&[f32]) -> R,
    f64s: impl FnOnce(&[f64]) -> R,
) -> Result<R, Error> {
    let tensor = tensor.to_device(&Device::Cpu)?.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    let (start, end) = layout.contiguous_offsets().expect("it was made contiguous");
    match &*storage {
        Storage::Cpu(CpuStorage::F32(values)) => Ok(f32s(&values[start..end])),
        Storage::Cpu(CpuStorage::F64(values)) => Ok(f64s(&values[start..end])),
        _ => Err(Error::argument(
            "gradient",
            tensor.dtype().as_str(),
            "f32 or f64",
        )),
    }
}
