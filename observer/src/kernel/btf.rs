//! Field path to offset, enumerator to value, by the running kernel's own type information.

use std::{
    collections::{BTreeMap, HashSet},
    fs,
    path::Path,
};

use anyhow::{Context as _, Result, bail};
use observer_common::fields::{ARGUMENT_COUNTS, ENUMERATORS, FIELDS, OPTIONAL_FIELDS};

use crate::kernel::types::{Place, TypeTable};

/// Where the kernel publishes its type information.
pub const BTF_PATH: &str = "/sys/kernel/btf/vmlinux";

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

/// The kernel's types, as far as observer asks for them.
pub struct Types {
    table: TypeTable,
}

impl Types {
    /// Reads the running kernel's types, for these tracepoints and functions and for the layout.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or is not BTF.
    pub fn of_kernel(tracepoints: &[&str], functions: &[&str]) -> Result<Self> {
        Self::read(Path::new(BTF_PATH), tracepoints, functions)
    }

    /// Reads types from a file.
    ///
    /// # Errors
    ///
    /// When the file cannot be read or is not BTF.
    pub fn read(path: &Path, tracepoints: &[&str], functions: &[&str]) -> Result<Self> {
        let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let typedefs: Vec<_> = tracepoints.iter().map(|name| typedef(name)).collect();
        let fields = FIELDS.iter().chain(OPTIONAL_FIELDS).map(|field| field.container);
        let names: HashSet<&str> = fields
            .chain(["socket_alloc", TASK_REGISTERS])
            .chain(ENUMERATORS.iter().map(|(_, enumerator)| *enumerator))
            .chain(ARGUMENT_COUNTS.iter().map(|(_, function)| *function))
            .chain(functions.iter().copied())
            .chain(typedefs.iter().map(String::as_str))
            .collect();
        let table = TypeTable::read(bytes, &names)
            .with_context(|| format!("{} is not valid BTF", path.display()))?;
        Ok(Self { table })
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
        if self.byte_offset("socket_alloc", "socket")? != 0 {
            bail!("struct socket is not at the start of struct socket_alloc on this kernel");
        }
        for (global, enumerator) in ENUMERATORS {
            globals.insert(*global, self.enumerator(enumerator)?);
        }
        let Place { bit, width } = self.place("sock", "__sk_common.skc_reuseport")?;
        if let Some(width) = width.filter(|width| *width != 1) {
            bail!("sock.skc_reuseport is {width} bits wide, not one");
        }
        for (global, function) in ARGUMENT_COUNTS {
            // A function that is not there is not attached to, and its number is not asked for.
            globals.insert(*global, self.table.argument_count(function).unwrap_or(u32::MAX));
        }
        let task_registers = self.enumerator(TASK_REGISTERS).is_ok();
        Ok(Layout { globals, task_registers, reuseport: (bit / 8, 1 << (bit % 8)) })
    }

    /// Whether BTF-typed programs can attach to tracepoint `name`.
    pub fn has_tracepoint(&self, name: &str) -> bool {
        self.table.has_typedef(&typedef(name))
    }

    /// Whether the kernel has a function that programs can attach to by its type.
    pub fn has_function(&self, name: &str) -> bool {
        self.table.has_function(name)
    }

    fn byte_offset(&self, container: &str, path: &str) -> Result<u32> {
        let Place { bit, .. } = self.place(container, path)?;
        if bit % 8 != 0 {
            bail!("{container}.{path} is a bit field that starts within a byte");
        }
        Ok(bit / 8)
    }

    /// Where a field lies. A name that stands for several structs must mean the same place in each:
    /// anything else would be a guess.
    fn place(&self, container: &str, path: &str) -> Result<Place> {
        let ids = self.table.structs(container);
        if ids.is_empty() {
            bail!("this kernel's BTF has no struct {container}");
        }
        let mut found = ids.iter().filter_map(|id| self.table.member(*id, path));
        let first = found
            .next()
            .with_context(|| format!("this kernel's struct {container} has no field {path}"))?;
        if found.any(|other| other != first) {
            bail!("this kernel's BTF has several structs {container} that differ");
        }
        Ok(first)
    }

    /// The value of an enumerator, whatever enum it belongs to.
    fn enumerator(&self, name: &str) -> Result<u32> {
        match self.table.enumerators(name) {
            [] => bail!("this kernel's BTF has no enumerator {name}"),
            [first, others @ ..] if others.iter().all(|other| other == first) => Ok(*first),
            _ => bail!("this kernel's BTF has several enumerators {name}"),
        }
    }
}

/// The enumerator of the helper that gives a task's saved registers.
const TASK_REGISTERS: &str = "BPF_FUNC_task_pt_regs";

/// The typedef that says that a tracepoint is there for BTF-typed programs.
fn typedef(tracepoint: &str) -> String {
    format!("btf_trace_{tracepoint}")
}
