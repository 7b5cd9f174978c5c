//! Losses of rows as operations of candle's graph.

use candle_core::{
    CpuStorage, CustomOp1, DType, Layout, Result, Shape, Storage, Tensor, WithDType,
};
use rayon::prelude::*;

use super::reduction::{Reduction, Weights};
use crate::Error;

/// Numbers of a chunk, about.
const CHUNK: usize = 1 << 13;

/// A loss that each row of numbers has for itself.
pub(super) trait RowLoss: Send + Sync + 'static {
    /// What errors of candle call it.
    const NAME: &'static str;

    /// The numbers of a row.
    fn width(&self) -> usize;

    /// The loss of a row, whose number comes first.
    fn value(&self, index: usize, row: &[f64]) -> f64;

    /// Its gradient, written over what is there.
    fn gradient(&self, index: usize, row: &[f64], gradient: &mut [f64]);

    /// How many of so many rows a mean is over. Default: all.
    fn counted(&self, rows: usize) -> usize {
        rows
    }
}

/// The reduced loss as a scalar of the predictions' element type; a row of the predictions, to which
/// a weight belongs, has `losses_per_row` losses.
pub(super) fn reduced<L: RowLoss>(
    loss: L,
    predictions: &Tensor,
    losses_per_row: usize,
    reduction: &Reduction,
) -> Result<Tensor> {
    let losses = predictions.elem_count() / loss.width();
    let operation = Operation {
        weights: reduction.weights(losses, losses_per_row)?,
        factor: reduction.factor(loss.counted(losses))?,
        loss,
    };
    let predictions = predictions.contiguous()?;
    match predictions.dtype() {
        DType::F32 | DType::F64 => predictions.apply_op1(operation),
        other => Err(unsupported(other).into()),
    }
}

/// The loss of each row, outside any graph.
pub(super) fn each<L: RowLoss>(loss: &L, predictions: &Tensor) -> Result<Vec<f64>> {
    let predictions = predictions.detach().flatten_all()?;
    let predictions = match predictions.dtype() {
        DType::F32 | DType::F64 => predictions.to_dtype(DType::F64)?.to_vec1::<f64>()?,
        other => return Err(unsupported(other).into()),
    };
    let width = loss.width();
    let rows = predictions.par_chunks_exact(width).enumerate();
    Ok(rows.map(|(index, row)| loss.value(index, row)).collect())
}

fn unsupported(found: DType) -> Error {
    Error::argument("predictions", found.as_str(), "f32 or f64")
}

/// A wrong shape of the predictions.
pub(super) fn shape_fault(predictions: &Tensor, expected: &str) -> Error {
    let found = format!("shape {:?}", predictions.dims());
    Error::argument("predictions", found, expected)
}

/// As many targets as there should be.
pub(super) fn check_targets(found: usize, expected: usize, each: &str) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    let found = format!("{found} of them");
    Err(Error::argument("targets", found, format!("{expected}, one per {each}")).into())
}

/// How many elements the last dimension has, 1 of a vector, whose elements are rows.
pub(super) fn row_elements(predictions: &Tensor) -> usize {
    match predictions.dims() {
        [] | [_] => 1,
        [.., last] => (*last).max(1),
    }
}

struct Operation<L> {
    loss: L,
    weights: Weights,
    factor: f64,
}

impl<L: RowLoss> Operation<L> {
    /// Rows of a chunk.
    fn chunk(&self) -> usize {
        (CHUNK / self.loss.width()).max(1)
    }

    fn sum<T: WithDType>(&self, predictions: &[T]) -> f64 {
        let chunk = self.chunk();
        let width = self.loss.width();
        let sums: Vec<f64> = predictions
            .par_chunks(chunk * width)
            .enumerate()
            .map_init(Vec::new, |row, (number, predictions)| {
                let rows = predictions.chunks_exact(width);
                let terms = (number * chunk..).zip(rows).map(|(index, predictions)| {
                    widen(predictions, row);
                    self.weights.of(index) * self.loss.value(index, row)
                });
                terms.sum()
            })
            .collect();
        sums.iter().sum::<f64>() * self.factor
    }

    fn gradient<T: WithDType>(&self, predictions: &[T], scale: f64) -> Vec<T> {
        let chunk = self.chunk();
        let width = self.loss.width();
        let mut gradient = vec![T::zero(); predictions.len()];
        gradient
            .par_chunks_mut(chunk * width)
            .zip(predictions.par_chunks(chunk * width))
            .enumerate()
            .for_each(|(number, (gradient, predictions))| {
                let mut row = Vec::new();
                let mut of_row = vec![0.; width];
                let rows = predictions.chunks_exact(width);
                let rows = rows.zip(gradient.chunks_exact_mut(width));
                for (index, (predictions, gradient)) in (number * chunk..).zip(rows) {
                    let scale = scale * self.factor * self.weights.of(index);
                    if scale == 0. {
                        continue;
                    }
                    widen(predictions, &mut row);
                    self.loss.gradient(index, &row, &mut of_row);
                    for (gradient, &slope) in gradient.iter_mut().zip(&of_row) {
                        *gradient = T::from_f64(scale * slope);
                    }
                }
            });
        gradient
    }
}

fn widen<T: WithDType>(values: &[T], to: &mut Vec<f64>) {
    to.clear();
    to.extend(values.iter().map(|value| value.to_f64()));
}

/// The values of a contiguous tensor.
fn slice<'a, T: WithDType>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [T]> {
    let Some((start, end)) = layout.contiguous_offsets() else {
        return Err(candle_core::Error::RequiresContiguous { op: "loss" });
    };
    Ok(&T::cpu_storage_as_slice(storage)?[start..end])
}

impl<L: RowLoss> CustomOp1 for Operation<L> {
    fn name(&self) -> &'static str {
        L::NAME
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let value = match storage {
            CpuStorage::F32(_) => {
                let sum = self.sum::<f32>(slice(storage, layout)?);
                CpuStorage::F32(vec![sum as f32])
            }
            _ => CpuStorage::F64(vec![self.sum::<f64>(slice(storage, layout)?)]),
        };
        Ok((value, Shape::from(())))
    }

    fn bwd(
        &self,
        predictions: &Tensor,
        _loss: &Tensor,
        upstream: &Tensor,
    ) -> Result<Option<Tensor>> {
        let scale = upstream.to_dtype(DType::F64)?.to_scalar::<f64>()?;
        let (storage, layout) = predictions.storage_and_layout();
        let Storage::Cpu(storage) = &*storage else {
            candle_core::bail!("{}: expected predictions on the CPU", L::NAME);
        };
        let shape = predictions.dims();
        let device = predictions.device();
        let gradient = match storage {
            CpuStorage::F32(_) => {
                let gradient = self.gradient::<f32>(slice(storage, layout)?, scale);
                Tensor::from_vec(gradient, shape, device)?
            }
            _ => {
                let gradient = self.gradient::<f64>(slice(storage, layout)?, scale);
                Tensor::from_vec(gradient, shape, device)?
            }
        };
        Ok(Some(gradient))
    }
}
