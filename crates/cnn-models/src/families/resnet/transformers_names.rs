//! How transformers names the tensors of a plain ResNet.

/// The name here of a tensor that transformers names: `resnet.encoder.stages.0.layers.1.layer.0.…`
/// is `layer1.1.conv1.…`. Its `ResNetModel` has no `resnet.` before them.
pub(super) fn from_transformers(name: &str) -> Option<String> {
    if let Some(rest) = name.strip_prefix("classifier.1.") {
        return Some(format!("fc.{rest}"));
    }
    let name = name.strip_prefix("resnet.").unwrap_or(name);
    if let Some(rest) = name.strip_prefix("embedder.embedder.") {
        return unit(rest, "conv1", "bn1");
    }
    let (stage, rest) = name.strip_prefix("encoder.stages.")?.split_once('.')?;
    let (block, rest) = rest.strip_prefix("layers.")?.split_once('.')?;
    let stage = stage.parse::<usize>().ok()?.checked_add(1)?;
    let at = format!("layer{stage}.{}", block.parse::<usize>().ok()?);
    if let Some(rest) = rest.strip_prefix("shortcut.") {
        return unit(
            rest,
            &format!("{at}.downsample.0"),
            &format!("{at}.downsample.1"),
        );
    }
    let (index, rest) = rest.strip_prefix("layer.")?.split_once('.')?;
    let number = index.parse::<usize>().ok()?.checked_add(1)?;
    unit(
        rest,
        &format!("{at}.conv{number}"),
        &format!("{at}.bn{number}"),
    )
}

/// A tensor of transformers' unit of convolution and norm.
fn unit(rest: &str, conv: &str, norm: &str) -> Option<String> {
    let (part, tensor) = rest.split_once('.')?;
    match part {
        "convolution" => Some(format!("{conv}.{tensor}")),
        "normalization" => Some(format!("{norm}.{tensor}")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // The names of transformers 5.24's ResNetForImageClassification.
    #[test]
    fn transformers_names_are_ours() {
        for (theirs, ours) in [
            (
                "resnet.embedder.embedder.convolution.weight",
                Some("conv1.weight"),
            ),
            (
                "resnet.embedder.embedder.normalization.running_mean",
                Some("bn1.running_mean"),
            ),
            (
                "resnet.encoder.stages.0.layers.0.shortcut.convolution.weight",
                Some("layer1.0.downsample.0.weight"),
            ),
            (
                "resnet.encoder.stages.3.layers.10.shortcut.normalization.bias",
                Some("layer4.10.downsample.1.bias"),
            ),
            (
                "encoder.stages.1.layers.2.layer.2.convolution.weight",
                Some("layer2.2.conv3.weight"),
            ),
            (
                "resnet.encoder.stages.1.layers.2.layer.0.normalization.running_var",
                Some("layer2.2.bn1.running_var"),
            ),
            ("classifier.1.weight", Some("fc.weight")),
            ("layer1.0.conv1.weight", None),
            (
                "encoder.stages.18446744073709551615.layers.0.layer.0.convolution.weight",
                None,
            ),
            ("encoder.stages.x.layers.0.layer.0.convolution.weight", None),
            ("encoder.stages.0.layers.0.layer.0.activation.weight", None),
        ] {
            assert_eq!(from_transformers(theirs).as_deref(), ours, "{theirs}");
        }
    }
}
