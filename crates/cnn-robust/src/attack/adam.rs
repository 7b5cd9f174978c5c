//! Steps of an attack whose length each value of an image has by itself: Adam (Kingma & Ba 2015,
//! arXiv:1412.6980).

const MEAN_DECAY: f64 = 0.9;
const SQUARE_DECAY: f64 = 0.999;
const FLOOR: f64 = 1e-8;

/// The moments of one image's gradients.
#[derive(Clone)]
pub(super) struct Adam {
    means: Vec<f64>,
    squares: Vec<f64>,
    steps: i32,
}

impl Adam {
    /// Before the first gradient of so many values.
    pub(super) fn new(count: usize) -> Self {
        Self {
            means: vec![0.; count],
            squares: vec![0.; count],
            steps: 0,
        }
    }

    /// Adds `step_size · m̂ / (√v̂ + 10⁻⁸)` to each value; a negative step goes down.
    pub(super) fn step(&mut self, values: &mut [f64], gradient: &[f64], step_size: f64) {
        self.steps += 1;
        let mean_share = 1. - MEAN_DECAY.powi(self.steps);
        let square_share = 1. - SQUARE_DECAY.powi(self.steps);
        let moments = self.means.iter_mut().zip(&mut self.squares);
        for ((value, gradient), (mean, square)) in values.iter_mut().zip(gradient).zip(moments) {
            *mean += (1. - MEAN_DECAY) * (gradient - *mean);
            *square += (1. - SQUARE_DECAY) * (gradient * gradient - *square);
            *value += step_size * (*mean / mean_share) / ((*square / square_share).sqrt() + FLOOR);
        }
    }
}
