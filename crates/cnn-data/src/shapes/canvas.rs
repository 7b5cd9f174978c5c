//! The picture while it is painted, and what the camera adds at the end: vignette, blur and noise.

use cnn_core::Rng;

use super::look::Look;
use super::palette::{Color, blend};

pub(super) struct Canvas {
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) pixels: Vec<Color>,
}

impl Canvas {
    /// A canvas whose colour at each pixel's centre `[x, y]` is given.
    pub(super) fn paint([height, width]: [usize; 2], color: impl Fn([f32; 2]) -> Color) -> Self {
        let centers = (0..height).flat_map(|row| (0..width).map(move |column| center(row, column)));
        Self {
            height,
            width,
            pixels: centers.map(color).collect(),
        }
    }

    /// Calls `change(index, center, color)` for the pixels within bounds (left, top, right,
    /// bottom).
    pub(super) fn within(
        &mut self,
        bounds: [f32; 4],
        mut change: impl FnMut(usize, [f32; 2], &mut Color),
    ) {
        // Casting clips what lies outside.
        let [left, top, right, bottom] = bounds;
        let rows = (top as usize).min(self.height)..((bottom + 1.0) as usize).min(self.height);
        let columns = (left as usize).min(self.width)..((right + 1.0) as usize).min(self.width);
        for row in rows {
            for column in columns.clone() {
                let index = row * self.width + column;
                if let Some(color) = self.pixels.get_mut(index) {
                    change(index, center(row, column), color);
                }
            }
        }
    }

    /// Adds what a camera adds, which is lost light in the corners, blur and noise, and rounds to
    /// bytes.
    pub(super) fn develop(mut self, look: &Look, rng: &mut Rng) -> Vec<u8> {
        self.darken_corners(look.vignette);
        self.blur(look.blur);
        let [common, own] = look.noise;
        let mut bytes = Vec::with_capacity(3 * self.pixels.len());
        for color in &self.pixels {
            let grain = common * bell(rng.next_u32());
            bytes.extend(color.map(|value| {
                let value = value + grain + own * bell(rng.next_u32());
                (value.clamp(0.0, 1.0) * 255.0 + 0.5) as u8
            }));
        }
        bytes
    }

    fn darken_corners(&mut self, strength: f32) {
        if strength == 0.0 {
            return;
        }
        let height = self.height as f32;
        let width = self.width as f32;
        self.within([0.0, 0.0, width, height], |_, [x, y], color| {
            let right = 2.0 * x / width - 1.0;
            let down = 2.0 * y / height - 1.0;
            let light = 1.0 - strength * 0.5 * (right * right + down * down);
            *color = color.map(|value| value * light);
        });
    }

    /// Gaussian blur, the edge's pixels repeated.
    fn blur(&mut self, deviation: f32) {
        if deviation < 0.2 {
            return;
        }
        let reach = (3.0 * deviation) as usize + 1;
        let weights: Vec<f32> = (0..=reach)
            .map(|at| libm::expf(-((at * at) as f32) / (2.0 * deviation * deviation)))
            .collect();
        let sum = 2.0 * weights.iter().sum::<f32>() - 1.0;
        let weights: Vec<f32> = weights.iter().map(|weight| weight / sum).collect();
        for row in self.pixels.chunks_exact_mut(self.width) {
            blur_line(row, &weights);
        }
        let mut line = vec![[0.0; 3]; self.height];
        for column in 0..self.width {
            let strided = || (column..self.width * self.height).step_by(self.width);
            for (place, index) in line.iter_mut().zip(strided()) {
                *place = self.pixels[index];
            }
            blur_line(&mut line, &weights);
            for (place, index) in line.iter().zip(strided()) {
                self.pixels[index] = *place;
            }
        }
    }
}

fn center(row: usize, column: usize) -> [f32; 2] {
    [column as f32 + 0.5, row as f32 + 0.5]
}

/// `weights[k]` belongs to both neighbours at distance k.
fn blur_line(line: &mut [Color], weights: &[f32]) {
    let source = line.to_vec();
    let last = source.len() - 1;
    for (at, color) in line.iter_mut().enumerate() {
        let neighbours = |(distance, &weight): (usize, &f32)| {
            let before = source[at.saturating_sub(distance)];
            let after = source[(at + distance).min(last)];
            let both = if distance == 0 {
                before.map(|value| value / 2.0)
            } else {
                before
            };
            let after = if distance == 0 { both } else { after };
            [0, 1, 2].map(|channel: usize| (both[channel] + after[channel]) * weight)
        };
        *color = weights
            .iter()
            .enumerate()
            .map(neighbours)
            .fold([0.0; 3], |sum, part| {
                [sum[0] + part[0], sum[1] + part[1], sum[2] + part[2]]
            });
    }
}

/// Nearly normal with mean 0 and standard deviation 1: the sum of four uniform bytes.
fn bell(bits: u32) -> f32 {
    let sum: u32 = bits.to_le_bytes().iter().map(|&byte| u32::from(byte)).sum();
    (sum as f32 - 510.0) / 147.8
}

/// Paints `color` over `below`, covering this share of it.
pub(super) fn cover(below: &mut Color, color: Color, share: f32) {
    *below = blend(*below, color, share.clamp(0.0, 1.0));
}

#[cfg(test)]
mod tests {
    use cnn_core::Key;

    use super::*;

    #[test]
    fn blur_keeps_flat_colours_and_the_sum_of_a_spot() {
        let mut flat = Canvas::paint([5, 9], |_| [0.25, 0.5, 0.75]);
        flat.blur(1.3);
        for color in &flat.pixels {
            assert!(
                color
                    .iter()
                    .zip([0.25, 0.5, 0.75])
                    .all(|(a, b)| (a - b).abs() < 1e-6),
                "{color:?}"
            );
        }
        let mut spot = Canvas::paint([21, 17], |at| {
            if at == [8.5, 10.5] {
                [1.0; 3]
            } else {
                [0.0; 3]
            }
        });
        spot.blur(1.3);
        let sum: f32 = spot.pixels.iter().map(|color| color[1]).sum();
        assert!((sum - 1.0).abs() < 1e-4, "{sum}");
        let squares = spot
            .pixels
            .iter()
            .enumerate()
            .map(|(at, color)| color[0] * ((at / 17) as f32 - 10.0).powi(2));
        let variance: f32 = squares.sum();
        assert!((variance - 1.69).abs() < 0.05, "{variance}");
    }

    #[test]
    fn grain_has_mean_0_and_deviation_1() {
        let mut rng = Key::new(5).rng();
        let values: Vec<f32> = (0..20_000).map(|_| bell(rng.next_u32())).collect();
        let mean = values.iter().sum::<f32>() / 20_000.0;
        let variance = values.iter().map(|value| value * value).sum::<f32>() / 20_000.0;
        assert!(
            mean.abs() < 0.03 && (variance - 1.0).abs() < 0.03,
            "{mean} {variance}"
        );
    }
}
