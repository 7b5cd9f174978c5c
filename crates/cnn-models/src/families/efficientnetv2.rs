//! EfficientNetV2 (Tan & Le 2021, "EfficientNetV2: Smaller Models and Faster Training") and timm's
//! `test_efficientnet`, a tiny network of the same blocks. Names and stages are timm's; torchvision's
//! names are translated on loading.

use cnn_core::{CropMode, Preprocessing};
use cnn_layers::Activation;

use super::mobile::{MobileNet, Row, Width, conv, fused, inverted, shallow, sized, torchvision};
use crate::{Build, ModelSpec, Naming, preset};

/// Table 4 of the paper.
const S: MobileNet = MobileNet {
    stages: &[
        &[conv(24).residual().times(2)],
        &[fused(48, 4.).stride(2).times(4)],
        &[fused(64, 4.).stride(2).times(4)],
        &[inverted(128, 4.).stride(2).squeeze().times(6)],
        &[inverted(160, 6.).squeeze().times(9)],
        &[inverted(256, 6.).stride(2).squeeze().times(15)],
    ],
    stem: Width::Scaled(24),
    features: Width::Scaled(1280),
    ..COMMON
};

const M: MobileNet = MobileNet {
    stages: &[
        &[conv(24).residual().times(3)],
        &[fused(48, 4.).stride(2).times(5)],
        &[fused(80, 4.).stride(2).times(5)],
        &[inverted(160, 4.).stride(2).squeeze().times(7)],
        &[inverted(176, 6.).squeeze().times(14)],
        &[inverted(304, 6.).stride(2).squeeze().times(18)],
        &[inverted(512, 6.).squeeze().times(5)],
    ],
    stem: Width::Scaled(24),
    ..COMMON
};

const L: MobileNet = MobileNet {
    stages: &[
        &[conv(32).residual().times(4)],
        &[fused(64, 4.).stride(2).times(7)],
        &[fused(96, 4.).stride(2).times(7)],
        &[inverted(192, 4.).stride(2).squeeze().times(10)],
        &[inverted(224, 6.).squeeze().times(19)],
        &[inverted(384, 6.).stride(2).squeeze().times(25)],
        &[inverted(640, 6.).squeeze().times(7)],
    ],
    ..COMMON
};

/// The authors' base network, which B1 to B3 scale as EfficientNet's do; widths round to the nearest
/// multiple of 8, however far below.
const B0: MobileNet = MobileNet {
    stages: &[
        &[conv(16).residual()],
        &[fused(32, 4.).stride(2).times(2)],
        &[fused(48, 4.).stride(2).times(2)],
        &[inverted(96, 4.).stride(2).squeeze().times(3)],
        &[inverted(112, 6.).squeeze().times(5)],
        &[inverted(192, 6.).stride(2).squeeze().times(8)],
    ],
    features: Width::Scaled(1280),
    round_limit: 0.,
    ..COMMON
};

/// timm's network for fast tests.
const TINY: MobileNet = MobileNet {
    stages: &[
        &[conv(16).residual()],
        &[fused(24, 4.).stride(2)],
        &[fused(32, 4.).stride(2)],
        &[inverted(48, 4.).stride(2).squeeze()],
        &[inverted(64, 4.).stride(2).squeeze()],
    ],
    stem: Width::Scaled(24),
    features: Width::Scaled(256),
    round_limit: 0.,
    ..COMMON
};

const COMMON: MobileNet = MobileNet {
    activation: Activation::Silu,
    ..MobileNet::BASE
};

pub(crate) const MODELS: &[ModelSpec] = &[
    ModelSpec {
        name: "efficientnetv2_s",
        build: Build::Staged(|config, root| S.build(&BASE, config, root)),
        parameters: 21_458_488,
        multiply_adds: 4_707_823_040,
        preset: || sized(288, 1., preset::imagenet),
        namings: &[torchvision(s_from_torchvision)],
        reduced: || shallow(0.3),
        ..BASE
    },
    ModelSpec {
        name: "efficientnetv2_m",
        build: Build::Staged(|config, root| M.build(&BASE, config, root)),
        parameters: 54_139_356,
        multiply_adds: 10_931_712_384,
        preset: || sized(320, 1., preset::imagenet),
        namings: &[torchvision(m_from_torchvision)],
        reduced: || shallow(0.15),
        ..BASE
    },
    ModelSpec {
        name: "efficientnetv2_l",
        build: Build::Staged(|config, root| L.build(&BASE, config, root)),
        parameters: 118_515_272,
        multiply_adds: 35_899_418_624,
        preset: || sized(384, 1., preset::imagenet),
        namings: &[torchvision(l_from_torchvision)],
        reduced: || shallow(0.1),
        ..BASE
    },
    ModelSpec {
        name: "tf_efficientnetv2_s",
        build: Build::Staged(|config, root| S.tensorflow().build(&BASE, config, root)),
        parameters: 21_458_488,
        multiply_adds: 5_307_561_248,
        preset: || sized(300, 1., preset::inception),
        reduced: || shallow(0.3),
        ..BASE
    },
    ModelSpec {
        name: "tf_efficientnetv2_m",
        build: Build::Staged(|config, root| M.tensorflow().build(&BASE, config, root)),
        parameters: 54_139_356,
        multiply_adds: 15_736_775_680,
        preset: || Preprocessing {
            crop_mode: CropMode::Squash,
            ..sized(384, 1., preset::inception)
        },
        reduced: || shallow(0.15),
        ..BASE
    },
    ModelSpec {
        name: "tf_efficientnetv2_l",
        build: Build::Staged(|config, root| L.tensorflow().build(&BASE, config, root)),
        parameters: 118_515_272,
        multiply_adds: 35_899_418_624,
        preset: || Preprocessing {
            crop_mode: CropMode::Squash,
            ..sized(384, 1., preset::inception)
        },
        reduced: || shallow(0.1),
        ..BASE
    },
    ModelSpec {
        name: "tf_efficientnetv2_b0",
        build: Build::Staged(|config, root| B0.tensorflow().build(&BASE, config, root)),
        parameters: 7_139_704,
        multiply_adds: 528_186_752,
        preset: || sized(192, 0.875, preset::imagenet),
        ..BASE
    },
    ModelSpec {
        name: "tf_efficientnetv2_b1",
        build: Build::Staged(|config, root| B0.deep(1.1).tensorflow().build(&BASE, config, root)),
        parameters: 8_141_052,
        multiply_adds: 747_003_008,
        preset: || sized(192, 0.882, preset::imagenet),
        ..BASE
    },
    ModelSpec {
        name: "tf_efficientnetv2_b2",
        build: Build::Staged(|config, root| {
            B0.wide(1.1)
                .deep(1.2)
                .tensorflow()
                .build(&BASE, config, root)
        }),
        parameters: 10_096_086,
        multiply_adds: 1_043_476_528,
        preset: || sized(208, 0.89, preset::imagenet),
        ..BASE
    },
    ModelSpec {
        name: "tf_efficientnetv2_b3",
        build: Build::Staged(|config, root| {
            B0.wide(1.2)
                .deep(1.4)
                .tensorflow()
                .build(&BASE, config, root)
        }),
        parameters: 14_358_406,
        multiply_adds: 1_908_036_640,
        preset: || Preprocessing {
            crop_mode: CropMode::Squash,
            ..sized(240, 0.9, preset::inception)
        },
        ..BASE
    },
    ModelSpec {
        name: "test_efficientnet",
        build: Build::Staged(|config, root| TINY.build(&BASE, config, root)),
        parameters: 356_196,
        multiply_adds: 57_304_256,
        preset: || sized(160, 0.95, preset::imagenet),
        ..BASE
    },
];

const BASE: ModelSpec = ModelSpec {
    family: "efficientnetv2",
    paper: "Tan & Le 2021, arXiv:2104.00298",
    preset: preset::imagenet,
    first_conv: "conv_stem",
    classifier: "classifier",
    ..ModelSpec::OWN
};

/// torchvision's names; its networks have TensorFlow's eps.
const fn torchvision(rename: fn(&str) -> Option<String>) -> Naming {
    Naming {
        library: "torchvision",
        rename,
        args: &[("bn_eps", 1e-3)],
    }
}

fn s_from_torchvision(name: &str) -> Option<String> {
    from_torchvision(name, S.stages)
}

fn m_from_torchvision(name: &str) -> Option<String> {
    from_torchvision(name, M.stages)
}

fn l_from_torchvision(name: &str) -> Option<String> {
    from_torchvision(name, L.stages)
}

/// Translates torchvision's name of a tensor (`features.4.0.block.1.0.weight`); `None` for any other
/// name.
fn from_torchvision(name: &str, stages: &[&[Row]]) -> Option<String> {
    match name.strip_prefix("classifier.1.") {
        Some(tensor) => Some(format!("classifier.{tensor}")),
        None => torchvision::in_stages(name, stages),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn torchvision_names_are_translated() {
        for (theirs, ours) in [
            ("features.0.1.weight", "bn1.weight"),
            ("features.1.1.block.0.0.weight", "blocks.0.1.conv.weight"),
            ("features.1.1.block.0.1.bias", "blocks.0.1.bn1.bias"),
            (
                "features.2.3.block.0.0.weight",
                "blocks.1.3.conv_exp.weight",
            ),
            (
                "features.2.3.block.1.1.running_mean",
                "blocks.1.3.bn2.running_mean",
            ),
            (
                "features.4.0.block.2.fc1.weight",
                "blocks.3.0.se.conv_reduce.weight",
            ),
            (
                "features.6.14.block.3.0.weight",
                "blocks.5.14.conv_pwl.weight",
            ),
            ("features.7.0.weight", "conv_head.weight"),
            ("classifier.1.bias", "classifier.bias"),
        ] {
            assert_eq!(
                s_from_torchvision(theirs).as_deref(),
                Some(ours),
                "{theirs}"
            );
            assert_eq!(s_from_torchvision(ours), None, "timm's own names stay");
        }
        let last = "features.7.4.block.3.0.weight";
        assert_eq!(
            m_from_torchvision(last).as_deref(),
            Some("blocks.6.4.conv_pwl.weight")
        );
        assert_eq!(
            l_from_torchvision("features.8.1.bias").as_deref(),
            Some("bn2.bias")
        );
    }
}
