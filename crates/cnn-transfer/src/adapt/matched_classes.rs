//! The images of one domain under the class numbers of another.

use std::sync::Arc;

use cnn_data::{Content, Dataset, DatasetFormat, Sample, Subset};

use crate::{Error, match_class_names};

/// The labelled images of a dataset, numbered as other classes are, which are found by name
/// ([`match_class_names`]). Images of classes that are not among those, and images without a label,
/// are left out.
///
/// ```
/// use std::sync::Arc;
///
/// use cnn_data::{Dataset, Shapes, ShapesConfig};
/// use cnn_transfer::adapt::MatchedClasses;
///
/// let shapes: Arc<dyn Dataset> = Arc::new(Shapes::new(ShapesConfig::default().with_samples(100))?);
/// let classes = ["sphere", "Star", "circle"].map(str::to_string);
/// let some = MatchedClasses::new(shapes.clone(), &classes)?;
/// assert_eq!(some.classes(), classes);
/// assert!((0..some.len()).all(|index| [Some(1), Some(2)].contains(&some.label(index))));
/// assert_eq!(some.unknown_images() + some.len(), shapes.len());
/// # Ok::<(), cnn_transfer::Error>(())
/// ```
pub struct MatchedClasses {
    images: Subset,
    classes: Vec<String>,
    /// The new number of each class of the dataset, where it has one.
    numbers: Vec<Option<usize>>,
    unknown_images: usize,
}

impl MatchedClasses {
    /// Numbers the images of a dataset as these classes are.
    ///
    /// # Errors
    /// None but what [`Subset::new`] says of a dataset that changes its length.
    pub fn new(dataset: Arc<dyn Dataset>, classes: &[String]) -> Result<Self, Error> {
        let numbers = match_class_names(classes, dataset.classes());
        let number = |index: &usize| number_of(&numbers, dataset.label(*index)?);
        let known: Vec<usize> = (0..dataset.len())
            .filter(|at| number(at).is_some())
            .collect();
        let labelled = (0..dataset.len()).filter(|&index| dataset.label(index).is_some());
        Ok(Self {
            unknown_images: labelled.count() - known.len(),
            images: Subset::new(dataset, known)?,
            classes: classes.to_vec(),
            numbers,
        })
    }

    /// How many labelled images were left out.
    pub fn unknown_images(&self) -> usize {
        self.unknown_images
    }
}

fn number_of(numbers: &[Option<usize>], class: usize) -> Option<usize> {
    numbers.get(class).copied().flatten()
}

impl Dataset for MatchedClasses {
    fn format(&self) -> DatasetFormat {
        self.images.format()
    }

    fn len(&self) -> usize {
        self.images.len()
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn id(&self, index: usize) -> String {
        self.images.id(index)
    }

    fn label(&self, index: usize) -> Option<usize> {
        number_of(&self.numbers, self.images.label(index)?)
    }

    fn content(&self, index: usize) -> Result<Content, cnn_data::Error> {
        self.images.content(index)
    }

    fn read(&self, index: usize) -> Result<Sample, cnn_data::Error> {
        let sample = self.images.read(index)?;
        Ok(Sample::new(sample.image, self.label(index)))
    }
}
