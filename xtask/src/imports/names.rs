//! What a module names: its `use` declarations, and the paths in its code.

use std::collections::BTreeSet;

use proc_macro2::{TokenStream, TokenTree};
use syn::{
    Attribute, ImplItemFn, Item, ItemMod, ItemUse, Macro, MetaList, Path, UseTree, Visibility,
    visit::{self, Visit},
};

/// One name that a `use` declaration brings into a module.
#[derive(Debug)]
pub(super) struct Use {
    pub(super) path: Vec<String>,
    /// The name in this module; none of a glob's.
    pub(super) name: String,
    pub(super) glob: bool,
    /// Whether it is a re-export, which others use.
    pub(super) exported: bool,
}

/// All names of a module, those in its inline modules and for its tests aside.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub(super) uses: Vec<Use>,
    pub(super) paths: BTreeSet<Vec<String>>,
}

impl Names {
    pub(super) fn of(items: &[Item]) -> Self {
        let mut names = Self::default();
        items.iter().for_each(|item| names.visit_item(item));
        names
    }

    fn add_use(&mut self, tree: &UseTree, prefix: &[String], exported: bool) {
        let with = |ident: &syn::Ident| {
            let mut path = prefix.to_vec();
            // `use a::b::{self}` is `use a::b`.
            if prefix.is_empty() || ident != "self" {
                path.push(ident.to_string());
            }
            path
        };
        let (path, name, glob) = match tree {
            UseTree::Path(path) => return self.add_use(&path.tree, &with(&path.ident), exported),
            UseTree::Group(group) => {
                return group.items.iter().for_each(|tree| self.add_use(tree, prefix, exported));
            }
            UseTree::Name(name) => (with(&name.ident), None, false),
            UseTree::Rename(rename) => {
                (with(&rename.ident), Some(rename.rename.to_string()), false)
            }
            UseTree::Glob(_) => (prefix.to_vec(), None, true),
        };
        let name = name.or_else(|| path.last().cloned()).unwrap_or_default();
        self.uses.push(Use { path, name, glob, exported });
    }

    /// The paths in a macro's tokens: macros are not expanded here, and their arguments need not be
    /// Rust's grammar.
    fn add_tokens(&mut self, tokens: &TokenStream) {
        let mut path = Vec::new();
        // How many colons stand before this token: two after a name carry a path on.
        let mut colons = 0;
        let mut after_dot = false;
        for token in tokens.clone() {
            match token {
                TokenTree::Ident(ident) => {
                    if colons != 2 {
                        self.add_path(std::mem::take(&mut path));
                    }
                    // A field or a method is no path.
                    if !after_dot {
                        path.push(ident.to_string());
                    }
                    (colons, after_dot) = (0, false);
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' && colons < 2 => colons += 1,
                other => {
                    self.add_path(std::mem::take(&mut path));
                    colons = 0;
                    after_dot = false;
                    match other {
                        TokenTree::Group(group) => self.add_tokens(&group.stream()),
                        TokenTree::Punct(punct) => after_dot = punct.as_char() == '.',
                        TokenTree::Ident(_) | TokenTree::Literal(_) => {}
                    }
                }
            }
        }
        self.add_path(path);
    }

    fn add_path(&mut self, path: Vec<String>) {
        // `crate` alone is part of `pub(crate)`, and `self` alone is a receiver.
        if path.last().is_some_and(|name| !["crate", "self", "super"].contains(&name.as_str())) {
            self.paths.insert(path);
        }
    }
}

impl Visit<'_> for Names {
    fn visit_item(&mut self, item: &Item) {
        let attributes: &[Attribute] = match item {
            Item::Const(item) => &item.attrs,
            Item::Enum(item) => &item.attrs,
            Item::Fn(item) => &item.attrs,
            Item::Impl(item) => &item.attrs,
            Item::Macro(item) => &item.attrs,
            Item::Static(item) => &item.attrs,
            Item::Struct(item) => &item.attrs,
            Item::Trait(item) => &item.attrs,
            Item::Type(item) => &item.attrs,
            Item::Use(item) => &item.attrs,
            _ => &[],
        };
        if !is_for_tests(attributes) {
            visit::visit_item(self, item);
        }
    }

    fn visit_impl_item_fn(&mut self, function: &ImplItemFn) {
        if !is_for_tests(&function.attrs) {
            visit::visit_impl_item_fn(self, function);
        }
    }

    // A module of its own.
    fn visit_item_mod(&mut self, _: &ItemMod) {}

    fn visit_item_use(&mut self, item: &ItemUse) {
        let exported = !matches!(item.vis, Visibility::Inherited);
        // `use ::name` is another crate.
        if item.leading_colon.is_none() {
            self.add_use(&item.tree, &[], exported);
        }
    }

    // `pub(in crate::a)` imports nothing.
    fn visit_visibility(&mut self, _: &Visibility) {}

    fn visit_path(&mut self, path: &Path) {
        if path.leading_colon.is_none() {
            self.add_path(path.segments.iter().map(|segment| segment.ident.to_string()).collect());
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, invoked: &Macro) {
        self.add_tokens(&invoked.tokens);
        visit::visit_macro(self, invoked);
    }

    fn visit_meta_list(&mut self, list: &MetaList) {
        self.add_tokens(&list.tokens);
        visit::visit_meta_list(self, list);
    }
}

/// Whether `#[cfg(test)]` is among the attributes.
pub(super) fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg")
            && attribute.parse_args::<Path>().is_ok_and(|condition| condition.is_ident("test"))
    })
}
