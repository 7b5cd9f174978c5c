//! Objects that are found by their boxes, and photos with these.

use super::*;

fn report(results: DetectionResults) -> Report {
    Report {
        detections: Some(results),
        ..Report::default()
    }
}

fn of_classes(classes: usize) -> DetectionResults {
    detections(classes, |index| format!("c{index}"))
}

#[test]
fn the_averages_stand_with_what_they_mean() {
    let page = parse(&report(of_classes(3)));
    let sentence = &texts(&page, "section > p")[0];
    assert_eq!(sentence, "val: 4 detections for 4 objects in 1 images.");
    // Class 0: precision 1 up to a recall of a half and 2/3 from there on, at every IoU: 83.5 %, of
    // which the mean with the 0 of class 1 is half. With one detection a half of it is found, with
    // ten all.
    let names = texts(&page, ".averages th");
    let values = texts(&page, ".averages td:nth-child(2)");
    let expected = [
        ("AP", "41.7 %"),
        ("AP50", "41.7 %"),
        ("AP75", "41.7 %"),
        ("AP small", "–"),
        // Of class 0 the wrong detection comes before the right one.
        ("AP medium", "25.0 %"),
        ("AP large", "100.0 %"),
        ("AR1", "25.0 %"),
        ("AR10", "50.0 %"),
        ("AR100", "50.0 %"),
    ];
    assert_eq!(names, expected.map(|(name, _)| name));
    assert_eq!(values, expected.map(|(_, value)| value));
    let meanings = texts(&page, ".averages td.name");
    assert!(meanings[2].contains("0.75"), "{meanings:?}");
    assert!(meanings[5].contains("96²"), "{meanings:?}");
}

#[test]
fn scores_are_drawn_and_the_highest_f1_is_ringed() {
    let page = parse(&report(of_classes(3)));
    let key = texts(&page, ".chart .key");
    assert_eq!(
        key,
        [
            "precision",
            "recall",
            "F1",
            "highest F1: 57.1 % at a score of 0.6"
        ]
    );
    let looks = attributes(&page, ".chart .key i", "class");
    assert_eq!(
        looks,
        ["vermilion dashed", "blue dotted", "ink solid", "best"]
    );
    // From 0 to 1 whatever the scores.
    let labels = texts(&page, ".chart svg text");
    for label in ["0", "0.2", "0.6", "1", "score"] {
        assert!(labels.contains(&label.to_string()), "{label}: {labels:?}");
    }
    // F1 is 2/4, 2/6, 4/7 and 4/8 at 0.9, 0.8, 0.6 and 0.4; the left of four dots is that at 0.4.
    let dots = |color: &str, name: &str| -> Vec<f64> {
        let selector = format!(".chart circle[r='12'][fill='{color}']");
        let places = attributes(&page, &selector, name);
        places.iter().map(|place| place.parse().unwrap()).collect()
    };
    let [x, y] = ["cx", "cy"].map(|name| dots("#333F4D", name));
    assert_eq!(x.len(), 4);
    assert!(((x[3] - x[0]) / (x[1] - x[0]) - 2.5).abs() < 0.02, "{x:?}");
    let height = |f1: f64| (f1 - 1. / 3.) / (4. / 7. - 1. / 3.);
    for (dot, f1) in [(0, 0.5), (3, 0.4)] {
        let drawn = (y[2] - y[dot]) / (y[2] - y[1]);
        assert!((drawn - height(f1)).abs() < 0.02, "{y:?}");
    }
    let ring = ["cx", "cy"].map(|name| attributes(&page, ".chart circle[r='28']", name)[0].clone());
    assert_eq!(ring, [x[1], y[1]].map(|place| place.to_string()));
    // Recall falls from the left to the right, precision here rises to 1.
    let recall = dots("#0072B2", "cy");
    assert!(recall.is_sorted(), "{recall:?}");
    let precision = dots("#D55E00", "cy");
    assert!(precision[3] < precision[1], "{precision:?}");
}

#[test]
fn scores_are_told_as_numbers() {
    let page = parse(&report(of_classes(3)));
    let rows = [
        "0.450.0 %50.0 %50.0 %",
        "0.666.7 %50.0 %57.1 %",
        "0.850.0 %25.0 %33.3 %",
        "0.9100.0 %25.0 %40.0 %",
    ];
    assert_eq!(texts(&page, "details tbody tr"), rows);
    assert_eq!(texts(&page, "details tr.chosen"), [rows[1]]);
    // The mean of 80.0 % and 0.
    let text = texts(&page, "section p").join(" ");
    assert!(
        text.contains("The mean F1 of the classes is highest, 40.0 %, at a score of 0.6."),
        "{text}"
    );
}

#[test]
fn scores_beyond_one_are_drawn() {
    let mut results = of_classes(2);
    for point in &mut results.result.curves.overall.points {
        point.score = 10. * point.score - 6.;
    }
    let page = parse(&report(results));
    let labels = texts(&page, ".chart svg text");
    for label in ["-2", "0", "3"] {
        assert!(labels.contains(&label.to_string()), "{label}: {labels:?}");
    }
}

#[test]
fn the_matrix_ends_with_background_and_the_pairs_are_of_classes() {
    let page = parse(&report(of_classes(3)));
    let rows = texts(&page, ".matrix tbody tr");
    assert_eq!(rows, ["c02···", "c11··1", "c2····", "background·1··"]);
    let heads = texts(&page, ".matrix thead th");
    assert_eq!(heads[1..], ["c0", "c1", "c2", "background"]);
    // A half of the objects of class 1, of which the other half is not found.
    assert_eq!(texts(&page, ".rest tbody tr"), ["c1c0150.0 %"]);
    let told = texts(&page, ".rest > p").join(" ");
    assert!(
        told.contains("not found: 1. Detections where nothing is: 1."),
        "{told}"
    );
    assert!(told.contains("a score of 0.25 or higher"), "{told}");
    // Twenty classes and background have a matrix.
    for (classes, cells) in [(20, 21 * 21), (21, 0)] {
        let page = parse(&report(of_classes(classes)));
        assert_eq!(texts(&page, ".matrix td").len(), cells);
        let told = texts(&page, ".rest > p").join(" ");
        let says = told.contains("A confusion matrix of 21 classes would be too small");
        assert_eq!(says, cells == 0, "{told}");
    }
}

#[test]
fn errors_stand_by_kind_with_what_they_cost() {
    let page = parse(&report(of_classes(3)));
    // Called by its class, the second detection is right: class 0 is without an error, and one half
    // of class 1 is found (51 of 101 recalls). What the others cost is hidden behind it.
    let expected = [
        "wrong class 1 33.5 %",
        "wrong place 0 0.0 %",
        "both wrong 0 0.0 %",
        "found twice 0 0.0 %",
        "nothing there 1 0.0 %",
        "missed 1 0.0 %",
    ];
    let columns = ["th", "td:nth-child(3)", "td:nth-child(4)"]
        .map(|cell| texts(&page, &format!(".errors tbody {cell}")));
    let rows: Vec<String> = (0..expected.len())
        .map(|row| {
            columns
                .each_ref()
                .map(|column| column[row].clone())
                .join(" ")
        })
        .collect();
    assert_eq!(rows, expected);
}

#[test]
fn classes_of_objects_come_by_average_precision_and_those_without_objects_last() {
    let page = parse(&report(of_classes(4)));
    let expected = [
        "c120.0 %0.0 %0.0 %0.0 %0.0 %0.4",
        "c0283.5 %83.5 %83.5 %100.0 %80.0 %0.6",
        "c20––––––",
        "c30––––––",
    ];
    assert_eq!(texts(&page, ".objects tbody tr"), expected);
    assert_eq!(
        texts(&page, ".objects tfoot tr"),
        ["mean of the classes441.7 %41.7 %41.7 %50.0 %40.0 %0.6"]
    );
    let bars = attributes(&page, ".objects .bar i", "style");
    assert_eq!(bars, ["left: 0; width: 0.0%", "left: 0; width: 83.5%"]);
}

#[test]
fn without_objects_or_detections_there_are_dashes_and_no_chart() {
    let mut metrics = DetectionMetrics::new(2).unwrap();
    metrics.update(&[], &[]).unwrap();
    let nothing = DetectionResults {
        result: metrics.result().unwrap(),
        ..of_classes(2)
    };
    let page = parse(&report(nothing));
    assert_eq!(texts(&page, ".averages td:nth-child(2)"), ["–"; 9]);
    assert_eq!(texts(&page, ".errors td:nth-child(4)"), ["–"; 6]);
    assert_eq!(
        texts(&page, ".objects tr"),
        [
            "classobjectsAPAP50AP75AR100highest F1at score",
            "c00––––––",
            "c10––––––",
            "mean of the classes0––––––"
        ]
    );
    assert!(texts(&page, "svg, details").is_empty());
    assert!(!texts(&page, "body")[0].contains("NaN"));
}

#[test]
fn there_are_as_many_names_as_classes_of_objects() {
    for names in [0, 1, 3] {
        let results = DetectionResults {
            names: vec!["a".into(); names],
            ..of_classes(2)
        };
        let error = report(results).to_html().unwrap_err();
        assert!(matches!(error, Error::Argument(_)));
        assert_eq!(
            error.to_string(),
            format!("`names`: found {names} names, expected one for each of 2 classes")
        );
    }
}

#[test]
fn photos_stand_with_their_boxes_at_a_size_at_which_words_are_read() {
    let photo = |height, width| Image::from_pixels(height, width, 3, vec![90; height * width * 3]);
    let boxed = BoxedPhoto {
        path: "a/b.png".into(),
        caption: "2 of 3 objects found".into(),
        truth: photo(300, 960).unwrap(),
        prediction: photo(60, 80).unwrap(),
    };
    let empty = BoxGroup {
        title: "nothing to see".into(),
        ..BoxGroup::default()
    };
    let group = BoxGroup {
        title: "Worst photos".into(),
        note: Some("Dashed: missed and false ones.".into()),
        photos: vec![boxed],
    };
    let report = Report {
        boxes: vec![empty, group],
        ..Report::default()
    };
    let page = parse(&report);
    assert_eq!(texts(&page, "h2"), ["Worst photos"]);
    assert_eq!(
        texts(&page, "section > p"),
        [
            "Dashed: missed and false ones.",
            "2 of 3 objects found · a/b.png"
        ]
    );
    assert_eq!(texts(&page, ".boxes figcaption"), ["truth", "prediction"]);
    let of_pictures = |name| attributes(&page, ".boxes img", name);
    assert_eq!(of_pictures("width"), ["480", "80"]);
    assert_eq!(of_pictures("height"), ["150", "60"]);
    assert_eq!(
        of_pictures("alt"),
        ["truth of a/b.png", "prediction of a/b.png"]
    );
}
