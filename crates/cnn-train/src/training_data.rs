//! The images of a run: what it is trained, validated and tested on.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use cnn_core::Key;
use cnn_data::{
    CachedDataset, ClassSubset, Dataset, DatasetFormat, FoundDataset, Split, Subset,
    stratified_split,
};

use rayon::prelude::*;

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
    notes: Vec<String>,
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
            notes: Vec::new(),
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

    /// Opens the dataset at a path, of any format that [`FoundDataset`] knows, with the splits that
    /// it has. Where it has no `val`, validation images are taken from the training images, as
    /// [`TrainingData::holding_out`] says.
    ///
    /// The classes are those that have training images. Validation and test images of other classes,
    /// and those without a label, are left out, as is a split of which nothing is left or can be
    /// read; [`TrainingData::notes`] says so.
    ///
    /// # Errors
    /// [`Error::Data`] for what cannot be opened, [`Error::UnreadableClass`] for a class of which no
    /// training image can be read, and as [`TrainingData::holding_out`].
    pub fn open(path: &Path, held_out: f64, seed: u64) -> Result<Self, Error> {
        let found = FoundDataset::at(path)?;
        let splits = found.splits();
        let split = |split| splits.contains(&split).then_some(split);
        let mut notes = found.notes().to_vec();
        let whole = found.open(split(Split::Train))?;
        let trained = trained_classes(whole.as_ref())?;
        // Of folders it is said already.
        if found.format() != DatasetFormat::ImageFolder {
            notes.extend(untrained(whole.classes(), &trained));
        }
        let mut part = |part: Split| {
            let Some(part) = split(part) else {
                return Ok(None);
            };
            judged_images(found.open(part)?, part, &trained, &mut notes)
        };
        let val = part(Split::Val)?;
        let test = part(Split::Test)?;
        let train = if trained.len() == whole.classes().len() {
            whole
        } else {
            Arc::new(ClassSubset::new(whole, &trained)?)
        };
        let data = match val {
            Some(val) => Self::new(train, val),
            None => Self::holding_out(train, held_out, seed)?,
        };
        Ok(Self {
            test,
            notes,
            ..data
        })
    }

    /// Opens a dataset of photos with masks or boxes, with the splits that it has. Where it has no `val`,
    /// validation images are the share `held_out` of the training images, at least one, drawn by
    /// `seed`.
    ///
    /// # Errors
    /// [`Error::Data`] for what cannot be opened, [`Error::Argument`] if `held_out` is not above 0
    /// and below 1, [`Error::NothingToHoldOut`] if there are fewer than two images.
    pub fn open_annotated(found: &FoundDataset, held_out: f64, seed: u64) -> Result<Self, Error> {
        let splits = found.splits();
        let open = |split: Split| -> Result<Option<Arc<dyn Dataset>>, Error> {
            let there = splits.contains(&split).then(|| found.open(split));
            Ok(there.transpose()?)
        };
        let whole = match open(Split::Train)? {
            Some(train) => train,
            None => found.open(None)?,
        };
        let data = match open(Split::Val)? {
            Some(val) => Self::new(whole, val),
            None => Self::holding_out_any(whole, held_out, seed)?,
        };
        Ok(Self {
            test: open(Split::Test)?,
            notes: found.notes().to_vec(),
            ..data
        })
    }

    /// Takes validation images from `whole`, whatever their labels.
    fn holding_out_any(whole: Arc<dyn Dataset>, held_out: f64, seed: u64) -> Result<Self, Error> {
        if !(held_out > 0. && held_out < 1.) {
            return Err(Error::argument("held_out", held_out, "above 0 and below 1"));
        }
        let images = whole.len();
        if images < 2 {
            return Err(Error::NothingToHoldOut);
        }
        let count = ((images as f64 * held_out).round() as usize).clamp(1, images - 1);
        let key = Key::new(seed).stream("held-out");
        let mut order = key.rng().permutation(images);
        let mut train = order.split_off(count);
        order.sort_unstable();
        train.sort_unstable();
        let val = Subset::new(whole.clone(), order)?;
        Ok(Self::new(
            Arc::new(Subset::new(whole, train)?),
            Arc::new(val),
        ))
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

    /// How the data were understood where that is not plain, and what was left out, in sentences.
    pub fn notes(&self) -> &[String] {
        &self.notes
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
    /// are compared with those that it began with; if they only lie elsewhere, the file says so from
    /// then on.
    ///
    /// # Errors
    /// [`Error::ImagesChanged`] if they are others, and if the file cannot be read or written.
    pub fn record_in(&self, directory: &Path) -> Result<(), Error> {
        let path = directory.join(SplitRecord::FILE);
        if !path.exists() {
            return self.record().write(&path);
        }
        let before = SplitRecord::read(&path)?;
        match before.difference(self.record()) {
            None if &before == self.record() => Ok(()),
            None => self.record().write(&path),
            Some(difference) => Err(Error::ImagesChanged { difference }),
        }
    }
}

/// The classes that have training images, in order; all where no image has a label. One image of
/// each is decoded.
fn trained_classes(train: &dyn Dataset) -> Result<Vec<usize>, Error> {
    let mut of_class: Vec<Vec<usize>> = vec![Vec::new(); train.classes().len()];
    for index in 0..train.len() {
        if let Some(images) = train.label(index).and_then(|class| of_class.get_mut(class)) {
            images.push(index);
        }
    }
    let trained: Vec<usize> = (0..of_class.len())
        .filter(|&class| !of_class[class].is_empty())
        .collect();
    trained.par_iter().try_for_each(|&class| {
        let images = &of_class[class];
        first_readable(train, images).map_err(|error| Error::UnreadableClass {
            class: train.classes()[class].clone(),
            images: images.len(),
            first: train.id(images[0]),
            reason: error.reason(),
        })
    })?;
    Ok(trained)
}

/// Says of which classes there are no training images.
fn untrained(classes: &[String], trained: &[usize]) -> Option<String> {
    const SHOWN: usize = 3;
    let untrained: Vec<String> = (0..classes.len())
        .filter(|class| !trained.contains(class))
        .map(|class| format!("`{}`", classes[class]))
        .collect();
    let shown = untrained[..untrained.len().min(SHOWN)].join(", ");
    match untrained.len() {
        0 => None,
        1..=SHOWN => Some(format!("there are no training images of {shown}")),
        count => Some(format!(
            "there are no training images of {shown} and {} more classes",
            count - SHOWN
        )),
    }
}

/// The images of a split that a network of these classes can be judged by; `None` if there are none.
fn judged_images(
    dataset: Arc<dyn Dataset>,
    part: Split,
    trained: &[usize],
    notes: &mut Vec<String>,
) -> Result<Option<Arc<dyn Dataset>>, Error> {
    let all = dataset.len();
    let unlabelled = (0..all)
        .filter(|&index| dataset.label(index).is_none())
        .count();
    let known: Arc<dyn Dataset> = if trained.len() < dataset.classes().len() {
        Arc::new(ClassSubset::new(dataset.clone(), trained)?)
    } else if unlabelled > 0 {
        let labelled = (0..all).filter(|&index| dataset.label(index).is_some());
        Arc::new(Subset::new(dataset.clone(), labelled.collect())?)
    } else {
        dataset.clone()
    };
    let unknown = all - known.len() - unlabelled;
    let left_out = [
        (unlabelled, "have no label"),
        (unknown, "are of classes without training images"),
    ];
    for (count, why) in left_out {
        if count > 0 {
            notes.push(format!(
                "{count} of the {all} {part} images {why} and are left out"
            ));
        }
    }
    if known.is_empty() && part == Split::Val && unknown > 0 {
        let names = |class: &usize| format!("`{}`", dataset.classes()[*class]);
        let trained: Vec<String> = trained.iter().take(3).map(names).collect();
        let found = format!("{unknown}, of which none is of a class that has training images");
        let expected = format!("images of such classes, as {}", trained.join(", "));
        return Err(Error::argument("validation images", found, expected));
    }
    if known.is_empty() {
        notes.push(format!("nothing is measured on `{part}`"));
        return Ok(None);
    }
    let indices: Vec<usize> = (0..known.len()).collect();
    // Whoever trains refuses validation images that cannot be read.
    if part == Split::Test
        && let Err(error) = first_readable(known.as_ref(), &indices)
    {
        notes.push(format!(
            "none of the {} {part} images can be read, the first: {}: {}; nothing is measured \
             on `{part}`",
            known.len(),
            known.id(0),
            error.reason()
        ));
        return Ok(None);
    }
    Ok(Some(known))
}

/// Looks for an image that can be read among these, usually the first; the first error if there is
/// none.
fn first_readable(dataset: &dyn Dataset, indices: &[usize]) -> Result<(), cnn_data::Error> {
    let mut first = None;
    for &index in indices {
        match dataset.read(index) {
            Ok(_) => return Ok(()),
            Err(error) => first = first.or(Some(error)),
        }
    }
    first.map_or(Ok(()), Err)
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
                let grey = number as u8 + if class == "cat" { 100 } else { 0 };
                picture(&root.join(class).join(format!("{number}.png")), grey);
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

    /// A picture of one colour as PNG.
    fn picture(path: &Path, grey: u8) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let image = cnn_data::Image::from_pixels(4, 5, 1, vec![grey; 20]).unwrap();
        image.write_png(path).unwrap();
    }

    #[test]
    fn the_classes_are_those_with_training_images() {
        let root = tempfile::tempdir().unwrap();
        let files = [
            "train/a/1.png",
            "train/c/1.png",
            "val/a/1.png",
            "val/b/1.png",
            "val/c/1.png",
            "test/unknown/1.png",
        ];
        for (grey, file) in files.iter().enumerate() {
            picture(&root.path().join(file), grey as u8);
        }
        std::fs::create_dir(root.path().join("train/b")).unwrap();
        let data = TrainingData::open(root.path(), 0.2, 0).unwrap();
        assert_eq!(data.train().classes(), ["a", "c"]);
        assert_eq!(data.val().classes(), ["a", "c"]);
        let labels: Vec<_> = (0..data.val().len())
            .map(|index| data.val().label(index))
            .collect();
        assert_eq!(labels, [Some(0), Some(1)]);
        assert!(data.test().is_none());
        let notes = data.notes().join("\n");
        for said in [
            "there are no training images of `b` and `unknown`",
            "1 of the 3 val images are of classes without training images",
            "nothing is measured on `test`",
        ] {
            assert!(notes.contains(said), "{said}: {notes}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_found_before_the_first_epoch() {
        let root = tempfile::tempdir().unwrap();
        let broken = |file: &str| {
            let path = root.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "no picture").unwrap();
        };
        picture(&root.path().join("train/a/1.png"), 1);
        picture(&root.path().join("train/a/2.png"), 2);
        picture(&root.path().join("train/b/1.png"), 3);
        picture(&root.path().join("train/b/2.png"), 4);
        broken("test/a/1.png");
        let data = TrainingData::open(root.path(), 0.5, 0).unwrap();
        assert!(data.test().is_none());
        assert!(data.notes()[0].contains("none of the 1 test images can be read"));
        broken("train/c/1.png");
        let error = TrainingData::open(root.path(), 0.5, 0)
            .map(|_| ())
            .unwrap_err();
        assert!(
            matches!(&error, Error::UnreadableClass { class, images: 1, .. } if class == "c"),
            "{error}"
        );
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
