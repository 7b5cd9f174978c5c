//! Every kernel held against PyTorch: values and gradients of the cases in `golden/`, made by
//! `tools/goldens/kernels.py`.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::path::PathBuf;

use candle_core::{DType, Device, Tensor, Var};
use cnn_kernels::{
    Activation, BackwardRule, Conv2dSpec, ConvTranspose2dSpec, FeatureMap, Interpolation, Padding,
    ResizeTo, Roi, RoiAlignSpec, RoiMap, Window, activate_tensor, adaptive_avg_pool,
    adaptive_max_pool, add, avg_pool, batch_norm_running, batch_norm_train, channel_shuffle,
    channel_slice, concat, conv_transpose2d, conv2d, global_avg_pool, global_max_pool, group_norm,
    l2_norm, layer_norm, layer_scale, max_pool, resize, roi_align, roi_max_pool, scale_channels,
    softmax,
};
use common::formula::formula;
use common::goldens::{Goldens, assert_close};
use safetensors::SafeTensors;
use serde_json::Value;

/// The element types and the largest difference to PyTorch's f64, relative to the largest element
/// of the tensor.
const TOLERANCES: [(DType, f64); 2] = [(DType::F64, 1e-12), (DType::F32, 1e-5)];

#[test]
fn convolution_equals_pytorch() {
    check_group("conv2d", 38);
}

#[test]
fn transposed_convolution_equals_pytorch() {
    check_group("conv_transpose2d", 14);
}

#[test]
fn pooling_equals_pytorch() {
    check_group("pool", 44);
}

#[test]
fn adaptive_and_global_pooling_and_resizing_equal_pytorch() {
    check_group("resize", 48);
}

#[test]
fn norms_equal_pytorch() {
    check_group("norm", 23);
}

#[test]
fn activations_softmax_joins_and_shuffles_equal_pytorch() {
    check_group("pointwise", 31);
}

#[test]
fn regions_equal_torchvision() {
    check_group("roi", 11);
}

/// Runs every case of a group in both element types and compares every tensor that its file holds
/// for the case.
fn check_group(group: &str, cases: usize) {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden"));
    let bytes = std::fs::read(folder.join(format!("{group}.safetensors"))).unwrap();
    let goldens = Goldens(SafeTensors::deserialize(&bytes).unwrap());
    let manifest = std::fs::read(folder.join(format!("{group}.json"))).unwrap();
    let manifest: Vec<Value> = serde_json::from_slice(&manifest).unwrap();
    assert_eq!(manifest.len(), cases);
    for options in &manifest {
        for (dtype, tolerance) in TOLERANCES {
            let case = Case::new(options, &goldens, dtype);
            let found = case.run(&goldens);
            assert_eq!(
                found.len(),
                goldens.count(&case.name) - case.stored,
                "{}: some values are unchecked",
                case.name
            );
            for (key, tensor) in found {
                let name = format!("{}.{key}", case.name);
                let (expected, shape) =
                    goldens.values(&name).unwrap_or_else(|| panic!("no {name}"));
                assert_eq!(tensor.dims(), shape, "{name}");
                assert_close(&name, dtype, &tensor, &expected, tolerance);
            }
        }
    }
}

/// One case in one element type.
struct Case<'a> {
    name: String,
    options: &'a Value,
    dtype: DType,
    inputs: Vec<(String, Var)>,
    /// How many inputs the golden file holds.
    stored: usize,
}

impl<'a> Case<'a> {
    fn new(options: &'a Value, goldens: &Goldens, dtype: DType) -> Self {
        let name = options["name"].as_str().unwrap().to_string();
        let mut inputs = Vec::new();
        let mut stored = 0;
        for (role, shape) in options["inputs"].as_object().unwrap() {
            let full = format!("{name}.{role}");
            let shape = numbers(shape);
            let kept = goldens.values(&full);
            stored += usize::from(kept.is_some());
            let values = kept.map_or_else(|| formula(&full, &shape), |(values, _)| values);
            let tensor = Tensor::from_vec(values, shape, &Device::Cpu)
                .unwrap()
                .to_dtype(dtype)
                .unwrap();
            inputs.push((role.clone(), Var::from_tensor(&tensor).unwrap()));
        }
        Self {
            name,
            options,
            dtype,
            inputs,
            stored,
        }
    }

    /// Forward and backward: every result with the key it has in the golden file.
    fn run(&self, goldens: &Goldens) -> Vec<(String, Tensor)> {
        let (output, mut found) = self.forward();
        let upstream = formula(&format!("{}.upstream", self.name), output.dims());
        let upstream = Tensor::from_vec(upstream, output.dims(), &Device::Cpu)
            .unwrap()
            .to_dtype(self.dtype)
            .unwrap();
        let gradients = (&output * upstream)
            .unwrap()
            .sum_all()
            .unwrap()
            .backward()
            .unwrap();
        for (role, input) in &self.inputs {
            let key = format!("grad.{role}");
            if goldens.values(&format!("{}.{key}", self.name)).is_some() {
                let gradient = gradients
                    .get(input)
                    .unwrap_or_else(|| panic!("{}: no {key}", self.name));
                found.push((key, gradient.clone()));
            }
        }
        found.push(("output".to_string(), output));
        found
    }

    /// The output in PyTorch's layout and whatever else the operation returns.
    fn forward(&self) -> (Tensor, Vec<(String, Tensor)>) {
        let map = |role: &str| FeatureMap::from_nchw(self.input(role)).unwrap();
        let ys = match self.options["op"].as_str().unwrap() {
            "conv2d" => {
                let bias = self.options["inputs"]
                    .get("bias")
                    .map(|_| self.input("bias"));
                let spec = Conv2dSpec {
                    stride: self.pair("stride"),
                    padding: self.padding(),
                    dilation: self.pair("dilation"),
                    groups: self.count("groups"),
                };
                conv2d(&map("input"), self.input("weight"), bias, &spec)
            }
            "conv_transpose2d" => {
                let bias = self.options["inputs"]
                    .get("bias")
                    .map(|_| self.input("bias"));
                let spec = ConvTranspose2dSpec {
                    stride: self.pair("stride"),
                    padding: self.pair("padding"),
                    output_padding: self.pair("output_padding"),
                    dilation: self.pair("dilation"),
                    groups: self.count("groups"),
                };
                conv_transpose2d(&map("input"), self.input("weight"), bias, &spec)
            }
            "max_pool" => max_pool(&map("input"), &self.window()),
            "avg_pool" => avg_pool(
                &map("input"),
                &self.window(),
                self.options["count_include_pad"].as_bool().unwrap(),
            ),
            "adaptive_avg_pool" => adaptive_avg_pool(&map("input"), self.pair("output")),
            "adaptive_max_pool" => adaptive_max_pool(&map("input"), self.pair("output")),
            "global_avg_pool" => global_avg_pool(&map("input")),
            "global_max_pool" => global_max_pool(&map("input")),
            "resize" => resize(&map("input"), self.resize_to(), self.interpolation()),
            "batch_norm_train" => return self.batch_norm_train(),
            "batch_norm_running" => {
                let [mean, var] = [self.input("running_mean"), self.input("running_var")];
                let [weight, bias] = [self.input("weight"), self.input("bias")];
                batch_norm_running(
                    &map("input"),
                    weight,
                    bias,
                    mean,
                    var,
                    self.number("eps"),
                    None,
                    Activation::Identity,
                )
            }
            "layer_norm" => layer_norm(
                &map("input"),
                self.input("weight"),
                self.input("bias"),
                self.number("eps"),
            ),
            "group_norm" => {
                let is_affine = self.options["inputs"].get("weight").is_some();
                let affine = is_affine.then(|| [self.input("weight"), self.input("bias")]);
                group_norm(
                    &map("input"),
                    self.count("groups"),
                    affine,
                    self.number("eps"),
                )
            }
            "l2_norm" => l2_norm(&map("input"), self.input("factors"), self.number("eps")),
            "roi_align" => self.with_regions(|maps, rois| {
                let samples = self.options["sampling_ratio"].as_i64().unwrap();
                let spec = RoiAlignSpec {
                    output: self.pair("output"),
                    sampling_ratio: usize::try_from(samples).ok(),
                    aligned: self.options["aligned"].as_bool().unwrap(),
                };
                roi_align(maps, rois, &spec)
            }),
            "roi_max_pool" => {
                self.with_regions(|maps, rois| roi_max_pool(maps, rois, self.pair("output")))
            }
            "layer_scale" => layer_scale(&map("input"), self.input("factors"), None),
            "layer_scale_sum" => {
                layer_scale(&map("input"), self.input("factors"), Some(&map("residual")))
            }
            "concat" => {
                let maps: Vec<FeatureMap> = self.inputs.iter().map(|(role, _)| map(role)).collect();
                concat(&maps.iter().collect::<Vec<_>>())
            }
            "channel_slice" => {
                let [first, end] = self.pair("channels");
                channel_slice(&map("input"), first..end)
            }
            "channel_shuffle" => channel_shuffle(&map("input"), self.count("groups")),
            "add" => add(&map("input0"), &map("input1")),
            "channel_scale" => scale_channels(&map("input"), &map("factors")),
            "softmax" => return (softmax(self.input("input")).unwrap(), Vec::new()),
            "activation" => {
                let scale = self
                    .options
                    .get("scale")
                    .map_or(1.0, |scale| scale.as_f64().unwrap());
                let xs = self.input("input").affine(scale, 0.0).unwrap();
                return (
                    activate_tensor(&xs, self.activation(), BackwardRule::Standard).unwrap(),
                    Vec::new(),
                );
            }
            other => panic!("no operation {other}"),
        };
        (
            ys.and_then(|ys| ys.to_nchw())
                .unwrap_or_else(|error| panic!("{}: {error}", self.name)),
            Vec::new(),
        )
    }

    fn with_regions<O>(&self, f: impl FnOnce(&[RoiMap], &[Roi]) -> O) -> O {
        let maps = self.inputs.iter();
        let maps: Vec<FeatureMap> = maps
            .map(|(_, input)| FeatureMap::from_nchw(input).unwrap())
            .collect();
        let scales = reals(&self.options["scales"]);
        let levels = maps.iter().zip(scales);
        let levels: Vec<RoiMap> = levels
            .map(|(map, spatial_scale)| RoiMap { map, spatial_scale })
            .collect();
        let rois = self.options["rois"].as_array().unwrap();
        let rois: Vec<Roi> = rois
            .iter()
            .map(|roi| {
                let numbers = reals(roi);
                Roi {
                    map: numbers[0] as usize,
                    image: numbers[1] as usize,
                    edges: [2, 3, 4, 5].map(|place: usize| numbers[place] as f32),
                }
            })
            .collect();
        f(&levels, &rois)
    }

    fn batch_norm_train(&self) -> (Tensor, Vec<(String, Tensor)>) {
        let xs = FeatureMap::from_nchw(self.input("input")).unwrap();
        let (ys, batch) = batch_norm_train(
            &xs,
            self.input("weight"),
            self.input("bias"),
            self.number("eps"),
            None,
            Activation::Identity,
        )
        .unwrap();
        let momentum = self.number("momentum");
        let updated = [
            ("running_mean", batch.mean),
            ("running_var", batch.unbiased_var),
        ]
        .map(|(role, new)| {
            let old = self.input(role).detach();
            let average = (old.affine(1.0 - momentum, 0.0).unwrap()
                + new.affine(momentum, 0.0).unwrap())
            .unwrap();
            (format!("updated.{role}"), average)
        });
        (ys.to_nchw().unwrap(), updated.to_vec())
    }

    fn activation(&self) -> Activation {
        match self.options["activation"].as_str().unwrap() {
            "relu" => Activation::Relu,
            "leaky_relu" => Activation::LeakyRelu(0.01),
            "relu6" => Activation::Relu6,
            "sigmoid" => Activation::Sigmoid,
            "silu" => Activation::Silu,
            "hard_swish" => Activation::HardSwish,
            "hard_sigmoid" => Activation::HardSigmoid,
            "tanh" => Activation::Tanh,
            "gelu" => Activation::Gelu,
            "gelu_tanh" => Activation::GeluTanh,
            other => panic!("no activation {other}"),
        }
    }

    fn input(&self, role: &str) -> &Tensor {
        &self
            .inputs
            .iter()
            .find(|(name, _)| name == role)
            .unwrap_or_else(|| panic!("{}: no {role}", self.name))
            .1
    }

    fn resize_to(&self) -> ResizeTo {
        let factors = self.options.get("scale_factor").and_then(Value::as_array);
        match factors {
            Some(factors) => {
                ResizeTo::Factor([0, 1].map(|axis: usize| factors[axis].as_f64().unwrap()))
            }
            None => ResizeTo::Size(self.pair("size")),
        }
    }

    fn interpolation(&self) -> Interpolation {
        match self.options["mode"].as_str().unwrap() {
            "nearest" => Interpolation::Nearest,
            "bilinear" => Interpolation::Bilinear {
                align_corners: self.options["align_corners"].as_bool().unwrap(),
            },
            other => panic!("no mode {other}"),
        }
    }

    fn window(&self) -> Window {
        Window {
            kernel_size: self.pair("kernel_size"),
            stride: self.pair("stride"),
            padding: self.padding(),
            dilation: self.pair("dilation"),
            ceil_mode: self.options["ceil_mode"].as_bool().unwrap(),
        }
    }

    fn padding(&self) -> Padding {
        if self.options["padding"] == "same" {
            return Padding::Same;
        }
        let [top, bottom, left, right] = numbers(&self.options["padding"]).try_into().unwrap();
        Padding::Explicit {
            top,
            bottom,
            left,
            right,
        }
    }

    fn pair(&self, option: &str) -> [usize; 2] {
        numbers(&self.options[option]).try_into().unwrap()
    }

    fn count(&self, option: &str) -> usize {
        self.options[option].as_u64().unwrap() as usize
    }

    fn number(&self, option: &str) -> f64 {
        self.options[option].as_f64().unwrap()
    }
}

fn reals(list: &Value) -> Vec<f64> {
    let list = list.as_array().unwrap().iter();
    list.map(|number| number.as_f64().unwrap()).collect()
}

fn numbers(list: &Value) -> Vec<usize> {
    list.as_array()
        .unwrap()
        .iter()
        .map(|number| number.as_u64().unwrap() as usize)
        .collect()
}
