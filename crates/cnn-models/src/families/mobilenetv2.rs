//! MobileNetV2 (Sandler et al. 2018, "Inverted Residuals and Linear Bottlenecks"), names and stages
//! as in timm; torchvision's names are translated on loading.

use cnn_layers::{
    Activation, BatchNorm2dConfig, BlockOptions, Builder, Conv2dConfig, ConvNormActConfig,
    DepthwiseSeparableConfig, Init, InvertedResidualConfig, Sequential,
};

use crate::ModelConfig;
use crate::config::make_divisible;
use crate::registry::{Built, ModelSpec, Preset, WeightSource};
use crate::staged::{LinearHead, StagedBuilder};

/// Table 2 of the paper: (expansion, channels, blocks, stride of the first) of each row.
const ROWS: [(usize, usize, usize, usize); 7] = [
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
];

struct Variant {
    width: f64,
    depth: f64,
    /// Whether stem, head and the depth of the first and last row stay as in the paper (timm's `d`
    /// variants).
    fix_stem_head: bool,
}

const fn plain(width: f64) -> Variant {
    Variant {
        width,
        depth: 1.,
        fix_stem_head: false,
    }
}

const MOBILENETV2_110D: Variant = Variant {
    width: 1.1,
    depth: 1.2,
    fix_stem_head: true,
};
const MOBILENETV2_120D: Variant = Variant {
    width: 1.2,
    depth: 1.4,
    fix_stem_head: true,
};

pub(crate) const MODELS: &[ModelSpec] = &[
    ModelSpec {
        name: "mobilenetv2_035",
        build: |config, root| build(&plain(0.35), config, root),
        parameters: 1_677_128,
        multiply_adds: 59_285_808,
        ..BASE
    },
    ModelSpec {
        name: "mobilenetv2_050",
        build: |config, root| build(&plain(0.5), config, root),
        parameters: 1_968_680,
        multiply_adds: 97_131_840,
        weights: &[WeightSource::hub(
            "lamb_in1k",
            "hf:timm/mobilenetv2_050.lamb_in1k",
            "apache-2.0",
        )],
        ..BASE
    },
    ModelSpec {
        name: "mobilenetv2_075",
        build: |config, root| build(&plain(0.75), config, root),
        parameters: 2_636_424,
        multiply_adds: 209_069_792,
        ..BASE
    },
    ModelSpec {
        name: "mobilenetv2_100",
        build: |config, root| build(&plain(1.), config, root),
        parameters: 3_504_872,
        multiply_adds: 300_774_272,
        weights: &[
            WeightSource::hub("ra_in1k", "hf:timm/mobilenetv2_100.ra_in1k", "apache-2.0"),
            WeightSource::torchvision(
                "IMAGENET1K_V1",
                "https://download.pytorch.org/models/mobilenet_v2-b0353104.pth",
                "b0353104",
                71.878,
            ),
            WeightSource::torchvision(
                "IMAGENET1K_V2",
                "https://download.pytorch.org/models/mobilenet_v2-7ebf99e0.pth",
                "7ebf99e0",
                72.154,
            ),
        ],
        ..BASE
    },
    ModelSpec {
        name: "mobilenetv2_110d",
        build: |config, root| build(&MOBILENETV2_110D, config, root),
        parameters: 4_516_520,
        multiply_adds: 430_516_080,
        weights: &[WeightSource::hub(
            "ra_in1k",
            "hf:timm/mobilenetv2_110d.ra_in1k",
            "apache-2.0",
        )],
        ..BASE
    },
    ModelSpec {
        name: "mobilenetv2_120d",
        build: |config, root| build(&MOBILENETV2_120D, config, root),
        parameters: 5_831_144,
        multiply_adds: 668_857_568,
        weights: &[WeightSource::hub(
            "ra_in1k",
            "hf:timm/mobilenetv2_120d.ra_in1k",
            "apache-2.0",
        )],
        ..BASE
    },
    ModelSpec {
        name: "mobilenetv2_140",
        build: |config, root| build(&plain(1.4), config, root),
        parameters: 6_108_776,
        multiply_adds: 582_195_824,
        weights: &[WeightSource::hub(
            "ra_in1k",
            "hf:timm/mobilenetv2_140.ra_in1k",
            "apache-2.0",
        )],
        ..BASE
    },
];

const BASE: ModelSpec = ModelSpec {
    family: "mobilenetv2",
    paper: "Sandler et al. 2018, arXiv:1801.04381",
    preset: Preset::ImageNet,
    first_conv: "conv_stem",
    classifier: "classifier",
    rename: from_torchvision,
    ..ModelSpec::IMAGENET
};

fn build(variant: &Variant, config: &ModelConfig, root: &Builder) -> Built {
    let num_classes = config.num_classes.unwrap_or(1000);
    let multiplier = config.channel_multiplier.unwrap_or(variant.width);
    let width = |channels: usize| make_divisible(channels as f64 * multiplier);
    let (stem_width, num_features) = if variant.fix_stem_head {
        (32, 1280)
    } else {
        (width(32), width(1280).max(1280))
    };
    let conv = |from, to, kernel_size, stride| {
        let conv = Conv2dConfig::new(from, to, kernel_size)
            .with_stride(stride)
            .with_init(Init::KAIMING_NORMAL_OUT);
        let norm = BatchNorm2dConfig::new(to).with_eps(config.bn_eps());
        ConvNormActConfig::new(
            conv.with_padding(config.padding(kernel_size, stride)),
            norm,
            Activation::Relu6,
        )
    };
    let mut model = StagedBuilder::default();

    let stem = conv(config.in_channels.unwrap_or(3), stem_width, 3, 2);
    let mut layers = Sequential::new().add(stem.build(&root.pp("conv_stem"), &root.pp("bn1"))?);
    model.group("stem", &["conv_stem", "bn1"]);

    let depths: Vec<usize> = ROWS
        .iter()
        .enumerate()
        .map(|(row, &(_, _, blocks, _))| variant.depth(row, blocks))
        .collect();
    let mut channels = stem_width;
    let mut reduction = 2;
    let mut index = 0;
    for (row, ((expansion, base, _, stride), &blocks)) in ROWS.into_iter().zip(&depths).enumerate()
    {
        let name = format!("blocks.{row}");
        for number in 0..blocks {
            let stride = if number == 0 { stride } else { 1 };
            let at = root.pp(&name).pp(number);
            let drop_path = config.drop_path(index, depths.iter().sum());
            let options = BlockOptions::new()
                .with_kernel(3, config.padding(3, stride))
                .with_eps(config.bn_eps())
                .with_drop_path(drop_path);
            layers = if expansion == 1 {
                let block = DepthwiseSeparableConfig::new(channels, width(base), stride)
                    .with_activations(Activation::Relu6, Activation::Identity)
                    .with_residual();
                layers.add(block.with_options(options).build(&at)?)
            } else {
                let block = InvertedResidualConfig::new(
                    channels,
                    expansion * channels,
                    width(base),
                    stride,
                );
                layers.add(block.with_options(options).build(&at)?)
            };
            channels = width(base);
            reduction *= stride;
            index += 1;
        }
        model.group(&format!("stage{}", row + 1), &[&name]);
        // A stage ends where the next row halves the resolution, and at the end.
        if ROWS
            .get(row + 1)
            .is_none_or(|&(_, _, _, stride)| stride == 2)
        {
            model.stage(
                name.as_str(),
                channels,
                reduction,
                std::mem::take(&mut layers),
            );
        }
    }

    let conv_head =
        conv(channels, num_features, 1, 1).build(&root.pp("conv_head"), &root.pp("bn2"))?;
    model.tail(Sequential::new().add(conv_head));
    model.group("tail", &["conv_head", "bn2"]);
    model.group("head", &["classifier"]);
    let head = LinearHead::build(
        root,
        "classifier",
        num_features,
        num_classes,
        config.drop_rate.unwrap_or(0.),
    )?;
    Ok(model.finish(num_features, num_classes, head))
}

impl Variant {
    fn depth(&self, row: usize, blocks: usize) -> usize {
        let fixed = self.fix_stem_head && (row == 0 || row == ROWS.len() - 1);
        if fixed {
            blocks
        } else {
            (blocks as f64 * self.depth).ceil() as usize
        }
    }
}

/// Translates torchvision's name of a tensor (`features.2.conv.1.0.weight`); `None` for any other
/// name.
fn from_torchvision(name: &str) -> Option<String> {
    if let Some(rest) = name.strip_prefix("classifier.1.") {
        return Some(format!("classifier.{rest}"));
    }
    let (index, rest) = name.strip_prefix("features.")?.split_once('.')?;
    match index.parse::<usize>().ok()? {
        0 => translate(rest, "", &[("0.", "conv_stem."), ("1.", "bn1.")]),
        1 => translate(
            rest,
            "blocks.0.0.",
            &[
                ("conv.0.0.", "conv_dw."),
                ("conv.0.1.", "bn1."),
                ("conv.1.", "conv_pw."),
                ("conv.2.", "bn2."),
            ],
        ),
        18 => translate(rest, "", &[("0.", "conv_head."), ("1.", "bn2.")]),
        index => {
            let mut number = index.checked_sub(1)?;
            let row =
                ROWS.iter()
                    .position(|&(_, _, blocks, _)| match number.checked_sub(blocks) {
                        Some(rest) => {
                            number = rest;
                            false
                        }
                        None => true,
                    })?;
            let table = [
                ("conv.0.0.", "conv_pw."),
                ("conv.0.1.", "bn1."),
                ("conv.1.0.", "conv_dw."),
                ("conv.1.1.", "bn2."),
                ("conv.2.", "conv_pwl."),
                ("conv.3.", "bn3."),
            ];
            translate(rest, &format!("blocks.{row}.{number}."), &table)
        }
    }
}

fn translate(rest: &str, place: &str, table: &[(&str, &str)]) -> Option<String> {
    table.iter().find_map(|(from, to)| {
        rest.strip_prefix(from)
            .map(|tensor| format!("{place}{to}{tensor}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn torchvision_names_are_translated() {
        let table = [
            ("features.0.0.weight", "conv_stem.weight"),
            ("features.0.1.running_var", "bn1.running_var"),
            ("features.1.conv.0.0.weight", "blocks.0.0.conv_dw.weight"),
            ("features.1.conv.2.bias", "blocks.0.0.bn2.bias"),
            ("features.2.conv.0.0.weight", "blocks.1.0.conv_pw.weight"),
            ("features.3.conv.3.weight", "blocks.1.1.bn3.weight"),
            (
                "features.17.conv.1.1.num_batches_tracked",
                "blocks.6.0.bn2.num_batches_tracked",
            ),
            ("features.18.1.bias", "bn2.bias"),
            ("classifier.1.weight", "classifier.weight"),
        ];
        for (theirs, ours) in table {
            assert_eq!(from_torchvision(theirs).as_deref(), Some(ours));
            assert_eq!(from_torchvision(ours), None, "timm's own names stay");
        }
        assert_eq!(from_torchvision("features.99.conv.0.0.weight"), None);
    }
}
