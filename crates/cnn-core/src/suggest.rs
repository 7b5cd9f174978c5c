//! "Did you mean …?": the accepted name nearest to one that was mistyped.

/// Below this a suggestion is more puzzling than none.
const NEAR_ENOUGH: f64 = 0.7;

/// The candidate nearest to `name`, or `None` if none is near; upper and lower case count as the same.
///
/// Nearness is the mean of the normalised Damerau–Levenshtein similarity (typing errors, transpositions) and the
/// Jaro–Winkler similarity (a common beginning), 1 being equal; 0.7 is near enough. Among equals the first candidate
/// wins.
///
/// ```
/// use cnn_core::suggest;
///
/// assert_eq!(suggest("ResNet81", ["lenet5", "resnet18", "resnet34"]), Some("resnet18"));
/// assert_eq!(suggest("transformer", ["lenet5", "resnet18"]), None);
/// ```
pub fn suggest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase();
    let mut best = None;
    let mut best_nearness = 0.0;
    for candidate in candidates {
        let nearness = nearness(&name, &candidate.to_lowercase());
        if nearness >= NEAR_ENOUGH && nearness > best_nearness {
            best = Some(candidate);
            best_nearness = nearness;
        }
    }
    best
}

/// [`suggest`] as the end of an error message: ``", did you mean `x`?"``, or nothing.
///
/// ```
/// use cnn_core::did_you_mean;
///
/// let name = "tset";
/// let message = format!("unknown split `{name}`{}", did_you_mean(name, ["train", "val", "test"]));
/// assert_eq!(message, "unknown split `tset`, did you mean `test`?");
/// ```
pub fn did_you_mean<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    match suggest(name, candidates) {
        Some(candidate) => format!(", did you mean `{candidate}`?"),
        None => String::new(),
    }
}

fn nearness(a: &str, b: &str) -> f64 {
    (strsim::normalized_damerau_levenshtein(a, b) + strsim::jaro_winkler(a, b)) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;

    const MODELS: [&str; 9] = [
        "lenet5",
        "resnet18",
        "resnet34",
        "resnet101",
        "resnet20_cifar10",
        "mobilenetv1_100",
        "mobilenetv2_100",
        "squeezenet1_0",
        "squeezenet1_1",
    ];

    #[test]
    fn typing_errors_find_their_name() {
        let cases = [
            ("resnet18", "resnet18"),
            ("RESNET34", "resnet34"),
            ("resnet81", "resnet18"),
            ("resnt18", "resnet18"),
            ("restnet18", "resnet18"),
            ("renset18", "resnet18"),
            ("resnet-101", "resnet101"),
            ("resnet", "resnet18"),
            ("lenet", "lenet5"),
            ("Lenet-5", "lenet5"),
            ("mobilenet_v2", "mobilenetv2_100"),
            ("mobilenetv2", "mobilenetv2_100"),
            ("squeezenet", "squeezenet1_0"),
            ("squeezenet1.1", "squeezenet1_1"),
            ("resnet20-cifar-10", "resnet20_cifar10"),
        ];
        for (name, expected) in cases {
            assert_eq!(suggest(name, MODELS), Some(expected), "{name}");
        }
    }

    #[test]
    fn nothing_is_better_than_something_far_off() {
        for name in ["", "x", "transformer", "vgg16", "yolo", "/tmp/file", "swin_base"] {
            assert_eq!(suggest(name, MODELS), None, "{name}");
        }
        assert_eq!(suggest("resnet18", []), None);
        assert_eq!(did_you_mean("vgg16", MODELS), "");
    }

    #[test]
    fn characters_beyond_ascii_count_as_one() {
        assert_eq!(suggest("ÄHRE", ["ähre", "Möhre"]), Some("ähre"));
        assert_eq!(did_you_mean("Mohre", ["ähre", "Möhre"]), ", did you mean `Möhre`?");
    }
}
