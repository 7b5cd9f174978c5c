//! The list of models that can be built by name.

use crate::bottlenecked;
use crate::detection::{faster_rcnn, fcos, retinanet, ssd, yolox};
use crate::families::{
    alexnet, convnext, darknet, densenet, efficientnet, efficientnetv2, ghostnet, googlenet,
    inception_v3, inception_v4, lenet, mnasnet, mobilenetv1, mobilenetv2, mobilenetv3, mobilenetv4,
    regnet, repvgg, resnet, resnet_cifar, shufflenetv2, squeezenet, vgg, xception,
    xception_aligned,
};
use crate::segmentation::{deeplabv3, fcn, lraspp, smp_deeplabv3plus, smp_unet, unet};
use crate::{Error, Kind, ModelSpec};

const FAMILIES: &[&[ModelSpec]] = &[
    lenet::MODELS,
    resnet_cifar::MODELS,
    resnet::MODELS,
    regnet::MODELS,
    repvgg::MODELS,
    darknet::MODELS,
    mobilenetv1::MODELS,
    mobilenetv2::MODELS,
    mobilenetv3::MODELS,
    mobilenetv4::MODELS,
    mnasnet::MODELS,
    efficientnet::MODELS,
    efficientnetv2::MODELS,
    squeezenet::MODELS,
    alexnet::MODELS,
    vgg::MODELS,
    googlenet::MODELS,
    inception_v3::MODELS,
    inception_v4::MODELS,
    convnext::MODELS,
    ghostnet::MODELS,
    densenet::MODELS,
    shufflenetv2::MODELS,
    xception::MODELS,
    xception_aligned::MODELS,
    bottlenecked::MODELS,
    unet::MODELS,
    smp_unet::MODELS,
    fcn::MODELS,
    deeplabv3::MODELS,
    smp_deeplabv3plus::MODELS,
    lraspp::MODELS,
    yolox::MODELS,
    ssd::MODELS,
    faster_rcnn::MODELS,
    retinanet::MODELS,
    fcos::MODELS,
];

/// All registered models, family by family.
pub fn models() -> impl Iterator<Item = &'static ModelSpec> {
    FAMILIES.iter().copied().flatten()
}

/// The registered models of one kind, in the order of [`models`].
pub fn models_of(kind: Kind) -> impl Iterator<Item = &'static ModelSpec> {
    models().filter(move |spec| spec.kind() == kind)
}

/// The families with their models, in the order of [`models`]; a family whose models stand apart
/// there is one here.
pub fn families() -> Vec<(&'static str, Vec<&'static ModelSpec>)> {
    let mut families: Vec<(&str, Vec<&ModelSpec>)> = Vec::new();
    for spec in models() {
        match families
            .iter_mut()
            .find(|(family, _)| *family == spec.family)
        {
            Some((_, members)) => members.push(spec),
            None => families.push((spec.family, vec![spec])),
        }
    }
    families
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
}
