//! What is to be found, checked before a loss is computed.

use candle_core::Result;
use cnn_layers::{DetectionTargets, Error, ImageObjects};

/// Whether there are targets for so many images, with a class for each box, which the network has.
///
/// # Errors
/// If not, with the numbers.
pub(super) fn check_targets(
    targets: &DetectionTargets,
    batch: usize,
    num_classes: usize,
) -> Result<()> {
    let images = targets.images.len();
    if images != batch {
        let expected = format!("{batch}, one for each image");
        return Err(Error::argument("targets", images, expected).into());
    }
    for ImageObjects { boxes, classes } in &targets.images {
        if classes.len() != boxes.len() {
            let expected = format!("{}, one for each box", boxes.len());
            return Err(Error::argument("classes of objects", classes.len(), expected).into());
        }
        if let Some(class) = classes.iter().find(|&&class| class >= num_classes) {
            let expected = format!("a number below {num_classes}");
            return Err(Error::argument("the class of an object", class, expected).into());
        }
    }
    Ok(())
}
