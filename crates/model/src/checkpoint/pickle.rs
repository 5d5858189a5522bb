//! An interpreter for the pickles that `torch.save` writes, which executes nothing.
//!
//! Python's pickle is a program that may call any function. Weights need a few
//! instructions and a closed list of names ([`Global`]); everything else is refused
//! when it is met. Work and memory are linear in the length of the pickle.

use super::cursor::Cursor;
use super::error::{CheckpointError, malformed};
use super::value::{Arena, Global, MOST_DIMENSIONS, Object, Storage, TensorView, Value};
use std::collections::HashMap;
use std::rc::Rc;

/// A finished pickle.
#[derive(Debug)]
pub(super) struct Pickle {
    pub arena: Arena,
    pub root: Value,
    /// Where the bytes after it begin.
    pub end: usize,
}

/// Runs the pickle that starts at `position`.
pub(super) fn run(bytes: &[u8], position: usize) -> Result<Pickle, CheckpointError> {
    let mut machine = Machine {
        input: Cursor::new(bytes, position, "its pickle"),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        arena: Arena::default(),
        copied: 0,
    };
    while machine.step()? {}
    let root = machine.pop()?;
    Ok(Pickle { arena: machine.arena, root, end: machine.input.position() })
}

struct Machine<'a> {
    input: Cursor<'a>,
    stack: Vec<Value>,
    /// Heights of the stack at the marks that are still open.
    marks: Vec<usize>,
    memo: HashMap<u32, Value>,
    arena: Arena,
    /// Pairs that calls have copied so far.
    copied: usize,
}

/// Arguments of a call; `_rebuild_tensor_v2` has the most, seven at most.
const MOST_ARGUMENTS: usize = 8;

impl Machine<'_> {
    /// Executes one instruction; `false` after the last one.
    fn step(&mut self) -> Result<bool, CheckpointError> {
        let position = self.input.position();
        let opcode = self.input.u8()?;
        match opcode {
            0x80 => self.protocol()?,
            // A frame's length tells how far to read ahead, which a slice needs not.
            0x95 => {
                self.input.u64()?;
            }
            b'.' => return Ok(false),
            b'(' => self.marks.push(self.stack.len()),
            b'0' => {
                self.pop()?;
            }
            b'1' => {
                self.pop_to_mark()?;
            }
            b'2' => {
                let top = self.top()?.clone();
                self.stack.push(top);
            }
            b'N' => self.stack.push(Value::None),
            0x88 => self.stack.push(Value::Bool(true)),
            0x89 => self.stack.push(Value::Bool(false)),
            b'J' | b'K' | b'M' | 0x8a => self.integer(opcode)?,
            b'G' => {
                self.input.take(8)?;
                self.stack.push(Value::Float);
            }
            b'X' | 0x8c | b'U' | b'T' => self.string(opcode)?,
            b'}' => self.push_object(Object::Dict(Vec::new())),
            b']' => self.push_object(Object::List(Vec::new())),
            b')' => self.push_object(Object::Tuple(Vec::new())),
            b't' => {
                let items = self.pop_to_mark()?;
                self.push_object(Object::Tuple(items));
            }
            0x85..=0x87 => {
                let items = self.pop_many(usize::from(opcode - 0x84))?;
                self.push_object(Object::Tuple(items));
            }
            b's' => {
                let items = self.pop_many(2)?;
                self.set_items(items)?;
            }
            b'u' => {
                let items = self.pop_to_mark()?;
                self.set_items(items)?;
            }
            b'a' => {
                let items = self.pop_many(1)?;
                self.append(items)?;
            }
            b'e' => {
                let items = self.pop_to_mark()?;
                self.append(items)?;
            }
            b'q' | b'r' | 0x94 | b'h' | b'j' => self.memo(opcode)?,
            b'c' | 0x93 => self.global(opcode)?,
            b'Q' => self.persistent()?,
            b'R' => self.reduce()?,
            b'b' => self.build()?,
            _ => return Err(CheckpointError::Opcode { opcode, position }),
        }
        Ok(true)
    }

    fn push_object(&mut self, object: Object) {
        let value = self.arena.add(object);
        self.stack.push(value);
    }

    /// The values above the innermost open mark are out of reach below it.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn pop(&mut self) -> Result<Value, CheckpointError> {
        if self.stack.len() <= self.floor() {
            return Err(malformed("its pickle takes more from the stack than there is"));
        }
        self.stack.pop().ok_or_else(|| malformed("its pickle has an empty stack"))
    }

    fn top(&self) -> Result<&Value, CheckpointError> {
        let top = self.stack.last().filter(|_| self.stack.len() > self.floor());
        top.ok_or_else(|| malformed("its pickle takes more from the stack than there is"))
    }

    fn pop_many(&mut self, count: usize) -> Result<Vec<Value>, CheckpointError> {
        let start = self.stack.len().checked_sub(count).filter(|start| *start >= self.floor());
        let start = start.ok_or_else(|| malformed("its pickle takes more than there is"))?;
        Ok(self.stack.split_off(start))
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Value>, CheckpointError> {
        let mark = self.marks.pop().ok_or_else(|| malformed("its pickle lacks a mark"))?;
        Ok(self.stack.split_off(mark))
    }

    fn protocol(&mut self) -> Result<(), CheckpointError> {
        match self.input.u8()? {
            2..=5 => Ok(()),
            other => Err(malformed(format!("pickle protocol {other} is not supported"))),
        }
    }

    fn integer(&mut self, opcode: u8) -> Result<(), CheckpointError> {
        let number = match opcode {
            b'J' => Value::Integer(i64::from(i32::from_le_bytes(self.input.array()?))),
            b'K' => Value::Integer(i64::from(self.input.u8()?)),
            b'M' => Value::Integer(i64::from(self.input.u16()?)),
            _ => self.long()?,
        };
        self.stack.push(number);
        Ok(())
    }

    /// A two's complement number of any length.
    fn long(&mut self) -> Result<Value, CheckpointError> {
        let length = usize::from(self.input.u8()?);
        let bytes = self.input.take(length)?;
        if length > 8 {
            return Ok(Value::Long(Rc::from(bytes)));
        }
        let negative = bytes.last().is_some_and(|last| last & 0x80 != 0);
        let mut extended = [if negative { 0xff } else { 0 }; 8];
        extended[..length].copy_from_slice(bytes);
        Ok(Value::Integer(i64::from_le_bytes(extended)))
    }

    fn string(&mut self, opcode: u8) -> Result<(), CheckpointError> {
        let length = match opcode {
            b'X' | b'T' => self.input.u32()? as usize,
            _ => usize::from(self.input.u8()?),
        };
        let bytes = self.input.take(length)?;
        let text = std::str::from_utf8(bytes).map_err(|_| malformed("a text in it is not UTF-8"))?;
        self.stack.push(Value::Text(Rc::from(text)));
        Ok(())
    }

    fn memo(&mut self, opcode: u8) -> Result<(), CheckpointError> {
        let index = match opcode {
            b'q' | b'h' => u32::from(self.input.u8()?),
            b'r' | b'j' => self.input.u32()?,
            _ => u32::try_from(self.memo.len()).unwrap_or(u32::MAX),
        };
        if matches!(opcode, b'h' | b'j') {
            let value = self.memo.get(&index).cloned();
            self.stack.push(value.ok_or_else(|| malformed("its pickle refers to nothing"))?);
        } else {
            let value = self.top()?.clone();
            self.memo.insert(index, value);
        }
        Ok(())
    }

    fn set_items(&mut self, items: Vec<Value>) -> Result<(), CheckpointError> {
        if !items.len().is_multiple_of(2) {
            return Err(malformed("a key in it has no value"));
        }
        let target = self.top()?.clone();
        let Some(Object::Dict(pairs)) = self.arena.get_mut(&target) else {
            return Err(malformed("its pickle sets an item of what is no dictionary"));
        };
        let mut items = items.into_iter();
        while let (Some(key), Some(value)) = (items.next(), items.next()) {
            pairs.push((key, value));
        }
        Ok(())
    }

    fn append(&mut self, items: Vec<Value>) -> Result<(), CheckpointError> {
        let target = self.top()?.clone();
        let Some(Object::List(list)) = self.arena.get_mut(&target) else {
            return Err(malformed("its pickle appends to what is no list"));
        };
        list.extend(items);
        Ok(())
    }

    fn global(&mut self, opcode: u8) -> Result<(), CheckpointError> {
        let global = if opcode == b'c' {
            let module = String::from_utf8_lossy(self.input.line()?);
            let name = String::from_utf8_lossy(self.input.line()?);
            Global::named(&module, &name)?
        } else {
            let names = self.pop_many(2)?;
            match (names[0].text(), names[1].text()) {
                (Some(module), Some(name)) => Global::named(module, name)?,
                _ => return Err(malformed("the name of an object in it is no text")),
            }
        };
        self.stack.push(Value::Global(global));
        Ok(())
    }

    /// `('storage', type, key, location, elements)`, and in legacy files a view.
    fn persistent(&mut self) -> Result<(), CheckpointError> {
        let id = self.pop()?;
        let parts = self.arena.items(&id)?;
        let storage = match parts {
            [
                kind,
                Value::Global(Global::Storage(dtype)),
                Value::Text(key),
                _location,
                elements,
                view @ ..,
            ] if kind.text() == Some("storage") => {
                if !matches!(view, [] | [Value::None]) {
                    return Err(malformed("storages that are views of others are not supported"));
                }
                Storage { key: key.clone(), kind: *dtype, elements: elements.count()? }
            }
            _ => return Err(malformed("it refers to something that is no storage")),
        };
        self.push_object(Object::Storage(storage));
        Ok(())
    }

    /// Stands in for Python's call of a named object.
    fn reduce(&mut self) -> Result<(), CheckpointError> {
        let arguments = self.pop()?;
        let Value::Global(global) = self.pop()? else {
            return Err(malformed("its pickle calls what has no name"));
        };
        let arguments = self.arena.items(&arguments)?;
        if arguments.len() > MOST_ARGUMENTS {
            return Err(malformed(format!("its pickle calls {global:?} with {} arguments", arguments.len())));
        }
        let arguments = arguments.to_vec();
        let result = match (global, arguments.as_slice()) {
            (Global::OrderedDict, []) => self.arena.add(Object::Dict(Vec::new())),
            (Global::OrderedDict, [pairs]) => {
                let pairs = self.pairs_of(pairs)?;
                self.arena.add(Object::Dict(pairs))
            }
            (Global::Size | Global::RebuildParameter, [first, ..]) => first.clone(),
            (Global::RebuildTensor, [storage, offset, size, stride, ..]) => {
                let view = self.view(storage, offset, size, stride)?;
                self.arena.add(Object::Tensor(Box::new(view)))
            }
            _ => return Err(malformed(format!("its pickle calls {global:?} with wrong arguments"))),
        };
        self.stack.push(result);
        Ok(())
    }

    /// Each pair took bytes of the pickle; one that copies more has a list copied again and again.
    fn pairs_of(&mut self, list: &Value) -> Result<Vec<(Value, Value)>, CheckpointError> {
        let list = self.arena.items(list)?;
        self.copied += list.len();
        if self.copied > self.input.position() {
            return Err(malformed("its pickle makes more dictionaries of a list than weights need"));
        }
        let pairs = list.iter().map(|pair| match self.arena.items(pair)? {
            [key, value] => Ok((key.clone(), value.clone())),
            _ => Err(malformed("a pair in it has not two items")),
        });
        pairs.collect()
    }

    fn view(
        &self,
        storage: &Value,
        offset: &Value,
        size: &Value,
        stride: &Value,
    ) -> Result<TensorView, CheckpointError> {
        let Some(Object::Storage(storage)) = self.arena.get(storage) else {
            return Err(malformed("a tensor in it has no storage"));
        };
        let counts = |values: &Value| -> Result<Vec<usize>, CheckpointError> {
            let values = self.arena.items(values)?;
            if values.len() > MOST_DIMENSIONS {
                return Err(malformed(format!("a tensor in it has {} dimensions", values.len())));
            }
            values.iter().map(Value::count).collect()
        };
        Ok(TensorView {
            storage: storage.clone(),
            offset: offset.count()?,
            size: counts(size)?,
            stride: counts(stride)?,
        })
    }

    /// Python sets attributes here; those of a state dict (`_metadata`) are not needed.
    fn build(&mut self) -> Result<(), CheckpointError> {
        self.pop()?;
        let target = self.top()?;
        match self.arena.get(target) {
            Some(Object::Dict(_)) => Ok(()),
            _ => Err(malformed("its pickle sets attributes of what is no dictionary")),
        }
    }
}
