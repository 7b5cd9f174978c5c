//! Where pretrained weights are published: `data/weights.csv`.

use std::collections::HashMap;
use std::sync::OnceLock;

/// Where pretrained weights are published.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct WeightSource {
    /// torchvision's name of the weights, as `IMAGENET1K_V1`, or timm's tag, as `a1_in1k`.
    pub tag: &'static str,
    /// A URL, or `hf:owner/name` on the Hugging Face hub.
    pub location: &'static str,
    /// First digits of the file's sha256, where it is published.
    pub sha256_prefix: Option<&'static str>,
    /// SPDX name of the licence.
    pub license: &'static str,
    /// Published top-1 accuracy on ImageNet's validation set, in percent.
    pub top1: Option<f64>,
}

impl WeightSource {
    /// The address of the file, or of the repository on the Hugging Face hub.
    pub fn url(&self) -> String {
        match self.location.strip_prefix("hf:") {
            Some(repository) => format!("https://huggingface.co/{repository}"),
            None => self.location.to_string(),
        }
    }
}

/// A line for each: model, tag, location, first digits of the sha256, licence, top-1.
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
    let &[model, tag, location, sha256, license, top1] = fields.as_slice() else {
        return None;
    };
    let source = WeightSource {
        tag,
        location,
        sha256_prefix: Some(sha256).filter(|digits| !digits.is_empty()),
        license,
        top1: top1.parse().ok(),
    };
    Some((model, source))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::models;

    #[test]
    fn every_line_is_read_and_belongs_to_a_model() {
        for line in TABLE.lines().skip(1) {
            let (model, source) = read_line(line).unwrap();
            assert!(models().any(|spec| spec.name == model), "{line}");
            assert!(
                source.url().starts_with("https://") && !source.url().contains("hf:"),
                "{line}"
            );
            assert!(
                !source.tag.is_empty() && !source.license.is_empty(),
                "{line}"
            );
            let top1 = line.rsplit(',').next().unwrap();
            assert_eq!(source.top1.is_some(), !top1.is_empty(), "{line}");
        }
        let read: usize = models().map(|spec| spec.weights().len()).sum();
        assert_eq!(read, TABLE.lines().count() - 1);
    }
}
