//! EfficientNet (Tan & Le 2019, "EfficientNet: Rethinking Model Scaling for Convolutional Neural
//! Networks") and EfficientNet-Lite, names and stages as in timm; torchvision's names are translated
//! on loading.

use cnn_core::{CropMode, Interpolation, Preprocessing};
use cnn_layers::Activation;

use super::mobile::{MobileNet, Width, inverted, separable, shallow, sized, torchvision};
use crate::{Build, ModelSpec, Naming, preset};

/// Table 1 of the paper. B1 to B7 are wider and deeper, and see larger images.
const B0: MobileNet = MobileNet {
    stages: &[
        &[separable(16).squeeze()],
        &[inverted(24, 6.).stride(2).squeeze().times(2)],
        &[inverted(40, 6.).kernel(5).stride(2).squeeze().times(2)],
        &[inverted(80, 6.).stride(2).squeeze().times(3)],
        &[inverted(112, 6.).kernel(5).squeeze().times(3)],
        &[inverted(192, 6.).kernel(5).stride(2).squeeze().times(4)],
        &[inverted(320, 6.).squeeze()],
    ],
    activation: Activation::Silu,
    features: Width::Scaled(1280),
    ..MobileNet::BASE
};

/// What quantised integers compute well: ReLU6, no squeeze-and-excitation. Stem, features and the
/// depth of the ends stay as they are.
const LITE0: MobileNet = MobileNet {
    stages: &[
        &[separable(16)],
        &[inverted(24, 6.).stride(2).times(2)],
        &[inverted(40, 6.).kernel(5).stride(2).times(2)],
        &[inverted(80, 6.).stride(2).times(3)],
        &[inverted(112, 6.).kernel(5).times(3)],
        &[inverted(192, 6.).kernel(5).stride(2).times(4)],
        &[inverted(320, 6.)],
    ],
    stem: Width::Fixed(32),
    activation: Activation::Relu6,
    fixed_ends: true,
    ..MobileNet::BASE
};

pub(crate) const MODELS: &[ModelSpec] = &[
    ModelSpec {
        name: "efficientnet_b0",
        build: Build::Staged(|config, root| B0.build(&BASE, config, root)),
        parameters: 5_288_548,
        multiply_adds: 385_814_752,
        namings: &[torchvision(&[])],
        ..BASE
    },
    ModelSpec {
        name: "efficientnet_b1",
        build: Build::Staged(|config, root| B0.deep(1.1).build(&BASE, config, root)),
        parameters: 7_794_184,
        multiply_adds: 686_802_832,
        preset: || sized(240, 0.9, preset::inception),
        namings: &[torchvision(&[])],
        ..BASE
    },
    ModelSpec {
        name: "efficientnet_b2",
        build: Build::Staged(|config, root| B0.wide(1.1).deep(1.2).build(&BASE, config, root)),
        parameters: 9_109_994,
        multiply_adds: 859_853_760,
        preset: || sized(256, 0.875, preset::imagenet),
        namings: &[torchvision(&[])],
        ..BASE
    },
    ModelSpec {
        name: "efficientnet_b3",
        build: Build::Staged(|config, root| B0.wide(1.2).deep(1.4).build(&BASE, config, root)),
        parameters: 12_233_232,
        multiply_adds: 1_589_198_096,
        preset: || sized(288, 0.875, preset::imagenet),
        namings: &[torchvision(&[])],
        reduced: || shallow(0.3),
        ..BASE
    },
    ModelSpec {
        name: "efficientnet_b4",
        build: Build::Staged(|config, root| B0.wide(1.4).deep(1.8).build(&BASE, config, root)),
        parameters: 19_341_616,
        multiply_adds: 3_063_687_008,
        preset: || sized(320, 0.875, preset::imagenet),
        namings: &[torchvision(&[])],
        reduced: || shallow(0.3),
        ..BASE
    },
    ModelSpec {
        name: "efficientnet_b5",
        build: Build::Staged(|config, root| B0.wide(1.6).deep(2.2).build(&BASE, config, root)),
        parameters: 30_389_784,
        multiply_adds: 9_404_374_080,
        preset: || Preprocessing {
            crop_mode: CropMode::Squash,
            ..sized(448, 1., preset::imagenet)
        },
        namings: &[torchvision(&[("bn_eps", 1e-3)])],
        reduced: || shallow(0.3),
        ..BASE
    },
    ModelSpec {
        name: "efficientnet_b6",
        build: Build::Staged(|config, root| B0.wide(1.8).deep(2.6).build(&BASE, config, root)),
        parameters: 43_040_704,
        multiply_adds: 19_067_593_536,
        preset: || sized(528, 0.942, preset::imagenet),
        namings: &[torchvision(&[("bn_eps", 1e-3)])],
        reduced: || shallow(0.3),
        ..BASE
    },
    ModelSpec {
        name: "efficientnet_b7",
        build: Build::Staged(|config, root| B0.wide(2.0).deep(3.1).build(&BASE, config, root)),
        parameters: 66_347_960,
        multiply_adds: 37_745_884_192,
        preset: || sized(600, 0.949, preset::imagenet),
        namings: &[torchvision(&[("bn_eps", 1e-3)])],
        reduced: || shallow(0.3),
        ..BASE
    },
    ModelSpec {
        name: "tf_efficientnet_b0",
        build: Build::Staged(|config, root| B0.tensorflow().build(&BASE, config, root)),
        parameters: 5_288_548,
        multiply_adds: 385_814_752,
        ..BASE
    },
    ModelSpec {
        name: "tf_efficientnet_b1",
        build: Build::Staged(|config, root| B0.deep(1.1).tensorflow().build(&BASE, config, root)),
        parameters: 7_794_184,
        multiply_adds: 686_802_832,
        preset: || sized(240, 0.882, preset::imagenet),
        ..BASE
    },
    ModelSpec {
        name: "tf_efficientnet_b2",
        build: Build::Staged(|config, root| {
            B0.wide(1.1)
                .deep(1.2)
                .tensorflow()
                .build(&BASE, config, root)
        }),
        parameters: 9_109_994,
        multiply_adds: 993_561_872,
        preset: || sized(260, 0.89, preset::imagenet),
        ..BASE
    },
    ModelSpec {
        name: "tf_efficientnet_b3",
        build: Build::Staged(|config, root| {
            B0.wide(1.2)
                .deep(1.4)
                .tensorflow()
                .build(&BASE, config, root)
        }),
        parameters: 12_233_232,
        multiply_adds: 1_827_141_392,
        preset: || sized(300, 0.904, preset::imagenet),
        reduced: || shallow(0.3),
        ..BASE
    },
    ModelSpec {
        name: "tf_efficientnet_b4",
        build: Build::Staged(|config, root| {
            B0.wide(1.4)
                .deep(1.8)
                .tensorflow()
                .build(&BASE, config, root)
        }),
        parameters: 19_341_616,
        multiply_adds: 4_393_771_024,
        preset: || sized(380, 0.922, preset::imagenet),
        reduced: || shallow(0.3),
        ..BASE
    },
    ModelSpec {
        name: "tf_efficientnet_b5",
        build: Build::Staged(|config, root| {
            B0.wide(1.6)
                .deep(2.2)
                .tensorflow()
                .build(&BASE, config, root)
        }),
        parameters: 30_389_784,
        multiply_adds: 10_266_384_752,
        preset: || sized(456, 0.934, preset::imagenet),
        reduced: || shallow(0.3),
        ..BASE
    },
    ModelSpec {
        name: "tf_efficientnet_b6",
        build: Build::Staged(|config, root| {
            B0.wide(1.8)
                .deep(2.6)
                .tensorflow()
                .build(&BASE, config, root)
        }),
        parameters: 43_040_704,
        multiply_adds: 19_067_593_536,
        preset: || sized(528, 0.942, preset::imagenet),
        reduced: || shallow(0.3),
        ..BASE
    },
    ModelSpec {
        name: "tf_efficientnet_b7",
        build: Build::Staged(|config, root| {
            B0.wide(2.0)
                .deep(3.1)
                .tensorflow()
                .build(&BASE, config, root)
        }),
        parameters: 66_347_960,
        multiply_adds: 37_745_884_192,
        preset: || sized(600, 0.949, preset::imagenet),
        reduced: || shallow(0.3),
        ..BASE
    },
    ModelSpec {
        name: "efficientnet_lite0",
        build: Build::Staged(|config, root| LITE0.build(&BASE, config, root)),
        parameters: 4_652_008,
        multiply_adds: 385_187_552,
        ..BASE
    },
    ModelSpec {
        name: "efficientnet_lite1",
        build: Build::Staged(|config, root| LITE0.deep(1.1).build(&BASE, config, root)),
        parameters: 5_416_680,
        multiply_adds: 600_185_232,
        preset: || sized(240, 0.882, preset::imagenet),
        ..BASE
    },
    ModelSpec {
        name: "efficientnet_lite2",
        build: Build::Staged(|config, root| LITE0.wide(1.1).deep(1.2).build(&BASE, config, root)),
        parameters: 6_092_072,
        multiply_adds: 859_736_272,
        preset: || sized(260, 0.89, preset::imagenet),
        ..BASE
    },
    ModelSpec {
        name: "efficientnet_lite3",
        build: Build::Staged(|config, root| LITE0.wide(1.2).deep(1.4).build(&BASE, config, root)),
        parameters: 8_197_096,
        multiply_adds: 1_607_554_544,
        preset: || sized(300, 0.904, preset::imagenet),
        reduced: || shallow(0.3),
        ..BASE
    },
    ModelSpec {
        name: "efficientnet_lite4",
        build: Build::Staged(|config, root| LITE0.wide(1.4).deep(1.8).build(&BASE, config, root)),
        parameters: 13_006_568,
        multiply_adds: 3_943_564_112,
        preset: || sized(380, 0.922, preset::imagenet),
        reduced: || shallow(0.3),
        ..BASE
    },
    ModelSpec {
        name: "tf_efficientnet_lite0",
        build: Build::Staged(|config, root| LITE0.tensorflow().build(&BASE, config, root)),
        parameters: 4_652_008,
        multiply_adds: 385_187_552,
        preset: preset::inception,
        ..BASE
    },
    ModelSpec {
        name: "tf_efficientnet_lite1",
        build: Build::Staged(|config, root| {
            LITE0.deep(1.1).tensorflow().build(&BASE, config, root)
        }),
        parameters: 5_416_680,
        multiply_adds: 600_185_232,
        preset: || sized(240, 0.882, preset::inception),
        ..BASE
    },
    ModelSpec {
        name: "tf_efficientnet_lite2",
        build: Build::Staged(|config, root| {
            LITE0
                .wide(1.1)
                .deep(1.2)
                .tensorflow()
                .build(&BASE, config, root)
        }),
        parameters: 6_092_072,
        multiply_adds: 859_736_272,
        preset: || sized(260, 0.89, preset::inception),
        ..BASE
    },
    ModelSpec {
        name: "tf_efficientnet_lite3",
        build: Build::Staged(|config, root| {
            LITE0
                .wide(1.2)
                .deep(1.4)
                .tensorflow()
                .build(&BASE, config, root)
        }),
        parameters: 8_197_096,
        multiply_adds: 1_607_554_544,
        preset: || Preprocessing {
            interpolation: Interpolation::Bilinear,
            ..sized(300, 0.904, preset::inception)
        },
        reduced: || shallow(0.3),
        ..BASE
    },
    ModelSpec {
        name: "tf_efficientnet_lite4",
        build: Build::Staged(|config, root| {
            LITE0
                .wide(1.4)
                .deep(1.8)
                .tensorflow()
                .build(&BASE, config, root)
        }),
        parameters: 13_006_568,
        multiply_adds: 3_943_564_112,
        preset: || Preprocessing {
            interpolation: Interpolation::Bilinear,
            ..sized(380, 0.92, preset::inception)
        },
        reduced: || shallow(0.3),
        ..BASE
    },
];

const BASE: ModelSpec = ModelSpec {
    family: "efficientnet",
    paper: "Tan & Le 2019, arXiv:1905.11946",
    preset: preset::imagenet,
    first_conv: "conv_stem",
    classifier: "classifier",
    ..ModelSpec::OWN
};

/// torchvision's names; its B5 to B7 have TensorFlow's eps.
const fn torchvision(args: &'static [(&'static str, f64)]) -> Naming {
    Naming {
        library: "torchvision",
        rename: from_torchvision,
        args,
    }
}

/// Translates torchvision's name of a tensor (`features.2.0.block.1.0.weight`); `None` for any other
/// name.
fn from_torchvision(name: &str) -> Option<String> {
    match name.strip_prefix("classifier.1.") {
        Some(tensor) => Some(format!("classifier.{tensor}")),
        None => torchvision::in_stages(name, B0.stages),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn torchvision_names_are_translated() {
        for (theirs, ours) in [
            ("features.0.0.weight", "conv_stem.weight"),
            ("features.1.0.block.0.1.bias", "blocks.0.0.bn1.bias"),
            (
                "features.1.0.block.1.fc1.weight",
                "blocks.0.0.se.conv_reduce.weight",
            ),
            ("features.1.1.block.2.0.weight", "blocks.0.1.conv_pw.weight"),
            ("features.6.3.block.0.0.weight", "blocks.5.3.conv_pw.weight"),
            (
                "features.6.3.block.1.1.running_var",
                "blocks.5.3.bn2.running_var",
            ),
            (
                "features.6.3.block.2.fc2.bias",
                "blocks.5.3.se.conv_expand.bias",
            ),
            ("features.7.0.block.3.1.weight", "blocks.6.0.bn3.weight"),
            ("features.8.0.weight", "conv_head.weight"),
            ("features.8.1.weight", "bn2.weight"),
            ("classifier.1.bias", "classifier.bias"),
        ] {
            assert_eq!(from_torchvision(theirs).as_deref(), Some(ours), "{theirs}");
            assert_eq!(from_torchvision(ours), None, "timm's own names stay");
        }
        for foreign in [
            "features.9.0.weight",
            "features.2.0.block.4.0.weight",
            "features.2.x.block.0.0.weight",
            "features.18446744073709551615.0.block.0.0.weight",
        ] {
            assert_eq!(from_torchvision(foreign), None, "{foreign}");
        }
    }
}
