//! The contract of models, and the builder that fulfils it for a chain of stages.

mod backbone;
mod classifier;
mod detector;
mod encoder_decoder;
mod head;
mod layer_group;
mod outputs;
mod segmenter;
mod staged_backbone;
mod staged_builder;
mod staged_classifier;

pub use backbone::{Backbone, StageInfo};
pub use classifier::Classifier;
pub use detector::{
    DetectedObject, DetectionLimits, DetectionTargets, Detector, ImageObjects, NamedLoss,
    RawOutput, ScoredBoxes,
};
pub use encoder_decoder::{Decoder, DecoderModules, EncoderDecoder};
pub use head::{Head, LinearHead};
pub use layer_group::LayerGroup;
pub use outputs::{AuxiliaryOutput, Outputs};
pub use segmenter::Segmenter;
pub use staged_backbone::StagedBackbone;
pub use staged_builder::{StagedBuilder, Step};
pub use staged_classifier::StagedClassifier;
