//! TRADES (Zhang et al. 2019, arXiv:1901.08573, equation 5): how far what the network says of an
//! image changes under attack.

use candle_core::{D, Tensor};
use cnn_train::{Error, log_softmax};

use crate::{LogitLoss, Logits};

/// `Σ_n KL(p_n ‖ q_n) / N` with what the network says of the image, `p`, and of it under attack,
/// `q`; gradients flow through both.
pub(super) fn trades_loss(clean: &Tensor, adversarial: &Tensor) -> Result<Tensor, Error> {
    let samples = clean.dims()[0] as f64;
    Ok((divergence(clean, adversarial)?.sum_all()? / samples)?)
}

/// `KL(p_n ‖ q_n)` of each image, `(N)`.
pub(super) fn divergence(clean: &Tensor, adversarial: &Tensor) -> Result<Tensor, Error> {
    let clean = log_softmax(clean)?;
    let difference = (&clean - log_softmax(adversarial)?)?;
    Ok((clean.exp()? * difference)?.sum(D::Minus1)?)
}

/// What the attack makes larger: `KL(p_n ‖ q_n)` with `p` fixed.
pub(super) struct Divergence {
    /// What the network says of each image as it is: the logarithms of its probabilities.
    clean: Logits,
}

impl Divergence {
    /// From the scores of the images as they are.
    pub(super) fn from(logits: &Logits) -> Self {
        let mut clean = logits.clone();
        for index in 0..clean.len() {
            let row = clean.row_mut(index);
            let normalizer = log_sum_exp(row);
            row.iter_mut().for_each(|logit| *logit -= normalizer);
        }
        Self { clean }
    }
}

impl LogitLoss for Divergence {
    fn loss(&self, index: usize, logits: &[f64], gradient: &mut [f64]) -> f64 {
        let normalizer = log_sum_exp(logits);
        let mut loss = 0.;
        let pairs = self.clean.row(index).iter().zip(logits).zip(gradient);
        for ((log_clean, logit), gradient) in pairs {
            let log_adversarial = logit - normalizer;
            loss += log_clean.exp() * (log_clean - log_adversarial);
            *gradient = log_adversarial.exp() - log_clean.exp();
        }
        loss
    }
}

fn log_sum_exp(row: &[f64]) -> f64 {
    let largest = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = row.iter().map(|logit| (logit - largest).exp()).sum();
    sum.ln() + largest
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use candle_core::{Device, Var};

    const CLEAN: [f64; 6] = [0.3, -1., 2., 0.5, 0.25, -0.75];
    const ADVERSARIAL: [f64; 6] = [1., 0.5, -0.5, 0., 0.75, 0.125];

    fn tensor(values: &[f64]) -> Tensor {
        Tensor::from_slice(values, (2, 3), &Device::Cpu).unwrap()
    }

    // import torch; a, b = (torch.tensor(v, dtype=torch.float64).view(2, 3) for v in (CLEAN,
    // ADVERSARIAL)) torch.nn.KLDivLoss(reduction='sum')(torch.log_softmax(b, 1), torch.softmax(a,
    // 1)) / 2
    #[test]
    fn the_loss_is_that_of_torch() {
        let loss = trades_loss(&tensor(&CLEAN), &tensor(&ADVERSARIAL)).unwrap();
        let loss = loss.to_scalar::<f64>().unwrap();
        assert!((loss - LOSS).abs() < 1e-12, "{loss}");
        // The attack's is the same, image by image, and its gradient that of central differences.
        let divergence = Divergence::from(&Logits::from_tensor(&tensor(&CLEAN)).unwrap());
        let row = &ADVERSARIAL[3..];
        let of = |row: &[f64]| divergence.loss(1, row, &mut [0.; 3]);
        let first = divergence.loss(0, &ADVERSARIAL[..3], &mut [0.; 3]);
        assert!(((first + of(row)) / 2. - LOSS).abs() < 1e-12);
        let mut gradient = [0.; 3];
        divergence.loss(1, row, &mut gradient);
        for class in 0..3 {
            let at = |step: f64| {
                let mut row = row.to_vec();
                row[class] += step;
                of(&row)
            };
            let difference = (at(1e-6) - at(-1e-6)) / 2e-6;
            assert!((difference - gradient[class]).abs() < 1e-8);
        }
    }

    #[test]
    fn gradients_flow_through_both() {
        let [clean, adversarial] =
            [CLEAN, ADVERSARIAL].map(|values| Var::from_tensor(&tensor(&values)).unwrap());
        let loss = trades_loss(&clean, &adversarial).unwrap();
        let gradients = loss.backward().unwrap();
        for (var, expected) in [(clean, BY_CLEAN), (adversarial, BY_ADVERSARIAL)] {
            let found = gradients.get(&var).unwrap().flatten_all().unwrap();
            for (found, expected) in found.to_vec1::<f64>().unwrap().iter().zip(expected) {
                assert!((found - expected).abs() < 1e-12, "{found} {expected}");
            }
        }
    }

    const LOSS: f64 = 0.7065241528244389;
    const BY_CLEAN: [f64; 6] = [
        -0.19003200364641087,
        -0.06794822315685578,
        0.25798022680326665,
        0.13746904405946855,
        -0.08148271820375816,
        -0.05598632585571037,
    ];
    const BY_ADVERSARIAL: [f64; 6] = [
        0.19916196219097876,
        0.14555140462547897,
        -0.3447133668164578,
        -0.12445197617412145,
        0.06050640779090333,
        0.0639455683832181,
    ];
}
