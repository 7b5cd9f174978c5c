//! What cannot fit in memory is refused before it is tried.

use anyhow::{Result, anyhow};
use cnn_layers::{FeatureMap, LayerKind, Mode};
use cnn_models::NetworkOf;

use crate::args::Unusable;
use crate::watched::Watched;

/// What a network is used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Workload {
    Forward,
    /// Forward and backward: the maps that convolutions and norms give are kept in between.
    Training,
}

/// Images of a batch times their pixels that are never too many, so that usual work is not delayed.
const HARMLESS: usize = 32 << 20;

/// The network is watched at most at this size.
const WATCHED: usize = 224;

/// Refuses a batch whose maps alone take more memory than the machine has.
///
/// The estimate is a lower bound, from the shapes of one pass at a small size. It is made only for
/// large batches of large images, and where the system tells its memory.
pub(crate) fn check<M: Watched + ?Sized>(
    network: &NetworkOf<M>,
    batch: usize,
    workload: Workload,
) -> Result<()> {
    let [_, height, width] = network.preprocessing().input_size;
    let pixels = height.saturating_mul(width);
    if pixels.saturating_mul(batch) <= HARMLESS {
        return Ok(());
    }
    let Some(available) = total_memory() else {
        return Ok(());
    };
    let needed = of_maps(network, workload)? * batch as f64;
    if needed <= available {
        return Ok(());
    }
    let gigabytes = |bytes: f64| format!("{:.0} GB", (bytes / 1e9).max(1.));
    Err(anyhow!(
        "{batch} images of {height}x{width} pixels take at least {} in {}, and this machine has {}; \
         smaller images (--size) or fewer at a time (--batch) are accepted",
        gigabytes(needed),
        network.spec().name,
        gigabytes(available)
    )
    .context(Unusable))
}

/// Bytes of one image's maps that are held at once, at least.
fn of_maps<M: Watched + ?Sized>(network: &NetworkOf<M>, workload: Workload) -> Result<f64> {
    let [channels, height, width] = network.preprocessing().input_size;
    let watched = [height.min(WATCHED), width.min(WATCHED)];
    let shape = (1, watched[0], watched[1], channels);
    let images =
        candle_core::Tensor::zeros(shape, network.store().dtype(), &candle_core::Device::Cpu)?;
    let graph = network
        .build(Mode::Eval)?
        .graph(&FeatureMap::from_nhwc(&images)?)?;
    let scale = (height as f64 * width as f64) / (watched[0] as f64 * watched[1] as f64);
    let is_map = |shape: &&[usize]| shape.len() == 3;
    let size = |shape: &[usize]| 4. * scale * shape.iter().product::<usize>() as f64;
    let image = size(&[channels, watched[0], watched[1]]);
    let maps: f64 = match workload {
        Workload::Forward => graph
            .nodes()
            .iter()
            .map(|node| &node.shape[..])
            .filter(is_map)
            .map(size)
            .fold(0., f64::max),
        Workload::Training => graph
            .nodes()
            .iter()
            .filter(|node| {
                matches!(
                    node.kind,
                    LayerKind::Conv2d { .. } | LayerKind::BatchNorm { .. }
                )
            })
            .map(|node| &node.shape[..])
            .filter(is_map)
            .map(size)
            .sum(),
    };
    Ok(image + maps)
}

/// Bytes of memory that the system says it has; `None` where it does not.
fn total_memory() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("MemTotal:"))?;
    let kilobytes: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(1024. * kilobytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use cnn_models::{ModelConfig, Network};

    use super::*;

    fn network(name: &str, size: usize) -> Network {
        let config = ModelConfig {
            input_size: Some([size, size]),
            ..ModelConfig::default()
        };
        Network::new(name, &config, 0).unwrap()
    }

    #[test]
    fn the_estimate_grows_with_the_images_and_is_a_lower_bound() {
        let small = of_maps(&network("resnet18", 224), Workload::Training).unwrap();
        let large = of_maps(&network("resnet18", 448), Workload::Training).unwrap();
        assert!((large / small - 4.).abs() < 1e-9, "{small} {large}");
        // Convolutions of ResNet-18 give 2.48 million values of an image, and as many its norms.
        assert!((15e6..25e6).contains(&small), "{small}");
        let forward = of_maps(&network("resnet18", 224), Workload::Forward).unwrap();
        assert!(forward < small / 3., "{forward}");
    }

    #[test]
    fn what_fits_is_let_through_and_what_cannot_is_refused() {
        let usual = network("resnet18", 224);
        check(&usual, 64, Workload::Training).unwrap();
        let huge = network("resnet18", 8192);
        let message = check(&huge, 4096, Workload::Training)
            .unwrap_err()
            .root_cause()
            .to_string();
        assert!(
            message.contains("4096 images of 8192x8192 pixels take at least"),
            "{message}"
        );
    }
}
