//! How far the domains lie apart.

use anyhow::Result;
use candle_core::{DType, Device, Tensor};
use cnn_metrics::{DomainClassifierConfig, DomainFeatures, a_distance};
use cnn_transfer::adapt::Domains;
use cnn_transfer::adapt::losses::MultiKernelMmd;

use super::Features;
use super::features::ImageFeatures;

/// Images of either domain at least: the classifier learns from half of them.
const LEAST: usize = 4;

/// How far the domains lie apart in a network's features; `None` where these are no finite numbers,
/// or too few.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(in crate::commands::adapt) struct Distances {
    /// The A-distance: 0 where a linear classifier cannot tell the domains apart, 2 where it always
    /// can.
    pub(in crate::commands::adapt) a_distance: Option<f64>,
    /// The squared maximum mean discrepancy with five kernels: 0 for equal distributions.
    pub(in crate::commands::adapt) mmd: Option<f64>,
}

impl Distances {
    pub(super) fn of(features: &Features) -> Result<Self> {
        let Features {
            source,
            target,
            columns,
        } = features;
        let fewest = source.images.len().min(target.images.len());
        if !features.are_finite() || fewest < LEAST {
            return Ok(Self::default());
        }
        let domains = DomainFeatures {
            source: &source.values,
            target: &target.values,
            columns: *columns,
        };
        let apart = a_distance(domains, &DomainClassifierConfig::default())?;
        let rows = |features: &ImageFeatures| {
            let shape = (features.images.len(), *columns);
            Tensor::from_slice(&features.values, shape, &Device::Cpu)?.to_dtype(DType::F64)
        };
        let mmd = MultiKernelMmd::default().loss(Domains {
            source: &rows(source)?,
            target: &rows(target)?,
        })?;
        Ok(Self {
            a_distance: Some(apart.distance),
            mmd: Some(mmd.to_scalar()?),
        })
    }
}
