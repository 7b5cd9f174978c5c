//! MobileNetV4's convolutional networks (Qin et al. 2024, "MobileNetV4: Universal Models for the
//! Mobile Ecosystem"), names and stages as in timm.

use cnn_layers::Activation;

use super::mobile::{Head, MobileNet, Width, conv, fused, sized, universal};
use crate::{Build, ModelSpec, preset};

/// Table 13 of the paper.
const SMALL: MobileNet = MobileNet {
    stages: &[
        &[conv(32).stride(2), conv(32).kernel(1)],
        &[conv(96).stride(2), conv(64).kernel(1)],
        &[
            universal(96, 3.).start(5).kernel(5).stride(2),
            universal(96, 2.).kernel(3).times(4),
            universal(96, 4.).start(3),
        ],
        &[
            universal(128, 6.).start(3).kernel(3).stride(2),
            universal(128, 4.).start(5).kernel(5),
            universal(128, 4.).kernel(5),
            universal(128, 3.).kernel(5),
            universal(128, 4.).kernel(3).times(2),
        ],
        &[conv(960).kernel(1)],
    ],
    ..COMMON
};

/// Table 14 of the paper.
const MEDIUM: MobileNet = MobileNet {
    stages: &[
        &[fused(48, 4.).stride(2)],
        &[
            universal(80, 4.).start(3).kernel(5).stride(2),
            universal(80, 2.).start(3).kernel(3),
        ],
        &[
            universal(160, 6.).start(3).kernel(5).stride(2),
            universal(160, 4.).start(3).kernel(3).times(2),
            universal(160, 4.).start(3).kernel(5),
            universal(160, 4.).start(3).kernel(3),
            universal(160, 4.).start(3),
            universal(160, 2.),
            universal(160, 4.).start(3),
        ],
        &[
            universal(256, 6.).start(5).kernel(5).stride(2),
            universal(256, 4.).start(5).kernel(5),
            universal(256, 4.).start(3).kernel(5).times(2),
            universal(256, 4.),
            universal(256, 4.).start(3),
            universal(256, 2.).start(3).kernel(5),
            universal(256, 4.).start(5).kernel(5),
            universal(256, 4.).times(2),
            universal(256, 2.).start(5),
        ],
        &[conv(960).kernel(1)],
    ],
    ..COMMON
};

const COMMON: MobileNet = MobileNet {
    stem: Width::Scaled(32),
    activation: Activation::Relu,
    head: Head::AfterPoolNormed,
    ..MobileNet::BASE
};

pub(crate) const MODELS: &[ModelSpec] = &[
    ModelSpec {
        name: "mobilenetv4_conv_small",
        build: Build::Staged(|config, root| SMALL.build(&BASE, config, root)),
        parameters: 3_774_024,
        multiply_adds: 186_005_568,
        ..BASE
    },
    ModelSpec {
        name: "mobilenetv4_conv_medium",
        build: Build::Staged(|config, root| MEDIUM.build(&BASE, config, root)),
        parameters: 9_715_512,
        multiply_adds: 1_080_244_224,
        preset: || sized(256, 0.95, preset::imagenet),
        ..BASE
    },
];

const BASE: ModelSpec = ModelSpec {
    family: "mobilenetv4",
    paper: "Qin et al. 2024, arXiv:2404.10518",
    preset: preset::imagenet,
    first_conv: "conv_stem",
    classifier: "classifier",
    ..ModelSpec::OWN
};
