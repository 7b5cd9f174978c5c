//! What a frozen backbone makes of a dataset, computed once and kept.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::{DType, Device, Tensor};
use cnn_core::Preprocessing;
use cnn_data::{BatchPlan, Dataset, Skipped};
use cnn_layers::{Classifier, Context, FeatureMap, Mode};
use cnn_models::Network;
use cnn_weights::{TensorFile, save_safetensors};
use sha2::{Digest as _, Sha256};

use crate::Error;
use crate::freeze::digest;

/// Changes whenever the meaning of a cached file does.
const VERSION: u32 = 1;
/// Images per forward pass.
const BATCH: usize = 32;
/// More values than this (2 GiB) are not kept.
const MAX_VALUES: usize = 1 << 29;

/// The inputs of a network's head for every readable image of a dataset.
#[derive(Debug, Clone)]
pub struct Features {
    /// `(N, H, W, C)`, as [`Classifier::head_input`] gives them.
    pub maps: Tensor,
    /// Which sample of the dataset each one is.
    pub indices: Vec<usize>,
    /// The files that could not be read.
    pub skipped: Vec<Skipped>,
    /// Whether they came from a file.
    pub from_file: bool,
}

/// Computes features, and keeps them in a directory where one is given.
///
/// A file's name is the SHA-256 of all that decides its content: the backbone's weights, the
/// preprocessing, and each image's name and bytes. A file for other weights or changed images is
/// therefore never used; one that is damaged is computed again.
#[derive(Debug, Clone, Default)]
pub struct FeatureCache {
    directory: Option<PathBuf>,
}

impl FeatureCache {
    /// A cache in a directory, made where it does not exist.
    pub fn in_directory(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: Some(directory.into()),
        }
    }

    /// The features of a dataset, from a file if there is one. `None` if `interrupt` was set
    /// meanwhile, or if they would take more memory than it is worth (2 GiB); tell them apart by
    /// the flag. `progress` hears how many images are done.
    ///
    /// # Errors
    /// If no image can be read, the forward pass fails or the file cannot be written.
    pub fn features(
        &self,
        network: &Network,
        dataset: &Arc<dyn Dataset>,
        interrupt: &AtomicBool,
        mut progress: impl FnMut(usize),
    ) -> Result<Option<Features>, Error> {
        let file = match &self.directory {
            Some(directory) => {
                Some(directory.join(format!("{}.safetensors", key(network, dataset.as_ref())?)))
            }
            None => None,
        };
        if let Some(features) = file.as_deref().and_then(|file| read(file, dataset.len())) {
            progress(dataset.len());
            return Ok(Some(features));
        }
        let Some(features) = compute(network, dataset, interrupt, progress)? else {
            return Ok(None);
        };
        if let (Some(file), Some(directory)) = (file, &self.directory) {
            std::fs::create_dir_all(directory).map_err(|source| Error::Io {
                action: "create directory",
                path: directory.clone(),
                source,
            })?;
            write(&file, &features)?;
        }
        Ok(Some(features))
    }
}

/// Whether the features of so many images are few enough to be kept.
pub(crate) fn features_fit(network: &Network, images: usize) -> Result<bool, Error> {
    let record = network.preprocessing();
    let size = (1, record.height(), record.width(), record.channels());
    let map = head_input(
        network.build(Mode::Eval)?.as_ref(),
        &Tensor::zeros(size, DType::F32, &Device::Cpu)?,
    )?;
    Ok(map.elem_count().saturating_mul(images) <= MAX_VALUES)
}

fn compute(
    network: &Network,
    dataset: &Arc<dyn Dataset>,
    interrupt: &AtomicBool,
    mut progress: impl FnMut(usize),
) -> Result<Option<Features>, Error> {
    let model = network.build(Mode::Eval)?;
    let plan =
        BatchPlan::new(dataset.clone(), network.preprocessing().clone()).with_batch_size(BATCH);
    let mut batches = plan.start()?;
    let mut maps = Vec::new();
    let mut indices = Vec::new();
    for batch in &mut batches {
        if interrupt.load(Ordering::Relaxed) {
            return Ok(None);
        }
        let batch = batch?;
        let map = head_input(model.as_ref(), &batch.images)?;
        if map.elem_count() / batch.len() * dataset.len() > MAX_VALUES {
            return Ok(None);
        }
        maps.push(map);
        indices.extend(&batch.indices);
        progress(indices.len());
    }
    let skipped = batches.skipped().to_vec();
    if maps.is_empty() {
        let first = skipped.first().map_or(String::new(), |file| {
            format!("; the first: {}: {}", file.path, file.reason)
        });
        return Err(Error::argument(
            "images",
            format!("none that can be read{first}"),
            "at least one",
        ));
    }
    Ok(Some(Features {
        maps: Tensor::cat(&maps, 0)?,
        indices,
        skipped,
        from_file: false,
    }))
}

fn head_input(model: &dyn Classifier, images: &Tensor) -> Result<Tensor, Error> {
    let cx = Context::eval();
    let last = model.forward_features(&FeatureMap::from_nhwc(images)?, &cx)?;
    Ok(model.head_input(&last, &cx)?.to_nhwc())
}

/// All that decides the features, as a hexadecimal SHA-256.
fn key(network: &Network, dataset: &dyn Dataset) -> Result<String, Error> {
    let mut hasher = Sha256::new();
    let mut add = |bytes: &[u8]| {
        hasher.update((bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    add(format!(
        "features {VERSION} {} {:?}",
        network.spec().name,
        network.config().model
    )
    .as_bytes());
    let head = network.model().layer_groups().last();
    for (name, tensor) in network
        .store()
        .tensors()
        .iter()
        .filter(|(name, _)| !head.is_some_and(|head| head.contains(name)))
    {
        add(name.as_bytes());
        add(&digest(tensor)?);
    }
    add(preprocessing(network.preprocessing()).as_bytes());
    for index in 0..dataset.len() {
        add(dataset.id(index).as_bytes());
        // A file that cannot be read has a place of its own, so that mending it changes the key.
        add(&dataset
            .content(index)
            .map(|content| content.sha256())
            .unwrap_or_default());
    }
    Ok(hexadecimal(&hasher.finalize()))
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn preprocessing(record: &Preprocessing) -> String {
    format!("{record:?}")
}

const MAPS: &str = "features";
const INDICES: &str = "indices";
const SKIPPED: &str = "skipped";
const DIGEST: &str = "sha256";

fn write(path: &Path, features: &Features) -> Result<(), Error> {
    let indices: Vec<i64> = features.indices.iter().map(|&index| index as i64).collect();
    let indices = Tensor::new(indices, &Device::Cpu)?;
    let skipped =
        serde_json::to_string(&features.skipped).expect("paths and reasons always serialise");
    let metadata = [
        (SKIPPED.to_string(), skipped),
        (DIGEST.to_string(), hexadecimal(&digest(&features.maps)?)),
    ];
    let tensors = [
        (MAPS.to_string(), features.maps.clone()),
        (INDICES.to_string(), indices),
    ];
    Ok(save_safetensors(path, &tensors, &metadata.into())?)
}

/// The features in a file; `None` if there is none or it is damaged.
fn read(path: &Path, samples: usize) -> Option<Features> {
    let file = TensorFile::open(path).ok()?;
    let maps = file.tensor(MAPS).ok()?;
    let indices = file.tensor(INDICES).ok()?.to_vec1::<i64>().ok()?;
    let skipped = serde_json::from_str(file.metadata().get(SKIPPED)?).ok()?;
    let index = |index: i64| usize::try_from(index).ok().filter(|&index| index < samples);
    let indices = indices.into_iter().map(index).collect::<Option<Vec<_>>>()?;
    let fits = maps.rank() == 4
        && maps.dims()[0] == indices.len()
        && maps.dtype() == DType::F32
        && !indices.is_empty();
    let is_whole = *file.metadata().get(DIGEST)? == hexadecimal(&digest(&maps).ok()?);
    (fits && is_whole).then_some(Features {
        maps,
        indices,
        skipped,
        from_file: true,
    })
}
