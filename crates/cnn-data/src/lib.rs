//! Image datasets, strict decoding and preprocessing for convolutional networks.
//!
//! - [`decode()`], [`open_image`]: JPEG, PNG, BMP, GIF and WebP to an [`Image`], as Pillow decodes
//!   them but strict and within [`Limits`];
//! - [`resize`], [`preprocess`]: timm's evaluation transform to a [`FloatImage`];
//! - [`Dataset`], [`open_dataset`]: [`ImageFolder`], [`IdxImages`], [`CifarImages`], [`ParquetImages`],
//!   [`CsvImages`], [`WebDataset`], [`MaskedImages`], [`CocoImages`], [`BoxedImages`], [`PhotoList`];
//! - [`AnnotatedObject`], [`Dataset::objects`]: what files say of objects, for measuring a detector;
//!   [`export_boxes`]: datasets written as Pascal VOC, COCO and YOLO; [`read_predictions`],
//!   [`write_predictions`]: predicted boxes in COCO's JSON;
//! - [`MaskClasses`], [`CocoAnnotations`], [`VocAnnotation`], [`YoloLabels`], [`YoloData`]: what
//!   single files say of masks and boxes; [`MaskPalette`],
//!   [`MaskOverlay`]: masks as PNG files and over their photos;
//! - [`BatchPlan`], [`Batches`]: a [`Batch`] of images `(N, H, W, C)` with labels, boxes, masks
//!   and the way back to the photos, decoded in parallel and ahead, in the same order at any number
//!   of threads; [`Batch::of_images`] makes one of photos for a prediction;
//! - [`Shapes`]: a procedural dataset with classes, boxes and masks; [`contact_sheet`] to look at
//!   any images;
//! - [`Augmentation`], [`Transform`], [`BatchMix`]: random changes of image, [`BoundingBox`]es and
//!   [`Mask`] together, by one [`Affine`] map, and of whole batches;
//! - [`survey()`]: what is in a folder;
//! - [`imagenet_class_names`].
//!
//! | feature | what it adds |
//! |---|---|
//! | `tensors` | [`Batch`], [`BatchPlan`], [`Batches`]: batches as candle tensors, which bring candle |
//! | `parquet` | [`ParquetImages`]: datasets in parquet files; without it [`open_dataset`] names the feature |
//! | `pickle` | [`CifarImages`] of CIFAR's Python files, which are pickles; without it [`open_dataset`] names the feature |
//!
//! None is on by default.
//!
//! # Classes, boxes and masks
//!
//! There is one convention, and readers of file formats convert to it:
//!
//! - a class number is an index from 0 into a list of names: [`Dataset::classes`] for labels and
//!   boxes, [`Dataset::mask_classes`] for the values of masks;
//! - the value 255 of a mask, [`Mask::IGNORE`], is no class: losses and metrics leave such pixels
//!   out;
//! - a box is `x_min`, `y_min`, `x_max`, `y_max` in pixels, and coordinates are edges of pixels:
//!   the left edge of the first column is 0. Pascal VOC's pixels count from 1 and belong to the box at
//!   both ends, so its box is `x_min − 1`, `y_min − 1`, `x_max`, `y_max`; COCO's numbers of categories
//!   have gaps, which are closed in the order of the numbers; YOLO's shares become pixels.
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
//! assert_eq!(
//!     (input.height(), input.width(), input.channels()),
//!     (224, 224, 3)
//! );
//! # Ok::<(), cnn_data::Error>(())
//! ```
//!
//! # Its neighbours
//!
//! It uses `cnn-core`; `cnn-train` trains on its batches, and `cnn-viz` lays maps over its photos.
//! [All crates](https://github.com/cnn-rs/cnn/blob/main/docs/crates.md) are on one page.
//!
//! # In your project
//!
//! A debug build of a project that depends on this crate is slow unless its dependencies are
//! optimised: build with `--release`, or add to the workspace's `Cargo.toml`
//!
//! ```toml
//! [profile.dev.package."*"]
//! opt-level = 3
//! debug-assertions = false
//! overflow-checks = false
//! ```
//!
//! [Use it in your project](https://github.com/cnn-rs/cnn/blob/main/docs/use-in-your-project.md)
//! has the dependencies and the figures.

#![forbid(unsafe_code)]

mod annotation;
mod augment;
#[cfg(feature = "tensors")]
mod batch;
#[cfg(feature = "tensors")]
mod batches;
mod dataset;
mod error;
mod export;
mod image;
mod imagenet;
mod shapes;
mod survey;
mod transform;

pub use annotation::{
    Affine, AnnotatedObject, BoundingBox, Mask, MaskFault, MaskOverlay, MaskPalette, Origin,
};
pub use augment::{
    Augmentation, BatchMix, ClassCrop, ColorJitter, CutMix, ElasticDeformation, EraseFill,
    GaussianNoise, HsvJitter, Mixing, Mixup, Mosaic, ObjectMixup, PhotometricDistortion,
    RandomAffine, RandomCrop, RandomErasing, RandomHorizontalFlip, RandomIouCrop,
    RandomResizedCrop, RandomRotation, RandomVerticalFlip, RandomZoomOut, Resize, Transform,
};
#[cfg(feature = "tensors")]
pub use batch::Batch;
#[cfg(feature = "tensors")]
pub use batches::{BatchPlan, Batches};
#[cfg(feature = "parquet")]
pub use dataset::ParquetImages;
pub use dataset::{
    BoxedImages, CachedDataset, CifarImages, ClassSubset, CocoAnnotations, CocoImages, Content,
    CsvImages, Dataset, DatasetFormat, FoundDataset, IdxArray, IdxImages, ImageFolder, LabelRow,
    LabelTable, MaskClasses, MaskedImages, PhotoList, PredictedBox, Sample, Skipped, Split, Subset,
    VocAnnotation, WebDataset, YoloData, YoloLabels, duplicates_across, open_dataset,
    parse_predictions, read_predictions, spread, stratified_split, write_predictions,
};
pub use error::Error;
pub use export::{BoxFormat, Exported, export_boxes};
pub use image::{
    ColorModel, Decoded, FileFormat, Image, ImageInfo, Limits, contact_sheet, decode,
    decode_with_limits, open_image,
};
pub use imagenet::{imagenet_class_names, imagenet_synsets};
pub use shapes::{Shapes, ShapesConfig, ShapesDomain};
pub use survey::{
    BoxClassCount, BoxSizes, BoxSurvey, ChannelStatistics, ClassCount, DuplicateGroup, KindCount,
    Location, MaskClassCount, MaskSurvey, Quantiles, Range, Sizes, SplitSurvey, Survey, survey,
    survey_found, survey_parts,
};
pub use transform::{
    FloatImage, InputPlacement, input_placement, normalize, preprocess, preprocess_mask, resize,
    resize_and_crop, resize_mask,
};
