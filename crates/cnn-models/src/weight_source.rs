//! Where pretrained weights are published: `data/weights.csv`.

use std::collections::HashMap;
use std::path::Path;
use std::sync::OnceLock;

use cnn_core::{Interpolation, Preprocessing};

use crate::ModelSpec;

/// Where pretrained weights are published, and how they want their images.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WeightSource {
    /// torchvision's name of the weights, as `IMAGENET1K_V1`, or timm's tag, as `a1_in1k`.
    pub tag: &'static str,
    /// A URL, or `hf:owner/name` on the Hugging Face hub.
    pub location: &'static str,
    /// First digits of the file's sha256, where it is published.
    pub sha256_prefix: Option<&'static str>,
    /// SPDX name of the licence; `unknown` where none is said.
    pub license: &'static str,
    /// Published score in percent: of classifiers the top-1 accuracy on ImageNet's validation images,
    /// of networks for pixels the mean IoU and of those that find objects the AP on COCO's.
    pub score: Option<f64>,
    /// Classes that it tells apart: 1000 for ImageNet.
    pub num_classes: usize,
    /// `None` where they want them as the model does.
    images: Option<Images>,
}

/// How weights want their images, as the table says it.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Images {
    size: [usize; 2],
    interpolation: Interpolation,
    crop_pct: f64,
    mean: [f64; 3],
    std: [f64; 3],
}

impl WeightSource {
    /// The address of the file, or of the repository on the Hugging Face hub.
    pub fn url(&self) -> String {
        match self.location.strip_prefix("hf:") {
            Some(repository) => format!("https://huggingface.co/{repository}"),
            None => self.location.to_string(),
        }
    }

    /// How these weights want their images, which is not always what the model's default says; for
    /// weights of this model.
    pub fn preprocessing(&self, spec: &ModelSpec) -> Preprocessing {
        let Some(images) = self.images else {
            return spec.preprocessing();
        };
        let Images {
            size: [height, width],
            interpolation,
            crop_pct,
            mean,
            std,
        } = images;
        Preprocessing {
            input_size: [3, height, width],
            interpolation,
            crop_pct,
            mean: mean.to_vec(),
            std: std.to_vec(),
            ..Preprocessing::default()
        }
    }

    /// Whether a file has the name under which these weights are published, which ends with their
    /// hash; a repository of the hub has none.
    pub(crate) fn is_called(&self, path: &Path) -> bool {
        let published = self.location.rsplit('/').next();
        let has_one = self.location.starts_with("https://");
        has_one && path.file_name().and_then(|name| name.to_str()) == published
    }
}

/// A line for each, made by `tools/catalogue.py`: model, tag, location, first digits of the sha256,
/// licence, score, classes, height, width, interpolation, crop, mean and standard deviation, of which
/// the last six are empty where they are the model's own.
const TABLE: &str = include_str!("../data/weights.csv");

/// The weights published for a model, in the table's order.
pub(crate) fn weights_of(model: &str) -> &'static [WeightSource] {
    static SOURCES: OnceLock<HashMap<&str, Vec<WeightSource>>> = OnceLock::new();
    let sources = SOURCES.get_or_init(|| {
        let mut sources: HashMap<&str, Vec<WeightSource>> = HashMap::new();
        for (model, source) in TABLE.lines().skip(1).filter_map(read_line) {
            sources.entry(model).or_default().push(source);
        }
        sources
    });
    sources.get(model).map_or(&[], Vec::as_slice)
}

fn read_line(line: &'static str) -> Option<(&'static str, WeightSource)> {
    let fields: Vec<&str> = line.split(',').collect();
    let &[
        model,
        tag,
        location,
        sha256,
        license,
        score,
        classes,
        height,
        width,
        interpolation,
        crop_pct,
        mean,
        std,
    ] = fields.as_slice()
    else {
        return None;
    };
    let numbers = |text: &str| -> Option<[f64; 3]> {
        let numbers: Vec<f64> = text.split(' ').flat_map(str::parse).collect();
        numbers.try_into().ok()
    };
    let images = if height.is_empty() {
        None
    } else {
        Some(Images {
            size: [height.parse().ok()?, width.parse().ok()?],
            interpolation: match interpolation {
                "bilinear" => Interpolation::Bilinear,
                "bicubic" => Interpolation::Bicubic,
                _ => return None,
            },
            crop_pct: crop_pct.parse().ok()?,
            mean: numbers(mean)?,
            std: numbers(std)?,
        })
    };
    let source = WeightSource {
        tag,
        location,
        sha256_prefix: Some(sha256).filter(|digits| !digits.is_empty()),
        license: if license.is_empty() {
            "unknown"
        } else {
            license
        },
        score: score.parse().ok(),
        num_classes: classes.parse().ok()?,
        images,
    };
    Some((model, source))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{find, models};

    #[test]
    fn every_line_is_read_and_belongs_to_a_model() {
        for line in TABLE.lines().skip(1) {
            let (model, source) = read_line(line).unwrap();
            let spec = find(model).unwrap();
            assert!(
                source.url().starts_with("https://") && !source.url().contains("hf:"),
                "{line}"
            );
            assert!(
                !source.tag.is_empty() && !source.license.is_empty(),
                "{line}"
            );
            let score = line.split(',').nth(5).unwrap();
            assert_eq!(source.score.is_some(), !score.is_empty(), "{line}");
            source.preprocessing(spec).validate().unwrap();
        }
        let read: usize = models().map(|spec| spec.weights().len()).sum();
        assert_eq!(read, TABLE.lines().count() - 1);
    }
}
