//! How far filters are from each other (He et al. 2019, "Filter Pruning via Geometric Median",
//! arXiv:1811.00250).

use candle_core::{Device, Result, Tensor};

use super::values::Values;

/// For each position along an axis the sum of the Euclidean distances between its values and those
/// of all other positions.
pub(super) fn distances(values: &Values, axis: usize) -> Result<Vec<f64>> {
    let tensor = Tensor::from_slice(&values.values, values.shape.clone(), &Device::Cpu)?;
    let filters = tensor.transpose(0, axis)?.flatten_from(1)?.contiguous()?;
    let squares = filters.sqr()?.sum_keepdim(1)?;
    let products = filters.matmul(&filters.t()?)?;
    let squares = squares.broadcast_add(&squares.t()?)?;
    let squared: Vec<Vec<f64>> = (squares - (products * 2.)?)?.to_vec2()?;
    let of_filter = |(number, row): (usize, &Vec<f64>)| {
        let others = row.iter().enumerate().filter(|&(other, _)| other != number);
        // Rounding can leave equal filters a little below 0.
        others.map(|(_, &squared)| squared.max(0.).sqrt()).sum()
    };
    Ok(squared.iter().enumerate().map(of_filter).collect())
}
