//! Integrated Gradients (Sundararajan et al. 2017, arXiv:1703.01365): `(x − x′) · ∫ ∂s/∂x (x′ + α (x − x′)) dα` from α = 0 to 1,
//! equation 1, with x′ = 0: the mean colour.

use candle_core::Tensor;
use cnn_layers::BackwardRule;

use crate::Error;
use crate::explain::subject::Subject;
use crate::explain::target::Score;

/// The integral by Gauss and Legendre's rule with `steps` points.
pub(crate) fn integrated_gradients(
    subject: &Subject<'_>,
    images: &Tensor,
    targets: &[Score],
    steps: usize,
) -> Result<Tensor, Error> {
    let mut sum = images.zeros_like()?;
    for (step, (alpha, weight)) in gauss_legendre(steps).into_iter().enumerate() {
        let (_, gradient) = subject.gradient(&(images * alpha)?, targets, BackwardRule::Standard)?;
        sum = (sum + (gradient * weight)?)?;
        subject.report((step + 1) * targets.len(), steps * targets.len());
    }
    Ok((sum * images)?)
}

/// Points and weights of the rule on 0..1: the roots of the Legendre polynomial by Newton's method.
fn gauss_legendre(count: usize) -> Vec<(f64, f64)> {
    let polynomial = |x: f64| {
        let (mut before, mut here) = (0., 1.);
        for degree in 0..count {
            let degree = degree as f64;
            (before, here) = (here, ((2. * degree + 1.) * x * here - degree * before) / (degree + 1.));
        }
        let derivative = count as f64 * (x * here - before) / (x * x - 1.);
        (here, derivative)
    };
    let root = |index: usize| {
        let mut x = -(std::f64::consts::PI * (index as f64 + 0.75) / (count as f64 + 0.5)).cos();
        for _ in 0..100 {
            let (value, derivative) = polynomial(x);
            x -= value / derivative;
            if (value / derivative).abs() < 1e-15 {
                break;
            }
        }
        let (_, derivative) = polynomial(x);
        ((1. + x) / 2., 1. / ((1. - x * x) * derivative * derivative))
    };
    (0..count).map(root).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rule_is_exact_for_polynomials_of_twice_its_degree() {
        for count in [1, 2, 5, 24, 200] {
            let rule = gauss_legendre(count);
            for degree in [0, 1, 2 * count as i32 - 1] {
                let integral: f64 = rule.iter().map(|(alpha, weight)| alpha.powi(degree) * weight).sum();
                let expected = 1. / (f64::from(degree) + 1.);
                assert!((integral - expected).abs() < 1e-12, "{count} {degree}: {integral} {expected}");
            }
        }
    }

    // numpy.polynomial.legendre.leggauss(3), brought to 0..1
    #[test]
    fn points_come_in_order() {
        let expected = [(0.1127016653792583, 5. / 18.), (0.5, 4. / 9.), (0.8872983346207417, 5. / 18.)];
        for ((alpha, weight), expected) in gauss_legendre(3).into_iter().zip(expected) {
            assert!((alpha - expected.0).abs() < 1e-14 && (weight - expected.1).abs() < 1e-14);
        }
    }
}
