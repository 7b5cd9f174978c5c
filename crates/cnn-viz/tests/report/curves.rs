//! The charts: what is drawn where, and what is left out.

use super::*;

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
    // The chart of the filters stands on paper of its own; classes have one colour in their key and
    // in their points.
    let mut report = Report {
        filters: None,
        ..full
    };
    for point in &mut report.sections[0].points.as_mut().unwrap().clouds[0].points {
        point.class = None;
    }
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
