//! Images whose labels nobody can read.

use std::sync::Arc;

use cnn_data::{Content, Dataset, DatasetFormat, Sample};

/// The images of a dataset without its labels: what the target domain is in training.
///
/// What is given one has no way to the labels: the dataset behind it is private, and what reads
/// batches gets a view of it in which no image has a label or a class a name.
///
/// ```
/// use std::sync::Arc;
///
/// use cnn_data::{Shapes, ShapesConfig};
/// use cnn_transfer::adapt::Unlabelled;
///
/// let shapes = Shapes::new(ShapesConfig::default().with_samples(6))?;
/// let target = Unlabelled::new(Arc::new(shapes));
/// assert_eq!(target.len(), 6);
/// # Ok::<(), cnn_data::Error>(())
/// ```
#[derive(Clone)]
pub struct Unlabelled {
    images: Arc<dyn Dataset>,
}

impl Unlabelled {
    /// Takes the labels away.
    pub fn new(dataset: Arc<dyn Dataset>) -> Self {
        Self {
            images: Arc::new(WithoutLabels(dataset)),
        }
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.images.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.images.is_empty()
    }

    /// An image's lasting name.
    pub fn id(&self, index: usize) -> String {
        self.images.id(index)
    }

    /// The images as a dataset in which none has a label.
    pub fn images(&self) -> &Arc<dyn Dataset> {
        &self.images
    }
}

/// A dataset in which no image has a label.
struct WithoutLabels(Arc<dyn Dataset>);

impl Dataset for WithoutLabels {
    fn format(&self) -> DatasetFormat {
        self.0.format()
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn classes(&self) -> &[String] {
        &[]
    }

    fn id(&self, index: usize) -> String {
        self.0.id(index)
    }

    fn label(&self, _: usize) -> Option<usize> {
        None
    }

    fn content(&self, index: usize) -> Result<Content, cnn_data::Error> {
        self.0.content(index)
    }

    fn read(&self, index: usize) -> Result<Sample, cnn_data::Error> {
        let sample = self.0.read(index)?;
        Ok(Sample::new(sample.image, None))
    }
}
