//! How torchvision names the tensors of a RegNet.

/// The name here of a tensor that torchvision names: `trunk_output.block2.block2-0.f.a.0.weight` is
/// `s2.b1.conv1.conv.weight`.
pub(super) fn from_torchvision(name: &str) -> Option<String> {
    if let Some(rest) = name.strip_prefix("fc.") {
        return Some(format!("head.fc.{rest}"));
    }
    if let Some(rest) = name.strip_prefix("stem.") {
        return unit(rest).map(|rest| format!("stem.{rest}"));
    }
    let (stage, rest) = name.strip_prefix("trunk_output.block")?.split_once('.')?;
    let (block, rest) = rest.strip_prefix("block")?.split_once('.')?;
    // The stage is said twice.
    let (again, block) = block.split_once('-')?;
    if again != stage {
        return None;
    }
    let stage = stage.parse::<usize>().ok()?;
    let block = block.parse::<usize>().ok()?.checked_add(1)?;
    let part = if let Some(rest) = rest.strip_prefix("f.se.") {
        format!("se.{rest}")
    } else {
        let modules = [
            ("proj.", "downsample"),
            ("f.a.", "conv1"),
            ("f.b.", "conv2"),
            ("f.c.", "conv3"),
        ];
        modules.iter().find_map(|(theirs, ours)| {
            let rest = unit(rest.strip_prefix(theirs)?)?;
            Some(format!("{ours}.{rest}"))
        })?
    };
    Some(format!("s{stage}.b{block}.{part}"))
}

/// A tensor of torchvision's unit of convolution and norm.
fn unit(rest: &str) -> Option<String> {
    match rest.split_once('.')? {
        ("0", tensor) => Some(format!("conv.{tensor}")),
        ("1", tensor) => Some(format!("bn.{tensor}")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn torchvision_names_are_translated() {
        for (theirs, ours) in [
            ("stem.0.weight", "stem.conv.weight"),
            ("stem.1.running_var", "stem.bn.running_var"),
            (
                "trunk_output.block1.block1-0.proj.0.weight",
                "s1.b1.downsample.conv.weight",
            ),
            (
                "trunk_output.block1.block1-0.proj.1.bias",
                "s1.b1.downsample.bn.bias",
            ),
            (
                "trunk_output.block3.block3-11.f.a.0.weight",
                "s3.b12.conv1.conv.weight",
            ),
            (
                "trunk_output.block2.block2-1.f.b.1.num_batches_tracked",
                "s2.b2.conv2.bn.num_batches_tracked",
            ),
            (
                "trunk_output.block4.block4-0.f.se.fc1.bias",
                "s4.b1.se.fc1.bias",
            ),
            (
                "trunk_output.block4.block4-0.f.c.0.weight",
                "s4.b1.conv3.conv.weight",
            ),
            ("fc.weight", "head.fc.weight"),
        ] {
            assert_eq!(from_torchvision(theirs).as_deref(), Some(ours));
            assert_eq!(from_torchvision(ours), None, "timm's own names stay");
        }
        for name in [
            "trunk_output.block1.block2-0.proj.0.weight",
            "trunk_output.block1.block1-18446744073709551615.proj.0.weight",
            "trunk_output.block1.block1-0.f.d.0.weight",
            "trunk_output.block1.block1-0.proj.2.weight",
            "stem.2.weight",
        ] {
            assert_eq!(from_torchvision(name), None, "{name}");
        }
    }
}
