//! Finding the tensors in what a pickle built, and naming them.

use std::collections::BTreeMap;

use crate::{ChosenWeights, Error, Prefer, SkippedTensor};
use cnn_pickle::{Id, Pickle, TensorView, Value};

/// Entries of a checkpoint that hold its weights, the preferred first.
const WEIGHTS: [&[u8]; 4] = [b"state_dict", b"model_state_dict", b"model", b"net"];

/// Entries that hold a moving average of the weights, the preferred first.
const AVERAGES: [&[u8]; 5] = [
    b"state_dict_ema",
    b"model_ema",
    b"ema",
    b"ema_state_dict",
    b"model_ema_state_dict",
];

/// What `DataParallel` puts before every name.
const PARALLEL: &str = "module.";

const MAX_DEPTH: usize = 100;
const MAX_NAME: usize = 1000;
const MAX_TENSORS: usize = 100_000;

/// Length and number of the facts beside the tensors that are kept.
const MAX_FACT: usize = 1000;
const MAX_FACTS: usize = 1000;

/// The tensors of a checkpoint.
#[derive(Default)]
pub(super) struct Found {
    pub(super) tensors: Vec<(String, TensorView)>,
    pub(super) skipped: Vec<SkippedTensor>,
    pub(super) metadata: BTreeMap<String, String>,
    /// Which entry was taken, where several could be.
    pub(super) chosen: Option<ChosenWeights>,
    /// The prefix that was dropped.
    pub(super) wrapper: &'static str,
}

/// The rules are part of `TensorFile`'s documentation.
pub(super) fn find(pickle: &Pickle<'_>, prefer: Prefer) -> Result<Found, Error> {
    let mut found = weights(pickle, prefer)?;
    if found.tensors.is_empty() && found.skipped.is_empty() && holds_an_object(pickle) {
        return Err(Error::Unsupported(
            "the file holds a pickled object and no tensors; save `model.state_dict()` with `torch.save`".into(),
        ));
    }
    found.metadata = facts(pickle);
    drop_parallel_prefix(&mut found);
    Ok(found)
}

fn weights(pickle: &Pickle<'_>, prefer: Prefer) -> Result<Found, Error> {
    let root = children(pickle, pickle.root);
    let plain = WEIGHTS.map(|key| (key, false));
    let averages = AVERAGES.map(|key| (key, true));
    let order: Vec<_> = match prefer {
        Prefer::Weights => plain.into_iter().chain(averages).collect(),
        Prefer::MovingAverage => averages.into_iter().chain(plain).collect(),
    };
    let mut taken: Option<(Found, ChosenWeights)> = None;
    for (key, is_average) in order {
        // Of equal keys the last counts, as in Python.
        let entry = root
            .iter()
            .rev()
            .find(|(segment, _)| matches!(segment, Segment::Key(name) if pickle.text_of(*name) == Some(key)));
        if let Some(&(_, id)) = entry.filter(|&&(_, id)| is_container(pickle, id)) {
            let found = Walk::new(pickle).run(id)?;
            let entry = String::from_utf8_lossy(key).into_owned();
            match &mut taken {
                _ if found.tensors.is_empty() => {}
                Some((_, chosen)) => chosen.others.push(entry),
                None => {
                    let chosen = ChosenWeights {
                        entry,
                        is_average,
                        others: Vec::new(),
                    };
                    taken = Some((found, chosen));
                }
            }
        }
    }
    match taken {
        Some((mut found, chosen)) => {
            found.chosen = Some(chosen);
            Ok(found)
        }
        None => Walk::new(pickle).run(pickle.root),
    }
}

fn drop_parallel_prefix(found: &mut Found) {
    let names = || {
        found
            .tensors
            .iter()
            .map(|(name, _)| name)
            .chain(found.skipped.iter().map(|skipped| &skipped.name))
    };
    let mut all = names().peekable();
    if all.peek().is_some()
        && all.all(|name| name.starts_with(PARALLEL) && name.len() > PARALLEL.len())
    {
        let names = found
            .tensors
            .iter_mut()
            .map(|(name, _)| name)
            .chain(found.skipped.iter_mut().map(|skipped| &mut skipped.name));
        names.for_each(|name| drop(name.drain(..PARALLEL.len())));
        found.wrapper = PARALLEL;
    }
}

fn holds_an_object(pickle: &Pickle<'_>) -> bool {
    let opaque = |id| matches!(pickle.value(id), Value::Object(_) | Value::Opaque);
    opaque(pickle.root)
        || children(pickle, pickle.root)
            .iter()
            .any(|&(_, id)| opaque(id))
}

/// Numbers, truth values and short texts beside the weights.
fn facts(pickle: &Pickle<'_>) -> BTreeMap<String, String> {
    let mut facts = BTreeMap::new();
    for (segment, id) in children(pickle, pickle.root) {
        let Segment::Key(key) = segment else { continue };
        let value = match pickle.value(id) {
            Value::Bool(value) => value.to_string(),
            Value::Int(value) => value.to_string(),
            Value::Float(value) => value.to_string(),
            Value::Text(span) | Value::Encoded(span) if span.len() <= MAX_FACT => {
                String::from_utf8_lossy(pickle.text(*span)).into_owned()
            }
            _ => continue,
        };
        if let Some(key) = pickle.text_of(key).filter(|key| key.len() <= MAX_FACT)
            && facts.len() < MAX_FACTS
        {
            facts.insert(String::from_utf8_lossy(key).into_owned(), value);
        }
    }
    facts
}

/// What a child adds to its parent's name.
#[derive(Clone, Copy)]
enum Segment {
    Key(Id),
    Index(usize),
    /// The dictionaries of a module have no names of their own.
    Nothing,
}

fn is_container(pickle: &Pickle<'_>, id: Id) -> bool {
    matches!(
        pickle.value(id),
        Value::Dict(_) | Value::DictFrom(_) | Value::List(_) | Value::Tuple(_) | Value::Object(_)
    )
}

fn is_of_interest(pickle: &Pickle<'_>, id: Id) -> bool {
    matches!(
        pickle.value(id),
        Value::Tensor(_) | Value::UnreadableTensor(_)
    ) || is_container(pickle, id)
}

/// The values directly within `id`, with what they are called there.
fn children(pickle: &Pickle<'_>, id: Id) -> Vec<(Segment, Id)> {
    match pickle.value(id) {
        Value::Dict(items) => keyed(items),
        Value::DictFrom(source) => match pickle.value(*source) {
            Value::Dict(items) => keyed(items),
            Value::List(pairs) | Value::Tuple(pairs) => pairs
                .iter()
                .filter_map(|&pair| key_and_value(pickle, pair))
                .collect(),
            _ => Vec::new(),
        },
        Value::List(items) | Value::Tuple(items) => items
            .iter()
            .enumerate()
            .map(|(index, &id)| (Segment::Index(index), id))
            .collect(),
        Value::Object(object) => {
            let mut children = keyed(&object.items);
            children.extend(
                object
                    .state
                    .into_iter()
                    .flat_map(|state| module_parts(pickle, state)),
            );
            children
        }
        _ => Vec::new(),
    }
}

/// How many values `children` looks at.
fn width(pickle: &Pickle<'_>, id: Id) -> usize {
    let items = |id: Id| match pickle.value(id) {
        Value::Dict(items) => items.len(),
        Value::List(items) | Value::Tuple(items) => items.len(),
        _ => 0,
    };
    match pickle.value(id) {
        Value::DictFrom(source) => items(*source),
        Value::Object(object) => object.items.len() + object.state.map_or(0, items),
        _ => items(id),
    }
}

fn keyed(items: &[(Id, Id)]) -> Vec<(Segment, Id)> {
    items
        .iter()
        .map(|&(key, value)| (Segment::Key(key), value))
        .collect()
}

fn key_and_value(pickle: &Pickle<'_>, pair: Id) -> Option<(Segment, Id)> {
    match pickle.value(pair) {
        Value::List(pair) | Value::Tuple(pair) => match pair.as_slice() {
            &[key, value] => Some((Segment::Key(key), value)),
            _ => None,
        },
        _ => None,
    }
}

/// The attributes of a pickled `nn.Module` that hold its tensors, in the order of its `state_dict`.
fn module_parts(pickle: &Pickle<'_>, state: Id) -> Vec<(Segment, Id)> {
    let Value::Dict(attributes) = pickle.value(state) else {
        return Vec::new();
    };
    let part = |wanted: &[u8]| {
        attributes
            .iter()
            .find(|&&(key, _)| pickle.text_of(key) == Some(wanted))
            .map(|&(_, value)| value)
    };
    [b"_parameters".as_slice(), b"_buffers", b"_modules"]
        .iter()
        .filter_map(|name| part(name))
        .map(|id| (Segment::Nothing, id))
        .collect()
}

/// A walk over the structure, depth first, on a stack of its own.
struct Walk<'p, 'a> {
    pickle: &'p Pickle<'a>,
    found: Found,
    name: String,
    /// The containers that are open: one that holds itself is not entered again.
    open: Vec<bool>,
    frames: Vec<Frame>,
    /// Shared containers are walked once for each of their names; this bounds the sum.
    steps_left: usize,
}

struct Frame {
    id: Id,
    children: std::vec::IntoIter<(Segment, Id)>,
    name_len: usize,
}

impl<'p, 'a> Walk<'p, 'a> {
    fn new(pickle: &'p Pickle<'a>) -> Self {
        let steps_left = pickle.end.saturating_mul(4).saturating_add(1 << 16);
        Self {
            pickle,
            found: Found::default(),
            name: String::new(),
            open: vec![false; pickle.len()],
            frames: Vec::new(),
            steps_left,
        }
    }

    fn run(mut self, root: Id) -> Result<Found, Error> {
        self.visit(root)?;
        while let Some(frame) = self.frames.last_mut() {
            self.name.truncate(frame.name_len);
            match frame.children.next() {
                Some((segment, id)) if is_of_interest(self.pickle, id) => {
                    if self.extend_name(segment)? {
                        self.visit(id)?;
                    }
                }
                Some(_) => {}
                None => {
                    self.open[frame.id.index()] = false;
                    self.frames.pop();
                }
            }
        }
        Ok(self.found)
    }

    fn visit(&mut self, id: Id) -> Result<(), Error> {
        match self.pickle.value(id) {
            Value::Tensor(view) => {
                let name = self.new_name()?;
                self.found.tensors.push((name, TensorView::clone(view)));
            }
            Value::UnreadableTensor(reason) => {
                let name = self.new_name()?;
                self.found.skipped.push(SkippedTensor {
                    name,
                    reason: reason.to_string(),
                });
            }
            _ if is_container(self.pickle, id) && !self.open[id.index()] => {
                if self.frames.len() >= MAX_DEPTH {
                    return Err(Error::limit(
                        "depth of nested dictionaries",
                        self.frames.len() + 1,
                        MAX_DEPTH,
                    ));
                }
                self.steps_left = self.steps_left.checked_sub(width(self.pickle, id) + 1).ok_or_else(|| {
                    Error::Unsupported(
                        "the pickle repeats its dictionaries until they are larger than the file allows".into(),
                    )
                })?;
                let children = children(self.pickle, id);
                self.open[id.index()] = true;
                self.frames.push(Frame {
                    id,
                    children: children.into_iter(),
                    name_len: self.name.len(),
                });
            }
            _ => {}
        }
        Ok(())
    }

    /// Appends a child's segment; `false` if its key cannot be part of a name.
    fn extend_name(&mut self, segment: Segment) -> Result<bool, Error> {
        let index;
        let text = match segment {
            Segment::Nothing => return Ok(true),
            Segment::Index(value) => {
                index = value.to_string();
                index.as_bytes()
            }
            Segment::Key(key) => match *self.pickle.value(key) {
                Value::Text(span) | Value::Encoded(span) => self.pickle.text(span),
                Value::Int(value) => {
                    index = value.to_string();
                    index.as_bytes()
                }
                _ => return Ok(false),
            },
        };
        if self.name.len() + text.len() > MAX_NAME {
            return Err(Error::limit(
                "bytes in a tensor's name",
                self.name.len() + text.len(),
                MAX_NAME,
            ));
        }
        if !self.name.is_empty() {
            self.name.push('.');
        }
        self.name += &String::from_utf8_lossy(text);
        Ok(true)
    }

    fn new_name(&self) -> Result<String, Error> {
        let count = self.found.tensors.len() + self.found.skipped.len();
        if count >= MAX_TENSORS {
            return Err(Error::limit("tensors", count + 1, MAX_TENSORS));
        }
        Ok(if self.name.is_empty() {
            "tensor".to_string()
        } else {
            self.name.clone()
        })
    }
}
