//! What is differentiated: a loss of class scores.

/// A loss of each image's class scores.
pub trait LogitLoss {
    /// The loss of the image at a place of its batch, and its gradient by the scores, which is
    /// written to `gradient`; that holds zeros before.
    fn loss(&self, index: usize, logits: &[f64], gradient: &mut [f64]) -> f64;
}

impl<F: Fn(usize, &[f64], &mut [f64]) -> f64> LogitLoss for F {
    fn loss(&self, index: usize, logits: &[f64], gradient: &mut [f64]) -> f64 {
        self(index, logits, gradient)
    }
}
