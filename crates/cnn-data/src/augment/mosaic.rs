//! Four images in one.

use std::fmt;
use std::sync::Arc;

use cnn_core::{Interpolation, Rng};

use super::Transform;
use super::arguments::{ordered, probability, size, within};
use super::geometry::{fill_color, paste};
use super::partner::partner;
use super::resize::resize_sample;
use super::warp::warp_to;
use crate::transform::fitted;
use crate::{Affine, BoundingBox, Dataset, Error, Image, Mask, Sample};

/// Puts an image and three others of a dataset around a random point and looks at the whole through
/// a random affine map (Bochkovskiy et al. 2020, "YOLOv4", with the geometry of YOLOX).
///
/// Each image is fitted into `height` and `width`. The four meet at a point that is uniform in the
/// middle half of a canvas of twice that size, and the map's first rows and columns are the result:
/// it scales by a factor within `scale`, turns and shears about the canvas' first corner, and moves
/// by a share of the sides. Objects of which little is left go by the rule of
/// [`BoundingBox::placed`]. What no image covers is grey. An image of the dataset that cannot be
/// read is replaced by another.
///
/// The label stays the first image's; a mask of the first image is joined by those of the others,
/// and is [`Mask::IGNORE`] where an image has none.
#[derive(Clone)]
pub struct Mosaic {
    dataset: Arc<dyn Dataset>,
    size: [usize; 2],
    p: f64,
    degrees: f64,
    translation: f64,
    scale: [f64; 2],
    shear: f64,
    fill: [u8; 3],
}

impl Mosaic {
    /// With images of `dataset`, to images of `height` and `width`. Default as in YOLOX: always,
    /// turned by up to 10 degrees, moved by up to a tenth, scaled by 0.5 to 1.5, sheared by up to 2
    /// degrees, beside a grey of 114.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if a side is zero or the dataset is empty, [`Error::TooLarge`] if the
    /// canvas is beyond the default [`Limits`](crate::Limits).
    pub fn new(dataset: Arc<dyn Dataset>, height: usize, width: usize) -> Result<Self, Error> {
        if dataset.is_empty() {
            return Err(Error::argument("dataset", "no image", "at least one"));
        }
        size(height.saturating_mul(2), width.saturating_mul(2))?;
        Ok(Self {
            dataset,
            size: [height, width],
            p: 1.0,
            degrees: 10.0,
            translation: 0.1,
            scale: [0.5, 1.5],
            shear: 2.0,
            fill: [114; 3],
        })
    }

    /// The probability that an image becomes part of a mosaic. Default 1.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if `p` is not in `0..=1`.
    pub fn with_prob(self, p: f64) -> Result<Self, Error> {
        Ok(Self {
            p: probability("prob", p)?,
            ..self
        })
    }

    /// The smallest and the largest factor of size. Default 0.5 and 1.5.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if they are out of order or not in `0.001..=1000`.
    pub fn with_scale(self, low: f64, high: f64) -> Result<Self, Error> {
        Ok(Self {
            scale: ordered("scale", [low, high], 0.001..=1000.0)?,
            ..self
        })
    }

    /// The largest turn in degrees. Default 10.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if it is not in `0..=180`.
    pub fn with_degrees(self, degrees: f64) -> Result<Self, Error> {
        Ok(Self {
            degrees: within("degrees", degrees, 0.0..=180.0)?,
            ..self
        })
    }

    /// The largest shear in degrees. Default 2.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if it is not in `0..=44`.
    pub fn with_shear(self, degrees: f64) -> Result<Self, Error> {
        Ok(Self {
            shear: within("shear", degrees, 0.0..=44.0)?,
            ..self
        })
    }

    /// The four images around their point, on a canvas of twice the size.
    fn collage(&self, sample: Sample, rng: &mut Rng) -> Result<Sample, Error> {
        let [down, right] = self.size.map(|side| {
            let side = side as f64;
            rng.uniform_in(0.5 * side, 1.5 * side) as i64
        });
        let first = self.tile(sample)?;
        let mut collage = Collage::new(self.size.map(|side| 2 * side), &first, self.fill)?;
        let mut next = Some(first);
        for is_upper in [true, false] {
            for is_left in [true, false] {
                let tile = match next.take() {
                    Some(first) => Some(first),
                    None => partner(self.dataset.as_ref(), rng, |_| true)
                        .map(|sample| self.tile(sample))
                        .transpose()?,
                };
                let Some(tile) = tile else { continue };
                let above = if is_upper { tile.image.height() } else { 0 };
                let before = if is_left { tile.image.width() } else { 0 };
                collage.place(tile, [down - above as i64, right - before as i64])?;
            }
        }
        collage.finish()
    }

    /// An image fitted into the size.
    fn tile(&self, sample: Sample) -> Result<Sample, Error> {
        let fitted = fitted([sample.image.height(), sample.image.width()], self.size);
        resize_sample(sample, fitted, Interpolation::Bilinear)
    }

    /// Scaled, turned and sheared about the first corner, and moved.
    fn map(&self, rng: &mut Rng) -> Result<Affine, Error> {
        let mut symmetric = |most: f64| rng.uniform_in(-most, most);
        let angle = symmetric(self.degrees).to_radians();
        let [shear_x, shear_y] = [(); 2].map(|()| libm::tan(symmetric(self.shear).to_radians()));
        let [height, width] = self
            .size
            .map(|side| symmetric(self.translation) * side as f64);
        let scale = rng.uniform_in(self.scale[0], self.scale[1]);
        let cos = scale * libm::cos(angle);
        let sin = scale * libm::sin(angle);
        Affine::new([
            [cos - shear_y * sin, sin + shear_y * cos, width],
            [shear_x * cos - sin, shear_x * sin + cos, height],
        ])
    }
}

impl Transform for Mosaic {
    fn apply(&self, sample: Sample, rng: &mut Rng) -> Result<Sample, Error> {
        if !rng.bernoulli(self.p) {
            return Ok(sample);
        }
        let collage = self.collage(sample, rng)?;
        let map = self.map(rng)?;
        warp_to(collage, &map, self.size, self.fill)
    }
}

impl fmt::Debug for Mosaic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mosaic")
            .field("images", &self.dataset.len())
            .field("size", &self.size)
            .field("p", &self.p)
            .field("degrees", &self.degrees)
            .field("translation", &self.translation)
            .field("scale", &self.scale)
            .field("shear", &self.shear)
            .field("fill", &self.fill)
            .finish()
    }
}

/// A canvas onto which samples are put.
struct Collage {
    size: [usize; 2],
    channels: usize,
    bytes: Vec<u8>,
    mask: Option<Vec<u8>>,
    /// The first sample's image is of no use any more.
    first: Sample,
    boxes: Vec<BoundingBox>,
    ignored: Vec<BoundingBox>,
}

impl Collage {
    fn new(size: [usize; 2], first: &Sample, fill: [u8; 3]) -> Result<Self, Error> {
        let [height, width] = size;
        let channels = first.image.channels();
        let mask = first.mask.as_ref();
        Ok(Self {
            size,
            channels,
            bytes: fill_color(fill, channels)?.repeat(height * width),
            mask: mask.map(|_| vec![Mask::IGNORE; height * width]),
            first: Sample {
                image: Image::from_pixels(1, 1, 1, vec![0])?,
                boxes: Vec::new(),
                ignored: Vec::new(),
                mask: None,
                ..first.clone()
            },
            boxes: Vec::new(),
            ignored: Vec::new(),
        })
    }

    /// Puts a sample's first pixel to row `top` and column `left`.
    fn place(&mut self, sample: Sample, [top, left]: [i64; 2]) -> Result<(), Error> {
        let [height, width] = self.size;
        let map = Affine::translation(left as f64, top as f64);
        let placed = |whole: &BoundingBox| whole.placed(&map, height, width);
        self.boxes.extend(sample.boxes.iter().filter_map(placed));
        self.ignored
            .extend(sample.ignored.iter().filter_map(placed));
        let image = sample.image.with_channels(self.channels)?;
        paste(&mut self.bytes, self.size, &image, [top, left]);
        if let (Some(canvas), Some(mask)) = (&mut self.mask, sample.mask) {
            let mask = Image::from_pixels(mask.height(), mask.width(), 1, mask.into_bytes())?;
            paste(canvas, self.size, &mask, [top, left]);
        }
        Ok(())
    }

    fn finish(self) -> Result<Sample, Error> {
        let [height, width] = self.size;
        let sample = Sample {
            image: Image::from_pixels(height, width, self.channels, self.bytes)?,
            boxes: self.boxes,
            ignored: self.ignored,
            origin: self.first.origin.deformed(),
            ..self.first
        };
        match self.mask {
            Some(mask) => sample.with_mask(Mask::new(height, width, mask)?),
            None => Ok(sample),
        }
    }
}
