//! The images of some classes of a dataset.

use std::sync::Arc;

use super::{Content, Dataset, DatasetFormat, Sample, Subset};
use crate::{AnnotatedObject, Error};

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

    /// Changes the number of a class to the new one; false where it has none.
    fn renumber(&self, class: &mut usize) -> bool {
        let new = self.number(*class);
        *class = new.unwrap_or(*class);
        new.is_some()
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

    fn has_boxes(&self) -> bool {
        self.images.has_boxes()
    }

    fn objects(&self, index: usize) -> Result<Vec<AnnotatedObject>, Error> {
        let mut objects = self.images.objects(index)?;
        objects.retain_mut(|object| self.renumber(&mut object.class));
        Ok(objects)
    }

    fn image_id(&self, index: usize) -> i64 {
        self.images.image_id(index)
    }

    fn category_id(&self, class: usize) -> i64 {
        let old = self.numbers.iter().position(|&new| new == Some(class));
        self.images.category_id(old.unwrap_or(usize::MAX >> 1))
    }

    fn read(&self, index: usize) -> Result<Sample, Error> {
        let mut sample = self.images.read(index)?;
        sample.label = sample.label.and_then(|class| self.number(class));
        for boxes in [&mut sample.boxes, &mut sample.ignored] {
            boxes.retain_mut(|object| self.renumber(&mut object.class));
        }
        Ok(sample)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{Shapes, ShapesConfig};

    #[test]
    fn labels_and_boxes_are_numbered_anew_and_others_are_left_out() {
        let config = ShapesConfig::default().with_samples(60).with_objects(3..=3);
        let shapes: Arc<dyn Dataset> = Arc::new(Shapes::new(config).unwrap());
        let kept = [7, 3];
        let subset = ClassSubset::new(shapes.clone(), &kept).unwrap();
        let of_kept = |class: usize| kept.iter().position(|&kept| kept == class);
        let mut next = 0;
        for index in 0..shapes.len() {
            let Some(label) = shapes.label(index).and_then(of_kept) else {
                continue;
            };
            let whole = shapes.read(index).unwrap();
            let sample = subset.read(next).unwrap();
            assert_eq!(
                (subset.label(next), sample.label),
                (Some(label), Some(label))
            );
            let boxes: Vec<usize> = whole
                .boxes
                .iter()
                .filter_map(|object| of_kept(object.class))
                .collect();
            let found: Vec<usize> = sample.boxes.iter().map(|object| object.class).collect();
            assert_eq!(found, boxes);
            assert_eq!(sample.image, whole.image);
            next += 1;
        }
        assert_eq!(subset.len(), next);
        assert!(next > 0);
        assert!(ClassSubset::new(shapes, &[10]).is_err());
    }
}
