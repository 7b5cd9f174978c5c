//! What calling a function of the allow-list gives, without calling anything.

use super::ElementType;
use super::globals::{Global, Kind, Signature};
use super::machine::{Failure, Machine};
use super::value::{Id, Object, Source, Storage, TensorView, Value};

/// PyTorch's own limit is 64; no weight has more than six.
const MAX_RANK: usize = 32;

/// Why a tensor is not read that is made of others.
const WRAPPER: &str = "tensors of other classes, made of several tensors, are not read";

/// Bytes of a storage's key, which is a number.
const MAX_KEY: usize = 200;

impl Machine<'_> {
    /// REDUCE: `function(*args)`.
    pub(super) fn call(&mut self, function: Id, args: Id) -> Result<Id, Failure> {
        let Value::Tuple(arguments) = self.value(args) else {
            return Err(Failure::because("calls with something that is not a tuple"));
        };
        let first = arguments.first().copied();
        let second = arguments.get(1).copied();
        let global = match *self.value(function) {
            Value::Global(global) => global,
            // An attribute of something that is not known.
            Value::Opaque | Value::Object(_) => return self.unknown_object(first),
            _ => return Err(Failure::because("calls something that is not a name")),
        };
        let made = match global.kind {
            Kind::Dict => self.dict(first),
            Kind::Identity | Kind::Parameter | Kind::RebuildParameter => {
                return first.ok_or_else(|| Failure::because("a call lacks its argument"));
            }
            Kind::Encode => return self.encoded(first, second),
            Kind::Derived => self.derived(first)?,
            Kind::RebuildTensor(signature) => self.tensor(signature, args)?,
            Kind::RebuildFromType => return self.rebuild_from_type(args),
            Kind::RebuildWrapper => Value::UnreadableTensor(WRAPPER),
            Kind::UnreadableTensor(reason) => Value::UnreadableTensor(reason),
            Kind::NewObject => return self.instance(first, None),
            Kind::ArrayType => self.array_type(first),
            Kind::NewArray => Value::EmptyArray,
            Kind::ArrayOfBuffer => self.array_of_buffer(args)?,
            Kind::Inert => Value::Opaque,
            Kind::Unknown => return self.unknown_object(first),
            Kind::Storage(_) | Kind::ElementType(_) | Kind::Forbidden => {
                return Err(self.refused(global));
            }
        };
        self.add(made)
    }

    /// What a function gives that is not known, and not called. A dictionary that it is given may
    /// be a module's, as `torch.fx` rebuilds one.
    fn unknown_object(&mut self, first: Option<Id>) -> Result<Id, Failure> {
        let state = first.filter(|&id| matches!(self.value(id), Value::Dict(_)));
        self.add(Value::Object(Box::new(Object {
            items: Vec::new(),
            state,
        })))
    }

    /// `getattr(object, name)`, as methods, functions and classes within classes are pickled, and
    /// the like.
    fn derived(&self, object: Option<Id>) -> Result<Value, Failure> {
        match object.map(|object| self.value(object)) {
            Some(&Value::Global(global)) if global.kind == Kind::Forbidden => {
                Err(self.refused(global))
            }
            Some(_) => Ok(Value::Opaque),
            None => Err(Failure::because("a call lacks its argument")),
        }
    }

    /// `_codecs.encode(text, encoding)`.
    fn encoded(&mut self, text: Option<Id>, encoding: Option<Id>) -> Result<Id, Failure> {
        let text = text.ok_or_else(|| Failure::because("a call lacks its argument"))?;
        let encoding = encoding.and_then(|encoding| self.text_of(encoding));
        match (self.value(text), encoding) {
            (&Value::Text(span), Some(b"latin1" | b"latin-1")) => self.add(Value::Encoded(span)),
            _ => Ok(text),
        }
    }

    /// NEWOBJ: `class.__new__(class, *args)`, which for a class that is not known makes an inert
    /// object.
    pub(super) fn instance(&mut self, class: Option<Id>, args: Option<Id>) -> Result<Id, Failure> {
        let global = match class.map(|class| self.value(class)) {
            Some(&Value::Global(global)) => global,
            // A class within a class.
            Some(Value::Opaque) => return self.add(Value::Object(Box::default())),
            _ => {
                return Err(Failure::because(
                    "makes an instance of something that is not a class",
                ));
            }
        };
        match global.kind {
            Kind::Forbidden => Err(self.refused(global)),
            Kind::Dict => self.add(Value::Dict(Vec::new())),
            Kind::UnreadableTensor(reason) => self.add(Value::UnreadableTensor(reason)),
            Kind::NewArray => self.add(Value::EmptyArray),
            Kind::Parameter | Kind::Identity => match args.map(|args| self.value(args)) {
                Some(Value::Tuple(items)) if !items.is_empty() => Ok(items[0]),
                _ => self.add(Value::UnreadableTensor("a parameter without a tensor")),
            },
            _ => self.add(Value::Object(Box::default())),
        }
    }

    /// BUILD: `object.__setstate__(state)`.
    pub(super) fn build(&mut self, object: Id, state: Id) -> Result<(), Failure> {
        match self.value_mut(object) {
            Value::Object(object) => object.state = Some(state),
            Value::EmptyArray | Value::ArrayType(_) => self.build_array(object, state)?,
            _ => {}
        }
        Ok(())
    }

    /// `('storage', class, key, location, count, view)` stands for a storage,
    /// `('module', class, …)` for its class.
    pub(super) fn persistent(&mut self, id: Id) -> Result<Id, Failure> {
        let Value::Tuple(items) = self.value(id) else {
            return Err(Failure::because("a persistent id is not a tuple"));
        };
        match (
            items.first().and_then(|&id| self.text_of(id)),
            items.as_slice(),
        ) {
            (Some(b"storage"), &[_, class, key, _location, count, ref view @ ..]) => {
                let view = view.first().copied();
                let storage = self.storage(class, key, count, view)?;
                self.add(Value::Storage(storage))
            }
            (Some(b"module"), &[_, class, ..]) => Ok(class),
            _ => Err(Failure::because(
                "a persistent id is neither a storage nor a module",
            )),
        }
    }

    fn storage(
        &mut self,
        class: Id,
        key: Id,
        count: Id,
        view: Option<Id>,
    ) -> Result<Storage, Failure> {
        let &Value::Global(Global {
            kind: Kind::Storage(element),
            ..
        }) = self.value(class)
        else {
            return Err(Failure::because("a storage has an unknown class"));
        };
        let key = self
            .text_of(key)
            .ok_or_else(|| Failure::because("a storage's key is not a text"))?;
        if key.len() > MAX_KEY {
            return Err(Failure::because(format!(
                "a storage's key has {} bytes, at most {MAX_KEY} are read",
                key.len()
            )));
        }
        let count = self.size(count, "a storage's size")?;
        let len = in_bytes(count, element)?;
        let source = Source::Declared(self.declare(key, element, len)?);
        match view.map(|view| self.value(view)) {
            None | Some(Value::None) => Ok(Storage {
                source,
                element,
                start: 0,
                len,
            }),
            Some(Value::Tuple(items)) => {
                let &[_, offset, count] = items.as_slice() else {
                    return Err(Failure::because("a storage's view is not a triple"));
                };
                let start = in_bytes(self.size(offset, "a storage view's offset")?, element)?;
                let view_len = in_bytes(self.size(count, "a storage view's size")?, element)?;
                if start.checked_add(view_len).is_none_or(|end| end > len) {
                    return Err(Failure::because("a storage's view reaches beyond it"));
                }
                Ok(Storage {
                    source,
                    element,
                    start,
                    len: view_len,
                })
            }
            Some(_) => Err(Failure::because("a storage's view is not a tuple")),
        }
    }

    fn tensor(&self, signature: Signature, args: Id) -> Result<Value, Failure> {
        let args = self.sequence(args)?;
        let (&[storage, offset, shape, strides], rest) = args
            .split_first_chunk()
            .ok_or_else(|| Failure::because("a tensor lacks arguments"))?;
        let storage = match *self.value(storage) {
            Value::Storage(storage) => storage,
            Value::UnreadableTensor(reason) => return Ok(Value::UnreadableTensor(reason)),
            _ => return Err(Failure::because("a tensor's storage is no storage")),
        };
        let (dtype, metadata) = match signature {
            Signature::V1 => (None, None),
            Signature::V2 => (None, rest.get(2)),
            Signature::V3 => (rest.get(2), rest.get(3)),
        };
        if metadata
            .is_some_and(|&id| matches!(self.value(id), Value::Dict(items) if !items.is_empty()))
        {
            return Ok(Value::UnreadableTensor(
                "tensors with a conjugate or negative bit are not read",
            ));
        }
        let element = match dtype.map(|&id| self.value(id)) {
            None => storage.element,
            Some(&Value::Global(Global {
                kind: Kind::ElementType(element),
                ..
            })) => element,
            Some(_) => return Err(Failure::because("a tensor's dtype is no dtype")),
        };
        let offset = self.size(offset, "a tensor's storage offset")?;
        let shape = self.sizes(shape, "a tensor's size")?;
        let strides = self.sizes(strides, "a tensor's stride")?;
        Ok(Value::Tensor(Box::new(TensorView {
            storage,
            element,
            offset,
            shape,
            strides,
        })))
    }

    /// `_rebuild_from_type_v2(function, type, args, state)`.
    fn rebuild_from_type(&mut self, args: Id) -> Result<Id, Failure> {
        let &[function, _, inner, ref rest @ ..] = self.sequence(args)? else {
            return Err(Failure::because("a tensor lacks arguments"));
        };
        let state = rest.first().copied();
        match self.value(function) {
            Value::Global(global) if global.kind == Kind::RebuildFromType => {
                Err(Failure::because("a tensor is rebuilt from itself"))
            }
            Value::Global(global) if global.kind == Kind::RebuildWrapper => {
                match state.and_then(|state| self.wrapped(inner, state)) {
                    Some(tensor) => Ok(tensor),
                    None => self.add(Value::UnreadableTensor(WRAPPER)),
                }
            }
            _ => self.call(function, inner),
        }
    }

    /// The tensor within one of another class (`DTensor`): the only one among its attributes that
    /// has the type and the shape of the whole. `args` are those of
    /// `_rebuild_wrapper_subclass(class, dtype, size, …)`.
    fn wrapped(&self, args: Id, state: Id) -> Option<Id> {
        let &[_, dtype, shape, ..] = self.sequence(args).ok()? else {
            return None;
        };
        let &Value::Global(Global {
            kind: Kind::ElementType(element),
            ..
        }) = self.value(dtype)
        else {
            return None;
        };
        let shape = self.sizes(shape, "a tensor's size").ok()?;
        // Of a class with slots: (attributes, slots).
        let attributes = match self.value(state) {
            Value::Tuple(parts) => *parts.first()?,
            _ => state,
        };
        let Value::Dict(attributes) = self.value(attributes) else {
            return None;
        };
        let mut same = attributes.iter().filter(|&&(_, value)| {
            matches!(self.value(value), Value::Tensor(view)
                if view.element == element && view.shape == shape)
        });
        match (same.next(), same.next()) {
            (Some(&(_, tensor)), None) => Some(tensor),
            _ => None,
        }
    }

    fn dict(&self, first: Option<Id>) -> Value {
        match first.map(|first| (first, self.value(first))) {
            Some((_, &Value::DictFrom(id))) => Value::DictFrom(id),
            Some((id, Value::List(_) | Value::Tuple(_) | Value::Dict(_))) => Value::DictFrom(id),
            _ => Value::Dict(Vec::new()),
        }
    }

    pub(super) fn sizes(&self, id: Id, what: &str) -> Result<Vec<usize>, Failure> {
        let items = self.sequence(id)?;
        if items.len() > MAX_RANK {
            return Err(Failure::because(format!(
                "{what} has {} dimensions, at most {MAX_RANK} are read",
                items.len()
            )));
        }
        items.iter().map(|&item| self.size(item, what)).collect()
    }

    fn size(&self, id: Id, what: &str) -> Result<usize, Failure> {
        match *self.value(id) {
            Value::Int(value) => usize::try_from(value)
                .map_err(|_| Failure::because(format!("{what} is negative: {value}"))),
            Value::LongInt(_) => Err(Failure::because(format!("{what} is beyond 64 bits"))),
            _ => Err(Failure::because(format!("{what} is not an integer"))),
        }
    }

    pub(super) fn sequence(&self, id: Id) -> Result<&[Id], Failure> {
        match self.value(id) {
            Value::Tuple(items) | Value::List(items) => Ok(items),
            _ => Err(Failure::because("a tuple was expected")),
        }
    }

    /// The error for a call that is not allowed.
    pub(super) fn refused(&self, global: Global) -> Failure {
        let part = |span| {
            String::from_utf8_lossy(self.text(span))
                .chars()
                .take(80)
                .collect::<String>()
        };
        Failure::Refused {
            function: format!("{}.{}", part(global.module), part(global.name)),
        }
    }
}

fn in_bytes(count: usize, element: ElementType) -> Result<usize, Failure> {
    count
        .checked_mul(element.bits() / 8)
        .filter(|&bytes| bytes <= isize::MAX as usize)
        .ok_or_else(|| {
            Failure::because(format!(
                "a storage of {count} elements of {element:?} is beyond any memory"
            ))
        })
}
