//! What the logits of pixels should say.

use candle_core::{DType, Device, Storage, Tensor, WithDType};
use cnn_data::Mask;
use rayon::prelude::*;

use crate::Error;

/// Bytes that one thread looks at at a time.
const CHUNK: usize = 1 << 16;

/// The class of every pixel of a batch: an index from 0, and 255 ([`Mask::IGNORE`]) for a pixel
/// that does not count.
///
/// For logits with one channel class 1 is what the channel tells from class 0.
///
/// ```
/// use candle_core::{Device, Tensor};
/// use cnn_train::PixelTargets;
///
/// // One image of two rows and three columns; the last pixel is ignored.
/// let masks = Tensor::new(&[[[0u8, 1, 1], [2, 0, 255]]], &Device::Cpu)?;
/// let targets = PixelTargets::new(&masks)?;
/// assert_eq!(targets.dims(), [1, 2, 3]);
/// assert_eq!(targets.counted()?.sum_all()?.to_scalar::<f32>()?, 5.);
/// # Ok::<(), cnn_train::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct PixelTargets {
    /// Contiguous, on the CPU, in u8.
    masks: Tensor,
    dims: [usize; 3],
}

impl PixelTargets {
    /// From masks as [`Batch::masks`](cnn_data::Batch::masks) has them.
    ///
    /// # Shapes
    /// `(N, H, W)` in u8.
    ///
    /// # Errors
    /// [`Error::Argument`] if the shape or the element type is another.
    pub fn new(masks: &Tensor) -> Result<Self, Error> {
        let &[images, height, width] = masks.dims() else {
            return Err(Error::argument(
                "masks",
                format!("shape {:?}", masks.dims()),
                "shape (images, height, width)",
            ));
        };
        if masks.dtype() != DType::U8 {
            return Err(Error::argument("masks", masks.dtype().as_str(), "u8"));
        }
        Ok(Self {
            masks: masks.to_device(&Device::Cpu)?.contiguous()?,
            dims: [images, height, width],
        })
    }

    /// The number of images, their height and their width.
    pub fn dims(&self) -> [usize; 3] {
        self.dims
    }

    /// The class of every pixel, `(N, H, W)` in u8.
    pub fn masks(&self) -> &Tensor {
        &self.masks
    }

    /// 1 for each pixel that counts and 0 for each that is ignored: `(N, H, W)` in f32.
    ///
    /// # Errors
    /// If candle reports one.
    pub fn counted(&self) -> Result<Tensor, Error> {
        Ok(self.masks.ne(Mask::IGNORE)?.to_dtype(DType::F32)?)
    }

    /// A distribution for each pixel, `(N, H, W, K)` in f32: 1 at its class and 0 elsewhere; 0
    /// everywhere for a pixel that is ignored.
    ///
    /// # Errors
    /// [`Error::Argument`] for a class beyond `classes`.
    pub fn distributions(&self, classes: usize) -> Result<Tensor, Error> {
        self.check(classes)?;
        let [images, height, width] = self.dims;
        let mut values = vec![0f32; images * height * width * classes];
        self.with_bytes(|bytes| {
            for (row, &class) in values.chunks_exact_mut(classes.max(1)).zip(bytes) {
                if class != Mask::IGNORE {
                    row[usize::from(class)] = 1.;
                }
            }
        })?;
        Ok(Tensor::from_vec(
            values,
            (images, height, width, classes),
            &Device::Cpu,
        )?)
    }

    /// Fails with the first class that is not below `classes`.
    pub(super) fn check(&self, classes: usize) -> Result<(), Error> {
        let is_beyond = |class: u8| class != Mask::IGNORE && usize::from(class) >= classes;
        let beyond = self.with_bytes(|bytes| {
            // The largest of a chunk, as that needs no branch for each byte.
            let largest = |chunk: &[u8]| {
                let counted = |&class: &u8| if class == Mask::IGNORE { 0 } else { class };
                chunk.iter().map(counted).max().unwrap_or(0)
            };
            let is_suspect = bytes
                .par_chunks(CHUNK)
                .any(|chunk| is_beyond(largest(chunk)));
            let first = || bytes.iter().copied().find(|&class| is_beyond(class));
            is_suspect.then(first).flatten()
        })?;
        match beyond {
            Some(class) => Err(Error::argument(
                "masks",
                format!("class {class}"),
                format!(
                    "classes below {classes}, or {} where a pixel is ignored",
                    Mask::IGNORE
                ),
            )),
            None => Ok(()),
        }
    }

    /// Calls a function with the class of every pixel in the order image, row, column.
    pub(super) fn with_bytes<R>(&self, read: impl FnOnce(&[u8]) -> R) -> candle_core::Result<R> {
        let (storage, layout) = self.masks.storage_and_layout();
        let Storage::Cpu(storage) = &*storage else {
            candle_core::bail!("masks: expected them on the CPU");
        };
        let bytes = u8::cpu_storage_as_slice(storage)?;
        let start = layout.start_offset();
        Ok(read(&bytes[start..start + layout.shape().elem_count()]))
    }
}
