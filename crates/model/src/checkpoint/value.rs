//! What a checkpoint's pickle can hold, in an arena.
//!
//! Containers are indices into a flat list, so that shared and deeply nested ones
//! cost no copies and no recursion.

use super::error::{CheckpointError, malformed};
use std::rc::Rc;
use tch::Kind;

/// A Python value.
#[derive(Debug, Clone)]
pub(super) enum Value {
    None,
    Bool(bool),
    Integer(i64),
    /// A number beyond 64 bits, as its little-endian bytes.
    Long(Rc<[u8]>),
    /// Floats are read and dropped: weights are in tensors.
    Float,
    Text(Rc<str>),
    Global(Global),
    Object(usize),
}

/// The closed list of Python objects that a checkpoint may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Global {
    OrderedDict,
    Size,
    RebuildTensor,
    RebuildParameter,
    Storage(Kind),
}

impl Global {
    pub(super) fn named(module: &str, name: &str) -> Result<Self, CheckpointError> {
        Ok(match (module, name) {
            ("collections", "OrderedDict") => Self::OrderedDict,
            ("torch", "Size") => Self::Size,
            // The first has four arguments, the second the same four and more.
            ("torch._utils", "_rebuild_tensor" | "_rebuild_tensor_v2") => Self::RebuildTensor,
            ("torch._utils", "_rebuild_parameter") => Self::RebuildParameter,
            ("torch", "FloatStorage") => Self::Storage(Kind::Float),
            ("torch", "DoubleStorage") => Self::Storage(Kind::Double),
            ("torch", "HalfStorage") => Self::Storage(Kind::Half),
            ("torch", "BFloat16Storage") => Self::Storage(Kind::BFloat16),
            ("torch", "LongStorage") => Self::Storage(Kind::Int64),
            ("torch", "IntStorage") => Self::Storage(Kind::Int),
            ("torch", "ShortStorage") => Self::Storage(Kind::Int16),
            ("torch", "CharStorage") => Self::Storage(Kind::Int8),
            ("torch", "ByteStorage") => Self::Storage(Kind::Uint8),
            ("torch", "BoolStorage") => Self::Storage(Kind::Bool),
            _ => return Err(CheckpointError::Forbidden(shortened(module, name))),
        })
    }
}

/// The full name for an error, whose length the file must not decide.
fn shortened(module: &str, name: &str) -> String {
    const LONGEST: usize = 100;
    let full = format!("{module}.{name}");
    let end = full.char_indices().nth(LONGEST).map_or(full.len(), |(position, _)| position);
    full[..end].to_owned()
}

/// A run of elements that tensors look into.
#[derive(Debug, Clone)]
pub(super) struct Storage {
    pub key: Rc<str>,
    pub kind: Kind,
    pub elements: usize,
}

/// Dimensions that a tensor may have; libtorch's own layers have five at most.
pub(super) const MOST_DIMENSIONS: usize = 16;

/// A view of a storage, of at most [`MOST_DIMENSIONS`].
#[derive(Debug, Clone)]
pub(super) struct TensorView {
    pub storage: Storage,
    pub offset: usize,
    pub size: Vec<usize>,
    pub stride: Vec<usize>,
}

/// Something with an identity.
#[derive(Debug)]
pub(super) enum Object {
    Tuple(Vec<Value>),
    List(Vec<Value>),
    Dict(Vec<(Value, Value)>),
    Storage(Storage),
    Tensor(Box<TensorView>),
}

/// All objects of one pickle.
#[derive(Debug, Default)]
pub(super) struct Arena {
    objects: Vec<Object>,
}

impl Arena {
    pub(super) fn add(&mut self, object: Object) -> Value {
        self.objects.push(object);
        Value::Object(self.objects.len() - 1)
    }

    pub(super) fn get(&self, value: &Value) -> Option<&Object> {
        match value {
            Value::Object(index) => self.objects.get(*index),
            _ => None,
        }
    }

    pub(super) fn get_mut(&mut self, value: &Value) -> Option<&mut Object> {
        match value {
            Value::Object(index) => self.objects.get_mut(*index),
            _ => None,
        }
    }

    pub(super) fn storages(&self) -> impl Iterator<Item = &Storage> {
        self.objects.iter().filter_map(|object| match object {
            Object::Storage(storage) => Some(storage),
            _ => None,
        })
    }

    /// The items of a tuple or a list.
    pub(super) fn items(&self, value: &Value) -> Result<&[Value], CheckpointError> {
        match self.get(value) {
            Some(Object::Tuple(items) | Object::List(items)) => Ok(items),
            _ => Err(malformed("a sequence is expected in its pickle")),
        }
    }

    /// The pairs of a dictionary.
    pub(super) fn pairs(&self, value: &Value) -> Option<&[(Value, Value)]> {
        match self.get(value) {
            Some(Object::Dict(pairs)) => Some(pairs),
            _ => None,
        }
    }

    /// The last value under a text key, as Python would find it.
    pub(super) fn lookup(&self, dictionary: &Value, wanted: &str) -> Option<&Value> {
        let found = self.pairs(dictionary)?.iter().rev().find(|(key, _)| key.text() == Some(wanted));
        found.map(|(_, value)| value)
    }
}

impl Value {
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A number that can count things.
    pub(super) fn count(&self) -> Result<usize, CheckpointError> {
        match self {
            Self::Integer(number) => {
                usize::try_from(*number).map_err(|_| malformed(format!("{number} is no size or position")))
            }
            _ => Err(malformed("a whole number is expected in its pickle")),
        }
    }
}
