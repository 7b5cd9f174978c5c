//! The graph of a network: what its layers computed in one forward pass, with their kinds, their
//! attributes and who read whose output.
//!
//! A [`Graph`] is made by watching a model and knows nothing of families, so networks of your own
//! have one like registered ones. What looks at a network's structure stands on it, as the search
//! for filters that do nothing does. An interpreter runs it from the parameters alone and gives
//! what the model gives, which is the proof that nothing was missed.
//!
//! ```
//! use candle_core::{DType, Device, Tensor};
//! use cnn_graph::{Graph, Source};
//! use cnn_layers::{
//!     Activation, Classifier, Context, ConvNormActConfig, FeatureMap, LayerKind, Mode,
//!     StagedBuilder, Store,
//! };
//!
//! // A network of one's own: a convolution with its norm and its activation, and a linear head.
//! let store = Store::new(0);
//! let mut net = StagedBuilder::new(&store.builder(Mode::Eval), 3);
//! let unit = ConvNormActConfig::relu(3, 8, 3).build(&net.at("conv1"), &net.at("bn1"))?;
//! net.group("stem", &["conv1", "bn1"]);
//! net.add(unit).set_channels(8);
//! net.end_stage("bn1");
//! let model = net.linear_classifier("fc", 10, 0.)?;
//!
//! let images = FeatureMap::from_nchw(&Tensor::ones((1, 3, 20, 28), DType::F32, &Device::Cpu)?)?;
//! let graph = Graph::of_classifier(&model, &images)?;
//! let kinds: Vec<&str> = graph.nodes().iter().map(|node| node.kind.name()).collect();
//! assert_eq!(
//!     kinds,
//!     [
//!         "conv2d",
//!         "batch_norm",
//!         "relu",
//!         "global_avg_pool",
//!         "flatten",
//!         "dropout",
//!         "linear"
//!     ]
//! );
//! assert_eq!(
//!     graph.nodes()[2].kind,
//!     LayerKind::Activation(Activation::Relu)
//! );
//! assert_eq!(graph.nodes()[2].inputs, [Source::Node(1)]);
//! assert_eq!(graph.parameter_count()?, store.parameter_count());
//! assert_eq!(graph.multiply_adds()?, 20 * 28 * 8 * 3 * 9 + 80);
//!
//! let outputs = graph.run(&store, &images)?;
//! let logits = model.forward(&images, &Context::eval())?;
//! assert_eq!(
//!     outputs["logits"].to_tensor()?.to_vec2::<f32>()?,
//!     logits.to_vec2::<f32>()?
//! );
//! # Ok::<(), anyhow::Error>(())
//! ```
//!
//! # Its neighbours
//!
//! It uses `cnn-layers`, whose observer it watches through, and the operations of `cnn-kernels`;
//! `cnn-viz` finds filters that do nothing with it. [All
//! crates](https://github.com/cnn-rs/cnn/blob/main/docs/crates.md) are on one page.
//!
//! # In your project
//!
//! A debug build of a project that depends on this crate is slow unless its dependencies are
//! optimised: build with `--release`, or add to the workspace's `Cargo.toml`
//!
//! ```toml
//! [profile.dev.package."*"]
//! opt-level = 3
//! debug-assertions = false
//! overflow-checks = false
//! ```
//!
//! [Use it in your project](https://github.com/cnn-rs/cnn/blob/main/docs/use-in-your-project.md)
//! has the dependencies and the figures.
#![forbid(unsafe_code)]

mod error;
mod graph;
mod interpreter;
mod node;
mod owned_value;
mod receptive_field;
mod recorder;

pub use error::Error;
pub use graph::{Graph, stages_and_logits};
pub use node::{Node, NodeInput, Source, StoredTensor};
pub use owned_value::OwnedValue;
pub use receptive_field::ReceptiveField;
