//! The families, one file each; `mobile` builds those that are tables of mobile blocks.

pub(crate) mod alexnet;
pub(crate) mod convnext;
pub(crate) mod darknet;
pub(crate) mod densenet;
pub(crate) mod efficientnet;
pub(crate) mod efficientnetv2;
pub(crate) mod ghostnet;
pub(crate) mod googlenet;
pub(crate) mod inception_v3;
pub(crate) mod inception_v4;
pub(crate) mod lenet;
pub(crate) mod mnasnet;
mod mobile;
pub(crate) mod mobilenetv1;
pub(crate) mod mobilenetv2;
pub(crate) mod mobilenetv3;
pub(crate) mod mobilenetv4;
pub(crate) mod regnet;
pub(crate) mod repvgg;
pub(crate) mod resnet;
pub(crate) mod resnet_cifar;
pub(crate) mod shufflenetv2;
pub(crate) mod squeezenet;
pub(crate) mod vgg;
pub(crate) mod xception;
pub(crate) mod xception_aligned;
