//! A window with crystals of ice.

use cnn_data::Image;

use super::Severity;
use super::chance::Chance;
use super::pixels::Pixels;
use super::plasma::Plasma;
use super::severity::Table;
use crate::Error;

/// How photo and frost are added.
#[derive(Clone, Copy)]
struct Shares {
    photo: f64,
    frost: f64,
}

const fn shares(photo: f64, frost: f64) -> Shares {
    Shares { photo, frost }
}

#[rustfmt::skip]
const SHARES: Table<Shares> = Table {
    large: [shares(1., 0.4), shares(0.8, 0.6), shares(0.7, 0.7), shares(0.65, 0.7), shares(0.6, 0.75)],
    small: [shares(1., 0.2), shares(1., 0.3), shares(0.9, 0.4), shares(0.85, 0.4), shares(0.75, 0.45)],
};

/// How crystals look, in pixels; small images show the window as from five times as far.
#[derive(Clone, Copy)]
struct Crystals {
    /// The longest needle.
    length: f64,
    /// One needle for so many pixels.
    area: usize,
}

const CRYSTALS: Table<Crystals> = Table {
    large: [Crystals {
        length: 80.,
        area: 300,
    }; 5],
    small: [Crystals {
        length: 16.,
        area: 20,
    }; 5],
};

/// The film of ice between crystals: how fast its detail becomes finer, its darkest and its range.
const FILM_DECAY: f64 = 1.6;
const FILM_DARKEST: f64 = 0.05;
const FILM_RANGE: f64 = 0.7;
/// How much brighter a needle is than the film, at its root.
const NEEDLE: f64 = 0.7;
/// The angle between a needle and its branches, that of ice.
const BRANCH: f64 = std::f64::consts::FRAC_PI_3;
/// Bluish white.
const TINT: [f64; 3] = [0.84, 0.93, 1.];

/// `a x + b f` with a picture of frost `f`. The authors cut it out of six photos of frosted
/// windows; here it is drawn: a film of ice, and needles with branches at 60 degrees, all at
/// random.
pub(super) fn corrupt(image: &Image, severity: Severity, chance: &Chance) -> Result<Image, Error> {
    let mut pixels = Pixels::of(image);
    let shares = SHARES.of(&pixels, severity);
    let frost = frost(&pixels, CRYSTALS.of(&pixels, severity), chance)?;
    let channels = pixels.channels;
    for (pixel, ice) in pixels.values.chunks_exact_mut(channels).zip(&frost.values) {
        let tints = if channels == 3 { TINT } else { [TINT[1]; 3] };
        for (value, tint) in pixel.iter_mut().zip(tints) {
            *value = shares.photo * *value + shares.frost * tint * ice;
        }
    }
    pixels.to_image()
}

/// How much ice there is at each pixel, in 0..1.
fn frost(size: &Pixels, crystals: Crystals, chance: &Chance) -> Result<Pixels, Error> {
    let film = Plasma::new([size.height, size.width], FILM_DECAY, chance)?;
    let places = (0..size.area()).map(|place| film.at(place / size.width, place % size.width));
    let film = places
        .map(|film| FILM_DARKEST + FILM_RANGE * film)
        .collect();
    let mut ice = Pixels::layer(size.height, size.width, film);
    let mut needles = ice.with_values(vec![0.; size.area()]);
    let count = size.area().div_ceil(crystals.area);
    for drawn in chance.uniform("needles", 4 * count)?.chunks_exact(4) {
        let needle = Needle {
            root: [drawn[0] * size.height as f64, drawn[1] * size.width as f64],
            direction: drawn[2] * std::f64::consts::TAU,
            length: crystals.length * (0.25 + 0.75 * drawn[3] * drawn[3]),
            brightness: NEEDLE,
        };
        needle.draw_with_branches(&mut needles, crystals.length / 16.);
    }
    for (ice, needle) in ice.values.iter_mut().zip(&needles.values) {
        *ice = (*ice + needle).min(1.);
    }
    Ok(ice)
}

/// A straight crystal that becomes dimmer towards its tip.
#[derive(Clone, Copy)]
struct Needle {
    /// Row and column.
    root: [f64; 2],
    /// In radians.
    direction: f64,
    length: f64,
    brightness: f64,
}

impl Needle {
    /// Row and column at a distance from the root.
    fn at(&self, distance: f64) -> [f64; 2] {
        let (sine, cosine) = libm::sincos(self.direction);
        [
            self.root[0] + distance * sine,
            self.root[1] + distance * cosine,
        ]
    }

    /// Draws it with branches on both sides, so many pixels apart, which are shorter towards the
    /// tip.
    fn draw_with_branches(&self, layer: &mut Pixels, apart: f64) {
        self.draw(layer);
        let count = (self.length / apart) as usize;
        for number in 1..count {
            let distance = number as f64 * apart;
            for side in [-BRANCH, BRANCH] {
                let branch = Self {
                    root: self.at(distance),
                    direction: self.direction + side,
                    length: 0.3 * (self.length - distance),
                    brightness: 0.7 * self.brightness,
                };
                branch.draw(layer);
            }
        }
    }

    /// Brightens the pixels along it, in steps of half a pixel.
    fn draw(&self, layer: &mut Pixels) {
        let steps = (2. * self.length) as usize;
        for step in 0..=steps {
            let along = step as f64 / steps.max(1) as f64;
            let place = self.at(0.5 * step as f64);
            brighten(layer, place, self.brightness * (1. - 0.7 * along));
        }
    }
}

/// Brightens the four pixels around a place, as far as it is near them.
fn brighten(layer: &mut Pixels, [y, x]: [f64; 2], brightness: f64) {
    for row in [y.floor(), y.floor() + 1.] {
        for column in [x.floor(), x.floor() + 1.] {
            let is_inside = (0. ..layer.height as f64).contains(&row)
                && (0. ..layer.width as f64).contains(&column);
            if is_inside {
                let share = (1. - (row - y).abs()) * (1. - (column - x).abs());
                let place = layer.at(row as usize, column as usize);
                let value = &mut layer.values[place];
                *value = value.max(brightness * share);
            }
        }
    }
}
