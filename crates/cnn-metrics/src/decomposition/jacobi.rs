//! The singular value decomposition by rotations of pairs of columns (Hestenes 1958; Demmel & Veselić
//! 1992 on its accuracy).

use super::dot;
use crate::Error;

/// More rounds over all pairs than any matrix needs: convergence is quadratic in the end.
const MOST_SWEEPS: usize = 60;

/// The singular values of a matrix, largest first: as many as it has rows or columns, whichever are
/// fewer. Small ones are as accurate as large ones.
///
/// It takes some ten times `rows · columns · min(rows, columns)` steps.
///
/// # Shapes
///
/// `matrix`: row-major, a multiple of `columns` long.
///
/// # Errors
///
/// [`Error::InvalidArgument`] if `columns` is 0 or does not divide the length, or a number is not
/// finite.
///
/// ```
/// let values = cnn_metrics::singular_values(&[3.0, 0.0, 0.0, 0.0, 0.0, -4.0], 3)?;
/// assert_eq!(values, [4.0, 3.0]);
/// # Ok::<(), cnn_metrics::Error>(())
/// ```
pub fn singular_values(matrix: &[f64], columns: usize) -> Result<Vec<f64>, Error> {
    if columns == 0 || !matrix.len().is_multiple_of(columns) {
        let expected = "at least 1 and a divisor of the number of elements";
        return Err(Error::argument("columns", columns, expected));
    }
    if let Some(value) = matrix.iter().find(|value| !value.is_finite()) {
        return Err(Error::argument("matrix", value, "finite numbers"));
    }
    let rows = matrix.len() / columns;
    // Either its rows or its columns are made orthogonal, whichever are fewer.
    let mut vectors: Vec<Vec<f64>> = if rows <= columns {
        matrix.chunks_exact(columns).map(<[f64]>::to_vec).collect()
    } else {
        let column = |at: usize| matrix.iter().skip(at).step_by(columns).copied().collect();
        (0..columns).map(column).collect()
    };
    orthogonalise(&mut vectors, &mut []);
    let mut values: Vec<f64> = vectors.iter().map(|v| dot(v, v).sqrt()).collect();
    values.sort_unstable_by(|a, b| b.total_cmp(a));
    Ok(values)
}

/// Rotates the vectors pairwise until all are orthogonal, and those that go along in the same way.
pub(super) fn orthogonalise(vectors: &mut [Vec<f64>], along: &mut [Vec<f64>]) {
    for _ in 0..MOST_SWEEPS {
        let mut rotated = false;
        for second in 1..vectors.len() {
            for first in 0..second {
                if let Some(rotation) = Rotation::of(&vectors[first], &vectors[second]) {
                    rotated = true;
                    rotation.turn(vectors, first, second);
                    if !along.is_empty() {
                        rotation.turn(along, first, second);
                    }
                }
            }
        }
        if !rotated {
            break;
        }
    }
}

/// The rotation after which two vectors are orthogonal.
struct Rotation {
    cosine: f64,
    sine: f64,
}

impl Rotation {
    /// `None` where they are so already.
    fn of(first: &[f64], second: &[f64]) -> Option<Self> {
        let squares = [dot(first, first), dot(second, second)];
        let product = dot(first, second);
        if product == 0.0 || product.abs() <= f64::EPSILON * (squares[0] * squares[1]).sqrt() {
            return None;
        }
        let slope = (squares[1] - squares[0]) / (2.0 * product);
        let tangent = slope.signum() / (slope.abs() + slope.hypot(1.0));
        let cosine = 1.0 / tangent.hypot(1.0);
        Some(Self {
            cosine,
            sine: cosine * tangent,
        })
    }

    fn turn(&self, vectors: &mut [Vec<f64>], first: usize, second: usize) {
        let (before, behind) = vectors.split_at_mut(second);
        for (a, b) in before[first].iter_mut().zip(&mut behind[0]) {
            let turned = self.cosine * *a - self.sine * *b;
            *b = self.sine * *a + self.cosine * *b;
            *a = turned;
        }
    }
}
