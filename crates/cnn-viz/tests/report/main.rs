//! The page, read back with an HTML parser: whole and minimal reports, hostile text, bad numbers.
#![allow(clippy::unwrap_used, clippy::panic)]

mod curves;
mod filters;
mod regions;

use cnn_data::{Image, Skipped};
use cnn_metrics::{Bootstrap, ConfusionMatrix, Reliability, SegmentationMetrics};
use cnn_viz::{
    ClassResults, DataPart, EpochStrip, Error, Fact, FileLink, FilterCounts, FilterKind,
    FilterLayer, FilterReport, HeldOut, ImagePrediction, MaskGroup, NormStatistics, PictureGroup,
    Rarefaction, RarefactionPoint, RatePoint, ReceptiveField, RegionResults, Report, ReportEpoch,
    ReportFreezeProof, ReportLayerGroup, ReportNextStep, ReportPhase, Savings, SegmentedPhoto,
    Spread, StageField, StripRow, Timing, Totals, WeightStatistics,
};
use scraper::{Html, Selector};

/// What must never become markup, nor leave an attribute.
const HOSTILE: &str = "<script>alert(1)</script>\"><img src=x onerror='alert(2)'>&amp;{{ 7 }}";

fn parse(report: &Report) -> Html {
    let page = Html::parse_document(&report.to_html().unwrap());
    assert_eq!(page.errors, Vec::<String>::new());
    assert!(page.quirks_mode == scraper::html::Html::new_document().quirks_mode);
    page
}

fn select(selector: &str) -> Selector {
    Selector::parse(selector).unwrap()
}

/// The text of each selected element, white space made single blanks.
fn texts(page: &Html, selector: &str) -> Vec<String> {
    let selector = select(selector);
    let selected = page
        .select(&selector)
        .map(|element| element.text().collect::<String>());
    selected
        .map(|text| text.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect()
}

fn attributes(page: &Html, selector: &str, name: &str) -> Vec<String> {
    let selector = select(selector);
    page.select(&selector)
        .map(|element| element.value().attr(name).unwrap().to_string())
        .collect()
}

fn epochs(count: usize) -> Vec<ReportEpoch> {
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
fn results(classes: usize, name: impl Fn(usize) -> String) -> ClassResults {
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

/// Rates of so many updates in each epoch, by the update's number.
/// Three images; of each class four pixels in all, of which one is taken for the next class but in
/// the last.
fn regions(classes: usize, name: impl Fn(usize) -> String) -> RegionResults {
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

fn rates(epochs: usize, updates: usize, rate: impl Fn(usize) -> f64) -> Vec<RatePoint> {
    let point = |update: usize| RatePoint {
        epochs: update as f64 / updates as f64,
        learning_rate: rate(update),
    };
    (0..epochs * updates).map(point).collect()
}

/// Ten bins: 2 samples with a confidence of 0.65, of which one is right, and 2,000 of 0.95, all
/// right.
fn reliability() -> Reliability {
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

fn group(name: &str, learning_rate: Option<f64>) -> ReportLayerGroup {
    ReportLayerGroup {
        name: name.into(),
        parameters: 1000,
        learning_rate,
        norm_statistics: NormStatistics::Fixed,
    }
}

/// `layers` layers of 64 filters, of which `found` have two that do nothing.
fn filters(name: &str, layers: usize, found: usize) -> FilterReport {
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

/// Every part of a report, each string of it holding `text`.
fn full(text: &str) -> Report {
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
        summary: vec![fact()],
        notes: vec![text.into()],
        epochs: epochs(2),
        score: Some(text.into()),
        learning_rates: rates(2, 10, |update| update as f64 / 20.),
        loss_note: Some(text.into()),
        best_epoch: Some(2),
        calibration: Some(reliability()),
        classes: Some(ClassResults {
            evaluated_on: text.into(),
            ..results(3, |index| format!("{text}{index}"))
        }),
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
        strip: Some(EpochStrip {
            epochs: vec![1, 2],
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

#[test]
fn every_part_has_its_section() {
    let page = parse(&full("plain"));
    let headings = [
        "Curves",
        "Classes",
        "Classes",
        "Worst images plain",
        "Calibration",
        "Worst mistakes plain",
        "The same images over the epochs",
        "Filters",
        "What was trained",
        "Skipped files",
        "What next",
        "Files of the run",
        "Data",
        "To run it again",
        "Configuration",
        "Time",
        "Versions",
    ];
    assert_eq!(texts(&page, "h2"), headings);
    assert_eq!(
        texts(&page, "figure.chart h3"),
        ["Loss", "Plain", "Learning rate", "Time", "Reliability"]
    );
    assert_eq!(texts(&page, "title"), ["plain"]);
    assert_eq!(texts(&page, ".byline"), ["plain"]);
    assert_eq!(texts(&page, "pre"), ["plain", "plain"]);
    assert_eq!(texts(&page, "dl.steps dt"), ["plain"]);
    assert_eq!(attributes(&page, "a", "href"), ["./plain"]);
    assert!(
        texts(&page, "tbody tr").contains(&"plain1,234plain".to_string()),
        "the data's part"
    );
    assert_eq!(
        texts(&page, ".groups tbody td.frozen"),
        ["frozenbatch-norm fixed"]
    );
    assert_eq!(
        texts(&page, ".groups tfoot td"),
        ["1,000 of 2,000 (50.0 %)", "2,000 of 2,000 (100.0 %)"]
    );
    assert!(texts(&page, ".proof")[0].contains("(7 tensors). All of them have the same bytes"));
    assert_eq!(texts(&page, "tr.chosen td")[0], "2");
}

#[test]
fn the_parser_that_the_tests_rely_on_sees_a_tag_that_is_not_closed() {
    let page = full("plain").to_html().unwrap();
    for tag in ["</figure>", "</ol>", "</bdi>", "</svg>"] {
        assert!(
            !Html::parse_document(&page.replacen(tag, "", 1))
                .errors
                .is_empty(),
            "{tag}"
        );
    }
}

#[test]
fn what_is_missing_is_left_out() {
    let page = parse(&Report {
        title: "nothing".into(),
        ..Report::default()
    });
    assert_eq!(texts(&page, "h1"), ["nothing"]);
    assert!(texts(&page, "h2, section, table, svg, img, .cards, .note").is_empty());

    let one_epoch = ReportEpoch {
        epoch: 1,
        train_loss: Some(0.7),
        ..ReportEpoch::default()
    };
    let page = parse(&Report {
        epochs: vec![one_epoch],
        ..Report::default()
    });
    assert_eq!(texts(&page, "figure.chart h3"), ["Loss"]);
    assert_eq!(texts(&page, "figure.chart .key"), ["train"]);
    assert_eq!(texts(&page, "details th"), ["epoch", "train loss"]);

    let nothing_counted = ClassResults {
        confusion: ConfusionMatrix::new(2).unwrap(),
        ..results(2, |i| i.to_string())
    };
    let page = parse(&Report {
        classes: Some(nothing_counted),
        ..Report::default()
    });
    assert!(texts(&page, "h2").is_empty());
}

#[test]
fn hostile_text_stays_text() {
    let page = parse(&full(HOSTILE));
    assert!(texts(&page, "script, [onerror], [src=x]").is_empty());
    let shown = [
        "h1",
        ".cards strong",
        "p.note",
        "pre",
        ".pictures small",
        ".pictures b",
        ".proof bdi",
        "code",
    ];
    for selector in shown {
        assert_eq!(texts(&page, selector)[0], HOSTILE, "{selector}");
    }
    assert_eq!(
        attributes(&page, ".pictures img", "alt"),
        [
            format!("{HOSTILE} taken for {HOSTILE}"),
            format!("where {HOSTILE} was seen")
        ]
    );
    assert_eq!(texts(&page, ".filters th bdi")[0], format!("{HOSTILE}0"));
    assert_eq!(texts(&page, ".stages th bdi")[0], HOSTILE);
    assert!(attributes(&page, ".matrix td[title]", "title")[0].starts_with(HOSTILE));
    // A phase's name also stands in the chart where it has room, here in the list only.
    assert!(texts(&page, ".phases li")[0].starts_with(HOSTILE));
    let short = ReportPhase {
        name: "<b>&".into(),
        first_epoch: 1,
        last_epoch: 2,
        groups: vec![],
    };
    let page = parse(&Report {
        epochs: epochs(2),
        phases: vec![short],
        ..Report::default()
    });
    assert!(texts(&page, "svg text").contains(&"<b>&".to_string()));
}

#[test]
fn control_characters_are_replaced() {
    let report = Report {
        title: "a\0b\u{1b}[31mc\u{85}d".into(),
        ..Report::default()
    };
    assert_eq!(
        texts(&parse(&report), "h1"),
        ["a\u{fffd}b\u{fffd}[31mc\u{fffd}d"]
    );
}

#[test]
fn the_page_refers_to_nothing_outside() {
    let report = full("plain");
    let page = parse(&report);
    assert!(texts(&page, "script, link, iframe, object, embed, base").is_empty());
    let all = select("*");
    let everything = page.select(&all);
    let addresses = everything
        .flat_map(|element| element.value().attrs())
        .filter(|(name, _)| {
            [
                "src",
                "srcset",
                "href",
                "xlink:href",
                "data",
                "action",
                "poster",
            ]
            .contains(name)
        });
    let (links, pictures): (Vec<_>, Vec<_>) = addresses.partition(|(name, _)| *name == "href");
    assert_eq!(pictures.len(), 10);
    assert!(
        pictures
            .iter()
            .all(|(_, address)| address.starts_with("data:image/png;base64,"))
    );
    // Links are to the files that were named, beside the page.
    assert_eq!(links, [("href", "./plain")]);
    let text = report
        .to_html()
        .unwrap()
        .replace("http://www.w3.org/2000/svg", "");
    for reference in ["http", "url(", "@import"] {
        assert!(!text.contains(reference), "{reference}");
    }
}

#[test]
fn the_same_report_gives_the_same_bytes() {
    assert_eq!(
        full("plain").to_html().unwrap(),
        full("plain").to_html().unwrap()
    );
}

#[test]
fn the_matrix_shows_every_count_and_gives_way_to_pairs_beyond_twenty_classes() {
    for (classes, cells) in [(2, 4), (20, 400), (21, 0), (150, 0)] {
        let report = Report {
            classes: Some(results(classes, |index| format!("class {index}"))),
            ..Report::default()
        };
        let page = parse(&report);
        let shown = texts(&page, ".matrix td");
        assert_eq!(shown.len(), cells, "{classes}");
        assert_eq!(texts(&page, "table.keyed tbody tr").len(), classes);
        let pairs = texts(&page, ".rest tbody tr").len();
        assert_eq!(
            pairs,
            (classes - 1).min(if cells > 0 { 10 } else { 30 }),
            "{classes}"
        );
        let says = report.to_html().unwrap().contains(&format!(
            "A confusion matrix of {classes} classes would be too"
        ));
        assert_eq!(says, cells == 0, "{classes}");
        if cells > 0 {
            assert_eq!(shown[..2], ["3", "1"]);
            assert_eq!(shown[cells - 2..], ["·", "4"]);
        }
    }
}

#[test]
fn cells_are_coloured_by_the_share_of_their_row() {
    // 2 of 2 and 40 of 40 look alike; 1 of 2 does not.
    let labels: Vec<u32> = [vec![0; 2], vec![1; 40], vec![2; 2]].concat();
    let predictions: Vec<u32> = [vec![0; 2], vec![1; 40], vec![2, 0]].concat();
    let confusion = ConfusionMatrix::from_pairs(3, &labels, &predictions).unwrap();
    let names = vec!["a".into(), "b".into(), "c".into()];
    let report = Report {
        classes: Some(ClassResults {
            evaluated_on: "val".into(),
            names,
            confusion,
        }),
        ..Report::default()
    };
    let styles = attributes(&parse(&report), ".matrix td[style]", "style");
    assert_eq!(styles.len(), 4);
    assert_eq!(styles[0], styles[1]);
    assert_ne!(styles[0], styles[2]);
    assert_eq!(styles[2], styles[3]);
}

#[test]
fn classes_come_by_recall_and_those_without_samples_last() {
    // Class 1 is never right, class 3 never occurs.
    let confusion =
        ConfusionMatrix::from_pairs(4, &[0, 0, 0, 1, 2, 2], &[0, 0, 2, 0, 2, 2]).unwrap();
    let names = ["bee", "ant", "wasp", "fly"].map(String::from).to_vec();
    let page = parse(&Report {
        classes: Some(ClassResults {
            evaluated_on: "val".into(),
            names,
            confusion,
        }),
        ..Report::default()
    });
    let rows = texts(&page, "table.keyed tbody tr");
    // statsmodels: proportion_confint(2, 3, method="wilson") = 0.2077, 0.9385
    let expected = [
        "ant10.0 %0.0 to 79.3 %–0.0 %",
        "bee366.7 %20.8 to 93.9 %66.7 %66.7 %",
        "wasp2100.0 %34.2 to 100.0 %66.7 %80.0 %",
        "fly0––––",
    ];
    assert_eq!(rows, expected);
    let pairs = texts(&page, ".rest tbody tr");
    assert_eq!(pairs, ["beewasp133.3 %", "antbee1100.0 %"]);
}

#[test]
fn links_are_paths_beside_the_page_whatever_a_file_is_called() {
    let link = |path: &str| {
        let files = vec![FileLink {
            path: path.into(),
            about: String::new(),
        }];
        attributes(
            &parse(&Report {
                files,
                ..Report::default()
            }),
            "a",
            "href",
        )
        .remove(0)
    };
    assert_eq!(link("best/model.safetensors"), "./best/model.safetensors");
    assert_eq!(link("javascript:alert(1)"), "./javascript%3Aalert%281%29");
    assert_eq!(
        link("//elsewhere.org/a b#c?d"),
        ".///elsewhere.org/a%20b%23c%3Fd"
    );
    assert!(
        link(HOSTILE)
            .chars()
            .all(|letter| letter.is_ascii_alphanumeric() || "%./-_~".contains(letter))
    );
}

#[test]
fn names_break_between_their_words_and_keep_their_text() {
    let page = Report {
        classes: Some(results(2, |index| format!("conv_stem.{index}/elephant"))),
        ..Report::default()
    };
    let html = page.to_html().unwrap();
    let page = parse(&page);
    assert!(html.contains("conv_<wbr>stem.<wbr>0/<wbr>elephant"));
    assert!(texts(&page, ".keyed tbody th").contains(&"conv_stem.0/elephant".to_string()));
}

#[test]
fn no_number_breaks_the_page() {
    let values = [
        0.0,
        -0.0,
        5e-324,
        1e-30,
        -3.0,
        1e12,
        1e150,
        -1e150,
        f64::MAX,
        f64::MIN,
        f64::NAN,
        f64::NEG_INFINITY,
    ];
    for first in values {
        for second in values {
            let row = |epoch, value| ReportEpoch {
                epoch,
                learning_rate: Some(value),
                train_loss: Some(value),
                val_loss: Some(-value),
                train_score: Some(value),
                val_score: Some(value / 2.0),
                seconds: Some(value),
            };
            let report = Report {
                epochs: vec![row(1, first), row(usize::MAX, second)],
                learning_rates: [first, second]
                    .map(|learning_rate| RatePoint {
                        epochs: 0.5,
                        learning_rate,
                    })
                    .into(),
                best_epoch: Some(usize::MAX),
                phases: vec![ReportPhase {
                    name: "all".into(),
                    first_epoch: 3,
                    last_epoch: usize::MAX,
                    groups: vec![
                        ReportLayerGroup {
                            parameters: u64::MAX,
                            ..group("a", Some(first))
                        },
                        group("b", Some(second)),
                    ],
                }],
                timings: vec![Timing {
                    name: "all".into(),
                    seconds: first,
                    images_per_second: Some(second),
                }],
                ..Report::default()
            };
            let text = texts(&parse(&report), "body")[0].clone();
            assert!(
                !text.contains("NaN") && !text.contains("inf"),
                "{first} {second}"
            );
        }
    }
    for epoch in [1, 1 << 53, usize::MAX] {
        parse(&Report {
            epochs: vec![ReportEpoch {
                epoch,
                ..epochs(1)[0]
            }],
            ..Report::default()
        });
    }
}

#[test]
fn parts_that_contradict_each_other_are_named() {
    let phase = |first_epoch, last_epoch, groups| ReportPhase {
        name: "head".into(),
        first_epoch,
        last_epoch,
        groups,
    };
    let of = |epochs: &[usize]| {
        epochs
            .iter()
            .map(|&epoch| ReportEpoch {
                epoch,
                ..ReportEpoch::default()
            })
            .collect()
    };
    let at = |epochs: f64| RatePoint {
        epochs,
        learning_rate: 0.1,
    };
    let cases = [
        (
            Report {
                epochs: of(&[0]),
                ..Report::default()
            },
            "`epochs`: found epoch 0, expected a number above 0",
        ),
        (
            Report {
                epochs: of(&[1, 3, 3]),
                ..Report::default()
            },
            "`epochs`: found epoch 3, expected a number above 3",
        ),
        (
            Report {
                epochs: of(&[1]),
                learning_rates: [0.5, 0.25].map(at).into(),
                ..Report::default()
            },
            "`learning_rates`: found 0.25 after 0.5, expected updates in their order",
        ),
        (
            Report {
                best_epoch: Some(4),
                epochs: of(&[1]),
                ..Report::default()
            },
            "`best_epoch`: found 4, expected",
        ),
        (
            Report {
                phases: vec![phase(2, 1, vec![])],
                ..Report::default()
            },
            "`phases`: found `head` from epoch 2 to 1, expected one that begins after epoch 0",
        ),
        (
            Report {
                phases: vec![phase(1, 1, vec![group("a", None), group("a", None)])],
                ..Report::default()
            },
            "`groups`: found `a` twice in phase `head`",
        ),
        (
            Report {
                classes: Some(ClassResults {
                    names: vec!["a".into()],
                    ..results(2, |index| index.to_string())
                }),
                ..Report::default()
            },
            "`names`: found 1 names, expected one for each of 2 classes",
        ),
    ];
    for (report, expected) in cases {
        let error = report.to_html().unwrap_err();
        assert!(matches!(error, Error::Argument(_)));
        assert!(error.to_string().starts_with(expected), "{error}");
    }
}
