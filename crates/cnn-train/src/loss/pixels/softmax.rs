//! Probabilities of classes, some pixels at a time.

use super::real::Real;

/// Writes `e^(x − largest)` for the logits of each pixel, and the largest logit of each.
pub(super) fn exponentials<T: Real>(
    logits: &[T],
    classes: usize,
    exponentials: &mut [T],
    largest: &mut Vec<T>,
) {
    largest.clear();
    let rows = logits
        .chunks_exact(classes)
        .zip(exponentials.chunks_exact_mut(classes));
    for (row, shifted) in rows {
        let most = row.iter().fold(row[0], |most, &x| x.larger(most));
        largest.push(most);
        for (shifted, &x) in shifted.iter_mut().zip(row) {
            *shifted = x - most;
        }
    }
    for value in exponentials {
        *value = value.exp_of_negative();
    }
}

/// Writes the softmax of each pixel's logits, or the sigmoid of the one logit that it has.
pub(super) fn probabilities<T: Real>(
    logits: &[T],
    classes: usize,
    probabilities: &mut [T],
    largest: &mut Vec<T>,
) {
    if classes == 1 {
        for (probability, &x) in probabilities.iter_mut().zip(logits) {
            *probability = sigmoid(x);
        }
        return;
    }
    exponentials(logits, classes, probabilities, largest);
    for row in probabilities.chunks_exact_mut(classes) {
        let sum = row.iter().fold(T::zero(), |sum, &x| sum + x);
        let scale = T::one() / sum;
        for probability in row {
            *probability *= scale;
        }
    }
}

/// `1 / (1 + e^−x)`, without overflow and with the digits of what is close to 0.
#[inline(always)]
pub(super) fn sigmoid<T: Real>(x: T) -> T {
    let small = (T::zero() - x.abs()).exp_of_negative();
    let numerator = if x < T::zero() { small } else { T::one() };
    numerator / (T::one() + small)
}

/// `ln(1 + e^x)`, without overflow and with the digits of what is close to 0.
#[inline(always)]
pub(super) fn softplus<T: Real>(x: T) -> T {
    let small = (T::zero() - x.abs()).exp_of_negative();
    x.larger(T::zero()) + small.ln_1p_of_share()
}
