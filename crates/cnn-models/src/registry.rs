//! The list of models that can be built by name.

use cnn_core::{
    IMAGENET_INCEPTION_MEAN, IMAGENET_INCEPTION_STD, IMAGENET_MEAN, IMAGENET_STD, Interpolation,
    Preprocessing,
};
use cnn_layers::{Builder, Classifier};

use crate::families::{lenet, mobilenetv1, mobilenetv2, resnet, resnet_cifar, squeezenet};
use crate::{Error, ModelConfig};

/// A model, or why it cannot be built.
pub type Built = Result<Box<dyn Classifier>, Error>;

/// One registered model.
#[derive(Debug, Clone, Copy)]
pub struct ModelSpec {
    /// Name, timm's where timm has the model.
    pub name: &'static str,
    /// Family, as `resnet`.
    pub family: &'static str,
    /// Where the architecture was published.
    pub paper: &'static str,
    /// Builds it over a store.
    pub build: fn(&ModelConfig, &Builder) -> Built,
    /// Learnable values with the default number of classes.
    pub parameters: usize,
    /// Multiply-adds of the convolutions and linear layers for one image of the default size.
    pub multiply_adds: u64,
    /// Default preprocessing.
    pub preset: Preset,
    /// Default number of classes.
    pub num_classes: usize,
    /// Names of the default classes; empty for ImageNet's, which are data.
    pub labels: &'static [&'static str],
    /// Default channels of the input.
    pub in_channels: usize,
    /// The module that reads the image.
    pub first_conv: &'static str,
    /// The module that gives the class scores.
    pub classifier: &'static str,
    /// Translates the tensor names of other libraries; `None` for names that stay.
    pub rename: fn(&str) -> Option<String>,
    /// Where pretrained weights are published.
    pub weights: &'static [WeightSource],
}

impl ModelSpec {
    /// What most ImageNet models share, for `..` in a family's table.
    pub(crate) const IMAGENET: Self = Self {
        name: "",
        family: "",
        paper: "",
        build: |_, _| unreachable!("every table sets its build function"),
        parameters: 0,
        multiply_adds: 0,
        preset: Preset::ImageNet,
        num_classes: 1000,
        labels: &[],
        in_channels: 3,
        first_conv: "",
        classifier: "",
        rename: |_| None,
        weights: &[],
    };

    /// Names for `num_classes` classes, where the model has that many named ones.
    pub(crate) fn label_names(&self, num_classes: usize) -> Option<Vec<String>> {
        let named = self.labels.len() == num_classes && num_classes > 0;
        named.then(|| self.labels.iter().map(ToString::to_string).collect())
    }

    /// The default preprocessing.
    pub fn preprocessing(&self) -> Preprocessing {
        self.preset.preprocessing()
    }
}

/// Preprocessing that several models share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    /// 224×224, bicubic, crop 0.875, ImageNet's mean and standard deviation.
    ImageNet,
    /// 224×224, bicubic, crop 0.875, mean and standard deviation 0.5.
    Inception,
    /// 32×32, no crop, ImageNet's mean and standard deviation, with which the published CIFAR
    /// ResNets were trained.
    Cifar10,
    /// 28×28 grey, no crop, mean 0.1307 and standard deviation 0.3081.
    Mnist,
}

impl Preset {
    /// The record.
    pub fn preprocessing(self) -> Preprocessing {
        let imagenet = Preprocessing {
            mean: IMAGENET_MEAN.to_vec(),
            std: IMAGENET_STD.to_vec(),
            ..Preprocessing::default()
        };
        let uncropped = Preprocessing {
            crop_pct: 1.,
            interpolation: Interpolation::Bilinear,
            ..imagenet.clone()
        };
        match self {
            Self::ImageNet => imagenet,
            Self::Inception => Preprocessing {
                mean: IMAGENET_INCEPTION_MEAN.to_vec(),
                std: IMAGENET_INCEPTION_STD.to_vec(),
                ..imagenet
            },
            Self::Cifar10 => Preprocessing {
                input_size: [3, 32, 32],
                ..uncropped
            },
            Self::Mnist => Preprocessing {
                input_size: [1, 28, 28],
                mean: vec![0.1307],
                std: vec![0.3081],
                ..uncropped
            },
        }
    }
}

/// Where pretrained weights are published.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WeightSource {
    /// torchvision's name of the weights, as `IMAGENET1K_V1`, or timm's tag, as `a1_in1k`.
    pub tag: &'static str,
    /// A URL, or `hf:owner/name` on the Hugging Face hub.
    pub location: &'static str,
    /// First digits of the file's sha256, where it is published.
    pub sha256_prefix: Option<&'static str>,
    /// SPDX name of the licence.
    pub license: &'static str,
    /// Published top-1 accuracy on ImageNet's validation set, in percent.
    pub top1: Option<f64>,
}

impl WeightSource {
    /// The address of the file, or of the repository on the Hugging Face hub.
    pub fn url(&self) -> String {
        match self.location.strip_prefix("hf:") {
            Some(repository) => format!("https://huggingface.co/{repository}"),
            None => self.location.to_string(),
        }
    }

    pub(crate) const fn torchvision(
        tag: &'static str,
        url: &'static str,
        sha256: &'static str,
        top1: f64,
    ) -> Self {
        Self {
            tag,
            location: url,
            sha256_prefix: Some(sha256),
            license: "bsd-3-clause",
            top1: Some(top1),
        }
    }

    pub(crate) const fn hub(
        tag: &'static str,
        repository: &'static str,
        license: &'static str,
    ) -> Self {
        Self {
            tag,
            location: repository,
            sha256_prefix: None,
            license,
            top1: None,
        }
    }
}

const FAMILIES: &[&[ModelSpec]] = &[
    lenet::MODELS,
    resnet_cifar::MODELS,
    resnet::MODELS,
    mobilenetv1::MODELS,
    mobilenetv2::MODELS,
    squeezenet::MODELS,
];

/// All registered models, family by family.
pub fn models() -> impl Iterator<Item = &'static ModelSpec> {
    FAMILIES.iter().copied().flatten()
}

/// The model called `name`.
///
/// # Errors
/// [`Error::UnknownModel`] with the nearest registered name.
pub fn find(name: &str) -> Result<&'static ModelSpec, Error> {
    models()
        .find(|spec| spec.name == name)
        .ok_or_else(|| Error::UnknownModel {
            name: name.to_string(),
            suggestion: cnn_core::did_you_mean(name, models().map(|spec| spec.name)),
            count: models().count(),
        })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_are_unique_and_near_misses_are_suggested() {
        let names: std::collections::BTreeSet<_> = models().map(|spec| spec.name).collect();
        assert_eq!(names.len(), models().count());
        for (name, nearest) in [
            ("resnet-18", "resnet18"),
            ("resnet20", "resnet20_cifar10"),
            ("v2", "mobilenetv2_"),
        ] {
            let message = find(name).unwrap_err().to_string();
            assert!(
                message.contains(&format!("did you mean `{nearest}")),
                "{message}"
            );
        }
    }

    #[test]
    fn published_weights_have_an_address() {
        for source in models().flat_map(|spec| spec.weights) {
            assert!(
                source.url().starts_with("https://") && !source.url().contains("hf:"),
                "{}",
                source.url()
            );
        }
    }
}
