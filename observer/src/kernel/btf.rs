//! Field path to offset, enumerator to value, by the running kernel's own type information.

use std::{
    collections::{BTreeMap, HashMap},
    fs,
    path::Path,
};

use anyhow::{Context as _, Result, anyhow, bail};
use btfparse::{
    Error as BtfError, ErrorKind, Integer32Value, Offset, Readable, TypeInformation, TypeVariant,
};
use observer_common::fields::{
    ARGUMENT_COUNTS, ENUMERATORS, FIELDS, OPTIONAL_ENUMERATORS, OPTIONAL_FIELDS,
};

/// Where the kernel publishes its type information.
pub const BTF_PATH: &str = "/sys/kernel/btf/vmlinux";

/// The enumerator that says that the helper `bpf_task_pt_regs` is there.
const TASK_REGISTERS: &str = "BPF_FUNC_task_pt_regs";

/// What the kernel programs need to know of this kernel: global name to value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// Offsets in bytes, and enumerators.
    pub globals: BTreeMap<&'static str, u32>,
    /// Whether the helper `bpf_task_pt_regs` is there.
    pub task_registers: bool,
    /// Byte of `sock` that `skc_reuseport` is a bit of, and that bit as a mask.
    pub reuseport: (u32, u32),
}

impl Layout {
    /// Whether a task that puts the ready list of an epoll instance in order is known by what it holds
    /// when it wakes another, whose system call tells the instance.
    #[must_use]
    pub fn knows_scans(&self) -> bool {
        let has = |global| self.globals.get(global).is_some_and(|offset| *offset != u32::MAX);
        self.task_registers && has("EPOLL_OWNER") && has("EPOLL_OVERFLOW")
    }

    /// Whether the kernel says of a dropped final ACK that a listener refused it (Linux 6.18).
    #[must_use]
    pub fn names_dropped_acks(&self) -> bool {
        self.globals.get("DROP_LISTEN_OVERFLOW").is_some_and(|reason| *reason != u32::MAX)
    }
}

/// A whole BTF file in memory: the parser reads many small pieces.
struct Bytes(Vec<u8>);

impl Readable for Bytes {
    fn read(&self, offset: u64, buffer: &mut [u8]) -> btfparse::Result<()> {
        let found = usize::try_from(offset)
            .ok()
            .and_then(|start| self.0.get(start..start.checked_add(buffer.len())?));
        match found {
            Some(bytes) => {
                buffer.copy_from_slice(bytes);
                Ok(())
            }
            // The parser reads until this.
            None => Err(BtfError::new(ErrorKind::EOF, "there are no bytes left to read")),
        }
    }
}

/// The kernel's types, and where to find those that were asked for. A kernel has some hundred
/// thousand, so all of them are looked at once, and none is copied.
pub struct Types {
    information: TypeInformation,
    /// Structs by name: more than one where the kernel has several of the same name.
    structs: HashMap<&'static str, Vec<u32>>,
    /// Functions by name.
    functions: HashMap<&'static str, u32>,
    /// Values by enumerator: more than one where the kernel has several of the same name.
    enumerators: HashMap<&'static str, Vec<u32>>,
}

impl Types {
    /// Reads and parses the running kernel's types; `functions` are those that will be asked for.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or is not BTF.
    pub fn of_kernel(functions: &[&'static str]) -> Result<Self> {
        Self::read(Path::new(BTF_PATH), functions)
    }

    /// Reads and parses types from a file.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or is not BTF.
    pub fn read(path: &Path, functions: &[&'static str]) -> Result<Self> {
        let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let information = TypeInformation::new(&Bytes(bytes))
            .map_err(|error| anyhow!("{} is not valid BTF: {error:?}", path.display()))?;
        let mut types = Self {
            information,
            structs: wanted(FIELDS.iter().chain(OPTIONAL_FIELDS).map(|field| field.container)),
            functions: HashMap::new(),
            enumerators: wanted(
                ENUMERATORS.iter().chain(OPTIONAL_ENUMERATORS).map(|(_, name)| *name),
            ),
        };
        types.structs.extend([("sock", Vec::new()), ("socket_alloc", Vec::new())]);
        types.enumerators.insert(TASK_REGISTERS, Vec::new());
        let counted = ARGUMENT_COUNTS.iter().map(|(_, function)| *function);
        let functions: HashMap<_, _> =
            functions.iter().copied().chain(counted).map(|name| (name, name)).collect();
        for (id, variant) in types.information.get() {
            match variant {
                TypeVariant::Struct(found) => {
                    let name = found.name().as_deref();
                    if let Some(ids) = name.and_then(|name| types.structs.get_mut(name)) {
                        ids.push(*id);
                    }
                }
                TypeVariant::Func(found) => {
                    let name = found.name().as_deref();
                    if let Some(name) = name.and_then(|name| functions.get(name)) {
                        types.functions.entry(name).or_insert(*id);
                    }
                }
                TypeVariant::Enum(list) => {
                    for named in list.named_value_list() {
                        if let Some(values) = types.enumerators.get_mut(named.name.as_str()) {
                            values.push(match named.value {
                                Integer32Value::Signed(value) => value.cast_unsigned(),
                                Integer32Value::Unsigned(value) => value,
                            });
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(types)
    }

    /// Resolves everything that the kernel programs read.
    ///
    /// # Errors
    ///
    /// When a field or an enumerator is missing or ambiguous.
    pub fn layout(&self) -> Result<Layout> {
        let mut globals = BTreeMap::new();
        for field in FIELDS {
            globals.insert(field.global, self.byte_offset(field.container, field.path)?);
        }
        for field in OPTIONAL_FIELDS {
            let offset = self.byte_offset(field.container, field.path);
            globals.insert(field.global, offset.unwrap_or(u32::MAX));
        }
        globals.insert("NUMBER_SIZE", self.size("upid")?);
        if self.byte_offset("socket_alloc", "socket")? != 0 {
            bail!("struct socket is not at the start of struct socket_alloc on this kernel");
        }
        for (global, enumerator) in ENUMERATORS {
            globals.insert(*global, self.enumerator(enumerator)?);
        }
        for (global, enumerator) in OPTIONAL_ENUMERATORS {
            globals.insert(*global, self.enumerator(enumerator).unwrap_or(u32::MAX));
        }
        let (bit, size) = match self.offset("sock", "__sk_common.skc_reuseport")? {
            Offset::BitOffsetAndSize(bit, size) => (bit, size),
            Offset::ByteOffset(byte) => (byte * 8, 1),
        };
        if size != 1 {
            bail!("sock.skc_reuseport is {size} bits wide, not one");
        }
        for (global, function) in ARGUMENT_COUNTS {
            // A function that is not there is not attached to, and its number is not asked for.
            globals.insert(*global, self.argument_count(function).unwrap_or(u32::MAX));
        }
        let task_registers = self.enumerator(TASK_REGISTERS).is_ok();
        Ok(Layout { globals, task_registers, reuseport: (bit / 8, 1 << (bit % 8)) })
    }

    /// Whether the kernel has this typedef: `btf_trace_NAME` says that tracepoint NAME is there
    /// for BTF-typed programs.
    pub fn has_tracepoint(&self, name: &str) -> bool {
        self.information.id_of(&format!("btf_trace_{name}")).is_some()
    }

    /// Whether the kernel has a function, of those asked for, that programs can attach to by its
    /// type.
    pub fn has_function(&self, name: &str) -> bool {
        self.functions.contains_key(name)
    }

    fn argument_count(&self, name: &str) -> Option<u32> {
        let (prototype, not_passed_on) = match self.functions.get(name) {
            Some(id) => (self.target(*id)?, 0),
            // A typedef, of a pointer to a function that is called with what it was registered with, too.
            None => {
                let pointer = self.target(self.information.id_of(name)?)?;
                (self.target(pointer)?, 1)
            }
        };
        match self.information.from_id(prototype)? {
            TypeVariant::FuncProto(prototype) => {
                u32::try_from(prototype.parameter_list().len()).ok()?.checked_sub(not_passed_on)
            }
            _ => None,
        }
    }

    /// The type that another one is about.
    fn target(&self, id: u32) -> Option<u32> {
        match self.information.from_id(id)? {
            TypeVariant::Func(function) => Some(*function.prototype_tid()),
            TypeVariant::Typedef(named) => Some(*named.tid()),
            TypeVariant::Ptr(pointer) => Some(*pointer.tid()),
            _ => None,
        }
    }

    fn byte_offset(&self, container: &str, path: &str) -> Result<u32> {
        match self.offset(container, path)? {
            Offset::ByteOffset(byte) => Ok(byte),
            Offset::BitOffsetAndSize(bit, _) if bit % 8 == 0 => Ok(bit / 8),
            Offset::BitOffsetAndSize(..) => {
                bail!("{container}.{path} is a bit field that starts within a byte")
            }
        }
    }

    /// The offset of a field. A name that stands for several structs must mean the same offset in
    /// each: anything else would be a guess.
    fn offset(&self, container: &str, path: &str) -> Result<Offset> {
        let ids = self
            .structs
            .get(container)
            .filter(|ids| !ids.is_empty())
            .ok_or_else(|| anyhow!("this kernel's BTF has no struct {container}"))?;
        let mut found = None;
        for id in ids {
            let Ok((_, offset)) = self.information.offset_of(*id, path) else { continue };
            match found {
                None => found = Some(offset),
                Some(first) if first == offset => {}
                Some(_) => bail!("this kernel's BTF has several structs {container} that differ"),
            }
        }
        found.ok_or_else(|| anyhow!("this kernel's struct {container} has no field {path}"))
    }

    /// The size of a struct that has one name with one meaning.
    fn size(&self, name: &str) -> Result<u32> {
        let ids = self.structs.get(name).map(Vec::as_slice).unwrap_or_default();
        let [id] = ids else {
            bail!("this kernel's BTF has {} structs {name}, not one", ids.len())
        };
        let size = self.information.size_of(*id);
        let size =
            size.map_err(|error| anyhow!("the size of struct {name} is not known: {error:?}"))?;
        Ok(u32::try_from(size)?)
    }

    /// The value of an enumerator, whatever enum it belongs to.
    fn enumerator(&self, name: &str) -> Result<u32> {
        match self.enumerators.get(name).map(Vec::as_slice) {
            None | Some([]) => bail!("this kernel's BTF has no enumerator {name}"),
            Some([first, others @ ..]) if others.iter().all(|value| value == first) => Ok(*first),
            Some(_) => bail!("this kernel's BTF has several enumerators {name}"),
        }
    }
}

/// An empty place for each name.
fn wanted(names: impl Iterator<Item = &'static str>) -> HashMap<&'static str, Vec<u32>> {
    names.map(|name| (name, Vec::new())).collect()
}
