//! The page, read back with an HTML parser: whole and minimal reports, hostile text, bad numbers.
#![allow(clippy::unwrap_used, clippy::panic)]

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
fn regions_are_shown_by_class_with_the_lowest_iou_first() {
    let report = Report {
        score: Some("mIoU".into()),
        epochs: epochs(2),
        regions: Some(regions(3, |index| format!("c{index}"))),
        ..Report::default()
    };
    let page = parse(&report);
    // Of 12 pixels 10 are right. Classes: 3 of 4 found and one taken for the next; the middle one
    // has another's pixel, too, and the last one, which is found whole, has the middle one's.
    let rows = texts(&page, "table.keyed tbody th");
    assert_eq!(rows, ["c1", "c0", "c2"]);
    let cells = texts(&page, "table.keyed tbody tr:first-child td");
    // IoU 3 of 3 + 1 + 1, Dice 6 of 8.
    assert_eq!(cells[0], "33.3 %");
    assert_eq!(cells[1], "60.0 %");
    assert_eq!(&cells[3..], ["75.0 %", "75.0 %", "75.0 %"]);
    let last = texts(&page, "table.keyed tbody tr:last-child td");
    assert_eq!(last[1], "80.0 %");
    assert_eq!(&last[4..], ["100.0 %", "80.0 %"]);
    // Cells are shares of the row; titles have the pixels.
    assert_eq!(
        texts(&page, "table.matrix tbody tr:first-child td"),
        ["75", "25", "·"]
    );
    let titles = attributes(&page, "table.matrix td[title]", "title");
    assert_eq!(titles[1], "c0 taken for c1: 1 pixels, 25.0\u{a0}%");
    let text = texts(&page, "section > p").join(" ");
    assert!(text.contains("mean IoU of the classes 71.7 %"), "{text}");
    assert!(text.contains("83.3 % of 12 pixels right"), "{text}");
    assert!(text.contains("3 pixels of no class are left out"), "{text}");
    // The curve has the score's name.
    let titles = texts(&page, "figure.chart h3");
    assert!(titles.contains(&"mIoU".to_string()), "{titles:?}");
    let columns = texts(&page, "details th");
    assert!(columns.contains(&"val mIoU".to_string()), "{columns:?}");
}

#[test]
fn photos_stand_with_their_masks_and_the_colors_of_the_classes() {
    let image = Image::from_pixels(6, 8, 3, vec![90; 6 * 8 * 3]).unwrap();
    let photo = SegmentedPhoto {
        path: "a/b.png".into(),
        caption: "mIoU 0.410".into(),
        photo: image.clone(),
        truth: image.clone(),
        prediction: image.clone(),
        errors: image,
    };
    let empty = MaskGroup {
        title: "nothing to see".into(),
        ..MaskGroup::default()
    };
    let group = MaskGroup {
        title: "Worst images".into(),
        legend: vec![("sky".into(), [10, 20, 30])],
        photos: vec![photo],
        ..MaskGroup::default()
    };
    let report = Report {
        masks: vec![empty, group],
        ..Report::default()
    };
    let page = parse(&report);
    assert!(!report.to_html().unwrap().contains("nothing to see"));
    let captions = texts(&page, ".masks figcaption");
    assert_eq!(captions, ["photo", "truth", "prediction", "errors"]);
    let alternatives = attributes(&page, ".masks img", "alt");
    assert_eq!(alternatives[3], "errors of a/b.png");
    assert_eq!(texts(&page, ".swatches span"), ["sky"]);
    let colors = attributes(&page, ".swatches i", "style");
    assert_eq!(colors, ["background: rgb(10 20 30)"]);
}

#[test]
fn there_are_as_many_names_as_classes_of_pixels() {
    let mut results = regions(3, |index| format!("c{index}"));
    results.names.pop();
    let report = Report {
        regions: Some(results),
        ..Report::default()
    };
    let error = report.to_html().unwrap_err();
    assert!(matches!(error, Error::Argument { .. }), "{error}");
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

/// Centres of the circles of the first chart, of this radius.
fn circles(page: &Html, radius: &str) -> Vec<(i32, i32)> {
    let circle = |name: &str| {
        attributes(
            page,
            &format!(".chart:first-child circle[r='{radius}']"),
            name,
        )
    };
    circle("cx")
        .iter()
        .zip(circle("cy"))
        .map(|(x, y)| (x.parse().unwrap(), y.parse().unwrap()))
        .collect()
}

#[test]
fn points_stand_where_their_values_are_and_the_best_is_ringed() {
    let loss = [2.0, 1.0, 0.5];
    let row = |index: usize| ReportEpoch {
        epoch: index + 1,
        val_loss: Some(loss[index]),
        ..ReportEpoch::default()
    };
    let page = parse(&Report {
        epochs: (0..3).map(row).collect(),
        best_epoch: Some(3),
        ..Report::default()
    });
    let points = circles(&page, "12");
    assert_eq!(points.len(), 3);
    assert_eq!(points[1].0 - points[0].0, points[2].0 - points[1].0);
    // Downwards in steps of 1 and 0.5, to a pixel's rounding.
    let first = points[1].1 - points[0].1;
    let second = points[2].1 - points[1].1;
    assert!(first > 0 && (first - 2 * second).abs() <= 2, "{points:?}");
    assert_eq!(circles(&page, "28"), [points[2]]);
    assert!(texts(&page, ".chart .key").contains(&"kept: epoch 3".to_string()));
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

/// The points of the lines of the chart with this title, in view box units.
fn line(page: &Html, title: &str) -> Vec<(f64, f64)> {
    let chart = select("figure.chart");
    let is_titled =
        |chart: &scraper::ElementRef| chart.select(&select("h3")).any(|h3| h3.text().eq([title]));
    let chart = page.select(&chart).find(is_titled).unwrap();
    let curve = chart
        .select(&select("polyline[stroke=\"#0072B2\"]"))
        .next()
        .unwrap()
        .value()
        .attr("points")
        .unwrap();
    let number = |text: &str| text.parse::<f64>().unwrap();
    curve
        .split_whitespace()
        .map(|point| {
            point
                .split_once(',')
                .map(|(x, y)| (number(x), number(y)))
                .unwrap()
        })
        .collect()
}

#[test]
fn the_learning_rate_is_drawn_update_by_update() {
    // A warm-up over the first 20 of 20,000 updates, a spike in a later one.
    let rate = |update: usize| match update {
        0..20 => 0.1 * update as f64 / 20.,
        15_000 => 0.2,
        update => 0.1 * (1. - update as f64 / 20_000.),
    };
    let report = Report {
        epochs: epochs(4),
        learning_rates: rates(4, 5_000, rate),
        ..Report::default()
    };
    let page = parse(&report);
    let points = line(&page, "Learning rate");
    assert!((100..450).contains(&points.len()), "{}", points.len());
    assert!(points.is_sorted_by(|a, b| a.0 <= b.0), "from left to right");
    let highest = points
        .iter()
        .copied()
        .min_by(|a, b| a.1.total_cmp(&b.1))
        .unwrap();
    let left = points[0].0;
    let right = points[points.len() - 1].0;
    assert!(
        ((highest.0 - left) / (right - left) - 0.75).abs() < 0.01,
        "the spike is at three quarters"
    );
    // It begins at 0, where the axis does, and the warm-up is there.
    let lowest = points.iter().map(|point| point.1).fold(0., f64::max);
    assert_eq!(points[0].1, lowest);
    assert!(points[1].1 < points[0].1);
    // In the table rates have three digits; without updates the epochs' rates are drawn.
    let table = parse(&Report {
        epochs: vec![ReportEpoch {
            learning_rate: Some(0.0992656),
            ..epochs(1)[0]
        }],
        ..Report::default()
    });
    assert!(texts(&table, "details td").contains(&"0.0993".to_string()));
    assert_eq!(
        line(
            &parse(&Report {
                epochs: epochs(4),
                ..Report::default()
            }),
            "Learning rate"
        )
        .len(),
        4
    );
}

#[test]
fn what_the_losses_differ_by_stands_at_their_chart_alone() {
    let report = Report {
        epochs: epochs(3),
        loss_note: Some("smoothed".into()),
        ..Report::default()
    };
    assert_eq!(texts(&parse(&report), ".chart > p"), ["smoothed"]);
    assert_eq!(
        texts(&parse(&report), ".chart:first-child > p"),
        ["smoothed"]
    );
}

#[test]
fn calibration_is_drawn_with_the_number_of_images_of_each_bar() {
    let page = parse(&Report {
        calibration: Some(reliability()),
        ..Report::default()
    });
    let sentence = &texts(&page, "section > p")[0];
    // (2 · |0.5 − 0.65| + 2000 · |1 − 0.95|) / 2002 = 5.01 %
    for told in [
        "Of 2,002 answers 100.0 % are right",
        "95.0 % sure",
        "right more often",
        "calibration error: 5.0 %",
    ] {
        assert!(sentence.contains(told), "{told}: {sentence}");
    }
    let rows = [
        "60.0 to 70.0 %265.0 %50.0 %",
        "90.0 to 100.0 %2,00095.0 %100.0 %",
    ];
    assert_eq!(texts(&page, "details tbody tr"), rows);
    let labels = texts(&page, "svg text");
    assert!(
        labels.contains(&"2".into()) && labels.contains(&"2k".into()),
        "{labels:?}"
    );
    // The bar of all right ones is twice as high as that of the half.
    let bar = |name: &str| -> Vec<f64> {
        attributes(&page, "svg rect[fill=\"#0072B2\"]", name)
            .iter()
            .map(|number| number.parse().unwrap())
            .collect()
    };
    let heights = bar("height");
    assert_eq!(heights.len(), 2);
    assert!((heights[1] / heights[0] - 2.).abs() < 0.02, "{heights:?}");
    let empty = Report {
        calibration: Some(Reliability::new(10).unwrap()),
        ..Report::default()
    };
    assert!(texts(&parse(&empty), "section").is_empty());
}

#[test]
fn a_dark_page_gives_every_colour_of_its_charts_another() {
    let full = full("plain");
    // The chart of the filters stands on paper of its own.
    let report = Report {
        filters: None,
        ..full
    };
    let page = parse(&report);
    let sheet = texts(&page, "style").remove(0);
    let dark = sheet.split("prefers-color-scheme: dark").nth(1).unwrap();
    let mut colors = std::collections::BTreeSet::new();
    for attribute in ["fill", "stroke"] {
        for color in attributes(&page, &format!(".chart svg [{attribute}]"), attribute) {
            if color != "none" {
                assert!(
                    dark.contains(&format!("svg [{attribute}=\"{color}\"]")),
                    "{attribute} {color}"
                );
                colors.insert(color);
            }
        }
    }
    assert!(colors.len() >= 5, "{colors:?}");
}

#[test]
fn phases_are_bands_with_a_boundary_between_them() {
    let phases = |first: &str, second: &str| {
        let phase = |name: &str, first_epoch, last_epoch| ReportPhase {
            name: name.into(),
            first_epoch,
            last_epoch,
            groups: vec![],
        };
        vec![phase(first, 1, 3), phase(second, 4, 12)]
    };
    let report = Report {
        epochs: epochs(12),
        phases: phases("head", "all layers"),
        ..Report::default()
    };
    let page = parse(&report);
    let labels = texts(&page, ".chart:first-child svg text");
    assert!(
        labels.contains(&"head".into()) && labels.contains(&"all layers".into()),
        "{labels:?}"
    );
    assert_eq!(
        texts(&page, ".phases li"),
        ["head, epochs 1 to 3", "all layers, epochs 4 to 12"]
    );
    // The second band begins between the points of epochs 3 and 4.
    let left: i32 = attributes(&page, ".chart:first-child rect", "x")[0]
        .parse()
        .unwrap();
    let points = circles(&page, "12");
    assert!(
        points[2].0 < left && left < points[3].0,
        "{left} {points:?}"
    );

    let report = Report {
        phases: phases(
            "a name that is much too long for three epochs",
            "all layers",
        ),
        ..report
    };
    let labels = texts(&parse(&report), ".chart:first-child svg text");
    assert!(
        labels.contains(&"2".into()) && !labels.contains(&"all layers".into()),
        "{labels:?}"
    );
}

#[test]
fn filters_that_do_nothing_are_listed_and_drawn() {
    let page = |layers, found| {
        parse(&Report {
            filters: Some(filters("conv", layers, found)),
            ..Report::default()
        })
    };
    // Few layers are all listed.
    let few = page(3, 2);
    let rows = [
        "conv0641–1–50.0 %1,2345,678",
        "conv1641–1–50.0 %1,2345,678",
        "conv264––––50.0 %1,2345,678",
    ];
    assert_eq!(texts(&few, ".filters tbody tr"), rows);
    assert_eq!(
        texts(&few, ".filters tfoot td"),
        ["192", "2", "–", "2", "–", "", "1,234", "5,678"]
    );
    let sentence = &texts(&few, "section p")[0];
    let claim = "On 1,500 images (conv) 4 of 192 filters do nothing.";
    assert!(
        sentence.starts_with(claim) && sentence.contains("more than 2.5e-6"),
        "{sentence}"
    );
    assert_eq!(texts(&few, ".stages tbody tr"), ["conv829 × 11"]);
    // The ground, the legend, a bar for each layer, and two marks in each of the first two.
    assert_eq!(texts(&few, ".filter-chart rect").len(), 1 + 4 + 3 + 4);
    assert!(texts(&few, ".filter-chart text").contains(&"2 of 64".to_string()));
    // Of many, those with findings.
    let many = page(150, 2);
    assert_eq!(texts(&many, ".filters tbody tr").len(), 2);
    assert!(
        texts(&many, "section p.small")
            .iter()
            .any(|text| text.contains("In 148 other layers nothing was found"))
    );
    assert_eq!(texts(&many, ".filter-chart rect").len(), 1 + 4 + 150 + 4);
    // Of none a sentence.
    let none = page(150, 0);
    assert!(texts(&none, ".filters, .filter-chart").is_empty());
    assert!(texts(&none, "section p")[0].contains("none of the 9,600 filters is dead"));
}

#[test]
fn how_far_filters_do_nothing_on_other_images_is_said_and_drawn() {
    let sentences = |about: FilterReport| {
        let page = parse(&Report {
            filters: Some(about),
            ..Report::default()
        });
        (texts(&page, "section p"), page)
    };
    let (shown, page) = sentences(filters("conv", 3, 2));
    let tried = "The same claim from 1,200 images of these names 40 filters. On the other 300 images, from which it was not made, 3 (7.5 %) do something, and removing all 40 changes a class score by up to 0.25.";
    let expected = "All 4 filters give one and the same number everywhere; 2 others do something on a single image only. More images would leave about 3 on 3,000 images and 2 on 15,000 images.";
    assert!(
        shown.contains(&tried.to_string()) && shown.contains(&expected.to_string()),
        "{shown:?}"
    );
    let rows = select(".rarefied tbody tr");
    let rows: Vec<String> = page
        .select(&rows)
        .map(|row| row.text().collect::<Vec<_>>().join(": "))
        .collect();
    assert_eq!(
        rows,
        ["16: 90", "32: 60", "1,500: 4", "3,000: 3", "15,000: 2"]
    );
    assert_eq!(texts(&page, ".rarefied .estimate").len(), 2);
    // A dot for each point, each as far to the right as the logarithm of its images and as high as
    // its filters.
    let of_dots = |name: &str| -> Vec<f64> {
        attributes(&page, ".rarefaction circle", name)
            .iter()
            .map(|place| place.parse().unwrap())
            .collect()
    };
    // The estimate is drawn first.
    let x = of_dots("cx");
    let y = of_dots("cy");
    assert_eq!(x.len(), 5);
    let right = |one: usize, other: usize| (x[other] - x[one]) / (x[3] - x[2]);
    assert!(
        (right(0, 1) - 5f64.log2()).abs() < 0.02 && (right(4, 0) - 1.).abs() < 0.02,
        "{x:?}"
    );
    assert!(
        ((y[4] - y[2]) / (y[3] - y[2]) - (90.4 - 4.) / (90.4 - 60.)).abs() < 0.02,
        "{y:?}"
    );

    let about = |held_out| FilterReport {
        held_out,
        ..filters("conv", 3, 2)
    };
    let said = |held_out, expected: &str| {
        let (shown, _) = sentences(about(held_out));
        assert!(
            shown.iter().any(|text| text.contains(expected)),
            "{expected}: {shown:?}"
        );
    };
    said(
        None,
        "too few images, fewer than 10, to try this on some from which it was not made",
    );
    let held_out = filters("conv", 3, 2).held_out.unwrap();
    let none = HeldOut {
        contradicted: 0,
        max_logit_change: 0.,
        ..held_out
    };
    said(
        Some(none),
        "none does anything, and removing all 40 changes no class score.",
    );
    said(
        Some(HeldOut { claimed: 0, ..none }),
        "On 1,200 images of these alone no filter does nothing",
    );
}

#[test]
fn a_curve_of_one_point_is_not_drawn() {
    let one = Rarefaction {
        counted: vec![RarefactionPoint {
            images: 1,
            filters: 2.,
        }],
        ..filters("conv", 3, 2).rarefaction
    };
    for estimated in [
        vec![],
        vec![RarefactionPoint {
            images: 1,
            filters: f64::NAN,
        }],
    ] {
        let rarefaction = Rarefaction {
            estimated,
            ..one.clone()
        };
        let about = FilterReport {
            images: 1,
            rarefaction,
            ..filters("conv", 3, 2)
        };
        let page = parse(&Report {
            filters: Some(about),
            ..Report::default()
        });
        assert!(texts(&page, "section p")[0].starts_with("On 1 image (conv)"));
        assert!(texts(&page, ".rarefaction, .rarefied").is_empty());
    }
}

#[test]
fn a_mark_stands_where_its_channel_is() {
    let svg = filters("conv", 1, 1).to_svg().unwrap();
    let page = Html::parse_fragment(&svg);
    let rects = |name: &str| -> Vec<f64> {
        attributes(&page, "rect", name)
            .iter()
            .map(|number| number.parse().unwrap())
            .collect()
    };
    let left = rects("x");
    let width = rects("width");
    let bar = 5;
    let marks = [(6, 3.), (7, 40.)];
    for (mark, channel) in marks {
        assert!(
            (left[mark] - left[bar] - width[bar] * channel / 64.).abs() <= 1.,
            "{left:?}"
        );
        assert!((width[mark] - width[bar] / 64.).abs() <= 1., "{width:?}");
    }
}

#[test]
fn values_that_cannot_be_drawn_are_left_out_and_counted() {
    let values = [1.0, f64::NAN, f64::INFINITY, 0.5, f64::MAX];
    let row = |(index, &value): (usize, &f64)| ReportEpoch {
        epoch: index + 1,
        train_loss: Some(value),
        ..ReportEpoch::default()
    };
    let report = Report {
        epochs: values.iter().enumerate().map(row).collect(),
        ..Report::default()
    };
    let page = parse(&report);
    assert_eq!(circles(&page, "12").len(), 2);
    assert_eq!(
        texts(&page, ".chart p"),
        ["3 values are not finite or too large to draw."]
    );
    let nothing = ReportEpoch {
        epoch: 1,
        train_loss: Some(f64::NAN),
        ..ReportEpoch::default()
    };
    assert!(
        texts(
            &parse(&Report {
                epochs: vec![nothing],
                ..Report::default()
            }),
            "svg"
        )
        .is_empty()
    );
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
