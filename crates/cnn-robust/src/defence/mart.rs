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
/// `KL(p ‖ q) (1 − p_y)`, averaged over the images, with what the network says of an image, `p`,
/// and of it under attack, `q`.
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

    /// The authors' `mart_loss` (github.com/YisenWang/MART, mart.py) of these scores, without the
    /// 1e-12 in the logarithm of the divergence, in PyTorch 2.15, with its gradients.
    struct Case {
        labels: [u32; 2],
        loss: f64,
        by_clean: [f64; 6],
        by_adversarial: [f64; 6],
    }

    const CASES: [Case; 2] = [
        Case {
            labels: [2, 1],
            loss: 2.7842019757482035,
            by_clean: [
                0.19938063424036997,
                0.03909837919459366,
                -0.23847901343496344,
                0.49837912334037826,
                -0.3441254153822837,
                -0.15425370795809434,
            ],
            by_adversarial: [
                0.7343204883790967,
                0.10328449619276306,
                -0.8376049845718598,
                -0.3127324823917203,
                -0.15302571687490613,
                0.46575819926662637,
            ],
        },
        Case {
            labels: [0, 0],
            loss: 4.451185006901186,
            by_clean: [
                -1.2067731062912797,
                -0.2705334095587813,
                1.4773065158500605,
                0.25848300186090317,
                -0.13992502582507074,
                -0.11855797603583242,
            ],
            by_adversarial: [
                0.4859879576046503,
                0.9513591442156887,
                -1.4373471018203388,
                -0.8200541820995187,
                0.6540997652010698,
                0.16595441689844917,
            ],
        },
    ];

    #[test]
    fn the_loss_and_its_gradients_are_the_authors() {
        let scores = |values: [f64; 6]| {
            Var::from_tensor(&Tensor::from_slice(&values, (2, 3), &Device::Cpu).unwrap()).unwrap()
        };
        for case in CASES {
            let clean = scores([0.3, -1., 2., 0.5, 0.25, -0.75]);
            let adversarial = scores([1., 0.5, -0.5, 0., 0.75, 0.125]);
            let loss = mart_loss(&clean, &adversarial, &case.labels, 5.).unwrap();
            assert!((loss.to_scalar::<f64>().unwrap() - case.loss).abs() < 1e-6);
            let gradients = loss.backward().unwrap();
            for (var, expected) in [(clean, case.by_clean), (adversarial, case.by_adversarial)] {
                let found = gradients.get(&var).unwrap().flatten_all().unwrap();
                for (found, expected) in found.to_vec1::<f64>().unwrap().iter().zip(expected) {
                    assert!((found - expected).abs() < 1e-6, "{found} {expected}");
                }
            }
        }
    }
}
