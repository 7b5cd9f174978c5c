//! The families, one file each.

pub(crate) mod convnext;
pub(crate) mod ghostnet;
pub(crate) mod lenet;
pub(crate) mod mobilenetv1;
pub(crate) mod mobilenetv2;
pub(crate) mod resnet;
pub(crate) mod resnet_cifar;
pub(crate) mod squeezenet;
