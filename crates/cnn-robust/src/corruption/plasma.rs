//! Clouds by the diamond-square algorithm.

use super::chance::Chance;
use crate::Error;

/// The largest wibble, of the first step.
const WIBBLE: f64 = 100.;

/// A square map of values in 0..1 whose side is a power of two.
pub(super) struct Plasma {
    side: usize,
    values: Vec<f64>,
}

impl Plasma {
    /// A map that covers an image of this size (A. Fournier, D. Fussell, L. Carpenter, "Computer
    /// rendering of stochastic models", 1982, on a torus): the middle of each square, then that of
    /// each edge, is the mean of its neighbours and a random number `w²u` with `u` uniform in
    /// −1..1, where `w` is divided by `decay` with each step.
    pub(super) fn new(
        [height, width]: [usize; 2],
        decay: f64,
        chance: &Chance,
    ) -> Result<Self, Error> {
        let side = height.max(width).max(2).next_power_of_two();
        let mut plasma = Self {
            side,
            values: vec![0.; side * side],
        };
        let mut wibble = WIBBLE;
        let mut step = side;
        for number in 0.. {
            if step < 2 {
                break;
            }
            plasma.refine(Step {
                number,
                step,
                wibble,
                chance,
            })?;
            step /= 2;
            wibble /= decay;
        }
        plasma.normalize();
        Ok(plasma)
    }

    /// The value at a pixel.
    pub(super) fn at(&self, row: usize, column: usize) -> f64 {
        self.values[row * self.side + column]
    }

    fn refine(&mut self, step: Step) -> Result<(), Error> {
        let half = step.step / 2;
        let far = self.side - half;
        // Places beyond the map are those of its other side.
        let middles = [[half, half], [far, half], [half, far], [far, far]];
        let edges = [[half, 0], [far, 0], [0, half], [0, far]];
        self.fill("plasma_squares", [half, half], middles, &step)?;
        self.fill("plasma_rows", [0, half], edges, &step)?;
        self.fill("plasma_columns", [half, 0], edges, &step)
    }

    /// Fills the places from `first` on, a step apart, with the mean of four others and a wibble.
    fn fill(
        &mut self,
        name: &'static str,
        first: [usize; 2],
        neighbours: [[usize; 2]; 4],
        step: &Step,
    ) -> Result<(), Error> {
        let count = self.side / step.step;
        let drawn = (step.chance).uniform_in_step(name, step.number, count * count)?;
        for (place, share) in drawn.into_iter().enumerate() {
            let row = first[0] + place / count * step.step;
            let column = first[1] + place % count * step.step;
            let value = |[down, along]: [usize; 2]| {
                self.at((row + down) % self.side, (column + along) % self.side)
            };
            let sum: f64 = neighbours.into_iter().map(value).sum();
            let wibble = step.wibble * step.wibble * (2. * share - 1.);
            self.values[row * self.side + column] = sum / 4. + wibble;
        }
        Ok(())
    }

    fn normalize(&mut self) {
        let lowest = self.values.iter().copied().fold(f64::INFINITY, f64::min);
        let highest = self.values.iter().copied().fold(lowest, f64::max);
        let range = highest - lowest;
        for value in &mut self.values {
            *value = if range > 0. {
                (*value - lowest) / range
            } else {
                0.
            };
        }
    }
}

/// One halving of the distance between known places.
struct Step<'a> {
    number: usize,
    /// How far known places are apart.
    step: usize,
    wibble: f64,
    chance: &'a Chance<'a>,
}
