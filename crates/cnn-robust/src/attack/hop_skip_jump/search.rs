//! HopSkipJump's search for one image: bisection to the boundary, a guess of its normal, a jump.

use super::HopSkipJump;
use super::oracle::{Oracle, Pixels, blend};
use crate::attack::AttackBatch;
use crate::attack::fgsm::sign;
use crate::{AttackedModel, Draw, Error, Norm};

/// How many images of noise are tried as a start.
const NOISE: usize = 100;
/// How far the directions of the first step reach, and the least that is used later.
const FIRST_REACH: f64 = 0.1;
/// How much further than the boundary the result lies: scores are rounded otherwise in a batch of
/// another size, and at the boundary itself that decides the class.
const OVERSHOOT: f64 = 1e-3;
/// How often the step along a guess is halved.
const HALVINGS: usize = 50;

impl HopSkipJump {
    /// A point on the wrong side.
    fn start(&self, oracle: &Oracle<'_>) -> Result<Option<Pixels>, Error> {
        let starts = self.starts.iter();
        for point in starts.flat_map(|starts| (0..starts.len()).map(|at| starts.image(at))) {
            if oracle.is_wrong(point)? == Some(true) {
                return Ok(Some(point.to_vec()));
            }
        }
        if oracle.batch.targets().is_some() {
            return Ok(None);
        }
        for attempt in 0..NOISE {
            let point = oracle.uniform(Draw::new("noise", oracle.sample()).in_step(attempt))?;
            if oracle.is_wrong(&point)? == Some(true) {
                return Ok(Some(point));
            }
        }
        Ok(None)
    }

    /// The precision of a bisection, and with it of everything else, by the number of values.
    fn precision(&self, values: usize) -> f64 {
        let values = values as f64;
        match self.norm {
            Norm::Linf => 1. / (values * values),
            _ => 1. / (values * values.sqrt()),
        }
    }

    fn distance(&self, clean: &[f64], point: &[f64]) -> f64 {
        let change: Vec<f64> = point.iter().zip(clean).map(|(a, b)| a - b).collect();
        self.norm.size(&change)
    }

    /// The point at the boundary on the way from a wrong point to the clean image. It is wrong
    /// itself.
    fn boundary(&self, oracle: &Oracle<'_>, wrong: &[f64]) -> Result<Pixels, Error> {
        let clean = oracle.clean();
        let distance = self.distance(clean, wrong);
        let precision = self.precision(clean.len());
        let toward = |share: f64| match self.norm {
            Norm::Linf => {
                let near = |(&clean, &wrong): (&f64, &f64)| {
                    clean + (wrong - clean).clamp(-share * distance, share * distance)
                };
                clean.iter().zip(wrong).map(near).collect()
            }
            _ => blend(clean, wrong, share),
        };
        let precision = match self.norm {
            Norm::Linf => precision.min(precision / distance),
            _ => precision,
        };
        let mut right = 0.;
        let mut best = (1., wrong.to_vec());
        while best.0 - right > precision {
            let share = f64::midpoint(best.0, right);
            let point: Pixels = toward(share);
            match oracle.is_wrong(&point)? {
                Some(true) => best = (share, point),
                Some(false) => right = share,
                None => break,
            }
        }
        Ok(best.1)
    }

    /// The direction in which the boundary at a point lies behind; none if the queries are spent.
    fn normal(
        &self,
        oracle: &Oracle<'_>,
        point: &[f64],
        reach: f64,
        step: usize,
    ) -> Result<Option<Pixels>, Error> {
        let count = (self.directions as f64 * (step as f64).sqrt()) as usize;
        let draw = Draw::new("direction", oracle.sample()).in_step(step);
        let mut directions = match self.norm {
            Norm::Linf => oracle.symmetric(draw, count)?,
            _ => oracle.normal(draw, count)?,
        };
        for direction in &mut directions {
            let size = Norm::L2.size(direction).max(f64::MIN_POSITIVE);
            for (value, at) in direction.iter_mut().zip(point) {
                *value = ((at + reach * *value / size).clamp(0., 1.) - at) / reach;
            }
        }
        let moved = directions.iter().map(|direction| {
            let pairs = point.iter().zip(direction);
            pairs.map(|(at, value)| at + reach * value).collect()
        });
        let Some(wrong) = oracle.are_wrong(moved.collect())? else {
            return Ok(None);
        };
        let mean = wrong.iter().filter(|wrong| **wrong).count() as f64 / count as f64;
        // Where all answers are the same, their mean would leave nothing.
        let baseline = if mean == 0. || mean == 1. { 0.5 } else { mean };
        let mut normal = vec![0.; point.len()];
        for (direction, wrong) in directions.iter().zip(wrong) {
            let weight = f64::from(u8::from(wrong)) - baseline;
            for (normal, value) in normal.iter_mut().zip(direction) {
                *normal += weight * value;
            }
        }
        let size = Norm::L2.size(&normal).max(f64::MIN_POSITIVE);
        for value in &mut normal {
            *value = match self.norm {
                Norm::Linf => sign(*value),
                _ => *value / size,
            };
        }
        Ok(Some(normal))
    }

    /// The first point of `distance / √step`, half of it and so on along the normal that is wrong.
    fn jump(
        &self,
        oracle: &Oracle<'_>,
        point: &[f64],
        normal: &[f64],
        step: usize,
    ) -> Result<Option<Pixels>, Error> {
        let mut length = self.distance(oracle.clean(), point) / (step as f64).sqrt();
        for _ in 0..HALVINGS {
            let pairs = point.iter().zip(normal);
            let moved = pairs.map(|(at, value)| (at + length * value).clamp(0., 1.));
            let moved: Pixels = moved.collect();
            match oracle.is_wrong(&moved)? {
                Some(true) => return Ok(Some(moved)),
                Some(false) => length /= 2.,
                None => break,
            }
        }
        Ok(None)
    }

    /// The nearest wrong point that was found, a little further out if a last query allows.
    pub(super) fn find(
        &self,
        model: &dyn AttackedModel,
        batch: &AttackBatch<'_>,
    ) -> Result<Pixels, Error> {
        let last = usize::from(self.max_queries > 0);
        let oracle = Oracle::new(model, batch, self.max_queries - last);
        let found = self.search(&oracle)?;
        let beyond = blend(oracle.clean(), &found, 1. + OVERSHOOT);
        let beyond: Pixels = beyond.iter().map(|value| value.clamp(0., 1.)).collect();
        let oracle = Oracle::new(model, batch, last);
        match oracle.is_wrong(&beyond)? {
            Some(true) => Ok(beyond),
            _ => Ok(found),
        }
    }

    /// The nearest wrong point at the boundary.
    fn search(&self, oracle: &Oracle<'_>) -> Result<Pixels, Error> {
        let clean = oracle.clean().to_vec();
        if oracle.is_wrong(&clean)? != Some(false) {
            return Ok(clean);
        }
        let Some(mut far) = self.start(oracle)? else {
            return Ok(clean);
        };
        let mut point = self.boundary(oracle, &far)?;
        let mut best = point.clone();
        let values = clean.len() as f64;
        for step in 1..=self.steps {
            let share = match self.norm {
                Norm::Linf => values * self.precision(clean.len()),
                _ => values.sqrt() * self.precision(clean.len()),
            };
            let reach = match step {
                1 => FIRST_REACH,
                _ => share * self.distance(&clean, &far),
            };
            let Some(normal) = self.normal(oracle, &point, reach, step)? else {
                break;
            };
            let Some(moved) = self.jump(oracle, &point, &normal, step)? else {
                break;
            };
            far = moved;
            point = self.boundary(oracle, &far)?;
            if self.distance(&clean, &point) < self.distance(&clean, &best) {
                best.clone_from(&point);
            }
        }
        Ok(best)
    }
}
