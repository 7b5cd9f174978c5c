//! Networks that find objects, one folder per family, and what they share.

pub(crate) mod faster_rcnn;
pub(crate) mod fcos;
mod places;
mod pyramid_backbone;
pub(crate) mod retinanet;
pub(crate) mod ssd;
mod suppression;
mod targets;
mod torchvision_files;
pub(crate) mod yolox;

use suppression::suppress;
use targets::check_targets;
