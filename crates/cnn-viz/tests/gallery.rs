//! The page of explained photos, read back with an HTML parser.
#![allow(clippy::unwrap_used, clippy::panic)]

use cnn_data::Image;
use cnn_viz::{ColorMap, ExplainedOverlay, ExplainedPhoto, Gallery, Trust, TrustCheck};
use scraper::{Html, Selector};

const HOSTILE: &str = "<script>alert(1)</script>\"><img src=x onerror='alert(2)'>&amp;{{ 7 }}";

fn image() -> Image {
    Image::from_pixels(6, 8, 3, (0..144).map(|at| at as u8).collect()).unwrap()
}

/// A map of this title that the checks found to be so: insertion, deletion, ROAD, and correlations.
fn overlay(
    title: &str,
    [insertion_auc, deletion_auc, road]: [f64; 3],
    correlations: [f64; 3],
) -> ExplainedOverlay {
    let names = ["head", "tail and head", "all layers"];
    let randomization = names
        .iter()
        .zip(correlations)
        .map(|(name, value)| (name.to_string(), value))
        .collect();
    ExplainedOverlay {
        title: title.into(),
        image: image(),
        colors: ColorMap::Sequential,
        file: Some(format!("{title}.png")),
        completeness_gap: None,
        trust: Some(Trust {
            insertion_auc,
            deletion_auc,
            road,
            randomization,
        }),
    }
}

fn photo(name: &str, overlays: Vec<ExplainedOverlay>) -> ExplainedPhoto {
    let classes = vec![(name.to_string(), 0.75)];
    ExplainedPhoto {
        path: name.into(),
        image: image(),
        classes,
        target: name.into(),
        overlays,
    }
}

fn parse(photos: Vec<ExplainedPhoto>) -> Html {
    let gallery = Gallery {
        title: "maps".into(),
        byline: Some("cnn, today".into()),
        photos,
        ..Gallery::default()
    };
    let page = Html::parse_document(&gallery.to_html().unwrap());
    assert_eq!(page.errors, Vec::<String>::new());
    page
}

fn texts(page: &Html, selector: &str) -> Vec<String> {
    let selector = Selector::parse(selector).unwrap();
    let selected = page
        .select(&selector)
        .map(|element| element.text().collect::<String>());
    selected
        .map(|text| text.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect()
}

fn attributes(page: &Html, selector: &str, name: &str) -> Vec<String> {
    let selector = Selector::parse(selector).unwrap();
    page.select(&selector)
        .map(|element| element.value().attr(name).unwrap().to_string())
        .collect()
}

#[test]
fn a_map_that_fails_is_marked_and_says_by_which_rule() {
    let good = overlay("Grad-CAM", [0.66, 0.11, 0.37], [-0.05, 0.1, 0.2]);
    let bad = overlay("guided", [0.8, 0.09, 0.42], [0.56, 0.3, 0.65]);
    let page = parse(vec![photo("star", vec![good, bad])]);
    assert_eq!(texts(&page, ".byline"), ["cnn, today"]);
    // One badge, on the picture of the map that fails.
    assert_eq!(texts(&page, ".badge"), ["fails: random weights"]);
    assert_eq!(
        attributes(&page, ".marked:has(.badge) img", "alt"),
        ["guided over the photo"]
    );
    let verdicts = texts(&page, ".verdicts li");
    assert_eq!(verdicts.len(), 6);
    assert_eq!(
        verdicts[5],
        "random weights: fails it stays much the same with random weights in head (0.56) and all layers (0.65)"
    );
    assert_eq!(texts(&page, ".verdicts li.failed").len(), 1);
    // The table names what was randomised, and marks the numbers that are at fault.
    let heads = [
        "insertion",
        "deletion",
        "ROAD",
        "head",
        "tail and head",
        "all layers",
        "verdict",
    ];
    let shown = texts(&page, ".checks thead th");
    assert!(
        heads.iter().all(|head| shown.contains(&head.to_string())),
        "{shown:?}"
    );
    let rows = [
        "Grad-CAM0.660.110.37-0.050.100.20passes",
        "guided0.800.090.420.560.300.65fails: random weights",
    ];
    assert_eq!(texts(&page, ".checks tbody tr"), rows);
    assert_eq!(
        texts(&page, ".checks td.failed"),
        ["0.56", "0.65", "fails: random weights"]
    );
    let rules: Vec<String> = TrustCheck::ALL.iter().map(|check| check.rule()).collect();
    assert_eq!(
        texts(&page, ".rules dd"),
        rules
            .iter()
            .map(|rule| rule.split_whitespace().collect::<Vec<_>>().join(" "))
            .collect::<Vec<_>>()
    );
}

#[test]
fn without_checks_there_are_no_rules_and_no_verdicts() {
    let unchecked = ExplainedOverlay {
        trust: None,
        ..overlay("Grad-CAM", [0.; 3], [0.; 3])
    };
    let page = parse(vec![photo("star", vec![unchecked])]);
    assert!(texts(&page, ".rules, .verdicts, .checks, .badge").is_empty());
    assert_eq!(texts(&page, "figcaption > b"), ["photo", "Grad-CAM"]);
}

#[test]
fn rows_of_pictures_are_full() {
    let layout = |maps: usize| {
        let overlays = (0..maps)
            .map(|_| overlay("map", [0.6, 0.1, 0.3], [0.; 3]))
            .collect();
        attributes(&parse(vec![photo("star", overlays)]), ".explained", "style").remove(0)
    };
    // The columns, and those that the photo takes.
    let cases = [
        (0, 1, 1),
        (1, 2, 1),
        (2, 3, 1),
        (3, 4, 1),
        (4, 3, 2),
        (5, 3, 1),
        (6, 4, 2),
        (8, 3, 1),
        (9, 4, 3),
    ];
    for (maps, columns, span) in cases {
        assert_eq!((maps + span) % columns, 0);
        assert_eq!(
            layout(maps),
            format!("--columns: {columns}; --photo: {span}"),
            "{maps} maps"
        );
    }
    let single = || photo("star", vec![overlay("map", [0.6, 0.1, 0.3], [0.; 3])]);
    assert_eq!(
        texts(&parse(vec![single(), single()]), "main.paired").len(),
        1
    );
    assert!(texts(&parse(vec![single()]), "main.paired").is_empty());
}

#[test]
fn hostile_text_stays_text_and_links_stay_paths() {
    let mut map = overlay(HOSTILE, [0.6, 0.1, 0.3], [0.9; 3]);
    map.trust.as_mut().unwrap().randomization[0].0 = HOSTILE.into();
    map.file = Some("javascript:alert(1).png".into());
    let page = parse(vec![photo(HOSTILE, vec![map])]);
    assert!(texts(&page, "script, [onerror], [src=x]").is_empty());
    assert_eq!(texts(&page, "h2 bdi"), [HOSTILE]);
    assert_eq!(
        attributes(&page, "a", "href"),
        ["./javascript%3Aalert%281%29.png"]
    );
    assert!(texts(&page, ".verdicts li.failed")[0].contains(HOSTILE));
}
