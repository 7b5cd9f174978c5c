//! The uniform numbers of `tools/goldens/formula.py`: those of a name, in [0, 1).

/// All of them.
pub(crate) fn stream(name: &str) -> impl Iterator<Item = f64> {
    let hash = name.bytes().fold(0xCBF2_9CE4_8422_2325_u64, |state, byte| {
        (state ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
    });
    (1_u64..).map(move |index| {
        let mut x = hash.wrapping_add(index.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((x ^ (x >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
    })
}

/// The first `count`.
#[allow(dead_code, reason = "one of the tests takes them one by one")]
pub(crate) fn uniform(name: &str, count: usize) -> Vec<f64> {
    stream(name).take(count).collect()
}
