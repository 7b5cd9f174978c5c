//! Results do not depend on the number of threads, and many boxes take no time.

use std::time::Instant;

use candle_core::{Device, Tensor, Var};
use cnn_core::Key;
use cnn_layers::detection::losses::{BinaryTargets, Reduction, SigmoidFocalLoss};
use cnn_layers::detection::{BoxEdges, batched_nms, nms};

fn with_threads<T: Send>(threads: usize, work: impl FnOnce() -> T + Send) -> T {
    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
    pool.build().unwrap().install(work)
}

#[test]
fn sums_have_a_fixed_order() {
    let mut rng = Key::new(2).rng();
    let numbers: Vec<f32> = (0..60_000).map(|_| rng.normal() as f32).collect();
    let logits = Tensor::from_vec(numbers, (3000, 20), &Device::Cpu).unwrap();
    let logits = Var::from_tensor(&logits).unwrap();
    let classes: Vec<Option<u32>> = (0..3000)
        .map(|row| (row % 7 == 0).then_some(row % 20))
        .collect();
    let targets = BinaryTargets::Classes(classes);
    let run = || {
        let loss = SigmoidFocalLoss::default();
        let loss = loss
            .loss(&logits, &targets, &Reduction::over(429.))
            .unwrap();
        let grads = loss.backward().unwrap();
        let gradient = grads.get(&logits).unwrap().flatten_all().unwrap();
        (
            loss.to_scalar::<f32>().unwrap(),
            gradient.to_vec1::<f32>().unwrap(),
        )
    };
    let one = with_threads(1, run);
    assert_eq!(one, with_threads(2, run));
    assert_eq!(one, with_threads(5, run));
}

#[test]
fn eight_thousand_boxes_are_suppressed_at_once() {
    let mut rng = Key::new(4).rng();
    let boxes: Vec<BoxEdges> = (0..8000)
        .map(|_| {
            let x = rng.uniform_in(0., 1300.) as f32;
            let y = rng.uniform_in(0., 800.) as f32;
            [x, y, x + 8., y + 8.]
        })
        .collect();
    let scores: Vec<f32> = (0..8000).map(|_| rng.uniform() as f32).collect();
    let classes: Vec<u32> = (0..8000).map(|_| rng.below(80) as u32).collect();
    let start = Instant::now();
    // Few overlap, so that nearly all pairs are compared.
    let kept = nms(&boxes, &scores, 0.7).unwrap();
    let all = start.elapsed();
    let by_class = batched_nms(&boxes, &scores, &classes, 0.7).unwrap();
    println!(
        "{} and {} of 8000, {all:?} and {:?}",
        kept.len(),
        by_class.len(),
        start.elapsed() - all
    );
    assert!(kept.len() > 7000 && by_class.len() > kept.len());
    // Far more than it takes also on a busy machine: about 30 ms.
    assert!(all.as_secs_f64() < 5., "{all:?}");
}
