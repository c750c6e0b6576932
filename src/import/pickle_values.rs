//! Values that a pickle builds, and the names that it may ask for.

use super::pickle::Id;
use crate::model::short;

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// None, and whatever does not matter.
    None,
    /// True or False.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number.
    Float(f64),
    /// A text.
    Text(&'a str),
    /// A tuple or a list.
    List(Vec<Id>),
    /// A set, whose order says nothing.
    Set(Vec<Id>),
    /// A dict, in its order.
    Dict(Vec<(Id, Id)>),
    /// A name that the machine knows.
    Known(Known),
    /// A name that it does not know.
    Class(Class<'a>),
    /// A stretch of numbers in the archive: its type, its name there.
    Storage(&'static str, &'a str),
    /// A tensor.
    Tensor(Box<Stored<'a>>),
    /// An instance of a class that was not run.
    Object(Box<Object<'a>>),
}

/// A tensor in a storage: offset, sizes, strides, in numbers.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored<'a> {
    /// The type of its numbers.
    pub class: &'static str,
    /// The storage's name in the archive.
    pub storage: &'a str,
    /// Where it begins.
    pub offset: i64,
    /// Sizes.
    pub shape: Vec<i64>,
    /// From one number to the next along each axis.
    pub strides: Vec<i64>,
}

impl<'a> Value<'a> {
    /// A tensor.
    pub fn tensor(class: &'static str, storage: &'a str, offset: i64, shape: Vec<i64>, strides: Vec<i64>) -> Value<'a> {
        Value::Tensor(Box::new(Stored { class, storage, offset, shape, strides }))
    }
}

/// The name of a class or function of Python.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Class<'a> {
    /// Where it stands.
    pub module: &'a str,
    /// Its name there.
    pub name: &'a str,
}

impl Class<'_> {
    /// For messages.
    pub fn shown(&self) -> String {
        format!("{}.{}", short(self.module), short(self.name))
    }
}

/// An instance of a class, as it would have been had the class been run.
#[derive(Clone, Debug, PartialEq)]
pub struct Object<'a> {
    /// Its class.
    pub class: Class<'a>,
    /// Its attributes.
    pub state: Option<Id>,
    /// Its entries, where it is a dict.
    pub entries: Vec<(Id, Id)>,
}

impl<'a> Object<'a> {
    /// One that was given nothing yet.
    pub fn new(class: Class<'a>) -> Object<'a> {
        Object { class, state: None, entries: Vec::new() }
    }
}

/// The names that the machine knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// collections.OrderedDict and its like.
    Dict,
    /// list and tuple.
    List,
    /// set and frozenset.
    Set,
    /// torch._utils._rebuild_tensor_v2 and its elders.
    RebuildTensor,
    /// torch._utils._rebuild_parameter.
    RebuildParameter,
    /// torch.FloatStorage and so on.
    Storage(&'static str),
    /// torch.Size.
    Size,
}

const STORAGES: [&str; 10] = [
    "FloatStorage",
    "HalfStorage",
    "BFloat16Storage",
    "DoubleStorage",
    "LongStorage",
    "IntStorage",
    "ShortStorage",
    "CharStorage",
    "ByteStorage",
    "BoolStorage",
];

/// Modules that nobody saves anything of, but to have it run.
const RUNNING: [&str; 14] = [
    "os",
    "posix",
    "nt",
    "subprocess",
    "sys",
    "socket",
    "shutil",
    "importlib",
    "runpy",
    "pty",
    "ctypes",
    "webbrowser",
    "commands",
    "code",
];

/// A name as the machine takes it.
///
/// # Errors
/// One whose only use is to run something.
pub fn known<'a>(module: &'a str, name: &'a str) -> Result<Value<'a>, String> {
    let root = module.split('.').next().unwrap_or_default();
    let builtin = matches!(module, "builtins" | "__builtin__");
    let runs = builtin
        && matches!(name, "eval" | "exec" | "compile" | "open" | "__import__" | "input" | "execfile" | "breakpoint");
    if RUNNING.contains(&root) || runs {
        return Err(format!(
            "the pickle asks for {}, which is refused: Python would run it when it loads the file; here nothing is run",
            Class { module, name }.shown()
        ));
    }
    Ok(Value::Known(match (module, name) {
        ("collections", "OrderedDict" | "Counter" | "defaultdict") => Known::Dict,
        _ if builtin && name == "dict" => Known::Dict,
        _ if builtin && matches!(name, "list" | "tuple") => Known::List,
        _ if builtin && matches!(name, "set" | "frozenset") => Known::Set,
        ("torch._utils", "_rebuild_tensor_v2" | "_rebuild_tensor" | "_rebuild_tensor_v3") => Known::RebuildTensor,
        ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state") => Known::RebuildParameter,
        ("torch", "Size") => Known::Size,
        ("torch", name) if STORAGES.contains(&name) => {
            Known::Storage(STORAGES.iter().find(|s| **s == name).expect("found"))
        }
        _ => return Ok(Value::Class(Class { module, name })),
    }))
}
