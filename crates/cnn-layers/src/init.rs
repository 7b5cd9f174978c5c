//! How a parameter starts.

use cnn_core::{Key, Rng};
use rayon::prelude::*;

/// A rule that fills a new parameter. The numbers depend only on the store's seed, the parameter's
/// name and its shape.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Init {
    /// The same value everywhere; 0 and 1 are [`Init::ZEROS`] and [`Init::ONES`].
    Constant(
        /// The value.
        f64,
    ),
    /// Uniform in `[−bound, bound)`.
    Uniform {
        /// Half of the width.
        bound: f64,
    },
    /// Normal around 0.
    Normal {
        /// Standard deviation.
        std: f64,
    },
    /// Normal around 0, drawn again beyond `±bound` standard deviations.
    TruncatedNormal {
        /// Standard deviation before the cut.
        std: f64,
        /// The cut, in standard deviations; timm uses 2.
        bound: f64,
    },
    /// Uniform with variance `gain² / fan` (He et al. 2015, eq. 10).
    KaimingUniform {
        /// Which fan.
        fan: Fan,
        /// `√2` for ReLU.
        gain: f64,
    },
    /// Normal with variance `gain² / fan` (He et al. 2015, eq. 10).
    KaimingNormal {
        /// Which fan.
        fan: Fan,
        /// `√2` for ReLU.
        gain: f64,
    },
    /// Uniform with variance `2·gain² / (fan_in + fan_out)` (Glorot & Bengio 2010, eq. 16).
    XavierUniform {
        /// 1 for tanh by the paper, 5/3 by PyTorch's table.
        gain: f64,
    },
    /// Normal with variance `2·gain² / (fan_in + fan_out)` (Glorot & Bengio 2010).
    XavierNormal {
        /// As for [`Init::XavierUniform`].
        gain: f64,
    },
    /// A rule of one's own; see [`Init::custom`].
    Custom(InitRule),
}

/// A rule of one's own, in an [`Init`].
#[derive(Debug, Clone, Copy)]
pub struct InitRule(fn(&[usize], &mut Rng) -> Vec<f64>);

/// Rules are equal if they are the same function.
impl PartialEq for InitRule {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::fn_addr_eq(self.0, other.0)
    }
}

/// The number of connections that an initialisation divides by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fan {
    /// Inputs of one output: `C_in / groups · K_h · K_w`.
    In,
    /// Outputs of one input: `C_out / groups · K_h · K_w`, so that depthwise convolutions keep the
    /// variance as others do.
    Out,
}

impl Init {
    /// Zeros.
    pub const ZEROS: Self = Self::Constant(0.);
    /// Ones.
    pub const ONES: Self = Self::Constant(1.);
    /// He et al.'s rule for layers before a ReLU, over the outputs: torchvision's choice for
    /// ResNet.
    pub const KAIMING_NORMAL_OUT: Self = Self::KaimingNormal {
        fan: Fan::Out,
        gain: std::f64::consts::SQRT_2,
    };
    /// PyTorch's default for the weights of convolutions and linear layers: uniform in
    /// `±1/√fan_in`.
    pub const PYTORCH_DEFAULT: Self = Self::KaimingUniform {
        fan: Fan::In,
        gain: 0.577_350_269_189_625_8,
    };

    /// A rule of one's own: a function that gives all values of a parameter of PyTorch's shape, in
    /// row-major order.
    ///
    /// ```
    /// use cnn_layers::{Conv2dConfig, Init, Mode, Store};
    ///
    /// /// Every filter passes on the middle pixel of its first channel.
    /// const FIRST: Init = Init::custom(|shape, _| {
    ///     let (filter, middle) = (
    ///         shape[1..].iter().product::<usize>(),
    ///         shape[2] / 2 * shape[3] + shape[3] / 2,
    ///     );
    ///     (0..shape.iter().product())
    ///         .map(|at| f64::from(at % filter == middle))
    ///         .collect()
    /// });
    ///
    /// let store = Store::new(0);
    /// Conv2dConfig::new(1, 1, 3)
    ///     .with_init(FIRST)
    ///     .build(&store.builder(Mode::Eval).pp("conv"))?;
    /// let weight = store.get("conv.weight")?.flatten_all()?.to_vec1::<f32>()?;
    /// assert_eq!(weight, [0., 0., 0., 0., 1., 0., 0., 0., 0.]);
    /// # Ok::<(), candle_core::Error>(())
    /// ```
    pub const fn custom(rule: fn(&[usize], &mut Rng) -> Vec<f64>) -> Self {
        Self::Custom(InitRule(rule))
    }

    /// The same rule for a convolution with groups, whose shape alone gives `groups` times too many
    /// outputs of one input.
    pub(crate) fn with_groups(self, groups: usize) -> Self {
        let factor = (groups as f64).sqrt();
        match self {
            Self::KaimingUniform {
                fan: Fan::Out,
                gain,
            } => Self::KaimingUniform {
                fan: Fan::Out,
                gain: gain * factor,
            },
            Self::KaimingNormal {
                fan: Fan::Out,
                gain,
            } => Self::KaimingNormal {
                fan: Fan::Out,
                gain: gain * factor,
            },
            other => other,
        }
    }

    /// Values for a tensor of PyTorch's `shape`, drawn from `key`.
    pub(crate) fn values(self, shape: &[usize], key: Key) -> Vec<f64> {
        let count = shape.iter().product();
        let fan_in = shape.iter().skip(1).product::<usize>().max(1) as f64;
        let receptive_field = shape.iter().skip(2).product::<usize>();
        let fan_out = (shape.first().copied().unwrap_or(1) * receptive_field).max(1) as f64;
        let fan = |fan| if fan == Fan::In { fan_in } else { fan_out };
        let uniform = |variance: f64| uniform(key, count, (3. * variance).sqrt());
        match self {
            Self::Custom(InitRule(rule)) => rule(shape, &mut key.rng()),
            Self::Constant(value) => vec![value; count],
            Self::Uniform { bound } => self::uniform(key, count, bound),
            Self::Normal { std } => normal(key, count, std, f64::INFINITY),
            Self::TruncatedNormal { std, bound } => normal(key, count, std, bound),
            Self::KaimingUniform { fan: which, gain } => uniform(gain * gain / fan(which)),
            Self::KaimingNormal { fan: which, gain } => {
                normal(key, count, gain / fan(which).sqrt(), f64::INFINITY)
            }
            Self::XavierUniform { gain } => uniform(2. * gain * gain / (fan_in + fan_out)),
            Self::XavierNormal { gain } => normal(
                key,
                count,
                gain * (2. / (fan_in + fan_out)).sqrt(),
                f64::INFINITY,
            ),
        }
    }
}

fn uniform(key: Key, count: usize, bound: f64) -> Vec<f64> {
    fill(key, count, |rng| rng.uniform_in(-bound, bound))
}

fn normal(key: Key, count: usize, std: f64, bound: f64) -> Vec<f64> {
    // A cut near zero would make the rejection of what lies beyond it endless.
    let bound = bound.max(0.1);
    fill(key, count, |rng| {
        loop {
            let value = rng.normal();
            if value.abs() <= bound {
                return std * value;
            }
        }
    })
}

/// Values per stream; fixed, so that the numbers do not depend on the number of threads.
const CHUNK: usize = 1 << 16;

/// Draws `count` values, each chunk from a stream of its own.
fn fill(key: Key, count: usize, draw: impl Fn(&mut Rng) -> f64 + Sync) -> Vec<f64> {
    let mut values = vec![0.; count];
    values
        .par_chunks_mut(CHUNK)
        .enumerate()
        .for_each(|(chunk, values)| {
            let mut rng = key.at(chunk as u64).rng();
            values.iter_mut().for_each(|value| *value = draw(&mut rng));
        });
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(values: &[f64]) -> (f64, f64, f64) {
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let var = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64;
        (
            mean,
            var,
            values.iter().fold(0f64, |largest, v| largest.max(v.abs())),
        )
    }

    #[test]
    fn variances_follow_the_papers() {
        let shape = [64, 32, 3, 5];
        let fan_in = 32. * 15.;
        let fan_out = 64. * 15.;
        let table = [
            (Init::Uniform { bound: 0.5 }, 1. / 12., 0.5),
            (Init::Normal { std: 0.3 }, 0.09, 9.),
            (
                Init::KaimingUniform {
                    fan: Fan::In,
                    gain: 2f64.sqrt(),
                },
                2. / fan_in,
                (6f64 / fan_in).sqrt(),
            ),
            (Init::KAIMING_NORMAL_OUT, 2. / fan_out, 9.),
            (
                Init::PYTORCH_DEFAULT,
                1. / 3. / fan_in,
                1. / f64::sqrt(fan_in),
            ),
            (
                Init::XavierUniform { gain: 1. },
                2. / (fan_in + fan_out),
                (6f64 / (fan_in + fan_out)).sqrt(),
            ),
            (
                Init::XavierNormal { gain: 5. / 3. },
                2. * 25. / 9. / (fan_in + fan_out),
                9.,
            ),
            (
                Init::TruncatedNormal {
                    std: 0.02,
                    bound: 2.,
                },
                0.7737 * 0.0004,
                0.04,
            ),
        ];
        for (init, variance, largest) in table {
            let (mean, var, max) = moments(&init.values(&shape, Key::new(1)));
            assert!(mean.abs() < 0.02 * variance.sqrt(), "{init:?}: mean {mean}");
            assert!(
                (var / variance - 1.).abs() < 0.03,
                "{init:?}: variance {var}, expected {variance}"
            );
            assert!(max <= largest, "{init:?}: largest {max}");
        }
    }

    /// timm divides fan_out by the groups: std of a depthwise 3×3 kernel is √(2 / 9).
    #[test]
    fn depthwise_kernels_keep_the_variance() {
        let values = Init::KAIMING_NORMAL_OUT
            .with_groups(512)
            .values(&[512, 1, 3, 3], Key::new(1));
        let (_, var, _) = moments(&values);
        assert!((var * 9. / 2. - 1.).abs() < 0.06, "variance {var}");
    }

    #[test]
    fn constants_and_scalars() {
        assert_eq!(Init::ONES.values(&[3], Key::new(0)), [1.; 3]);
        assert_eq!(Init::ZEROS.values(&[], Key::new(0)), [0.]);
    }
}
