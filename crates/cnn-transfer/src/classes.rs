//! Which class of a network is which class of a dataset.

use cnn_models::Network;

use crate::Error;

/// For each class of a dataset the class of a network that it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClassMatch {
    /// The number of the network's class, for each class of the dataset.
    pub numbers: Vec<usize>,
    /// What whoever reads the figures has to know, in a sentence: that the classes were matched by
    /// number although their names differ.
    pub note: Option<String>,
}

/// The names of the network's classes, in the order of its scores: those of its `config.json`, or
/// else ImageNet's for a network of 1000 classes; `None` where no names are known.
pub fn known_class_names(network: &Network) -> Option<Vec<String>> {
    let imagenet = cnn_data::imagenet_class_names();
    let is_imagenet = network.model().num_classes() == imagenet.len();
    let named = network.label_names().map(<[String]>::to_vec);
    named.or_else(|| is_imagenet.then(|| imagenet.iter().map(ToString::to_string).collect()))
}

/// The names of the network's classes, in the order of its scores; their numbers where they have no
/// names.
pub fn class_names(network: &Network) -> Vec<String> {
    let numbers = || {
        (0..network.model().num_classes())
            .map(|index| index.to_string())
            .collect()
    };
    known_class_names(network).unwrap_or_else(numbers)
}

/// Finds the classes of a dataset among those of a network: by name where the network's names are
/// known, else by number.
///
/// Where the network does not know all of the names, and both have equally many classes, they are
/// matched by number, which [`ClassMatch::note`] says.
///
/// # Errors
/// [`Error::NoLabels`] if the dataset has no classes, [`Error::MoreClasses`] if it has more than a
/// network without names, [`Error::UnknownClasses`] if the network does not know some of them and
/// has another number of classes.
pub fn match_classes(network: &Network, classes: &[String]) -> Result<ClassMatch, Error> {
    let count = network.model().num_classes();
    let name = network.spec().name;
    let by_number = |note| ClassMatch {
        numbers: (0..classes.len()).collect(),
        note,
    };
    if classes.is_empty() {
        return Err(Error::NoLabels);
    }
    let Some(known) = known_class_names(network) else {
        if classes.len() > count {
            return Err(Error::MoreClasses {
                model: name,
                network: count,
                data: classes.len(),
            });
        }
        return Ok(by_number(None));
    };
    let positions: Vec<Option<usize>> = classes
        .iter()
        .map(|class| known.iter().position(|name| name == class))
        .collect();
    let unknown: Vec<String> = classes
        .iter()
        .zip(&positions)
        .filter(|(_, at)| at.is_none())
        .map(|(class, _)| class.clone())
        .collect();
    if unknown.is_empty() {
        return Ok(ClassMatch {
            numbers: positions.into_iter().flatten().collect(),
            note: None,
        });
    }
    if classes.len() != count {
        return Err(Error::UnknownClasses {
            model: name,
            unknown,
            known,
        });
    }
    Ok(by_number(Some(format!(
        "{name} does not know the classes {}; as there are {count} on both sides, they are matched by number",
        some(&unknown)
    ))))
}

/// The first of these names.
pub(crate) fn some(names: &[String]) -> String {
    let shown: Vec<&str> = names.iter().take(3).map(String::as_str).collect();
    shown.join(", ")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use cnn_models::ModelConfig;

    use super::*;

    fn network(classes: usize, names: Option<&[&str]>) -> Network {
        let config = ModelConfig {
            num_classes: Some(classes),
            ..ModelConfig::default()
        };
        let mut network = Network::new("resnet8_cifar10", &config, 0).unwrap();
        if let Some(names) = names {
            network.set_label_names(texts(names)).unwrap();
        }
        network
    }

    fn texts(names: &[&str]) -> Vec<String> {
        names.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn names_decide_where_they_are_known() {
        let network = network(3, Some(&["cat", "dog", "ship"]));
        assert_eq!(class_names(&network), ["cat", "dog", "ship"]);
        let matched = match_classes(&network, &texts(&["ship", "cat"])).unwrap();
        assert_eq!((matched.numbers, matched.note), (vec![2, 0], None));
    }

    #[test]
    fn numbers_decide_without_names() {
        let network = network(3, None);
        assert_eq!(known_class_names(&network), None);
        assert_eq!(class_names(&network), ["0", "1", "2"]);
        let matched = match_classes(&network, &texts(&["ship", "cat"])).unwrap();
        assert_eq!((matched.numbers, matched.note), (vec![0, 1], None));
        let error = match_classes(&network, &texts(&["a", "b", "c", "d"])).unwrap_err();
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
        let error = match_classes(&network, &[]).unwrap_err();
        assert!(matches!(error, Error::NoLabels), "{error}");
    }

    #[test]
    fn names_that_differ_are_noted_or_refused() {
        let network = network(3, Some(&["cat", "dog", "ship"]));
        let matched = match_classes(&network, &texts(&["boat", "cat", "dog"])).unwrap();
        assert_eq!(matched.numbers, [0, 1, 2]);
        assert!(matched.note.is_some_and(|note| note.contains("boat")));
        let error = match_classes(&network, &texts(&["boat", "cat"])).unwrap_err();
        assert!(
            matches!(&error, Error::UnknownClasses { unknown, known, .. } if unknown == &["boat"] && known.len() == 3),
            "{error}"
        );
    }

    #[test]
    fn a_thousand_classes_are_imagenets() {
        let network = network(1000, None);
        assert_eq!(class_names(&network), cnn_data::imagenet_class_names());
        assert!(class_names(&network)[1].contains("goldfish"));
    }
}
