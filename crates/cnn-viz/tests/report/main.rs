//! The page, read back with an HTML parser: whole and minimal reports, hostile text, bad numbers.
#![allow(clippy::unwrap_used, clippy::panic)]

mod curves;
mod detections;
mod filters;
mod fixture;
mod regions;
mod robustness;
mod sections;

use cnn_data::{Image, Skipped};
use cnn_metrics::{
    Bootstrap, ConfusionMatrix, DetectedBox, DetectionMetrics, GroundTruthBox, Rect, Reliability,
    SegmentationMetrics,
};
use cnn_viz::{
    AttackRow, AttackedPicture, BoxGroup, BoxedPhoto, ClassResults, CloudPoint, DataPart,
    DetectionResults, EpochChart, EpochCurve, Error, Fact, FileLink, FilterCounts, FilterKind,
    FilterLayer, FilterReport, HeldOut, ImagePrediction, ImageStrip, MaskGroup, NormStatistics,
    PictureGroup, PointCloud, PointClouds, Rarefaction, RarefactionPoint, RatePoint,
    ReceptiveField, RegionResults, Report, ReportEpoch, ReportFreezeProof, ReportLayerGroup,
    ReportNextStep, ReportPhase, ReportSection, ReportTable, RobustnessResults, Savings, ScoreGrid,
    ScoreGridRow, SegmentedPhoto, SizePoint, Spread, StageField, StripRow, TableColumn, Timing,
    Totals, WeightStatistics,
};
use fixture::*;
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

#[test]
fn every_part_has_its_section() {
    let page = parse(&full("plain"));
    let headings = [
        "Curves",
        "Methods plain",
        "Classes",
        "Classes",
        "Worst images plain",
        "Objects",
        "Worst photos plain",
        "Calibration",
        "Under attack",
        "Accuracy under corruptions plain",
        "Worst mistakes plain",
        "The same images plain",
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
        [
            "Loss",
            "Plain",
            "Learning rate",
            "Time",
            "plain",
            "plain",
            "By score",
            "Reliability",
            "Accuracy over the size",
            "Certified accuracy over the radius"
        ]
    );
    assert_eq!(texts(&page, "title"), ["plain"]);
    assert_eq!(texts(&page, ".byline, .result"), ["plain", "plain"]);
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
    assert_eq!(
        texts(&page, ".grid td"),
        ["plain", "75.0", "50.0", "62.5", "75.0", "50.0", "62.5"]
    );
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
        classes: vec![nothing_counted],
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
        ".result",
        ".swatches .key + span bdi",
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
    assert_eq!(texts(&page, ".objects th bdi")[0], format!("{HOSTILE}1"));
    assert_eq!(
        attributes(&page, ".boxes img", "alt")[0],
        format!("truth of {HOSTILE}")
    );
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
    assert_eq!(pictures.len(), 20);
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
            classes: vec![results(classes, |index| format!("class {index}"))],
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
        classes: vec![ClassResults {
            evaluated_on: "val".into(),
            names,
            confusion,
        }],
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
        classes: vec![ClassResults {
            evaluated_on: "val".into(),
            names,
            confusion,
        }],
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
        classes: vec![results(2, |index| format!("conv_stem.{index}/elephant"))],
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
                classes: vec![ClassResults {
                    names: vec!["a".into()],
                    ..results(2, |index| index.to_string())
                }],
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
