//! The features of some images of both domains.

use std::sync::Arc;

use anyhow::{Result, ensure};
use candle_core::DType;
use cnn_data::{BatchPlan, Dataset, Subset};
use cnn_models::Network;
use cnn_transfer::adapt::FeatureReader;

use crate::commands::adapt::data::DomainData;

/// Images of either domain at most.
const IMAGES: usize = 500;
const BATCH: usize = 64;

/// Images of both domains that every network is asked about.
pub(in crate::commands::adapt) struct DomainSample {
    /// Validation images of the source; `None` for methods that do without.
    pub(in crate::commands::adapt) source: Option<Arc<dyn Dataset>>,
    /// Images of the target that the accuracy is measured on; where there are none, training images,
    /// which have no labels then.
    pub(in crate::commands::adapt) target: Arc<dyn Dataset>,
}

/// The features of images of both domains, row by row.
pub(in crate::commands::adapt) struct Features {
    pub(in crate::commands::adapt) source: ImageFeatures,
    pub(in crate::commands::adapt) target: ImageFeatures,
    /// Features of an image.
    pub(in crate::commands::adapt) columns: usize,
}

/// The same of one domain.
#[derive(Default)]
pub(in crate::commands::adapt) struct ImageFeatures {
    pub(in crate::commands::adapt) values: Vec<f32>,
    /// The number of each row's image; those that cannot be read have no row.
    pub(in crate::commands::adapt) images: Vec<usize>,
}

impl DomainSample {
    pub(super) fn of(data: &DomainData) -> Result<Self> {
        let some = |images: &Arc<dyn Dataset>| -> Result<Arc<dyn Dataset>> {
            Ok(Arc::new(Subset::spread(images.clone(), IMAGES)?))
        };
        let source = data.source.as_ref();
        Ok(Self {
            source: source.map(|source| some(&source.validation)).transpose()?,
            target: some(data.test.as_ref().unwrap_or(data.target.images()))?,
        })
    }
}

impl Features {
    pub(super) fn of(network: &Network, sample: &DomainSample) -> Result<Self> {
        let reader = FeatureReader::new(network)?;
        let of_images = |images: &Arc<dyn Dataset>| {
            let plan = BatchPlan::new(images.clone(), network.preprocessing().clone())
                .with_batch_size(BATCH);
            let mut features = ImageFeatures::default();
            for batch in plan.start()? {
                let batch = batch?;
                let images = batch.images.to_dtype(network.store().dtype())?;
                let rows = reader.features(&images)?.to_dtype(DType::F32)?;
                let rows = rows.flatten_all()?;
                features.values.extend(rows.to_vec1::<f32>()?);
                features.images.extend(batch.indices);
            }
            ensure!(
                !features.images.is_empty(),
                "none of the images can be read"
            );
            Ok(features)
        };
        let target = of_images(&sample.target)?;
        let source = sample.source.as_ref().map(of_images);
        Ok(Self {
            columns: target.values.len() / target.images.len(),
            source: source.transpose()?.unwrap_or_default(),
            target,
        })
    }

    /// The rows of the source and behind them those of the target.
    pub(in crate::commands::adapt) fn joined(&self) -> Vec<f32> {
        [&self.source.values[..], &self.target.values].concat()
    }

    /// Whether all are finite numbers, as those of a network whose training went astray are not.
    pub(in crate::commands::adapt) fn are_finite(&self) -> bool {
        let mut values = self.source.values.iter().chain(&self.target.values);
        values.all(|value| value.is_finite())
    }
}
