//! Element types as files store them.

/// How a file stores the elements of a tensor or an array.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ElementType {
    /// Boolean, one byte.
    Bool,
    /// Unsigned 8-bit integer.
    U8,
    /// Signed 8-bit integer.
    I8,
    /// Unsigned 16-bit integer.
    U16,
    /// Signed 16-bit integer.
    I16,
    /// IEEE half precision.
    F16,
    /// bfloat16.
    BF16,
    /// Unsigned 32-bit integer.
    U32,
    /// Signed 32-bit integer.
    I32,
    /// Single precision.
    F32,
    /// Unsigned 64-bit integer.
    U64,
    /// Signed 64-bit integer.
    I64,
    /// Double precision.
    F64,
    /// A type that cannot be loaded: complex, 8-bit and smaller floats, quantised integers.
    Other {
        /// Its name in the file.
        name: &'static str,
        /// Bits per element.
        bits: u8,
    },
}

impl ElementType {
    /// Bits per element.
    pub fn bits(self) -> usize {
        match self {
            Self::Bool | Self::U8 | Self::I8 => 8,
            Self::U16 | Self::I16 | Self::F16 | Self::BF16 => 16,
            Self::U32 | Self::I32 | Self::F32 => 32,
            Self::U64 | Self::I64 | Self::F64 => 64,
            Self::Other { bits, .. } => usize::from(bits),
        }
    }

    /// The element type of `torch.<name>`.
    pub(crate) fn from_torch(name: &str) -> Option<Self> {
        Some(match name {
            "bool" => Self::Bool,
            "uint8" => Self::U8,
            "int8" => Self::I8,
            "uint16" => Self::U16,
            "int16" | "short" => Self::I16,
            "float16" | "half" => Self::F16,
            "bfloat16" => Self::BF16,
            "uint32" => Self::U32,
            "int32" | "int" => Self::I32,
            "float32" | "float" => Self::F32,
            "uint64" => Self::U64,
            "int64" | "long" => Self::I64,
            "float64" | "double" => Self::F64,
            "float8_e4m3fn" => Self::Other {
                name: "float8_e4m3fn",
                bits: 8,
            },
            "float8_e5m2" => Self::Other {
                name: "float8_e5m2",
                bits: 8,
            },
            "float8_e4m3fnuz" => Self::Other {
                name: "float8_e4m3fnuz",
                bits: 8,
            },
            "float8_e5m2fnuz" => Self::Other {
                name: "float8_e5m2fnuz",
                bits: 8,
            },
            "float8_e8m0fnu" => Self::Other {
                name: "float8_e8m0fnu",
                bits: 8,
            },
            "complex32" => Self::Other {
                name: "complex32",
                bits: 32,
            },
            "complex64" | "cfloat" => Self::Other {
                name: "complex64",
                bits: 64,
            },
            "complex128" | "cdouble" => Self::Other {
                name: "complex128",
                bits: 128,
            },
            _ => return None,
        })
    }

    /// The element type of `numpy.dtype(name)`, as numpy pickles it: kind and bytes.
    pub(crate) fn from_numpy(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"b1" => Self::Bool,
            b"u1" => Self::U8,
            b"i1" => Self::I8,
            b"u2" => Self::U16,
            b"i2" => Self::I16,
            b"f2" => Self::F16,
            b"u4" => Self::U32,
            b"i4" => Self::I32,
            b"f4" => Self::F32,
            b"u8" => Self::U64,
            b"i8" => Self::I64,
            b"f8" => Self::F64,
            b"c8" => Self::Other {
                name: "complex64",
                bits: 64,
            },
            b"c16" => Self::Other {
                name: "complex128",
                bits: 128,
            },
            _ => return None,
        })
    }

    /// The element type of `torch.<name>Storage`; an untyped storage holds bytes.
    pub(crate) fn from_storage(name: &str) -> Option<Self> {
        Some(match name.strip_suffix("Storage")? {
            "Bool" => Self::Bool,
            "Byte" | "Untyped" | "_Untyped" => Self::U8,
            "Char" => Self::I8,
            "Short" => Self::I16,
            "Half" => Self::F16,
            "BFloat16" => Self::BF16,
            "Int" => Self::I32,
            "Float" => Self::F32,
            "Long" => Self::I64,
            "Double" => Self::F64,
            "ComplexFloat" => Self::Other {
                name: "complex64",
                bits: 64,
            },
            "ComplexDouble" => Self::Other {
                name: "complex128",
                bits: 128,
            },
            "QInt8" => Self::Other {
                name: "qint8",
                bits: 8,
            },
            "QUInt8" => Self::Other {
                name: "quint8",
                bits: 8,
            },
            "QInt32" => Self::Other {
                name: "qint32",
                bits: 32,
            },
            "QUInt4x2" => Self::Other {
                name: "quint4x2",
                bits: 8,
            },
            "QUInt2x4" => Self::Other {
                name: "quint2x4",
                bits: 8,
            },
            _ => return None,
        })
    }
}
