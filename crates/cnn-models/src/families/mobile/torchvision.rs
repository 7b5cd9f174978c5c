//! How torchvision names the tensors of mobile networks: by the places of the blocks in the table
//! and of the layers in the blocks.

use cnn_layers::Builder;

use super::table::Block;
use super::{Form, MobileNet, Row};

impl MobileNet {
    /// Where the blocks of a stage lie, or in timm's form the stage itself.
    pub(super) fn block_names(&self, stage: usize) -> Vec<String> {
        let first = self.first_index(stage);
        let indices = first..first + self.repeats(stage).iter().sum::<usize>();
        match self.form {
            Form::Timm => vec![format!("blocks.{stage}")],
            Form::Torchvision => indices.map(|index| index.to_string()).collect(),
            Form::SsdLite => {
                let cut = self.first_index(self.last_moving_stage());
                let name = |index: usize| match index.checked_sub(cut) {
                    None => format!("features.0.{index}"),
                    Some(behind) => format!("features.1.{behind}"),
                };
                indices.map(name).collect()
            }
        }
    }

    /// Where SSDLite has the first layer of the stage's first block, if it takes that apart.
    pub(super) fn expansion_apart(&self, stage: usize) -> Option<String> {
        let is_apart = self.form == Form::SsdLite && stage == self.last_moving_stage();
        is_apart.then(|| format!("features.0.{}", self.first_index(stage)))
    }

    /// The index of a stage's first block where blocks are numbered through; the stem has 0.
    pub(super) fn first_index(&self, stage: usize) -> usize {
        1 + (0..stage)
            .flat_map(|stage| self.repeats(stage))
            .sum::<usize>()
    }

    /// The last stage that halves the resolution.
    fn last_moving_stage(&self) -> usize {
        let mut stages = (0..self.stages.len()).rev();
        stages
            .find(|&stage| self.first_stride(stage) > 1)
            .unwrap_or(0)
    }
}

/// The place of a block whose layers are to have torchvision's names, `block.<layer>.<part>`.
pub(super) fn block_at(block: &Builder, row: &Row) -> Builder {
    if let Block::Conv = row.block {
        return block.renamed(&[("conv", "0"), ("bn1", "1")]);
    }
    named(block, row, |layer| format!("block.{layer}"))
}

/// The place of the block with this index that SSDLite takes apart: its first layer ends
/// `features.0`, the others begin `features.1`.
pub(super) fn block_apart(features: &Builder, row: &Row, index: usize) -> Builder {
    named(features, row, |layer| match layer {
        0 => format!("0.{index}"),
        layer => format!("1.0.{layer}"),
    })
}

/// A block whose layers lie at the places that `place` gives for their numbers.
fn named(block: &Builder, row: &Row, place: impl Fn(usize) -> String) -> Builder {
    let mut names = Vec::new();
    for (layer, (conv, norm)) in layers(row).into_iter().enumerate() {
        let place = place(layer);
        if conv == "se" {
            names.push((conv, place));
        } else {
            names.push((conv, format!("{place}.0")));
            names.push((norm, format!("{place}.1")));
        }
    }
    for (part, name) in SQUEEZE_EXCITE {
        names.push((part, name.to_string()));
    }
    let names: Vec<(&str, &str)> = names.iter().map(|(own, name)| (*own, &**name)).collect();
    block.renamed(&names)
}

/// The convolutions of squeeze-and-excitation, with torchvision's names.
const SQUEEZE_EXCITE: [(&str, &str); 2] = [("conv_reduce", "fc1"), ("conv_expand", "fc2")];

/// The model's own name of a tensor in a network whose blocks are `features.<stage>.<block>.block`
/// (EfficientNet); `None` for any other name.
pub(crate) fn in_stages(name: &str, stages: &[&[Row]]) -> Option<String> {
    let (index, rest) = name.strip_prefix("features.")?.split_once('.')?;
    let stage = match at_ends(number(index)?, stages.len() + 1, rest) {
        Ok(name) => return name,
        Err(index) => index - 1,
    };
    let (block, rest) = rest.split_once('.')?;
    let row = stages.get(stage)?.first()?;
    let tensor = in_block(rest.strip_prefix("block.")?, row)?;
    Some(format!("blocks.{stage}.{}.{tensor}", number(block)?))
}

/// The same where blocks are numbered through, `features.<block>.block`, and the last stage is the
/// last convolution (MobileNetV3).
pub(crate) fn numbered_through(name: &str, stages: &[&[Row]]) -> Option<String> {
    let (index, rest) = name.strip_prefix("features.")?.split_once('.')?;
    let (last, stages) = stages.split_last()?;
    let blocks = |rows: &[Row]| rows.iter().map(|row| row.repeats).sum::<usize>();
    let count: usize = stages.iter().map(|rows| blocks(rows)).sum();
    let mut block = match number(index)? {
        0 => return unit(rest, "conv_stem", "bn1"),
        index if index == count + 1 => {
            let tensor = in_block(&format!("0.{rest}"), last.first()?)?;
            return Some(format!("blocks.{}.0.{tensor}", stages.len()));
        }
        index => index - 1,
    };
    let stage = stages.iter().position(|rows| {
        let is_here = block < blocks(rows);
        if !is_here {
            block -= blocks(rows);
        }
        is_here
    })?;
    let mut first = 0;
    let row = stages[stage].iter().find(|row| {
        first += row.repeats;
        block < first
    })?;
    let tensor = in_block(rest.strip_prefix("block.")?, row)?;
    Some(format!("blocks.{stage}.{block}.{tensor}"))
}

/// The name in the stem or in the last convolution, or the index where it lies in neither.
fn at_ends(index: usize, last: usize, rest: &str) -> Result<Option<String>, usize> {
    match index {
        0 => Ok(unit(rest, "conv_stem", "bn1")),
        index if index == last => Ok(unit(rest, "conv_head", "bn2")),
        index => Err(index),
    }
}

/// The name within a block of `<layer>.<part>.<tensor>`.
fn in_block(rest: &str, row: &Row) -> Option<String> {
    let (layer, rest) = rest.split_once('.')?;
    match *layers(row).get(number(layer)?)? {
        ("se", _) => {
            let (part, tensor) = rest.split_once('.')?;
            let (part, _) = SQUEEZE_EXCITE.iter().find(|(_, name)| *name == part)?;
            Some(format!("se.{part}.{tensor}"))
        }
        (conv, norm) => unit(rest, conv, norm),
    }
}

/// The layers of a block in their order, as convolution and norm, or `se`.
fn layers(row: &Row) -> Vec<(&'static str, &'static str)> {
    let mut layers = match row.block {
        Block::Conv => vec![("conv", "bn1")],
        Block::Separable => vec![("conv_dw", "bn1"), ("conv_pw", "bn2")],
        Block::Inverted => vec![("conv_pw", "bn1"), ("conv_dw", "bn2"), ("conv_pwl", "bn3")],
        Block::Fused => vec![("conv_exp", "bn1"), ("conv_pwl", "bn2")],
        // torchvision has none of them.
        Block::Universal { .. } => Vec::new(),
    };
    if row.squeeze > 0. && !layers.is_empty() {
        layers.insert(layers.len() - 1, ("se", ""));
    }
    layers
}

/// A tensor of torchvision's unit of convolution and norm.
fn unit(rest: &str, conv: &str, norm: &str) -> Option<String> {
    let (part, tensor) = rest.split_once('.')?;
    match part {
        "0" => Some(format!("{conv}.{tensor}")),
        "1" => Some(format!("{norm}.{tensor}")),
        _ => None,
    }
}

fn number(digits: &str) -> Option<usize> {
    digits.parse().ok()
}
