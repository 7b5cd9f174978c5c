//! The images of a run: what it is trained, validated and tested on.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use cnn_core::Key;
use cnn_data::{CachedDataset, Dataset, Split, dataset_splits, open_dataset, stratified_split};

use crate::{Error, SplitRecord};

/// The images of a run: those that it is trained on, those that choose its best epoch, and, where
/// there are such, those that it is tested on at its end.
///
/// ```
/// use std::sync::Arc;
///
/// use cnn_data::{Shapes, ShapesConfig, Split};
/// use cnn_train::TrainingData;
///
/// # let run = tempfile::tempdir()?;
/// # let run = run.path();
/// let shapes = |split, samples| {
///     Shapes::new(
///         ShapesConfig::default()
///             .with_split(split)
///             .with_samples(samples),
///     )
/// };
/// // A tenth of each class is held out for validation; seed 0 draws it.
/// let data = TrainingData::holding_out(Arc::new(shapes(Split::Train, 40)?), 0.1, 0)?
///     .with_test(Arc::new(shapes(Split::Test, 20)?));
/// assert_eq!((data.train().len(), data.val().len()), (30, 10));
/// assert_eq!(data.measured_on().part, Split::Test);
///
/// // No test image is a training image, too.
/// assert!(data.record().seen_in_training(Split::Test).is_empty());
/// data.record_in(run)?; // `split.csv`
///     
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct TrainingData {
    train: Arc<dyn Dataset>,
    val: Arc<dyn Dataset>,
    test: Option<Arc<dyn Dataset>>,
    record: OnceLock<SplitRecord>,
}

/// Some of a run's images, and what they are used for.
#[derive(Clone)]
pub struct DataPart {
    /// What they are used for.
    pub part: Split,
    /// The images.
    pub images: Arc<dyn Dataset>,
}

impl TrainingData {
    /// Training and validation images, and no test images.
    pub fn new(train: Arc<dyn Dataset>, val: Arc<dyn Dataset>) -> Self {
        Self {
            train,
            val,
            test: None,
            record: OnceLock::new(),
        }
    }

    /// Takes validation images from `whole`; the others are trained on.
    ///
    /// They are the share `held_out` of each class, at least one image of a class that has two, and
    /// `seed` draws them ([`stratified_split`] with the stream `held-out`). 0.1 is common.
    ///
    /// # Errors
    /// [`Error::Data`] if `held_out` is not above 0 and below 1, [`Error::NothingToHoldOut`] if no
    /// class has two images.
    pub fn holding_out(whole: Arc<dyn Dataset>, held_out: f64, seed: u64) -> Result<Self, Error> {
        let key = Key::new(seed).stream("held-out");
        let (train, val) = stratified_split(&whole, held_out, key)?;
        if val.is_empty() {
            return Err(Error::NothingToHoldOut);
        }
        Ok(Self::new(Arc::new(train), Arc::new(val)))
    }

    /// Opens the dataset at a path, of any format that [`open_dataset`] knows, with the splits that
    /// it has. Where it has no `val`, validation images are taken from the training images, as
    /// [`TrainingData::holding_out`] says.
    ///
    /// # Errors
    /// [`Error::Data`] for what cannot be opened, and as [`TrainingData::holding_out`].
    pub fn open(path: &Path, held_out: f64, seed: u64) -> Result<Self, Error> {
        let splits = dataset_splits(path)?.1;
        let split = |split| splits.contains(&split).then_some(split);
        let whole = open_dataset(path, split(Split::Train))?;
        let test = split(Split::Test)
            .map(|split| open_dataset(path, Some(split)))
            .transpose()?;
        let data = match split(Split::Val) {
            Some(split) => Self::new(whole, open_dataset(path, Some(split))?),
            None => Self::holding_out(whole, held_out, seed)?,
        };
        Ok(Self { test, ..data })
    }

    /// The same with test images.
    #[must_use]
    pub fn with_test(self, test: Arc<dyn Dataset>) -> Self {
        Self {
            test: Some(test),
            record: OnceLock::new(),
            ..self
        }
    }

    /// Keeps decoded training images in memory, up to this many bytes, and as many of validation
    /// images, so that later epochs need not decode them again. Default: none are kept.
    #[must_use]
    pub fn with_cache(self, bytes: usize) -> Self {
        let cached = |dataset: Arc<dyn Dataset>| -> Arc<dyn Dataset> {
            Arc::new(CachedDataset::new(dataset, bytes))
        };
        Self {
            train: cached(self.train),
            val: cached(self.val),
            ..self
        }
    }

    /// The training images.
    pub fn train(&self) -> &Arc<dyn Dataset> {
        &self.train
    }

    /// The images that choose the best epoch.
    pub fn val(&self) -> &Arc<dyn Dataset> {
        &self.val
    }

    /// The images that have no part in the training.
    pub fn test(&self) -> Option<&Arc<dyn Dataset>> {
        self.test.as_ref()
    }

    /// The images that a run is measured on at its end: the test images, or else the validation
    /// images, whose result flatters a little, since they also chose the epoch.
    pub fn measured_on(&self) -> DataPart {
        let (part, images) = match &self.test {
            Some(test) => (Split::Test, test),
            None => (Split::Val, &self.val),
        };
        DataPart {
            part,
            images: images.clone(),
        }
    }

    /// Which image is in which part. The first call reads every image's bytes once, on all threads.
    ///
    /// [`SplitRecord::seen_in_training`] says which validation or test images are training images,
    /// too.
    pub fn record(&self) -> &SplitRecord {
        self.record.get_or_init(|| {
            let mut parts: Vec<(Split, &dyn Dataset)> = vec![
                (Split::Train, self.train.as_ref()),
                (Split::Val, self.val.as_ref()),
            ];
            parts.extend(self.test.as_deref().map(|test| (Split::Test, test)));
            SplitRecord::of(&parts)
        })
    }

    /// Writes `split.csv` into the directory of a run that begins. The images of a run that goes on
    /// are compared with those that it began with.
    ///
    /// # Errors
    /// [`Error::ImagesChanged`] if they are others, and if the file cannot be read or written.
    pub fn record_in(&self, directory: &Path) -> Result<(), Error> {
        let path = directory.join(SplitRecord::FILE);
        if !path.exists() {
            return self.record().write(&path);
        }
        match SplitRecord::read(&path)?.difference(self.record()) {
            None => Ok(()),
            Some(difference) => Err(Error::ImagesChanged { difference }),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use cnn_data::{Shapes, ShapesConfig};

    use super::*;

    fn shapes(split: Split, samples: usize) -> Arc<dyn Dataset> {
        let config = ShapesConfig::default()
            .with_split(split)
            .with_samples(samples);
        Arc::new(Shapes::new(config).unwrap())
    }

    fn ids(dataset: &Arc<dyn Dataset>) -> Vec<String> {
        (0..dataset.len()).map(|index| dataset.id(index)).collect()
    }

    /// Class folders of images that differ in their bytes.
    fn class_folders(root: &Path, images: usize) {
        for class in ["cat", "dog"] {
            std::fs::create_dir_all(root.join(class)).unwrap();
            for number in 0..images {
                let path = root.join(class).join(format!("{number}.jpg"));
                // The bytes are read for the record, and decoded by nobody here.
                std::fs::write(path, format!("{class} {number}")).unwrap();
            }
        }
    }

    #[test]
    fn the_seed_draws_a_share_of_each_class() {
        let whole = shapes(Split::Train, 100);
        let data = TrainingData::holding_out(whole.clone(), 0.2, 3).unwrap();
        assert_eq!((data.train().len(), data.val().len()), (80, 20));
        let of_class = |class| {
            let labels = (0..data.val().len()).filter(|&index| data.val().label(index) == class);
            labels.count()
        };
        assert!((0..10).all(|class| of_class(Some(class)) == 2));
        let again = TrainingData::holding_out(whole.clone(), 0.2, 3).unwrap();
        let other = TrainingData::holding_out(whole.clone(), 0.2, 4).unwrap();
        assert_eq!(ids(data.val()), ids(again.val()));
        assert_ne!(ids(data.val()), ids(other.val()));
        let mut all = [ids(data.train()), ids(data.val())].concat();
        let mut expected = ids(&whole);
        all.sort();
        expected.sort();
        assert_eq!(all, expected, "each image is in one part");
    }

    #[test]
    fn shares_and_data_that_give_nothing_are_errors() {
        let refused = |data: Result<TrainingData, Error>| data.map(|_| ()).unwrap_err();
        for share in [0., 1., -0.1, f64::NAN] {
            let error = refused(TrainingData::holding_out(
                shapes(Split::Train, 20),
                share,
                0,
            ));
            assert!(
                matches!(error, Error::Data(cnn_data::Error::Argument(_))),
                "{error}"
            );
        }
        // Ten classes of one image each.
        let error = refused(TrainingData::holding_out(shapes(Split::Train, 10), 0.5, 0));
        assert!(matches!(error, Error::NothingToHoldOut), "{error}");
    }

    #[test]
    fn a_folder_is_opened_with_the_splits_that_it_has() {
        let root = tempfile::tempdir().unwrap();
        let whole = root.path().join("whole");
        class_folders(&whole, 5);
        let data = TrainingData::open(&whole, 0.2, 0).unwrap();
        assert_eq!((data.train().len(), data.val().len()), (8, 2));
        assert!(data.test().is_none());
        let measured_on = data.measured_on();
        assert_eq!(measured_on.part, Split::Val);
        assert_eq!(ids(&measured_on.images), ids(data.val()));

        let split = root.path().join("split");
        for (name, images) in [("train", 5), ("val", 3), ("test", 2)] {
            class_folders(&split.join(name), images);
        }
        let data = TrainingData::open(&split, 0.2, 0).unwrap();
        let test = data.test().unwrap();
        let sizes = [data.train().len(), data.val().len(), test.len()];
        assert_eq!(sizes, [10, 6, 4]);
        assert_eq!(data.measured_on().part, Split::Test);
        // The smaller folders hold the same bytes as the larger ones.
        assert_eq!(data.record().seen_in_training(Split::Val).len(), 6);
        assert_eq!(data.record().seen_in_training(Split::Test).len(), 4);

        let missing = TrainingData::open(&root.path().join("none"), 0.2, 0);
        assert!(matches!(missing.map(|_| ()), Err(Error::Data(_))));
    }

    #[test]
    fn a_run_goes_on_with_its_images_only() {
        let run = tempfile::tempdir().unwrap();
        let data = |samples| {
            TrainingData::new(shapes(Split::Train, samples), shapes(Split::Val, 10)).with_cache(1)
        };
        data(20).record_in(run.path()).unwrap();
        let path = run.path().join(SplitRecord::FILE);
        let recorded = SplitRecord::read(&path).unwrap();
        assert_eq!(&recorded, data(20).record());
        data(20).record_in(run.path()).unwrap();

        let error = data(21).record_in(run.path()).unwrap_err();
        assert!(
            matches!(&error, Error::ImagesChanged { difference } if difference.starts_with("1 new")),
            "{error}"
        );
        let with_test = data(20).with_test(shapes(Split::Test, 3));
        assert!(with_test.record_in(run.path()).is_err());
        assert_eq!(SplitRecord::read(&path).unwrap(), recorded);
    }

    #[test]
    fn test_images_that_come_later_are_in_the_record() {
        let data = TrainingData::new(shapes(Split::Train, 20), shapes(Split::Val, 10));
        assert_eq!(data.record().count(Split::Test), 0);
        let data = data.with_test(shapes(Split::Test, 3));
        assert_eq!(data.record().count(Split::Test), 3);
    }
}
