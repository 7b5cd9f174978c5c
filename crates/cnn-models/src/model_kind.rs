//! What a model is for, and how networks of each kind are told apart.

use cnn_layers::{Classifier, Detector, LayerGroup, Segmenter};

/// What a model is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Kind {
    /// It tells the class of an image: a [`Classifier`].
    Classification,
    /// It tells the class of every pixel: a [`Segmenter`].
    Segmentation,
    /// It finds objects: a [`Detector`].
    Detection,
}

impl Kind {
    /// The kind's name, as `--task` of the command line has it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Classification => "classification",
            Self::Segmentation => "segmentation",
            Self::Detection => "detection",
        }
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// A built model of any kind; [`ModelSpec::build_any`](crate::ModelSpec::build_any) gives it.
#[non_exhaustive]
pub enum Model {
    /// A model of [`Kind::Classification`].
    Classifier(Box<dyn Classifier>),
    /// A model of [`Kind::Segmentation`].
    Segmenter(Box<dyn Segmenter>),
    /// A model of [`Kind::Detection`].
    Detector(Box<dyn Detector>),
}

impl Model {
    /// The parameters in groups by depth; the last is the head.
    pub fn layer_groups(&self) -> &[LayerGroup] {
        match self {
            Self::Classifier(model) => model.layer_groups(),
            Self::Segmenter(model) => model.layer_groups(),
            Self::Detector(model) => model.layer_groups(),
        }
    }
}

/// What networks of one kind have in common: a trait object that says what a model of the kind can
/// do, such as `dyn Classifier`.
pub trait ModelKind: Send + Sync + sealed::Sealed {
    /// The kind.
    const KIND: Kind;

    /// A model as one of this kind; `None` if it is of another.
    fn of(model: Model) -> Option<Box<Self>>;

    /// Number of classes.
    fn num_classes(&self) -> usize;

    /// Channels of the map that the head reads, where one map is all that it reads.
    fn num_features(&self) -> Option<usize>;

    /// The parameters in groups by depth; the last is the head.
    fn layer_groups(&self) -> &[LayerGroup];
}

impl ModelKind for dyn Classifier {
    const KIND: Kind = Kind::Classification;

    fn of(model: Model) -> Option<Box<Self>> {
        match model {
            Model::Classifier(model) => Some(model),
            _ => None,
        }
    }

    fn num_classes(&self) -> usize {
        Classifier::num_classes(self)
    }

    fn num_features(&self) -> Option<usize> {
        Some(Classifier::num_features(self))
    }

    fn layer_groups(&self) -> &[LayerGroup] {
        cnn_layers::Backbone::layer_groups(self)
    }
}

impl ModelKind for dyn Segmenter {
    const KIND: Kind = Kind::Segmentation;

    fn of(model: Model) -> Option<Box<Self>> {
        match model {
            Model::Segmenter(model) => Some(model),
            _ => None,
        }
    }

    fn num_classes(&self) -> usize {
        Segmenter::num_classes(self)
    }

    fn num_features(&self) -> Option<usize> {
        None
    }

    fn layer_groups(&self) -> &[LayerGroup] {
        Segmenter::layer_groups(self)
    }
}

impl ModelKind for dyn Detector {
    const KIND: Kind = Kind::Detection;

    fn of(model: Model) -> Option<Box<Self>> {
        match model {
            Model::Detector(model) => Some(model),
            _ => None,
        }
    }

    fn num_classes(&self) -> usize {
        Detector::num_classes(self)
    }

    fn num_features(&self) -> Option<usize> {
        None
    }

    fn layer_groups(&self) -> &[LayerGroup] {
        Detector::layer_groups(self)
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for dyn cnn_layers::Classifier {}
    impl Sealed for dyn cnn_layers::Segmenter {}
    impl Sealed for dyn cnn_layers::Detector {}
}
