use super::*;

/// Type information in the making.
#[derive(Default)]
struct Maker {
    strings: Vec<u8>,
    types: Vec<u8>,
}

impl Maker {
    fn new() -> Self {
        Self { strings: vec![0], types: Vec::new() }
    }

    fn name(&mut self, name: &str) -> u32 {
        if name.is_empty() {
            return 0;
        }
        let at = u32::try_from(self.strings.len()).expect("small");
        self.strings.extend(name.as_bytes());
        self.strings.push(0);
        at
    }

    fn add(&mut self, name: &str, kind: u32, count: u32, flag: u32, rest: u32, behind: &[u32]) {
        let name = self.name(name);
        for word in [name, flag << 31 | kind << 24 | count, rest].iter().chain(behind) {
            self.types.extend(word.to_ne_bytes());
        }
    }

    fn bytes(self) -> Vec<u8> {
        let size = |bytes: &[u8]| u32::try_from(bytes.len()).expect("small");
        let mut bytes = 0xeb9f_u16.to_ne_bytes().to_vec();
        bytes.extend([1, 0]);
        for word in [24, 0, size(&self.types), size(&self.types), size(&self.strings)] {
            bytes.extend(word.to_ne_bytes());
        }
        bytes.extend(self.types);
        bytes.extend(self.strings);
        bytes
    }
}

/// `struct outer { int a; struct { int b; const inner c; int bit:1 at 200; }; };` and some more.
fn made() -> Vec<u8> {
    let mut maker = Maker::new();
    maker.add("int", kind::INT, 0, 0, 4, &[0]); // 1
    let d = maker.name("d");
    maker.add("", kind::STRUCT, 1, 0, 8, &[d, 1, 32]); // 2
    maker.add("inner", kind::TYPEDEF, 0, 0, 2, &[]); // 3
    maker.add("", kind::CONST, 0, 0, 3, &[]); // 4
    let (b, c, bit) = (maker.name("b"), maker.name("c"), maker.name("bit"));
    maker.add("", kind::STRUCT, 3, 1, 30, &[b, 1, 0, c, 4, 64, bit, 1, 1 << 24 | 200]); // 5
    let a = maker.name("a");
    maker.add("outer", kind::STRUCT, 2, 0, 40, &[a, 1, 0, 0, 5, 32]); // 6
    let (one, two) = (maker.name("ONE"), maker.name("TWO"));
    maker.add("", kind::ENUM, 2, 0, 4, &[one, 1, two, 2]); // 7
    maker.add("", kind::FUNC_PROTO, 2, 0, 1, &[0, 1, 0, 1]); // 8
    maker.add("work", kind::FUNC, 1, 0, 8, &[]); // 9
    maker.bytes()
}

fn table(names: &[&str]) -> TypeTable {
    TypeTable::read(made(), &names.iter().copied().collect()).expect("well formed")
}

#[test]
fn members_are_found_through_anonymous_ones_typedefs_and_qualifiers() {
    let table = table(&["outer"]);
    let [id] = table.structs("outer") else { panic!("{table:?}") };
    let place = |bit, width| Some(Place { bit, width });
    assert_eq!(table.member(*id, "a"), place(0, None));
    assert_eq!(table.member(*id, "b"), place(32, None));
    assert_eq!(table.member(*id, "c.d"), place(32 + 64 + 32, None));
    assert_eq!(table.member(*id, "bit"), place(232, Some(1)));
    for missing in ["e", "c.e", "a.b", "", "bi", "bitt"] {
        assert_eq!(table.member(*id, missing), None, "{missing}");
    }
}

#[test]
fn only_what_was_asked_for_is_kept() {
    let table = table(&["work", "TWO", "inner"]);
    assert!(table.structs("outer").is_empty());
    assert!(table.has_function("work") && !table.has_function("inner"));
    assert!(table.has_typedef("inner") && !table.has_typedef("work"));
    assert_eq!(table.argument_count("work"), Some(2));
    assert_eq!(table.argument_count("inner"), None);
    assert_eq!((table.enumerators("TWO"), table.enumerators("ONE")), (&[2][..], &[][..]));
}

#[test]
fn what_is_cut_short_or_of_another_kind_is_refused() {
    let (bytes, names) = (made(), HashSet::from(["outer"]));
    for length in 0..bytes.len() {
        assert!(TypeTable::read(bytes[..length].to_vec(), &names).is_none(), "{length}");
    }
    let mut maker = Maker::new();
    maker.add("later", kind::LAST + 1, 0, 0, 0, &[]);
    assert!(TypeTable::read(maker.bytes(), &names).is_none());
}
