//! A few labelled images of the target: the bridge from adaptation without labels to fine-tuning.

use std::sync::Arc;

use cnn_core::Key;
use cnn_data::{Content, Dataset, DatasetFormat, Sample, Subset};

use crate::Error;

/// Some images of each class of the target, the labels of which may be known, as in semi-supervised
/// adaptation (Saito et al. 2019, "Semi-supervised Domain Adaptation via Minimax Entropy",
/// arXiv:1904.06487).
///
/// ```
/// use std::sync::Arc;
///
/// use cnn_core::Key;
/// use cnn_data::{Dataset, Shapes, ShapesConfig, Split};
/// use cnn_transfer::adapt::FewLabels;
///
/// let shapes = |split| Shapes::new(ShapesConfig::default().with_split(split).with_samples(200));
/// let target: Arc<dyn Dataset> = Arc::new(shapes(Split::Test)?);
/// let few = FewLabels::draw(&target, 3, Key::new(0))?;
/// assert_eq!(few.places().len(), 3 * target.classes().len());
///
/// // Half of the images that a batch is drawn from.
/// let source: Arc<dyn Dataset> = Arc::new(shapes(Split::Train)?);
/// assert_eq!(few.beside(source)?.len(), 2 * 200);
/// # Ok::<(), cnn_transfer::Error>(())
/// ```
#[derive(Clone)]
pub struct FewLabels {
    target: Arc<dyn Dataset>,
    places: Vec<usize>,
}

impl FewLabels {
    /// Draws so many images of each class that the target has images of, from `key`.
    ///
    /// # Errors
    /// [`Error::NoLabels`] if no image has a label, [`Error::Argument`] if a class has fewer, or
    /// none are wanted.
    pub fn draw(target: &Arc<dyn Dataset>, per_class: usize, key: Key) -> Result<Self, Error> {
        if per_class == 0 {
            return Err(Error::argument(
                "target labels",
                0,
                "at least 1 of each class",
            ));
        }
        let mut of_class = vec![Vec::new(); target.classes().len()];
        for index in 0..target.len() {
            let label = target.label(index);
            if let Some(images) = label.and_then(|label| of_class.get_mut(label)) {
                images.push(index);
            }
        }
        let mut places = Vec::new();
        for (class, mut images) in of_class.into_iter().enumerate() {
            if images.is_empty() {
                continue;
            }
            if images.len() < per_class {
                let name = &target.classes()[class];
                let found = format!("{per_class} of each class");
                let expected = format!("at most {}, as many as there are of {name}", images.len());
                return Err(Error::argument("target labels", found, expected));
            }
            key.at(class as u64).rng().shuffle(&mut images);
            places.extend_from_slice(&images[..per_class]);
        }
        if places.is_empty() {
            return Err(Error::NoLabels);
        }
        places.sort_unstable();
        Ok(Self {
            target: target.clone(),
            places,
        })
    }

    /// The numbers of the images in the target.
    pub fn places(&self) -> &[usize] {
        &self.places
    }

    /// The images alone, as often as makes at least so many.
    ///
    /// # Errors
    /// None but what [`Subset::new`] says of a dataset that changes its length.
    pub fn repeated(&self, at_least: usize) -> Result<Subset, Error> {
        let times = at_least.div_ceil(self.places.len()).max(1);
        let places = self.places.repeat(times);
        Ok(Subset::new(self.target.clone(), places)?)
    }

    /// The images of a source, and as many of these beside them, over and over: each is half of what
    /// a batch is drawn from.
    ///
    /// # Errors
    /// [`Error::Argument`] if the classes are not the source's.
    pub fn beside(&self, source: Arc<dyn Dataset>) -> Result<impl Dataset + 'static, Error> {
        if source.classes() != self.target.classes() {
            let found = self.target.classes().join(", ");
            let expected = format!("those of the source: {}", source.classes().join(", "));
            return Err(Error::argument("classes of the target", found, expected));
        }
        let few = self.places.iter().copied().cycle().take(source.len());
        Ok(Beside {
            few: Subset::new(self.target.clone(), few.collect())?,
            source,
        })
    }
}

/// Images of the source, behind them those of the target.
struct Beside {
    source: Arc<dyn Dataset>,
    few: Subset,
}

impl Beside {
    /// The dataset that a number is of, and its number there.
    fn place(&self, index: usize) -> Place<'_> {
        match index.checked_sub(self.source.len()) {
            None => Place {
                dataset: self.source.as_ref(),
                index,
            },
            Some(index) => Place {
                dataset: &self.few,
                index,
            },
        }
    }
}

struct Place<'a> {
    dataset: &'a dyn Dataset,
    index: usize,
}

impl Dataset for Beside {
    fn format(&self) -> DatasetFormat {
        self.source.format()
    }

    fn len(&self) -> usize {
        self.source.len() + self.few.len()
    }

    fn classes(&self) -> &[String] {
        self.source.classes()
    }

    fn id(&self, index: usize) -> String {
        let place = self.place(index);
        place.dataset.id(place.index)
    }

    fn label(&self, index: usize) -> Option<usize> {
        let place = self.place(index);
        place.dataset.label(place.index)
    }

    fn content(&self, index: usize) -> Result<Content, cnn_data::Error> {
        let place = self.place(index);
        place.dataset.content(place.index)
    }

    fn read(&self, index: usize) -> Result<Sample, cnn_data::Error> {
        let place = self.place(index);
        place.dataset.read(place.index)
    }
}
