//! The stack machine: opcodes of protocols 0 to 5.

use std::collections::HashMap;

use indexmap::IndexMap;

use super::arrays::{self, InlineBytes};
use super::globals::{self, Global};
use super::reader::{self, Cut, Reader};
use super::value::{Id, Span, Value};
use super::{ElementType, Error};

/// Objects in one pickle: 16 million, half a gigabyte. Real checkpoints have some thousands.
const MAX_VALUES: usize = 1 << 24;

/// Bytes of one pickle; the tensors' bytes are not in it.
const MAX_PICKLE: usize = 1 << 28;

/// A pickle that was interpreted to its end.
#[derive(Debug)]
pub struct Pickle<'a> {
    /// What it holds: the outermost value.
    pub root: Id,
    /// The storages that its tensors refer to, by key.
    pub storages: IndexMap<&'a [u8], StorageDeclaration>,
    /// The texts of the pickle that its arrays lie in.
    inline: IndexMap<InlineBytes, Option<usize>>,
    /// Where the pickle ends: the number of its bytes.
    pub end: usize,
    bytes: &'a [u8],
    values: Vec<Value>,
}

/// A storage as the pickle tells of it.
#[derive(Clone, Copy, Debug)]
pub struct StorageDeclaration {
    /// The type of its elements.
    pub element: ElementType,
    /// Bytes that it must have at least.
    pub len: usize,
}

impl<'a> Pickle<'a> {
    /// Interprets the pickle at the start of `bytes`.
    ///
    /// # Errors
    ///
    /// [`Error::Broken`] if it breaks the rules of pickles or is cut, [`Error::Refused`] if it calls what
    /// runs code, [`Error::Limit`] for more than 256 MiB or 16 million objects.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        let all = bytes.len();
        let bytes = &bytes[..all.min(MAX_PICKLE)];
        let mut machine = Machine {
            reader: Reader::new(bytes),
            values: Vec::new(),
            stack: Vec::new(),
            marks: Vec::new(),
            memo: HashMap::new(),
            storages: IndexMap::new(),
            inline: IndexMap::new(),
        };
        let mut offset = 0;
        loop {
            match machine.step() {
                Ok(None) => offset = machine.reader.position(),
                Ok(Some(root)) => {
                    let Machine {
                        reader,
                        values,
                        storages,
                        inline,
                        ..
                    } = machine;
                    return Ok(Pickle {
                        root,
                        storages,
                        inline,
                        end: reader.position(),
                        bytes,
                        values,
                    });
                }
                Err(Failure::Cut) if all > MAX_PICKLE => {
                    return Err(Error::Limit {
                        what: "bytes in the pickle",
                        found: all,
                        limit: MAX_PICKLE,
                    });
                }
                Err(failure) => return Err(failure.at(offset)),
            }
        }
    }

    /// A value by its place; [`Value::None`] for a place that only another pickle has.
    pub fn value(&self, id: Id) -> &Value {
        self.values.get(id.index()).unwrap_or(&Value::None)
    }

    /// How many values there are: every `Id::index` is below it.
    pub fn len(&self) -> usize {
        self.values.len()
    }

    /// Whether there are none, which a pickle that was read never has.
    pub fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// The bytes of a text.
    pub fn text(&self, span: Span) -> &'a [u8] {
        reader::text(self.bytes, span)
    }

    /// The bytes of a text value.
    pub fn text_of(&self, id: Id) -> Option<&'a [u8]> {
        match *self.value(id) {
            Value::Text(span) | Value::Encoded(span) => Some(self.text(span)),
            _ => None,
        }
    }

    /// The value of a dictionary under a text, the last one where there are several.
    pub fn entry(&self, dictionary: Id, key: &[u8]) -> Option<Id> {
        let Value::Dict(items) = self.value(dictionary) else {
            return None;
        };
        let mut items = items.iter().rev();
        items.find_map(|&(name, value)| (self.text_of(name) == Some(key)).then_some(value))
    }

    /// The bytes that arrays lie in, in the order of [`Source::Inline`](crate::Source::Inline): together no more than the
    /// pickle's.
    pub fn inline(&self) -> impl Iterator<Item = Vec<u8>> {
        self.inline
            .keys()
            .map(|bytes| arrays::decoded(self.text(bytes.span), bytes.is_encoded))
    }
}

/// Why the machine stopped.
#[derive(Debug)]
pub(super) enum Failure {
    Cut,
    Broken(String),
    Refused { function: String },
    TooManyValues,
}

impl Failure {
    pub(super) fn because(reason: impl Into<String>) -> Self {
        Self::Broken(reason.into())
    }

    fn at(self, offset: usize) -> Error {
        match self {
            Self::Cut => Error::Broken {
                offset,
                reason: "it ends in the middle: the file is cut".into(),
            },
            Self::Broken(reason) => Error::Broken { offset, reason },
            Self::Refused { function } => Error::Refused { function },
            Self::TooManyValues => Error::Limit {
                what: "objects in the pickle",
                found: MAX_VALUES + 1,
                limit: MAX_VALUES,
            },
        }
    }
}

impl From<Cut> for Failure {
    fn from(_: Cut) -> Self {
        Self::Cut
    }
}

pub(super) struct Machine<'a> {
    reader: Reader<'a>,
    values: Vec<Value>,
    stack: Vec<Id>,
    /// Heights of the stack at the open marks.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
    storages: IndexMap<&'a [u8], StorageDeclaration>,
    /// With their length in bytes once decoded, `None` for what is no text of bytes.
    pub(super) inline: IndexMap<InlineBytes, Option<usize>>,
}

impl<'a> Machine<'a> {
    /// Runs one opcode; gives the root at the end.
    fn step(&mut self) -> Result<Option<Id>, Failure> {
        let opcode = self.reader.byte()?;
        match opcode {
            b'.' => return self.pop().map(Some),
            0x80 => self.protocol()?,
            0x95 => drop(self.reader.array::<8>()?),
            b'(' => self.marks.push(self.stack.len()),
            b'0' => drop(self.pop_or_mark()?),
            b'1' => drop(self.pop_mark()?),
            b'2' => {
                let top = self.top()?;
                self.stack.push(top);
            }
            b'N' => self.push(Value::None)?,
            0x88 => self.push(Value::Bool(true))?,
            0x89 => self.push(Value::Bool(false))?,
            b'I' | b'J' | b'K' | b'M' | b'L' | 0x8a | 0x8b | b'F' | b'G' => self.number(opcode)?,
            b'S' | b'V' | b'T' | b'U' | b'X' | b'B' | b'C' | 0x8c | 0x8d | 0x8e | 0x96 => {
                self.string(opcode)?
            }
            b')' | b't' | 0x85..=0x87 | b']' | b'l' | b'}' | b'd' | 0x8f | 0x91 => {
                self.container(opcode)?
            }
            b'a' | b'e' | b's' | b'u' | 0x90 => self.fill(opcode)?,
            b'p' | b'q' | b'r' | 0x94 => self.store(opcode)?,
            b'g' | b'h' | b'j' => self.recall(opcode)?,
            b'c' | 0x93 => self.global(opcode)?,
            b'R' | b'b' | b'i' | b'o' | 0x81 | 0x92 => self.object(opcode)?,
            b'P' | b'Q' => self.persistent_id(opcode)?,
            0x82..=0x84 => {
                return Err(Failure::because(
                    "extension codes stand for names that only the writer knows",
                ));
            }
            0x97 | 0x98 => return Err(Failure::because("it refers to buffers outside the file")),
            _ => return Err(Failure::because(format!("{opcode:#04x} is no opcode"))),
        }
        Ok(None)
    }

    fn protocol(&mut self) -> Result<(), Failure> {
        match self.reader.byte()? {
            0..=5 => Ok(()),
            other => Err(Failure::because(format!(
                "protocol {other} is not known, 0 to 5 are"
            ))),
        }
    }

    fn number(&mut self, opcode: u8) -> Result<(), Failure> {
        let value = match opcode {
            b'J' => Value::Int(i32::from_le_bytes(self.reader.array()?).into()),
            b'K' => Value::Int(self.reader.byte()?.into()),
            b'M' => Value::Int(u16::from_le_bytes(self.reader.array()?).into()),
            b'G' => Value::Float(f64::from_be_bytes(self.reader.array()?)),
            0x8a => {
                let len = self.reader.byte()?;
                self.long(len.into())?
            }
            0x8b => {
                let len = u32::from_le_bytes(self.reader.array()?);
                self.long(len.into())?
            }
            _ => self.number_line(opcode)?,
        };
        self.push(value)
    }

    fn long(&mut self, len: u64) -> Result<Value, Failure> {
        let span = self.reader.span(len)?;
        let bytes = self.reader.text(span);
        if bytes.len() > 8 {
            return Ok(Value::LongInt(span));
        }
        let fill = if bytes.last().is_some_and(|byte| byte & 0x80 != 0) {
            0xff
        } else {
            0
        };
        let mut word = [fill; 8];
        word[..bytes.len()].copy_from_slice(bytes);
        Ok(Value::Int(i64::from_le_bytes(word)))
    }

    /// The decimal numbers of protocol 0.
    fn number_line(&mut self, opcode: u8) -> Result<Value, Failure> {
        let line = self.reader.line()?;
        let text = str::from_utf8(self.reader.text(line)).unwrap_or("").trim();
        let bad = || Failure::because("a number is malformed");
        Ok(match (opcode, text) {
            (b'I', "00") => Value::Bool(false),
            (b'I', "01") => Value::Bool(true),
            (b'F', _) => Value::Float(text.parse().map_err(|_| bad())?),
            _ => Value::Int(text.trim_end_matches('L').parse().map_err(|_| bad())?),
        })
    }

    fn string(&mut self, opcode: u8) -> Result<(), Failure> {
        let len = match opcode {
            b'U' | b'C' | 0x8c => self.reader.byte()?.into(),
            b'T' | b'X' | b'B' => u32::from_le_bytes(self.reader.array()?).into(),
            0x8d | 0x8e | 0x96 => u64::from_le_bytes(self.reader.array()?),
            _ => return self.string_line(opcode),
        };
        let span = self.reader.span(len)?;
        self.push(Value::Text(span))
    }

    /// The texts of protocol 0; escapes in them are kept as written.
    fn string_line(&mut self, opcode: u8) -> Result<(), Failure> {
        let mut span = self.reader.line()?;
        if opcode == b'S' {
            match self.reader.text(span) {
                [b'\'', .., b'\''] | [b'"', .., b'"'] => {
                    span = Span {
                        start: span.start + 1,
                        len: span.len - 2,
                    }
                }
                _ => return Err(Failure::because("a text lacks its quotes")),
            }
        }
        self.push(Value::Text(span))
    }

    fn container(&mut self, opcode: u8) -> Result<(), Failure> {
        let value = match opcode {
            b')' => Value::Tuple(Vec::new()),
            b't' => Value::Tuple(self.pop_mark()?),
            0x85..=0x87 => {
                let count = usize::from(opcode - 0x84);
                let start = self
                    .stack
                    .len()
                    .checked_sub(count)
                    .filter(|&start| start >= self.floor());
                Value::Tuple(self.stack.split_off(start.ok_or_else(underflow)?))
            }
            b']' => Value::List(Vec::new()),
            b'l' => Value::List(self.pop_mark()?),
            b'}' => Value::Dict(Vec::new()),
            b'd' => Value::Dict(pairs(&self.pop_mark()?)?.collect()),
            0x8f => Value::Opaque,
            _ => {
                self.pop_mark()?;
                Value::Opaque
            }
        };
        self.push(value)
    }

    fn fill(&mut self, opcode: u8) -> Result<(), Failure> {
        let items = match opcode {
            b'a' => vec![self.pop()?],
            b's' => {
                let value = self.pop()?;
                vec![self.pop()?, value]
            }
            _ => self.pop_mark()?,
        };
        let target = self.top()?;
        match (opcode, self.value_mut(target)) {
            (b'a' | b'e', Value::List(list)) => list.extend(items),
            (b's' | b'u', Value::Dict(dict)) => dict.extend(pairs(&items)?),
            (b's' | b'u', Value::Object(object)) => object.items.extend(pairs(&items)?),
            (
                _,
                Value::Object(_)
                | Value::Opaque
                | Value::UnreadableTensor(_)
                | Value::Tensor(_)
                | Value::EmptyArray,
            ) => {}
            _ => return Err(Failure::because("adds items to something that holds none")),
        }
        Ok(())
    }

    fn store(&mut self, opcode: u8) -> Result<(), Failure> {
        let index = match opcode {
            b'q' => self.reader.byte()?.into(),
            b'r' => u32::from_le_bytes(self.reader.array()?),
            b'p' => self.index_line()?,
            _ => u32::try_from(self.memo.len()).map_err(|_| Failure::TooManyValues)?,
        };
        let top = self.top()?;
        self.memo.insert(index, top);
        Ok(())
    }

    fn recall(&mut self, opcode: u8) -> Result<(), Failure> {
        let index = match opcode {
            b'h' => self.reader.byte()?.into(),
            b'j' => u32::from_le_bytes(self.reader.array()?),
            _ => self.index_line()?,
        };
        let id = *self
            .memo
            .get(&index)
            .ok_or_else(|| Failure::because(format!("memo {index} was never stored")))?;
        self.stack.push(id);
        Ok(())
    }

    fn index_line(&mut self) -> Result<u32, Failure> {
        let line = self.reader.line()?;
        let text = str::from_utf8(self.reader.text(line)).unwrap_or("");
        text.trim()
            .parse()
            .map_err(|_| Failure::because("a memo's number is malformed"))
    }

    fn global(&mut self, opcode: u8) -> Result<(), Failure> {
        let (module, name) = if opcode == b'c' {
            (self.reader.line()?, self.reader.line()?)
        } else {
            let name = self.pop()?;
            let module = self.pop()?;
            match (self.value(module), self.value(name)) {
                (&Value::Text(module), &Value::Text(name)) => (module, name),
                _ => return Err(Failure::because("a module or name is not a text")),
            }
        };
        self.push_global(module, name)
    }

    fn push_global(&mut self, module: Span, name: Span) -> Result<(), Failure> {
        let kind = globals::resolve(self.reader.text(module), self.reader.text(name));
        self.push(Value::Global(Global { module, name, kind }))
    }

    fn object(&mut self, opcode: u8) -> Result<(), Failure> {
        let made = match opcode {
            b'R' => {
                let args = self.pop()?;
                let function = self.pop()?;
                self.call(function, args)?
            }
            b'b' => {
                let state = self.pop()?;
                let object = self.top()?;
                return self.build(object, state);
            }
            0x81 => {
                let args = self.pop()?;
                let class = self.pop()?;
                self.instance(Some(class), Some(args))?
            }
            0x92 => {
                let _keywords = self.pop()?;
                let args = self.pop()?;
                let class = self.pop()?;
                self.instance(Some(class), Some(args))?
            }
            _ => self.old_instance(opcode)?,
        };
        self.stack.push(made);
        Ok(())
    }

    /// INST and OBJ call the class, unlike NEWOBJ.
    fn old_instance(&mut self, opcode: u8) -> Result<Id, Failure> {
        let (class, args) = if opcode == b'i' {
            let module = self.reader.line()?;
            let name = self.reader.line()?;
            let args = self.pop_mark()?;
            self.push_global(module, name)?;
            (self.pop()?, args)
        } else {
            let mut args = self.pop_mark()?;
            if args.is_empty() {
                return Err(underflow());
            }
            (args.remove(0), args)
        };
        let args = self.add(Value::Tuple(args))?;
        self.call(class, args)
    }

    fn persistent_id(&mut self, opcode: u8) -> Result<(), Failure> {
        if opcode == b'P' {
            return Err(Failure::because("a persistent id is not a tuple"));
        }
        let id = self.pop()?;
        let value = self.persistent(id)?;
        self.stack.push(value);
        Ok(())
    }

    /// Notes that a storage is used and gives its index.
    pub(super) fn declare(
        &mut self,
        key: &'a [u8],
        element: ElementType,
        len: usize,
    ) -> Result<u32, Failure> {
        let entry = self.storages.entry(key);
        let index = u32::try_from(entry.index()).map_err(|_| Failure::TooManyValues)?;
        let declaration = entry.or_insert(StorageDeclaration { element, len });
        declaration.len = declaration.len.max(len);
        Ok(index)
    }

    pub(super) fn add(&mut self, value: Value) -> Result<Id, Failure> {
        if self.values.len() >= MAX_VALUES {
            return Err(Failure::TooManyValues);
        }
        self.values.push(value);
        Ok(Id((self.values.len() - 1) as u32))
    }

    pub(super) fn value(&self, id: Id) -> &Value {
        &self.values[id.index()]
    }

    pub(super) fn value_mut(&mut self, id: Id) -> &mut Value {
        &mut self.values[id.index()]
    }

    pub(super) fn text(&self, span: Span) -> &'a [u8] {
        self.reader.text(span)
    }

    pub(super) fn text_of(&self, id: Id) -> Option<&'a [u8]> {
        match *self.value(id) {
            Value::Text(span) | Value::Encoded(span) => Some(self.text(span)),
            _ => None,
        }
    }

    fn push(&mut self, value: Value) -> Result<(), Failure> {
        let id = self.add(value)?;
        self.stack.push(id);
        Ok(())
    }

    /// Values below the last mark belong to what is unfinished.
    fn floor(&self) -> usize {
        self.marks.last().copied().unwrap_or(0)
    }

    fn pop(&mut self) -> Result<Id, Failure> {
        if self.stack.len() > self.floor() {
            self.stack.pop().ok_or_else(underflow)
        } else {
            Err(underflow())
        }
    }

    fn pop_or_mark(&mut self) -> Result<(), Failure> {
        if self.stack.len() == self.floor() && self.marks.pop().is_some() {
            Ok(())
        } else {
            self.pop().map(drop)
        }
    }

    fn pop_mark(&mut self) -> Result<Vec<Id>, Failure> {
        let mark = self
            .marks
            .pop()
            .ok_or_else(|| Failure::because("a mark is missing"))?;
        Ok(self.stack.split_off(mark))
    }

    fn top(&self) -> Result<Id, Failure> {
        self.stack
            .get(self.floor()..)
            .and_then(|items| items.last())
            .copied()
            .ok_or_else(underflow)
    }
}

fn underflow() -> Failure {
    Failure::because("the stack is empty")
}

fn pairs(items: &[Id]) -> Result<impl Iterator<Item = (Id, Id)>, Failure> {
    match items.as_chunks::<2>() {
        (pairs, []) => Ok(pairs.iter().map(|&[key, value]| (key, value))),
        _ => Err(Failure::because("a key lacks its value")),
    }
}
