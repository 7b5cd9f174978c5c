//! What most programs name: `use cnn::prelude::*;`. Errors are not in it, since each crate has its
//! own; they are `cnn::models::Error` and so on.

#[cfg(feature = "layers")]
pub use candle_core::{DType, Device, Tensor};
#[cfg(feature = "core")]
pub use cnn_core::{Key, Preprocessing, RunDir};
#[cfg(feature = "data")]
pub use cnn_data::{
    Augmentation, Batch, BatchPlan, Dataset, Image, ImageFolder, RandomCrop, RandomHorizontalFlip,
    RandomResizedCrop, Sample, Shapes, ShapesConfig, Split, open_dataset, open_image,
};
#[cfg(feature = "layers")]
pub use cnn_layers::{
    Activate, Activation, AvgPool2d, Backbone, BatchNorm2dConfig, Builder, Classifier, Context,
    Conv2dConfig, ConvNormActConfig, Dropout, FeatureMap, GlobalAvgPool2d, Head, Init, Layer,
    LayerGroup, LinearConfig, MaxPool2d, Mode, Observer, Outputs, Padding, Residual, Segmenter,
    Sequential, StagedBuilder, StagedClassifier, Store,
};
#[cfg(feature = "models")]
pub use cnn_models::{Build, LoadOptions, ModelConfig, ModelSpec, Network, find, models, preset};
#[cfg(feature = "train")]
pub use cnn_train::{
    AugmentationPolicy, Classification, CrossEntropy, Forward, GradientStep, Metric, Notice,
    OptimizerConfig, PredictImages, Schedule, Step, Task, TrainConfig, Trainer, TrainingData,
};
#[cfg(feature = "transfer")]
pub use cnn_transfer::{
    BestEpoch, FineTune, FineTuneConfig, FineTuneNotice, Measured, Predict, Strategy, measure,
};
#[cfg(feature = "viz")]
pub use cnn_viz::{Explainer, InspectConfig, Method, Target, inspect, overlay};
