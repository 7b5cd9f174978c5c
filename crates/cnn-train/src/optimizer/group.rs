//! Parameters that share their settings.

use candle_core::Var;

/// Parameters with their own rate and weight decay.
#[derive(Debug, Clone)]
pub struct ParamGroup {
    /// What it is called.
    pub name: String,
    /// The parameters under their unique names.
    pub parameters: Vec<(String, Var)>,
    /// Multiplies the learning rate; finite, not negative.
    pub lr_scale: f64,
    /// The pull towards 0; finite, not negative.
    pub weight_decay: f64,
}

/// Splits parameters into the groups `decay` and `no_decay`: biases (names that end in `.bias`) and
/// all with at most one dimension, such as a normalisation's weight or a layer scale, do not decay.
/// An empty group is left out.
///
/// ```
/// use candle_core::{DType, Device, Var};
/// use cnn_train::decay_groups;
///
/// let var = |shape: &[usize]| Var::zeros(shape, DType::F32, &Device::Cpu);
/// let trainable = vec![
///     ("conv.weight".to_string(), var(&[4, 3, 3, 3])?),
///     ("norm.weight".to_string(), var(&[4])?),
/// ];
/// let groups = decay_groups(trainable, 0.05);
/// assert_eq!(
///     (groups[0].parameters[0].0.as_str(), groups[0].weight_decay),
///     ("conv.weight", 0.05)
/// );
/// assert_eq!(
///     (groups[1].parameters[0].0.as_str(), groups[1].weight_decay),
///     ("norm.weight", 0.)
/// );
/// # Ok::<(), candle_core::Error>(())
/// ```
pub fn decay_groups(trainable: Vec<(String, Var)>, weight_decay: f64) -> Vec<ParamGroup> {
    let decays = |(name, var): &(String, Var)| var.rank() > 1 && !name.ends_with(".bias");
    let (decay, no_decay) = trainable.into_iter().partition(decays);
    let group = |name: &str, parameters, weight_decay| ParamGroup {
        name: name.to_string(),
        parameters,
        lr_scale: 1.,
        weight_decay,
    };
    let groups = [
        group("decay", decay, weight_decay),
        group("no_decay", no_decay, 0.),
    ];
    groups
        .into_iter()
        .filter(|group: &ParamGroup| !group.parameters.is_empty())
        .collect()
}
