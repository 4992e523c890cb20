//! What is said about the structure of the code, read from the code.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// The path of a module below the root of its crate.
type Module = Vec<String>;

/// The files of a crate, and which names each of them imports from which path of the same crate.
struct Source {
    imports: BTreeMap<Module, Vec<Import>>,
}

/// A path that a file names. `name` is what the file calls it, where it imports it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Import {
    name: Option<String>,
    path: Module,
}

#[test]
fn no_crate_has_modules_that_import_each_other() {
    let mut cycles = Vec::new();
    for krate in crates() {
        let source = Source::read(&krate.join("src"));
        for folder in source.folders() {
            let cycle = source.cycle(&folder);
            if !cycle.is_empty() {
                let place = krate.join("src").join(folder.join("/"));
                cycles.push(format!("{}:\n{}", place.display(), cycle.join("\n")));
            }
        }
    }
    assert!(
        cycles.is_empty(),
        "these modules import each other. Move what both need into one that imports neither:\n{}",
        cycles.join("\n")
    );
}

/// The folders of the workspace's crates.
pub(crate) fn crates() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("crates");
    let mut found: Vec<_> = fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    assert!(!found.is_empty());
    found
}

impl Source {
    fn read(src: &Path) -> Self {
        let mut files = BTreeMap::new();
        collect(src, &mut Vec::new(), &mut files);
        let modules: BTreeSet<Module> = files.keys().cloned().collect();
        let imports = files.iter().map(|(module, text)| (module.clone(), imports(module, text, &modules))).collect();
        Self { imports }
    }

    /// Every folder with modules in it.
    fn folders(&self) -> BTreeSet<Module> {
        self.imports.keys().flat_map(|module| (0..module.len()).map(|depth| module[..depth].to_vec())).collect()
    }

    /// The file in which something is, through what other files pass on under another path.
    fn file_of(&self, path: &[String], depth: usize) -> Module {
        let longest = (0..=path.len()).rev().find(|length| self.imports.contains_key(&path[..*length])).unwrap();
        let (file, rest) = path.split_at(longest);
        let passed_on = rest.first().filter(|_| depth < 8).and_then(|name| {
            self.imports[file].iter().find(|import| import.name.as_ref() == Some(name) && import.path != path)
        });
        match passed_on {
            Some(import) => self.file_of(&[&import.path[..], &rest[1..]].concat(), depth + 1),
            None => file.to_vec(),
        }
    }

    /// What imports what between the modules of a folder, where that goes round; each import in a line.
    fn cycle(&self, folder: &[String]) -> Vec<String> {
        let mut edges: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
        let child = |module: &[String]| module.strip_prefix(folder).and_then(|rest| rest.first().cloned());
        for (module, imports) in &self.imports {
            let Some(from) = child(module) else { continue };
            for import in imports {
                let file = self.file_of(&import.path, 0);
                if let Some(to) = child(&file).filter(|to| *to != from) {
                    let line = format!("  {} imports {}", module.join("::"), file.join("::"));
                    edges.entry(from.clone()).or_default().entry(to).or_insert(line);
                }
            }
        }
        // What imports nothing that is left, or is imported by nothing that is left, is in no cycle.
        loop {
            let left: BTreeSet<String> = edges.keys().cloned().collect();
            edges.values_mut().for_each(|to| to.retain(|to, _| left.contains(to)));
            let imported: BTreeSet<String> = edges.values().flat_map(BTreeMap::keys).cloned().collect();
            edges.retain(|from, to| !to.is_empty() && imported.contains(from));
            if edges.len() == left.len() {
                return edges.into_values().flat_map(BTreeMap::into_values).collect();
            }
        }
    }
}

fn collect(folder: &Path, module: &mut Module, files: &mut BTreeMap<Module, String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            module.push(name);
            collect(&path, module, files);
            module.pop();
        } else if path.extension().is_some_and(|extension| extension == "rs") && name != "main" {
            let is_face = name == "mod" || name == "lib";
            let file = if is_face { module.clone() } else { [&module[..], &[name]].concat() };
            files.insert(file, fs::read_to_string(&path).unwrap());
        }
    }
}

/// Every path of the same crate that a file names, but for its tests.
fn imports(module: &Module, text: &str, modules: &BTreeSet<Module>) -> Vec<Import> {
    let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
    let mut found = Vec::new();
    walk(&TokenStream::from_str(code).unwrap().into_iter().collect::<Vec<_>>(), &mut |tokens, is_use| {
        for (names, name) in paths(tokens) {
            if let Some(path) = absolute(module, &names, is_use, modules) {
                let name = is_use.then(|| name.unwrap_or_else(|| names.last().unwrap().clone()));
                found.push(Import { name, path });
            }
        }
    });
    found
}

/// Calls `each` with what follows every `use`, and with everything that begins with `crate`, `super` or `self`.
fn walk(tokens: &[TokenTree], each: &mut impl FnMut(&[TokenTree], bool)) {
    let mut at = 0;
    while let Some(token) = tokens.get(at) {
        at += 1;
        match token {
            TokenTree::Group(group) => walk(&group.stream().into_iter().collect::<Vec<_>>(), each),
            TokenTree::Ident(word) if word == "use" => {
                let end =
                    tokens[at..].iter().position(|token| is_punct(token, ';')).map_or(tokens.len(), |end| at + end);
                each(&tokens[at..end], true);
                at = end;
            }
            TokenTree::Ident(word) if word == "crate" || word == "super" || word == "self" => {
                let end = tokens[at..]
                    .iter()
                    .position(|token| !matches!(token, TokenTree::Ident(_)) && !is_punct(token, ':'));
                let end = end.map_or(tokens.len(), |end| at + end);
                each(&tokens[at - 1..end], false);
            }
            _ => {}
        }
    }
}

fn is_punct(token: &TokenTree, c: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == c)
}

/// The paths of `a::{b, c::d as e}`, each with the name it is given.
fn paths(tokens: &[TokenTree]) -> Vec<(Module, Option<String>)> {
    let mut prefix = Module::new();
    let mut tokens = tokens.iter().peekable();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Ident(word) if word == "as" => {
                let name = tokens.next().map(ToString::to_string);
                return vec![(prefix, name)];
            }
            TokenTree::Ident(word) => prefix.push(word.to_string()),
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => {
                let inner: Vec<_> = group.stream().into_iter().collect();
                let parts = inner.split(|token| is_punct(token, ',')).filter(|part| !part.is_empty());
                let below = |(path, name): (Module, Option<String>)| {
                    // `a::{self}` is `a`.
                    let path = if path == ["self"] { Module::new() } else { path };
                    ([&prefix[..], &path].concat(), name)
                };
                return parts.flat_map(paths).map(below).collect();
            }
            token if is_punct(token, ':') => {
                // A single colon ends a path: `name: Type`.
                if tokens.next_if(|token| is_punct(token, ':')).is_none() {
                    break;
                }
            }
            _ => break,
        }
    }
    if prefix.is_empty() { Vec::new() } else { vec![(prefix, None)] }
}

/// A path from the root of the crate. `None` for one that leads to another crate.
fn absolute(module: &Module, path: &[String], is_use: bool, modules: &BTreeSet<Module>) -> Option<Module> {
    match path.first()?.as_str() {
        "crate" => Some(path[1..].to_vec()),
        "self" => (path.len() > 1).then(|| [&module[..], &path[1..]].concat()),
        "super" => {
            let ups = path.iter().take_while(|name| *name == "super").count();
            Some([&module[..module.len().checked_sub(ups)?], &path[ups..]].concat())
        }
        _ if is_use => {
            let inside = [&module[..], path].concat();
            modules.contains(&inside[..=module.len()]).then_some(inside)
        }
        _ => None,
    }
}
