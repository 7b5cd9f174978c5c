//! What a survey remembers of one sample.

use super::mask_counts::MaskCounts;
use super::moments::Moments;
use crate::{AnnotatedObject, ColorModel, Dataset, Error, FileFormat, Skipped};

/// Facts of one sample, broken or not.
pub(super) struct SampleFacts {
    pub(super) index: usize,
    pub(super) label: Option<usize>,
    /// SHA-256 of the stored bytes; `None` if they cannot be read.
    pub(super) sha256: Option<[u8; 32]>,
    pub(super) image: Result<ImageFacts, Skipped>,
}

/// Facts of a readable image.
pub(super) struct ImageFacts {
    pub(super) height: usize,
    pub(super) width: usize,
    pub(super) kind: (Option<FileFormat>, ColorModel, u8),
    pub(super) moments: Moments,
    pub(super) mask: Option<MaskCounts>,
    /// `None` in a dataset without boxes.
    pub(super) objects: Option<Vec<AnnotatedObject>>,
}

impl SampleFacts {
    pub(super) fn of(dataset: &dyn Dataset, index: usize) -> Self {
        let content = dataset.content(index);
        let sha256 = content.as_ref().ok().map(|content| content.sha256());
        let facts = content.and_then(|content| {
            let (image, info) = content.into_image_and_info()?;
            let bare = || {
                (
                    None,
                    if image.channels() == 1 {
                        ColorModel::Grey
                    } else {
                        ColorModel::Rgb
                    },
                    8,
                )
            };
            let has_masks = !dataset.mask_classes().is_empty();
            let sample = has_masks.then(|| dataset.read(index)).transpose()?;
            let mask = sample.and_then(|sample| sample.mask);
            let objects = dataset.has_boxes().then(|| dataset.objects(index));
            Ok(ImageFacts {
                height: image.height(),
                width: image.width(),
                kind: info.map_or_else(bare, |info| (Some(info.format), info.color, info.bits)),
                moments: Moments::of(&image),
                mask: mask.as_ref().map(MaskCounts::of),
                objects: objects.transpose()?,
            })
        });
        let image = facts.map_err(|error: Error| Skipped::new(dataset.id(index), &error));
        Self {
            index,
            label: dataset.label(index),
            sha256,
            image,
        }
    }
}
