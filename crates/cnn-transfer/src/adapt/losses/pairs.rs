//! All pairs of rows of two domains, the target's behind the source's: their inner products, and sums
//! of rows with a weight for each pair.

use candle_core::{Device, Result as CandleResult, Tensor};
use cnn_kernels::{Conv2dSpec, conv2d};

use super::known_gradient::{Slope, wide};
use crate::Error;
use crate::adapt::Domains;
use crate::adapt::domains::DomainSizes;
use crate::adapt::vectors::pixels;

/// The rows in f64, around their mean.
pub(super) struct Pairs<'a> {
    domains: Domains<'a>,
    sizes: DomainSizes,
    values: Vec<f64>,
}

impl<'a> Pairs<'a> {
    /// Around the mean of all: distances do not change by a shift, and near the origin fewer digits
    /// cancel.
    pub(super) fn around_the_mean(domains: Domains<'a>, sizes: DomainSizes) -> Result<Self, Error> {
        let mut values = wide(domains.source)?;
        values.extend(wide(domains.target)?);
        centre(&mut values, sizes.columns);
        Ok(Self {
            domains,
            sizes,
            values,
        })
    }

    /// Each domain around its own mean.
    pub(super) fn around_both_means(
        domains: Domains<'a>,
        sizes: DomainSizes,
    ) -> Result<Self, Error> {
        let mut values = wide(domains.source)?;
        let mut target = wide(domains.target)?;
        centre(&mut values, sizes.columns);
        centre(&mut target, sizes.columns);
        values.extend(target);
        Ok(Self {
            domains,
            sizes,
            values,
        })
    }

    /// The number of rows.
    pub(super) fn count(&self) -> usize {
        self.sizes.source + self.sizes.target
    }

    /// `x_i · x_j` of all pairs.
    pub(super) fn products(&self) -> Result<Vec<f64>, Error> {
        let shape = [self.count(), self.sizes.columns];
        Ok(matrix_product(self.values.clone(), &self.values, shape)?)
    }

    /// `|x_i − x_j|²` of all pairs.
    pub(super) fn squared_distances(&self) -> Result<Vec<f64>, Error> {
        let products = self.products()?;
        let count = self.count();
        let square = |at: usize| products[at * (count + 1)];
        let distance = |(at, product): (usize, &f64)| {
            let [i, j] = [at / count, at % count];
            // Rounding may leave less than nothing.
            (square(i) + square(j) - 2. * product).max(0.)
        };
        Ok(products.iter().enumerate().map(distance).collect())
    }

    /// `Σ_j matrix_ij x_j` of each row, as gradients of both domains.
    pub(super) fn slopes(&self, matrix: Vec<f64>) -> Result<Vec<Slope<'a>>, Error> {
        let DomainSizes { columns, .. } = self.sizes;
        let count = self.count();
        let transposed: Vec<f64> = (0..self.values.len())
            .map(|at| self.values[at % count * columns + at / count])
            .collect();
        let mut source = matrix_product(matrix, &transposed, [columns, count])?;
        let target = source.split_off(self.sizes.source * columns);
        Ok(vec![
            Slope {
                input: self.domains.source,
                gradient: source,
            },
            Slope {
                input: self.domains.target,
                gradient: target,
            },
        ])
    }

    /// The gradients of a loss whose derivatives by the squared distances of all pairs are known:
    /// `2 Σ_j (s_ij + s_ji) (x_i − x_j)`.
    pub(super) fn slopes_of_distances(&self, by_distance: &[f64]) -> Result<Vec<Slope<'a>>, Error> {
        let count = self.count();
        let both = |i: usize, j: usize| by_distance[i * count + j] + by_distance[j * count + i];
        let mut matrix = vec![0.; count * count];
        for (i, row) in matrix.chunks_exact_mut(count).enumerate() {
            let mut sum = 0.;
            for (j, value) in row.iter_mut().enumerate().filter(|(j, _)| *j != i) {
                *value = -2. * both(i, j);
                sum -= *value;
            }
            row[i] = sum;
        }
        self.slopes(matrix)
    }
}

fn centre(values: &mut [f64], columns: usize) {
    let mut mean = vec![0.; columns];
    for row in values.chunks_exact(columns) {
        mean.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
    }
    let count = (values.len() / columns) as f64;
    mean.iter_mut().for_each(|sum| *sum /= count);
    for row in values.chunks_exact_mut(columns) {
        row.iter_mut().zip(&mean).for_each(|(x, mean)| *x -= mean);
    }
}

/// `left · rightᵀ` with rows of the same length, row by row: a convolution over single pixels, which
/// is fast, and the same at any number of threads.
fn matrix_product(
    left: Vec<f64>,
    right: &[f64],
    shape_of_right: [usize; 2],
) -> CandleResult<Vec<f64>> {
    let length = shape_of_right[1];
    let rows = left.len() / length;
    let left = pixels(&Tensor::from_vec(left, (rows, length), &Device::Cpu)?)?;
    let right = Tensor::from_slice(right, &shape_of_right, &Device::Cpu)?;
    let products = conv2d(&left, &right, None, &Conv2dSpec::default())?;
    products.to_nhwc().flatten_all()?.to_vec1()
}
