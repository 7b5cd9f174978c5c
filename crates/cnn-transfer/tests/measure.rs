//! Measuring and predicting with a small network: figures, parts, progress, what is refused.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::path::Path;
use std::sync::Arc;

use cnn_data::{Dataset, Image, PhotoList, Shapes, ShapesConfig, Split, Subset};
use cnn_layers::Mode;
use cnn_models::{LoadOptions, ModelConfig, Network};
use cnn_train::{PredictImages, TrainingData};
use cnn_transfer::{
    BestEpoch, Error, FineTune, FineTuneConfig, FreezeProof, MOST_KEPT, Predict, Strategy, measure,
    measure_with_part,
};

fn shapes(split: Split, samples: usize) -> Arc<dyn Dataset> {
    let config = ShapesConfig::default()
        .with_samples(samples)
        .with_split(split)
        .with_size(20, 24);
    Arc::new(Shapes::new(config).unwrap())
}

/// A ResNet-8 with fresh weights; with ten classes it names them as CIFAR-10 does.
fn network(classes: usize) -> Network {
    let config = ModelConfig {
        num_classes: Some(classes),
        input_size: Some([20, 24]),
        ..ModelConfig::default()
    };
    Network::new("resnet8_cifar10", &config, 3).unwrap()
}

/// The same that knows the names of the shapes, the last one first.
fn turned(images: &Arc<dyn Dataset>) -> Network {
    let mut network = network(10);
    let names = images.classes().iter().rev().cloned().collect();
    network.set_label_names(names).unwrap();
    network
}

fn photos(images: &Arc<dyn Dataset>) -> Vec<Image> {
    let photo = |index| images.read(index).unwrap().image;
    (0..images.len()).map(photo).collect()
}

#[test]
fn measured_figures_are_those_of_the_judged_samples() {
    let images = shapes(Split::Test, 50);
    let network = turned(&images);
    let mut told = Vec::new();
    let measured = measure(&network, &images, 20, &mut |images| told.push(images)).unwrap();
    assert_eq!(told, [20, 20, 10]);
    assert_eq!(measured.judged.len(), 50);
    assert!(measured.notes.is_empty() && measured.skipped.is_empty());
    let of_dataset = |index: usize| 9 - images.label(index).unwrap();
    for (place, judged) in measured.judged.iter().enumerate() {
        assert_eq!(judged.index, place);
        assert_eq!(judged.label, of_dataset(place), "classes are found by name");
        let probabilities = measured.probabilities(place).unwrap();
        let sum: f64 = probabilities.iter().sum();
        assert!((sum - 1.).abs() < 1e-12);
        let highest = probabilities.iter().copied().fold(0., f64::max);
        assert_eq!(probabilities[judged.prediction], judged.probability);
        assert_eq!(highest, judged.probability);
        assert_eq!(probabilities[judged.label], judged.label_probability);
    }
    assert_eq!(measured.probabilities(50), None);
    let mistakes = measured.mistakes().count();
    assert_eq!(measured.result.top1, (50 - mistakes) as f64 / 50.);
    let interval = measured.top1_interval().unwrap();
    assert!(interval.low <= measured.result.top1 && measured.result.top1 <= interval.high);
    let right = |judged: &cnn_transfer::Judged| judged.prediction == judged.label;
    for (class, surest) in measured.surest_right().into_iter().enumerate() {
        let of_class = |judged: &&cnn_transfer::Judged| right(judged) && judged.label == class;
        let of_class = measured.judged.iter().filter(of_class);
        let most = of_class.map(|judged| judged.probability).reduce(f64::max);
        assert_eq!(surest.map(|judged| judged.probability), most);
    }
    // The size of the batch is no part of the result.
    let again = measure(&network, &images, 7, &mut |_| ()).unwrap();
    assert_eq!(again.confusion, measured.confusion);
}

#[test]
fn a_part_is_measured_as_if_alone() {
    let images = shapes(Split::Test, 30);
    let network = turned(&images);
    let is_part = |index| index % 3 == 0;
    let both = measure_with_part(&network, &images, 8, is_part, &mut |_| ()).unwrap();
    assert_eq!(
        both.whole.judged,
        measure(&network, &images, 8, &mut |_| ()).unwrap().judged
    );
    let indices = (0..30).filter(|&index| is_part(index)).collect();
    let alone: Arc<dyn Dataset> = Arc::new(Subset::new(images.clone(), indices).unwrap());
    let alone = measure(&network, &alone, 8, &mut |_| ()).unwrap();
    let part = both.part.unwrap();
    assert_eq!(part.result, alone.result);
    assert_eq!(part.confusion, alone.confusion);
    let none = measure_with_part(&network, &images, 8, |_| false, &mut |_| ()).unwrap();
    assert!(none.part.is_none());
}

#[test]
fn many_classes_are_measured_without_keeping_their_scores() {
    let images = shapes(Split::Test, 10);
    let network = network(MOST_KEPT + 1);
    let measured = measure(&network, &images, 10, &mut |_| ()).unwrap();
    assert_eq!(
        (measured.logits.is_none(), measured.judged.len()),
        (true, 10)
    );
    assert_eq!(measured.probabilities(0), None);
}

#[test]
fn what_cannot_be_measured_is_refused_by_what_is_wrong() {
    let refused = |network: &Network, images: &Arc<dyn Dataset>| {
        let measured = measure(network, images, 8, &mut |_| ());
        measured.map(|_| ()).unwrap_err()
    };
    let images = shapes(Split::Test, 10);
    let error = refused(&network(4), &images);
    assert!(
        matches!(
            error,
            Error::MoreClasses {
                network: 4,
                data: 10,
                ..
            }
        ),
        "{error}"
    );
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a.png");
    photos(&images)[0].write_png(&path).unwrap();
    let unlabelled: Arc<dyn Dataset> = Arc::new(PhotoList::open(&[&path]).unwrap());
    let error = refused(&network(10), &unlabelled);
    assert!(matches!(error, Error::NoLabels), "{error}");

    for class in ["a", "b"] {
        std::fs::create_dir(directory.path().join(class)).unwrap();
        let path = directory.path().join(class).join("broken.jpg");
        std::fs::write(path, b"\xff\xd8\xffnothing").unwrap();
    }
    std::fs::remove_file(&path).unwrap();
    let broken = cnn_data::open_dataset(directory.path(), None).unwrap();
    let error = refused(&network(11), &broken);
    assert!(
        matches!(&error, Error::NothingReadable { skipped } if skipped.len() == 2),
        "{error}"
    );
    assert!(measure(&network(10), &images, 0, &mut |_| ()).is_err());
}

#[test]
fn images_of_classes_that_the_network_does_not_know_are_left_out_and_told() {
    let images = shapes(Split::Test, 20);
    let mut network = network(10);
    let mut names = images.classes().to_vec();
    names[4] = "something else".to_string();
    network.set_label_names(names).unwrap();
    let measured = measure(&network, &images, 10, &mut |_| ()).unwrap();
    assert_eq!(measured.judged.len(), 18);
    assert!(measured.judged.iter().all(|judged| judged.label != 4));
    assert!(measured.notes[0].contains("their 2 images are left out"));
    let none = (0..10).map(|class| format!("class {class}")).collect();
    network.set_label_names(none).unwrap();
    let error = measure(&network, &images, 10, &mut |_| ()).unwrap_err();
    assert!(matches!(error, Error::UnknownClasses { .. }), "{error}");
}

#[test]
fn photos_are_predicted_alike_one_by_one_together_and_as_a_dataset() {
    let images = shapes(Split::Test, 40);
    let network = turned(&images);
    let photos = photos(&images);
    let together = network.predict_images(&photos, 3).unwrap();
    assert_eq!(together.len(), 40);
    let measured = measure(&network, &images, 16, &mut |_| ()).unwrap();
    for (classes, judged) in together.iter().zip(&measured.judged) {
        assert_eq!(classes.len(), 3);
        assert_eq!(classes[0].index, judged.prediction);
        assert!((classes[0].probability - judged.probability).abs() < 1e-6);
        let name = &images.classes()[9 - classes[0].index];
        assert_eq!(classes[0].name.as_ref(), Some(name));
        assert!(classes.is_sorted_by(|a, b| a.probability >= b.probability));
    }
    let alone = network.predict(&photos[39], 3).unwrap();
    assert_eq!(alone[0].index, together[39][0].index);

    let mut told = 0;
    let mut progress = |images| told += images;
    let dataset = network.predict_dataset(&images, 16, 3, &mut progress);
    let dataset = dataset.unwrap();
    assert_eq!(told, 40);
    assert_eq!(dataset.images[7].index, 7);
    assert_eq!(dataset.images[7].classes[0].name, together[7][0].name);

    let model = network.build(Mode::Inference).unwrap();
    let ranked = model
        .predict_images(&photos[..1], network.preprocessing(), 99)
        .unwrap();
    assert_eq!(ranked[0].len(), 10, "there are no more classes");
    assert_eq!(ranked[0][0].index, together[0][0].index);
}

#[test]
fn predictions_that_make_no_sense_are_errors() {
    let images = shapes(Split::Test, 1);
    let photos = photos(&images);
    let network = network(11);
    assert!(matches!(
        network.predict(&photos[0], 0),
        Err(Error::Train(error)) if matches!(*error, cnn_train::Error::Metrics(_))
    ));
    assert!(network.predict_images(&[], 5).unwrap().is_empty());
    let predicted = network.predict(&photos[0], 1).unwrap();
    assert_eq!(predicted[0].name, None, "no names are known");
}

fn fine_tuned(run: &Path, data: &TrainingData) -> FreezeProof {
    let config = FineTuneConfig {
        strategy: Strategy::Head,
        head_epochs: 2,
        batch_size: 8,
        ..FineTuneConfig::default()
    };
    let mut network = network(10);
    let names = data.train().classes().to_vec();
    network.set_label_names(names).unwrap();
    let mut tuning =
        FineTune::new(network, data.train().clone(), data.val().clone()).with_config(config);
    let plan = tuning.phases().unwrap();
    let summary = tuning.run(run).unwrap();
    let best = summary.train.best.unwrap();
    assert_eq!(
        (best.score_name.as_str(), best.score),
        ("top1", best.metrics["top1"])
    );
    let last = run.join("last/model.safetensors");
    FreezeProof::of_phases(self::network(10).store(), &last, &plan).unwrap()
}

#[test]
fn the_best_epoch_is_measured_on_test_images_or_else_on_those_that_chose_it() {
    let run = tempfile::tempdir().unwrap();
    let whole = shapes(Split::Train, 40);
    let data = TrainingData::holding_out(whole, 0.25, 0).unwrap();
    let proof = fine_tuned(run.path(), &data);
    let head = 2;
    let all = network(10).store().tensors().len();
    assert_eq!((proof.tensors, proof.unchanged), (all - head, all - head));

    let options = LoadOptions::default();
    let best = BestEpoch::measure(run.path(), &options, &data, 8, &mut |_| ()).unwrap();
    assert_eq!((best.part, best.measured.judged.len()), (Split::Val, 10));
    let text = std::fs::read_to_string(run.path().join("metrics.csv")).unwrap();
    assert!(
        text.contains(&best.measured.result.top1.to_string()),
        "{text}"
    );

    let data = data.with_test(shapes(Split::Test, 20));
    let mut done = 0;
    let best = BestEpoch::measure(run.path(), &options, &data, 8, &mut |images| done += images);
    let best = best.unwrap();
    assert_eq!((best.part, done), (Split::Test, 20));

    let empty = tempfile::tempdir().unwrap();
    let missing = BestEpoch::measure(empty.path(), &options, &data, 8, &mut |_| ());
    assert!(matches!(missing.map(|_| ()), Err(Error::Model(_))));
}
