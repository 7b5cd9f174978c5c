//! Made-up parts of reports.

use super::*;

pub(super) fn epochs(count: usize) -> Vec<ReportEpoch> {
    let epoch = |epoch: usize| ReportEpoch {
        epoch,
        learning_rate: Some(0.1 / epoch as f64),
        train_loss: Some(2.0 / epoch as f64),
        val_loss: Some(2.2 / epoch as f64),
        train_score: Some(1.0 - 0.5 / epoch as f64),
        val_score: Some(1.0 - 0.6 / epoch as f64),
        seconds: Some(3.5),
    };
    (1..=count).map(epoch).collect()
}

/// Of each class four samples, of which one is taken for the next class but in the last.
pub(super) fn results(classes: usize, name: impl Fn(usize) -> String) -> ClassResults {
    let labels: Vec<u32> = (0..classes as u32 * 4).map(|index| index / 4).collect();
    let last = classes as u32 - 1;
    let predictions: Vec<u32> = (0..classes as u32 * 4)
        .map(|index| {
            if index % 4 == 0 && index / 4 < last {
                index / 4 + 1
            } else {
                index / 4
            }
        })
        .collect();
    ClassResults {
        evaluated_on: "val split".into(),
        names: (0..classes).map(name).collect(),
        confusion: ConfusionMatrix::from_pairs(classes, &labels, &predictions).unwrap(),
    }
}

/// Three images; of each class four pixels in all, of which one is taken for the next class but in
/// the last.
pub(super) fn regions(classes: usize, name: impl Fn(usize) -> String) -> RegionResults {
    let mut metrics = SegmentationMetrics::new(classes).unwrap();
    for image in 0..3 {
        let mut truth = Vec::new();
        let mut predicted = Vec::new();
        for class in 0..classes as u8 {
            // One pixel of the first two images, two of the last, where the second is wrong.
            for pixel in 0..1 + image / 2 {
                truth.push(class);
                let is_last = usize::from(class) + 1 == classes;
                predicted.push(class + u8::from(pixel == 1 && !is_last));
            }
        }
        truth.push(255);
        predicted.push(0);
        metrics.update(&predicted, &truth).unwrap();
    }
    RegionResults {
        evaluated_on: "val".into(),
        names: (0..classes).map(name).collect(),
        result: metrics.result().unwrap(),
        intervals: metrics.intervals(&Bootstrap::default()).unwrap(),
    }
}

/// An image with two objects of class 0 and two of class 1, of which both of class 0 are found, one
/// of class 1 is taken for class 0 and one is missed; a detection of class 1 is where nothing is.
pub(super) fn detections(classes: usize, name: impl Fn(usize) -> String) -> DetectionResults {
    let large = Rect::new(0., 0., 200., 100.);
    let medium = |x: f64| Rect::new(x, 0., 50., 50.);
    let truths = [
        GroundTruthBox::new(large, 0),
        GroundTruthBox::new(medium(300.), 0),
        GroundTruthBox::new(medium(400.), 1),
        GroundTruthBox::new(medium(500.), 1),
    ];
    let found = [
        DetectedBox::new(large, 0, 0.9),
        DetectedBox::new(medium(400.), 0, 0.8),
        DetectedBox::new(medium(300.), 0, 0.6),
        DetectedBox::new(medium(600.), 1, 0.4),
    ];
    let mut metrics = DetectionMetrics::new(classes).unwrap();
    metrics.update(&truths, &found).unwrap();
    DetectionResults {
        evaluated_on: "val".into(),
        names: (0..classes).map(name).collect(),
        result: metrics.result().unwrap(),
    }
}

/// Rates of so many updates in each epoch, by the update's number.
pub(super) fn rates(epochs: usize, updates: usize, rate: impl Fn(usize) -> f64) -> Vec<RatePoint> {
    let point = |update: usize| RatePoint {
        epochs: update as f64 / updates as f64,
        learning_rate: rate(update),
    };
    (0..epochs * updates).map(point).collect()
}

/// Ten bins: 2 samples with a confidence of 0.65, of which one is right, and 2,000 of 0.95, all
/// right.
pub(super) fn reliability() -> Reliability {
    let mut reliability = Reliability::new(10).unwrap();
    let logit = |confidence: f32| (confidence / (1. - confidence)).ln();
    for (confidence, labels) in [(0.65, vec![0, 1]), (0.95, vec![0; 2000])] {
        let logits: Vec<f32> = labels
            .iter()
            .flat_map(|_| [logit(confidence), 0.])
            .collect();
        reliability.update(&logits, 2, &labels).unwrap();
    }
    reliability
}

pub(super) fn group(name: &str, learning_rate: Option<f64>) -> ReportLayerGroup {
    ReportLayerGroup {
        name: name.into(),
        parameters: 1000,
        learning_rate,
        norm_statistics: NormStatistics::Fixed,
    }
}

/// `layers` layers of 64 filters, of which `found` have two that do nothing.
pub(super) fn filters(name: &str, layers: usize, found: usize) -> FilterReport {
    let saves = Savings {
        parameters: 1234,
        multiply_adds: 5678,
    };
    let kinds = [(3, FilterKind::NeverActive), (40, FilterKind::Duplicate)];
    let layer = |number: usize| FilterLayer {
        name: format!("{name}{number}"),
        channels: 64,
        found: if number < found {
            kinds.to_vec()
        } else {
            vec![]
        },
        activations: Spread {
            mean: 0.25,
            std: 1.5,
            min: -2.,
            max: 3.,
            zeros: 0.5,
        },
        weights: WeightStatistics {
            mean: 0.,
            std: 0.1,
            min: -1.,
            max: 1.,
            norm: 4.,
            zeros: 0.,
        },
        dead_relus: Some(0.125),
        saves,
    };
    let counts = FilterCounts::of(kinds.iter().cycle().take(2 * found).map(|&(_, kind)| kind));
    let field = Some(ReceptiveField::Pixels {
        size: [9, 11],
        jump: [2, 2],
    });
    let points = |points: &[(usize, f64)]| -> Vec<RarefactionPoint> {
        points
            .iter()
            .map(|&(images, filters)| RarefactionPoint { images, filters })
            .collect()
    };
    FilterReport {
        inspected_on: name.into(),
        images: 1500,
        held_out: Some(HeldOut {
            made_from: 1200,
            images: 300,
            claimed: 40,
            contradicted: 3,
            max_logit_change: 0.25,
        }),
        rarefaction: Rarefaction {
            active_once: 2,
            active_twice: 1,
            counted: points(&[(16, 90.4), (32, 60.), (1500, 2. * found as f64)]),
            estimated: points(&[(3000, 1.6 * found as f64), (15_000, found as f64)]),
        },
        layers: (0..layers).map(layer).collect(),
        totals: Totals {
            filters: 64 * layers,
            removable: 2 * found,
            counts,
            class_filters: 1,
            parameters: 12_340,
            multiply_adds: 56_780,
            saves,
            max_logit_change: 2.5e-6,
        },
        stages: vec![StageField {
            stage: 0,
            module: name.into(),
            channels: 8,
            reduction: 2,
            receptive_field: field,
        }],
        first_filters: Some(Image::from_pixels(2, 3, 3, vec![128; 18]).unwrap()),
    }
}

/// What attacks left: one attack, an alarm, a curve of three sizes, a picture.
pub(super) fn robustness(text: &str, image: &Image) -> RobustnessResults {
    let point = |eps: f64, top1: f64| SizePoint {
        eps,
        robust: [top1, top1 - 0.05, top1 + 0.05],
    };
    RobustnessResults {
        evaluated_on: "100 images".into(),
        clean: 0.9,
        clean_calibration_error: 0.0123,
        worst: [0.4, 0.3, 0.5],
        attacks: vec![AttackRow {
            name: text.into(),
            limit: text.into(),
            robust: [0.4, 0.3, 0.5],
            transferred: Some(0.6),
            success_rate: 0.5,
            confidence: 0.87,
            calibration_error: 0.47,
            mean_linf: 0.031,
            mean_l2: 1.5,
            queries: 21.,
            seconds: 2.5,
        }],
        alarms: vec![text.into()],
        diagnosed: 50,
        sweep: vec![point(0., 0.9), point(0.01, 0.6), point(0.02, 0.2)],
        sweep_of: text.into(),
        certified: vec![point(0., 0.8), point(0.5, 0.3)],
        certified_of: text.into(),
        pictures: vec![AttackedPicture {
            path: text.into(),
            attack: text.into(),
            images: [image.clone(), image.clone(), image.clone()],
            amplified: 16.,
            predictions: [(text.into(), 0.75), (text.into(), 0.5)],
            overlays: Some([image.clone(), image.clone()]),
        }],
    }
}

/// Every part of a report, each string of it holding `text`.
pub(super) fn full(text: &str) -> Report {
    let fact = || Fact::new(text, text).with_note(text);
    let image = Image::from_pixels(
        240,
        320,
        3,
        (0..240 * 320 * 3).map(|at| (at % 255) as u8).collect(),
    )
    .unwrap();
    let phase = |number: usize, groups| ReportPhase {
        name: text.into(),
        first_epoch: number,
        last_epoch: number,
        groups,
    };
    Report {
        title: text.into(),
        byline: Some(text.into()),
        result: Some(text.into()),
        summary: vec![fact()],
        notes: vec![text.into()],
        epochs: epochs(2),
        score: Some(text.into()),
        learning_rates: rates(2, 10, |update| update as f64 / 20.),
        loss_note: Some(text.into()),
        best_epoch: Some(2),
        calibration: Some(reliability()),
        sections: vec![section(text)],
        classes: vec![ClassResults {
            evaluated_on: text.into(),
            ..results(3, |index| format!("{text}{index}"))
        }],
        regions: Some(RegionResults {
            evaluated_on: text.into(),
            ..regions(3, |index| format!("{text}{index}"))
        }),
        masks: vec![MaskGroup {
            title: format!("Worst images {text}"),
            note: Some(text.into()),
            legend: vec![(text.into(), [1, 2, 3])],
            photos: vec![SegmentedPhoto {
                path: text.into(),
                caption: text.into(),
                photo: image.clone(),
                truth: image.clone(),
                prediction: image.clone(),
                errors: image.clone(),
            }],
        }],
        detections: Some(DetectionResults {
            evaluated_on: text.into(),
            ..detections(3, |index| format!("{text}{index}"))
        }),
        boxes: vec![BoxGroup {
            title: format!("Worst photos {text}"),
            note: Some(text.into()),
            photos: vec![BoxedPhoto {
                path: text.into(),
                caption: text.into(),
                truth: image.clone(),
                prediction: image.clone(),
            }],
        }],
        robustness: Some(RobustnessResults {
            evaluated_on: text.into(),
            ..robustness(text, &image)
        }),
        score_grids: vec![ScoreGrid {
            title: format!("Accuracy under corruptions {text}"),
            note: Some(text.into()),
            columns_are: text.into(),
            columns: vec![text.into(), "2".into()],
            rows: vec![ScoreGridRow {
                name: text.into(),
                group: text.into(),
                scores: vec![0.75, 0.5],
                pictures: vec![image.clone(), image.clone()],
            }],
            picture: Some(image.clone()),
        }],
        pictures: vec![PictureGroup {
            title: format!("Worst mistakes {text}"),
            note: Some(text.into()),
            pictures: vec![ImagePrediction {
                image: image.clone(),
                path: text.into(),
                label: text.into(),
                prediction: text.into(),
                probability: 0.875,
                explanation: Some(image.clone()),
            }],
        }],
        strip: Some(ImageStrip {
            title: format!("The same images {text}"),
            note: Some(text.into()),
            columns: vec![text.into(), "2".into()],
            rows: vec![StripRow {
                image: image.clone(),
                label: text.into(),
                cells: vec![(image.clone(), text.into()), (image, text.into())],
            }],
        }),
        filters: Some(filters(text, 2, 1)),
        phases: vec![
            phase(1, vec![group(text, None), group("head", Some(0.1))]),
            phase(2, vec![group(text, Some(0.01)), group("head", Some(0.1))]),
        ],
        freeze_proof: Some(ReportFreezeProof {
            kept: text.into(),
            tensors: 7,
            unchanged: 7,
            source: text.into(),
            source_sha256: text.into(),
        }),
        skipped: vec![Skipped {
            path: text.into(),
            reason: text.into(),
        }],
        next_steps: vec![ReportNextStep {
            purpose: text.into(),
            command: text.into(),
        }],
        files: vec![FileLink {
            path: text.into(),
            about: text.into(),
        }],
        data: vec![DataPart {
            name: text.into(),
            images: 1234,
            fingerprint: text.into(),
        }],
        configuration: vec![fact()],
        timings: vec![Timing {
            name: text.into(),
            seconds: 61.0,
            images_per_second: Some(250.0),
        }],
        command: Some(text.into()),
        versions: vec![fact()],
    }
}

/// A table of two rows of which the second is marked, a chart, and a picture of three points.
pub(super) fn section(text: &str) -> ReportSection {
    let row = |number: &str| vec![text.to_string(), number.to_string()];
    let point = |at, class, is_cross| CloudPoint {
        at,
        class,
        is_cross,
    };
    ReportSection {
        title: format!("Methods {text}"),
        notes: vec![text.into()],
        tables: vec![ReportTable {
            title: Some(text.into()),
            note: Some(text.into()),
            columns: vec![TableColumn::text(text), TableColumn::number(text)],
            rows: vec![row("61.56"), row("91.30")],
            marked: vec![1],
        }],
        charts: vec![EpochChart {
            title: text.into(),
            axis: text.into(),
            curves: vec![EpochCurve {
                name: text.into(),
                values: vec![(1, 0.5), (2, 0.25)],
            }],
            marked: Some(2),
            note: Some(text.into()),
            ..EpochChart::default()
        }],
        points: Some(PointClouds {
            classes: vec![text.into()],
            kinds: [text.into(), text.into()],
            clouds: vec![PointCloud {
                title: text.into(),
                note: Some(text.into()),
                points: vec![
                    point([0., 0.], Some(0), false),
                    point([1., 2.], Some(0), true),
                    point([f64::NAN, 0.], None, false),
                ],
            }],
        }),
    }
}
