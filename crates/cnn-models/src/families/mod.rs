//! The families, one file each; `mobile` builds those that are tables of mobile blocks.

pub(crate) mod efficientnet;
pub(crate) mod efficientnetv2;
pub(crate) mod lenet;
pub(crate) mod mnasnet;
mod mobile;
pub(crate) mod mobilenetv1;
pub(crate) mod mobilenetv2;
pub(crate) mod mobilenetv3;
pub(crate) mod mobilenetv4;
pub(crate) mod resnet;
pub(crate) mod resnet_cifar;
pub(crate) mod squeezenet;
