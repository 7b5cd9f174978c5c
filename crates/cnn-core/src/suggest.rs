//! "Did you mean …?": the accepted name nearest to one that was mistyped.

/// Below this a suggestion is more puzzling than none.
const NEAR_ENOUGH: f64 = 0.7;

/// A beginning of fewer characters says too little.
const SHORTEST_BEGINNING: usize = 2;

/// The candidate nearest to `name`, or `None` if none is near; upper and lower case count as the
/// same.
///
/// A candidate that begins with `name` is nearest, then one of which a word begins with it
/// ([`begins_a_word`]), both from two characters on; then those that look like it. Within each of
/// these, nearness is the mean of the normalised Damerau–Levenshtein similarity (typing errors,
/// transpositions) and the Jaro–Winkler similarity (a common beginning), 1 being equal; 0.7 is near
/// enough for what only looks like it. Among equals the first candidate wins.
///
/// ```
/// use cnn_core::suggest;
///
/// assert_eq!(
///     suggest("ResNet81", ["lenet5", "resnet18", "resnet34"]),
///     Some("resnet18")
/// );
/// assert_eq!(
///     suggest("resnet20", ["resnet50", "resnet20_cifar10"]),
///     Some("resnet20_cifar10")
/// );
/// assert_eq!(suggest("transformer", ["lenet5", "resnet18"]), None);
/// ```
pub fn suggest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let name = name.to_lowercase();
    let is_beginning = joined(&name).len() >= SHORTEST_BEGINNING;
    let mut best: Option<(Likeness, f64, &str)> = None;
    for candidate in candidates {
        let lower = candidate.to_lowercase();
        let nearness = nearness(&name, &lower);
        let likeness = match lower.as_str() {
            lower if is_beginning && joined(lower).starts_with(&joined(&name)) => {
                Likeness::Beginning
            }
            lower if is_beginning && begins_a_word(&name, lower) => Likeness::Word,
            _ if nearness >= NEAR_ENOUGH => Likeness::Spelling,
            _ => continue,
        };
        if best.is_none_or(|(most, nearest, _)| (likeness, nearness) > (most, nearest)) {
            best = Some((likeness, nearness, candidate));
        }
    }
    best.map(|(_, _, candidate)| candidate)
}

/// How a candidate is like a name, the surest last.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
enum Likeness {
    Spelling,
    Word,
    Beginning,
}

/// Whether a word of `name` begins with `text`, whatever the case and whatever separates the words
/// of either.
///
/// A word begins at the start, after whatever is neither letter nor digit, where letters meet
/// digits, and at a `v` before a digit.
///
/// ```
/// use cnn_core::begins_a_word;
///
/// for text in ["mobile", "MobileNet-v2", "v2", "2", "100", "10"] {
///     assert!(begins_a_word(text, "mobilenetv2_100"), "{text}");
/// }
/// assert!(!begins_a_word("lenet", "mobilenetv2_100") && !begins_a_word("00", "mobilenetv2_100"));
/// ```
pub fn begins_a_word(text: &str, name: &str) -> bool {
    let text = text.to_lowercase();
    let name = name.to_lowercase();
    let letters: Vec<char> = name.chars().collect();
    let begins = |at: usize| {
        let before = at.checked_sub(1).map(|at| letters[at]);
        let letter = letters[at];
        let after = letters.get(at + 1);
        let is_version = letter == 'v' && after.is_some_and(char::is_ascii_digit);
        let joins =
            |before: char| before.is_alphanumeric() && before.is_numeric() == letter.is_numeric();
        letter.is_alphanumeric() && (is_version || !before.is_some_and(joins))
    };
    let rest = |at: usize| joined(&letters[at..].iter().collect::<String>());
    let text = joined(&text);
    (0..letters.len()).any(|at| begins(at) && rest(at).starts_with(&text))
}

/// The letters and digits, with one point for whatever separates two digits: `resnet20` for
/// `resnet-20`, but `1.0` for `1_0`.
fn joined(text: &str) -> String {
    let mut joined = String::new();
    for word in text
        .split(|letter: char| !letter.is_alphanumeric())
        .filter(|word| !word.is_empty())
    {
        let are_digits = [joined.chars().last(), word.chars().next()]
            .map(|edge| edge.is_some_and(char::is_numeric));
        if are_digits == [true; 2] {
            joined.push('.');
        }
        joined.push_str(word);
    }
    joined
}

/// [`suggest`] as the end of an error message: ``", did you mean `x`?"``, or nothing.
///
/// ```
/// use cnn_core::did_you_mean;
///
/// let name = "tset";
/// let message = format!(
///     "unknown split `{name}`{}",
///     did_you_mean(name, ["train", "val", "test"])
/// );
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
            ("resnet20", "resnet20_cifar10"),
            ("ResNet-20", "resnet20_cifar10"),
            ("resnet1", "resnet18"),
            ("cifar", "resnet20_cifar10"),
            ("cifar-10", "resnet20_cifar10"),
            ("v2", "mobilenetv2_100"),
        ];
        for (name, expected) in cases {
            assert_eq!(suggest(name, MODELS), Some(expected), "{name}");
        }
    }

    #[test]
    fn nothing_is_better_than_something_far_off() {
        for name in [
            "",
            "x",
            "-",
            "r",
            "net",
            "transformer",
            "vgg16",
            "yolo",
            "/tmp/file",
            "swin_base",
        ] {
            assert_eq!(suggest(name, MODELS), None, "{name}");
        }
        assert_eq!(suggest("resnet18", []), None);
        assert_eq!(did_you_mean("vgg16", MODELS), "");
    }

    #[test]
    fn words_begin_at_separators_numbers_and_versions() {
        let cases: [(&str, &[&str]); 9] = [
            ("lenet", &["lenet5"]),
            (
                "resnet",
                &["resnet18", "resnet34", "resnet101", "resnet20_cifar10"],
            ),
            ("18", &["resnet18"]),
            (
                "10",
                &[
                    "resnet101",
                    "resnet20_cifar10",
                    "mobilenetv1_100",
                    "mobilenetv2_100",
                ],
            ),
            ("v2", &["mobilenetv2_100"]),
            ("Cifar", &["resnet20_cifar10"]),
            ("1.0", &["squeezenet1_0"]),
            ("net", &[]),
            ("squeeze-net1", &["squeezenet1_0", "squeezenet1_1"]),
        ];
        for (text, expected) in cases {
            let found: Vec<_> = MODELS
                .into_iter()
                .filter(|name| begins_a_word(text, name))
                .collect();
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn characters_beyond_ascii_count_as_one() {
        assert_eq!(suggest("ÄHRE", ["ähre", "Möhre"]), Some("ähre"));
        assert_eq!(
            did_you_mean("Mohre", ["ähre", "Möhre"]),
            ", did you mean `Möhre`?"
        );
    }
}
