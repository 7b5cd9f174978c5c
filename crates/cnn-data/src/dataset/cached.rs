//! A dataset whose decoded images stay in memory.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use super::{Content, Dataset, DatasetFormat, Sample};
use crate::{AnnotatedObject, Error};

/// Keeps decoded samples in memory when they are first read, until `limit` bytes of pixels are
/// held; the other samples are decoded each time. What is read is the same either way.
pub struct CachedDataset {
    inner: Arc<dyn Dataset>,
    samples: Vec<OnceLock<Sample>>,
    free: AtomicUsize,
}

impl CachedDataset {
    /// Wraps a dataset; at most `limit` bytes of pixels are held.
    pub fn new(inner: Arc<dyn Dataset>, limit: usize) -> Self {
        let samples = (0..inner.len()).map(|_| OnceLock::new()).collect();
        Self {
            inner,
            samples,
            free: AtomicUsize::new(limit),
        }
    }

    /// How many samples are held now.
    pub fn held(&self) -> usize {
        self.samples
            .iter()
            .filter(|sample| sample.get().is_some())
            .count()
    }

    fn claim(&self, bytes: usize) -> bool {
        self.free
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |free| {
                free.checked_sub(bytes)
            })
            .is_ok()
    }
}

impl Dataset for CachedDataset {
    fn format(&self) -> DatasetFormat {
        self.inner.format()
    }

    fn len(&self) -> usize {
        self.inner.len()
    }

    fn classes(&self) -> &[String] {
        self.inner.classes()
    }

    fn mask_classes(&self) -> &[String] {
        self.inner.mask_classes()
    }

    fn id(&self, index: usize) -> String {
        self.inner.id(index)
    }

    fn label(&self, index: usize) -> Option<usize> {
        self.inner.label(index)
    }

    fn content(&self, index: usize) -> Result<Content, Error> {
        self.inner.content(index)
    }

    fn has_boxes(&self) -> bool {
        self.inner.has_boxes()
    }

    fn objects(&self, index: usize) -> Result<Vec<AnnotatedObject>, Error> {
        self.inner.objects(index)
    }

    fn image_id(&self, index: usize) -> i64 {
        self.inner.image_id(index)
    }

    fn category_id(&self, class: usize) -> i64 {
        self.inner.category_id(class)
    }

    fn read(&self, index: usize) -> Result<Sample, Error> {
        let Some(place) = self.samples.get(index) else {
            return self.inner.read(index);
        };
        if let Some(sample) = place.get() {
            return Ok(sample.clone());
        }
        let sample = self.inner.read(index)?;
        let mask = sample.mask.as_ref().map_or(0, |mask| mask.bytes().len());
        if self.claim(sample.image.bytes().len() + mask) {
            // Two threads may have read it at once. It is the same sample, and is held once.
            let _ = place.set(sample.clone());
        }
        Ok(sample)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use crate::IdxImages;

    fn idx(dimensions: &[usize], bytes: Vec<u8>) -> Vec<u8> {
        let mut file = vec![0, 0, 8, dimensions.len() as u8];
        file.extend(
            dimensions
                .iter()
                .flat_map(|&size| (size as u32).to_be_bytes()),
        );
        file.extend(bytes);
        file
    }

    #[test]
    fn what_fits_is_held_and_all_is_the_same() {
        let images = idx(&[4, 2, 3], (0..24).collect());
        let plain: Arc<dyn Dataset> =
            Arc::new(IdxImages::parse(&images, &idx(&[4], vec![0, 1, 1, 0])).unwrap());
        let cached = CachedDataset::new(plain.clone(), 13);
        for _ in 0..2 {
            for index in 0..4 {
                assert_eq!(cached.read(index).unwrap(), plain.read(index).unwrap());
            }
        }
        assert_eq!(cached.held(), 2);
        assert!(cached.read(4).is_err());
    }
}
