//! The largest eigenvalues of a symmetric matrix that is known by its products alone (Lanczos 1950,
//! with every vector made orthogonal to all before it).

use super::dot;
use super::jacobi::orthogonalise;
use crate::Error;
use crate::random::Draws;

/// After so many products it takes what there is.
const MOST_STEPS: usize = 256;
/// How far from an eigenvector the result may be, as a share of the largest eigenvalue.
const TOLERANCE: f64 = 1e-14;

/// An eigenvalue with its vector of length 1, whose sign is arbitrary but always the same.
#[derive(Clone, Debug, PartialEq)]
pub struct Eigenpair {
    /// The eigenvalue.
    pub value: f64,
    /// The eigenvector.
    pub vector: Vec<f64>,
}

/// The `count` largest eigenvalues of a symmetric matrix without negative ones, largest first, with
/// their vectors: `product` multiplies a vector of `size` numbers by the matrix.
///
/// It asks for as many products as it takes to leave a residual `|A v − λ v|` of 1e-14 times the
/// largest eigenvalue, at most 256: a matrix whose largest eigenvalues nearly equal many others may
/// be left with a larger one.
///
/// # Errors
///
/// [`Error::InvalidArgument`] if `count` is 0 or above `size`, or a product is not finite or has
/// another length.
///
/// ```
/// // The matrix [[2, 1], [1, 2]].
/// let product = |xs: &[f64]| vec![2.0 * xs[0] + xs[1], xs[0] + 2.0 * xs[1]];
/// let pairs = cnn_metrics::largest_eigenpairs(2, 2, product)?;
/// assert!((pairs[0].value - 3.0).abs() < 1e-12 && (pairs[1].value - 1.0).abs() < 1e-12);
/// assert!((pairs[0].vector[0] - pairs[0].vector[1]).abs() < 1e-12);
/// # Ok::<(), cnn_metrics::Error>(())
/// ```
pub fn largest_eigenpairs(
    size: usize,
    count: usize,
    product: impl FnMut(&[f64]) -> Vec<f64>,
) -> Result<Vec<Eigenpair>, Error> {
    if count == 0 || count > size {
        let expected = "at least 1 and at most the size of the matrix";
        return Err(Error::argument("count", count, expected));
    }
    let mut lanczos = Lanczos::new(size, product);
    let most = size.min(MOST_STEPS.max(2 * count));
    loop {
        let steps = (2 * lanczos.basis.len()).clamp(2 * count + 8, most.max(2 * count + 8));
        while lanczos.basis.len() < steps.min(most) {
            lanczos.step()?;
        }
        let pairs = lanczos.largest(count);
        if lanczos.basis.len() == most || lanczos.is_close(&pairs) {
            return Ok(pairs.iter().map(|pair| lanczos.expanded(pair)).collect());
        }
    }
}

/// An orthonormal basis in which the matrix is tridiagonal.
struct Lanczos<F> {
    size: usize,
    product: F,
    draws: Draws,
    basis: Vec<Vec<f64>>,
    diagonal: Vec<f64>,
    /// Between each vector of the basis and the next.
    beside: Vec<f64>,
    /// The next vector of the basis.
    next: Vec<f64>,
}

impl<F: FnMut(&[f64]) -> Vec<f64>> Lanczos<F> {
    fn new(size: usize, product: F) -> Self {
        let mut lanczos = Self {
            size,
            product,
            draws: Draws::new(0, 0),
            basis: Vec::new(),
            diagonal: Vec::new(),
            beside: Vec::new(),
            next: Vec::new(),
        };
        lanczos.next = lanczos.fresh();
        lanczos
    }

    /// A vector of length 1 in a random direction, orthogonal to the basis.
    fn fresh(&mut self) -> Vec<f64> {
        let draws = &mut self.draws;
        let mut draw = || (draws.below(1 << 53) as f64 / (1_u64 << 52) as f64) - 1.0;
        let mut vector: Vec<f64> = (0..self.size).map(|_| draw()).collect();
        self.remove_basis(&mut vector);
        let length = dot(&vector, &vector).sqrt();
        vector.iter_mut().for_each(|x| *x /= length);
        vector
    }

    /// Twice, because the first time leaves rounding errors of the size of what it removes.
    fn remove_basis(&self, vector: &mut [f64]) {
        for _ in 0..2 {
            for known in &self.basis {
                let share = dot(known, vector);
                vector
                    .iter_mut()
                    .zip(known)
                    .for_each(|(x, k)| *x -= share * k);
            }
        }
    }

    /// One vector more in the basis.
    fn step(&mut self) -> Result<(), Error> {
        let mut image = (self.product)(&self.next);
        if image.len() != self.size || image.iter().any(|x| !x.is_finite()) {
            let found = format!("{} numbers, or one that is not finite", image.len());
            return Err(Error::argument(
                "product",
                found,
                "as many finite numbers as the size",
            ));
        }
        let before = dot(&image, &image).sqrt();
        self.diagonal.push(dot(&image, &self.next));
        let done = std::mem::take(&mut self.next);
        self.basis.push(done);
        self.remove_basis(&mut image);
        let length = dot(&image, &image).sqrt();
        // Nothing but rounding is left where the basis holds whole eigenspaces; there it goes on in a
        // new direction.
        let is_new = length > before * f64::EPSILON * self.size as f64;
        if is_new {
            image.iter_mut().for_each(|x| *x /= length);
            self.beside.push(length);
            self.next = image;
        } else {
            self.beside.push(0.0);
            if self.basis.len() < self.size {
                self.next = self.fresh();
            }
        }
        Ok(())
    }

    /// The largest eigenpairs of the tridiagonal matrix. As it has no negative eigenvalues, they are
    /// its singular values with their vectors.
    fn largest(&self, count: usize) -> Vec<Eigenpair> {
        let steps = self.basis.len();
        let mut rows = vec![vec![0.0; steps]; steps];
        let mut vectors = rows.clone();
        for at in 0..steps {
            vectors[at][at] = 1.0;
            rows[at][at] = self.diagonal[at];
            if at + 1 < steps {
                rows[at][at + 1] = self.beside[at];
                rows[at + 1][at] = self.beside[at];
            }
        }
        orthogonalise(&mut rows, &mut vectors);
        let pair = |(row, vector): (&Vec<f64>, Vec<f64>)| Eigenpair {
            value: dot(row, row).sqrt(),
            vector,
        };
        let mut pairs: Vec<Eigenpair> = rows.iter().zip(vectors).map(pair).collect();
        pairs.sort_by(|a, b| b.value.total_cmp(&a.value));
        pairs.truncate(count);
        pairs
    }

    /// Whether the residuals, which the last element of each vector tells, are small.
    fn is_close(&self, pairs: &[Eigenpair]) -> bool {
        let [Some(largest), Some(beside)] = [
            pairs.first().map(|pair| pair.value),
            self.beside.last().copied(),
        ] else {
            return false;
        };
        let last = |pair: &Eigenpair| pair.vector.last().map_or(0.0, |x| x.abs());
        pairs
            .iter()
            .all(|pair| beside * last(pair) <= TOLERANCE * largest)
    }

    /// The pair with its vector in the space of the matrix.
    fn expanded(&self, pair: &Eigenpair) -> Eigenpair {
        let mut vector = vec![0.0; self.size];
        for (known, share) in self.basis.iter().zip(&pair.vector) {
            vector
                .iter_mut()
                .zip(known)
                .for_each(|(x, k)| *x += share * k);
        }
        Eigenpair {
            value: pair.value,
            vector,
        }
    }
}
