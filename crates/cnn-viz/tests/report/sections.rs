//! Sections that a command puts together: tables, curves, pictures of points.

use super::*;

fn page(section: ReportSection) -> Html {
    parse(&Report {
        sections: vec![section],
        ..Report::default()
    })
}

/// What the page of a section is refused for.
fn refused(section: ReportSection) -> String {
    let report = Report {
        sections: vec![section],
        ..Report::default()
    };
    report.to_html().unwrap_err().to_string()
}

#[test]
fn tables_stand_as_they_are_given_and_marked_rows_are_seen() {
    let page = page(section("jan"));
    assert_eq!(texts(&page, "section h3"), ["jan", "jan", "jan"]);
    assert_eq!(texts(&page, "section tbody tr"), ["jan61.56", "jan91.30"]);
    assert_eq!(texts(&page, "tr.chosen td"), ["91.30"]);
    assert_eq!(texts(&page, "thead th.text"), ["jan"]);
}

#[test]
fn a_row_has_a_cell_for_each_column() {
    let mut section = section("jan");
    section.tables[0].rows[1].pop();
    assert_eq!(
        refused(section),
        "`rows`: found 1 cells, expected one for each of 2 columns"
    );
}

#[test]
fn curves_have_names_gaps_and_the_kept_epoch() {
    let curve = |name: &str, values: &[(usize, f64)]| EpochCurve {
        name: name.into(),
        values: values.to_vec(),
    };
    let chart = EpochChart {
        is_share: true,
        curves: vec![
            curve("empty", &[]),
            curve("λ", &[(1, 0.), (2, 0.5), (3, f64::NAN)]),
            curve("right", &[(1, 0.6), (3, 0.9)]),
        ],
        marked: Some(3),
        ..EpochChart::default()
    };
    let with = |charts: Vec<EpochChart>| ReportSection {
        charts,
        ..ReportSection::default()
    };
    let shown = page(with(vec![chart.clone()]));
    assert_eq!(
        texts(&shown, ".chart .key"),
        ["λ", "right", "kept, epoch 3"]
    );
    assert_eq!(
        texts(&shown, ".chart p"),
        ["1 value is not finite or too large to draw."]
    );
    // Per cent from 0 to 100; two points of either curve and a ring around the last.
    let ticks = texts(&shown, "svg text");
    assert!(ticks.contains(&"100".to_string()), "{ticks:?}");
    assert_eq!(shown.select(&select("svg circle")).count(), 5);

    // What has no value has no chart.
    let empty = EpochChart {
        curves: vec![curve("empty", &[])],
        ..EpochChart::default()
    };
    assert_eq!(page(with(vec![empty])).select(&select("svg")).count(), 0);

    let many = EpochChart {
        curves: vec![curve("a", &[(1, 0.)]); 4],
        ..EpochChart::default()
    };
    assert_eq!(
        refused(with(vec![many])),
        "`curves`: found 4, expected at most 3"
    );
    let back = EpochChart {
        curves: vec![curve("a", &[(usize::MAX, 0.), (2, 0.)])],
        ..EpochChart::default()
    };
    assert!(refused(with(vec![back])).contains("expected epochs in their order"));
}

#[test]
fn points_have_the_colour_of_their_class_and_the_shape_of_their_kind() {
    let shown = page(section("jan"));
    let paths = attributes(&shown, ".clouds svg path", "d");
    // A dot at the lower left, a cross at the upper right, and what is no place left out.
    assert_eq!(paths, ["M265 970h0", "M729 24l12 12m0-12l-12 12"]);
    let colors = attributes(&shown, ".clouds svg path", "stroke");
    let swatch = attributes(&shown, ".swatches i[style]", "style");
    assert_eq!(swatch, [format!("background: {}", colors[0])]);
    assert_eq!(colors[0], colors[1]);
    assert_eq!(
        texts(&shown, ".clouds p"),
        ["1 value is not finite or too large to draw.", "jan"]
    );
}

#[test]
fn a_class_of_a_point_has_a_name_and_many_classes_have_no_key() {
    let mut section = section("jan");
    let points = section.points.as_mut().unwrap();
    points.classes = (0..21).map(|class| class.to_string()).collect();
    assert!(texts(&page(section.clone()), ".swatches bdi").is_empty());
    section.points.as_mut().unwrap().classes.clear();
    assert_eq!(
        refused(section),
        "`class`: found 0, expected a number below 0, the classes with a name"
    );
}
