//! t-SNE, exact (van der Maaten & Hinton 2008, "Visualizing data using t-SNE", JMLR 9).

use cnn_core::Key;
use rayon::prelude::*;

use super::affinities::affinities;
use super::principal_components::principal_components;
use super::rows;
use crate::Error;

/// The most points that [`tsne`] takes: every step looks at all pairs.
pub const MOST_TSNE_POINTS: usize = 5000;
/// The steps at the beginning in which neighbours attract each other more.
const EXAGGERATED_STEPS: usize = 250;
/// The spread of the first component at the beginning.
const START: f64 = 1e-4;
/// Below it nothing moves any more.
const SMALLEST_GRADIENT: f64 = 1e-7;
/// The least affinity, so that its logarithm is one.
const LEAST: f64 = f64::EPSILON;

/// How [`tsne`] looks for the picture; the defaults are scikit-learn's.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TsneConfig {
    /// About how many neighbours a point has; at least 1 and below the number of points less one.
    /// Default 30.
    pub perplexity: f64,
    /// Steps of gradient descent, at least 1; the first 250 with exaggeration. Default 1,000.
    pub steps: usize,
    /// How much more neighbours attract each other in the first steps; at least 1, default 12.
    pub exaggeration: f64,
    /// The learning rate, above 0. Default `None`: `N / exaggeration / 4`, at least 50.
    pub learning_rate: Option<f64>,
}

impl Default for TsneConfig {
    fn default() -> Self {
        Self {
            perplexity: 30.,
            steps: 1000,
            exaggeration: 12.,
            learning_rate: None,
        }
    }
}

/// Features as points of a plane whose neighbours are neighbours among the features.
#[derive(Debug, Clone, PartialEq)]
pub struct Tsne {
    /// Where each row lies; directions and distances of far points mean nothing.
    pub points: Vec<[f64; 2]>,
    /// What was minimised, `Σ p_ij ln(p_ij / q_ij)`, in nats.
    pub divergence: f64,
}

/// The points `y` that minimise the divergence of `q_ij ∝ 1 / (1 + |y_i − y_j|²)` from the affinities
/// `p_ij` of the features, by gradient descent with momentum from the [principal
/// components](principal_components).
///
/// The start has a shift of a millionth of its size drawn from `key`, which parts rows that are the
/// same. The result depends on nothing else, nor on the number of threads.
///
/// Each step looks at all pairs: 2,000 points take a few seconds, 5,000 some half a minute.
///
/// # Shapes
///
/// `features`: rows of `columns` numbers, at least 4.
///
/// # Errors
///
/// [`Error::Argument`] unless there are whole rows of finite numbers, at most [`MOST_TSNE_POINTS`],
/// and the configuration is in its range.
///
/// ```
/// use cnn_core::Key;
/// use cnn_viz::{TsneConfig, tsne};
///
/// // Two groups on a line.
/// let features = [0., 0.1, 0.2, 0.3, 0.4, 9., 9.1, 9.2, 9.3, 9.4];
/// let config = TsneConfig { perplexity: 3., ..TsneConfig::default() };
/// let found = tsne(&features, 1, &config, Key::new(0))?;
/// let near = found.points[0][0] - found.points[1][0];
/// let far = found.points[0][0] - found.points[9][0];
/// assert!(far.abs() > 2. * near.abs());
/// # Ok::<(), cnn_viz::Error>(())
/// ```
pub fn tsne(
    features: &[f32],
    columns: usize,
    config: &TsneConfig,
    key: Key,
) -> Result<Tsne, Error> {
    let points = rows(features, columns, 4)?;
    config.check(points)?;
    let rate = config.learning_rate;
    let rate = rate.unwrap_or((points as f64 / config.exaggeration / 4.).max(50.));
    let affinities = affinities(features, columns, config.perplexity);
    let mut descent = Descent::new(start(features, columns, key)?, rate);
    for step in 0..config.steps {
        let is_early = step < EXAGGERATED_STEPS;
        let exaggeration = if is_early { config.exaggeration } else { 1. };
        let forces = Forces::of(&descent.points, &affinities);
        let gradient = forces.gradient(exaggeration);
        let square: f64 = gradient.iter().flatten().map(|g| g * g).sum();
        if square.sqrt() <= SMALLEST_GRADIENT {
            break;
        }
        descent.step(&gradient, if is_early { 0.5 } else { 0.8 });
    }
    Ok(Tsne {
        divergence: divergence(&descent.points, &affinities),
        points: descent.points,
    })
}

impl TsneConfig {
    fn check(&self, points: usize) -> Result<(), Error> {
        if points > MOST_TSNE_POINTS {
            let expected = format!("at most {MOST_TSNE_POINTS}");
            return Err(Error::argument(
                "features",
                format!("{points} rows"),
                expected,
            ));
        }
        let most = (points - 1) as f64;
        if !(self.perplexity >= 1. && self.perplexity < most) {
            let expected = format!("at least 1 and below {most} for {points} rows");
            return Err(Error::argument("perplexity", self.perplexity, expected));
        }
        if self.steps == 0 {
            return Err(Error::argument("steps", 0, "at least 1"));
        }
        if !(self.exaggeration >= 1. && self.exaggeration.is_finite()) {
            return Err(Error::argument(
                "exaggeration",
                self.exaggeration,
                "a finite number from 1 on",
            ));
        }
        match self.learning_rate {
            Some(rate) if !(rate > 0. && rate.is_finite()) => Err(Error::argument(
                "learning_rate",
                rate,
                "a finite number above 0",
            )),
            _ => Ok(()),
        }
    }
}

/// The principal components, small, so that all points are near each other at first.
fn start(features: &[f32], columns: usize, key: Key) -> Result<Vec<[f64; 2]>, Error> {
    let mut points = principal_components(features, columns)?.points;
    let square: f64 = points.iter().map(|point| point[0] * point[0]).sum();
    let deviation = (square / points.len() as f64).sqrt();
    let scale = if deviation > 0. {
        START / deviation
    } else {
        0.
    };
    let mut rng = key.rng();
    for x in points.iter_mut().flatten() {
        *x = *x * scale + rng.normal() * START * 1e-6;
    }
    Ok(points)
}

/// What the pairs of one picture do to each point.
struct Forces {
    /// `Σ_j p_ij w_ij (y_i − y_j)`, with `w_ij = 1 / (1 + |y_i − y_j|²)`.
    attraction: Vec<[f64; 2]>,
    /// `Σ_j w_ij² (y_i − y_j)`.
    repulsion: Vec<[f64; 2]>,
    /// `Σ_ij w_ij`.
    total: f64,
}

#[derive(Clone, Copy, Default)]
struct Force {
    attraction: [f64; 2],
    repulsion: [f64; 2],
    total: f64,
}

impl Forces {
    fn of(points: &[[f64; 2]], affinities: &[f64]) -> Self {
        let rows = affinities.par_chunks_exact(points.len()).zip(points);
        let forces: Vec<Force> = rows
            .map(|(row, point)| Force::on(point, points, row))
            .collect();
        Self {
            attraction: forces.iter().map(|force| force.attraction).collect(),
            repulsion: forces.iter().map(|force| force.repulsion).collect(),
            total: forces.iter().map(|force| force.total).sum(),
        }
    }

    /// `4 Σ_j (p_ij − q_ij) w_ij (y_i − y_j)`.
    fn gradient(&self, exaggeration: f64) -> Vec<[f64; 2]> {
        let both = self.attraction.iter().zip(&self.repulsion);
        let axis = |a: f64, r: f64| 4. * (exaggeration * a - r / self.total);
        both.map(|(a, r)| [axis(a[0], r[0]), axis(a[1], r[1])])
            .collect()
    }
}

impl Force {
    fn on(point: &[f64; 2], points: &[[f64; 2]], affinities: &[f64]) -> Self {
        let mut force = Self::default();
        for (other, affinity) in points.iter().zip(affinities) {
            let way = [point[0] - other[0], point[1] - other[1]];
            let weight = 1. / (1. + way[0] * way[0] + way[1] * way[1]);
            let attraction = affinity * weight;
            let repulsion = weight * weight;
            force.attraction[0] += attraction * way[0];
            force.attraction[1] += attraction * way[1];
            force.repulsion[0] += repulsion * way[0];
            force.repulsion[1] += repulsion * way[1];
            force.total += weight;
        }
        // A point is no pair with itself.
        force.total -= 1.;
        force
    }
}

/// Gradient descent with momentum; a coordinate that goes on in one direction goes faster (Jacobs
/// 1988).
struct Descent {
    points: Vec<[f64; 2]>,
    speed: Vec<[f64; 2]>,
    gains: Vec<[f64; 2]>,
    rate: f64,
}

impl Descent {
    fn new(points: Vec<[f64; 2]>, rate: f64) -> Self {
        Self {
            speed: vec![[0.; 2]; points.len()],
            gains: vec![[1.; 2]; points.len()],
            points,
            rate,
        }
    }

    fn step(&mut self, gradient: &[[f64; 2]], momentum: f64) {
        let gradient = gradient.iter().flatten();
        let speeds = self.speed.iter_mut().flatten();
        let gains = self.gains.iter_mut().flatten();
        let points = self.points.iter_mut().flatten();
        for (((x, speed), gain), slope) in points.zip(speeds).zip(gains).zip(gradient) {
            let goes_on = *speed * slope < 0.;
            *gain = if goes_on {
                *gain + 0.2
            } else {
                (*gain * 0.8).max(0.01)
            };
            *speed = momentum * *speed - self.rate * *gain * slope;
            *x += *speed;
        }
    }
}

fn divergence(points: &[[f64; 2]], affinities: &[f64]) -> f64 {
    let count = points.len();
    let weight = |i: usize, j: usize| {
        let way = [points[i][0] - points[j][0], points[i][1] - points[j][1]];
        1. / (1. + way[0] * way[0] + way[1] * way[1])
    };
    let pairs = || {
        let pair = |i: usize| (0..count).filter(move |&j| j != i).map(move |j| (i, j));
        (0..count).flat_map(pair)
    };
    let total: f64 = pairs().map(|(i, j)| weight(i, j)).sum();
    let term = |(i, j): (usize, usize)| {
        let p = affinities[i * count + j].max(LEAST);
        p * (p / (weight(i, j) / total).max(LEAST)).ln()
    };
    pairs().map(term).sum()
}
