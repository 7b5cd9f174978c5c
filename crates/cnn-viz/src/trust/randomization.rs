//! The weight-randomisation check (Adebayo et al. 2018, "Sanity Checks for Saliency Maps",
//! arXiv:1810.03292): a map that stays as layers lose what they learnt does not show what they
//! learnt.

use cnn_layers::LayerGroup;
use cnn_models::{ModelKind, NetworkOf};

use crate::Error;

/// A copy of the network in which the parameters and statistics of these groups are as before
/// training; `seed` decides them.
///
/// # Errors
/// If the copy cannot be built.
pub fn randomized<M: ModelKind + ?Sized>(
    network: &NetworkOf<M>,
    groups: &[LayerGroup],
    seed: u64,
) -> Result<NetworkOf<M>, Error> {
    let config = network.config();
    let copy = NetworkOf::with_dtype(
        *network.spec(),
        &config.model,
        seed,
        network.store().dtype(),
    )?;
    for (name, tensor) in network.store().tensors() {
        if !groups.iter().any(|group| group.contains(&name)) {
            copy.store().set(&name, &tensor)?;
        }
    }
    Ok(copy)
}

/// Three steps of the cascade from the output to the input, as a name and the groups that are
/// randomised: the head; the head and what feeds it; everything.
pub fn cascade<M: ModelKind + ?Sized>(network: &NetworkOf<M>) -> Vec<(String, Vec<LayerGroup>)> {
    let groups = network.model().layer_groups();
    let from_end = |count: usize| groups[groups.len().saturating_sub(count)..].to_vec();
    let mut steps = vec![("head".to_string(), from_end(1))];
    if groups.len() > 2 {
        let name = groups[groups.len() - 2].name.clone();
        steps.push((format!("{name} and head"), from_end(2)));
    }
    if groups.len() > 1 {
        steps.push(("all layers".to_string(), groups.to_vec()));
    }
    steps
}
