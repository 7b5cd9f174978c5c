//! The rules of the verdicts on a published network: maps of the network pass, maps that know nothing of the photo fail.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;

use std::sync::Arc;

use cnn_core::Key;
use cnn_data::{Dataset, PhotoList};
use cnn_layers::{FeatureMap, Mode};
use cnn_viz::{Explainer, Heatmap, Method, Target, Trust, TrustCheck, insertion_deletion, road};
use common::{batch, published, shared};

const PHOTOS: usize = 10;
const DRAWS: u64 = 2;

/// Noise as coarse and as smooth as a class activation map of MobileNetV2: 7×7 numbers, linear between them.
fn blobs(side: usize, number: u64) -> Heatmap {
    let mut rng = Key::new(number).stream("blobs").rng();
    let grid: Vec<f64> = (0..49).map(|_| rng.uniform()).collect();
    let place = |at: usize| {
        let at = (at as f64 + 0.5) * 7. / side as f64 - 0.5;
        let low = at.clamp(0., 6.);
        ((low.floor() as usize).min(5), low - low.floor().min(5.))
    };
    let value = |at: usize| {
        let ((row, down), (column, right)) = (place(at / side), place(at % side));
        let of = |row: usize, column: usize| grid[row * 7 + column];
        let along = |row: usize| of(row, column) * (1. - right) + of(row, column + 1) * right;
        (along(row) * (1. - down) + along(row + 1) * down) as f32
    };
    Heatmap::new(side, side, (0..side * side).map(value).collect(), false).unwrap()
}

#[test]
fn maps_that_know_nothing_of_the_photo_fail_where_grad_cam_passes() {
    let (Some(network), Some(folder)) = (published("mobilenetv2_100"), shared("data/imagenet_photos")) else { return };
    let photos: Arc<dyn Dataset> = Arc::new(PhotoList::open(&[folder]).unwrap());
    let scorer = network.build(Mode::Inference).unwrap();
    let explainer = Explainer::new(network.model());
    let passes = |image: &FeatureMap, map: &Heatmap, class: usize| {
        let curves = insertion_deletion(scorer.as_ref(), image, map, class, 20, 7).unwrap();
        let road = road(scorer.as_ref(), image, map, class, &[20., 40., 60., 80.], 0.01, &Key::new(0)).unwrap();
        let trust = Trust {
            insertion_auc: curves.insertion_auc(),
            deletion_auc: curves.deletion_auc(),
            road: road.combined(),
            randomization: vec![("all layers".into(), 0.)],
        };
        println!("{:.3} {:.3} {:.3}", trust.insertion_auc, trust.deletion_auc, trust.road);
        trust.verdicts()
    };
    let (mut of_network, mut of_noise) = ([0; 3], [0; 3]);
    for photo in 0..PHOTOS {
        let image = batch(photos.clone(), vec![photo * photos.len() / PHOTOS], network.preprocessing());
        let explanation = explainer.explain(Method::GradCam, &image, &[Target::PREDICTED]).unwrap();
        let (map, class) = (&explanation.maps[0], explanation.scores[0].class);
        let mut count = |counts: &mut [usize; 3], map: &Heatmap| {
            let verdicts = passes(&image, map, class);
            for check in [TrustCheck::InsertionDeletion, TrustCheck::Road] {
                counts[check as usize] += usize::from(verdicts[check as usize].passed);
            }
            counts[2] += usize::from(verdicts.iter().all(|verdict| verdict.passed));
        };
        println!("photo {photo}");
        count(&mut of_network, map);
        (0..DRAWS).for_each(|draw| count(&mut of_noise, &blobs(map.width(), DRAWS * photo as u64 + draw)));
    }
    println!("of {PHOTOS} maps of the network pass {of_network:?}; of {} of noise {of_noise:?}", PHOTOS as u64 * DRAWS);
}
