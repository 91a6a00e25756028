use std::collections::{BTreeMap, BTreeSet};

use object::{Object as _, ObjectSection as _, ObjectSymbol as _, SymbolKind};

use super::{NOOP, OBJECT, unpacked};
use crate::probes::{Kind, probes};

/// The one program that is no probe: it runs when it is asked to (`bpf/watches.rs`).
const ITERATOR: &str = "watches";

/// The programs of a kernel object, each with the first part of its section's name, which is their kind.
fn programs(packed: &[u8]) -> BTreeMap<String, String> {
    let object = unpacked(packed).expect("an object that was packed");
    let object = object::File::parse(&*object).expect("an object");
    let functions =
        object.symbols().filter(|one| one.kind() == SymbolKind::Text && one.is_global());
    let program = |function: object::Symbol<'_, '_>| {
        let section = object.section_by_index(function.section_index()?).expect("its section");
        let kind = section.name().expect("a name").split('/').next().unwrap_or_default().to_owned();
        // Functions that programs call.
        (kind != ".text").then(|| (function.name().expect("a name").to_owned(), kind))
    };
    functions.filter_map(program).collect()
}

/// Section names of each kind of program, as aya takes them.
fn section(kind: Kind) -> &'static str {
    match kind {
        Kind::BtfTracepoint => "tp_btf",
        Kind::Fentry => "fentry",
        Kind::Fexit => "fexit",
        Kind::Kprobe => "kprobe",
        Kind::Kretprobe => "kretprobe",
    }
}

#[test]
fn every_program_of_the_object_has_a_row_of_its_kind_and_every_row_a_program() {
    let mut table: BTreeMap<_, _> =
        probes().map(|probe| (probe.program.to_owned(), section(probe.kind).to_owned())).collect();
    table.insert(ITERATOR.to_owned(), "iter".to_owned());
    let object = programs(OBJECT);
    let only_in = |a: &BTreeMap<String, String>, b: &BTreeMap<String, String>| {
        let only = a.iter().filter(|(name, kind)| b.get(*name) != Some(*kind));
        only.map(|(name, kind)| format!("{name} ({kind})")).collect::<Vec<_>>().join(", ")
    };
    let (rowless, bodiless) = (only_in(&object, &table), only_in(&table, &object));
    assert!(rowless.is_empty(), "without a row in probes/: {rowless}");
    assert!(bodiless.is_empty(), "rows without a program in observer-ebpf: {bodiless}");
    // What the bench compares with has the same hooks.
    let noop = programs(NOOP);
    let of_probes = |programs: &BTreeMap<String, String>| -> BTreeSet<String> {
        programs.keys().filter(|name| *name != ITERATOR).cloned().collect()
    };
    assert_eq!(of_probes(&noop), of_probes(&object), "noop.rs and the programs");
}
