//! Weights and inputs that a formula of their names gives.

use candle_core::{DType, Device, Tensor};

/// The values that `tools/goldens/formula.py` gives for this name and shape, to the bit.
pub(crate) fn formula_values(name: &str, shape: &[usize]) -> impl Iterator<Item = f32> + use<> {
    let fan_in = shape.iter().skip(1).product::<usize>().max(1) as f64;
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let is_matrix = shape.len() >= 2;
    let rule = match () {
        () if name.starts_with("probe.") => Rule::Around(1.),
        () if name.ends_with("running_mean") => Rule::Around(0.2),
        () if name.ends_with("running_var") => Rule::From(1.),
        () if name.ends_with("num_batches_tracked") => Rule::Around(0.),
        () if name.ends_with("weight") && is_matrix => Rule::Around((6. / fan_in).sqrt()),
        () if name.ends_with("weight") => Rule::From(0.5),
        () if name.ends_with("bias") => Rule::Around(0.1),
        () => Rule::Around(1.),
    };
    let count = shape.iter().product::<usize>() as u64;
    (0..count).map(move |i| {
        let state = hash.wrapping_add((i + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let u = (splitmix64(state) >> 11) as f64 / (1u64 << 53) as f64;
        let value = match rule {
            Rule::Around(scale) => scale * (2. * u - 1.),
            Rule::From(offset) => offset + u,
        };
        value as f32
    })
}

/// How a uniform number in `[0, 1)` becomes a value.
#[derive(Clone, Copy)]
enum Rule {
    /// Up to so much on both sides of zero.
    Around(f64),
    /// From so much to one more.
    From(f64),
}

/// [`formula_values`] as a tensor.
pub(crate) fn formula(name: &str, shape: &[usize], dtype: DType) -> Tensor {
    Tensor::from_vec(formula_values(name, shape).collect(), shape, &Device::Cpu)
        .unwrap()
        .to_dtype(dtype)
        .unwrap()
}

fn splitmix64(state: u64) -> u64 {
    let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
