//! The class of every pixel of a photo, as a trained network sees it.

use candle_core::{DType, Device, Tensor};
use cnn_core::{Interpolation, Preprocessing};
use cnn_data::{Image, Mask, normalize, resize};
use cnn_layers::{Context, FeatureMap, Layer, Resize2d, ResizeTo, Segmenter};
use rayon::iter::{IndexedParallelIterator, ParallelIterator};
use rayon::slice::ParallelSliceMut;

use super::tiles::{ALIGNMENT, Span, Tiling};
use crate::Error;

/// How a photo is segmented.
#[derive(Debug, Clone, PartialEq)]
pub struct SegmentOptions {
    /// Tiles, which bound the memory; `None` for the whole photo at once.
    pub tiling: Option<Tiling>,
    /// Whether probabilities are averaged with those of the mirrored photo.
    pub mirror: bool,
    /// The sizes, relative to the photo's own, over which probabilities are averaged. Default 1.
    pub scales: Vec<f64>,
}

impl Default for SegmentOptions {
    fn default() -> Self {
        Self {
            tiling: None,
            mirror: false,
            scales: vec![1.],
        }
    }
}

impl SegmentOptions {
    /// Checks the scales.
    ///
    /// # Errors
    /// [`Error::Argument`] if there is none, or one is not from 0.1 to 10.
    pub fn validate(&self) -> Result<(), Error> {
        let is_fit = |scale: &&f64| (0.1..=10.).contains(*scale);
        let unfit = self.scales.iter().find(|scale| !is_fit(scale));
        match (self.scales.is_empty(), unfit) {
            (true, _) => Err(Error::argument("scales", "none", "at least one, such as 1")),
            (_, Some(scale)) => Err(Error::argument("scales", scale, "0.1 to 10")),
            _ => Ok(()),
        }
    }
}

/// What a network makes of a photo.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Segmented {
    /// The most probable class of each pixel, of the photo's size.
    pub mask: Mask,
    /// The mean over all pixels of the probability of that class.
    pub confidence: f64,
}

/// Who gets the first of some rows of a photo and the probabilities of their pixels.
pub type VisitRows<'a> = dyn FnMut(usize, &[f32]) -> Result<(), Error> + 'a;

/// Segments photos of any size, for every [`Segmenter`].
pub trait SegmentImage {
    /// The most probable class of each pixel; of equal ones the lower number.
    ///
    /// `preprocessing` says how pixels become numbers; the photo keeps its own size. It is continued
    /// by its last row and column to a multiple of 32 pixels, since maps that halve unevenly on the
    /// way down come back stretched.
    ///
    /// # Errors
    /// [`Error::Argument`] for options out of range, or for a network of more than 255 classes;
    /// [`Error::Layer`] if the photo does not fit the network; [`Error::Argument`] for scores that
    /// are not numbers, too.
    fn segment_image(
        &self,
        image: &Image,
        preprocessing: &Preprocessing,
        options: &SegmentOptions,
    ) -> Result<Segmented, Error>;

    /// The probabilities of all classes, some rows of the photo at a time, from the top: `visit` gets
    /// the first row and `rows · width · classes` probabilities. A network with one channel has two
    /// classes.
    ///
    /// # Errors
    /// As [`segment_image`](Self::segment_image), and what `visit` reports.
    fn segment_rows(
        &self,
        image: &Image,
        preprocessing: &Preprocessing,
        options: &SegmentOptions,
        visit: &mut VisitRows<'_>,
    ) -> Result<(), Error>;
}

impl<S: Segmenter + ?Sized> SegmentImage for S {
    fn segment_image(
        &self,
        image: &Image,
        preprocessing: &Preprocessing,
        options: &SegmentOptions,
    ) -> Result<Segmented, Error> {
        let classes = classes_of(self)?;
        let mut bytes = Vec::with_capacity(image.height() * image.width());
        let mut confidence = 0.;
        self.segment_rows(image, preprocessing, options, &mut |_, probabilities| {
            for pixel in probabilities.chunks_exact(classes) {
                let best = most_probable(pixel);
                confidence += f64::from(pixel[best]);
                bytes.push(best as u8);
            }
            Ok(())
        })?;
        Ok(Segmented {
            confidence: confidence / bytes.len().max(1) as f64,
            mask: Mask::new(image.height(), image.width(), bytes)?,
        })
    }

    fn segment_rows(
        &self,
        image: &Image,
        preprocessing: &Preprocessing,
        options: &SegmentOptions,
        visit: &mut VisitRows<'_>,
    ) -> Result<(), Error> {
        options.validate()?;
        let classes = classes_of(self)?;
        let [height, width] = [image.height(), image.width()];
        let along = |pixels: usize| match &options.tiling {
            Some(tiling) => tiling.along(pixels),
            None => vec![Span::whole(pixels.next_multiple_of(ALIGNMENT))],
        };
        // They may reach beyond the photo.
        let covered = |spans: &[Span]| spans.iter().map(|span| span.start + span.len).max();
        let columns = along(width);
        // Rows that the tiles so far have covered, and those of them that the next ones will add to.
        let mut pending: Vec<f32> = Vec::new();
        let row_values = covered(&columns).unwrap_or(width) * classes;
        for rows in along(height) {
            pending.resize(rows.len * row_values, 0.);
            let row_weights = rows.weights();
            for span in &columns {
                let tile = crop(image, &rows, span)?;
                let probabilities = averaged(self, &tile, preprocessing, options, classes)?;
                let weights = span.weights();
                let rows_of_tile = probabilities.chunks_exact(span.len * classes);
                let rows_of_image = pending.chunks_exact_mut(row_values);
                for ((ys, xs), row_weight) in rows_of_image.zip(rows_of_tile).zip(&row_weights) {
                    let ys = &mut ys[span.start * classes..];
                    let pixels = ys.chunks_exact_mut(classes).zip(xs.chunks_exact(classes));
                    for ((ys, xs), weight) in pixels.zip(&weights) {
                        let weight = weight * row_weight;
                        for (y, x) in ys.iter_mut().zip(xs) {
                            *y += weight * x;
                        }
                    }
                }
            }
            let done = rows.len - rows.after;
            let within = done.min(height - rows.start);
            if row_values == width * classes {
                visit(rows.start, &pending[..within * row_values])?;
            } else {
                let whole_rows = pending.chunks_exact(row_values).take(within);
                let within_photo = whole_rows.flat_map(|row| &row[..width * classes]);
                visit(rows.start, &within_photo.copied().collect::<Vec<f32>>())?;
            }
            pending.drain(..done * row_values);
        }
        Ok(())
    }
}

/// The classes of a network; one channel tells two apart.
fn classes_of<S: Segmenter + ?Sized>(model: &S) -> Result<usize, Error> {
    match model.num_classes() {
        1 => Ok(2),
        classes @ 2..=255 => Ok(classes),
        other => Err(Error::argument("classes", other, "1 to 255")),
    }
}

/// The index of the largest value, the first of equals.
pub(super) fn most_probable(pixel: &[f32]) -> usize {
    let mut best = 0;
    for (class, value) in pixel.iter().enumerate() {
        if *value > pixel[best] {
            best = class;
        }
    }
    best
}

/// A part of an image; what lies beyond its last row and column is like them.
fn crop(image: &Image, rows: &Span, columns: &Span) -> Result<Image, Error> {
    let [height, width, channels] = [image.height(), image.width(), image.channels()];
    if rows.len == height && columns.len == width {
        return Ok(image.clone());
    }
    let inside = columns.len.min(width - columns.start);
    let mut bytes = Vec::with_capacity(rows.len * columns.len * channels);
    for row in rows.start..rows.start + rows.len {
        let start = (row.min(height - 1) * width + columns.start) * channels;
        let of_photo = &image.bytes()[start..start + inside * channels];
        bytes.extend_from_slice(of_photo);
        for _ in inside..columns.len {
            bytes.extend_from_slice(&of_photo[(inside - 1) * channels..]);
        }
    }
    Ok(Image::from_pixels(rows.len, columns.len, channels, bytes)?)
}

/// Probabilities, averaged over scales and the mirrored image.
fn averaged<S: Segmenter + ?Sized>(
    model: &S,
    image: &Image,
    preprocessing: &Preprocessing,
    options: &SegmentOptions,
    classes: usize,
) -> Result<Vec<f32>, Error> {
    let [height, width] = [image.height(), image.width()];
    let passes_each = if options.mirror { 2 } else { 1 };
    let mut sum: Option<Vec<f32>> = None;
    for &scale in &options.scales {
        let scaled = |side: usize| {
            let steps = (side as f64 * scale / ALIGNMENT as f64).round() as usize;
            steps.max(1) * ALIGNMENT
        };
        let size = [scaled(height), scaled(width)];
        let resized = if size == [height, width] {
            image.clone()
        } else {
            resize(image, size[0], size[1], Interpolation::Bilinear)?
        };
        let input = normalize(resized, preprocessing)?;
        let shape = [input.height(), input.width(), input.channels()];
        let mut pixels = input.into_values();
        for is_mirrored in [false, true].into_iter().take(passes_each) {
            if is_mirrored {
                mirror_rows(&mut pixels, shape[1], shape[2]);
            }
            let logits = forward(model, &pixels, shape)?;
            let mut values = probabilities(&logits, [height, width], classes)?;
            if is_mirrored {
                mirror_rows(&mut values, width, classes);
            }
            match &mut sum {
                None => sum = Some(values),
                Some(sum) => {
                    for (total, value) in sum.iter_mut().zip(values) {
                        *total += value;
                    }
                }
            }
        }
    }
    let passes = options.scales.len() * passes_each;
    let mut mean = sum.unwrap_or_default();
    if passes > 1 {
        let share = 1. / passes as f32;
        mean.iter_mut().for_each(|value| *value *= share);
    }
    Ok(mean)
}

/// The logits of one input.
fn forward<S: Segmenter + ?Sized>(
    model: &S,
    pixels: &[f32],
    [height, width, channels]: [usize; 3],
) -> Result<FeatureMap, Error> {
    let tensor = Tensor::from_slice(pixels, (1, height, width, channels), &Device::Cpu)?;
    Ok(model.forward(&FeatureMap::from_nhwc(&tensor)?, &Context::eval())?)
}

/// Softmax over the classes, or the sigmoid of one channel, at the size `[height, width]`.
fn probabilities(logits: &FeatureMap, size: [usize; 2], classes: usize) -> Result<Vec<f32>, Error> {
    let logits = if [logits.height(), logits.width()] == size {
        logits.clone()
    } else {
        let bilinear = cnn_layers::Interpolation::Bilinear {
            align_corners: false,
        };
        Resize2d::new(ResizeTo::Size(size), bilinear).forward(logits, &Context::eval())?
    };
    let channels = logits.channels();
    let tensor = logits.to_nhwc().detach().to_dtype(DType::F32)?;
    let mut values: Vec<f32> = tensor.flatten_all()?.to_vec1()?;
    if let Some(value) = values.iter().find(|value| !value.is_finite()) {
        return Err(Error::argument("scores", value, "finite numbers"));
    }
    if channels == 1 {
        let both = |logit: f32| {
            let probability = 1. / (1. + (-logit).exp());
            [1. - probability, probability]
        };
        return Ok(values.into_iter().flat_map(both).collect());
    }
    values
        .par_chunks_exact_mut(classes)
        .with_min_len(4096)
        .for_each(softmax);
    Ok(values)
}

fn softmax(pixel: &mut [f32]) {
    let largest = pixel.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let mut sum = 0.;
    for value in pixel.iter_mut() {
        *value = (*value - largest).exp();
        sum += *value;
    }
    for value in pixel.iter_mut() {
        *value /= sum;
    }
}

/// Reverses the pixels of each row.
fn mirror_rows(values: &mut [f32], width: usize, channels: usize) {
    for row in values.chunks_exact_mut(width * channels) {
        for column in 0..width / 2 {
            for channel in 0..channels {
                let other = (width - 1 - column) * channels + channel;
                row.swap(column * channels + channel, other);
            }
        }
    }
}
