//! Filters that do nothing.

use super::*;

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
