//! A dataset as another domain shows it.

use std::sync::Arc;

use cnn_core::Key;
use cnn_data::{Content, Dataset, DatasetFormat, Sample};

use super::DomainShift;

/// The images of a dataset, each shifted, with its label. Boxes and masks are left out.
///
/// What becomes of an image depends on the key, on the image and on its number alone: neither on
/// the order in which images are read, nor on threads. [`Dataset::content`] is that of the photo as
/// it is stored, which tells whether it is also in another dataset.
///
/// ```
/// use std::sync::Arc;
///
/// use cnn_core::Key;
/// use cnn_data::{Dataset, Shapes, ShapesConfig};
/// use cnn_transfer::adapt::{DomainShift, Shifted};
///
/// let shapes = Arc::new(Shapes::new(ShapesConfig::default().with_samples(6))?);
/// let sketches = Shifted::new(shapes.clone(), "edges".parse()?, Key::new(0));
/// let sketch = sketches.read(2)?;
/// assert_eq!(sketch.label, shapes.label(2));
/// // A sketch is grey, and most of it is paper.
/// assert_eq!(sketch.image.channels(), 1);
/// # Ok::<(), cnn_transfer::Error>(())
/// ```
pub struct Shifted {
    photos: Arc<dyn Dataset>,
    shift: DomainShift,
    key: Key,
}

impl Shifted {
    /// Shows a dataset so.
    pub fn new(photos: Arc<dyn Dataset>, shift: DomainShift, key: Key) -> Self {
        Self { photos, shift, key }
    }
}

impl Dataset for Shifted {
    fn format(&self) -> DatasetFormat {
        self.photos.format()
    }

    fn len(&self) -> usize {
        self.photos.len()
    }

    fn classes(&self) -> &[String] {
        self.photos.classes()
    }

    fn id(&self, index: usize) -> String {
        self.photos.id(index)
    }

    fn label(&self, index: usize) -> Option<usize> {
        self.photos.label(index)
    }

    fn content(&self, index: usize) -> Result<Content, cnn_data::Error> {
        self.photos.content(index)
    }

    fn read(&self, index: usize) -> Result<Sample, cnn_data::Error> {
        let sample = self.photos.read(index)?;
        let key = self.key.at(index as u64);
        let image = self.shift.apply(&sample.image, key);
        let image = image.map_err(cnn_data::Error::other)?;
        Ok(Sample::new(image, sample.label))
    }
}
