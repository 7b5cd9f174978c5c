//! The crate's error type.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use cnn_core::ArgumentError;

use crate::{DatasetFormat, FileFormat, MaskFault, Split};

/// Everything that can go wrong in this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The operating system refused something.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried, as a verb phrase: "read", "list".
        action: &'static str,
        /// The file or directory that it was tried on.
        path: PathBuf,
        /// What the operating system answered.
        source: io::Error,
    },
    /// Something went wrong with one sample or one file; the cause says what.
    #[error("{id}: {source}")]
    At {
        /// The file, or the sample inside a file ("test.parquet#12").
        id: String,
        /// What went wrong.
        source: Box<Error>,
    },
    /// The bytes begin like no image format that is read here.
    #[error("not an image: {found}; accepted: {}", FileFormat::ACCEPTED)]
    NotAnImage {
        /// What the bytes look like instead.
        found: String,
    },
    /// A GIF among training images.
    #[error(
        "a GIF, which is a drawing, an animation or a placeholder rather than a photo; class folders take JPEG, PNG, BMP and WebP"
    )]
    NotAPhoto,
    /// The image's data are damaged, cut, or of a kind that the decoder does not know.
    #[error("broken {format}: {reason}")]
    BrokenImage {
        /// The format that the first bytes announce.
        format: FileFormat,
        /// What the decoder found.
        reason: String,
    },
    /// An image declares more pixels than the limits allow. Nothing was allocated for it.
    #[error(
        "declares {width}x{height} pixels, accepted are at most {max_side} on a side and {max_pixels} in all"
    )]
    TooLarge {
        /// Declared width.
        width: u64,
        /// Declared height.
        height: u64,
        /// The longest side accepted.
        max_side: u64,
        /// The most pixels accepted.
        max_pixels: u64,
    },
    /// Pixels and dimensions do not go together.
    #[error(
        "{height}x{width} pixels with {channels} channels from {found} bytes, expected {expected}"
    )]
    InvalidImage {
        /// Height.
        height: usize,
        /// Width.
        width: usize,
        /// Number of channels.
        channels: usize,
        /// Number of bytes given.
        found: usize,
        /// What would be accepted.
        expected: &'static str,
    },
    /// An argument is out of its range.
    #[error(transparent)]
    Argument(#[from] ArgumentError),
    /// The preprocessing record cannot be used.
    #[error(transparent)]
    Preprocessing(#[from] cnn_core::Error),
    /// A sample's number is not below the dataset's length.
    #[error("sample {index} of a dataset with {len} samples")]
    NoSuchSample {
        /// The number asked for.
        index: usize,
        /// The number of samples.
        len: usize,
    },
    /// A path holds nothing that is recognised as a dataset.
    #[error("{} is no dataset that is known here: {reason}; looked for: {}", path.display(), crate::dataset::LOOKED_FOR)]
    UnknownDataset {
        /// The path.
        path: PathBuf,
        /// What was found instead.
        reason: String,
    },
    /// A folder can be understood in several ways, or images in it would be left out.
    #[error("{}: {reason}", path.display())]
    Ambiguous {
        /// The folder.
        path: PathBuf,
        /// The ways, and what to do.
        reason: String,
    },
    /// A dataset has several configurations, and the one that was asked for is none of them.
    #[error("{} {}", path.display(), about_configurations(asked.as_deref(), existing))]
    Configuration {
        /// The dataset's path.
        path: PathBuf,
        /// The one that was asked for.
        asked: Option<String>,
        /// Those that exist, in words.
        existing: String,
    },
    /// The dataset's format is known, and its reader was left out of this build.
    #[error(
        "{} is a dataset in the format {format}, but cnn-data was built without the feature `{feature}`; \
         enable it in Cargo.toml: cnn-data = {{ ..., features = [\"{feature}\"] }}",
        path.display()
    )]
    WithoutFeature {
        /// The path.
        path: PathBuf,
        /// The format that was recognised.
        format: DatasetFormat,
        /// The feature of this crate to enable.
        feature: &'static str,
    },
    /// The dataset lacks the split that was asked for.
    #[error("{} has no split `{asked}`, it has {existing}", path.display())]
    NoSuchSplit {
        /// The dataset's path.
        path: PathBuf,
        /// The split that was asked for.
        asked: Split,
        /// The splits that exist, in words.
        existing: String,
    },
    /// The dataset has several splits and none was chosen.
    #[error("{} has several splits, choose one of {existing}", path.display())]
    SplitNotChosen {
        /// The dataset's path.
        path: PathBuf,
        /// The splits that exist, in words.
        existing: String,
    },
    /// A dataset's file contradicts its format.
    #[error("{}: {reason}", path.display())]
    BrokenDataset {
        /// The file.
        path: PathBuf,
        /// What is wrong and what was expected.
        reason: String,
    },
    /// The mask of a photo cannot be used.
    #[error("{}: {fault}", path.display())]
    Mask {
        /// The file of the mask; the photo where there is none, or several.
        path: PathBuf,
        /// What is wrong with it.
        fault: MaskFault,
    },
    /// No image was found where images were expected.
    #[error("no images in {}; accepted: {}", path.display(), FileFormat::ACCEPTED)]
    NoImages {
        /// The folder that was searched.
        path: PathBuf,
    },
    /// What a dataset or a transform of the user's own reports.
    #[error(transparent)]
    Other(Box<dyn std::error::Error + Send + Sync>),
    /// A tensor could not be made.
    #[cfg(feature = "tensors")]
    #[error("cannot make a tensor of a batch")]
    Tensor(#[from] candle_core::Error),
}

fn about_configurations(asked: Option<&str>, existing: &str) -> String {
    match asked {
        Some(name) => format!("has no configuration `{name}`, it has {existing}"),
        None => format!("has several configurations, choose one of {existing} as PATH:NAME"),
    }
}

impl Error {
    /// What a dataset or a transform of one's own reports: an error or a text.
    pub fn other(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Other(error.into())
    }

    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io {
            action,
            path: path.to_owned(),
            source,
        }
    }

    /// What `write_atomic` says.
    pub(crate) fn of_write(error: cnn_core::Error) -> Self {
        match error {
            cnn_core::Error::Io {
                action,
                path,
                source,
            } => Self::Io {
                action,
                path,
                source,
            },
            other => Self::argument("path", other, "a file name"),
        }
    }

    pub(crate) fn broken_dataset(path: &Path, reason: impl fmt::Display) -> Self {
        Self::BrokenDataset {
            path: path.to_owned(),
            reason: reason.to_string(),
        }
    }

    pub(crate) fn argument(
        name: &'static str,
        found: impl fmt::Display,
        expected: impl Into<String>,
    ) -> Self {
        Self::Argument(ArgumentError::new(name, found, expected))
    }

    /// Says which file or sample the error is about.
    pub(crate) fn at(self, id: impl Into<String>) -> Self {
        Self::At {
            id: id.into(),
            source: Box::new(self),
        }
    }

    /// The error without the name of the file or sample that it is about, for a list that has a
    /// column of its own for the name.
    pub fn reason(&self) -> String {
        let mut error = self;
        while let Self::At { source, .. } = error {
            error = source;
        }
        match error {
            Self::Io { source, .. } => format!("{error}: {source}"),
            _ => error.to_string(),
        }
    }
}
