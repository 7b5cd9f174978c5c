//! The values of golden tensors that the files do not hold.

/// `tools/goldens/formula.py`: f32 values that depend on the tensor's name and shape alone,
/// widened.
pub(crate) fn formula(name: &str, shape: &[usize]) -> Vec<f64> {
    let bound = (6.0 / shape.iter().skip(1).product::<usize>() as f64).sqrt();
    let value = |u: f64| match name.rsplit('.').next().unwrap() {
        "running_mean" => 0.2 * (2.0 * u - 1.0),
        "running_var" => 1.0 + u,
        "weight" if shape.len() >= 2 => (2.0 * u - 1.0) * bound,
        "weight" => 0.5 + u,
        "bias" => 0.1 * (2.0 * u - 1.0),
        _ => 2.0 * u - 1.0,
    };
    uniform(name, shape.iter().product())
        .into_iter()
        .map(|u| f64::from(value(u) as f32))
        .collect()
}

/// The numbers in [0, 1) of a name that the values are made of.
pub(crate) fn uniform(name: &str, count: usize) -> Vec<f64> {
    let hash = name.bytes().fold(0xCBF2_9CE4_8422_2325_u64, |h, byte| {
        (h ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3)
    });
    let element = |i: u64| {
        let mut x = hash.wrapping_add(i.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^= x >> 31;
        (x >> 11) as f64 / (1u64 << 53) as f64
    };
    (1..=count as u64).map(element).collect()
}
