//! How torchvision named the tensors of its detectors before it made units of their convolutions.

use crate::Naming;

/// The names of the first files of Faster R-CNN and FCOS, which it still publishes.
pub(super) const FIRST: Naming = Naming {
    library: "torchvision's first files",
    rename: |name| from_first_files(name, &PYRAMID),
    args: &[],
};

/// Those of RetinaNet.
pub(super) const FIRST_OF_RETINANET: Naming = Naming {
    rename: |name| {
        let of_head = || from_first_files(name, &RETINANET_HEAD);
        from_first_files(name, &PYRAMID).or_else(of_head)
    },
    ..FIRST
};

/// Lists of convolutions that became the first layers of units, by what stands before a place in
/// them, and how many places a unit took there.
type Lists = [(&'static str, usize); 2];

const PYRAMID: Lists = [
    ("backbone.fpn.inner_blocks.", 1),
    ("backbone.fpn.layer_blocks.", 1),
];
const RETINANET_HEAD: Lists = [
    ("head.classification_head.conv.", 2),
    ("head.regression_head.conv.", 2),
];

fn from_first_files(name: &str, lists: &Lists) -> Option<String> {
    if let Some(tensor) = name.strip_prefix("rpn.head.conv.") {
        return is_tensor(tensor).then(|| format!("rpn.head.conv.0.0.{tensor}"));
    }
    lists.iter().find_map(|(list, places)| {
        let (place, tensor) = name.strip_prefix(list)?.split_once('.')?;
        let place: usize = place.parse().ok()?;
        is_tensor(tensor).then(|| format!("{list}{}.0.{tensor}", place / places))
    })
}

/// Whether it is the name of a tensor, and not of a module's.
fn is_tensor(name: &str) -> bool {
    matches!(name, "weight" | "bias")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn convolutions_become_units_and_all_else_stays() {
        for (theirs, ours) in [
            (
                "backbone.fpn.inner_blocks.3.weight",
                Some("backbone.fpn.inner_blocks.3.0.weight"),
            ),
            (
                "backbone.fpn.layer_blocks.0.bias",
                Some("backbone.fpn.layer_blocks.0.0.bias"),
            ),
            ("rpn.head.conv.weight", Some("rpn.head.conv.0.0.weight")),
            (
                "head.regression_head.conv.6.bias",
                Some("head.regression_head.conv.3.0.bias"),
            ),
            ("backbone.fpn.inner_blocks.3.0.weight", None),
            ("rpn.head.conv.0.0.weight", None),
            ("head.classification_head.conv.1.0.weight", None),
            ("backbone.body.layer1.0.conv1.weight", None),
        ] {
            assert_eq!(
                (FIRST_OF_RETINANET.rename)(theirs).as_deref(),
                ours,
                "{theirs}"
            );
        }
        // FCOS's head is another one.
        assert_eq!((FIRST.rename)("head.regression_head.conv.6.bias"), None);
    }
}
