//! What a pickle builds.

use super::{ElementType, Global};

/// Index of a value in the arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Id(pub(super) u32);

impl Id {
    /// The place as a number below [`Pickle::len`](super::Pickle::len).
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// A part of the pickle's bytes: texts are never copied out of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Span {
    pub(super) start: u32,
    pub(super) len: u32,
}

impl Span {
    /// Its number of bytes.
    pub fn len(self) -> usize {
        self.len as usize
    }

    /// Whether it has none.
    pub fn is_empty(self) -> bool {
        self.len == 0
    }
}

/// A value of a pickle.
#[derive(Debug)]
#[non_exhaustive]
pub enum Value {
    /// `None`.
    None,
    /// A truth value.
    Bool(bool),
    /// An integer of at most 64 bits.
    Int(i64),
    /// A floating-point number.
    Float(f64),
    /// An integer beyond 64 bits, little-endian two's complement.
    LongInt(Span),
    /// Text or bytes: Python 2 wrote the one where Python 3 writes the other.
    Text(Span),
    /// Bytes as Python 3 writes them for Python 2: a text each of whose characters is a byte.
    Encoded(Span),
    /// A tuple.
    Tuple(Vec<Id>),
    /// A list.
    List(Vec<Id>),
    /// A dictionary, as pairs in the order in which they were set.
    Dict(Vec<(Id, Id)>),
    /// A dictionary made from a list of pairs that is another value.
    DictFrom(Id),
    /// A name in a module: a class or a function.
    Global(Global),
    /// An instance of a class that is not known.
    Object(Box<Object>),
    /// Bytes of tensors.
    Storage(Storage),
    /// A tensor, or a numpy array.
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
pub struct Object {
    /// Items if it is a dictionary.
    pub items: Vec<(Id, Id)>,
    /// Attributes as set by BUILD.
    pub state: Option<Id>,
}

/// `numpy.dtype`.
#[derive(Clone, Copy, Debug)]
pub struct ArrayType {
    /// `None` for one that is not read, as texts and objects.
    pub element: Option<ElementType>,
    /// Whether the first byte of an element is the largest.
    pub is_big_endian: bool,
}

/// Where a storage's bytes are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// A storage that the file declares: its index in the declarations.
    Declared(u32),
    /// A text of the pickle itself: its index in [`Pickle::inline`](super::Pickle::inline).
    Inline(u32),
}

/// A range of bytes of a storage.
#[derive(Clone, Copy, Debug)]
pub struct Storage {
    /// Which storage.
    pub source: Source,
    /// The type of its elements.
    pub element: ElementType,
    /// Its first byte.
    pub start: usize,
    /// Its number of bytes.
    pub len: usize,
}

/// A tensor: an unchecked view into a storage.
#[derive(Clone, Debug)]
pub struct TensorView {
    /// Where its elements are.
    pub storage: Storage,
    /// The type of its elements.
    pub element: ElementType,
    /// The first element's place, in elements.
    pub offset: usize,
    /// The size of each dimension.
    pub shape: Vec<usize>,
    /// The step of each dimension, in elements.
    pub strides: Vec<usize>,
}
