//! Losses whose value and gradient have closed formulas, as one operation of candle's graph.
//!
//! A loss reads the logits once for its value and once for its gradient, which is written at once:
//! beside it nothing of the logits' size is made, except where the loss keeps what it says. Logits
//! are cut into chunks whose size depends on the number of classes alone. What a loss sums, it sums
//! in f64 within each chunk and then over the chunks in their order, so that no result depends on
//! the number of threads.

use std::sync::OnceLock;

use candle_core::{CpuStorage, CustomOp1, DType, Layout, Result, Shape, Storage, Tensor};
use cnn_data::Mask;
use rayon::prelude::*;

use super::PixelTargets;
use super::real::Real;
use super::softmax::probabilities;
use crate::Error;

/// Logits of a chunk, and the least pixels of one.
const CHUNK_LOGITS: usize = 1 << 14;
const CHUNK_PIXELS: usize = 64;

/// A loss with closed formulas.
pub(super) trait ClosedForm: Clone + Send + Sync + 'static {
    /// What errors of candle call it.
    const NAME: &'static str;

    /// Checks the ranges of the settings.
    fn check(&self) -> std::result::Result<(), Error>;

    /// Checks that the settings fit logits of so many channels. Default: all do.
    fn check_channels(&self, _channels: usize) -> std::result::Result<(), Error> {
        Ok(())
    }

    /// The value, and what the gradient is made from.
    fn evaluate<T: Real>(&self, pixels: &Pixels<'_, T>) -> Evaluated<T>;
}

/// A loss's value and gradient.
pub(super) struct Evaluated<T> {
    pub(super) value: f64,
    /// Adds a multiple of the gradient of a chunk.
    pub(super) slope: Slope<T>,
    /// Whether the slope reads the chunk's probabilities.
    pub(super) reads_probabilities: bool,
}

impl<T> Evaluated<T> {
    /// 0 with a gradient of zeros, as where no pixel counts.
    pub(super) fn nothing() -> Self {
        Self {
            value: 0.,
            slope: Box::new(|_, _, _| ()),
            reads_probabilities: false,
        }
    }
}

/// Adds to the gradient of a chunk's logits that of the loss times a number.
pub(super) type Slope<T> = Box<dyn Fn(&Chunk<'_, T>, f64, &mut [T]) + Send + Sync>;

/// Logits of a batch, and the class of each pixel.
#[derive(Clone, Copy)]
pub(super) struct Pixels<'a, T> {
    /// `(N, H, W, K)`.
    pub(super) logits: &'a [T],
    /// `(N, H, W)`; every class is below the number of classes, or ignored.
    pub(super) masks: &'a [u8],
    /// `K`.
    pub(super) channels: usize,
    /// `H · W`.
    pub(super) image_pixels: usize,
}

/// Some consecutive pixels of one image.
#[derive(Clone, Copy)]
pub(super) struct Chunk<'a, T> {
    pub(super) logits: &'a [T],
    pub(super) masks: &'a [u8],
    pub(super) channels: usize,
    /// Pixels of the batch before this chunk.
    pub(super) first: usize,
    /// Softmax or sigmoid of the logits, where it was asked for, else empty.
    pub(super) probabilities: &'a [T],
}

impl<'a, T: Real> Pixels<'a, T> {
    /// How many pixels a chunk has at most.
    fn chunk_pixels(&self) -> usize {
        (CHUNK_LOGITS / self.channels).max(CHUNK_PIXELS)
    }

    /// Cuts values, of which each pixel has `per_pixel`, into those of each chunk.
    pub(super) fn cut<V>(
        &self,
        values: &'a [V],
        per_pixel: usize,
    ) -> impl Iterator<Item = &'a [V]> {
        let chunk = self.chunk_pixels() * per_pixel;
        values
            .chunks(self.image_pixels * per_pixel)
            .flat_map(move |image| image.chunks(chunk))
    }

    /// [`cut`](Self::cut) for values to be written.
    pub(super) fn cut_mut<'v, V>(
        &self,
        values: &'v mut [V],
        per_pixel: usize,
    ) -> impl Iterator<Item = &'v mut [V]> {
        let chunk = self.chunk_pixels() * per_pixel;
        values
            .chunks_mut(self.image_pixels * per_pixel)
            .flat_map(move |image| image.chunks_mut(chunk))
    }

    /// The chunks, without probabilities, in the order of the pixels.
    pub(super) fn chunks(&self) -> Vec<Chunk<'a, T>> {
        let mut first = 0;
        self.cut(self.logits, self.channels)
            .zip(self.cut(self.masks, 1))
            .map(|(logits, masks)| {
                let chunk = Chunk {
                    logits,
                    masks,
                    channels: self.channels,
                    first,
                    probabilities: &[],
                };
                first += masks.len();
                chunk
            })
            .collect()
    }

    /// Sums of `count` numbers over all chunks, to which `add` adds those of one. It may use the
    /// second argument as it likes.
    pub(super) fn sums(
        &self,
        count: usize,
        add: impl Fn(&Chunk<'_, T>, &mut Scratch<T>, &mut [f64]) + Sync,
    ) -> Vec<f64> {
        let of_chunks: Vec<Vec<f64>> = self
            .chunks()
            .into_par_iter()
            .map_init(Scratch::default, |scratch, chunk| {
                let mut sums = vec![0.; count];
                add(&chunk, scratch, &mut sums);
                sums
            })
            .collect();
        let mut totals = vec![0.; count];
        for sums in of_chunks {
            for (total, sum) in totals.iter_mut().zip(sums) {
                *total += sum;
            }
        }
        totals
    }

    /// The images one by one.
    pub(super) fn images(&self) -> impl Iterator<Item = Pixels<'a, T>> {
        let one = *self;
        self.logits
            .chunks(self.image_pixels * self.channels)
            .zip(self.masks.chunks(self.image_pixels))
            .map(move |(logits, masks)| Pixels {
                logits,
                masks,
                ..one
            })
    }
}

impl<T: Real> Chunk<'_, T> {
    /// The channel that should be high at a pixel of this class: none for class 0 of logits with
    /// one channel.
    pub(super) fn target(&self, class: u8) -> Option<usize> {
        if self.channels == 1 {
            (class == 1).then_some(0)
        } else {
            Some(usize::from(class))
        }
    }

    /// The place of each pixel that counts, with its class.
    pub(super) fn counted(&self) -> impl Iterator<Item = (usize, u8)> {
        let masks = self.masks.iter().copied().enumerate();
        masks.filter(|(_, class)| *class != Mask::IGNORE)
    }

    /// The places of a pixel's values among those of the chunk.
    pub(super) fn row(&self, pixel: usize) -> std::ops::Range<usize> {
        pixel * self.channels..(pixel + 1) * self.channels
    }
}

/// Memory that a thread uses again for the next chunk.
pub(super) struct Scratch<T> {
    values: [Vec<T>; 2],
    /// The largest logit of each pixel, after [`exponentials`](super::softmax::exponentials).
    pub(super) largest: Vec<T>,
}

impl<T> Default for Scratch<T> {
    fn default() -> Self {
        Self {
            values: [Vec::new(), Vec::new()],
            largest: Vec::new(),
        }
    }
}

impl<T: Real> Scratch<T> {
    /// Room for two values per logit, and for one per pixel that grows as needed.
    pub(super) fn room(&mut self, len: usize) -> (&mut [T], &mut [T], &mut Vec<T>) {
        let [first, second] = &mut self.values;
        first.resize(len, T::zero());
        second.resize(len, T::zero());
        (first, second, &mut self.largest)
    }
}

/// The number of classes that logits of so many channels tell apart.
pub(super) fn classes(channels: usize) -> usize {
    channels.max(2)
}

/// The loss as a scalar of the logits' element type.
pub(super) fn apply<L: ClosedForm>(
    loss: &L,
    logits: &Tensor,
    targets: &PixelTargets,
) -> std::result::Result<Tensor, Error> {
    let [images, height, width] = targets.dims();
    let &[.., channels] = logits.dims() else {
        return Err(shape_fault(
            logits,
            "shape (images, height, width, channels)",
        ));
    };
    if logits.dims() != [images, height, width, channels] || logits.elem_count() == 0 {
        let expected = format!(
            "shape ({images}, {height}, {width}, channels), the masks' with a number per class, \
             not empty"
        );
        return Err(shape_fault(logits, expected));
    }
    let pixels = images * height * width;
    if u32::try_from(pixels).is_err() {
        let expected = format!("at most {}, as they are numbered in 32 bits", u32::MAX);
        return Err(Error::argument(
            "masks",
            format!("{pixels} pixels"),
            expected,
        ));
    }
    loss.check()?;
    loss.check_channels(channels)?;
    targets.check(classes(channels))?;
    let logits = logits.contiguous()?;
    Ok(match logits.dtype() {
        DType::F32 => logits.apply_op1(Operation::<f32, L>::new(loss, targets))?,
        DType::F64 => logits.apply_op1(Operation::<f64, L>::new(loss, targets))?,
        other => return Err(Error::argument("logits", other.as_str(), "f32 or f64")),
    })
}

fn shape_fault(logits: &Tensor, expected: impl Into<String>) -> Error {
    Error::argument("logits", format!("shape {:?}", logits.dims()), expected)
}

/// A loss in candle's graph.
struct Operation<T, L> {
    loss: L,
    targets: PixelTargets,
    /// Of the forward pass, for the backward one.
    evaluated: OnceLock<Evaluated<T>>,
}

impl<T: Real, L: ClosedForm> Operation<T, L> {
    fn new(loss: &L, targets: &PixelTargets) -> Self {
        Self {
            loss: loss.clone(),
            targets: targets.clone(),
            evaluated: OnceLock::new(),
        }
    }

    /// Calls a function with the pixels.
    fn with_pixels<R>(
        &self,
        storage: &CpuStorage,
        layout: &Layout,
        body: impl FnOnce(&Pixels<'_, T>) -> R,
    ) -> Result<R> {
        let Some((start, end)) = layout.contiguous_offsets() else {
            return Err(candle_core::Error::RequiresContiguous { op: L::NAME });
        };
        let (_, height, width, channels) = layout.shape().dims4()?;
        let logits = &T::cpu_storage_as_slice(storage)?[start..end];
        self.targets.with_bytes(|masks| {
            body(&Pixels {
                logits,
                masks,
                channels,
                image_pixels: height * width,
            })
        })
    }

    fn gradient(evaluated: &Evaluated<T>, pixels: &Pixels<'_, T>, scale: f64) -> Vec<T> {
        let mut gradient = vec![T::zero(); pixels.logits.len()];
        let parts = pixels.cut_mut(&mut gradient, pixels.channels);
        let tasks: Vec<_> = pixels.chunks().into_iter().zip(parts).collect();
        tasks
            .into_par_iter()
            .for_each_init(Scratch::default, |scratch, (chunk, gradient)| {
                let (room, _, largest) = scratch.room(chunk.logits.len());
                let mut chunk = chunk;
                if evaluated.reads_probabilities {
                    probabilities(chunk.logits, chunk.channels, room, largest);
                    chunk.probabilities = room;
                }
                (evaluated.slope)(&chunk, scale, gradient);
            });
        gradient
    }
}

impl<T: Real, L: ClosedForm> CustomOp1 for Operation<T, L> {
    fn name(&self) -> &'static str {
        L::NAME
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let evaluated = self.with_pixels(storage, layout, |pixels| self.loss.evaluate(pixels))?;
        let value = T::from_f64(evaluated.value);
        // The forward pass of an operation runs once.
        let _ = self.evaluated.set(evaluated);
        Ok((T::to_cpu_storage_owned(vec![value]), Shape::from(())))
    }

    fn bwd(&self, logits: &Tensor, _loss: &Tensor, upstream: &Tensor) -> Result<Option<Tensor>> {
        let Some(evaluated) = self.evaluated.get() else {
            candle_core::bail!("{}: a backward pass before the forward pass", L::NAME);
        };
        let scale = upstream.to_dtype(DType::F64)?.to_scalar::<f64>()?;
        let (storage, layout) = logits.storage_and_layout();
        let Storage::Cpu(storage) = &*storage else {
            candle_core::bail!("{}: expected logits on the CPU", L::NAME);
        };
        let gradient = self.with_pixels(storage, layout, |pixels| {
            Self::gradient(evaluated, pixels, scale)
        })?;
        let gradient = Tensor::from_vec(gradient, logits.dims(), logits.device())?;
        Ok(Some(gradient))
    }
}
