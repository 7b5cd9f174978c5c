//! Weights of classes that are not equally frequent.

use cnn_data::Dataset;

/// A weight for each class: the inverse of its share of the images, so that a rare class counts as
/// much in the loss as a frequent one.
///
/// It is `images / (classes · images of the class)`: 1 for each class where all have equally many,
/// and on average 1 over the images. A class without images has the weight of one with a single
/// image.
///
/// ```
/// use cnn_data::{Shapes, ShapesConfig};
/// use cnn_train::{CrossEntropy, balanced_class_weights};
///
/// // Of ten classes five have two images, and five have one.
/// let shapes = Shapes::new(ShapesConfig::default().with_samples(15))?;
/// let weights = balanced_class_weights(&shapes);
/// assert_eq!(weights.iter().filter(|weight| **weight == 0.75).count(), 5);
/// assert_eq!(weights.iter().filter(|weight| **weight == 1.5).count(), 5);
/// let loss = CrossEntropy {
///     class_weights: Some(weights),
///     ..CrossEntropy::default()
/// };
/// # let _ = loss;
/// # Ok::<(), cnn_data::Error>(())
/// ```
pub fn balanced_class_weights(dataset: &dyn Dataset) -> Vec<f64> {
    let images = dataset.len();
    let classes = dataset.classes().len();
    let mut counts = vec![0usize; classes];
    for label in (0..images).filter_map(|index| dataset.label(index)) {
        // A dataset of one's own may give a label beyond its classes; training refuses it.
        if let Some(count) = counts.get_mut(label) {
            *count += 1;
        }
    }
    let weight = |&count: &usize| images as f64 / (classes * count.max(1)) as f64;
    counts.iter().map(weight).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::sync::Arc;

    use cnn_data::{Shapes, ShapesConfig, Subset};

    use super::*;

    #[test]
    fn each_class_has_the_same_sum_of_weights() {
        let shapes = Arc::new(Shapes::new(ShapesConfig::default().with_samples(100)).unwrap());
        let label = |index| shapes.label(index).unwrap();
        // Class 0 keeps ten images, every other class fewer.
        let kept = (0..100).filter(|&index| label(index) == 0 || index >= 50);
        let few = Subset::new(shapes.clone(), kept.collect()).unwrap();
        let weights = balanced_class_weights(&few);
        let mut sums = vec![0.; 10];
        for index in 0..few.len() {
            let label = few.label(index).unwrap();
            sums[label] += weights[label];
        }
        let expected = few.len() as f64 / 10.;
        assert!(
            sums.iter().all(|sum| (sum - expected).abs() < 1e-12),
            "{sums:?}"
        );
        assert!(weights[0] < weights[1]);
    }

    #[test]
    fn a_class_without_images_has_a_finite_weight() {
        let shapes = Arc::new(Shapes::new(ShapesConfig::default().with_samples(100)).unwrap());
        let first = (0..100).filter(|&index| shapes.label(index) == Some(0));
        let one_class = Subset::new(shapes.clone(), first.collect()).unwrap();
        let weights = balanced_class_weights(&one_class);
        assert_eq!((weights[0], weights[1]), (0.1, 1.));
    }
}
