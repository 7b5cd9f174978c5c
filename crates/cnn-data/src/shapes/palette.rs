//! Colours: red, green and blue from 0 to 1.

use cnn_core::Rng;

use super::noise::mix;

pub(super) type Color = [f32; 3];

/// Uniform in `[low, high)`.
pub(super) fn between(rng: &mut Rng, low: f32, high: f32) -> f32 {
    rng.uniform_in(f64::from(low), f64::from(high)) as f32
}

/// ITU-R 601-2 luma.
pub(super) fn luma([red, green, blue]: Color) -> f32 {
    0.299 * red + 0.587 * green + 0.114 * blue
}

/// The colour of a hue with a given luma. The hue is in turns: 0 is red, ⅓ is green. A `chroma` of
/// 0 is grey. Colours outside the cube are clipped.
pub(super) fn tint(hue: f32, chroma: f32, target: f32) -> Color {
    let turn = (hue - hue as i32 as f32 + 1.0) * 6.0;
    let ramp = |offset: f32| {
        let at = turn + offset;
        let at = at - 6.0 * (at / 6.0) as i32 as f32;
        ((at - 3.0).abs() - 1.0).clamp(0.0, 1.0)
    };
    let pure = [ramp(0.0), ramp(4.0), ramp(2.0)];
    let own = luma(pure);
    pure.map(|value| (target + chroma * (value - own)).clamp(0.0, 1.0))
}

/// `a` at `t` = 0, `b` at 1.
pub(super) fn blend(a: Color, b: Color, t: f32) -> Color {
    [mix(a[0], b[0], t), mix(a[1], b[1], t), mix(a[2], b[2], t)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hues_are_where_they_are_expected() {
        let third = 1.0 / 3.0;
        for (hue, brightest) in [
            (0.0, 0),
            (third, 1),
            (2.0 * third, 2),
            (1.0, 0),
            (third - 1.0, 1),
        ] {
            let color = tint(hue, 0.5, 0.5);
            let others = (0..3).filter(|&channel| channel != brightest);
            assert!(
                others
                    .into_iter()
                    .all(|other| color[brightest] > color[other] + 0.4),
                "{hue}: {color:?}"
            );
        }
    }

    #[test]
    fn luma_is_kept_inside_the_cube() {
        for step in 0..24 {
            let color = tint(step as f32 / 24.0, 0.3, 0.5);
            assert!((luma(color) - 0.5).abs() < 1e-5, "{step}: {color:?}");
        }
        assert_eq!(tint(0.2, 0.0, 0.4), [0.4; 3]);
    }
}
