//! Photos with the style of others (Yang & Soatto 2020, "FDA", <https://arxiv.org/abs/2004.05498>).

use std::f64::consts::TAU;

use candle_core::{Device, Tensor};
use cnn_core::Preprocessing;

use crate::Error;

/// A photo's pixels, row by row, the channels of each side by side.
#[derive(Debug, Clone, Copy)]
pub struct Pixels<'a, T> {
    /// `height · width · channels` numbers.
    pub values: &'a [T],
    /// Rows.
    pub height: usize,
    /// Pixels in a row.
    pub width: usize,
}

/// Gives a photo the low frequencies' amplitudes of another, its colours and light, and leaves it all
/// phases, which say where things are: `F⁻¹(M ∘ |F(style)| + (1 − M) ∘ |F(photo)|, ∠F(photo))`. The
/// mask `M` is 1 for frequencies of at most `radius` waves over the photo, along rows and columns.
///
/// As only low frequencies change, only they are computed; the style may have another size than the
/// photo, for amplitudes are taken per pixel. A frequency that the photo has nothing of, and so no
/// phase, stays as it is.
///
/// ```
/// use cnn_transfer::adapt::{FourierStyle, Pixels};
///
/// // With radius 0 only the mean of each channel is taken over.
/// let photo = Pixels { values: &[0f32, 0.2, 0.4, 0.6], height: 2, width: 2 };
/// let style = Pixels { values: &[0.5f32], height: 1, width: 1 };
/// let styled = FourierStyle { radius: 0 }.apply(photo, style, 1)?;
/// for (found, expected) in styled.iter().zip([0.2f32, 0.4, 0.6, 0.8]) {
///     assert!((found - expected).abs() < 1e-6);
/// }
/// # Ok::<(), cnn_transfer::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FourierStyle {
    /// The highest frequency that is taken over, in waves over the photo; the
    /// Transfer-Learning-Library's and the default is 1.
    pub radius: usize,
}

impl Default for FourierStyle {
    fn default() -> Self {
        Self { radius: 1 }
    }
}

impl FourierStyle {
    /// The paper's radius, `⌊share · min(height, width)⌋`; it has shares of 0.01, 0.05 and 0.09.
    ///
    /// # Errors
    /// If the share is not in `[0, 0.5)`.
    pub fn of_share(share: f64, height: usize, width: usize) -> Result<Self, Error> {
        if !(0. ..0.5).contains(&share) {
            return Err(Error::argument("share", share, "at least 0 and below 0.5"));
        }
        let radius = (share * height.min(width) as f64) as usize;
        Ok(Self { radius })
    }

    /// The photo in the other's style, in whatever range the pixels are; it may leave the range.
    ///
    /// # Errors
    /// If the numbers are not those of photos with so many channels, or either has fewer than
    /// `2 · radius + 1` rows or columns.
    pub fn apply(
        &self,
        photo: Pixels<'_, f32>,
        style: Pixels<'_, f32>,
        channels: usize,
    ) -> Result<Vec<f32>, Error> {
        let styled = self.styled(photo, style, channels)?;
        Ok(styled.into_iter().map(|x| x as f32).collect())
    }

    /// The same for bytes, rounded and cut to 0 to 255.
    ///
    /// # Errors
    /// As [`apply`](Self::apply).
    pub fn apply_bytes(
        &self,
        photo: Pixels<'_, u8>,
        style: Pixels<'_, u8>,
        channels: usize,
    ) -> Result<Vec<u8>, Error> {
        let styled = self.styled(photo, style, channels)?;
        // The conversion cuts what lies outside.
        Ok(styled.into_iter().map(|x| x.round() as u8).collect())
    }

    /// The photos of a batch `(N, H, W, C)`, normalised as `preprocessing` says, each in the style
    /// of one of another batch: the first of the first, and so on around.
    ///
    /// # Errors
    /// As [`apply`](Self::apply), and if the other batch is empty.
    pub fn apply_batch(
        &self,
        photos: &Tensor,
        styles: &Tensor,
        preprocessing: &Preprocessing,
    ) -> Result<Tensor, Error> {
        let (count, height, width, channels) = photos.dims4()?;
        let (others, style_height, style_width, _) = styles.dims4()?;
        if others == 0 {
            return Err(Error::argument("styles", "no photo", "at least one"));
        }
        // Amplitudes are those of light, which is never below 0; a normalised photo's mean may be.
        let light = |xs: &Tensor| -> Result<Vec<f32>, Error> {
            let xs = xs.flatten_all()?.to_vec1::<f32>()?.into_iter().enumerate();
            Ok(xs
                .map(|(index, x)| {
                    let channel = index % channels;
                    x * preprocessing.std[channel] as f32 + preprocessing.mean[channel] as f32
                })
                .collect())
        };
        let [photos, styles] = [light(photos)?, light(styles)?];
        let length = height * width * channels;
        let style_length = style_height * style_width * channels;
        let mut styled = Vec::with_capacity(photos.len());
        for (number, photo) in photos.chunks_exact(length).enumerate() {
            let start = number % others * style_length;
            let photo = Pixels {
                values: photo,
                height,
                width,
            };
            let style = Pixels {
                values: &styles[start..start + style_length],
                height: style_height,
                width: style_width,
            };
            styled.extend(self.apply(photo, style, channels)?);
        }
        for (index, x) in styled.iter_mut().enumerate() {
            let channel = index % channels;
            *x = (*x - preprocessing.mean[channel] as f32) / preprocessing.std[channel] as f32;
        }
        let shape = (count, height, width, channels);
        Ok(Tensor::from_vec(styled, shape, &Device::Cpu)?)
    }

    fn styled<T: Copy + Into<f64>>(
        &self,
        photo: Pixels<'_, T>,
        style: Pixels<'_, T>,
        channels: usize,
    ) -> Result<Vec<f64>, Error> {
        self.check("photo", photo, channels)?;
        self.check("style", style, channels)?;
        let mut styled: Vec<f64> = photo.values.iter().map(|&x| x.into()).collect();
        let waves = Waves::new(photo.height, photo.width, self.radius);
        let of_style = Waves::new(style.height, style.width, self.radius);
        for channel in 0..channels {
            let spectrum = waves.spectrum(&photo, channel, channels);
            let wanted = of_style.spectrum(&style, channel, channels);
            let change: Vec<Complex> = spectrum
                .iter()
                .zip(&wanted)
                .map(|(own, wanted)| own.change_to(wanted.amplitude()))
                .collect();
            waves.add(&change, &mut styled, channel, channels);
        }
        Ok(styled)
    }

    fn check<T>(
        &self,
        name: &'static str,
        pixels: Pixels<'_, T>,
        channels: usize,
    ) -> Result<(), Error> {
        let sizes = [pixels.height, pixels.width, channels];
        let product = sizes
            .iter()
            .try_fold(1_usize, |all, size| all.checked_mul(*size));
        if sizes.contains(&0) || product != Some(pixels.values.len()) {
            let expected = format!("{} × {} × {channels}, none 0", pixels.height, pixels.width);
            return Err(Error::argument(
                name,
                format!("{} numbers", pixels.values.len()),
                expected,
            ));
        }
        let least = self.radius.saturating_mul(2).saturating_add(1);
        if pixels.height.min(pixels.width) < least {
            let found = format!("{} × {} pixels", pixels.height, pixels.width);
            let expected = format!("at least {least} × {least} for a radius of {}", self.radius);
            return Err(Error::argument(name, found, expected));
        }
        Ok(())
    }
}

/// Amplitudes below it, where pixels are of the order of 1, are rounding.
const NOTHING: f64 = 1e-10;

#[derive(Debug, Clone, Copy, Default)]
struct Complex {
    re: f64,
    im: f64,
}

impl Complex {
    fn amplitude(self) -> f64 {
        self.re.hypot(self.im)
    }

    fn times(self, other: Self) -> Self {
        Self {
            re: self.re * other.re - self.im * other.im,
            im: self.re * other.im + self.im * other.re,
        }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            re: self.re + other.re,
            im: self.im + other.im,
        }
    }

    fn scaled(self, factor: f64) -> Self {
        Self {
            re: self.re * factor,
            im: self.im * factor,
        }
    }

    /// What must be added for another amplitude at the same phase.
    fn change_to(self, amplitude: f64) -> Self {
        let own = self.amplitude();
        if own < NOTHING {
            return Self::default();
        }
        self.scaled(amplitude / own - 1.)
    }
}

/// The low frequencies of photos of one size: from `−radius` to `radius` along columns, from 0 along
/// rows, since those below 0 are conjugates of others.
struct Waves {
    height: usize,
    width: usize,
    /// `e^(2πi·v·y / height)`, for each `v` all `y`.
    along_columns: Vec<Vec<Complex>>,
    /// `e^(2πi·u·x / width)`, for each `u` all `x`.
    along_rows: Vec<Vec<Complex>>,
}

impl Waves {
    fn new(height: usize, width: usize, radius: usize) -> Self {
        let radius = radius as i64;
        Self {
            height,
            width,
            along_columns: (-radius..=radius).map(|v| wave(v, height)).collect(),
            along_rows: (0..=radius).map(|u| wave(u, width)).collect(),
        }
    }

    /// The coefficients of one channel per pixel: for each `v` all `u`.
    fn spectrum<T: Copy + Into<f64>>(
        &self,
        pixels: &Pixels<'_, T>,
        channel: usize,
        channels: usize,
    ) -> Vec<Complex> {
        let scale = 1. / (self.height * self.width) as f64;
        // Of each row its coefficients; a wave of the analysis turns the other way.
        let of_row = |row: &[T]| -> Vec<Complex> {
            let coefficient = |wave: &Vec<Complex>| {
                let pixels = row.iter().skip(channel).step_by(channels).zip(wave);
                pixels.fold(Complex::default(), |sum, (&x, wave)| Complex {
                    re: sum.re + x.into() * wave.re,
                    im: sum.im - x.into() * wave.im,
                })
            };
            self.along_rows.iter().map(coefficient).collect()
        };
        let rows: Vec<Vec<Complex>> = pixels
            .values
            .chunks_exact(self.width * channels)
            .map(of_row)
            .collect();
        let coefficient = |v: usize, u: usize| {
            let rows = rows.iter().zip(&self.along_columns[v]);
            let turned = |wave: &Complex| Complex {
                im: -wave.im,
                ..*wave
            };
            let sum = rows.fold(Complex::default(), |sum, (row, wave)| {
                sum.plus(row[u].times(turned(wave)))
            });
            sum.scaled(scale)
        };
        let across = self.along_rows.len();
        (0..self.along_columns.len() * across)
            .map(|at| coefficient(at / across, at % across))
            .collect()
    }

    /// Adds the waves with these coefficients to one channel.
    fn add(&self, change: &[Complex], pixels: &mut [f64], channel: usize, channels: usize) {
        let across = self.along_rows.len();
        for (y, row) in pixels.chunks_exact_mut(self.width * channels).enumerate() {
            let of_row = |u: usize| {
                let rows = self.along_columns.iter().zip(change.chunks_exact(across));
                let sum = rows.fold(Complex::default(), |sum, (wave, row)| {
                    sum.plus(row[u].times(wave[y]))
                });
                // A wave along rows and its conjugate, which is not stored.
                sum.scaled(if u == 0 { 1. } else { 2. })
            };
            let coefficients: Vec<Complex> = (0..across).map(of_row).collect();
            for (x, pixel) in row.iter_mut().skip(channel).step_by(channels).enumerate() {
                let waves = coefficients.iter().zip(&self.along_rows);
                *pixel += waves.map(|(c, wave)| c.times(wave[x]).re).sum::<f64>();
            }
        }
    }
}

/// `e^(2πi·frequency·at / size)` for all places.
fn wave(frequency: i64, size: usize) -> Vec<Complex> {
    let turn = TAU * frequency as f64 / size as f64;
    let place = |at: usize| {
        let angle = turn * at as f64;
        Complex {
            re: angle.cos(),
            im: angle.sin(),
        }
    };
    (0..size).map(place).collect()
}
