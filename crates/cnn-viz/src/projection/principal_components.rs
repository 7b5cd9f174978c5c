//! Principal component analysis (Pearson 1901; Hotelling 1933).

use cnn_metrics::{Eigenpair, largest_eigenpairs};

use super::rows;
use crate::Error;

/// Features in the plane in which they spread most.
#[derive(Debug, Clone, PartialEq)]
pub struct PrincipalComponents {
    /// Where each row lies: along the first component, along the second. Their mean is 0.
    pub points: Vec<[f64; 2]>,
    /// The share of the whole variance along either, 0 where nothing varies.
    pub explained: [f64; 2],
}

/// The first two principal components of features: `(x − mean) · v`, with the eigenvectors `v` of the
/// covariance that belong to its largest eigenvalues.
///
/// The largest entry of each `v` by magnitude is above 0, as in scikit-learn, so that the picture has
/// one orientation.
///
/// # Shapes
///
/// `features`: rows of `columns` numbers, at least 2.
///
/// # Errors
///
/// [`Error::Argument`] unless there are whole rows of finite numbers.
///
/// ```
/// use cnn_viz::principal_components;
///
/// // On a line in the direction (3, 4).
/// let found = principal_components(&[0., 0., 3., 4., 6., 8.], 2)?;
/// for (point, expected) in found.points.iter().zip([-5., 0., 5.]) {
///     assert!((point[0] - expected).abs() < 1e-12 && point[1].abs() < 1e-12);
/// }
/// assert!((found.explained[0] - 1.).abs() < 1e-12);
/// # Ok::<(), cnn_viz::Error>(())
/// ```
pub fn principal_components(
    features: &[f32],
    columns: usize,
) -> Result<PrincipalComponents, Error> {
    let rows = rows(features, columns, 2)?;
    let centred = centred(features, columns);
    let total: f64 = centred.iter().map(|x| x * x).sum();
    let count = columns.min(2);
    let pairs = largest_eigenpairs(columns, count, |vector| product(&centred, vector))?;
    let mut components = PrincipalComponents {
        points: vec![[0.; 2]; rows],
        explained: [0.; 2],
    };
    for (component, pair) in pairs.iter().enumerate() {
        let vector = oriented(pair);
        let points = components.points.iter_mut();
        for (point, row) in points.zip(centred.chunks_exact(columns)) {
            point[component] = dot(row, &vector);
        }
        if total > 0. {
            components.explained[component] = pair.value / total;
        }
    }
    Ok(components)
}

fn centred(features: &[f32], columns: usize) -> Vec<f64> {
    let rows = features.chunks_exact(columns);
    let count = rows.len() as f64;
    let mut mean = vec![0.; columns];
    for row in rows.clone() {
        let sums = mean.iter_mut().zip(row);
        sums.for_each(|(sum, &x)| *sum += f64::from(x));
    }
    mean.iter_mut().for_each(|sum| *sum /= count);
    let shifted = rows.flat_map(|row| row.iter().zip(&mean).map(|(&x, m)| f64::from(x) - m));
    shifted.collect()
}

/// `Xᵀ X v`.
fn product(centred: &[f64], vector: &[f64]) -> Vec<f64> {
    let mut image = vec![0.; vector.len()];
    for row in centred.chunks_exact(vector.len()) {
        let share = dot(row, vector);
        let sums = image.iter_mut().zip(row);
        sums.for_each(|(sum, x)| *sum += share * x);
    }
    image
}

/// The vector or its opposite, whichever has its largest entry above 0.
fn oriented(pair: &Eigenpair) -> Vec<f64> {
    let largest = |most: f64, &x: &f64| if x.abs() > most.abs() { x } else { most };
    let sign = pair.vector.iter().fold(0., largest).signum();
    pair.vector.iter().map(|x| sign * x).collect()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
