//! The features of some images of both domains.

use std::sync::Arc;

use anyhow::{Result, ensure};
use candle_core::DType;
use cnn_data::{BatchPlan, Dataset, Subset};
use cnn_layers::{Context, FeatureMap, Mode};
use cnn_models::{Bottlenecked, Network};

use crate::commands::adapt::data::DomainData;

/// Images of either domain at most.
const IMAGES: usize = 500;
const BATCH: usize = 64;

/// Images of both domains that every network is asked about.
pub(in crate::commands::adapt) struct DomainSample {
    /// Validation images of the source.
    pub(in crate::commands::adapt) source: Arc<dyn Dataset>,
    /// Images of the target that the accuracy is measured on; where there are none, training images,
    /// which have no labels then.
    pub(in crate::commands::adapt) target: Arc<dyn Dataset>,
}

/// What a network's bottleneck makes of images of both domains, row by row.
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
        Ok(Self {
            source: some(&data.source_validation)?,
            target: some(data.test.as_ref().unwrap_or(data.target.images()))?,
        })
    }
}

impl Features {
    pub(super) fn of(network: &Network, sample: &DomainSample) -> Result<Self> {
        let root = network.store().builder(Mode::Inference);
        let model = Bottlenecked::build(&network.config().model, &root)?;
        let of_images = |images: &Arc<dyn Dataset>| {
            let plan = BatchPlan::new(images.clone(), network.preprocessing().clone())
                .with_batch_size(BATCH);
            let mut features = ImageFeatures::default();
            for batch in plan.start()? {
                let batch = batch?;
                let images = batch.images.to_dtype(network.store().dtype())?;
                let rows = model.features(&FeatureMap::from_nhwc(&images)?, &Context::eval())?;
                let rows = rows.to_dtype(DType::F32)?.flatten_all()?;
                features.values.extend(rows.to_vec1::<f32>()?);
                features.images.extend(batch.indices);
            }
            ensure!(
                !features.images.is_empty(),
                "none of the images can be read"
            );
            Ok(features)
        };
        let source = of_images(&sample.source)?;
        Ok(Self {
            columns: source.values.len() / source.images.len(),
            target: of_images(&sample.target)?,
            source,
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
