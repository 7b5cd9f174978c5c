//! A network without some of its channels.

use std::collections::{BTreeMap, HashMap};

use candle_core::{Device, Tensor};
use cnn_layers::{Mode, Store};
use cnn_models::{ModelKind, NetworkOf};

use crate::{Error, Groups, Role, Selection};

/// The network that a selection leaves: its layers have fewer channels and the weights of those that
/// stay. It is a network like any other: it trains, is saved as `config.json` and
/// `model.safetensors`, and loads.
///
/// ```
/// use cnn_compress::{Groups, Selection, without};
/// use cnn_models::{LoadOptions, ModelConfig, Network};
///
/// let network = Network::new("resnet8_cifar10", &ModelConfig::default(), 0)?;
/// let groups = Groups::of(&network)?;
/// let mut selection = Selection::all(&groups);
/// // Half of the channels inside of each block.
/// for group in groups.groups().iter().filter(|group| group.layers.len() == 1) {
///     group.numbers().step_by(2).for_each(|unit| selection.remove(unit));
/// }
/// let smaller = without(&network, &groups, &selection)?;
/// assert_eq!(smaller.store().get("layer1.0.conv1.weight")?.dims(), [8, 16, 3, 3]);
///
/// # let directory = tempfile::tempdir()?;
/// # let directory = directory.path();
/// smaller.save(directory)?;
/// let loaded = Network::load(directory, &LoadOptions::default())?;
/// assert_eq!(loaded.store().parameter_count(), groups.size(&selection).parameters);
/// # Ok::<(), anyhow::Error>(())
/// ```
///
/// # Errors
/// [`Error::OtherGroups`] if the groups are of another network, [`Error::NothingLeft`] if a group
/// would lose all of its units, and [`Error::Model`] if the model's family cannot be built so.
pub fn without<M: ModelKind + ?Sized>(
    network: &NetworkOf<M>,
    groups: &Groups,
    selection: &Selection,
) -> Result<NetworkOf<M>, Error> {
    resized(network, groups, selection, network.store().tensors())
}

/// The network that a selection leaves, with these tensors in place of its own.
pub(crate) fn resized<M: ModelKind + ?Sized>(
    network: &NetworkOf<M>,
    groups: &Groups,
    selection: &Selection,
    tensors: Vec<(String, Tensor)>,
) -> Result<NetworkOf<M>, Error> {
    selection.check(groups)?;
    let tensors = tensors.into_iter().map(|(name, tensor)| {
        let left = left(&name, &tensor, groups, selection)?;
        Ok((name, left))
    });
    let tensors: Vec<(String, Tensor)> = tensors.collect::<Result<_, Error>>()?;
    let widths = widths(network, groups, selection, &tensors)?;
    Ok(network.resized(widths, &tensors)?)
}

/// The widths that have to be said: those that change, and those that would change with them, where
/// a network makes a layer as wide as a share of another.
fn widths<M: ModelKind + ?Sized>(
    network: &NetworkOf<M>,
    groups: &Groups,
    selection: &Selection,
    tensors: &[(String, Tensor)],
) -> Result<BTreeMap<String, usize>, Error> {
    let mut widths = groups.widths(selection);
    let wanted: HashMap<&str, &Tensor> = tensors
        .iter()
        .map(|(name, tensor)| (name.as_str(), tensor))
        .collect();
    loop {
        let mut config = network.config().model.clone();
        config.widths.extend(widths.clone());
        let built = Store::blank();
        network
            .spec()
            .build_any(&config, &built.builder(Mode::Eval))?;
        let said = widths.len();
        for axis in groups.axes().filter(|axis| axis.role == Role::Gives) {
            let (Ok(built), Some(wanted)) = (built.get(&axis.tensor), wanted.get(&*axis.tensor))
            else {
                continue;
            };
            if built.dims().get(axis.axis) != wanted.dims().get(axis.axis)
                && let Some(width) = groups.width(&axis.layer, selection)
            {
                widths.insert(axis.layer.clone(), width);
            }
        }
        if widths.len() == said {
            return Ok(widths);
        }
    }
}

/// What a selection leaves of a tensor.
fn left(
    name: &str,
    tensor: &Tensor,
    groups: &Groups,
    selection: &Selection,
) -> Result<Tensor, Error> {
    let mut left = tensor.clone();
    for axis in 0..tensor.dims().len() {
        if let Some(positions) = groups.positions(name, axis, selection) {
            let positions: Vec<u32> = positions.into_iter().map(|at| at as u32).collect();
            let positions = Tensor::new(positions, &Device::Cpu)?;
            left = left.index_select(&positions, axis)?;
        }
    }
    Ok(left)
}
