//! The second view of methods that have one.

use cnn_data::{Augmentation, ColorJitter, RandomAffine, RandomErasing};

use crate::Error;

/// A strong augmentation that fits photos and digits: turned by up to 15°, moved by up to a tenth,
/// 0.8 to 1.2 times as large, with other light and colours, and with a part erased every other time.
/// Nothing is mirrored, since mirrored digits are none.
///
/// # Errors
/// None but what the transforms refuse, which take these numbers.
pub fn strong_augmentation() -> Result<Augmentation, Error> {
    let affine = RandomAffine::new(15.)?
        .with_translation(0.1, 0.1)?
        .with_scale(0.8, 1.2)?;
    Ok(Augmentation::new()
        .then(affine)
        .then(ColorJitter::new(0.4, 0.4, 0.4, 0.1)?)
        .then(RandomErasing::new(0.5)?))
}
