//! What `--data` means: a path, the name of a dataset that is downloaded once, or `shapes`, which is
//! drawn as it is read.

use std::cell::OnceCell;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow};
use cnn_core::suggest;
use cnn_data::{Dataset, Error, FoundDataset, MaskClasses, PhotoList, Shapes, ShapesConfig, Split};
use cnn_hub::DatasetEntry;

use crate::args::Unusable;
use crate::{hub, os_text};

/// A dataset by path or by name.
pub(crate) enum Source {
    Shapes(ShapesConfig),
    Path(Box<Place>),
}

/// Where a dataset lies, and what was found there when it was first looked at.
pub(crate) struct Place {
    pub(crate) path: PathBuf,
    found: OnceCell<FoundDataset>,
}

/// What is said of masks beside what their folder says.
#[derive(Debug, Default)]
pub(crate) struct MaskOptions {
    /// A file of their classes.
    pub(crate) classes: Option<PathBuf>,
    /// The stored number that is no class.
    pub(crate) ignored: Option<u8>,
}

impl Place {
    pub(crate) fn found(&self) -> Result<&FoundDataset> {
        if let Some(found) = self.found.get() {
            return Ok(found);
        }
        let found = FoundDataset::at(&self.path)?;
        Ok(self.found.get_or_init(|| found))
    }
}

impl Source {
    /// Understands `shapes` and `shapes:…`, which no path hides but `./shapes`. A path that exists
    /// is that path; else the name of a dataset is its folder, downloaded unless it is there.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        if Self::is_drawn(text) {
            return Ok(Self::Shapes(
                ShapesConfig::from_str(text).context(Unusable)?,
            ));
        }
        let path = os_text::path(&Self::local(text)?);
        if !path.exists() {
            refuse_a_misspelt_name(text)?;
        }
        Ok(Self::Path(Box::new(Place {
            path,
            found: OnceCell::new(),
        })))
    }

    /// The same with what is said of its masks.
    pub(crate) fn with_masks(self, options: &MaskOptions) -> Result<Self> {
        let MaskOptions { classes, ignored } = options;
        if classes.is_none() && ignored.is_none() {
            return Ok(self);
        }
        let Self::Path(place) = self else {
            let message =
                "the masks of shapes have their classes; leave --classes and --ignore-index out";
            return Err(anyhow!(message).context(Unusable));
        };
        let path = place.path;
        let mut found = FoundDataset::at(&path)?;
        if let Some(file) = classes {
            found = found.with_mask_classes(MaskClasses::read(file)?)?;
        }
        if let Some(number) = *ignored {
            found = found.with_ignored(number)?;
        }
        Ok(Self::Path(Box::new(Place {
            path,
            found: OnceCell::from(found),
        })))
    }

    /// Whether it names images that are drawn as they are read.
    pub(crate) fn is_drawn(text: &str) -> bool {
        text == "shapes" || text.starts_with("shapes:")
    }

    /// A path in place of the name of a dataset that is downloaded, which is found again from
    /// anywhere.
    pub(crate) fn local(text: &str) -> Result<String> {
        // `PATH:NAME` is a configuration of a dataset.
        let front = text.rsplit_once(':').map_or(text, |(front, _)| front);
        let is_path = [text, front]
            .iter()
            .any(|path| os_text::path(path).exists());
        if is_path || Self::is_drawn(text) {
            return Ok(text.to_string());
        }
        let folder = hub::dataset(text)?.map(|folder| os_text::text(folder.as_os_str()));
        Ok(folder.unwrap_or_else(|| text.to_string()))
    }

    /// The splits that there are; none for a dataset in one piece.
    pub(crate) fn splits(&self) -> Result<Vec<Split>> {
        match self {
            Self::Shapes(_) => Ok(Split::ALL.to_vec()),
            Self::Path(place) => Ok(place.found()?.splits()),
        }
    }

    /// How a folder was understood where that is not plain, and what is left out, in sentences.
    pub(crate) fn notes(&self) -> Result<Vec<String>> {
        match self {
            Self::Shapes(_) => Ok(Vec::new()),
            Self::Path(place) => Ok(place.found()?.notes().to_vec()),
        }
    }

    /// Opens a split, or the whole where there is only one piece.
    pub(crate) fn open(&self, split: Option<Split>) -> Result<Arc<dyn Dataset>> {
        let config = match self {
            Self::Path(place) => return Ok(place.found()?.open(split)?),
            Self::Shapes(config) => config,
        };
        let split = split.context(
            "shapes has several splits, choose one of `train`, `val` and `test` by --split",
        );
        let split = split.context(Unusable)?;
        let samples = if split == Split::Train {
            config.samples
        } else {
            1000
        };
        Ok(Arc::new(Shapes::new(
            config.clone().with_split(split).with_samples(samples),
        )?))
    }

    /// The same for who needs no labels: what is no dataset may be a photo or a folder of them.
    pub(crate) fn open_images(&self, split: Option<Split>) -> Result<Arc<dyn Dataset>> {
        let opened = self.open(split);
        let Err(error) = &opened else { return opened };
        let unknown = matches!(error.downcast_ref(), Some(Error::UnknownDataset { .. }));
        match self {
            Self::Path(place) if unknown && split.is_none() => {
                match PhotoList::open(&[&place.path]) {
                    Ok(photos) => Ok(Arc::new(photos)),
                    Err(_) => opened,
                }
            }
            _ => opened,
        }
    }
}

/// Says of what is neither a path nor a name which name it may be.
fn refuse_a_misspelt_name(text: &str) -> Result<()> {
    let name = text.split(':').next().unwrap_or_default();
    let named = DatasetEntry::all().iter().map(|entry| entry.name.as_str());
    match suggest(name, std::iter::once("shapes").chain(named)) {
        Some(near) if !name.contains(['/', '\\']) => {
            Err(anyhow!("there is no {text}; did you mean `{near}`?").context(Unusable))
        }
        _ => Ok(()),
    }
}
