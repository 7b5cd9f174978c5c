//! The names that a pickle may mention, and what becomes of them.

use super::ElementType;
use super::value::Span;

/// A name in a module.
#[derive(Clone, Copy, Debug)]
pub struct Global {
    pub(super) module: Span,
    pub(super) name: Span,
    pub(super) kind: Kind,
}

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    /// A dictionary class.
    Dict,
    /// Its only argument stands for the result.
    Identity,
    /// A text becomes the bytes that its characters stand for.
    Encode,
    /// What is derived from its first argument, as an attribute of it: nothing is known of the
    /// result, and a file that derives it from what runs code is refused.
    Derived,
    Parameter,
    RebuildTensor(Signature),
    RebuildParameter,
    RebuildFromType,
    /// A tensor of another class; what it is made of is in its attributes.
    RebuildWrapper,
    UnreadableTensor(&'static str),
    /// Makes an object of the class that is its first argument.
    NewObject,
    Storage(ElementType),
    ElementType(ElementType),
    /// `numpy.dtype`.
    ArrayType,
    /// A numpy array, which gets its content afterwards.
    NewArray,
    /// A numpy array of bytes, type, shape and order.
    ArrayOfBuffer,
    /// A class or function of plain data; the result is an object that nothing is known of.
    Inert,
    /// Nothing is known of it: what it gives is an inert object, and it is not called.
    Unknown,
    /// From a module that can run code: a file that makes or calls it is refused.
    Forbidden,
}

/// Which arguments `_rebuild_tensor*` takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Signature {
    /// storage, offset, size, stride
    V1,
    /// … requires_grad, backward_hooks, metadata
    V2,
    /// … requires_grad, backward_hooks, dtype, metadata
    V3,
}

/// Modules whose functions or classes run code, or touch files, processes or the network.
const FORBIDDEN: &[&str] = &[
    "_ctypes",
    "_io",
    "_operator",
    "_pickle",
    "_posixsubprocess",
    "_socket",
    "_thread",
    "asyncio",
    "cProfile",
    "cloudpickle",
    "code",
    "codeop",
    "commands",
    "ctypes",
    "dill",
    "ftplib",
    "gc",
    "http",
    "httplib",
    "imp",
    "importlib",
    "inspect",
    "io",
    "joblib",
    "marshal",
    "multiprocessing",
    "nt",
    "operator",
    "os",
    "pathlib",
    "pdb",
    "pickle",
    "pip",
    "pkgutil",
    "popen2",
    "posix",
    "profile",
    "pty",
    "requests",
    "runpy",
    "shelve",
    "shutil",
    "signal",
    "site",
    "socket",
    "sqlite3",
    "ssl",
    "subprocess",
    "sys",
    "tempfile",
    "thread",
    "threading",
    "timeit",
    "types",
    "urllib",
    "urllib2",
    "webbrowser",
    "zipimport",
];

/// Longer than any name that is known.
const MAX_NAME: usize = 200;

pub(super) fn resolve(module: &[u8], name: &[u8]) -> Kind {
    // A long text may be named again and again by a few bytes each time: it is not looked at.
    if module.len().max(name.len()) > MAX_NAME {
        return Kind::Unknown;
    }
    let (Ok(module), Ok(name)) = (str::from_utf8(module), str::from_utf8(name)) else {
        return Kind::Unknown;
    };
    match module {
        "collections" | "UserDict" | "_collections" => collections(name),
        "builtins" | "__builtin__" => builtins(name),
        "copyreg" | "copy_reg" => match name {
            "_reconstructor" | "__newobj__" => Kind::NewObject,
            _ => Kind::Unknown,
        },
        "_codecs" if name == "encode" => Kind::Encode,
        // `Optional[int]` is pickled as an item of `Optional`, `int | None` as a reduction by `or_`.
        "operator" | "_operator" if name == "getitem" => Kind::Derived,
        "functools" | "_functools" if name == "reduce" => Kind::Derived,
        _ if is_plain_data(module, name) => Kind::Inert,
        _ if module == "torch" || module.starts_with("torch.") => torch(module, name),
        _ if module == "numpy" || module.starts_with("numpy.") => numpy(module, name),
        _ if FORBIDDEN.contains(&module.split('.').next().unwrap_or(module)) => Kind::Forbidden,
        _ => Kind::Unknown,
    }
}

/// What makes data in modules that also hold what runs code.
fn is_plain_data(module: &str, name: &str) -> bool {
    match module {
        "types" => matches!(
            name,
            "SimpleNamespace" | "GenericAlias" | "MappingProxyType"
        ),
        "operator" | "_operator" => {
            matches!(name, "itemgetter" | "attrgetter" | "methodcaller" | "or_")
        }
        "io" | "_io" => matches!(name, "BytesIO" | "StringIO"),
        "os" | "posix" | "nt" => matches!(name, "stat_result" | "terminal_size"),
        "http" => matches!(name, "HTTPStatus" | "HTTPMethod"),
        "signal" => matches!(name, "Signals" | "Handlers"),
        "inspect" => matches!(name, "Signature" | "Parameter" | "_ParameterKind"),
        "urllib.parse" => name.ends_with("Result") || name.ends_with("ResultBytes"),
        "pathlib" | "pathlib._local" => name.ends_with("Path"),
        _ => false,
    }
}

fn collections(name: &str) -> Kind {
    match name {
        "OrderedDict" | "defaultdict" | "Counter" | "UserDict" => Kind::Dict,
        "deque" => Kind::Inert,
        _ => Kind::Unknown,
    }
}

fn builtins(name: &str) -> Kind {
    match name {
        "dict" => Kind::Dict,
        "int" | "long" | "float" | "complex" | "bool" | "str" | "unicode" | "bytes"
        | "bytearray" | "list" | "tuple" | "set" | "frozenset" | "range" | "xrange" | "slice"
        | "object" | "type" | "iter" | "reversed" | "enumerate" | "zip" => Kind::Inert,
        "getattr" | "map" | "filter" | "reduce" => Kind::Derived,
        _ if ["Error", "Exception", "Warning"]
            .iter()
            .any(|ending| name.ends_with(ending)) =>
        {
            Kind::Inert
        }
        _ => Kind::Forbidden,
    }
}

fn torch(module: &str, name: &str) -> Kind {
    if let Some(element) = ElementType::from_storage(name) {
        return Kind::Storage(element);
    }
    match (module, name) {
        ("torch._utils", "_rebuild_tensor") => Kind::RebuildTensor(Signature::V1),
        ("torch._utils", "_rebuild_tensor_v2") => Kind::RebuildTensor(Signature::V2),
        ("torch._utils", "_rebuild_tensor_v3") => Kind::RebuildTensor(Signature::V3),
        ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => {
            Kind::RebuildParameter
        }
        ("torch._tensor", "_rebuild_from_type_v2") => Kind::RebuildFromType,
        ("torch._utils", "_rebuild_qtensor") => {
            Kind::UnreadableTensor("quantised tensors are not read")
        }
        ("torch._utils", "_rebuild_sparse_tensor") => {
            Kind::UnreadableTensor("sparse tensors are not read")
        }
        ("torch._utils", "_rebuild_nested_tensor") => {
            Kind::UnreadableTensor("nested tensors are not read")
        }
        ("torch._utils", "_rebuild_meta_tensor_no_storage") => {
            Kind::UnreadableTensor("tensors on the meta device hold no values")
        }
        (
            "torch._utils",
            "_rebuild_device_tensor_from_numpy"
            | "_rebuild_device_tensor_from_cpu_tensor"
            | "_rebuild_xla_tensor",
        ) => Kind::Identity,
        ("torch._utils", "_rebuild_wrapper_subclass") => Kind::RebuildWrapper,
        ("torch._utils", name) if name.starts_with("_rebuild_") => {
            Kind::UnreadableTensor("tensors that PyTorch rebuilds in another way are not read")
        }
        ("torch.storage", "_load_from_bytes") => {
            Kind::UnreadableTensor("tensors pickled without `torch.save` are not read")
        }
        ("torch.nn.parameter" | "torch.nn", "Parameter" | "Buffer")
        | ("torch.autograd.variable" | "torch.autograd", "Variable") => Kind::Parameter,
        ("torch", "Size") => Kind::Identity,
        ("torch", "device" | "Generator" | "layout" | "memory_format")
        | ("torch.serialization", "_get_layout") => Kind::Inert,
        ("torch", _) => ElementType::from_torch(name).map_or(Kind::Unknown, Kind::ElementType),
        _ => Kind::Unknown,
    }
}

fn numpy(module: &str, name: &str) -> Kind {
    match (module, name) {
        ("numpy.core.multiarray" | "numpy._core.multiarray", "scalar") => Kind::Inert,
        ("numpy.core.multiarray" | "numpy._core.multiarray", "_reconstruct")
        | ("numpy", "ndarray") => Kind::NewArray,
        ("numpy.core.numeric" | "numpy._core.numeric", "_frombuffer") => Kind::ArrayOfBuffer,
        ("numpy", "dtype") => Kind::ArrayType,
        ("numpy.random._pickle", _) => Kind::Inert,
        _ => Kind::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_resolve_to_what_they_may_do() {
        let cases = [
            ("posix", "system", Kind::Forbidden),
            ("os.path", "join", Kind::Forbidden),
            ("builtins", "eval", Kind::Forbidden),
            ("builtins", "set", Kind::Inert),
            ("__builtin__", "getattr", Kind::Derived),
            ("__builtin__", "setattr", Kind::Forbidden),
            ("builtins", "__import__", Kind::Forbidden),
            ("builtins", "map", Kind::Derived),
            ("builtins", "KeyError", Kind::Inert),
            ("subprocess", "Popen", Kind::Forbidden),
            ("ossaudiodev", "open", Kind::Unknown),
            ("torch", "FloatStorage", Kind::Storage(ElementType::F32)),
            ("torch.cuda", "HalfStorage", Kind::Storage(ElementType::F16)),
            (
                "torch.storage",
                "UntypedStorage",
                Kind::Storage(ElementType::U8),
            ),
            ("torch", "bfloat16", Kind::ElementType(ElementType::BF16)),
            ("torch", "hub", Kind::Unknown),
            ("torch.hub", "load", Kind::Unknown),
            ("models.resnet", "ResNet", Kind::Unknown),
            ("pathlib", "PosixPath", Kind::Inert),
            ("operator", "itemgetter", Kind::Inert),
            ("_operator", "getitem", Kind::Derived),
            ("operator", "call", Kind::Forbidden),
            ("io", "BytesIO", Kind::Inert),
            ("io", "open", Kind::Forbidden),
            ("os", "stat_result", Kind::Inert),
            ("signal", "signal", Kind::Forbidden),
            ("urllib.parse", "ParseResult", Kind::Inert),
            ("urllib.request", "urlopen", Kind::Forbidden),
            ("numpy", "ndarray", Kind::NewArray),
            ("pandas.core.frame", "DataFrame", Kind::Unknown),
        ];
        for (module, name, kind) in cases {
            assert_eq!(
                resolve(module.as_bytes(), name.as_bytes()),
                kind,
                "{module}.{name}"
            );
        }
    }
}
