//! An attack, and what it works on.

use cnn_core::Key;

use crate::model::highest;
use crate::{AttackedModel, Draws, Error, Images, Logits, Threat};

/// A way to find changes of images that a model errs on.
pub trait Attack {
    /// Its name, as in the command line and in tables: `pgd`.
    fn name(&self) -> &'static str;

    /// The changes that it may make; `None` of an attack that looks for the smallest one.
    fn threat(&self) -> Option<Threat>;

    /// What [`run`](Self::run) does once the batch is checked: an attack of one's own is written
    /// here and called there.
    ///
    /// # Errors
    /// What the model reports.
    fn attack(&self, model: &dyn AttackedModel, batch: &AttackBatch<'_>) -> Result<Images, Error>;

    /// The changed images. Of an image that it did not succeed on it gives the last or the best
    /// try, or the image itself where it looks for the smallest change.
    ///
    /// # Errors
    /// As [`AttackBatch::check`], and what the model reports.
    fn run(&self, model: &dyn AttackedModel, batch: &AttackBatch<'_>) -> Result<Images, Error> {
        batch.check(model)?;
        self.attack(model, batch)
    }
}

/// Images under attack.
#[derive(Clone)]
pub struct AttackBatch<'a> {
    images: Images,
    labels: Vec<u32>,
    targets: Option<Vec<u32>>,
    samples: Vec<u64>,
    draws: Option<&'a dyn Draws>,
    key: Key,
}

impl<'a> AttackBatch<'a> {
    /// Images with their labels. Default: any other class will do; the images are numbered from 0,
    /// and random numbers come from the key of seed 0.
    ///
    /// # Errors
    /// [`Error::Argument`] if there is not one label for each image.
    pub fn new(images: Images, labels: Vec<u32>) -> Result<Self, Error> {
        check_count("labels", labels.len(), images.len())?;
        Ok(Self {
            samples: (0..images.len() as u64).collect(),
            images,
            labels,
            targets: None,
            draws: None,
            key: Key::new(0),
        })
    }

    /// The class that each image is to be taken for.
    ///
    /// # Errors
    /// [`Error::Argument`] if there is not one for each image.
    pub fn with_targets(self, targets: Vec<u32>) -> Result<Self, Error> {
        check_count("targets", targets.len(), self.images.len())?;
        Ok(Self {
            targets: Some(targets),
            ..self
        })
    }

    /// The numbers of the images in their dataset, by which random numbers are drawn.
    ///
    /// # Errors
    /// [`Error::Argument`] if there is not one for each image.
    pub fn with_samples(self, samples: Vec<u64>) -> Result<Self, Error> {
        check_count("samples", samples.len(), self.images.len())?;
        Ok(Self { samples, ..self })
    }

    /// The key of all random numbers.
    #[must_use]
    pub fn with_key(self, key: Key) -> Self {
        Self { key, ..self }
    }

    /// Random numbers from elsewhere.
    #[must_use]
    pub fn with_draws(self, draws: &'a dyn Draws) -> Self {
        Self {
            draws: Some(draws),
            ..self
        }
    }

    /// Whether all labels and targets are among the model's classes. Every attack and every measure
    /// begins with this; who asks a model for the gradient of a loss by hand begins with it, too.
    ///
    /// # Errors
    /// [`Error::Argument`] that names the first class that is not.
    pub fn check(&self, model: &dyn AttackedModel) -> Result<(), Error> {
        let classes = model.num_classes();
        check_classes("labels", &self.labels, classes)?;
        check_classes("targets", self.targets.as_deref().unwrap_or(&[]), classes)
    }

    /// The images of these places alone.
    #[must_use]
    pub fn select(&self, indices: &[usize]) -> Self {
        let of = |values: &[u32]| indices.iter().map(|&index| values[index]).collect();
        Self {
            images: self.images.select(indices),
            labels: of(&self.labels),
            targets: self.targets.as_deref().map(of),
            samples: indices.iter().map(|&index| self.samples[index]).collect(),
            draws: self.draws,
            key: self.key,
        }
    }

    /// The images as they were.
    pub fn images(&self) -> &Images {
        &self.images
    }

    /// Their classes.
    pub fn labels(&self) -> &[u32] {
        &self.labels
    }

    /// The class that each is to be taken for, if any other will not do.
    pub fn targets(&self) -> Option<&[u32]> {
        self.targets.as_deref()
    }

    /// Their numbers in the dataset.
    pub fn samples(&self) -> &[u64] {
        &self.samples
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.images.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.images.is_empty()
    }

    /// Where random numbers come from.
    pub fn draws(&self) -> &dyn Draws {
        match self.draws {
            Some(draws) => draws,
            None => &self.key,
        }
    }

    /// Whether scores are what the attack wants of the image at a place: another class than its
    /// label, or its target.
    pub fn is_success(&self, index: usize, logits: &[f64]) -> bool {
        let prediction = highest(logits);
        match &self.targets {
            Some(targets) => prediction == targets[index],
            None => prediction != self.labels[index],
        }
    }

    /// Whether the scores of each image are what the attack wants.
    pub fn successes(&self, logits: &Logits) -> Vec<bool> {
        let rows = logits.rows().enumerate();
        rows.map(|(index, row)| self.is_success(index, row))
            .collect()
    }
}

fn check_count(name: &'static str, found: usize, images: usize) -> Result<(), Error> {
    if found == images {
        return Ok(());
    }
    Err(Error::argument(
        name,
        found,
        format!("{images}, one for each image"),
    ))
}

fn check_classes(name: &'static str, found: &[u32], classes: usize) -> Result<(), Error> {
    match found.iter().find(|class| **class as usize >= classes) {
        Some(class) => {
            let expected = format!("classes below {classes}, as many as the model has");
            Err(Error::argument(name, class, expected))
        }
        None => Ok(()),
    }
}
