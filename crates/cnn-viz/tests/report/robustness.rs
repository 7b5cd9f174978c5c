//! The section of attacks.

use super::*;

fn report(results: RobustnessResults) -> Report {
    Report {
        robustness: Some(results),
        ..Report::default()
    }
}

fn results() -> RobustnessResults {
    let image = Image::from_pixels(4, 4, 3, vec![90; 48]).unwrap();
    robustness("pgd", &image)
}

#[test]
fn figures_stand_with_their_intervals_and_alarms_are_told() {
    let page = parse(&report(results()));
    let all = texts(&page, "section").join(" ");
    for words in [
        "90.0 % right without an attack",
        "40.0 % (30.0 % to 50.0 %) under the worst attack",
        "(without an attack 1.2 %)",
        "These figures deceive",
        "the change, 16 times",
        "Accuracy over the size",
    ] {
        assert!(all.contains(words), "{words}: {all}");
    }
    assert_eq!(texts(&page, "tbody tr td").len(), 9);
    // The image, the change, the sum, and where the network looked before and after.
    assert_eq!(page.select(&select(".attacked img")).count(), 5);
}

#[test]
fn without_alarms_the_page_says_what_was_looked_for() {
    let calm = RobustnessResults {
        alarms: Vec::new(),
        ..results()
    };
    let all = texts(&parse(&report(calm.clone())), "section").join(" ");
    assert!(
        all.contains("Nothing of 50 images says") && !all.contains("deceive"),
        "{all}"
    );
    let unasked = RobustnessResults {
        diagnosed: 0,
        sweep: Vec::new(),
        certified: Vec::new(),
        pictures: Vec::new(),
        ..calm
    };
    let page = parse(&report(unasked));
    let all = texts(&page, "section").join(" ");
    assert!(
        !all.contains("Nothing of") && !all.contains("What fooled it"),
        "{all}"
    );
    assert_eq!(page.select(&select("svg")).count(), 0);
}
