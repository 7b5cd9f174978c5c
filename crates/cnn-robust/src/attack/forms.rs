//! Asking a model about many forms of one image.

use crate::{AttackedModel, Error, Images};

/// How many forms are asked about at once: what bounds an attack's memory.
const AT_ONCE: usize = 128;

/// The class scores of each form of an image of this size.
pub(super) fn scores_of(
    model: &dyn AttackedModel,
    size: [usize; 3],
    forms: impl IntoIterator<Item = Vec<f64>>,
) -> Result<Vec<Vec<f64>>, Error> {
    let mut forms = forms.into_iter();
    let mut scores = Vec::new();
    loop {
        let some: Vec<Vec<f64>> = forms.by_ref().take(AT_ONCE).collect();
        if some.is_empty() {
            return Ok(scores);
        }
        let images = Images::new(some.len(), size, some.concat())?;
        scores.extend(model.logits(&images)?.rows().map(<[f64]>::to_vec));
    }
}
