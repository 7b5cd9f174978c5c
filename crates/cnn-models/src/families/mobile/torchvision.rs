//! How torchvision names the tensors of mobile networks: by the places of the blocks in the table
//! and of the layers in the blocks.

use super::Row;
use super::table::Block;

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
    let mut layers = match row.block {
        Block::Conv => vec![("conv", "bn1")],
        Block::Separable => vec![("conv_dw", "bn1"), ("conv_pw", "bn2")],
        Block::Inverted => vec![("conv_pw", "bn1"), ("conv_dw", "bn2"), ("conv_pwl", "bn3")],
        Block::Fused => vec![("conv_exp", "bn1"), ("conv_pwl", "bn2")],
        // torchvision has none of them.
        Block::Universal { .. } => return None,
    };
    if row.squeeze > 0. {
        layers.insert(layers.len() - 1, ("se", ""));
    }
    match layers.get(number(layer)?)? {
        ("se", _) => {
            let (part, tensor) = rest.split_once('.')?;
            let part = match part {
                "fc1" => "conv_reduce",
                "fc2" => "conv_expand",
                _ => return None,
            };
            Some(format!("se.{part}.{tensor}"))
        }
        (conv, norm) => unit(rest, conv, norm),
    }
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
