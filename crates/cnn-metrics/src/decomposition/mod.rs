//! Singular values and eigenvectors, for what a metric or a picture reads from them.

mod jacobi;
mod lanczos;

pub use jacobi::singular_values;
pub use lanczos::{Eigenpair, largest_eigenpairs};

/// The inner product.
pub(crate) fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}
