//! A model with its weights: built new, loaded from a file, saved again.

mod over;
mod resized;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use cnn_core::{Preprocessing, write_atomic};
use cnn_layers::{Classifier, Detector, Mode, Segmenter, Store};
use cnn_weights::{LoadReport, Prefer, TensorFile, save_safetensors};

use crate::checkpoint::set_channels;
use crate::identify;
use crate::weight_files::{locate, no_architecture};
use crate::wrapper::{LoadedFrom, Unwrapped, unwrap};
use crate::{CheckpointConfig, Error, Kind, ModelConfig, ModelKind, ModelSpec, find, models};

/// A network that tells the class of an image.
///
/// ```
/// use cnn_layers::Mode;
/// use cnn_models::{LoadOptions, ModelConfig, Network};
///
/// # let directory = tempfile::tempdir()?;
/// # let directory = directory.path();
/// let network = Network::new("resnet8_cifar10", &ModelConfig::default(), 0)?;
/// network.save(directory)?; // `config.json` and `model.safetensors`
///
/// // The same backbone with a new head for two classes.
/// let options = LoadOptions { num_classes: Some(2), ..LoadOptions::default() };
/// let network = Network::load(directory, &options)?;
/// assert_eq!((network.model().num_classes(), network.store().parameter_count()), (2, 75_290 - 8 * 65));
/// assert!(network.report().loaded.iter().any(|name| name == "layer1.0.conv1.weight"));
///
/// // Built for many images: each norm is folded into its convolution.
/// let model = network.build(Mode::Inference)?;
/// assert_eq!(model.num_features(), 64);
/// # Ok::<(), anyhow::Error>(())
/// ```
pub type Network = NetworkOf<dyn Classifier>;

/// A network that tells the class of every pixel.
pub type SegmentationNetwork = NetworkOf<dyn Segmenter>;

/// A network that finds objects.
pub type DetectionNetwork = NetworkOf<dyn Detector>;

/// A model of some kind, the store of its weights, and what its `config.json` says. [`Network`] is
/// one that tells the class of an image, and has an example.
pub struct NetworkOf<M: ModelKind + ?Sized> {
    spec: ModelSpec,
    config: CheckpointConfig,
    store: Store,
    model: Box<M>,
    report: LoadReport,
    loaded_from: LoadedFrom,
    weights_file: Option<PathBuf>,
}

/// What may differ from the file when a network is loaded.
#[derive(Debug, Clone, Default)]
pub struct LoadOptions {
    /// The model, as [`find`] gives it or one of your own: needed for a bare weight file, else it
    /// must be the one that `config.json` names. Default: the registered one of that name.
    pub spec: Option<ModelSpec>,
    /// Another number of classes: the classifier then starts anew.
    pub num_classes: Option<usize>,
    /// Starts the classifier anew even where the number of classes stays.
    pub new_head: bool,
    /// Another height and width of the input, for networks that take any.
    pub input_size: Option<[usize; 2]>,
    /// Another number of input channels: the first convolution's weights are summed over RGB for
    /// one channel, and repeated and scaled for others.
    pub in_channels: Option<usize>,
    /// Decides the initialisation of what the file does not have.
    pub seed: u64,
    /// Element type of the weights; default f32.
    pub dtype: Option<DType>,
    /// Loads the moving average of the weights that a checkpoint keeps beside them
    /// (`state_dict_ema`, `model_ema`, `ema`).
    pub moving_average: bool,
}

impl LoadOptions {
    /// The weights are for this model, registered or of your own.
    pub fn of(spec: ModelSpec) -> Self {
        Self {
            spec: Some(spec),
            ..Self::default()
        }
    }
}

impl<M: ModelKind + ?Sized> NetworkOf<M> {
    /// A registered model with fresh f32 weights; `seed` decides them.
    ///
    /// # Errors
    /// If no model has this name or it cannot be built with this configuration.
    pub fn new(name: &str, config: &ModelConfig, seed: u64) -> Result<Self, Error> {
        Self::of(*find(name)?, config, seed)
    }

    /// A model, registered or of your own, with fresh f32 weights; `seed` decides them.
    ///
    /// # Errors
    /// If it cannot be built with this configuration.
    pub fn of(spec: ModelSpec, config: &ModelConfig, seed: u64) -> Result<Self, Error> {
        Self::with_dtype(spec, config, seed, DType::F32)
    }

    /// A model with fresh weights of another element type.
    ///
    /// # Errors
    /// As [`Network::of`].
    pub fn with_dtype(
        spec: ModelSpec,
        config: &ModelConfig,
        seed: u64,
        dtype: DType,
    ) -> Result<Self, Error> {
        spec.check()?;
        let mut preprocessing = spec.preprocessing();
        if let Some([height, width]) = config.input_size {
            (preprocessing.input_size[1], preprocessing.input_size[2]) = (height, width);
        }
        if let Some(channels) = config.in_channels {
            set_channels(&mut preprocessing, channels);
        }
        let mut model_config = config.clone();
        spec.declare_auxiliary(&mut model_config, true);
        let config = CheckpointConfig {
            architecture: spec.name.to_string(),
            model: model_config,
            preprocessing,
            label_names: spec.label_names(config.num_classes.unwrap_or(spec.num_classes)),
            extra: serde_json::Map::new(),
        };
        let store = Store::with_dtype(seed, dtype, &Device::Cpu);
        let model = spec.build(&config.model, &store.builder(Mode::Eval))?;
        Ok(Self {
            spec,
            config,
            store,
            model,
            report: LoadReport::default(),
            loaded_from: LoadedFrom::default(),
            weights_file: None,
        })
    }

    /// Loads a network from a directory with `config.json` and weights, a run directory (its
    /// `best`), or from a bare weight file (`.safetensors`, `.pth`, `.pt`, `.th`, `.bin`) whose
    /// model is named in the options, or that has the name under which torchvision publishes it:
    /// then its images are prepared as those weights want them. The weights must fit: what the file
    /// has too much is reported, what it lacks is an error.
    ///
    /// A prefix that a wrapper put before all of the model's names (`module.`, `_orig_mod.`,
    /// `model.`, any other) is dropped; [`Network::loaded_from`] says which. Directories that
    /// transformers saved are read where they hold its ResNet or a model of timm.
    ///
    /// Auxiliary heads are there for training, and not every file has them: without a word on
    /// `aux_logits` in the `config.json`, the network has those that the file has.
    ///
    /// # Errors
    /// If nothing can be read, the model is unknown or contradicted, or a tensor is missing or has
    /// another shape; it is named.
    pub fn load(path: &Path, options: &LoadOptions) -> Result<Self, Error> {
        let (weights, config_path) = locate(path)?;
        let declared = config_path
            .as_deref()
            .map(CheckpointConfig::read)
            .transpose()?;
        if let (Some(declared), Some(asked), Some(path)) = (&declared, &options.spec, &config_path)
            && declared.architecture != asked.name
        {
            return Err(Error::Contradiction {
                path: path.clone(),
                found: declared.architecture.clone(),
                asked: asked.name.to_string(),
            });
        }
        let spec = match (options.spec, &declared) {
            (Some(spec), _) => spec,
            (None, Some(config)) => *find(&config.architecture)?,
            (None, None) => match published_as(&weights) {
                Some(spec) => *spec,
                None => {
                    // What is no weight file needs no model.
                    TensorFile::open(&weights)?;
                    return Err(no_architecture(path, &weights));
                }
            },
        };
        spec.check()?;
        let prefer = if options.moving_average {
            Prefer::MovingAverage
        } else {
            Prefer::Weights
        };
        let file = TensorFile::open_with(&weights, prefer)?;
        let model_args = declared.as_ref().map(|config| &config.model);
        let Unwrapped {
            file,
            from: mut loaded_from,
            naming,
            outside,
        } = unwrap(
            file,
            &spec,
            model_args.unwrap_or(&ModelConfig::default()),
            &weights,
            options.moving_average,
        )
        .map_err(|error| in_config(error, config_path.as_deref()))?;
        let mut config = declared.unwrap_or_else(|| config_of_file(&spec, &file, &weights));
        for &(name, value) in naming.map_or(&[][..], |naming| naming.args) {
            let said = config.model.args.entry(name);
            said.or_insert_with(|| value.into());
        }
        let has_heads = spec.auxiliary.iter().all(|module| {
            let below = format!("{module}.");
            file.names().any(|name| name.starts_with(&below))
        });
        loaded_from.without_auxiliary =
            spec.declare_auxiliary(&mut config.model, has_heads) && !has_heads;
        check_declared(&spec, &config.model, &file, &weights)?;
        if let Some(channels) = options.in_channels {
            config.model.in_channels = Some(channels);
            set_channels(&mut config.preprocessing, channels);
        }
        if let Some([height, width]) = options.input_size {
            config.model.input_size = Some([height, width]);
            config.preprocessing.input_size[1..].copy_from_slice(&[height, width]);
        }
        let other_classes = options
            .num_classes
            .filter(|&classes| Some(classes) != config.model.num_classes);
        if let Some(classes) = other_classes {
            config.model.num_classes = Some(classes);
            config.set_label_names(spec.label_names(classes));
        }
        let new_head = options.new_head || other_classes.is_some();

        let store = Store::with_dtype(
            options.seed,
            options.dtype.unwrap_or(DType::F32),
            &Device::Cpu,
        );
        let build = || {
            spec.build::<M>(&config.model, &store.builder(Mode::Eval))
                .map_err(|error| in_config(error, config_path.as_deref()))
        };
        // Drawing what the file replaces would take longer than reading it.
        store.set_blank(true);
        let mut model = build()?;
        store.set_blank(false);
        if new_head {
            let groups = model.layer_groups();
            store.remove(|name| groups.last().is_some_and(|head| head.contains(name)));
            model = build()?;
        }
        let head = model.layer_groups().last().filter(|_| new_head);
        let is_new = |name: &str| head.is_some_and(|head| head.contains(name));
        let images = ImageReaders {
            modules: spec.first_convs(&config.model),
            pixels: spec.pixels_per_channel,
        };
        let tensors = read_tensors(&images, &file, naming.is_some(), &store, is_new)?;
        let mut report = store.load(
            tensors
                .iter()
                .map(|(name, tensor)| (name.as_str(), tensor.clone())),
        )?;
        report.missing.retain(|name| !is_new(name));
        report.unexpected.extend(outside);
        let report = report.into_result().map_err(|source| Error::Fit {
            path: weights.clone(),
            model: spec.name.to_string(),
            wrappers: loaded_from.wrappers.concat(),
            source: Box::new(source),
            fitting: identify::said_of(&weights),
        })?;
        Ok(Self {
            spec,
            config,
            store,
            model,
            report,
            loaded_from,
            weights_file: Some(weights),
        })
    }

    /// Writes `config.json` and `model.safetensors` into a directory, which is made where it does
    /// not exist. timm loads it where it has the architecture.
    ///
    /// # Errors
    /// If a file cannot be written; each file is there whole or as it was.
    pub fn save(&self, directory: &Path) -> Result<(), Error> {
        std::fs::create_dir_all(directory).map_err(|source| Error::Directory {
            path: directory.to_path_buf(),
            source,
        })?;
        save_safetensors(
            &directory.join("model.safetensors"),
            &self.store.tensors(),
            &BTreeMap::new(),
        )?;
        write_atomic(&directory.join("config.json"), |file| {
            file.write_all(self.config_json().as_bytes())
        })?;
        Ok(())
    }

    /// The text of the `config.json` that [`Network::save`] writes.
    pub fn config_json(&self) -> String {
        let has = |module: &String| self.store.get(&format!("{module}.weight")).is_ok();
        let mut first_convs = self.spec.first_convs(&self.config.model);
        first_convs.retain(has);
        let classifier = self.spec.classifier;
        let json = self.config.to_json(
            self.model.num_classes(),
            self.model.num_features(),
            &first_convs,
            classifier,
        );
        serde_json::to_string_pretty(&json).expect("a JSON value always serialises") + "\n"
    }

    /// Builds the model again for another mode, or after the store's trainable set changed. Copies
    /// no weights.
    ///
    /// # Errors
    /// If the store was changed so that the model no longer fits.
    pub fn rebuild(&mut self, mode: Mode) -> Result<(), Error> {
        self.model = self.build(mode)?;
        Ok(())
    }

    /// Builds the model for a mode, sharing this network's weights: an optimiser's step on one
    /// shows in all.
    ///
    /// # Errors
    /// As [`Network::rebuild`].
    pub fn build(&self, mode: Mode) -> Result<Box<M>, Error> {
        let root = self.store.builder(mode);
        self.spec.build(&self.config.model, &root)
    }

    /// The model that it is.
    pub fn spec(&self) -> &ModelSpec {
        &self.spec
    }

    /// The model.
    pub fn model(&self) -> &M {
        self.model.as_ref()
    }

    /// The store of its weights.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// How it wants its images.
    pub fn preprocessing(&self) -> &Preprocessing {
        &self.config.preprocessing
    }

    /// What it was built with, and what its `config.json` says.
    pub fn config(&self) -> &CheckpointConfig {
        &self.config
    }

    /// Names of the classes, in order of the logits, where they are known.
    pub fn label_names(&self) -> Option<&[String]> {
        self.config.label_names.as_deref()
    }

    /// Sets the names of the classes, which [`Network::save`] writes.
    ///
    /// # Errors
    /// If there are not as many names as classes.
    pub fn set_label_names(&mut self, names: Vec<String>) -> Result<(), Error> {
        if names.len() != self.model.num_classes() {
            let found = names.len().to_string();
            let expected = format!("{} classes", self.model.num_classes());
            return Err(Error::Argument {
                model: self.spec.name,
                what: "the number of label names",
                found,
                expected,
            });
        }
        self.config.set_label_names(Some(names));
        Ok(())
    }

    /// The file that the weights were loaded from; `None` for fresh weights.
    pub fn weights_file(&self) -> Option<&Path> {
        self.weights_file.as_deref()
    }

    /// Which tensors of the file were loaded and which it had too much; empty for fresh weights.
    pub fn report(&self) -> &LoadReport {
        &self.report
    }

    /// Which weights of the file they are, and what stood before their names.
    pub fn loaded_from(&self) -> &LoadedFrom {
        &self.loaded_from
    }
}

impl<M: ModelKind + ?Sized> std::fmt::Debug for NetworkOf<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Network")
            .field("model", &self.spec.name)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

/// An error of what a `config.json` says, with the file in it.
fn in_config(error: Error, config: Option<&Path>) -> Error {
    match (config, &error) {
        (
            Some(path),
            Error::Argument { .. } | Error::UnknownArgument { .. } | Error::UnknownWidth { .. },
        ) => Error::Config {
            path: path.to_path_buf(),
            what: format!("`model_args`, {error}"),
        },
        _ => error,
    }
}

/// Compares what was declared with the weights, before memory is taken for it.
fn check_declared(
    spec: &ModelSpec,
    model: &ModelConfig,
    file: &TensorFile,
    path: &Path,
) -> Result<(), Error> {
    let classes = model.num_classes.unwrap_or(spec.num_classes);
    let channels = model.in_channels.unwrap_or(spec.in_channels) * spec.pixels_per_channel;
    let of_classes = ("num_classes", classes, spec.classifier.to_string(), 0);
    let of_channels = spec
        .first_convs(model)
        .into_iter()
        .map(|module| ("the number of input channels", channels, module, 1));
    for (what, declared, module, dim) in std::iter::once(of_classes).chain(of_channels) {
        let tensor = format!("{module}.weight");
        let found = file.info(&tensor).and_then(|info| info.shape.get(dim));
        let found = found.map(|&found| match dim {
            0 => spec.class_outputs.classes(found).unwrap_or(found),
            _ => found,
        });
        if let Some(found) = found
            && found != declared
        {
            return Err(Error::Declared {
                path: path.to_path_buf(),
                what,
                declared,
                tensor,
                found,
            });
        }
    }
    Ok(())
}

/// What the network at a path is for, as [`NetworkOf::load`] would find it there: by the model that
/// its `config.json` or the name of a published file says. `None` where neither does.
///
/// # Errors
/// If nothing is there, or the `config.json` cannot be read or names an unknown model.
pub fn kind_of(path: &Path) -> Result<Option<Kind>, Error> {
    let (weights, config) = locate(path)?;
    let declared = config.as_deref().map(CheckpointConfig::read).transpose()?;
    Ok(match declared {
        Some(config) => Some(find(&config.architecture)?.kind()),
        None => published_as(&weights).map(ModelSpec::kind),
    })
}

/// The model whose published weights have this file's name.
fn published_as(path: &Path) -> Option<&'static ModelSpec> {
    models().find(|spec| spec.weights().iter().any(|source| source.is_called(path)))
}

/// What a bare weight file says about its model: the shapes of the first convolution and of the
/// classifier; and its name, where that is one of published weights, how it wants its images.
fn config_of_file(spec: &ModelSpec, file: &TensorFile, path: &Path) -> CheckpointConfig {
    let dim = |module: &str, dim: usize| {
        file.info(&format!("{module}.weight"))
            .and_then(|info| info.shape.get(dim).copied())
            .filter(|&size| size > 0)
    };
    let mut sources = spec.weights().iter();
    let published = sources.find(|source| source.is_called(path));
    let mut preprocessing =
        published.map_or_else(|| spec.preprocessing(), |source| source.preprocessing(spec));
    let in_channels = spec
        .first_convs(&ModelConfig::default())
        .iter()
        .find_map(|module| dim(module, 1))
        .map_or(spec.in_channels, |read| read / spec.pixels_per_channel);
    set_channels(&mut preprocessing, in_channels);
    let num_classes = dim(spec.classifier, 0)
        .and_then(|outputs| spec.class_outputs.classes(outputs))
        .unwrap_or(spec.num_classes);
    let model = ModelConfig {
        num_classes: Some(num_classes),
        in_channels: Some(in_channels),
        ..ModelConfig::default()
    };
    CheckpointConfig {
        architecture: spec.name.to_string(),
        model,
        preprocessing,
        label_names: spec.label_names(num_classes),
        extra: serde_json::Map::new(),
    }
}

/// The modules that read the image, and how many of its pixels as channels of one.
struct ImageReaders {
    modules: Vec<String>,
    pixels: usize,
}

/// All tensors of the file, the first convolution adapted to the model's channels, those of a new
/// head left out. Those of another library's file take the model's shape where each output has as
/// many weights.
fn read_tensors(
    images: &ImageReaders,
    file: &TensorFile,
    is_foreign: bool,
    store: &Store,
    is_new: impl Fn(&str) -> bool,
) -> Result<Vec<(String, Tensor)>, Error> {
    let mut tensors = Vec::with_capacity(file.len());
    for name in file.names() {
        if is_new(name) {
            continue;
        }
        let mut tensor = file.tensor(name)?;
        if ModelSpec::reads_image(&images.modules, name) {
            tensor = adapt_channels(tensor, images.pixels, store.get(name)?.dims())?;
        } else if is_foreign && let Ok(own) = store.get(name) {
            let is_laid_out_alike = own.dims().first() == tensor.dims().first()
                && own.elem_count() == tensor.elem_count();
            if is_laid_out_alike {
                tensor = tensor.reshape(own.shape())?;
            }
        }
        tensors.push((name.to_string(), tensor));
    }
    Ok(tensors)
}

/// Brings the weight of a first convolution to other input channels, as timm does: the sum over the
/// old ones for a single channel, repetition scaled by `old / new` otherwise; for each of the
/// `pixels` that are channels of one.
fn adapt_channels(weight: Tensor, pixels: usize, expected: &[usize]) -> Result<Tensor, Error> {
    let (&[outputs, old, rows, columns], &[_, new, _, _]) = (weight.dims(), expected) else {
        return Ok(weight);
    };
    if old == new || old == 0 || new == 0 {
        return Ok(weight);
    }
    if pixels > 1 && old.is_multiple_of(pixels) && new.is_multiple_of(pixels) {
        let of_pixels = weight.reshape((outputs * pixels, old / pixels, rows, columns))?;
        let of_pixels = adapt_channels(of_pixels, 1, &[outputs, new / pixels, rows, columns])?;
        return Ok(of_pixels.reshape((outputs, new, rows, columns))?);
    }
    let weight = weight.to_dtype(DType::F32)?;
    if new == 1 {
        return Ok(weight.sum_keepdim(1)?);
    }
    let copies = vec![&weight; new.div_ceil(old)];
    let repeated = Tensor::cat(&copies, 1)?.narrow(1, 0, new)?;
    Ok((repeated * (old as f64 / new as f64))?.contiguous()?)
}
