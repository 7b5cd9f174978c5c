//! Which two places of the input each output of one axis blends, as PyTorch's `interpolate` counts.

use super::Interpolation;

/// What one output reads along one axis: `low · (1 − weight) + high · weight`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Blend {
    pub(super) low: usize,
    /// `low` or the place after it.
    pub(super) high: usize,
    /// Of `high`, from 0 to 1.
    pub(super) weight: f64,
}

impl Blend {
    fn copy(place: usize) -> Self {
        Self {
            low: place,
            high: place,
            weight: 0.,
        }
    }

    /// Whether it is one place as it is.
    pub(super) fn is_copy(&self) -> bool {
        self.low == self.high
    }
}

/// One axis that is resized.
#[derive(Debug, Clone, Copy)]
pub(super) struct Axis {
    pub(super) input: usize,
    pub(super) output: usize,
    /// The factor that the caller gave, if it did; else the sizes tell.
    pub(super) factor: Option<f64>,
}

impl Axis {
    /// What each output blends.
    pub(super) fn blends(&self, interpolation: Interpolation) -> Vec<Blend> {
        let last = self.input - 1;
        let step = match self.factor {
            Some(factor) => 1. / factor,
            None => self.input as f64 / self.output as f64,
        };
        let nearest = |i: usize| {
            // In f32, where rounding decides which pixel it is, as in PyTorch.
            let step = match self.factor {
                Some(_) => step as f32,
                None => self.input as f32 / self.output as f32,
            };
            Blend::copy(((i as f32 * step) as usize).min(last))
        };
        let centres = |i: usize| between((step * (i as f64 + 0.5) - 0.5).max(0.), last);
        let corners = |i: usize| {
            let step = match self.output {
                1 => 0.,
                output => last as f64 / (output - 1) as f64,
            };
            between(step * i as f64, last)
        };
        let outputs = 0..self.output;
        match interpolation {
            Interpolation::Nearest => outputs.map(nearest).collect(),
            Interpolation::Bilinear { .. } if self.input == self.output => {
                outputs.map(Blend::copy).collect()
            }
            Interpolation::Bilinear {
                align_corners: true,
            } => outputs.map(corners).collect(),
            Interpolation::Bilinear {
                align_corners: false,
            } => outputs.map(centres).collect(),
        }
    }
}

/// The blend at a place between pixels, of which `last` is the last one.
fn between(place: f64, last: usize) -> Blend {
    let low = (place as usize).min(last);
    if low == last {
        return Blend::copy(last);
    }
    Blend {
        low,
        high: low + 1,
        weight: place - low as f64,
    }
}

/// What an input place gives to one output along an axis.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Share {
    pub(super) output: usize,
    pub(super) weight: f64,
}

/// The shares of each of `input` places, those of the first outputs first.
pub(super) fn shares(blends: &[Blend], input: usize) -> Vec<Vec<Share>> {
    let mut shares = vec![Vec::new(); input];
    for (output, blend) in blends.iter().enumerate() {
        let Blend { low, high, weight } = *blend;
        shares[low].push(Share {
            output,
            weight: 1. - weight,
        });
        if !blend.is_copy() {
            shares[high].push(Share { output, weight });
        }
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(input: usize, output: usize, interpolation: Interpolation) -> Vec<f64> {
        let axis = Axis {
            input,
            output,
            factor: None,
        };
        let blends = axis.blends(interpolation);
        let place = |blend: &Blend| blend.low as f64 + blend.weight;
        blends.iter().map(place).collect()
    }

    #[test]
    fn corners_stay_corners_only_where_they_are_aligned() {
        let bilinear = |align_corners| Interpolation::Bilinear { align_corners };
        assert_eq!(places(3, 5, bilinear(true)), [0., 0.5, 1., 1.5, 2.]);
        assert_eq!(places(2, 4, bilinear(false)), [0., 0.25, 0.75, 1.]);
        assert_eq!(places(5, 1, bilinear(true)), [0.]);
        assert_eq!(places(5, 1, bilinear(false)), [2.]);
        assert_eq!(places(1, 3, bilinear(true)), [0.; 3]);
        assert_eq!(places(4, 4, bilinear(false)), [0., 1., 2., 3.]);
        assert_eq!(places(3, 5, Interpolation::Nearest), [0., 0., 1., 1., 2.]);
    }

    #[test]
    fn a_factor_counts_where_the_size_was_rounded() {
        let place = |factor| {
            let axis = Axis {
                input: 5,
                output: 7,
                factor,
            };
            let blends = axis.blends(Interpolation::Bilinear {
                align_corners: false,
            });
            blends[3].low as f64 + blends[3].weight
        };
        assert!((place(None) - (3.5 * 5. / 7. - 0.5)).abs() < 1e-12);
        assert!((place(Some(1.5)) - (3.5 / 1.5 - 0.5)).abs() < 1e-12);
    }

    #[test]
    fn every_output_is_shared_out_whole() {
        for (input, output) in [(1, 6), (5, 3), (7, 16), (4, 4)] {
            for align_corners in [false, true] {
                let axis = Axis {
                    input,
                    output,
                    factor: None,
                };
                let blends = axis.blends(Interpolation::Bilinear { align_corners });
                let mut sums = vec![0.; output];
                for share in shares(&blends, input).iter().flatten() {
                    sums[share.output] += share.weight;
                }
                assert!(sums.iter().all(|sum| (sum - 1f64).abs() < 1e-12));
            }
        }
    }
}
