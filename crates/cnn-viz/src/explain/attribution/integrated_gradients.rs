//! Integrated Gradients (Sundararajan et al. 2017, arXiv:1703.01365):
//! `(x − x′) · ∫ ∂s/∂x (x′ + α (x − x′)) dα` from α = 0 to 1, equation 1, with x′ = 0: the mean
//! colour.

use candle_core::Tensor;
use cnn_layers::BackwardRule;

use crate::Error;
use crate::explain::subject::{Subject, values};
use crate::explain::target::Score;

/// Gradients to begin with, and at most.
const FIRST: usize = 24;
const MOST: usize = 600;
/// The gap of completeness at which the refinement ends, as a share of the score's difference.
const COMPLETE: f64 = 0.005;

/// The attribution of one image `(1, H, W, C)` and how far it is from complete.
pub(crate) struct Integrated {
    pub(crate) attribution: Tensor,
    /// `|Σ attribution − (s(x) − s(x′))|` as a share of `|s(x) − s(x′)|`.
    pub(crate) gap: f64,
}

/// The integral by Gauss and Legendre's rule with `steps` points.
pub(crate) fn with_steps(
    subject: &Subject<'_>,
    image: &Tensor,
    target: &Score,
    steps: usize,
) -> Result<Integrated, Error> {
    let mut sum = image.zeros_like()?;
    let rule = gauss_legendre(steps);
    for points in rule.chunks(subject.batch_size) {
        let alphas: Vec<f64> = points.iter().map(|(alpha, _)| *alpha).collect();
        for (gradient, (_, weight)) in gradients(subject, image, target, &alphas)?
            .iter()
            .zip(points)
        {
            sum = (sum + (gradient * *weight)?)?;
        }
    }
    finish(subject, image, target, sum)
}

/// The integral by the midpoint rule on intervals that are split where they are furthest from
/// complete, which the scores at their ends tell, until the whole is complete to half a percent: a
/// network's gradient jumps on its way, and only there short steps are needed.
pub(crate) fn complete(
    subject: &Subject<'_>,
    image: &Tensor,
    target: &Score,
) -> Result<Integrated, Error> {
    let bounds: Vec<f64> = (0..=FIRST)
        .map(|bound| bound as f64 / FIRST as f64)
        .collect();
    let scores = scores(subject, image, target, &bounds)?;
    let difference = scores[FIRST] - scores[0];
    let spans = (0..FIRST)
        .map(|at| ([bounds[at], bounds[at + 1]], [scores[at], scores[at + 1]]))
        .collect();
    let mut intervals = measured(subject, image, target, spans)?;
    while intervals.len() + 2 * subject.batch_size <= MOST {
        let gap: f64 = intervals.iter().map(|interval| interval.gap).sum();
        subject.report(intervals.len(), MOST);
        if gap.abs() <= COMPLETE * difference.abs() {
            break;
        }
        intervals.sort_by(|a, b| b.gap.abs().total_cmp(&a.gap.abs()));
        let split: Vec<Interval> = intervals
            .drain(..subject.batch_size.min(intervals.len()))
            .collect();
        let thirds =
            |ends: [f64; 2]| [1. / 3., 2. / 3.].map(|share| ends[0] + share * (ends[1] - ends[0]));
        let inner: Vec<f64> = split
            .iter()
            .flat_map(|interval| thirds(interval.ends))
            .collect();
        let inner_scores = self::scores(subject, image, target, &inner)?;
        let mut outer = Vec::with_capacity(2 * split.len());
        for (interval, scores) in split.into_iter().zip(inner_scores.chunks_exact(2)) {
            let ([start, end], [low, high]) = (interval.ends, interval.scores);
            let [left, right] = thirds(interval.ends);
            outer.push(([start, left], [low, scores[0]]));
            outer.push(([right, end], [scores[1], high]));
            // The middle third keeps its point, so its gradient is known.
            let middle = Interval {
                ends: [left, right],
                scores: [scores[0], scores[1]],
                ..interval
            };
            intervals.push(Interval {
                along: middle.along,
                gap: middle.rise() - middle.along * middle.len(),
                ..middle
            });
        }
        intervals.extend(measured(subject, image, target, outer)?);
    }
    intervals.sort_by(|a, b| a.ends[0].total_cmp(&b.ends[0]));
    let mut sum = image.zeros_like()?;
    for interval in &intervals {
        sum = (sum + (&interval.gradient * interval.len())?)?;
    }
    finish(subject, image, target, sum)
}

/// A part of the way, with the gradient at its middle.
struct Interval {
    ends: [f64; 2],
    scores: [f64; 2],
    gradient: Tensor,
    /// The gradient along the way.
    along: f64,
    /// What the midpoint rule lacks of the score's rise.
    gap: f64,
}

impl Interval {
    fn len(&self) -> f64 {
        self.ends[1] - self.ends[0]
    }

    fn rise(&self) -> f64 {
        self.scores[1] - self.scores[0]
    }
}

/// Intervals between given ends with the scores there.
fn measured(
    subject: &Subject<'_>,
    image: &Tensor,
    target: &Score,
    spans: Vec<([f64; 2], [f64; 2])>,
) -> Result<Vec<Interval>, Error> {
    let mut intervals = Vec::with_capacity(spans.len());
    for spans in spans.chunks(subject.batch_size) {
        let middles: Vec<f64> = spans
            .iter()
            .map(|(ends, _)| (ends[0] + ends[1]) / 2.)
            .collect();
        for (gradient, &(ends, scores)) in gradients(subject, image, target, &middles)?
            .into_iter()
            .zip(spans)
        {
            let along = sum_of(&(&gradient * image)?)?;
            let interval = Interval {
                ends,
                scores,
                gradient,
                along,
                gap: 0.,
            };
            intervals.push(Interval {
                gap: interval.rise() - along * interval.len(),
                ..interval
            });
        }
    }
    Ok(intervals)
}

/// The gradients at places on the way, `(1, H, W, C)` each.
fn gradients(
    subject: &Subject<'_>,
    image: &Tensor,
    target: &Score,
    alphas: &[f64],
) -> Result<Vec<Tensor>, Error> {
    let targets = vec![target.clone(); alphas.len()];
    let (_, gradient) = subject.gradient(
        &on_the_way(image, alphas)?,
        &targets,
        BackwardRule::Standard,
    )?;
    (0..alphas.len())
        .map(|at| Ok(gradient.narrow(0, at, 1)?))
        .collect()
}

fn scores(
    subject: &Subject<'_>,
    image: &Tensor,
    target: &Score,
    alphas: &[f64],
) -> Result<Vec<f64>, Error> {
    let mut scores = Vec::with_capacity(alphas.len());
    for alphas in alphas.chunks(subject.batch_size) {
        scores.extend(subject.scores(
            &on_the_way(image, alphas)?,
            &vec![target.clone(); alphas.len()],
        )?);
    }
    Ok(scores)
}

fn on_the_way(image: &Tensor, alphas: &[f64]) -> Result<Tensor, Error> {
    let images = alphas
        .iter()
        .map(|&alpha| image * alpha)
        .collect::<candle_core::Result<Vec<_>>>()?;
    Ok(Tensor::cat(&images, 0)?)
}

fn finish(
    subject: &Subject<'_>,
    image: &Tensor,
    target: &Score,
    sum: Tensor,
) -> Result<Integrated, Error> {
    let attribution = (sum * image)?;
    let ends = scores(subject, image, target, &[0., 1.])?;
    let found = sum_of(&attribution)?;
    let difference = ends[1] - ends[0];
    let gap = if found == difference {
        0.
    } else {
        ((found - difference) / difference).abs()
    };
    Ok(Integrated { attribution, gap })
}

fn sum_of(tensor: &Tensor) -> Result<f64, Error> {
    Ok(values(tensor)?.into_iter().map(f64::from).sum())
}

/// Points and weights of the rule on 0..1: the roots of the Legendre polynomial by Newton's method.
fn gauss_legendre(count: usize) -> Vec<(f64, f64)> {
    let polynomial = |x: f64| {
        let mut before = 0.;
        let mut here = 1.;
        for degree in 0..count {
            let degree = degree as f64;
            (before, here) = (
                here,
                ((2. * degree + 1.) * x * here - degree * before) / (degree + 1.),
            );
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
                let integral: f64 = rule
                    .iter()
                    .map(|(alpha, weight)| alpha.powi(degree) * weight)
                    .sum();
                let expected = 1. / (f64::from(degree) + 1.);
                assert!(
                    (integral - expected).abs() < 1e-12,
                    "{count} {degree}: {integral} {expected}"
                );
            }
        }
    }

    // numpy.polynomial.legendre.leggauss(3), brought to 0..1
    #[test]
    fn points_come_in_order() {
        let expected = [
            (0.1127016653792583, 5. / 18.),
            (0.5, 4. / 9.),
            (0.8872983346207417, 5. / 18.),
        ];
        for ((alpha, weight), expected) in gauss_legendre(3).into_iter().zip(expected) {
            assert!((alpha - expected.0).abs() < 1e-14 && (weight - expected.1).abs() < 1e-14);
        }
    }
}
