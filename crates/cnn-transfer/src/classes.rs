//! Which class of a network is which class of a dataset.

use std::collections::HashMap;

use cnn_data::Dataset;
use cnn_models::{DetectionNetwork, Kind, ModelKind, Network, NetworkOf};
use unicode_normalization::UnicodeNormalization;

use crate::Error;

/// For each class of a dataset the class of a network that it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassMatch {
    /// The number of the network's class, for each class of the dataset; `None` for one that the
    /// network does not know.
    pub numbers: Vec<Option<usize>>,
    /// What whoever reads the figures has to know, in a sentence: that classes were matched by
    /// number, or that some are not known.
    pub note: Option<String>,
}

/// The names of the network's classes, in the order of its scores: those of its `config.json`, or
/// else those of the data that its model is published for, as COCO's for a detector of 80 classes or
/// ImageNet's for a network of 1000; `None` where no names are known.
pub fn known_class_names<M: ModelKind + ?Sized>(network: &NetworkOf<M>) -> Option<Vec<String>> {
    let imagenet = cnn_data::imagenet_class_names();
    let is_imagenet = network.model().num_classes() == imagenet.len();
    let named = network.label_names().map(<[String]>::to_vec);
    let published = || {
        let classes = network.model().num_classes();
        network.spec().label_names(classes)
    };
    let named = named.or_else(|| published().filter(|_| M::KIND == Kind::Detection));
    named.or_else(|| is_imagenet.then(|| imagenet.iter().map(ToString::to_string).collect()))
}

/// The names of the network's classes, in the order of its scores; their numbers where they have no
/// names.
pub fn class_names<M: ModelKind + ?Sized>(network: &NetworkOf<M>) -> Vec<String> {
    // A network for pixels with one output tells two classes.
    let least = match M::KIND {
        Kind::Segmentation => 2,
        _ => 1,
    };
    let numbers = || {
        (0..network.model().num_classes().max(least))
            .map(|index| index.to_string())
            .collect()
    };
    known_class_names(network).unwrap_or_else(numbers)
}

/// Finds the classes of a dataset among those of a network.
///
/// - Names that are numbers are matched by their value: with the network's names if those are
///   numbers, too, or else with the numbers of its classes.
/// - Other names are matched by name where the network's are known: exactly, or else up to case,
///   underscores and Unicode's normal form. A network for ImageNet also knows WordNet's identifiers
///   (`n01440764`) and each of a class's lemmas.
/// - A network without names has the dataset's classes in their order.
///
/// Only classes of which the dataset has images count. Where the network knows some of them and not
/// others, [`ClassMatch::note`] says so.
///
/// # Errors
/// [`Error::NoLabels`] if the dataset has no classes, [`Error::MoreClasses`] if it has more than a
/// network without names, [`Error::UnknownClasses`] if the network knows none of them.
pub fn match_classes(network: &Network, dataset: &dyn Dataset) -> Result<ClassMatch, Error> {
    let mut images = vec![0; dataset.classes().len()];
    for index in 0..dataset.len() {
        if let Some(count) = dataset.label(index).and_then(|class| images.get_mut(class)) {
            *count += 1;
        }
    }
    matched(network, dataset.classes(), &images, Things::Images)
}

/// Finds the names of classes among others, by the rules of [`match_classes`]: for each of `classes`
/// its number among `known`. No image is looked at.
///
/// ```
/// use cnn_transfer::match_class_names;
///
/// let names = |text: &str| text.split(' ').map(str::to_string).collect::<Vec<_>>();
/// let found = match_class_names(&names("ant bee cat"), &names("Cat wasp"));
/// assert_eq!(found, [Some(2), None]);
/// ```
pub fn match_class_names(known: &[String], classes: &[String]) -> Vec<Option<usize>> {
    let are_numbers = classes.iter().all(|name| number(name).is_some());
    let rule = Rule::of(Some(known), known.len(), are_numbers);
    let names = classes.iter().enumerate();
    names.map(|(class, name)| rule.find(class, name)).collect()
}

/// The same as [`match_classes`] for a network that finds objects: classes occur where an object is of them.
///
/// # Errors
/// As [`match_classes`]; a photo whose objects cannot be read has none.
pub fn match_object_classes(
    network: &DetectionNetwork,
    dataset: &dyn Dataset,
) -> Result<ClassMatch, Error> {
    let mut objects = vec![0; dataset.classes().len()];
    for index in 0..dataset.len() {
        for object in dataset.objects(index).unwrap_or_default() {
            if let Some(count) = objects.get_mut(object.class) {
                *count += 1;
            }
        }
    }
    matched(network, dataset.classes(), &objects, Things::Objects)
}

/// What has a class.
#[derive(Clone, Copy, PartialEq)]
enum Things {
    Images,
    /// Those of a class that does not occur may be found nevertheless.
    Objects,
}

impl Things {
    fn name(self) -> &'static str {
        match self {
            Self::Images => "images",
            Self::Objects => "objects",
        }
    }
}

/// `counts` are how many things of each class there are.
fn matched<M: ModelKind + ?Sized>(
    network: &NetworkOf<M>,
    classes: &[String],
    counts: &[usize],
    things: Things,
) -> Result<ClassMatch, Error> {
    if classes.is_empty() {
        return Err(Error::NoLabels);
    }
    let occurs = |class: &usize| counts[*class] > 0;
    let occurring: Vec<usize> = (0..classes.len()).filter(occurs).collect();
    let are_numbers = occurring
        .iter()
        .all(|&class| number(&classes[class]).is_some());
    let count = network.model().num_classes();
    let known = known_class_names(network);
    let rule = Rule::of(known.as_deref(), count, are_numbers);
    let names = classes.iter().enumerate();
    let find = |(class, name): (usize, &String)| {
        let is_wanted = occurs(&class) || things == Things::Objects;
        is_wanted.then(|| rule.find(class, name)).flatten()
    };
    let numbers: Vec<Option<usize>> = names.map(find).collect();
    let is_unknown = |class: &usize| numbers[*class].is_none();
    let unknown: Vec<usize> = occurring.iter().copied().filter(is_unknown).collect();
    let unknown_names: Vec<String> = unknown
        .iter()
        .map(|&class| classes[class].clone())
        .collect();
    let model = network.spec().name;
    let note = match known {
        None if !unknown.is_empty() => {
            return Err(Error::MoreClasses {
                model,
                network: count,
                data: classes.len(),
            });
        }
        Some(known) if !unknown.is_empty() && unknown.len() == occurring.len() => {
            return Err(Error::UnknownClasses {
                model,
                unknown: unknown_names,
                known,
            });
        }
        Some(_) if !unknown.is_empty() => {
            let left_out: usize = unknown.iter().map(|&class| counts[class]).sum();
            Some(format!(
                "{model} does not know the classes {}; their {left_out} {} are left out",
                some(&unknown_names),
                things.name()
            ))
        }
        Some(known) if are_numbers && known.iter().any(|name| number(name).is_none()) => {
            Some(format!(
                "the dataset's classes are numbers, and are taken for those of {model}'s classes"
            ))
        }
        _ => None,
    };
    Ok(ClassMatch { numbers, note })
}

/// How a class of a dataset is found among a network's.
enum Rule {
    /// By the value of its name, among the values of the network's.
    Values(Vec<usize>),
    Names(KnownNames),
    /// By its number, below the number of the network's classes.
    Order(usize),
}

impl Rule {
    /// For names that are numbers or not, among `count` classes, which may have names.
    fn of(known: Option<&[String]>, count: usize, are_numbers: bool) -> Self {
        match known {
            Some(known) if are_numbers && known.iter().all(|name| number(name).is_some()) => {
                Self::Values(known.iter().filter_map(|name| number(name)).collect())
            }
            _ if are_numbers => Self::Values((0..count).collect()),
            Some(known) => Self::Names(KnownNames::new(known)),
            None => Self::Order(count),
        }
    }

    fn find(&self, class: usize, name: &str) -> Option<usize> {
        match self {
            Self::Values(values) => {
                let value = number(name)?;
                values.iter().position(|&known| known == value)
            }
            Self::Names(names) => names.find(name),
            Self::Order(count) => (class < *count).then_some(class),
        }
    }
}

/// The value of a name that is a number.
fn number(name: &str) -> Option<usize> {
    let is_number = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| name.parse().ok()).flatten()
}

/// Finds a network's classes by name.
struct KnownNames {
    /// By name; `None` where several classes have it.
    exact: HashMap<String, Option<usize>>,
    /// By what is left of a name without case and underscores, likewise.
    folded: HashMap<String, Option<usize>>,
}

impl KnownNames {
    fn new(names: &[String]) -> Self {
        let mut known = Self {
            exact: HashMap::new(),
            folded: HashMap::new(),
        };
        let imagenet = cnn_data::imagenet_class_names();
        let synsets = cnn_data::imagenet_synsets();
        let is_imagenet = names.iter().eq(imagenet.iter()) || names.iter().eq(synsets.iter());
        for (class, name) in names.iter().enumerate() {
            put(&mut known.exact, name.clone(), class);
            known.add(name, class);
            if is_imagenet {
                known.add(synsets[class], class);
                known.add(imagenet[class], class);
                for lemma in imagenet[class].split(", ") {
                    known.add(lemma, class);
                }
            }
        }
        known
    }

    fn add(&mut self, name: &str, class: usize) {
        put(&mut self.folded, folded(name), class);
    }

    fn find(&self, name: &str) -> Option<usize> {
        let folded = || self.folded.get(&folded(name));
        self.exact.get(name).or_else(folded).copied().flatten()
    }
}

fn put(classes: &mut HashMap<String, Option<usize>>, name: String, class: usize) {
    classes
        .entry(name)
        .and_modify(|known| *known = known.filter(|&known| known == class))
        .or_insert(Some(class));
}

fn folded(name: &str) -> String {
    name.nfc()
        .collect::<String>()
        .to_lowercase()
        .replace('_', " ")
}

/// The first of these names.
pub(crate) fn some(names: &[String]) -> String {
    let shown: Vec<&str> = names.iter().take(3).map(String::as_str).collect();
    shown.join(", ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use cnn_data::{Content, Image};
    use cnn_models::ModelConfig;

    use super::*;

    fn network(classes: usize, names: Option<&[&str]>) -> Network {
        let config = ModelConfig {
            num_classes: Some(classes),
            ..ModelConfig::default()
        };
        let mut network = Network::new("resnet8_cifar10", &config, 0).unwrap();
        if let Some(names) = names {
            network
                .set_label_names(names.iter().map(ToString::to_string).collect())
                .unwrap();
        }
        network
    }

    /// One image of each class but those whose name begins with `-`.
    struct Classes(Vec<String>);

    impl Dataset for Classes {
        fn len(&self) -> usize {
            self.0.len()
        }

        fn classes(&self) -> &[String] {
            &self.0
        }

        fn label(&self, index: usize) -> Option<usize> {
            let name = self.0.get(index)?;
            (!name.starts_with('-')).then_some(index)
        }

        fn content(&self, _: usize) -> Result<Content, cnn_data::Error> {
            Ok(Content::Pixels(Image::from_pixels(1, 1, 1, vec![0])?))
        }
    }

    fn matched(network: &Network, classes: &[&str]) -> Result<ClassMatch, Error> {
        let classes = classes.iter().map(ToString::to_string).collect();
        match_classes(network, &Classes(classes))
    }

    fn numbers(network: &Network, classes: &[&str]) -> Vec<Option<usize>> {
        matched(network, classes).unwrap().numbers
    }

    #[test]
    fn names_decide_where_they_are_known() {
        let network = network(3, Some(&["cat", "Sea_lion", "caf\u{e9}"]));
        assert_eq!(class_names(&network), ["cat", "Sea_lion", "caf\u{e9}"]);
        let found = matched(&network, &["cafe\u{301}", "CAT", "sea lion"]).unwrap();
        assert_eq!(found.numbers, [Some(2), Some(0), Some(1)]);
        assert_eq!(found.note, None);
        // Only what occurs has to be known.
        assert_eq!(numbers(&network, &["-dog", "cat"]), [None, Some(0)]);
    }

    #[test]
    fn classes_are_never_matched_by_number_against_their_names() {
        let network = network(2, Some(&["cat", "ship"]));
        let found = matched(&network, &["boat", "cat"]).unwrap();
        assert_eq!(found.numbers, [None, Some(0)]);
        assert!(
            found
                .note
                .unwrap()
                .contains("the classes boat; their 1 images are left out")
        );
        let error = matched(&network, &["boat", "dog"]).unwrap_err();
        assert!(
            matches!(&error, Error::UnknownClasses { unknown, known, .. }
                if unknown == &["boat", "dog"] && known.len() == 2),
            "{error}"
        );
    }

    #[test]
    fn numbers_are_matched_by_value() {
        let unnamed = network(300, None);
        assert_eq!(
            numbers(&unnamed, &["10", "2", "007"]),
            [Some(10), Some(2), Some(7)]
        );
        let angles = network(4, Some(&["0", "180", "270", "90"]));
        assert_eq!(
            numbers(&angles, &["0", "270", "90"]),
            [Some(0), Some(2), Some(3)]
        );
        let named = network(3, Some(&["a", "b", "c"]));
        let found = matched(&named, &["2", "0"]).unwrap();
        assert_eq!(found.numbers, [Some(2), Some(0)]);
        assert!(found.note.unwrap().contains("are numbers"));
        assert!(matched(&unnamed, &["300"]).is_err());
    }

    #[test]
    fn the_order_decides_without_names() {
        let network = network(3, None);
        assert_eq!(known_class_names(&network), None);
        assert_eq!(class_names(&network), ["0", "1", "2"]);
        assert_eq!(numbers(&network, &["ship", "cat"]), [Some(0), Some(1)]);
        let error = matched(&network, &["a", "b", "c", "d"]).unwrap_err();
        assert!(
            matches!(
                error,
                Error::MoreClasses {
                    network: 3,
                    data: 4,
                    ..
                }
            ),
            "{error}"
        );
        let error = matched(&network, &[]).unwrap_err();
        assert!(matches!(error, Error::NoLabels), "{error}");
    }

    #[test]
    fn a_thousand_classes_are_imagenets() {
        let network = network(1000, None);
        assert_eq!(class_names(&network), cnn_data::imagenet_class_names());
        let found = numbers(
            &network,
            &["n01440764", "Golden_Retriever", "tabby cat", "999"],
        );
        assert_eq!(found, [Some(0), Some(207), Some(281), None]);
        // Two classes are called so.
        assert_eq!(numbers(&network, &["crane", "goldfish"]), [None, Some(1)]);
    }
}
