//! The families, one file each.

pub(crate) mod densenet;
pub(crate) mod lenet;
pub(crate) mod mobilenetv1;
pub(crate) mod mobilenetv2;
pub(crate) mod resnet;
pub(crate) mod resnet_cifar;
pub(crate) mod shufflenetv2;
pub(crate) mod squeezenet;
pub(crate) mod xception;
pub(crate) mod xception_aligned;
