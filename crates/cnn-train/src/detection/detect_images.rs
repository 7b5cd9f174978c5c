//! The objects in photos.

use cnn_core::Preprocessing;
use cnn_data::{Batch, BoundingBox, Image, Origin};
use cnn_layers::{Context, DetectedObject, DetectionLimits, Detector, FeatureMap};

use crate::Error;

/// Images at a time, which bounds the memory.
const BATCH: usize = 8;

/// The objects in photos, for every [`Detector`].
pub trait DetectImages {
    /// For each photo the objects in it, by score, in the photo's own pixels. Boxes may go beyond
    /// its edges, as the network says them. The photos may be of any size: `preprocessing` says what
    /// the network takes.
    ///
    /// # Errors
    /// [`Error::Data`] if a photo cannot be prepared, [`Error::Layer`] if the inputs do not fit the
    /// network or a limit is out of its range.
    fn detect_images(
        &self,
        images: &[Image],
        preprocessing: &Preprocessing,
        limits: &DetectionLimits,
    ) -> Result<Vec<Vec<DetectedObject>>, Error>;
}

impl<D: Detector + ?Sized> DetectImages for D {
    fn detect_images(
        &self,
        images: &[Image],
        preprocessing: &Preprocessing,
        limits: &DetectionLimits,
    ) -> Result<Vec<Vec<DetectedObject>>, Error> {
        let mut found = Vec::with_capacity(images.len());
        for images in images.chunks(BATCH) {
            let batch = Batch::of_images(images, preprocessing)?;
            found.extend(detect_batch(self, &batch, limits)?);
        }
        Ok(found)
    }
}

/// The objects in the photos of a batch, in the photos' own pixels.
pub(super) fn detect_batch<D: Detector + ?Sized>(
    model: &D,
    batch: &Batch,
    limits: &DetectionLimits,
) -> Result<Vec<Vec<DetectedObject>>, Error> {
    if batch.is_empty() {
        return Ok(Vec::new());
    }
    let xs = FeatureMap::from_nhwc(&batch.images)?;
    let found = model.detect(&xs, limits, &Context::eval())?;
    let found = found.into_iter().zip(&batch.origins);
    Ok(found
        .map(|(found, origin)| {
            let in_photo = |object| in_photo(&object, origin);
            found.into_iter().map(in_photo).collect()
        })
        .collect())
}

/// An object of the input in pixels of its photo.
fn in_photo(object: &DetectedObject, origin: &Origin) -> DetectedObject {
    let in_input = BoundingBox::new(object.edges, object.class);
    DetectedObject {
        edges: origin.to_photo_whole(&in_input).edges(),
        ..*object
    }
}
