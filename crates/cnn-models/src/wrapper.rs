//! Names of tensors that something wrapped around a network put a prefix before: `DataParallel`,
//! `torch.compile`, averaged models, the modules of training libraries.

use std::collections::{BTreeSet, HashSet};
use std::path::Path;

use cnn_layers::{Mode, Store};
use cnn_weights::{ChosenWeights, TensorFile};

use crate::{Error, ModelConfig, ModelSpec, Naming};

/// Wrappers that may stand anywhere in a name, as when blocks are wrapped one by one.
const WITHIN: [&str; 4] = [
    "_orig_mod",
    "_fsdp_wrapped_module",
    "_checkpoint_wrapped_module",
    "_forward_module",
];

/// Parts of a prefix under which a moving average of the weights lies.
const AVERAGES: [&str; 5] = ["ema", "averaged", "average", "swa", "shadow"];

/// Deeper prefixes are not looked for.
const MAX_DEPTH: usize = 8;

/// More prefixes than these are not compared with all names.
const MAX_PLACES: usize = 64;

/// Which weights of a file a network was loaded from, where there was a choice, and what stood
/// before their names.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LoadedFrom {
    /// Prefixes that the names were read without, as `module.`; outermost first.
    pub wrappers: Vec<String>,
    /// The entry of a checkpoint, or the prefix within it, that was read, with the others that hold
    /// the same network; `None` where nothing is known to be an entry.
    pub chosen: Option<ChosenWeights>,
    /// Whether the model is known to have auxiliary heads that the file lacks, so that it was built
    /// without them.
    pub without_auxiliary: bool,
}

/// A file under the names of a network.
pub(crate) struct Unwrapped {
    pub(crate) file: TensorFile,
    pub(crate) from: LoadedFrom,
    /// The library whose names the file has, where these are not the model's own.
    pub(crate) naming: Option<&'static Naming>,
    /// Tensors of the file beside the network.
    pub(crate) outside: Vec<String>,
}

/// Gives the tensors of a file the names of the model.
///
/// Where the names do not begin as the model's do, the prefix is looked for that all of the model's
/// names have (those of its head aside, which may be another's). What lies beside it is left out.
pub(crate) fn unwrap(
    file: TensorFile,
    spec: &ModelSpec,
    config: &ModelConfig,
    path: &Path,
    prefer_average: bool,
) -> Result<Unwrapped, Error> {
    let mut from = LoadedFrom {
        wrappers: Some(file.wrapper().to_string())
            .filter(|wrapper| !wrapper.is_empty())
            .into_iter()
            .collect(),
        chosen: file.chosen().cloned(),
        without_auxiliary: false,
    };
    let is_average = from.chosen.as_ref().is_some_and(|chosen| chosen.is_average);
    let mut naming = None;
    let own = |name: &str| own_name(spec, name);
    let mut translated = |name: &str| match spec.own_name(name) {
        Some((own, theirs)) => {
            naming = Some(theirs);
            own
        }
        None => name.to_string(),
    };
    let first_convs = spec.first_convs(config);
    let is_plain = file
        .names()
        .any(|name| ModelSpec::reads_image(&first_convs, &own(name)))
        && !file.names().any(|name| plain_name(name) != name);
    if is_plain && (is_average || !prefer_average) {
        let file = file.rename(&mut translated)?;
        return Ok(Unwrapped {
            file,
            from,
            naming,
            outside: Vec::new(),
        });
    }

    let names: Vec<String> = file.names().map(plain_name).collect();
    let places = places(spec, config, &names, &names_of_body(spec, config)?);
    let Choice { place, others } =
        choose(places, prefer_average && !is_average).map_err(|problem| match problem {
            Problem::NoAverage => Error::NoAverage {
                path: path.to_path_buf(),
            },
            Problem::Several(prefixes) => Error::SeveralNetworks {
                path: path.to_path_buf(),
                model: spec.name.to_string(),
                prefixes: format!("`{}`", prefixes.join("`, `")),
            },
        })?;
    let prefix = place.prefix;
    if !others.is_empty() {
        from.chosen = Some(ChosenWeights {
            entry: prefix.clone(),
            is_average: place.is_average,
            others,
        });
    }
    let within = WITHIN.iter().filter(|wrapper| {
        let is_one = |name: &str| name.split('.').any(|part| part == **wrapper);
        file.names().any(is_one)
    });
    let within = within.map(|wrapper| format!("{wrapper}."));
    from.wrappers.extend(within);
    from.wrappers
        .extend(Some(prefix.clone()).filter(|prefix| !prefix.is_empty()));
    let mut outside = Vec::new();
    let file = file.select(|name| {
        let plain = plain_name(name);
        let rest = plain.strip_prefix(&prefix).map(&mut translated);
        if rest.is_none() {
            outside.push(name.to_string());
        }
        rest
    })?;
    Ok(Unwrapped {
        file,
        from,
        naming,
        outside,
    })
}

/// A prefix, and how much of a model there is under it.
struct Place {
    prefix: String,
    /// Tensors of the model's body.
    found: usize,
    /// Whether these are all.
    is_whole: bool,
    is_average: bool,
}

struct Choice {
    place: Place,
    /// Other prefixes under which there is the whole model.
    others: Vec<String>,
}

enum Problem {
    NoAverage,
    Several(Vec<String>),
}

/// The place that has most of a model. Of several that have all of it a moving average is taken
/// where it is asked for, or where there is nothing else.
fn choose(mut places: Vec<Place>, wants_average: bool) -> Result<Choice, Problem> {
    let most = places.iter().map(|place| place.found).max().unwrap_or(0);
    places.retain(|place| place.found == most);
    let prefixes = |places: &[Place]| -> Vec<String> {
        let whole = places.iter().filter(|place| place.is_whole);
        whole.map(|place| place.prefix.clone()).collect()
    };
    let mut others = prefixes(&places);
    if wants_average {
        places.retain(|place| place.is_whole && place.is_average);
    } else if places.iter().any(|place| !place.is_average) {
        places.retain(|place| !place.is_average);
    }
    // Without a prefix they are the network's own; where none has all, they are reported as they
    // are.
    let is_unwrapped = places.iter().position(|place| place.prefix.is_empty());
    let is_ambiguous = places.len() > 1 && is_unwrapped.is_none();
    if is_ambiguous && places.iter().all(|place| place.is_whole) {
        return Err(Problem::Several(prefixes(&places)));
    }
    if places.is_empty() {
        return Err(Problem::NoAverage);
    }
    let place = if is_ambiguous {
        Place {
            prefix: String::new(),
            found: 0,
            is_whole: false,
            is_average: false,
        }
    } else {
        places.swap_remove(is_unwrapped.unwrap_or(0))
    };
    others.retain(|other| *other != place.prefix);
    Ok(Choice { place, others })
}

/// The name that the model has for a tensor.
fn own_name(spec: &ModelSpec, name: &str) -> String {
    spec.own_name(name)
        .map_or_else(|| name.to_string(), |(own, _)| own)
}

/// A name without the wrappers that may stand anywhere in it.
fn plain_name(name: &str) -> String {
    let parts = name.split('.').filter(|part| !WITHIN.contains(part));
    parts.collect::<Vec<_>>().join(".")
}

/// The names of a model's tensors without its head and without counters, which old files lack.
fn names_of_body(spec: &ModelSpec, config: &ModelConfig) -> Result<HashSet<String>, Error> {
    let smallest = ModelConfig {
        num_classes: Some(1),
        args: config.args.clone(),
        ..ModelConfig::default()
    };
    let store = Store::blank();
    let model = spec.build_any(&smallest, &store.builder(Mode::Eval))?;
    let head = model.layer_groups().last();
    let names = store.names().into_iter().filter(|name| {
        !name.ends_with("num_batches_tracked") && !head.is_some_and(|head| head.contains(name))
    });
    Ok(names.collect())
}

/// The prefixes under which there may be the model: where its first convolution is.
fn places(
    spec: &ModelSpec,
    config: &ModelConfig,
    names: &[String],
    wanted: &HashSet<String>,
) -> Vec<Place> {
    let first_convs = spec.first_convs(config);
    let mut prefixes = BTreeSet::new();
    for name in names {
        let ends = name.match_indices('.').map(|(at, _)| at + 1);
        for start in std::iter::once(0).chain(ends.take(MAX_DEPTH)) {
            if ModelSpec::reads_image(&first_convs, &own_name(spec, &name[start..])) {
                prefixes.insert(&name[..start]);
            }
        }
    }
    // Blocks within the network may name their convolutions as its first is named. In order, what
    // a prefix opens follows it. What has no first convolution is best reported as it is: the empty
    // prefix stays.
    let mut outermost: Vec<&str> = vec![""];
    for prefix in prefixes {
        let is_within = |outer: &&str| !outer.is_empty() && prefix.starts_with(outer);
        if !prefix.is_empty() && !outermost.last().is_some_and(is_within) {
            outermost.push(prefix);
        }
    }
    outermost.truncate(MAX_PLACES);
    let found = |prefix: &str| {
        let under = names.iter().filter_map(|name| name.strip_prefix(prefix));
        let own: HashSet<String> = under
            .map(|rest| own_name(spec, rest))
            .filter(|name| wanted.contains(name))
            .collect();
        own.len()
    };
    // `torch.optim.swa_utils.AveragedModel`.
    let is_averaged_model = names.iter().any(|name| name == "n_averaged");
    let place = |prefix: &str| {
        let found = found(prefix);
        let mut parts = prefix.split(['.', '_']);
        Place {
            prefix: prefix.to_string(),
            found,
            is_whole: found == wanted.len(),
            is_average: is_averaged_model || parts.any(|part| AVERAGES.contains(&part)),
        }
    };
    outermost.into_iter().map(place).collect()
}
