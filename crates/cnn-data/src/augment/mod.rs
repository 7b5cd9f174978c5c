//! Changing samples at random while a network learns from them.
//!
//! A [`Transform`] changes one [`Sample`](crate::Sample), image, boxes and mask together;
//! [`Augmentation`] is a list of them. [`BatchMix`] mixes the images of a whole batch.

mod arguments;
mod augmentation;
mod batch_mix;
mod beta;
mod class_crop;
mod color;
mod color_jitter;
mod cutmix;
mod elastic_deformation;
mod geometry;
mod hsv_jitter;
mod mixing;
mod mixup;
mod mosaic;
mod object_mixup;
mod partner;
mod photometric_distortion;
mod random_affine;
mod random_crop;
mod random_erasing;
mod random_horizontal_flip;
mod random_iou_crop;
mod random_resized_crop;
mod random_rotation;
mod random_vertical_flip;
mod random_zoom_out;
mod resize;
mod transform;
mod warp;

pub use augmentation::Augmentation;
pub use batch_mix::BatchMix;
pub use class_crop::ClassCrop;
pub use color_jitter::ColorJitter;
pub use cutmix::CutMix;
pub use elastic_deformation::ElasticDeformation;
pub use hsv_jitter::HsvJitter;
pub use mixing::Mixing;
pub use mixup::Mixup;
pub use mosaic::Mosaic;
pub use object_mixup::ObjectMixup;
pub use photometric_distortion::PhotometricDistortion;
pub use random_affine::RandomAffine;
pub use random_crop::RandomCrop;
pub use random_erasing::{EraseFill, RandomErasing};
pub use random_horizontal_flip::RandomHorizontalFlip;
pub use random_iou_crop::RandomIouCrop;
pub use random_resized_crop::RandomResizedCrop;
pub use random_rotation::RandomRotation;
pub use random_vertical_flip::RandomVerticalFlip;
pub use random_zoom_out::RandomZoomOut;
pub use resize::Resize;
pub use transform::Transform;
