//! `docs/models.md`: every model with its cost and its accuracy, rendered from the registry and from
//! the times in `docs/models.csv`, and compared with the page by a test.

use std::collections::HashMap;

use cnn_models::{Kind, ModelSpec, families};

use crate::output;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/models.md");
const TIMES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/models.csv");
/// Set to 1, it makes the test write the page anew.
const UPDATE: &str = "UPDATE_REFERENCE";

const INTRODUCTION: &str = "\
# The models

Every model that is built by name, family by family, with what an image costs and how accurate the published weights are.
This page is rendered from the registry: `UPDATE_REFERENCE=1 cargo test --workspace --bin cnn models_page` writes it anew, and a test holds it against the code.
`cargo xtask models NAME` prints the layers of one model and where its weights are; [the guide](guide/networks.md) says what each family introduced.

- *input*: height and width of the images by default, with which the other columns are counted.
- *multiply-adds*: those of the convolutions and linear layers, for one image.
- *top-1*, *mIoU* or *AP*: the best score that is published for weights of the model, in percent: accuracy on ImageNet's validation images, mean IoU of the classes of pixels, or AP of boxes on COCO's; timm's tags carry none.
- *weights*: how many are published, by torchvision, by the authors and on the hub.
- *ms*, *images/s*: inference of one image, and throughput at batch 8, f32, two threads on the machine of [benchmarks.md](benchmarks.md), measured by `python bench/zoo.py`.
";

/// Times of a model: milliseconds for one image, and images per second at batch 8.
type Times = HashMap<String, [f64; 2]>;

#[test]
fn the_page_lists_the_models_that_there_are() {
    let times = std::fs::read_to_string(TIMES).expect("the times are in the repository");
    let times = read_times(&times);
    for name in times.keys() {
        let is_known = cnn_models::find(name).is_ok();
        assert!(
            is_known,
            "docs/models.csv has times of {name}, which is no model"
        );
    }
    let expected = page(&times);
    if std::env::var_os(UPDATE).is_some_and(|value| value == "1") {
        std::fs::write(PAGE, expected).expect("the page can be written");
        return;
    }
    let found = std::fs::read_to_string(PAGE).expect("the page is in the repository");
    let mut pairs = found.lines().zip(expected.lines());
    let differs = pairs.find(|(found, expected)| found != expected);
    assert!(
        found == expected,
        "docs/models.md is not what the code says, first here: {differs:?}\n\
         `{UPDATE}=1 cargo test --workspace --bin cnn models_page` writes it anew"
    );
}

/// The lines of `model,ms,images_per_second` behind the titles.
fn read_times(text: &str) -> Times {
    let line = |line: &str| {
        let fields: Vec<&str> = line.split(',').collect();
        assert_eq!(
            fields.len(),
            3,
            "docs/models.csv: `{line}` is not `model,ms,images_per_second`"
        );
        let number = |text: &str| text.parse().expect("docs/models.csv has numbers");
        (
            fields[0].to_string(),
            [number(fields[1]), number(fields[2])],
        )
    };
    text.lines().skip(1).map(line).collect()
}

fn page(times: &Times) -> String {
    let sections = families()
        .into_iter()
        .map(|(family, members)| section(family, &members, times));
    [INTRODUCTION.to_string()]
        .into_iter()
        .chain(sections)
        .collect()
}

fn section(family: &str, members: &[&ModelSpec], times: &Times) -> String {
    let mut papers: Vec<&str> = Vec::new();
    for spec in members {
        if !papers.contains(&spec.paper) {
            papers.push(spec.paper);
        }
    }
    let rows: String = members.iter().map(|spec| row(spec, times)).collect();
    let score = match members[0].kind() {
        Kind::Segmentation => "mIoU",
        Kind::Detection => "AP",
        _ => "top-1",
    };
    format!(
        "\n## {family}\n\n{}.\n\n\
         | model | input | parameters | multiply-adds | {score} | weights | ms | images/s |\n\
         |---|---:|---:|---:|---:|---:|---:|---:|\n{rows}",
        papers.join("; ")
    )
}

fn row(spec: &ModelSpec, times: &Times) -> String {
    let [_, height, width] = spec.preprocessing().input_size;
    let known = spec.weights().iter().filter_map(|source| source.score);
    let score = known.max_by(f64::total_cmp);
    let [ms, images] = match times.get(spec.name) {
        Some([ms, images]) => [format!("{ms:.1}"), format!("{images:.0}")],
        None => [String::new(), String::new()],
    };
    format!(
        "| `{}` | {height}×{width} | {} | {} | {} | {} | {ms} | {images} |\n",
        spec.name,
        output::short(spec.parameters as f64),
        output::short(spec.multiply_adds as f64),
        score.map_or(String::new(), |score| format!("{score:.1}")),
        spec.weights().len(),
    )
}
