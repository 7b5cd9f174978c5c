//! The bytes of PyTorch's x86 kernels, which are those of the documented arithmetic in numpy; made
//! by `tools/goldens/quantized.py`.

use std::path::PathBuf;

use cnn_kernels::int8::{
    Quantization, QuantizedConv2d, QuantizedConv2dConfig, QuantizedMap, QuantizedWeight, add,
    concat, global_avg_pool, max_pool,
};
use cnn_kernels::{Activation, Conv2dSpec, Padding, Window};
use safetensors::SafeTensors;
use serde_json::Value;

use crate::common::formula::uniform;

/// Whole numbers from `low` to `high`.
fn whole(name: &str, count: usize, low: i64, high: i64) -> Vec<i64> {
    let numbers = uniform(name, count).into_iter();
    numbers
        .map(|u| (low as f64 + (high - low + 1) as f64 * u).floor() as i64)
        .collect()
}

fn bytes(name: &str, dims: [usize; 4], quantization: Quantization) -> QuantizedMap {
    let values = whole(name, dims.iter().product(), 0, 255);
    let values = values.into_iter().map(|value| value as u8).collect();
    QuantizedMap::new(dims, values, quantization).unwrap()
}

fn numbers<const N: usize>(case: &Value, key: &str) -> [usize; N] {
    std::array::from_fn(|index| case[key][index].as_u64().unwrap() as usize)
}

fn quantization(scale: &Value, zero_point: &Value) -> Quantization {
    let zero_point = zero_point.as_u64().unwrap() as u8;
    Quantization::new(scale.as_f64().unwrap() as f32, zero_point).unwrap()
}

struct Golden<'a>(SafeTensors<'a>);

impl Golden<'_> {
    fn bytes(&self, name: &str) -> Vec<u8> {
        self.0.tensor(name).unwrap().data().to_vec()
    }

    fn words(&self, name: &str) -> Vec<[u8; 4]> {
        let data = self.bytes(name);
        data.chunks_exact(4)
            .map(|word| word.try_into().unwrap())
            .collect()
    }
}

#[test]
fn bytes_equal_pytorch_and_numpy() {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden"));
    let file = std::fs::read(folder.join("quantized.safetensors")).unwrap();
    let golden = Golden(SafeTensors::deserialize(&file).unwrap());
    let manifest = std::fs::read(folder.join("quantized.json")).unwrap();
    let manifest: Vec<Value> = serde_json::from_slice(&manifest).unwrap();
    assert_eq!(manifest.len(), 8);
    for case in &manifest {
        match case["kind"].as_str().unwrap() {
            "convolution" => check_convolution(case, &golden),
            "joins" => check_joins(case, &golden),
            other => panic!("{other}"),
        }
    }
}

fn check_convolution(case: &Value, golden: &Golden) {
    let name = case["name"].as_str().unwrap();
    let dims: [usize; 4] = numbers(case, "weight");
    let count = dims.iter().product();
    let weight: Vec<i8> = whole(&format!("{name}.weight"), count, -127, 127)
        .into_iter()
        .map(|value| value as i8)
        .collect();
    let bias: Vec<i32> = whole(&format!("{name}.bias"), dims[0], -9000, 9000)
        .into_iter()
        .map(|value| value as i32)
        .collect();
    let scales: Vec<f32> = golden
        .words(&format!("{name}.scales"))
        .into_iter()
        .map(f32::from_le_bytes)
        .collect();
    let sums: Vec<i32> = golden
        .words(&format!("{name}.sums"))
        .into_iter()
        .map(i32::from_le_bytes)
        .collect();
    let input = quantization(&case["x"][0], &case["x"][1]);
    let [rows, columns] = numbers(case, "padding");
    let conv = QuantizedConv2d::new(&QuantizedConv2dConfig {
        weight: QuantizedWeight {
            dims,
            values: &weight,
            scales: &scales,
            bias: Some(&bias),
        },
        spec: Conv2dSpec {
            stride: numbers(case, "stride"),
            padding: Padding::symmetric(rows, columns),
            dilation: numbers(case, "dilation"),
            groups: case["groups"].as_u64().unwrap() as usize,
        },
        input,
        output: quantization(&case["y"][0], &case["y"][1]),
        activation: if case["relu"].as_bool().unwrap() {
            Activation::Relu
        } else {
            Activation::Identity
        },
    })
    .unwrap();
    let xs = bytes(&format!("{name}.x"), numbers(case, "dims"), input);
    assert_eq!(conv.forward_sums(&xs).unwrap(), sums, "{name}");
    let expected = golden.bytes(&format!("{name}.bytes"));
    assert_eq!(
        conv.forward(&xs, None).unwrap().values(),
        expected,
        "{name}"
    );
}

fn check_joins(case: &Value, golden: &Golden) {
    let [first, second, output] =
        std::array::from_fn(|which| quantization(&case["scales"][which], &case["zeros"][which]));
    let dims = numbers(case, "dims");
    let a = bytes("joins.a", dims, first);
    let b = bytes("joins.b", dims, second);
    let window = Window {
        stride: [2, 2],
        padding: Padding::all(1),
        ..Window::new([3, 3])
    };
    for (name, found) in [
        ("add", add([&a, &b], output, Activation::Identity)),
        ("add_relu", add([&a, &b], output, Activation::Relu)),
        ("concat", concat(&[&a, &b], output)),
        ("max_pool", max_pool(&a, &window)),
        ("global_avg_pool", global_avg_pool(&a, first)),
    ] {
        let expected = golden.bytes(&format!("joins.{name}"));
        assert_eq!(found.unwrap().values(), expected, "{name}");
    }
}
