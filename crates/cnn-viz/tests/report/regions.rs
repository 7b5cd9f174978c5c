//! Regions: the classes of pixels, and photos with their masks.

use super::*;

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
