//! The layers of a model, one by one: what torchinfo prints.

use anyhow::Result;
use candle_core::{DType, Device, Tensor};
use cnn_graph::{Node, ReceptiveField};
use cnn_layers::{Classifier, Detector, FeatureMap, Segmenter};
use cnn_models::{Kind, ModelConfig, ModelSpec, NetworkOf};
use serde::Serialize;

use crate::args::Size;
use crate::memory::{self, Workload};
use crate::output;
use crate::watched::Watched;

/// What one forward pass of one image does, layer by layer.
#[derive(Debug)]
pub(super) struct LayerTable {
    pub(super) rows: Vec<LayerRow>,
    pub(super) totals: Totals,
}

/// One layer.
#[derive(Debug, Serialize)]
pub(super) struct LayerRow {
    /// Path of the layer.
    layer: String,
    /// What it computes.
    kind: String,
    /// Shape of what it gives for one image.
    output: Vec<usize>,
    /// Learnable values.
    parameters: usize,
    /// Multiply-adds, of convolutions and linear layers.
    multiply_adds: u64,
    /// Bytes of what it gives, in f32.
    activation_bytes: usize,
    /// What one pixel of the output sees of the image; null where it cannot be told.
    receptive_field: Option<ReceptiveField>,
}

/// The sums over all layers.
#[derive(Debug, Serialize)]
pub(super) struct Totals {
    input_size: [usize; 3],
    parameters: usize,
    multiply_adds: u64,
    parameter_bytes: usize,
    activation_bytes: usize,
}

/// Bytes of a value.
const F32: usize = 4;

impl LayerTable {
    /// Watches the model on an empty image.
    pub(super) fn of(spec: &ModelSpec, size: Option<Size>) -> Result<Self> {
        match spec.kind() {
            Kind::Segmentation => Self::of_kind::<dyn Segmenter>(spec, size),
            Kind::Detection => Self::of_kind::<dyn Detector>(spec, size),
            _ => Self::of_kind::<dyn Classifier>(spec, size),
        }
    }

    fn of_kind<M: Watched + ?Sized>(spec: &ModelSpec, size: Option<Size>) -> Result<Self> {
        let config = ModelConfig {
            input_size: size.map(|Size(size)| size),
            ..ModelConfig::default()
        };
        let network = NetworkOf::<M>::of(*spec, &config, 0)?;
        let input_size = network.preprocessing().input_size;
        memory::check(&network, 1, Workload::Forward)?;
        let [channels, height, width] = input_size;
        let image = Tensor::zeros((1, height, width, channels), DType::F32, &Device::Cpu)?;
        let graph = network.model().graph(&FeatureMap::from_nhwc(&image)?)?;
        let fields = graph.receptive_fields();
        let rows = graph.nodes().iter().zip(fields);
        let rows: Vec<LayerRow> = rows
            .map(|(node, field)| row(node, field))
            .collect::<Result<_>>()?;
        let parameters = graph.parameter_count()?;
        let totals = Totals {
            input_size,
            parameters,
            multiply_adds: graph.multiply_adds()?,
            parameter_bytes: parameters * F32,
            activation_bytes: rows.iter().map(|row| row.activation_bytes).sum(),
        };
        Ok(Self { rows, totals })
    }

    pub(super) fn print(&self) -> Result<()> {
        let columns = [
            ("layer", false),
            ("kind", false),
            ("output", true),
            ("parameters", true),
            ("multiply-adds", true),
            ("activations", true),
            ("receptive field", true),
        ];
        let cells: Vec<Vec<String>> = self.rows.iter().map(cells).collect();
        output::table(&columns, &cells)?;
        let Totals {
            input_size,
            parameters,
            multiply_adds,
            parameter_bytes,
            activation_bytes,
        } = &self.totals;
        println!();
        println!("for one image of {}:", dimensions(input_size));
        println!(
            "  parameters     {parameters}, {} in f32",
            bytes(*parameter_bytes)
        );
        println!("  multiply-adds  {multiply_adds}");
        println!("  activations    {}", bytes(*activation_bytes));
        Ok(())
    }
}

fn row(node: &Node, receptive_field: Option<ReceptiveField>) -> Result<LayerRow> {
    Ok(LayerRow {
        layer: node.path.clone(),
        kind: node.kind.to_string(),
        output: node.shape.clone(),
        parameters: node.parameter_count()?,
        multiply_adds: node.multiply_adds()?,
        activation_bytes: node.shape.iter().product::<usize>() * F32,
        receptive_field,
    })
}

fn cells(row: &LayerRow) -> Vec<String> {
    let unless_zero = |number: f64| match number {
        0. => String::new(),
        number => output::short(number),
    };
    vec![
        row.layer.clone(),
        row.kind.clone(),
        dimensions(&row.output),
        unless_zero(row.parameters as f64),
        unless_zero(row.multiply_adds as f64),
        bytes(row.activation_bytes),
        row.receptive_field
            .map_or("?".to_string(), |field| field.to_string()),
    ]
}

fn dimensions(shape: &[usize]) -> String {
    let sizes: Vec<String> = shape.iter().map(usize::to_string).collect();
    sizes.join("×")
}

fn bytes(count: usize) -> String {
    match count {
        n if n >= 1 << 20 => format!("{:.1} MiB", n as f64 / f64::from(1 << 20)),
        n if n >= 1 << 10 => format!("{:.1} KiB", n as f64 / 1024.),
        n => format!("{n} B"),
    }
}
