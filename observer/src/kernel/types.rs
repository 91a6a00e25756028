//! A reader of the kernel's type information that looks at what it is asked for and nothing else.
//!
//! The kernel has some 150,000 types. Libraries make objects and strings of all of them, which takes
//! longer than everything else that observer does before it observes; so this passes once over the
//! names and once over the records (`include/uapi/linux/btf.h` lays both out), and keeps what was
//! asked for.

use std::collections::{HashMap, HashSet};

/// Kinds of types, as `BTF_KIND_*` numbers them.
mod kind {
    pub const INT: u32 = 1;
    pub const ARRAY: u32 = 3;
    pub const STRUCT: u32 = 4;
    pub const UNION: u32 = 5;
    pub const ENUM: u32 = 6;
    pub const TYPEDEF: u32 = 8;
    pub const VOLATILE: u32 = 9;
    pub const CONST: u32 = 10;
    pub const RESTRICT: u32 = 11;
    pub const FUNC: u32 = 12;
    pub const FUNC_PROTO: u32 = 13;
    pub const VAR: u32 = 14;
    pub const DATASEC: u32 = 15;
    pub const DECL_TAG: u32 = 17;
    pub const TYPE_TAG: u32 = 18;
    pub const ENUM64: u32 = 19;
    pub const LAST: u32 = ENUM64;
}

/// `struct btf_type`: name, kind and count, size or type.
const RECORD: usize = 12;
/// `struct btf_member`: name, type, offset. An enumerator is a name and a value.
const MEMBER: usize = 12;
const ENUMERATOR: usize = 8;

/// How deep anonymous members may lie within each other; the kernel's lie three deep.
const DEPTH: u32 = 16;

/// Where a member lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// In bits from the start of the struct.
    pub bit: u32,
    /// Its width in bits, where it is a bit field.
    pub width: Option<u32>,
}

/// Type information, and where in it the names are that were asked for.
#[derive(Debug)]
pub struct TypeTable {
    bytes: Vec<u8>,
    /// Where the strings begin.
    strings: usize,
    /// Where each type's record begins; the number of a type is its place here.
    records: Vec<u32>,
    /// Types by kind and name, those that were asked for.
    named: HashMap<(u32, String), Vec<u32>>,
    /// Values by enumerator, those that were asked for.
    enumerators: HashMap<String, Vec<u32>>,
}

/// A record, read.
#[derive(Clone, Copy)]
struct Record {
    at: usize,
    name: u32,
    kind: u32,
    count: usize,
    /// `kind_flag`: members may be bit fields.
    flag: bool,
    /// A size or a type, by kind.
    rest: u32,
}

impl TypeTable {
    /// Reads type information and finds these names in it; `None` when it is not well formed.
    #[must_use]
    pub fn read(bytes: Vec<u8>, names: &HashSet<&str>) -> Option<Self> {
        const MAGIC: u16 = 0xeb9f;
        if u16::from_ne_bytes(bytes.get(..2)?.try_into().ok()?) != MAGIC {
            return None;
        }
        let field = |at| word(&bytes, at).and_then(|value| usize::try_from(value).ok());
        let header = field(4)?;
        let (types, types_size) = (header.checked_add(field(8)?)?, field(12)?);
        let (strings, strings_size) = (header.checked_add(field(16)?)?, field(20)?);
        let wanted = wanted(bytes.get(strings..strings.checked_add(strings_size)?)?, names);
        let mut table = Self {
            strings,
            // The first type is void, which has no record.
            records: vec![0],
            named: HashMap::new(),
            enumerators: HashMap::new(),
            bytes,
        };
        let end = types.checked_add(types_size)?;
        let mut at = types;
        while at < end {
            let record = table.record_at(at)?;
            let id = u32::try_from(table.records.len()).ok()?;
            if let Some(name) = wanted.get(&record.name) {
                table.named.entry((record.kind, (*name).to_owned())).or_default().push(id);
            }
            if record.kind == kind::ENUM {
                for index in 0..record.count {
                    let place = at + RECORD + index * ENUMERATOR;
                    if let Some(name) = wanted.get(&word(&table.bytes, place)?) {
                        let value = word(&table.bytes, place + 4)?;
                        table.enumerators.entry((*name).to_owned()).or_default().push(value);
                    }
                }
            }
            table.records.push(u32::try_from(at).ok()?);
            at += RECORD + behind(&record)?;
        }
        (at == end && end <= table.bytes.len()).then_some(table)
    }

    fn record_at(&self, at: usize) -> Option<Record> {
        let info = word(&self.bytes, at + 4)?;
        Some(Record {
            at,
            name: word(&self.bytes, at)?,
            kind: info >> 24 & 0x1f,
            count: usize::try_from(info & 0xffff).ok()?,
            flag: info >> 31 == 1,
            rest: word(&self.bytes, at + 8)?,
        })
    }

    fn record(&self, id: u32) -> Option<Record> {
        let at = *self.records.get(usize::try_from(id).ok()?)?;
        if at == 0 { None } else { self.record_at(usize::try_from(at).ok()?) }
    }

    fn of(&self, kind: u32, name: &str) -> &[u32] {
        self.named.get(&(kind, name.to_owned())).map_or(&[], Vec::as_slice)
    }

    /// Structs of this name.
    #[must_use]
    pub fn structs(&self, name: &str) -> &[u32] {
        self.of(kind::STRUCT, name)
    }

    /// Whether there is a typedef of this name.
    #[must_use]
    pub fn has_typedef(&self, name: &str) -> bool {
        !self.of(kind::TYPEDEF, name).is_empty()
    }

    /// Whether there is a function of this name.
    #[must_use]
    pub fn has_function(&self, name: &str) -> bool {
        !self.of(kind::FUNC, name).is_empty()
    }

    /// How many arguments a function takes.
    #[must_use]
    pub fn argument_count(&self, name: &str) -> Option<u32> {
        let function = self.record(*self.of(kind::FUNC, name).first()?)?;
        let prototype = self.record(function.rest)?;
        (prototype.kind == kind::FUNC_PROTO).then_some(u32::try_from(prototype.count).ok())?
    }

    /// The values of an enumerator, one for each enum that has it.
    #[must_use]
    pub fn enumerators(&self, name: &str) -> &[u32] {
        self.enumerators.get(name).map_or(&[], Vec::as_slice)
    }

    /// Where the member lies that a path names, dots between the steps.
    #[must_use]
    pub fn member(&self, id: u32, path: &str) -> Option<Place> {
        let mut place = Place { bit: 0, width: None };
        let mut id = id;
        for step in path.split('.') {
            let (found, of) = self.find(id, step, DEPTH)?;
            place = Place { bit: place.bit.checked_add(found.bit)?, width: found.width };
            id = of;
        }
        Some(place)
    }

    /// A member of a struct or union, or of one without a name within it, and its type.
    fn find(&self, id: u32, name: &str, depth: u32) -> Option<(Place, u32)> {
        let record = self.record(self.resolve(id)?)?;
        if !matches!(record.kind, kind::STRUCT | kind::UNION) || depth == 0 {
            return None;
        }
        for index in 0..record.count {
            let at = record.at + RECORD + index * MEMBER;
            let (label, of, offset) =
                (word(&self.bytes, at)?, word(&self.bytes, at + 4)?, word(&self.bytes, at + 8)?);
            let place = match (record.flag, offset >> 24) {
                (true, 0) => Place { bit: offset & 0x00ff_ffff, width: None },
                (true, width) => Place { bit: offset & 0x00ff_ffff, width: Some(width) },
                (false, _) => Place { bit: offset, width: None },
            };
            if label == 0 {
                if let Some((inner, of)) = self.find(of, name, depth - 1) {
                    return Some((Place { bit: place.bit.checked_add(inner.bit)?, ..inner }, of));
                }
            } else if self.is_named(label, name) {
                return Some((place, of));
            }
        }
        None
    }

    /// The type behind typedefs and qualifiers.
    fn resolve(&self, id: u32) -> Option<u32> {
        let mut id = id;
        for _ in 0..DEPTH {
            let record = self.record(id)?;
            match record.kind {
                kind::TYPEDEF | kind::VOLATILE | kind::CONST | kind::RESTRICT | kind::TYPE_TAG => {
                    id = record.rest;
                }
                _ => return Some(id),
            }
        }
        None
    }

    fn is_named(&self, label: u32, name: &str) -> bool {
        let text = usize::try_from(label)
            .ok()
            .and_then(|label| self.bytes.get(self.strings.checked_add(label)?..));
        let Some(rest) = text.and_then(|text| text.strip_prefix(name.as_bytes())) else {
            return false;
        };
        rest.first() == Some(&0)
    }
}

/// Which names begin where in the strings, those that were asked for.
fn wanted<'a>(strings: &[u8], names: &HashSet<&'a str>) -> HashMap<u32, &'a str> {
    let mut found = HashMap::new();
    let mut at = 0;
    for text in strings.split(|byte| *byte == 0) {
        if let Some(name) = std::str::from_utf8(text).ok().and_then(|text| names.get(text))
            && let Ok(place) = u32::try_from(at)
            && !name.is_empty()
        {
            found.insert(place, *name);
        }
        at += text.len() + 1;
    }
    found
}

/// How many bytes of a type follow its record.
fn behind(record: &Record) -> Option<usize> {
    let each = match record.kind {
        kind::INT | kind::VAR | kind::DECL_TAG => return Some(4),
        kind::ARRAY => return Some(12),
        kind::STRUCT | kind::UNION | kind::DATASEC | kind::ENUM64 => 12,
        kind::ENUM | kind::FUNC_PROTO => 8,
        // Kinds of later kernels may have a length that is not known here.
        kind if kind > kind::LAST => return None,
        _ => 0,
    };
    Some(record.count * each)
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_ne_bytes(bytes.try_into().ok()?))
}

#[cfg(test)]
#[path = "types_tests.rs"]
mod tests;
