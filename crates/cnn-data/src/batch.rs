//! Some samples as the tensors that a network reads.

use candle_core::{Device, Tensor};
use cnn_core::Preprocessing;
use rayon::iter::{IndexedParallelIterator, IntoParallelIterator, ParallelIterator};

use crate::{
    Affine, BoundingBox, Error, FloatImage, Image, Mask, Mixing, Origin, Sample, Skipped,
    input_placement, normalize, preprocess, preprocess_mask,
};

/// Some samples as tensors, and what is known about each.
///
/// Boxes and masks are in pixels of the network's input: they went through the augmentation and the
/// preprocessing together with the image. [`Batch::origins`] brings boxes back to the photo.
/// Classes are counted as [`Dataset`](crate::Dataset) says: from 0, and 255 in a mask is ignored.
///
/// ```
/// use cnn_core::Preprocessing;
/// use cnn_data::{Batch, BoundingBox, Image, Sample};
///
/// let photo = Image::from_pixels(40, 80, 3, vec![90; 40 * 80 * 3])?;
/// let object = BoundingBox::new([10.0, 20.0, 50.0, 30.0], 7);
/// let sample = Sample::new(photo, None).with_boxes(vec![object]);
///
/// // The short side becomes 20 pixels; of the 40 columns the central 20 stay.
/// let record = Preprocessing {
///     input_size: [3, 20, 20],
///     crop_pct: 1.0,
///     ..Preprocessing::default()
/// };
/// let batch = Batch::of_samples(vec![sample], &record)?;
/// assert_eq!(batch.images.dims(), [1, 20, 20, 3]);
/// let seen = batch.boxes[0][0];
/// assert_eq!(seen.edges(), [0.0, 10.0, 15.0, 15.0]);
/// assert_eq!(
///     batch.origins[0].to_photo(&seen).edges(),
///     [20.0, 20.0, 50.0, 30.0]
/// );
/// # Ok::<(), cnn_data::Error>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Batch {
    /// The preprocessed images, `(N, H, W, C)` in f32 on the CPU.
    pub images: Tensor,
    /// The class of each image.
    pub labels: Vec<Option<usize>>,
    /// The objects in each image, in pixels of the input.
    ///
    /// A box is cut at the input's edges, and left out where too little of it remains, by the rule
    /// of [`BoundingBox::placed`].
    pub boxes: Vec<Vec<BoundingBox>>,
    /// The regions of each image where it is unknown what is right, in pixels of the input: crowds
    /// and difficult objects. They follow the rule of the boxes.
    pub ignored: Vec<Vec<BoundingBox>>,
    /// The class of every pixel, `(N, H, W)` in u8 on the CPU; 255 is ignored.
    ///
    /// The values were resized to the nearest pixel, and are 255 where the input was filled.
    /// `None` if the dataset names no [classes of masks](crate::Dataset::mask_classes) and no image
    /// of the batch has a mask. Otherwise an image without a mask has 255 everywhere.
    pub masks: Option<Tensor>,
    /// The photo that each image was made from: its size, and the way back to its pixels.
    pub origins: Vec<Origin>,
    /// The number of each image in the dataset.
    pub indices: Vec<usize>,
    /// How the images were mixed with each other, where the plan asked for it.
    ///
    /// Labels, boxes and masks are those of each image before it was mixed.
    pub mixing: Option<Mixing>,
    /// The samples of this batch that could not be read and are not in it.
    pub skipped: Vec<Skipped>,
}

impl Batch {
    /// The inputs that `record` makes of images, in their order: what a network predicts from.
    ///
    /// No label, box or mask is known of them; their numbers count from 0. The images are prepared
    /// in parallel.
    ///
    /// # Errors
    ///
    /// As [`preprocess`].
    ///
    /// ```
    /// use cnn_core::Preprocessing;
    /// use cnn_data::{Batch, Image};
    ///
    /// let photos = [
    ///     Image::from_pixels(30, 40, 3, vec![9; 3600])?,
    ///     Image::from_pixels(9, 7, 1, vec![9; 63])?,
    /// ];
    /// let batch = Batch::of_images(&photos, &Preprocessing::default())?;
    /// assert_eq!(batch.images.dims(), [2, 224, 224, 3]);
    /// assert_eq!(
    ///     (batch.origins[0].height(), batch.origins[0].width()),
    ///     (30, 40)
    /// );
    /// # Ok::<(), cnn_data::Error>(())
    /// ```
    pub fn of_images(images: &[Image], record: &Preprocessing) -> Result<Self, Error> {
        Self::of(images, record, |image| Input::of_image(image, record))
    }

    /// The inputs that `record` makes of samples, in their order; their numbers count from 0.
    ///
    /// The samples are prepared in parallel.
    ///
    /// # Errors
    ///
    /// As [`preprocess`], and [`Error::Argument`] if a mask is not of its image's size.
    pub fn of_samples(samples: Vec<Sample>, record: &Preprocessing) -> Result<Self, Error> {
        Self::of(samples, record, |sample| {
            Input::preprocessed(sample, record)
        })
    }

    fn of<T: Send>(
        items: impl IntoParallelIterator<Item = T, Iter: IndexedParallelIterator>,
        record: &Preprocessing,
        prepare: impl Fn(T) -> Result<Input, Error> + Send + Sync,
    ) -> Result<Self, Error> {
        check_record(record)?;
        let inputs: Vec<Result<Input, Error>> = items.into_par_iter().map(prepare).collect();
        let mut collation = Collation::new(record, inputs.len());
        for (index, input) in inputs.into_iter().enumerate() {
            collation.push(index, input?);
        }
        collation.finish(false)
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.indices.len()
    }

    /// Whether there are no images.
    pub fn is_empty(&self) -> bool {
        self.indices.is_empty()
    }
}

/// Fails with what the preprocessing record is to blame for, which would otherwise be said of every
/// image.
pub(crate) fn check_record(record: &Preprocessing) -> Result<(), Error> {
    preprocess(&Image::from_pixels(1, 1, 1, vec![0])?, record).map(|_| ())
}

/// A sample as a network's input.
pub(crate) struct Input {
    image: FloatImage,
    label: Option<usize>,
    boxes: Vec<BoundingBox>,
    ignored: Vec<BoundingBox>,
    mask: Option<Mask>,
    origin: Origin,
}

impl Input {
    fn of_image(image: &Image, record: &Preprocessing) -> Result<Self, Error> {
        let size = [image.height(), image.width()];
        let origin = Origin::new(size[0], size[1]);
        Ok(Self {
            image: preprocess(image, record)?,
            label: None,
            boxes: Vec::new(),
            ignored: Vec::new(),
            mask: None,
            origin: origin.then(&input_placement(size, record)?.map()),
        })
    }

    /// A sample of any size, resized and cut as `record` asks.
    pub(crate) fn preprocessed(sample: Sample, record: &Preprocessing) -> Result<Self, Error> {
        let sample = checked(sample)?;
        let height = sample.image.height();
        let width = sample.image.width();
        let map = input_placement([height, width], record)?.map();
        let place = |whole: &BoundingBox| {
            // Of what a box claims beyond the photo, nothing may come into the filled border.
            let within = whole.clip(height, width);
            within.placed(&map, record.height(), record.width())
        };
        Ok(Self {
            image: preprocess(&sample.image, record)?,
            label: sample.label,
            boxes: sample.boxes.iter().filter_map(place).collect(),
            ignored: sample.ignored.iter().filter_map(place).collect(),
            mask: sample
                .mask
                .map(|mask| preprocess_mask(mask, record))
                .transpose()?,
            origin: sample.origin.then(&map),
        })
    }

    /// A sample that has the input's size already.
    pub(crate) fn normalized(sample: Sample, record: &Preprocessing) -> Result<Self, Error> {
        let sample = checked(sample)?.transformed(&Affine::IDENTITY, Ok, Ok)?;
        Ok(Self {
            image: normalize(sample.image, record)?,
            label: sample.label,
            boxes: sample.boxes,
            ignored: sample.ignored,
            mask: sample.mask,
            origin: sample.origin,
        })
    }
}

/// The sample, if its mask, which anybody may have set, has the image's size.
fn checked(mut sample: Sample) -> Result<Sample, Error> {
    match sample.mask.take() {
        None => Ok(sample),
        Some(mask) => sample.with_mask(mask),
    }
}

/// Inputs that are put together into a batch.
pub(crate) struct Collation<'a> {
    record: &'a Preprocessing,
    values: Vec<f32>,
    labels: Vec<Option<usize>>,
    boxes: Vec<Vec<BoundingBox>>,
    ignored: Vec<Vec<BoundingBox>>,
    masks: Vec<Option<Mask>>,
    origins: Vec<Origin>,
    indices: Vec<usize>,
    mixing: Option<Mixing>,
    skipped: Vec<Skipped>,
}

impl<'a> Collation<'a> {
    /// Nothing yet, with room for `count` inputs of the size that `record` says.
    pub(crate) fn new(record: &'a Preprocessing, count: usize) -> Self {
        let len = record.input_size.iter().product::<usize>() * count;
        Self {
            record,
            values: Vec::with_capacity(len),
            labels: Vec::with_capacity(count),
            boxes: Vec::with_capacity(count),
            ignored: Vec::with_capacity(count),
            masks: Vec::with_capacity(count),
            origins: Vec::with_capacity(count),
            indices: Vec::with_capacity(count),
            mixing: None,
            skipped: Vec::new(),
        }
    }

    pub(crate) fn push(&mut self, index: usize, input: Input) {
        self.values.extend_from_slice(input.image.values());
        self.labels.push(input.label);
        self.boxes.push(input.boxes);
        self.ignored.push(input.ignored);
        self.masks.push(input.mask);
        self.origins.push(input.origin);
        self.indices.push(index);
    }

    pub(crate) fn skip(&mut self, skipped: Skipped) {
        self.skipped.push(skipped);
    }

    /// Mixes the images, of which `mix` gets the values and their dimensions `(N, H, W, C)`; not
    /// where there are none.
    pub(crate) fn mix(
        &mut self,
        mix: impl FnOnce(&mut [f32], [usize; 4]) -> Result<Mixing, Error>,
    ) -> Result<(), Error> {
        if !self.indices.is_empty() {
            let [channels, height, width] = self.record.input_size;
            let dims = [self.indices.len(), height, width, channels];
            self.mixing = Some(mix(&mut self.values, dims)?);
        }
        Ok(())
    }

    /// The batch; `has_masks` says that it has masks even if none of its inputs has one.
    pub(crate) fn finish(self, has_masks: bool) -> Result<Batch, Error> {
        let [channels, height, width] = self.record.input_size;
        let count = self.indices.len();
        let images = Tensor::from_vec(self.values, (count, height, width, channels), &Device::Cpu)?;
        let masks = if has_masks || self.masks.iter().any(Option::is_some) {
            let mut classes = Vec::with_capacity(count * height * width);
            for mask in self.masks {
                match mask {
                    Some(mask) => classes.extend_from_slice(mask.bytes()),
                    None => classes.resize(classes.len() + height * width, Mask::IGNORE),
                }
            }
            Some(Tensor::from_vec(
                classes,
                (count, height, width),
                &Device::Cpu,
            )?)
        } else {
            None
        };
        Ok(Batch {
            images,
            labels: self.labels,
            boxes: self.boxes,
            ignored: self.ignored,
            masks,
            origins: self.origins,
            indices: self.indices,
            mixing: self.mixing,
            skipped: self.skipped,
        })
    }
}
