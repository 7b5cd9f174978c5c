//! The samples that the metrics are held against scikit-learn 1.9.1 with.
//!
//! Each test quotes its call; this comes before it:
//!
//! ```python
//! import numpy as np
//! from sklearn.metrics import *
//! i, c = np.arange(40)[:, None], np.arange(7)[None, :]
//! logits = (i * 37 + c * 101 + i * c * 17) % 211 / 32 - 3
//! labels = np.where(i[:, 0] % 3 == 0, (i[:, 0] * 5 + 2) % 6, logits[:, :5].argmax(1))
//! pred = logits.argmax(1)
//! p = np.exp(logits - logits.max(1, keepdims=True)); p /= p.sum(1, keepdims=True)
//! ```

pub(crate) const CLASSES: usize = 7;

pub(crate) const LABELS: [u32; 40] = [
    2, 3, 1, 5, 4, 0, 2, 4, 4, 5, 4, 0, 2, 3, 4, 5, 4, 0, 2, 4, 4, 5, 4, 2, 2, 1, 4, 5, 0, 1, 2, 0,
    4, 5, 0, 2, 2, 1, 4, 5,
];

/// `pred` above.
pub(crate) const PREDICTIONS: [u32; 40] = [
    2, 5, 1, 2, 4, 0, 2, 6, 4, 2, 4, 0, 2, 5, 4, 6, 4, 0, 3, 6, 5, 1, 4, 2, 4, 1, 4, 0, 0, 6, 3, 0,
    6, 1, 0, 6, 4, 1, 6, 5,
];

pub(crate) fn logits() -> Vec<f32> {
    let logit = |i: u16, c: u16| f32::from((i * 37 + c * 101 + i * c * 17) % 211) / 32.0 - 3.0;
    (0..40)
        .flat_map(|i| (0..7).map(move |c| logit(i, c)))
        .collect()
}
