//! Networks that find objects, one folder per family.

pub(crate) mod ssd;
mod suppression;
mod targets;
pub(crate) mod yolox;

use suppression::suppress;
use targets::check_targets;
