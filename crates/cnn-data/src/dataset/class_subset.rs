//! The images of some classes of a dataset.

use std::sync::Arc;

use super::{Content, Dataset, DatasetFormat, Sample, Subset};
use crate::Error;

/// The images of some classes, which are numbered anew in the given order. Images of other classes,
/// and those without a label, are left out.
///
/// ```
/// use std::sync::Arc;
///
/// use cnn_data::{ClassSubset, Dataset, Shapes, ShapesConfig};
///
/// let shapes: Arc<dyn Dataset> = Arc::new(Shapes::new(ShapesConfig::default().with_samples(100))?);
/// let two = ClassSubset::new(shapes.clone(), &[7, 3])?;
/// assert_eq!(two.classes(), [shapes.classes()[7].clone(), shapes.classes()[3].clone()]);
/// assert!((0..two.len()).all(|index| two.label(index) < Some(2)));
/// # Ok::<(), cnn_data::Error>(())
/// ```
pub struct ClassSubset {
    images: Subset,
    classes: Vec<String>,
    /// The new number of each class of the dataset, where it has one.
    numbers: Vec<Option<usize>>,
}

impl ClassSubset {
    /// The images of the classes with these numbers.
    ///
    /// # Errors
    ///
    /// [`Error::Argument`] if a number is not that of a class.
    pub fn new(dataset: Arc<dyn Dataset>, kept: &[usize]) -> Result<Self, Error> {
        let mut numbers = vec![None; dataset.classes().len()];
        let mut classes = Vec::new();
        for &class in kept {
            let (Some(number), Some(name)) = (numbers.get_mut(class), dataset.classes().get(class))
            else {
                let expected = format!("numbers below {}", dataset.classes().len());
                return Err(Error::argument("classes", class, expected));
            };
            *number = Some(classes.len());
            classes.push(name.clone());
        }
        let is_kept = |index: &usize| {
            let number = dataset.label(*index).and_then(|class| numbers.get(class));
            number.is_some_and(Option::is_some)
        };
        let indices = (0..dataset.len()).filter(is_kept).collect();
        Ok(Self {
            images: Subset::new(dataset, indices)?,
            classes,
            numbers,
        })
    }

    fn number(&self, class: usize) -> Option<usize> {
        self.numbers.get(class).copied().flatten()
    }
}

impl Dataset for ClassSubset {
    fn format(&self) -> DatasetFormat {
        self.images.format()
    }

    fn len(&self) -> usize {
        self.images.len()
    }

    fn classes(&self) -> &[String] {
        &self.classes
    }

    fn mask_classes(&self) -> &[String] {
        self.images.mask_classes()
    }

    fn id(&self, index: usize) -> String {
        self.images.id(index)
    }

    fn label(&self, index: usize) -> Option<usize> {
        self.number(self.images.label(index)?)
    }

    fn content(&self, index: usize) -> Result<Content, Error> {
        self.images.content(index)
    }

    fn read(&self, index: usize) -> Result<Sample, Error> {
        let mut sample = self.images.read(index)?;
        sample.label = sample.label.and_then(|class| self.number(class));
        sample
            .boxes
            .retain_mut(|object| match self.number(object.class) {
                Some(number) => {
                    object.class = number;
                    true
                }
                None => false,
            });
        Ok(sample)
    }
}
