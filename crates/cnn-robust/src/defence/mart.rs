//! MART (Wang et al. 2020, "Improving Adversarial Robustness Requires Revisiting Misclassified
//! Examples", ICLR, equation 12).

use candle_core::{D, Tensor};
use cnn_train::{Error, Targets, log_softmax};

use super::trades::divergence;

/// Keeps a logarithm finite, as the authors' program has it.
const FLOOR: f64 = 1e-12;
/// What the authors' program takes for 1, so that the logarithm of what is left of it is finite.
const ALMOST_ONE: f64 = 1.0001;

/// The boosted cross-entropy under attack, `−ln q_y − ln(1 − max_{k≠y} q_k)`, and `beta` times
/// `KL(p ‖ q) (1 − p_y)`, averaged over the images, with what the network says of an image, `p`, and of
/// it under attack, `q`.
pub(super) fn mart_loss(
    clean: &Tensor,
    adversarial: &Tensor,
    labels: &[u32],
    beta: f64,
) -> Result<Tensor, Error> {
    let (samples, classes) = clean.dims2()?;
    let truth = Targets::Classes(labels.to_vec()).distributions(classes)?;
    let truth = truth.to_dtype(clean.dtype())?;
    let log_adversarial = log_softmax(adversarial)?;
    let adversarial_probabilities = log_adversarial.exp()?;
    let cross_entropy = (log_adversarial * &truth)?.sum(D::Minus1)?.neg()?;
    // The label's own probability is taken away, so that the largest is that of another class.
    let others = (&adversarial_probabilities - (&truth * 2.)?)?;
    let strongest = others.max(D::Minus1)?;
    let margin = ((strongest.neg()? + ALMOST_ONE)? + FLOOR)?.log()?.neg()?;
    let boosted = (cross_entropy + margin)?;
    let sure = (log_softmax(clean)?.exp()? * &truth)?.sum(D::Minus1)?;
    let doubt = (sure.neg()? + 1.)?;
    let change = (divergence(clean, adversarial)? * doubt)?;
    Ok(((boosted + (change * beta)?)?.sum_all()? / samples as f64)?)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use candle_core::{Device, Var};

    // The authors' `mart_loss` (github.com/YisenWang/MART, mart.py) of these scores, without the
    // 1e-12 in the logarithm of the divergence, in PyTorch 2.15.
    const LOSS: f64 = 2.784201975739687;
    const BY_CLEAN: [f64; 3] = [0.199380634238616, 0.03909837919409304, -0.23847901343270872];
    const BY_ADVERSARIAL: [f64; 3] = [
        -0.3127324823897377,
        -0.15302571687631442,
        0.46575819926605183,
    ];

    #[test]
    fn the_loss_and_its_gradients_are_the_authors() {
        let scores = |values: [f64; 6]| {
            Var::from_tensor(&Tensor::from_slice(&values, (2, 3), &Device::Cpu).unwrap()).unwrap()
        };
        let clean = scores([0.3, -1., 2., 0.5, 0.25, -0.75]);
        let adversarial = scores([1., 0.5, -0.5, 0., 0.75, 0.125]);
        let loss = mart_loss(&clean, &adversarial, &[2, 1], 5.).unwrap();
        assert!((loss.to_scalar::<f64>().unwrap() - LOSS).abs() < 1e-6);
        let gradients = loss.backward().unwrap();
        let row = |var: &Var, row: usize| {
            gradients.get(var).unwrap().to_vec2::<f64>().unwrap()[row].clone()
        };
        let pairs = row(&clean, 0).into_iter().zip(BY_CLEAN);
        let more = row(&adversarial, 1).into_iter().zip(BY_ADVERSARIAL);
        for (found, expected) in pairs.chain(more) {
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        }
    }
}
