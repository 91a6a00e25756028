use super::*;

/// What is complained of in a crate of these files.
fn found(order: &[&[&str]], files: &[(&str, &str)]) -> Vec<String> {
    let read = |path: &str| {
        let source = files.iter().find(|(name, _)| format!("src/{name}.rs") == path);
        source.map(|(_, source)| (*source).to_owned())
    };
    of_crate("src/lib.rs", order, &read).expect("a crate that parses")
}

/// Whether there is a circle in a crate with the modules `a` and `b`.
fn is_circle(a: &str, b: &str) -> bool {
    !found(&[], &[("lib", "mod a; mod b;"), ("a", a), ("b", b)]).is_empty()
}

#[test]
fn a_circle_is_told_with_its_files_and_imports() {
    let complaints = found(
        &[],
        &[
            ("lib", "mod a; mod b; mod c;"),
            ("a", "use crate::b::{self, B}; pub struct A(B);"),
            ("b", "pub struct B(super::c::C);"),
            ("c", "use super::a::A as Other; pub struct C;"),
        ],
    );
    assert_eq!(
        complaints,
        ["src/a.rs imports src/b.rs (crate::b::B), which imports src/c.rs (super::c::C), \
             which imports src/a.rs (super::a::A): break the circle, as by moving what both need \
             to a file of its own"]
    );
}

#[test]
fn imports_without_a_circle_are_none_of_our_business() {
    assert!(!is_circle("use crate::b::B;", "use std::a::A; use a_crate::a; pub struct B;"));
    assert!(!is_circle("use crate::b::B;", "pub struct B; impl B { fn a(&self) { self.a() } }"));
}

#[test]
fn paths_in_code_macros_and_attributes_are_imports() {
    let a = "use crate::b::B; pub fn a() {}";
    assert!(is_circle(a, "fn b() { crate::a::a() }"));
    assert!(is_circle(a, "use super::a; fn b() { a::a() }"));
    assert!(is_circle(a, "fn b() { println!(\"{}\", [crate::a::a()]) }"));
    assert!(is_circle(a, "#[arg(value_parser = crate::a::a)] struct B;"));
    assert!(is_circle(a, "mod within { use crate::a::a; }"));
    assert!(!is_circle(a, "use super::a; fn b(of: Of) { of.a.a() }"));
}

#[test]
fn what_only_tests_need_does_not_count() {
    let a = "use crate::b::B; pub fn a() {}";
    assert!(!is_circle(a, "#[cfg(test)] mod tests { use crate::a::a; }"));
    assert!(!is_circle(a, "#[cfg(test)] mod no_file_is_looked_for;"));
    assert!(!is_circle(a, "#[cfg(test)] use crate::a::a;"));
    assert!(!is_circle(a, "#[cfg(test)] fn b() { crate::a::a() }"));
    assert!(!is_circle(a, "#![cfg(test)] use crate::a::a;"));
    assert!(is_circle(a, "#[cfg(unix)] use crate::a::a;"));
}

#[test]
fn a_parent_may_declare_and_re_export_but_not_use_what_uses_it() {
    let circles = |parent: &str, child: &str| {
        found(&[], &[("lib", "mod p;"), ("p", parent), ("p/c", child)]).len()
    };
    let child = "use super::P; pub struct C(P);";
    assert_eq!(circles("mod c; pub use self::c::C; pub struct P;", child), 0);
    assert_eq!(circles("mod c; use self::c::C; pub struct P;", child), 1);
    assert_eq!(circles("mod c; pub use self::c::C; pub struct P; fn p(_: C) {}", child), 1);
    assert_eq!(circles("mod c; pub struct P; fn p(_: c::C) {}", child), 1);
    assert_eq!(circles("mod c; use self::c::C; pub struct P;", "pub struct C;"), 0);
}

#[test]
fn an_import_leads_through_re_exports_to_what_is_meant() {
    let circles = |parent: &str, user: &str| {
        let files = [("lib", "mod p;"), ("p", parent), ("p/c", "pub struct C;"), ("p/user", user)];
        found(&[], &files).len()
    };
    // The parent is used by nobody: what `user` names is in `c`.
    assert_eq!(circles("mod c; pub mod user; pub use c::C; use user::U;", "use super::C;"), 0);
    assert_eq!(circles("mod c; pub mod user; pub use c::*; use user::U;", "use super::C;"), 0);
    assert_eq!(circles("mod c; mod user; use user::U; pub struct C;", "use super::C;"), 1);
}

#[test]
fn an_exported_macro_is_where_it_is_defined() {
    let lib = "#[macro_use] mod a; mod b; use b::B;";
    let a = "#[macro_export] macro_rules! checked { () => {} }";
    let complaints = found(&[], &[("lib", lib), ("a", a), ("b", "crate::checked!();")]);
    assert_eq!(complaints, Vec::<String>::new());
}

#[test]
fn folders_are_in_a_circle_though_no_file_is() {
    let files = [
        ("lib", "mod a; mod b;"),
        ("a", "mod low; mod high;"),
        ("a/low", "pub struct Low;"),
        ("a/high", "use crate::b::B;"),
        ("b", "pub struct B(crate::a::low::Low);"),
    ];
    let complaints = found(&[], &files);
    assert_eq!(complaints.len(), 1, "{complaints:?}");
    assert!(
        complaints[0]
            .starts_with("a imports b (crate::b::B), which imports a (crate::a::low::Low): break"),
        "{complaints:?}"
    );
}

#[test]
fn an_import_goes_down_or_stays_in_its_folder() {
    let order: &[&[&str]] = &[&["low"], &["left", "right"]];
    let with = |low, left| {
        let files = [
            ("lib", "mod low; mod left; mod right; use right::Right;"),
            ("low", low),
            ("left", left),
            ("left/own", "use super::Left;"),
            ("right", "use crate::low::Low;"),
        ];
        found(order, &files)
    };
    assert_eq!(with("", "mod own;"), Vec::<String>::new());
    assert_eq!(
        with("use crate::right::Right;", "mod own;")[1],
        "src/low.rs imports src/right.rs (crate::right::Right), which is not below it in the \
         order of xtask/src/imports.rs: move down what both need"
    );
    assert_eq!(with("", "mod own; use crate::right::Right;").len(), 1);
    assert_eq!(with("use crate::Root;", "mod own;").len(), 2, "a circle with the root, and up");
    let complaints = found(order, &[("lib", "mod new;"), ("new", "pub struct New;")]);
    assert_eq!(complaints, ["new has no place in the order of xtask/src/imports.rs: give it one"]);
}

#[test]
fn what_cannot_be_read_is_an_error() {
    let read = |path: &str| (path == "src/lib.rs").then(|| "mod gone;".to_owned());
    let error = of_crate("src/lib.rs", &[], &read).expect_err("an error");
    assert_eq!(format!("{error:#}"), "mod gone has no file src/gone.rs");
}
