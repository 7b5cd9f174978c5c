//! What a pickle builds.

use super::globals::Global;
use crate::ElementType;

/// Index of a value in the arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Id(pub(super) u32);

impl Id {
    pub(crate) fn index(self) -> usize {
        self.0 as usize
    }
}

/// A part of the pickle's bytes: texts are never copied out of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Span {
    pub(super) start: u32,
    pub(super) len: u32,
}

impl Span {
    pub(crate) fn len(self) -> usize {
        self.len as usize
    }
}

#[derive(Debug)]
pub(crate) enum Value {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    /// An integer beyond 64 bits, little-endian two's complement.
    LongInt(Span),
    /// Text or bytes: Python 2 wrote the one where Python 3 writes the other.
    Text(Span),
    /// Bytes as Python 3 writes them for Python 2: a text each of whose characters is a byte.
    Encoded(Span),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    /// A dictionary made from a list of pairs that is another value.
    DictFrom(Id),
    Global(Global),
    Object(Box<Object>),
    Storage(Storage),
    Tensor(Box<TensorView>),
    /// A tensor of a kind that is not read, with the reason.
    UnreadableTensor(&'static str),
    /// The element type of a numpy array.
    ArrayType(ArrayType),
    /// A numpy array that has not been given its content yet.
    EmptyArray,
    /// An object that nothing is known of.
    Opaque,
}

/// An instance of a class that is not known: only its parts are kept.
#[derive(Debug, Default)]
pub(crate) struct Object {
    /// Items if it is a dictionary.
    pub(crate) items: Vec<(Id, Id)>,
    /// Attributes as set by BUILD.
    pub(crate) state: Option<Id>,
}

/// `numpy.dtype`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ArrayType {
    /// `None` for one that is not read, as texts and objects.
    pub(crate) element: Option<ElementType>,
    pub(crate) is_big_endian: bool,
}

/// Where a storage's bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// A storage that the file declares: its index in the declarations.
    Declared(u32),
    /// A text of the pickle itself: its index in [`Pickle::inline`](super::Pickle).
    Inline(u32),
}

/// A range of bytes of a storage.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Storage {
    pub(crate) source: Source,
    pub(crate) element: ElementType,
    pub(crate) start: usize,
    pub(crate) len: usize,
}

/// A tensor: an unchecked view into a storage.
#[derive(Clone, Debug)]
pub(crate) struct TensorView {
    pub(crate) storage: Storage,
    pub(crate) element: ElementType,
    pub(crate) offset: usize,
    pub(crate) shape: Vec<usize>,
    pub(crate) strides: Vec<usize>,
}
