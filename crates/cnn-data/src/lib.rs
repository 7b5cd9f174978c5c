//! Image datasets, strict decoding and preprocessing for convolutional networks.
//!
//! - [`decode()`], [`open_image`]: JPEG, PNG, BMP, GIF and WebP to an [`Image`], as Pillow decodes them but strict and
//!   within [`Limits`];
//! - [`resize`], [`preprocess`]: timm's evaluation transform to a [`FloatImage`];
//! - [`Dataset`], [`open_dataset`]: [`ImageFolder`], [`IdxImages`], [`ParquetImages`], [`PhotoList`];
//! - [`BatchPlan`], [`Batches`]: tensors `(N, H, W, C)`, decoded in parallel and ahead, in the same order at any number
//!   of threads;
//! - [`Shapes`]: a procedural dataset with classes, boxes and masks; [`contact_sheet`] to look at any images;
//! - [`Augmentation`], [`Transform`], [`BatchMix`]: random changes of image, [`BoundingBox`]es and [`Mask`] together, and
//!   of whole batches;
//! - [`survey()`]: what is in a folder;
//! - [`imagenet_class_names`].
//!
//! ```
//! use cnn_core::Preprocessing;
//! use cnn_data::{Image, preprocess, resize};
//!
//! let grey = Image::from_pixels(2, 3, 1, vec![0, 50, 100, 150, 200, 250])?;
//! let larger = resize(&grey, 4, 6, cnn_core::Interpolation::Nearest)?;
//! assert_eq!(larger.bytes()[..6], [0, 0, 50, 50, 100, 100]);
//!
//! let input = preprocess(&grey, &Preprocessing::default())?;
//! assert_eq!((input.height(), input.width(), input.channels()), (224, 224, 3));
//! # Ok::<(), cnn_data::Error>(())
//! ```

#![forbid(unsafe_code)]

mod annotation;
mod augment;
mod batches;
mod dataset;
mod error;
mod image;
mod imagenet;
mod shapes;
mod survey;
mod transform;

pub use annotation::{BoundingBox, Mask};
pub use augment::{
    Augmentation, BatchMix, ColorJitter, CutMix, EraseFill, Mixing, Mixup, RandomAffine, RandomCrop, RandomErasing,
    RandomHorizontalFlip, RandomResizedCrop, RandomRotation, RandomVerticalFlip, Resize, Transform,
};
pub use batches::{Batch, BatchPlan, Batches};
pub use dataset::{
    CachedDataset, Content, Dataset, DatasetFormat, IdxArray, IdxImages, ImageFolder, ParquetImages, PhotoList,
    RecurringFolders, Sample, Skipped, Split, Subset, dataset_splits, duplicates_across, open_dataset,
    recurring_folders, stratified_split,
};
pub use error::Error;
pub use image::{
    ColorModel, Decoded, FileFormat, Image, ImageInfo, Limits, contact_sheet, decode, decode_with_limits, open_image,
};
pub use imagenet::imagenet_class_names;
pub use shapes::{Shapes, ShapesConfig, ShapesDomain};
pub use survey::{
    ChannelStatistics, ClassCount, DuplicateGroup, KindCount, Location, Range, Sizes, SplitSurvey, Survey, survey,
    survey_parts,
};
pub use transform::{FloatImage, InputPlacement, input_placement, normalize, preprocess, resize};
