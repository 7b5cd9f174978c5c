//! Part of a dataset, and splitting one in two.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use cnn_core::Key;

use super::{Content, Dataset, DatasetFormat, Sample};
use crate::{AnnotatedObject, Error};

/// Some samples of a dataset, renumbered in the given order.
pub struct Subset {
    inner: Arc<dyn Dataset>,
    indices: Vec<usize>,
}

impl Subset {
    /// The samples with these numbers.
    ///
    /// # Errors
    ///
    /// [`Error::NoSuchSample`] if a number is not below the dataset's length.
    pub fn new(inner: Arc<dyn Dataset>, indices: Vec<usize>) -> Result<Self, Error> {
        let len = inner.len();
        match indices.iter().find(|&&index| index >= len) {
            Some(&index) => Err(Error::NoSuchSample { index, len }),
            None => Ok(Self { inner, indices }),
        }
    }

    /// At most `most` samples, spread evenly over a dataset.
    ///
    /// # Errors
    ///
    /// None.
    pub fn spread(inner: Arc<dyn Dataset>, most: usize) -> Result<Self, Error> {
        let places = spread(inner.len(), most);
        Self::new(inner, places)
    }

    fn inner_index(&self, index: usize) -> Result<usize, Error> {
        self.indices.get(index).copied().ok_or(Error::NoSuchSample {
            index,
            len: self.indices.len(),
        })
    }
}

/// At most `most` places of a dataset of `len` samples, spread evenly.
///
/// ```
/// assert_eq!(cnn_data::spread(10, 4), [0, 2, 5, 7]);
/// assert_eq!(cnn_data::spread(3, usize::MAX), [0, 1, 2]);
/// assert!(cnn_data::spread(0, 5).is_empty());
/// ```
pub fn spread(len: usize, most: usize) -> Vec<usize> {
    let count = most.min(len);
    let place = |place: usize| (place as u128 * len as u128 / count as u128) as usize;
    (0..count).map(place).collect()
}

impl Dataset for Subset {
    fn format(&self) -> DatasetFormat {
        self.inner.format()
    }

    fn len(&self) -> usize {
        self.indices.len()
    }

    fn classes(&self) -> &[String] {
        self.inner.classes()
    }

    fn mask_classes(&self) -> &[String] {
        self.inner.mask_classes()
    }

    fn id(&self, index: usize) -> String {
        self.inner.id(self.inner_index(index).unwrap_or(usize::MAX))
    }

    fn label(&self, index: usize) -> Option<usize> {
        self.inner.label(self.inner_index(index).ok()?)
    }

    fn content(&self, index: usize) -> Result<Content, Error> {
        self.inner.content(self.inner_index(index)?)
    }

    fn has_boxes(&self) -> bool {
        self.inner.has_boxes()
    }

    fn objects(&self, index: usize) -> Result<Vec<AnnotatedObject>, Error> {
        self.inner.objects(self.inner_index(index)?)
    }

    fn image_id(&self, index: usize) -> i64 {
        let inner = self.indices.get(index).copied();
        self.inner.image_id(inner.unwrap_or(usize::MAX))
    }

    fn category_id(&self, class: usize) -> i64 {
        self.inner.category_id(class)
    }

    fn read(&self, index: usize) -> Result<Sample, Error> {
        self.inner.read(self.inner_index(index)?)
    }
}

/// Splits a dataset in two. Of each class the share `held_out`, drawn from `key`, goes to the
/// second part; it is rounded, and is at least one sample if the class has two or more. Both parts
/// keep the dataset's order. Samples without a class are split like a class of their own.
///
/// # Errors
///
/// [`Error::Argument`] if `held_out` is not strictly between 0 and 1.
pub fn stratified_split(
    dataset: &Arc<dyn Dataset>,
    held_out: f64,
    key: Key,
) -> Result<(Subset, Subset), Error> {
    if !(held_out > 0.0 && held_out < 1.0) {
        return Err(Error::argument(
            "held_out",
            held_out,
            "a share above 0 and below 1",
        ));
    }
    let mut of_class: BTreeMap<Option<usize>, Vec<usize>> = BTreeMap::new();
    for index in 0..dataset.len() {
        of_class
            .entry(dataset.label(index))
            .or_default()
            .push(index);
    }
    let mut kept = Vec::new();
    let mut held = Vec::new();
    for (class, mut indices) in of_class {
        let position = class.map_or(0, |class| class as u64 + 1);
        key.at(position).rng().shuffle(&mut indices);
        let wanted = (held_out * indices.len() as f64).round() as usize;
        let count = wanted
            .clamp(1, (indices.len() - 1).max(1))
            .min(indices.len() - 1);
        held.extend(indices.drain(..count));
        kept.extend(indices);
    }
    kept.sort_unstable();
    held.sort_unstable();
    Ok((
        Subset::new(dataset.clone(), kept)?,
        Subset::new(dataset.clone(), held)?,
    ))
}

/// Pairs of samples of two datasets that are stored with the same bytes, by their names. Such
/// samples leak from one dataset into the other. Files that cannot be read are left out.
pub fn duplicates_across(first: &dyn Dataset, second: &dyn Dataset) -> Vec<(String, String)> {
    let hash =
        |dataset: &dyn Dataset, index| dataset.content(index).ok().map(|content| content.sha256());
    let mut seen: HashMap<[u8; 32], usize> = HashMap::new();
    for index in 0..first.len() {
        if let Some(hash) = hash(first, index) {
            seen.entry(hash).or_insert(index);
        }
    }
    let twins =
        (0..second.len()).filter_map(|index| Some((*seen.get(&hash(second, index)?)?, index)));
    twins
        .map(|(one, other)| (first.id(one), second.id(other)))
        .collect()
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

    /// One-pixel images whose value is their number modulo 250, of three classes in shares 6:3:1.
    fn dataset(len: usize) -> Arc<dyn Dataset> {
        let images = idx(
            &[len, 1, 1],
            (0..len).map(|index| (index % 250) as u8).collect(),
        );
        let labels = idx(
            &[len],
            (0..len)
                .map(|index| [0, 0, 0, 0, 0, 0, 1, 1, 1, 2][index % 10])
                .collect(),
        );
        Arc::new(IdxImages::parse(&images, &labels).unwrap())
    }

    fn counts(dataset: &dyn Dataset) -> [usize; 3] {
        let labels: Vec<_> = (0..dataset.len())
            .filter_map(|index| dataset.label(index))
            .collect();
        [0, 1, 2].map(|class| labels.iter().filter(|&&label| label == class).count())
    }

    #[test]
    fn each_class_is_split_in_the_same_proportion() {
        let whole = dataset(100);
        let (train, val) = stratified_split(&whole, 0.2, Key::new(1)).unwrap();
        assert_eq!((counts(&train), counts(&val)), ([48, 24, 8], [12, 6, 2]));
        assert!(duplicates_across(&train, &val).is_empty());
        let ids = |subset: &Subset| {
            (0..subset.len())
                .map(|index| subset.id(index))
                .collect::<Vec<_>>()
        };
        let (_, again) = stratified_split(&whole, 0.2, Key::new(1)).unwrap();
        let (_, other) = stratified_split(&whole, 0.2, Key::new(2)).unwrap();
        assert_eq!(ids(&val), ids(&again));
        assert_ne!(ids(&val), ids(&other));
        assert_eq!(val.read(0).unwrap().label, val.label(0));
    }

    #[test]
    fn small_classes_keep_a_sample_on_either_side() {
        let (train, val) = stratified_split(&dataset(20), 0.01, Key::new(0)).unwrap();
        assert_eq!((counts(&train), counts(&val)), ([11, 5, 1], [1, 1, 1]));
        let (train, val) = stratified_split(&dataset(10), 0.9, Key::new(0)).unwrap();
        assert_eq!((counts(&train), counts(&val)), ([1, 1, 1], [5, 2, 0]));
    }

    #[test]
    fn duplicates_are_named_on_both_sides() {
        let whole = dataset(252);
        let first = Subset::new(whole.clone(), (0..250).collect()).unwrap();
        let second = Subset::new(whole.clone(), vec![250, 251]).unwrap();
        let expected = [(whole.id(0), whole.id(250)), (whole.id(1), whole.id(251))];
        assert_eq!(duplicates_across(&first, &second), expected);
    }

    #[test]
    fn bad_arguments_are_named() {
        for held_out in [0.0, 1.0, f64::NAN] {
            let message = stratified_split(&dataset(10), held_out, Key::new(0))
                .err()
                .unwrap()
                .to_string();
            assert!(
                message.contains("expected a share above 0 and below 1"),
                "{message}"
            );
        }
        assert!(Subset::new(dataset(10), vec![10]).is_err());
    }
}
