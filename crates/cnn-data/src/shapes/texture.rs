//! Surface textures.

use std::f32::consts::TAU;

use cnn_core::Rng;

use super::noise::{clouds, smooth, split, value_noise};
use super::palette::{Color, between, blend};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pattern {
    Plain,
    Stripes,
    Checks,
    Dots,
    Gradient,
    Wood,
    Clouds,
    /// Pencil strokes: fine stripes, interrupted and uneven.
    Hatching,
}

/// A pattern with its direction, period and place, in pixels.
#[derive(Clone, Copy, Debug)]
pub(super) struct Texture {
    pattern: Pattern,
    /// Sine and cosine of its direction.
    turn: [f32; 2],
    period: f32,
    origin: [f32; 2],
    seed: u32,
}

/// A texture between two colours.
#[derive(Clone, Copy, Debug)]
pub(super) struct Material {
    pub(super) texture: Texture,
    pub(super) colors: [Color; 2],
}

impl Texture {
    /// A texture of one of `patterns`. Its period lies within `periods` pixels, but is never too
    /// fine to be seen.
    pub(super) fn draw(rng: &mut Rng, patterns: &[Pattern], periods: [f32; 2]) -> Self {
        let drawn = rng.below(patterns.len() as u64) as usize;
        let pattern = patterns.get(drawn).copied().unwrap_or(Pattern::Plain);
        let (sin, cos) = libm::sincosf(between(rng, 0.0, TAU));
        let period = between(rng, periods[0], periods[1]).max(3.0);
        let origin = [between(rng, 0.0, 100.0), between(rng, 0.0, 100.0)];
        Self {
            pattern,
            turn: [sin, cos],
            period,
            origin,
            seed: rng.next_u32(),
        }
    }

    /// From 0 to 1, anti-aliased for pixels of side 1.
    pub(super) fn at(&self, x: f32, y: f32) -> f32 {
        let [sin, cos] = self.turn;
        let u = (cos * x + sin * y) / self.period;
        let v = (cos * y - sin * x) / self.period;
        let left = u + self.origin[0];
        let up = v + self.origin[1];
        match self.pattern {
            Pattern::Plain => 0.5 * value_noise(self.seed, left, up),
            Pattern::Stripes => self.sharpen(wave(left) - 0.5),
            Pattern::Checks => {
                let across = self.sharpen(wave(left) - 0.5);
                let along = self.sharpen(wave(up) - 0.5);
                across + along - 2.0 * across * along
            }
            Pattern::Dots => {
                let across = split(left).1 - 0.5;
                let along = split(up).1 - 0.5;
                self.sharpen(2.0 * (0.31 - (across * across + along * along).sqrt()))
            }
            // The ramp spans three periods around the texture's centre.
            Pattern::Gradient => smooth(0.5 + u / 3.0),
            Pattern::Wood => {
                let bend = 1.6 * value_noise(self.seed, left * 0.5, up * 0.12);
                let fibre = value_noise(self.seed ^ 1, left * 3.0, up * 0.3);
                0.7 * smooth(wave(left * 0.6 + bend)) + 0.3 * fibre
            }
            Pattern::Clouds => clouds(self.seed, left * 0.7, up * 0.7),
            Pattern::Hatching => {
                let uneven = value_noise(self.seed, left * 0.5, up * 0.4);
                self.sharpen(wave(left + 0.15 * uneven) - 0.62) * smooth(1.6 * uneven)
            }
        }
    }

    /// A step from 0 to 1, one pixel wide, at the place where `signed` crosses 0; `signed` changes
    /// by 2 over a period.
    fn sharpen(&self, signed: f32) -> f32 {
        (0.5 + signed * self.period * 0.5).clamp(0.0, 1.0)
    }
}

impl Material {
    pub(super) fn at(&self, x: f32, y: f32) -> Color {
        blend(self.colors[0], self.colors[1], self.texture.at(x, y))
    }
}

/// A triangular wave of period 1 from 0 to 1.
fn wave(x: f32) -> f32 {
    (2.0 * split(x).1 - 1.0).abs()
}

#[cfg(test)]
mod tests {
    use cnn_core::Key;

    use super::*;

    #[test]
    fn every_pattern_stays_in_range_and_varies() {
        use Pattern::*;
        for pattern in [
            Plain, Stripes, Checks, Dots, Gradient, Wood, Clouds, Hatching,
        ] {
            let texture = Texture::draw(&mut Key::new(1).rng(), &[pattern], [6.0, 9.0]);
            let values =
                (0..40 * 30).map(|at| texture.at((at % 40) as f32 - 20.0, (at / 40) as f32 - 15.0));
            let (low, high) = values.fold((f32::MAX, f32::MIN), |(low, high), at| {
                (low.min(at), high.max(at))
            });
            assert!(
                low >= 0.0 && high <= 1.0 && high - low > 0.3,
                "{pattern:?}: {low} to {high}"
            );
        }
    }
}
